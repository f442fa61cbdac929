"""What a person may ask for besides engine parameters: forms for the command line, the flows and Python."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from miniscope_core.errors import ParameterError
from miniscope_core.io.options import ClockColumns
from miniscope_core.models.types import Count, KeyText, LocalTime, Name

# Keys hold whole seconds.
_WholeSeconds = Annotated[LocalTime, AfterValidator(lambda time: time.replace(microsecond=0))]
# Not "date-time": for that, forms offer a calendar that always adds a zone, and the rig's clock has none.
_TIME_FORM = {
    "anyOf": [{"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?$"}, {"type": "null"}],
    "default": None,
}


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IngestOptions(_Request):
    """What ingestion should know that the folder does not tell, or tells wrong; all of it optional."""

    subject: KeyText | None = Field(
        default=None, description="Name of the animal; default: the animal name the acquisition program wrote"
    )
    session_datetime: Annotated[_WholeSeconds | None, WithJsonSchema(_TIME_FORM)] = Field(
        default=None,
        description="Start of the session, local time at the rig: 2024-05-17T10:23:45; default: the recording's",
    )
    recording_id: Count | None = Field(
        default=None, description="Number of the recording within its session; default: the next free one"
    )
    project: Name | None = Field(default=None, description="Project the session belongs to")
    experimenter: Name | None = Field(default=None, description="Who recorded; default: the researcher in the metadata")
    session_note: str = Field(default="", description="Remark on the session")
    recording_notes: str = Field(default="", description="Remark on the recording")
    location: Name | None = Field(default=None, description="Anatomical location recorded from, e.g. CA1")
    clock: Literal["strict", "report", "interpolate"] = Field(
        default="strict",
        description="strict: refuse a frame clock that does not fit the video; report: go on and record what was odd; "
        "interpolate: also invent the times that are missing or cannot be right, and mark them",
    )
    fps: float | None = Field(
        default=None, gt=0, description="Frame rate, Hz, for a recording without a frame clock (times are then nominal)"
    )
    join: bool = Field(
        default=False,
        description="The folder holds several recordings of one session: ingest them all, and process them as one "
        "movie with their true times",
    )
    dataset: Name | None = Field(
        default=None, description="Name of the movie in an HDF5 or NWB file that holds several"
    )
    files: Name | None = Field(
        default=None, description="Pattern of the files of a folder that are one movie, e.g. run_*.tif"
    )
    columns: Annotated[str, AfterValidator(lambda text: ClockColumns.parse(text).text)] | None = Field(
        default=None, description="Which column of a table of times is what, e.g. time=0,unit=iso,frame=1"
    )

    def reading(self) -> dict[str, str]:
        """Return the options that only some formats take, as given, by name."""
        return self.model_dump(include={"dataset", "files", "columns"}, exclude_none=True)


def checked_options(**values: Any) -> IngestOptions:
    """Make options from what a person typed.

    Raises
    ------
    ParameterError
        When a name is unknown or a value is not valid; all of them in one line.
    """
    try:
        return IngestOptions(**values)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc']))}: got {one['input']!r}, {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()
        ]
        raise ParameterError(f"Options of ingestion are not valid: {'; '.join(problems)}.") from error
