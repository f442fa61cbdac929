"""Rigid motion: shifts of frames against a template, weighted frequency by frequency, then refined.

A frame is a shifted template plus noise plus whatever the cells do. The likeliest shift then maximises the
cross-correlation with every spatial frequency weighted by the inverse of the power that is *not* explained by the
template (sensor noise and cell activity). That power is measured on a sample of the recording itself, so the
band-pass fits the recording and nobody has to choose one. This finds the shift to a few tenths of a pixel on frames of
half the resolution; :mod:`miniscope_core.engines.cnmfe.refine` does the rest.

References
----------
Knapp & Carter 1976, generalised cross-correlation, doi:10.1109/TASSP.1976.1162830.
Pnevmatikakis & Giovannucci 2017, NoRMCorre, doi:10.1016/j.jneumeth.2017.07.031.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.pattern import (
    Pattern,
    fit_pattern,
    gains,
    held_back,
    no_pattern,
    released,
    sharp_pattern,
    taper,
)
from miniscope_core.engines.cnmfe.piecewise import Patches, learn_patches, warp_frame
from miniscope_core.engines.cnmfe.refine import Refiner, learn_refiner

_SURROUND: Final = 0.6
"""Blur taken away before alignment, in cell diameters: wider keeps more to hold on to, narrower less of the vignette.
Errors of 0.25, 0.4, 0.6 and 1.0 on one simulated recording: 0.24, 0.21, 0.20 and 0.20 px."""
RUN_FRAMES: Final = 25
"""Frames of a sample that follow each other: OpenCV decodes some twenty frames for every seek."""
_PATTERN_ROUNDS: Final = 2
"""A third takes more of the brain for pattern: errors with stripes 0.29 and 0.36 px, with a lens rim 0.28 and 0.25."""
_WIDE_PX: Final = 3.0
_NARROW_SURROUND: Final = 0.25
"""The same for the correlation that finds the first shift. On a field of 104×136 px 0.6 left an error of 0.8 px."""
_ROUNDS: Final = 4
"""Alignments of the sample to its own mean; the shifts settle after three or four."""
_LEAST_MATCH: Final = 5.0
"""Peak of the correlation over its root mean square. Pure noise gives 3 to 4, recordings with anything to see 7 on."""
_CLEARLY: Final = 1.3
"""How much higher a peak beyond the largest shift must be than those within it; in noise they are 1.0 to 1.4."""
_LEAST_BEYOND: Final = 4.0
"""Least peak over its root mean square of a frame out of reach: part of it lies outside the template. Frames displaced
by a third of the field give 4.2 to 5.3."""
_NOISE_CAUTION: Final = 4.0
_NEWTON_STEPS: Final = 2
_SOME_FRAMES: Final = 64
_REFINEMENTS: Final = 2
"""Times the sample is aligned by what was learnt from it; a third changes 0.002 px."""
_LOCAL_ROUNDS: Final = 3
"""Times a frame is warped and looked at again: each look sees about a pixel far."""
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


def flatten(frames: NDArray[Any], bin_factor: int, surround_px: float) -> NDArray[np.float32]:
    """Bin frames, take away what is smooth and even out the shot noise.

    Vignette and stray light stay where the lens is while the brain moves; taking away a blurred copy leaves what
    moves. Dividing by the root of that copy makes shot noise even over the field.

    Parameters
    ----------
    frames
        (n, height, width), raw.
    bin_factor
        Pixels averaged along each axis.
    surround_px
        Standard deviation of the blur, in binned pixels.

    Returns
    -------
    ndarray
        (n, height // bin_factor, width // bin_factor).
    """
    height, width = (size // bin_factor for size in frames.shape[1:])
    flat = np.empty((len(frames), height, width), np.float32)
    for frame, out in zip(frames, flat, strict=True):
        small = bin_frame(frame.astype(np.float32), bin_factor)
        smooth = _smooth(small, surround_px)
        out[...] = (small - smooth) / _shot_noise(smooth)
    return flat


def bin_frame(frame: NDArray[np.float32], bin_factor: int) -> NDArray[np.float32]:
    """Average squares of ``bin_factor`` pixels; rows and columns that do not fill a square are left out."""
    if bin_factor == 1:
        return frame
    height, width = (size // bin_factor for size in frame.shape)
    frame = frame[: height * bin_factor, : width * bin_factor]
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def learn_template(flat: NDArray[np.float32], bin_factor: int, diameter: float, max_shift_px: int) -> Template:
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

    Returns
    -------
    Template
    """
    factor = 2 if min(flat.shape[1:]) >= 2 * _LEAST_COARSE_PX else 1
    coarse = _coarsen(flat, factor, diameter)
    shape = coarse.shape[1:]
    limit = max(0, min(-(-max_shift_px // (bin_factor * factor)), (min(shape) - 1) // 2 - 1))
    aligned = _align(coarse, limit)
    beyond = aligned.beyond
    if RUN_FRAMES <= np.count_nonzero(beyond == 0) < len(flat):
        near, aligned = _to_front(flat, beyond == 0), aligned.within_reach()
    else:
        near = flat
    pattern = no_pattern(flat.shape[1:])
    if limit and held_back(gains(near, aligned.displacement * factor, pattern, diameter)):
        pattern, displacement = _learn_pattern(near, factor, limit, diameter)
        for frame in flat:
            frame[...] = pattern.remove(frame)
        aligned = _align(_coarsen(near, factor, diameter), limit, displacement / factor)
    displacement, scores = aligned.displacement * factor, aligned.scores
    median = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - median)))
    least = median - _SCORE_MADS * max(spread, 0.05 * abs(median))
    if median < _LEAST_MATCH:  # nothing to hold on to: shifts would be noise, and moving frames by them does harm
        limit, least = 0, -np.inf
        displacement[:] = 0
    good = scores >= least
    near, displacement = _to_front(near, good), displacement[good]
    refiner = learn_refiner(_moved_back(near, displacement), diameter)
    for _ in range(_REFINEMENTS if limit else 0):
        displacement -= refiner.rigid(_moved_back(near, displacement))
        displacement -= np.median(displacement, axis=0)
        refiner = learn_refiner(_moved_back(near, displacement), diameter)
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
    )


