"""What every reader gives: a recording whose frames are decoded on demand, with an honest frame clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from miniscope_core.errors import RecordingError
from miniscope_core.io.signals import Signal
from miniscope_core.remote import Lease


class VideoFile(BaseModel):
    """One video file of a recording, in its natural order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    frame_count: int = Field(ge=0, description="Frames that decode; what the container claims is not asked")


class ClockReport(BaseModel):
    """What the frame clock says about itself; no time was repaired but those named in ``invented``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="File the times come from, or 'given' where the caller passed a rate")
    rows: int = Field(ge=0, description="Rows of the clock")
    frames: int = Field(ge=0, description="Frames that decode")
    used: int = Field(ge=0, description="Frames that have both picture and time")
    rule: str = Field(description="How rows and frames were joined, in a sentence")
    nominal_fps: float | None = Field(default=None, description="Rate the acquisition program was set to, Hz")
    measured_fps: float = Field(gt=0, description="1 / median interval, Hz")
    median_interval_ms: float
    jitter_ms: float = Field(description="Median absolute deviation of the intervals, ms")
    longest_interval_ms: float
    dropped: int = Field(ge=0, description="Frames missing")
    dropped_from: str = Field(description="What that count is based on: 'hardware frame number' or 'gaps in time'")
    repeated: int = Field(ge=0, description="Intervals of zero")
    backward: int = Field(ge=0, description="Intervals below zero")
    buffer_peak: int | None = Field(default=None, description="Fullest acquisition buffer; near 128 it overflowed")
    problems: tuple[str, ...] = Field(default=(), description="What a strict reader refuses, one line each")
    invented: tuple[tuple[int, int], ...] = Field(
        default=(), description="Frames whose times were interpolated because it was asked for: runs, first and last"
    )

    @property
    def invented_count(self) -> int:
        """Number of frames whose times were interpolated."""
        return sum(last - first + 1 for first, last in self.invented)


class Note(BaseModel):
    """A remark the experimenter, or the acquisition program itself, left on the clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_s: float
    text: str


class RecordingMetadata(BaseModel):
    """The facts of a recording that the database keeps as columns; the rest stays in ``config``, whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    acquisition_software: str = Field(description="As in the AcquisitionSoftware lookup")
    device_name: str | None = Field(default=None, description="What the experimenter called the device")
    device_type: str | None = Field(default=None, description="Model of the device")
    animal_name: str | None = None
    researcher_name: str | None = None
    experiment_name: str | None = None
    recording_datetime: datetime | None = Field(
        default=None, description="Local time at the rig, without zone, as the programs write it"
    )
    started_unix_ms: int | None = Field(
        default=None, description="The same moment since 1970, which no change of the rig's clock to summer time moves"
    )
    nominal_fps: float | None = Field(default=None, gt=0)
    gain: float | None = None
    led_power: float | None = None
    spatial_downsample: int = Field(default=1, ge=1)
    um_height: float | None = Field(default=None, gt=0)
    um_width: float | None = Field(default=None, gt=0)
    warnings: tuple[str, ...] = Field(default=(), description="What was odd in the metadata, one line each")
    config: dict[str, Any] = Field(default_factory=dict, description="Every metadata file, by its name, as read")


class JoinedPart(BaseModel):
    """One recording within a movie that several were joined to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
    start_frame: int = Field(ge=0, description="Its first frame in the joined movie")
    frame_count: int = Field(ge=1)
    start_s: float = Field(ge=0, description="Time on the joined clock at which its own clock is zero")


