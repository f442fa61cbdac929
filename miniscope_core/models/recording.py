"""The recording: one movie of one device, its facts, its files and what came with it."""

from enum import StrEnum
from typing import ClassVar, Self

import sqlalchemy as sa
from pydantic import model_validator
from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import (
    BigCount,
    Count,
    ExactJson,
    Finite,
    JsonDict,
    JsonValue,
    LocalTime,
    LocalTimeColumn,
    Measure,
    MeasureColumn,
    Name,
    RowId,
    Sha256,
    StoredPath,
    choice,
)


class FileRole(StrEnum):
    """What a file of a recording is."""

    VIDEO = "video"
    CLOCK = "clock"
    METADATA = "metadata"
    OTHER = "other"


class AcquisitionSoftwareBase(Entity):
    """A program that records."""

    natural_key: ClassVar[tuple[str, ...]] = ("acquisition_software",)
    acquisition_software: Name = Field(description="Name of the program, as 'Miniscope-DAQ-V4'")
    description: str = Field(default="", description="What it writes")


class AcquisitionSoftware(AcquisitionSoftwareBase, table=True):
    """A program that records."""

    id: RowId = primary_key()


class ChannelBase(Entity):
    """A colour channel of a device."""

    natural_key: ClassVar[tuple[str, ...]] = ("channel",)
    channel: Count = Field(description="Number of the channel, from 0")


class Channel(ChannelBase, table=True):
    """A colour channel of a device."""

    id: RowId = primary_key()


class RecordingBase(Entity):
    """One movie of one device in a session."""

    natural_key: ClassVar[tuple[str, ...]] = ("session_pk", "recording_id")
    recording_id: Count = Field(description="Number of the recording within its session, from 0")
    recording_directory: StoredPath = Field(description="Folder of the device, relative to a raw-data root")
    recording_notes: str = Field(default="", description="What the experimenter remarked")


class Recording(RecordingBase, table=True):
    """One movie of one device in a session."""

    id: RowId = primary_key()
    session_pk: int = foreign_key("session", "The session it was made in")
    device_pk: int = foreign_key("device", "The device that recorded")
    acquisition_software_pk: int = foreign_key("acquisition_software", "The program that recorded")


class RecordingLocationBase(Entity):
    """Where in the brain a recording was made."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk",)


class RecordingLocation(RecordingLocationBase, table=True):
    """Where in the brain a recording was made."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")
    anatomical_location_pk: int = foreign_key("anatomical_location", "The place in the brain")


class RecordingInfoBase(Entity):
    """The facts of a recording, read from its files."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk",)
    nchannels: Count = Field(default=1, ge=1, description="Colour channels")
    nframes: Count = Field(description="Frames that decode and have a time")
    ndepths: Count = Field(default=1, ge=1, description="Focal planes")
    px_height: Count = Field(ge=1, description="Height of the video, px")
    px_width: Count = Field(ge=1, description="Width of the video, px")
    um_height: Measure = Field(default=None, gt=0, sa_type=MeasureColumn, description="Height of the field, µm")
    um_width: Measure = Field(default=None, gt=0, sa_type=MeasureColumn, description="Width of the field, µm")
    fps: Finite = Field(gt=0, description="Frame rate from the clock: 1 / median interval, Hz")
    gain: Measure = Field(default=None, sa_type=MeasureColumn, description="Gain of the sensor, as the program has it")
    spatial_downsample: Count = Field(default=1, ge=1, description="Factor by which the program reduced the frames")
    led_power: Measure = Field(default=None, sa_type=MeasureColumn, description="Excitation, as the program has it")
    recording_datetime: LocalTime | None = Field(
        default=None, sa_type=LocalTimeColumn, description="Start, local time at the rig without zone"
    )
    recording_duration: Finite = Field(ge=0, description="From the first frame to the end of the last, s")
    dropped_frames: Count = Field(default=0, description="Frames missing, by the clock")
    clock_report: JsonDict = Field(
        default_factory=dict, sa_type=ExactJson, description="What the clock says about itself"
    )
    content_digest: str = Field(default="", index=True, description="Digest over names and digests of all files")


class RecordingInfo(RecordingInfoBase, table=True):
    """The facts of a recording, read from its files."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")


