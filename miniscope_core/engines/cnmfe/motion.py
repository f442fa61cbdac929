"""Rigid motion: shifts of frames against a template, weighted frequency by frequency, then refined.

A frame is a shifted template plus noise plus whatever the cells do. The likeliest shift then maximises the
cross-correlation with every spatial frequency weighted by the inverse of the power that is *not* explained by the
template (sensor noise and cell activity). That power is measured on a sample of the recording itself, so the
band-pass fits the recording and nobody has to choose one. This finds the shift to a few tenths of a pixel on frames of
half the resolution; :mod:`miniscope_core.engines.cnmfe.refine` does the rest.

References
----------
Pnevmatikakis & Giovannucci 2017, NoRMCorre, doi:10.1016/j.jneumeth.2017.07.031.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.correlate import RUN_FRAMES, align, displacements, spectra_of
from miniscope_core.engines.cnmfe.frames import bin_frame, flatten, moved_back, shot_noise, smooth, surround
from miniscope_core.engines.cnmfe.lens import Lens, find_lens
from miniscope_core.engines.cnmfe.parallel import Context, pieces
from miniscope_core.engines.cnmfe.pattern import (
    LEAST_GAIN,
    Pattern,
    fit_pattern,
    gains,
    held_back,
    no_pattern,
    released,
    releases,
    sharp_pattern,
)
from miniscope_core.engines.cnmfe.piecewise import Patches, learn_patches, warp_frame
from miniscope_core.engines.cnmfe.refine import Refiner, learn_refiner

_PATTERN_ROUNDS: Final = 2
"""A third takes more of the brain for pattern: errors with stripes 0.29 and 0.36 px, with a lens rim 0.28 and 0.25."""
_NARROW_SURROUND: Final = 0.25
"""The same for the correlation that finds the first shift. On a field of 104×136 px 0.6 left an error of 0.8 px."""
_LEAST_MATCH: Final = 5.0
"""Peak of the correlation over its root mean square. Pure noise gives 3 to 4, recordings with anything to see 7 on."""
_REFINEMENTS: Final = 2
"""Times the sample is aligned by what was learnt from it; a third changes 0.002 px."""
_LOCAL_ROUNDS: Final = 3
"""Times a frame is warped and looked at again: each look sees about a pixel far."""
_LEAST_GAIN_BEHIND: Final = 0.6
"""The same as :data:`LEAST_GAIN` once the rim of the lens is taken out: what is left of it holds the frames less than
the search for a pattern, which takes dark vessels for one, does harm."""
_LENS_ROUNDS: Final = 6
"""Most times the rim is learnt from the motion found behind it. Errors of the first shifts on a simulated recording
with a rim after none to three: 0.80, 0.39, 0.36 and 0.36 px."""
_LEAST_COARSE_PX: Final = 32
"""Frames smaller than this after halving are correlated at full resolution."""
_SCORE_MADS: Final = 8.0
"""A frame whose match to the template lies this many deviations below the sample's median is corrupt, not moved."""


@dataclass(frozen=True)
class Template:
    """What frames are aligned to."""

    weights: NDArray[np.complex64]
    """Conjugate spectrum over noise power of a flattened, tapered, coarse frame, (height, width // 2 + 1)."""
    image: NDArray[np.float32]
    """The aligned mean of the flattened sample, (height, width)."""
    bin_factor: int
    """Pixels of the recording per pixel of the image."""
    diameter: float
    """Of a cell, in pixels of the image."""
    coarse_factor: int
    """Pixels of the image per pixel of the frames that are correlated."""
    max_shift: int
    """Largest shift searched for, in coarse pixels; 0 where the recording has nothing to align to."""
    surround_px: float
    least_score: float
    """Frames that match worse than this are outliers."""
    refiner: Refiner
    beyond_share: float
    """Part of the sample's frames that match better farther away than the largest shift."""
    beyond_px: float
    """How far away those match, in pixels of the recording, along the longer axis; zero where there are none."""
    pattern: Pattern
    """What the sensor or the lens adds to every flattened frame; taken out before frames are compared."""
    gain: float
    """The part of the motion that showed before the pattern was taken out, along the axis where it was less."""
    trust: NDArray[np.float32] | None = None
    """Multiplied by every flattened frame, (height, width); None: every pixel counts alike."""
    patches: Patches | None = None
    """Where patches of the field may move by themselves; None where the correction is rigid."""
    max_deviation: float = 0.0
    """Largest difference of a patch's shift from the frame's, in pixels of the image."""

    @property
    def coarse_shape(self) -> tuple[int, int]:
        """Height and width of the frames that are correlated."""
        height, width = self.image.shape
        return height // self.coarse_factor, width // self.coarse_factor