class FrameSource(Protocol):
    """Decodes frames; a reader supplies it, :class:`Recording` checks and slices."""

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Decode frames ``start, start + step, … < stop`` as (n, height, width), gray: uint8 or uint16, exact.

        Of a recording that was cleaned, float32.
        """


@dataclass(frozen=True)
class Recording:
    """One recording of one device: frames on demand, frame clock, metadata.

    Safe to share between threads that call :meth:`frames` (the source serialises or reopens as it needs).
    """

    directory: Path
    """The recording's folder, or its file where one file is a recording."""
    files: tuple[VideoFile, ...]
    shape: tuple[int, int]
    """Height and width of the video, px; never taken from metadata."""
    dtype: np.dtype[Any]
    timestamps_s: NDArray[np.float64]
    """Seconds from the start of the recording, one per frame, as recorded (the first may be negative); those of
    :attr:`invented_times` are not."""
    clock: ClockReport
    metadata: RecordingMetadata
    source: FrameSource = field(repr=False)
    head_orientation: NDArray[np.float64] | None = field(default=None, repr=False)
    """(row, 5): time in s, then the quaternion w, x, y, z; rows need not match frames."""
    notes: tuple[Note, ...] = ()
    signals: tuple[Signal, ...] = ()
    """What else was recorded on the same clock."""
    evidence: str = ""
    """Why the reader took the folder for its own."""
    side_files: tuple[Path, ...] = ()
    """The clock, metadata and other files read besides the video."""
    corrupt_frames: tuple[int, ...] = ()
    """Frames that the format itself tells are broken; they are not left out, and no signal is to be taken from them."""
    parts: tuple[JoinedPart, ...] = ()
    """The recordings that this one was joined from, in order; none where it is one recording."""
    levels: int | None = None
    """Largest value a pixel of the camera can have, where :attr:`dtype` does not tell."""
    address: str | None = None
    """Address that it was asked for by; then :attr:`directory` and :attr:`files` are copies in the cache."""
    lease: Lease | None = field(default=None, repr=False)
    """What keeps those copies; they may go when the recording is no longer used."""

    @property
    def folder(self) -> Path:
        """The folder that the recording is, or that its file lies in."""
        is_file = self.directory in (*(file.path for file in self.files), *self.side_files)
        return self.directory.parent if is_file else self.directory

    @property
    def frame_count(self) -> int:
        """Number of frames that have both picture and time."""
        return len(self.timestamps_s)

    @property
    def invented_times(self) -> NDArray[np.int64]:
        """Frames, rising, whose times were interpolated, because ``clock="interpolate"`` asked for it."""
        runs = [np.arange(first, last + 1) for first, last in self.clock.invented]
        return np.concatenate([np.zeros(0, np.int64), *runs])

    @property
    def part_starts(self) -> tuple[int, ...]:
        """First frame of each recording that was joined; ``(0,)`` for one alone."""
        return tuple(part.start_frame for part in self.parts) or (0,)

    @property
    def full_scale(self) -> int:
        """Largest value a pixel can have."""
        return int(np.iinfo(self.dtype).max) if self.levels is None else self.levels

    @property
    def fps(self) -> float:
        """Frame rate, Hz: from the median interval of the frame clock."""
        return self.clock.measured_fps

    @property
    def pixel_size_um(self) -> float | None:
        """Width of a pixel in the tissue, µm, from the metadata's size of the field; None where it is not told."""
        width = self.metadata.um_width
        return None if width is None else width / self.shape[1]

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last, seconds."""
        return float(self.timestamps_s[-1] - self.timestamps_s[0]) + 1 / self.fps

    def frames(self, start: int = 0, stop: int | None = None, step: int = 1) -> NDArray[Any]:
        """Decode a range of frames without loading the rest.

        Parameters
        ----------
        start, stop, step
            As in ``range``; ``stop`` defaults to the end; ``step`` is at least 1.

        Returns
        -------
        ndarray
            (n, height, width), gray, in the type of :attr:`dtype`, exactly as stored.

        Raises
        ------
        RecordingError
            When the range is not within the recording.
        VideoError
            When a file gives fewer frames than it did when it was opened.
        """
        stop = self.frame_count if stop is None else stop
        if not 0 <= start <= stop <= self.frame_count or step < 1:
            raise RecordingError(
                f"Frames {start}:{stop}:{step} of {self.directory}: "
                f"expected a range within 0:{self.frame_count} and a step of at least 1."
            )
        if start == stop:
            return np.empty((0, *self.shape), self.dtype)
        return self.source.read(start, stop, step)

    def chunks(self, size: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Decode the whole recording once, in order: pairs of first frame index and (n ≤ size, height, width)."""
        for start in range(0, self.frame_count, size):
            yield start, self.frames(start, min(start + size, self.frame_count))
