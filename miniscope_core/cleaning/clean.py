"""A recording as an engine shall see it, and what was done to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.cleaning.broken import find_broken, mend
from miniscope_core.cleaning.learn import find_glow, find_hot, sample_frames
from miniscope_core.cleaning.steps import HotPixels, binned, cropped, without_flicker, without_stripes
from miniscope_core.io.recording import FrameSource, Recording
from miniscope_core.models.cleaning import Cleaning
from miniscope_core.progress import Progress, silent

_NOTHING: Final = Cleaning()
_TOLD_RUNS: Final = 6


@dataclass(frozen=True)
class Plan:
    """A cleaning with everything that had to be learnt for it."""

    cleaning: Cleaning
    hot: HotPixels | None = None
    glow: NDArray[np.float32] | None = None
    level: float = 0.0
    """Mean brightness that every frame is scaled to."""

    def apply(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """Clean raw frames, (n, height, width) of the recording."""
        clean = cropped(frames.astype(np.float32), self.cleaning.crop)
        if self.hot is not None:
            clean = self.hot.replaced(clean)
        if self.cleaning.stripes:
            clean = without_stripes(clean)
        if self.cleaning.flicker:
            clean = without_flicker(clean, self.level)
        if self.glow is not None:
            clean -= self.glow
        return np.maximum(binned(clean, self.cleaning.binning), 0)


@dataclass(frozen=True)
class CleanedSource:
    """A source that cleans what another one decodes; safe to share between threads, as that one is."""

    source: FrameSource
    plan: Plan

    def read(self, start: int, stop: int, step: int) -> NDArray[np.float32]:
        """Read frames ``start, start + step, … < stop`` as (n, height, width)."""
        return self.plan.apply(self.source.read(start, stop, step))


@dataclass(frozen=True)
class Cleaned:
    """A recording ready for an engine."""

    recording: Recording
    """As given, where there was nothing to do; else its frames may be float32, smaller, and some of them filled."""
    filled: NDArray[np.int64]
    """Frames, rising, that are blends of their neighbours and no data."""
    images: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """One frame and the deviation over time, before and after, (height, width) of the cleaned movie; empty where
    nothing was to be cleaned."""
    notes: tuple[str, ...] = ()
    """What was done, in sentences."""


def clean(
    recording: Recording, cleaning: Cleaning | None = None, workers: int = 1, progress: Progress = silent
) -> Cleaned:
    """Fill the broken frames of a recording, and clean what is asked for.

    Frames that the recording's format marks as broken are always filled: nobody is to take them for data. Everything
    else is done only where the cleaning says so, one frame at a time when it is read, so that the movie is never held.

    Parameters
    ----------
    recording
        Opened recording.
    cleaning
        Steps to do; None: none.
    workers
        For the pass that ``find_broken`` asks for.
    progress
        Told that pass.

    Raises
    ------
    ParameterError
        When a step does not fit the recording.
    VideoError
        When no frame is whole.
    """
    cleaning = cleaning or _NOTHING
    shape = cleaning.shape_of(recording.shape)
    broken = np.asarray(recording.corrupt_frames, np.int64)
    if cleaning.find_broken:
        broken = np.union1d(broken, find_broken(recording, workers, progress))
    mended = mend(recording, broken)
    notes = _notes(recording, broken)
    if not set(cleaning.steps) - {"find_broken"}:
        return Cleaned(mended, broken, notes=notes)
    raw = sample_frames(mended)
    plan = _plan(cropped(raw, cleaning.crop), cleaning)
    cleaned = replace(
        mended,
        shape=shape,
        dtype=np.dtype(np.float32),
        levels=recording.full_scale,
        source=CleanedSource(mended.source, plan),
        metadata=recording.metadata.model_copy(update=_field_um(recording, cleaning, shape)),
    )
    return Cleaned(cleaned, broken, _images(raw, plan), (*notes, *_told(plan)))


def _plan(sample: NDArray[np.float32], cleaning: Cleaning) -> Plan:
    """Learn what the steps need, each from a sample that the steps before it have cleaned."""
    sample = sample.copy()
    plan = Plan(cleaning)
    if cleaning.hot_pixels:
        plan = replace(plan, hot=find_hot(sample))
        sample = plan.hot.replaced(sample) if plan.hot is not None else sample
    if cleaning.stripes:
        sample = without_stripes(sample)
    if cleaning.flicker:
        plan = replace(plan, level=float(np.median(sample.mean((1, 2)))))
        sample = without_flicker(sample, plan.level)
    return replace(plan, glow=find_glow(sample)) if cleaning.glow else plan


def _images(raw: NDArray[np.float32], plan: Plan) -> dict[str, NDArray[np.float32]]:
    """Return what a person compares: a frame of the middle, and how much each pixel changes over the sample."""
    middle = len(raw) // 2
    before, after = binned(cropped(raw, plan.cleaning.crop), plan.cleaning.binning), plan.apply(raw)
    return {
        "frame_before": before[middle],
        "frame_after": after[middle],
        "deviation_before": before.std(0),
        "deviation_after": after.std(0),
    }


def _field_um(recording: Recording, cleaning: Cleaning, shape: tuple[int, int]) -> dict[str, float]:
    """Return the size of the field that is left, µm, where the metadata tell that of the whole one."""
    sizes = {"um_height": recording.metadata.um_height, "um_width": recording.metadata.um_width}
    return {
        name: um * kept * cleaning.binning / whole
        for (name, um), kept, whole in zip(sizes.items(), shape, recording.shape, strict=True)
        if um is not None
    }


def _notes(recording: Recording, broken: NDArray[np.int64]) -> tuple[str, ...]:
    if not len(broken):
        return ()
    runs = np.split(broken, np.flatnonzero(np.diff(broken) != 1) + 1)
    named = ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs[:_TOLD_RUNS])
    more = f" and {len(runs) - _TOLD_RUNS} more runs" if len(runs) > _TOLD_RUNS else ""
    return (
        f"{len(broken):,} of {recording.frame_count:,} frames are broken and were filled from their neighbours: "
        f"{named}{more}.",
    )


def _told(plan: Plan) -> tuple[str, ...]:
    steps = ", ".join(
        f"{name} ({len(plan.hot.pixels)} found)" if name == "hot_pixels" and plan.hot is not None else name
        for name in plan.cleaning.steps
    )
    return (f"The movie was cleaned before analysis: {steps}.",)