class Motion(NamedTuple):
    """What aligns frames to a template."""

    shifts: NDArray[np.float32]
    """(n, 2) as (dy, dx), px of the recording, the correction to apply; the mean over the patches where there are."""
    matched: NDArray[np.bool_]
    """(n,); False where a frame matches so badly that its shift says nothing."""
    local: NDArray[np.float32] | None
    """(n, patch, 2): the same for each patch; None where the correction is rigid."""


def learn_template(
    flat: NDArray[np.float32],
    bin_factor: int,
    diameter: float,
    max_shift_px: int,
    context: Context,
    trust: NDArray[np.float32] | None = None,
) -> Template:
    """Align a sample of frames to its own mean, again and again, and learn what to trust.

    Parameters
    ----------
    flat
        (n, height, width), frames spread over the recording, out of :func:`flatten` with :func:`surround`. The sample
        is large, so it is worked on in place: its pattern is taken out, and its frames may change places.
    bin_factor
        Pixels of the recording per pixel of these.
    diameter
        Of a cell, in pixels of these.
    max_shift_px
        Largest shift, in pixels of the recording.
    context
        Workers.
    trust
        What the frames were multiplied by when they were flattened, (height, width).

    Returns
    -------
    Template
    """
    factor, limit = _coarse_search(flat.shape[1:], bin_factor, max_shift_px)
    aligned = align(_coarsened(flat, factor, diameter, context), limit, context)
    beyond = aligned.beyond
    if RUN_FRAMES <= np.count_nonzero(beyond == 0) < len(flat):
        near, aligned = _to_front(flat, beyond == 0), aligned.within_reach()
    else:
        near = flat
    pattern = no_pattern(flat.shape[1:])
    gain = gains(near, aligned.displacement * factor, pattern, diameter) if limit else np.ones(2)
    if held_back(gain, LEAST_GAIN if trust is None else _LEAST_GAIN_BEHIND):
        found, displacement = _learn_pattern(near, factor, limit, diameter, context)
        without = align(_coarsened(near, factor, diameter, context, found), limit, context, displacement / factor)
        left = gains(near, without.displacement * factor, found, diameter)
        if releases(float(gain.min()), float(left.min())):
            pattern, aligned = found, without
            context.fill(flat, lambda some: found.remove(flat[some]))
    displacement, scores = aligned.displacement * factor, aligned.scores
    median = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - median)))
    least = median - _SCORE_MADS * max(spread, 0.05 * abs(median))
    if median < _LEAST_MATCH:  # nothing to hold on to: shifts would be noise, and moving frames by them does harm
        limit, least = 0, -np.inf
        displacement[:] = 0
    good = scores >= least
    near, displacement = _to_front(near, good), displacement[good]
    moved = _moved(near, displacement, context)
    refiner = learn_refiner(moved, diameter, context)
    for _ in range(_REFINEMENTS if limit else 0):
        displacement -= _still_missing(refiner, moved, context)
        displacement -= np.median(displacement, axis=0)
        _moved(near, displacement, context, out=moved)
        refiner = learn_refiner(moved, diameter, context)
    return Template(
        weights=aligned.weights,
        image=refiner.image,
        bin_factor=bin_factor,
        diameter=diameter,
        coarse_factor=factor,
        max_shift=limit,
        surround_px=surround(diameter),
        least_score=least,
        refiner=refiner,
        beyond_share=float((beyond > 0).mean()),
        beyond_px=float(np.median(beyond[beyond > 0])) * factor * bin_factor if beyond.any() else 0.0,
        pattern=pattern,
        gain=float(gain.min()),
        trust=trust,
    )


def learn_lens(
    raw: NDArray[np.float32], bin_factor: int, diameter: float, max_shift_px: int, context: Context
) -> Lens | None:
    """Find the rim of the lens in a sample, and tell it from the brain by the motion.

    Parameters
    ----------
    raw
        (n, height, width), binned frames as they come.
    bin_factor, diameter, max_shift_px, context
        As for :func:`learn_template`.

    Returns
    -------
    Lens or None
        At the resolution of the sample; None where no darkness comes in from the edge.
    """
    lens = find_lens(raw.mean(0), diameter)
    factor, limit = _coarse_search(raw.shape[1:], bin_factor, max_shift_px)
    if lens is None or not limit:
        return None
    for _ in range(_LENS_ROUNDS):
        flat = np.empty_like(raw)
        flatten_behind(raw, lens, diameter, flat, context)
        aligned = align(_coarsened(flat, factor, diameter, context), limit, context)
        near: slice | NDArray[np.bool_] = slice(None)  # all of them: that needs no copy
        if RUN_FRAMES <= np.count_nonzero(aligned.beyond == 0) < len(raw):
            near = aligned.beyond == 0
        displacement = aligned.displacement[near] * factor
        gain = gains(flat[near], displacement, no_pattern(flat.shape[1:]), diameter)
        lens = lens.refined(raw[near], released(displacement, gain))
        if not held_back(gain):
            break
    return lens


