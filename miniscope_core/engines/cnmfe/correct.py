"""From recording to motion-corrected, binned movie in scratch: one sparse look for the template, one full decode."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.correlate import RUN_FRAMES
from miniscope_core.engines.cnmfe.footprints import enlarge
from miniscope_core.engines.cnmfe.frames import bin_frame, flatten, shift_frame, surround
from miniscope_core.engines.cnmfe.lens import Lens, find_lens
from miniscope_core.engines.cnmfe.motion import (
    Template,
    estimate_shifts,
    fill_outliers,
    fixed_image,
    flatten_behind,
    learn_lens,
    learn_local,
    learn_template,
    nearest_matched,
)
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.pattern import releases
from miniscope_core.engines.cnmfe.piecewise import patch_ranges, warp_frame
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters

_SAMPLE_FRAMES: Final = 800
"""Enough that the noise of their mean no longer limits the shifts (measured: 375 frames 0.26 px, 750 0.24 px)."""
_SAMPLE_BYTES: Final = 112 * 2**20
"""Of the sample, binned and as float32; aligning it needs it twice."""
_SUM_STEPS: Final = 64
"""Steps per count in which frames are summed."""
_FIT_FRAMES: Final = 4096
_LEAST_FIT_FRAMES: Final = 250
_STEPS_PER_DECAY: Final = 2.5
"""Time steps of the fit in one decay time. The mean over a step keeps most of a transient and little of the noise: F1
with steps of one, two and three frames (20 Hz, 0.4 s) on simulated CA1: 0.934, 0.948, 0.953."""
_SMALL_CELL_PX: Final = 6.0
"""A cell this wide is still well sampled: binning down to it loses nothing and saves its square in work."""


_SMALL_SCALE: Final = 255
"""Largest value of a pixel for which frames are kept in steps of 1/64 count; 16 bit have fine steps themselves."""


@dataclass(frozen=True)
class Corrected:
    """The motion-corrected movie, binned in space, and what was learnt on the way."""

    movie: ScratchMovie
    """Every frame, (frame, height // bin, width // bin)."""
    fit: ScratchMovie
    """The same binned in time to at most a few thousand frames; what the factorisation sees."""
    bin_factor: int
    fit_step: int
    """Frames averaged into one frame of ``fit``."""
    template: NDArray[np.float32]
    average: NDArray[np.float32]
    maximum: NDArray[np.float32]
    """Summary images at full resolution, (height, width)."""
    shifts: NDArray[np.float32]
    local_shifts: NDArray[np.float32] | None
    """(frame, patch, 2) where the correction is piece-wise."""
    patch_ranges: NDArray[np.int64] | None
    local_trust: float
    outliers: NDArray[np.int64]
    aligned: bool
    """False where the recording has nothing to align to and no frame was moved."""
    beyond_share: float
    beyond_px: float
    """As in the template: frames that lie farther away than the largest shift."""
    lens: Lens | None
    """The rim of the lens, at the resolution of the recording; None where none was found."""


def spatial_bin(cell_diameter_px: float) -> int:
    """Return the pixels that may be averaged along each axis without losing detail of a cell."""
    return max(1, int(cell_diameter_px // _SMALL_CELL_PX))


def correct(recording: Recording, parameters: CnmfeParameters, scratch: Path, context: Context) -> Corrected:
    """Estimate and undo the motion of every frame, in one decode.

    A frame that matches nothing (black, torn, noise) says nothing about cells either: the nearest good frame of the
    same stretch takes its place, and its index is kept.

    For the fit, frames are averaged in steps that the decay of the indicator outlasts, and in longer ones where more
    than 4096 would be left: each frame counts, and the mean of a step keeps the transient while its noise falls.

    Parameters
    ----------
    recording
        Decoded twice: a sample for the template, then every frame once.
    parameters
        Cell diameter, decay time and what concerns motion are used.
    scratch
        Folder for the movies.
    context
        Workers and progress.
    """
    bin_factor = spatial_bin(parameters.cell_diameter_px)
    diameter = parameters.cell_diameter_px / bin_factor
    sample, mean = _sample(
        recording, bin_factor, lambda frames: flatten(frames, bin_factor, surround(diameter)), context
    )
    template = learn_template(sample, bin_factor, diameter, parameters.max_shift_px, context)
    lens = None
    if not template.pattern.is_none and find_lens(bin_frame(mean, bin_factor), diameter) is not None:
        del sample  # as large as the one that takes its place
        template, lens, sample = _behind_the_rim(recording, template, parameters.max_shift_px, context)
    if lens is not None:
        mean = lens.lift(mean)
    if parameters.motion == "piecewise":
        template = learn_local(template, sample, parameters.patch_px, parameters.max_deviation_px, context)
    del sample
    step = _fit_step(recording.frame_count, recording.fps, parameters.decay_time_s)
    sweep = _Sweep(recording, template, lens, fixed_image(mean, template), step, scratch)
    # Whole numbers add up to the same in any order: so do the stretches, whichever worker comes first.
    average = np.zeros(recording.shape, np.int64)
    maximum = np.zeros(recording.shape, np.float32)
    for summed, highest in context.sweep("motion correction", sweep.stretch, sweep.starts):
        average += summed
        np.maximum(maximum, highest, out=maximum)
    patches = template.patches
    return Corrected(
        movie=sweep.movie,
        fit=sweep.fit,
        bin_factor=bin_factor,
        fit_step=step,
        template=enlarge(template.image, bin_factor, recording.shape),
        average=(average / (_SUM_STEPS * recording.frame_count)).astype(np.float32),
        maximum=maximum,
        shifts=sweep.shifts,
        local_shifts=sweep.local,
        patch_ranges=None if patches is None else patch_ranges(recording.shape, patches.grid),
        local_trust=0.0 if patches is None else patches.trust,
        aligned=template.max_shift > 0,
        beyond_share=template.beyond_share,
        beyond_px=template.beyond_px,
        lens=lens,
        outliers=np.flatnonzero(~sweep.matched).astype(np.int64),
    )


@dataclass
class _Sweep:
    """One pass over the frames: shifts found, frames moved, binned and stored. Stretches may come in any order."""

    recording: Recording
    template: Template
    lens: Lens | None
    """What frames are lifted from before they are compared and moved, and put behind again."""
    fixed: NDArray[np.float32] | None
    """What is taken from each frame before it is moved."""
    fit_step: int
    scratch: Path
    movie: ScratchMovie = field(init=False)
    fit: ScratchMovie = field(init=False)
    shifts: NDArray[np.float32] = field(init=False)
    matched: NDArray[np.bool_] = field(init=False)
    local: NDArray[np.float32] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        total, factor = self.recording.frame_count, self.template.bin_factor
        small = (self.recording.shape[0] // factor, self.recording.shape[1] // factor)
        scale = 64.0 if self.recording.full_scale <= _SMALL_SCALE else 1.0
        self.movie = ScratchMovie(self.scratch / "movie.u16", (total, *small), scale, signed=False)
        self.fit = self.movie
        if self.fit_step > 1:
            steps = total // self.fit_step
            self.fit = ScratchMovie(self.scratch / "fit.u16", (steps, *small), scale, signed=False)
        self.shifts = np.zeros((total, 2), np.float32)
        self.matched = np.ones(total, bool)
        if self.template.patches is not None:
            self.local = np.zeros((total, len(self.template.patches.nearness), 2), np.float32)

    @property
    def size(self) -> int:
        """Frames of a stretch; a property of the frame size alone, so that results do not hang on workers."""
        height, width = self.recording.shape
        wished = int(np.clip(2**23 // (height * width), 16, 256))
        return self.fit_step * max(1, round(wished / self.fit_step))

    @property
    def starts(self) -> range:
        """Where the stretches begin."""
        return range(0, self.recording.frame_count, self.size)

    def stretch(self, start: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Correct and store the frames from one start on; return their sum, in small steps, and their maximum."""
        span = slice(start, min(start + self.size, self.recording.frame_count))
        frames = self.recording.frames(span.start, span.stop)
        if self.lens is not None:
            frames = self.lens.lift(frames)
        motion = estimate_shifts(frames, self.template)
        nearest = nearest_matched(motion.matched)
        self.shifts[span] = fill_outliers(motion.shifts, motion.matched)
        self.matched[span] = motion.matched
        if self.local is not None and motion.local is not None:
            self.local[span] = motion.local[nearest]
        summed = np.zeros(self.recording.shape, np.float32)
        highest = np.zeros(self.recording.shape, np.float32)
        binned = np.empty((len(frames), *self.movie.shape[1:]), np.float32)
        for position, out in enumerate(binned):
            moved = self._moved(frames[nearest[position]], start + position)
            summed += moved
            np.maximum(highest, moved, out=highest)
            out[...] = bin_frame(moved, self.template.bin_factor)
        self._store(start, binned)
        return np.rint(summed * np.float32(_SUM_STEPS)).astype(np.int64), highest

    def _moved(self, frame: NDArray[Any], index: int) -> NDArray[np.float32]:
        still = frame if self.fixed is None else frame - self.fixed
        if self.local is None or self.template.patches is None:
            moved = shift_frame(still, self.shifts[index])
        else:
            moved = warp_frame(still.astype(np.float32), self.local[index], self.template.patches.grid)
        return moved if self.lens is None else self.lens.lower(moved)

    def _store(self, start: int, binned: NDArray[np.float32]) -> None:
        self.movie.write(start, binned)
        whole = len(binned) // self.fit_step
        if self.fit is not self.movie and whole:
            steps = binned[: whole * self.fit_step].reshape(whole, self.fit_step, *binned.shape[1:])
            self.fit.write(start // self.fit_step, steps.mean(1))


def fit_frames(frames: int, fps: float, decay_time_s: float) -> int:
    """Return the number of time steps of the fit."""
    return frames // _fit_step(frames, fps, decay_time_s)


def sample_bytes(frames: int, shape: tuple[int, int]) -> int:
    """Return the size of the sample that alignment is learnt from; ``shape`` is that of a binned frame."""
    return min(frames, _sample_frames(shape)) * 4 * shape[0] * shape[1]


def _sample_frames(shape: tuple[int, int]) -> int:
    return int(np.clip(_SAMPLE_BYTES // (4 * shape[0] * shape[1]), 4 * RUN_FRAMES, _SAMPLE_FRAMES))


def _fit_step(frames: int, fps: float, decay_time_s: float) -> int:
    """Return the frames averaged into one step of the fit."""
    wished = min(round(fps * decay_time_s / _STEPS_PER_DECAY), frames // _LEAST_FIT_FRAMES)
    return max(1, wished, -(-frames // _FIT_FRAMES))


def _behind_the_rim(
    recording: Recording, held: Template, max_shift_px: int, context: Context
) -> tuple[Template, Lens | None, NDArray[np.float32]]:
    """Learn the rim of the lens and a template without it; the one given where something else holds the frames."""
    bin_factor, diameter = held.bin_factor, held.diameter

    def binned(frames: NDArray[Any]) -> NDArray[np.float32]:
        return np.stack([bin_frame(frame.astype(np.float32), bin_factor) for frame in frames])

    sample, _ = _sample(recording, bin_factor, binned, context)
    lens = learn_lens(sample, bin_factor, diameter, max_shift_px, context)
    if lens is not None:
        flatten_behind(sample, lens, diameter, sample, context)
        template = learn_template(sample, bin_factor, diameter, max_shift_px, context, lens.trust)
        if releases(held.gain, template.gain):
            return template, lens.enlarged(bin_factor, recording.shape), sample

    def flattened(frames: NDArray[Any]) -> NDArray[np.float32]:
        return held.pattern.remove(flatten(frames, bin_factor, held.surround_px))

    sample, _ = _sample(recording, bin_factor, flattened, context)
    return held, None, sample


def _sample(
    recording: Recording,
    bin_factor: int,
    ready: Callable[[NDArray[Any]], NDArray[np.float32]],
    context: Context,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode runs of frames spread over the recording, a bounded number whatever its length: made ready, and the mean.

    The mean is that of the frames as they are, (height, width).
    """
    height, width = (size // bin_factor for size in recording.shape)
    wanted = _sample_frames((height, width))
    total = recording.frame_count
    starts = [*range(0, total, RUN_FRAMES)]
    if total > wanted:
        starts = [int(start) for start in np.linspace(0, total - RUN_FRAMES, wanted // RUN_FRAMES)]

    counts = [min(RUN_FRAMES, total - start) for start in starts]
    places = np.cumsum([0, *counts]).tolist()
    sample, summed = np.empty((places[-1], height, width), np.float32), np.zeros(recording.shape)

    def work(run: int) -> NDArray[np.float64]:
        frames = recording.frames(starts[run], starts[run] + counts[run])
        sample[places[run] : places[run + 1]] = ready(frames)
        return np.asarray(frames.sum(0, dtype=np.float64))

    for part in context.map(work, range(len(starts))):
        summed += part
    return sample, (summed / len(sample)).astype(np.float32)
