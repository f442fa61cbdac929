"""What a person may ask for besides engine parameters: forms for the command line, the flows and Python."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IngestOptions(_Request):
    """What ingestion should know that the folder does not tell, or tells wrong; all of it optional."""

    subject: str | None = Field(
        default=None, description="Name of the animal; default: the animal name the acquisition program wrote"
    )
    session_datetime: datetime | None = Field(
        default=None, description="Start of the session, local time at the rig; default: the recording's start"
    )
    recording_id: int | None = Field(
        default=None, ge=0, description="Number of the recording within its session; default: the next free one"
    )
    project: str | None = Field(default=None, description="Project the session belongs to")
    experimenter: str | None = Field(default=None, description="Who recorded; default: the researcher in the metadata")
    session_note: str = Field(default="", description="Remark on the session")
    recording_notes: str = Field(default="", description="Remark on the recording")
    location: str | None = Field(default=None, description="Anatomical location recorded from, e.g. CA1")
    clock: Literal["strict", "report"] = Field(
        default="strict",
        description="strict: refuse a frame clock that does not fit the video; report: go on and record what was odd",
    )
    fps: float | None = Field(
        default=None, gt=0, description="Frame rate, Hz, for a recording without a frame clock (times are then nominal)"
    )