def flatten_behind(
    raw: NDArray[np.float32], lens: Lens, diameter: float, out: NDArray[np.float32], context: Context
) -> None:
    """Flatten binned frames as they are without the rim, into ``out``, which may be the frames themselves."""
    context.fill(out, lambda some: flatten(lens.lift(raw[some]), 1, surround(diameter), lens.trust))


def learn_local(
    template: Template, flat: NDArray[np.float32], patch_px: float, max_deviation_px: float, context: Context
) -> Template:
    """Let patches of the field move by themselves.

    Parameters
    ----------
    template
        Of the same sample.
    flat
        As :func:`learn_template` left it.
    patch_px
        Wished side of a patch, px of the recording.
    max_deviation_px
        Largest difference of a patch's shift from the frame's, px of the recording.
    context
        Workers.
    """
    if template.max_shift == 0:
        return template
    coarse = context.map(lambda some: _coarse(flat[some], template), pieces(len(flat)))
    displacement, scores = (np.concatenate(parts) for parts in zip(*coarse, strict=True))
    flat = _to_front(flat, scores >= template.least_score)
    displacement = displacement[scores >= template.least_score]
    displacement -= _still_missing(template.refiner, _moved(flat, displacement, context), context)
    moved = _moved(flat, displacement, context)
    patches = learn_patches(template.refiner, moved, patch_px / template.bin_factor)
    local = replace(template, patches=patches, max_deviation=max_deviation_px / template.bin_factor)

    def warped(some: slice) -> NDArray[np.float32]:
        return _warped(flat[some], _local(flat[some], displacement[some], local), patches)

    for _ in range(_LOCAL_ROUNDS if patches.trust else 0):
        refiner = learn_refiner(context.fill(moved, warped), template.diameter, context)
        local = replace(local, refiner=refiner)
    return replace(local, image=local.refiner.image)


def estimate_shifts(frames: NDArray[Any], template: Template) -> Motion:
    """Estimate the correction that aligns each frame to the template.

    Parameters
    ----------
    frames
        (n, height, width), raw.
    template
        Of the same recording.
    """
    patches = template.patches
    if template.max_shift == 0:
        still = np.zeros((len(frames), 2), np.float32)
        return Motion(still, np.ones(len(frames), bool), None if patches is None else _everywhere(still, patches))
    flat = template.pattern.remove(flatten(frames, template.bin_factor, template.surround_px, template.trust))
    displacement, scores = _coarse(flat, template)
    displacement -= template.refiner.rigid(moved_back(flat, displacement))
    limit = template.max_shift * template.coarse_factor
    np.clip(displacement, -limit, limit, out=displacement)
    shifts = (-displacement * template.bin_factor).astype(np.float32)
    local = None if patches is None else _local(flat, displacement, template) * np.float32(template.bin_factor)
    if local is not None:
        shifts = local.mean(1)
    return Motion(shifts, scores >= template.least_score, local)


def fixed_image(mean: NDArray[np.float32], template: Template) -> NDArray[np.float32] | None:
    """Return what to subtract from frames before they are moved, or else the pattern would move over the brain.

    That is the mean frame without the brain, which a scope shows no sharper than a binned pixel.

    Parameters
    ----------
    mean
        Of the sample's frames as they come, (height, width).
    template
        Of the same sample.

    Returns
    -------
    ndarray, or None
        (height, width), counts; None where nothing stays.
    """
    if not template.pattern.image.any():
        return None
    small = bin_frame(mean, template.bin_factor)
    brain = small - template.pattern.image * shot_noise(smooth(small, template.surround_px))
    height, width = (size * template.bin_factor for size in brain.shape)
    fixed = np.zeros_like(mean)
    fixed[:height, :width] = mean[:height, :width] - cv2.resize(brain, (width, height), interpolation=cv2.INTER_CUBIC)
    return fixed


