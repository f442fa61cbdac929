"""What parameters would find, in seconds: an engine on a short sample of a recording, spread over it."""

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from miniscope_core.errors import ParameterError
from miniscope_core.io.recording import ClockReport, Recording
from miniscope_core.models.parameters import Parameters
from miniscope_core.pipeline.process import compute
from miniscope_core.progress import Progress, silent
from miniscope_core.quality.seeds import count_rejections
from miniscope_core.result import ProcessingResult
from miniscope_core.settings import Settings

SAMPLE_FRAMES: Final = 600
"""At 20 Hz half a minute: most cells that are active at all were active once."""
LEAST_FRAMES: Final = 100
"""Fewer frames show no transients to tell cells by."""
_RUN_S: Final = 5.0
"""A run holds some transients whole, with what comes before and after them."""
_SAMPLE_BYTES: Final = 96 * 2**20
"""Bounds the time that a large field takes: 260 frames of 608×608 px at 8 bit."""


@dataclass(frozen=True)
class Preview:
    """What an engine found in a sample of a recording."""

    result: ProcessingResult
    """Of the sample, in memory; its frames are those of the sample."""
    frame_count: int
    """Frames of the whole recording."""
    seconds: float
    """Wall time of the sample."""
    workers: int
    joins_s: tuple[float, ...]
    """Times in the sample at which another run begins, s."""

    @property
    def seed_count(self) -> int | None:
        """Places where a unit was tried; None where the engine does not tell."""
        seeds = self.result.optional("seeds_px")
        return None if seeds is None else len(seeds)

    @property
    def rejections(self) -> dict[str, int]:
        """Rejected units by the criterion they fail: :func:`miniscope_core.quality.seeds.count_rejections`."""
        return count_rejections(self.result)

    @property
    def whole_seconds(self) -> float:
        """Wall time that the whole recording would take at the sample's cost per frame, s."""
        return self.seconds * self.frame_count / self.result.frame_count


@dataclass(frozen=True)
class FrameSample:
    """A frame source that shows chosen frames of a recording as consecutive ones."""

    recording: Recording
    indices: NDArray[np.int64]
    """Frames shown, rising."""

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Decode frames ``start, start + step, … < stop`` of the sample, (n, height, width)."""
        wanted = self.indices[start:stop:step]
        pieces = np.split(wanted, np.flatnonzero(np.diff(wanted) != step) + 1)
        return np.concatenate([self.recording.frames(int(one[0]), int(one[-1]) + 1, step) for one in pieces])


def preview_recording(
    recording: Recording,
    parameters: Parameters,
    settings: Settings,
    *,
    frames: int = SAMPLE_FRAMES,
    progress: Progress = silent,
) -> Preview:
    """Run an engine on a sample of a recording; no database, no store, and nothing is left on disk.

    Parameters
    ----------
    recording
        Opened recording; one that is shorter than the sample is used whole.
    parameters
        Of the engine to run.
    settings
        What the engine may use.
    frames
        Frames to sample; large fields get fewer.
    progress
        Told the engine's stages.

    Raises
    ------
    EngineError, ParameterError
        As the engine says.
    """
    sample = sample_recording(recording, frames)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="miniscope-preview-") as folder:
        result = compute(sample, parameters, Path(folder) / "result", settings, progress)
        seconds = time.monotonic() - began
        return Preview(_in_memory(result), recording.frame_count, seconds, settings.workers, _joins_s(sample))


def sample_recording(recording: Recording, frames: int = SAMPLE_FRAMES) -> Recording:
    """Return some runs of consecutive frames, spread over a recording, as a recording of their own.

    The times run on at the frame rate: between two runs nothing is missing that an engine should wait for. Runs last
    five seconds or more; a sample with room for one only takes it from the middle.

    Parameters
    ----------
    recording
        Opened recording. One that is no longer than the sample comes back as it is.
    frames
        Frames to sample; large fields get fewer, but never less than :data:`LEAST_FRAMES`.

    Raises
    ------
    ParameterError
        When fewer frames are asked for than show anything.
    """
    if frames < LEAST_FRAMES:
        raise ParameterError(f"frames of a preview: got {frames}, expected at least {LEAST_FRAMES}. Ask for more.")
    height, width = recording.shape
    affordable = _SAMPLE_BYTES // (height * width * recording.dtype.itemsize)
    wanted = max(LEAST_FRAMES, min(frames, affordable))
    if recording.frame_count <= wanted:
        return recording
    indices = _spread(recording.frame_count, wanted, run=math.ceil(_RUN_S * recording.fps))
    return replace(
        recording,
        timestamps_s=np.arange(len(indices)) / recording.fps,
        clock=_sampled_clock(recording.clock, recording.frame_count, len(indices)),
        source=FrameSample(recording, indices),
        corrupt_frames=tuple(np.flatnonzero(np.isin(indices, recording.corrupt_frames)).tolist()),
        head_orientation=None,
        signals=(),
        notes=(),
        parts=(),
    )


def _spread(total: int, wanted: int, run: int) -> NDArray[np.int64]:
    """Return the frames of as many runs as fit, the first and last at the ends of the recording."""
    count = max(1, wanted // run)
    length = wanted // count
    places = np.linspace(0, 1, count) if count > 1 else np.array([0.5])
    starts = (places * (total - length)).astype(np.int64)
    return np.concatenate([np.arange(start, start + length) for start in starts])


def _joins_s(sample: Recording) -> tuple[float, ...]:
    if not isinstance(sample.source, FrameSample):
        return ()
    jumps = np.flatnonzero(np.diff(sample.source.indices) != 1) + 1
    return tuple(float(time) for time in sample.timestamps_s[jumps])


def _sampled_clock(clock: ClockReport, total: int, kept: int) -> ClockReport:
    interval_ms = 1000 / clock.measured_fps
    return ClockReport(
        source="sample",
        rows=kept,
        frames=kept,
        used=kept,
        rule=f"{kept} of {total} frames, at the recording's rate",
        nominal_fps=clock.nominal_fps,
        measured_fps=clock.measured_fps,
        median_interval_ms=interval_ms,
        jitter_ms=0.0,
        longest_interval_ms=interval_ms,
        dropped=0,
        dropped_from="sample",
        repeated=0,
        backward=0,
    )


def _in_memory(result: ProcessingResult) -> ProcessingResult:
    """Copy a result into memory, so that its folder can go."""
    group = zarr.open_group(MemoryStore(), mode="w", zarr_format=3)
    for name in result.array_names:
        array = group.create_array(name, data=result.read(name))
        array.attrs.update(result.array(name).attrs.asdict())
    return ProcessingResult(result.info, group)