class RecordingFileBase(Entity):
    """One file of a recording."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_info_pk", "file_id")
    checks: ClassVar[dict[str, str]] = {"video_has_frames": "role != 'video' OR nframes IS NOT NULL"}
    file_id: Count = Field(description="Number of the file, videos first, in their natural order")
    file_path: StoredPath = Field(description="Path relative to the raw-data root")
    role: FileRole = Field(
        default=FileRole.VIDEO, sa_type=choice(FileRole), description="video, clock, metadata or other"
    )
    nframes: Count | None = Field(default=None, description="Frames that decode; none for files without video")
    sha256: Sha256 = Field(description="Digest of the content")
    nbytes: BigCount = Field(sa_type=sa.BigInteger, description="Size, bytes")

    @model_validator(mode="after")
    def _video_has_frames(self) -> Self:
        if self.role == FileRole.VIDEO and self.nframes is None:
            raise ValueError(f"nframes of the video {self.file_path} is missing: count the frames that decode")
        return self


class RecordingFile(RecordingFileBase, table=True):
    """One file of a recording."""

    id: RowId = primary_key()
    recording_info_pk: int = foreign_key("recording_info", "The facts of its recording")


class RecordingTimestampsBase(Entity):
    """The frame clock of a recording, an array in the store."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk",)


class RecordingTimestamps(RecordingTimestampsBase, table=True):
    """The frame clock of a recording, an array in the store."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")
    timestamps_pk: int = foreign_key("stored_array", "Times, one per frame, seconds from the start of the recording")


class RecordingConfigBase(Entity):
    """One metadata file of the acquisition program, whole."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk", "name")
    name: Name = Field(description="Name of the file, relative to the session folder")
    content: JsonValue = Field(sa_type=ExactJson, nullable=False, description="As read, nothing left out")


class RecordingConfig(RecordingConfigBase, table=True):
    """One metadata file of the acquisition program, whole."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")


class HeadOrientationBase(Entity):
    """The head orientation measured on the scope, an array in the store."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk",)


class HeadOrientation(HeadOrientationBase, table=True):
    """The head orientation measured on the scope, an array in the store."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")
    samples_pk: int = foreign_key("stored_array", "(row, 5): time in s, then the quaternion w, x, y, z")


class NoteBase(Entity):
    """A remark on the clock of a recording, by the experimenter or by the program."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk", "note_id")
    note_id: Count = Field(description="Row of the note in its file, from 0")
    time_s: Finite = Field(description="Time on the clock of the recording, s")
    text: str = Field(description="The remark")


class Note(NoteBase, table=True):
    """A remark on the clock of a recording, by the experimenter or by the program."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")


class RecordingSignalBase(Entity):
    """Something else recorded on the clock of a recording, a pose or a trigger say; its samples are in the store."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk", "signal_id")
    signal_id: Count = Field(description="Number of the signal in its recording, from 0")
    signal_name: Name = Field(description="What it is called: pose, trigger, GPIO-1")
    channels: JsonValue = Field(sa_type=ExactJson, nullable=False, description="Names of the values of a sample")
    units: JsonValue = Field(sa_type=ExactJson, nullable=False, description="Their units; empty where nobody tells")
    nsamples: Count = Field(description="Its samples")
    start_s: Measure = Field(default=None, sa_type=MeasureColumn, description="Time of the first sample, s")
    stop_s: Measure = Field(default=None, sa_type=MeasureColumn, description="Time of the last sample, s")
    source: str = Field(description="File that it comes from")
    clock_rule: str = Field(description="How its times were placed on the clock of the recording")
    uncertainty_s: Measure = Field(
        default=None, sa_type=MeasureColumn, description="How far they may be wrong by that, s; NULL: nobody knows"
    )


class RecordingSignal(RecordingSignalBase, table=True):
    """Something else recorded on the clock of a recording, a pose or a trigger say; its samples are in the store."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The recording")
    samples_pk: int = foreign_key("stored_array", "(sample, 1 + channel): time in s, then the channels")


class RecordingPartBase(Entity):
    """One recording within a movie that several of its session were joined to."""

    natural_key: ClassVar[tuple[str, ...]] = ("recording_pk", "part_id")
    part_id: Count = Field(description="Number of the part, in the order in which they began, from 0")
    start_frame: Count = Field(description="Its first frame in the joined movie")
    nframes: Count = Field(ge=1, description="Its frames")
    start_s: Finite = Field(ge=0, description="Time on the joined clock at which its own clock is zero, s")


class RecordingPart(RecordingPartBase, table=True):
    """One recording within a movie that several of its session were joined to."""

    id: RowId = primary_key()
    recording_pk: int = foreign_key("recording", "The joined recording")
    joined_recording_pk: int = foreign_key("recording", "The recording that was joined")