def fill_outliers(shifts: NDArray[np.float32], matched: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give frames that match nothing the shift of the nearest frame that does; zero where none does."""
    if not matched.any():
        return np.zeros_like(shifts)
    return shifts[nearest_matched(matched)]


def nearest_matched(matched: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for every frame the nearest one that matches the template: itself, as a rule, or where none does."""
    frames = np.arange(len(matched))
    good = np.flatnonzero(matched)
    if not len(good):
        return frames
    after = np.clip(np.searchsorted(good, frames), 0, len(good) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(good[before] - frames) <= np.abs(good[after] - frames), good[before], good[after])
    return np.asarray(nearest, np.int64)


def _coarse_search(shape: tuple[int, ...], bin_factor: int, max_shift_px: int) -> tuple[int, int]:
    """Return by what factor frames of a shape are coarsened to be correlated, and how far they are searched then."""
    factor = 2 if min(shape) >= 2 * _LEAST_COARSE_PX else 1
    most = (min(shape) // factor - 1) // 2 - 1
    return factor, max(0, min(-(-max_shift_px // (bin_factor * factor)), most))


def _learn_pattern(
    flat: NDArray[np.float32], factor: int, limit: int, diameter: float, context: Context
) -> tuple[Pattern, NDArray[np.float64]]:
    """Learn what holds the frames back, and where they are without it."""
    mean = flat.mean(0)
    pattern = sharp_pattern(mean)
    displacement = np.zeros((len(flat), 2))
    for _ in range(_PATTERN_ROUNDS):
        aligned = align(_coarsened(flat, factor, diameter, context, pattern), limit, context)
        displacement = aligned.displacement * factor
        gain = gains(flat, displacement, pattern, diameter)
        if not held_back(gain):
            break
        displacement = released(displacement, gain)
        pattern = fit_pattern(mean, _moved(flat, displacement, context).mean(0), displacement)
    return pattern, displacement


def _to_front(frames: NDArray[np.float32], wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bring the wanted frames to the front, in place and in their order; return those."""
    places = np.flatnonzero(wanted)
    for place, source in enumerate(places):
        if place != source:
            other = frames[place].copy()
            frames[place] = frames[source]
            frames[source] = other
    return frames[: len(places)]


def _coarsen(
    flat: NDArray[np.float32], factor: int, diameter: float, pattern: Pattern | None = None
) -> NDArray[np.float32]:
    """Bin flattened frames once more for the correlation, without a pattern, and flatten them further.

    A correlation takes what stays put for a match where it is: the less of the vignette is left, the better. What
    refines the shift afterwards gains more from what moves.
    """
    coarse = np.stack([bin_frame(frame if pattern is None else pattern.remove(frame), factor) for frame in flat])
    for frame in coarse:
        frame -= smooth(frame, _NARROW_SURROUND * diameter / factor)
    return coarse


def _coarsened(
    flat: NDArray[np.float32], factor: int, diameter: float, context: Context, pattern: Pattern | None = None
) -> NDArray[np.float32]:
    """Do the same for a whole sample."""
    height, width = (size // factor for size in flat.shape[1:])
    coarse = np.empty((len(flat), height, width), np.float32)
    return context.fill(coarse, lambda some: _coarsen(flat[some], factor, diameter, pattern))


def _moved(
    flat: NDArray[np.float32],
    displacement: NDArray[np.float64],
    context: Context,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Undo the displacement of each frame of a sample."""
    moved = np.empty_like(flat) if out is None else out
    return context.fill(moved, lambda some: moved_back(flat[some], displacement[some]))


def _still_missing(refiner: Refiner, moved: NDArray[np.float32], context: Context) -> NDArray[np.float64]:
    """Estimate the correction that each frame of a sample still needs, (n, 2)."""
    return context.fill(np.empty((len(moved), 2)), lambda some: refiner.rigid(moved[some]))


def _coarse(flat: NDArray[np.float32], template: Template) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlate frames at the coarse resolution: displacement (n, 2) in their own pixels, and how well they match."""
    coarse = _coarsen(flat, template.coarse_factor, template.diameter)
    displacement, scores = displacements(
        spectra_of(coarse), template.weights, template.coarse_shape, template.max_shift
    )
    return displacement * template.coarse_factor, scores


def _local(flat: NDArray[np.float32], displacement: NDArray[np.float64], template: Template) -> NDArray[np.float32]:
    """Estimate the shift of every patch, in pixels of the frames given, starting from that of the frame."""
    patches = template.patches
    if patches is None:
        raise ValueError("the template has no patches")
    whole = _everywhere(-displacement, patches)
    if not patches.trust:
        return whole.astype(np.float32)
    deviation = np.zeros(whole.shape)
    for _ in range(_LOCAL_ROUNDS):
        total = (whole + deviation).astype(np.float32)
        moved = _warped(flat, total, patches)
        deviation += patches.deviations(template.refiner, moved)
        np.clip(deviation, -template.max_deviation, template.max_deviation, out=deviation)
        whole += template.refiner.rigid(moved)[:, None]
    return (whole + deviation).astype(np.float32)


def _warped(flat: NDArray[np.float32], shifts: NDArray[np.float32], patches: Patches) -> NDArray[np.float32]:
    """Move every patch of frames by a shift of its own."""
    return np.stack([warp_frame(frame, shift, patches.grid) for frame, shift in zip(flat, shifts, strict=True)])


def _everywhere(shifts: NDArray[Any], patches: Patches) -> NDArray[Any]:
    """Give every patch the shift of its frame: (n, patch, 2)."""
    return np.repeat(shifts[:, None], len(patches.nearness), axis=1)