def learn_local(template: Template, flat: NDArray[np.float32], patch_px: float, max_deviation_px: float) -> Template:
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
    """
    if template.max_shift == 0:
        return template
    displacement, scores = _coarse(flat, template)
    flat = _to_front(flat, scores >= template.least_score)
    displacement = displacement[scores >= template.least_score]
    displacement -= template.refiner.rigid(_moved_back(flat, displacement))
    patches = learn_patches(template.refiner, _moved_back(flat, displacement), patch_px / template.bin_factor)
    local = replace(template, patches=patches, max_deviation=max_deviation_px / template.bin_factor)
    for _ in range(_LOCAL_ROUNDS if patches.trust else 0):
        shifts = _local(flat, displacement, local)
        moved = np.stack([warp_frame(f, s, patches.grid) for f, s in zip(flat, shifts, strict=True)])
        local = replace(local, refiner=learn_refiner(moved, template.diameter))
    return replace(local, image=local.refiner.image)


def surround(diameter: float) -> float:
    """Return the blur that :func:`flatten` takes away, for cells of a diameter in the same pixels."""
    return _SURROUND * diameter


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
    flat = template.pattern.remove(flatten(frames, template.bin_factor, template.surround_px))
    displacement, scores = _coarse(flat, template)
    displacement -= template.refiner.rigid(_moved_back(flat, displacement))
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
    brain = small - template.pattern.image * _shot_noise(_smooth(small, template.surround_px))
    height, width = (size * template.bin_factor for size in brain.shape)
    fixed = np.zeros_like(mean)
    fixed[:height, :width] = mean[:height, :width] - cv2.resize(brain, (width, height), interpolation=cv2.INTER_CUBIC)
    return fixed


def shift_frame(frame: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move a frame by (dy, dx) pixels, bilinear; what comes in over the edge repeats the edge."""
    if not shift.any():
        return frame
    matrix = np.array([[1, 0, shift[1]], [0, 1, shift[0]]], np.float32)
    moved = cv2.warpAffine(frame, matrix, frame.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


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


def _smooth(frame: NDArray[np.float32], surround_px: float) -> NDArray[np.float32]:
    """Blur a frame; a wide blur at half the resolution, where it costs a fourth and looks the same."""
    if surround_px < _WIDE_PX or min(frame.shape) < 4 * surround_px:
        return np.asarray(cv2.GaussianBlur(frame, (0, 0), surround_px, borderType=cv2.BORDER_REFLECT), np.float32)
    height, width = frame.shape
    small = cv2.resize(frame, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), surround_px / 2, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _shot_noise(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the deviation of shot noise around a level, up to a factor."""
    return np.sqrt(np.maximum(smooth, 1))


@dataclass(frozen=True)
class _Aligned:
    """Coarse frames aligned to their own mean."""

    displacement: NDArray[np.float64]
    scores: NDArray[np.float64]
    """How well each matches."""
    weights: NDArray[np.complex64]
    beyond: NDArray[np.int64]
    """(frame,): how far away a frame is that is out of reach; zero for the others."""

    def within_reach(self) -> "_Aligned":
        """Leave out the frames that are out of reach."""
        near = self.beyond == 0
        return _Aligned(self.displacement[near], self.scores[near], self.weights, self.beyond[near])


def _align(coarse: NDArray[np.float32], limit: int, start: NDArray[np.float64] | None = None) -> _Aligned:
    """Align frames to their own mean by correlation.

    Without displacements to start from, the first thing to align to is a short run of frames: the mean of all shows a
    recording that jumps twice, and every frame finds itself in it. That run may lie at one end of the motion.
    """
    shape = coarse.shape[1:]
    displacement = np.zeros((len(coarse), 2)) if start is None else start.copy()
    near, scores, weights = np.ones(len(coarse), bool), np.zeros(len(coarse)), np.zeros(0, np.complex64)
    for step in range(_ROUNDS if start is None else 1):
        spectra = _spectra(_moved_back(coarse, displacement))
        reach = limit
        if start is None and step == 0:
            reach = max(limit, min(2 * limit, (min(shape) - 1) // 2 - 1))
            weights = _weights(spectra[_steadiest(spectra)])
            near = _beyond(spectra, weights, shape, reach, 0.0) == 0
        else:
            weights = _weights(spectra[near])
        moved, scores = _displacements(spectra, weights, shape, reach)
        displacement += moved
        displacement -= np.median(displacement[near] if near.any() else displacement, axis=0)
        near &= np.abs(displacement).max(1) <= limit + 1
        near |= not near.any()
        np.clip(displacement, -limit, limit, out=displacement)
    return _Aligned(displacement, scores, weights, _beyond(_spectra(coarse), weights, shape, limit, _LEAST_BEYOND))


def _weights(spectra: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Weight every frequency of the mean of frames by the inverse of the power that is not explained by it."""
    mean = spectra.mean(0)
    power = np.mean(np.abs(spectra - mean) ** 2, axis=0)
    floor = 1e-3 * float(power.mean()) + np.finfo(np.float32).tiny
    # The mean of n frames keeps 1/n of their noise; what is mostly that noise must not be matched against.
    kept = np.maximum(1 - _NOISE_CAUTION * power / (len(spectra) * np.abs(mean) ** 2 + floor), 0)
    weights: NDArray[np.complex64] = (kept * np.conj(mean) / (power + floor)).astype(np.complex64)
    weights[0, 0] = 0
    return weights


def _steadiest(spectra: NDArray[np.complex64]) -> slice:
    """Choose the run of frames whose first half is most like its second: without a jump, and with something to see."""
    runs = [slice(start, start + RUN_FRAMES) for start in range(0, len(spectra) - RUN_FRAMES + 1, RUN_FRAMES)]

    def alike(run: slice) -> float:
        middle = (run.start + run.stop) // 2
        one, other = spectra[run.start : middle].mean(0), spectra[middle : run.stop].mean(0)
        norms = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(np.vdot(one, other).real) / norms if norms > 0 else 0.0

    return max(runs, key=alike, default=slice(0, len(spectra)))


def _learn_pattern(
    flat: NDArray[np.float32], factor: int, limit: int, diameter: float
) -> tuple[Pattern, NDArray[np.float64]]:
    """Learn what holds the frames back, and where they are without it."""
    mean = flat.mean(0)
    pattern = sharp_pattern(mean)
    displacement = np.zeros((len(flat), 2))
    for _ in range(_PATTERN_ROUNDS):
        displacement = _align(_coarsen(flat, factor, diameter, pattern), limit).displacement * factor
        gain = gains(flat, displacement, pattern, diameter)
        if not held_back(gain):
            break
        displacement = released(displacement, gain)
        pattern = fit_pattern(mean, _moved_back(flat, displacement).mean(0), displacement)
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
        frame -= _smooth(frame, _NARROW_SURROUND * diameter / factor)
    return coarse


def _coarse(flat: NDArray[np.float32], template: Template) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlate frames at the coarse resolution: displacement (n, 2) in their own pixels, and how well they match."""
    coarse = _coarsen(flat, template.coarse_factor, template.diameter)
    displacement, scores = _displacements(_spectra(coarse), template.weights, template.coarse_shape, template.max_shift)
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
        moved = np.stack([warp_frame(frame, shift, patches.grid) for frame, shift in zip(flat, total, strict=True)])
        deviation += patches.deviations(template.refiner, moved)
        np.clip(deviation, -template.max_deviation, template.max_deviation, out=deviation)
        whole += template.refiner.rigid(moved)[:, None]
    return (whole + deviation).astype(np.float32)


def _everywhere(shifts: NDArray[Any], patches: Patches) -> NDArray[Any]:
    """Give every patch the shift of its frame: (n, patch, 2)."""
    return np.repeat(shifts[:, None], len(patches.nearness), axis=1)


def _moved_back(flat: NDArray[np.float32], displacement: NDArray[np.float64]) -> NDArray[np.float32]:
    """Undo a displacement of each frame, in its own pixels."""
    moved = np.empty_like(flat)
    for frame, shift, out in zip(flat, -displacement.astype(np.float32), moved, strict=True):
        out[...] = shift_frame(frame, shift)
    return moved


def _spectra(flat: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Taper the edges of frames and transform."""
    window = np.outer(taper(flat.shape[1]), taper(flat.shape[2])).astype(np.float32)
    spectra: NDArray[np.complex64] = scipy.fft.rfft2(flat * window)
    return spectra


def _displacements(
    spectra: NDArray[np.complex64], weights: NDArray[np.complex64], shape: tuple[int, ...], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find where the weighted cross-correlation of each frame peaks: (n, 2) in pixels, and its height over its rms."""
    if limit == 0:
        return np.zeros((len(spectra), 2)), np.ones(len(spectra))
    peaks, heights = zip(*(_peaks(part, weights, shape, limit) for part in _some(spectra)), strict=True)
    return np.concatenate(peaks), np.concatenate(heights)


def _peaks(
    spectra: NDArray[np.complex64], weights: NDArray[np.complex64], shape: tuple[int, ...], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Do the same for frames few enough to hold their correlations."""
    cross = spectra * weights
    surface = scipy.fft.irfft2(cross, s=shape)
    offsets = np.arange(-limit, limit + 1)
    near = surface[:, offsets[:, None] % shape[0], offsets[None] % shape[1]].reshape(len(surface), -1)
    row, column = np.divmod(near.argmax(1), len(offsets))
    start = np.stack([offsets[row], offsets[column]], 1).astype(np.float64)
    peak, height = _climb(cross, start, shape)
    power = np.einsum("nyx,nyx->n", surface, surface) / np.prod(shape)
    return peak, height / (np.sqrt(power) + np.finfo(np.float32).tiny)


def _beyond(
    spectra: NDArray[np.complex64], weights: NDArray[np.complex64], shape: tuple[int, ...], limit: int, least: float
) -> NDArray[np.int64]:
    """Find frames whose correlation peaks clearly higher beyond the limit: by how many pixels, zero for the others.

    The peak must also be ``least`` times the root mean square of the correlation.
    """
    if limit == 0:
        return np.zeros(len(spectra), np.int64)
    away = [np.minimum(np.arange(size), size - np.arange(size)) for size in shape]
    distance = np.maximum(away[0][:, None], away[1]).ravel()
    found = []
    for part in _some(spectra):
        flat = scipy.fft.irfft2(part * weights, s=shape).reshape(len(part), -1)
        place = flat.argmax(1)
        highest, near = flat.max(1), flat[:, distance <= limit].max(1)
        clear = (highest > _CLEARLY * near) & (highest > least * np.sqrt(np.mean(flat**2, axis=1)))
        found.append(np.where(clear & (distance[place] > limit), distance[place], 0))
    return np.concatenate(found)


def _some(spectra: NDArray[np.complex64]) -> list[NDArray[np.complex64]]:
    """Cut the spectra of a sample into pieces of some frames, whose correlations are few enough to hold."""
    return [spectra[start : start + _SOME_FRAMES] for start in range(0, max(1, len(spectra)), _SOME_FRAMES)]


def _climb(
    cross: NDArray[np.complex64], start: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Climb from the best whole pixel to the peak of the trigonometric interpolant, by Newton steps."""
    height, width = shape
    ky = 2 * np.pi * scipy.fft.fftfreq(height)
    kx = 2 * np.pi * scipy.fft.rfftfreq(width)
    twice = np.full(len(kx), 2.0)
    twice[0] = 1
    if width % 2 == 0:
        twice[-1] = 1
    peak = start.copy()
    value = np.zeros(len(start))
    for step in range(_NEWTON_STEPS + 1):
        wave_y = np.exp(1j * ky * peak[:, :1])
        wave_x = np.exp(1j * kx * peak[:, 1:]) * twice
        rows = np.stack([wave_y, 1j * ky * wave_y, -(ky**2) * wave_y], 1).astype(np.complex64)
        columns = np.stack([wave_x, 1j * kx * wave_x, -(kx**2) * wave_x], 2).astype(np.complex64)
        moments = (rows @ cross @ columns).real.astype(np.float64)
        value = moments[:, 0, 0] / (height * width)
        if step == _NEWTON_STEPS:
            break
        gradient = np.stack([moments[:, 1, 0], moments[:, 0, 1]], 1)
        yy, xx, xy = moments[:, 2, 0], moments[:, 0, 2], moments[:, 1, 1]
        determinant = yy * xx - xy**2
        usable = (determinant > 0) & (yy < 0)
        safe = np.where(usable, determinant, 1)
        move = -np.stack([xx * gradient[:, 0] - xy * gradient[:, 1], yy * gradient[:, 1] - xy * gradient[:, 0]], 1)
        peak += np.where(usable[:, None], np.clip(move / safe[:, None], -0.5, 0.5), 0)
    # Beyond one pixel the climb has left its hill: the whole pixel is the better answer.
    return np.where(np.abs(peak - start).max(1, keepdims=True) > 1, start, peak), value
