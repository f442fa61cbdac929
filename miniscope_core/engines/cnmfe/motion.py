"""Rigid motion: sub-pixel shifts of frames against a template, weighted frequency by frequency.

A frame is a shifted template plus noise plus whatever the cells do. The likeliest shift then maximises the
cross-correlation with every spatial frequency weighted by the inverse of the power that is *not* explained by the
template (sensor noise and cell activity). That power is measured on a sample of the recording itself, so the
band-pass fits the recording and nobody has to choose one.

References
----------
Knapp & Carter 1976, generalised cross-correlation, doi:10.1109/TASSP.1976.1162830.
Pnevmatikakis & Giovannucci 2017, NoRMCorre, doi:10.1016/j.jneumeth.2017.07.031.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

_ROUNDS: Final = 4
"""Alignments of the sample to its own mean; the shifts settle after three or four."""
_LEAST_MATCH: Final = 5.0
"""Peak of the correlation over its root mean square. Pure noise gives 3 to 4, recordings with anything to see 7 on."""
_NOISE_CAUTION: Final = 4.0
_NEWTON_STEPS: Final = 3
_SECOND_LOOK: Final = 2
_SCORE_MADS: Final = 8.0
"""A frame whose match to the template lies this many deviations below the sample's median is corrupt, not moved."""


@dataclass(frozen=True)
class Template:
    """What frames are aligned to."""

    weights: NDArray[np.complex64]
    """Conjugate spectrum over noise power, (height, width // 2 + 1), of a flattened, tapered frame."""
    image: NDArray[np.float32]
    """The aligned mean of the flattened sample, (height, width)."""
    bin_factor: int
    """Pixels of the recording per pixel of the template."""
    max_shift: int
    """Largest shift searched for, in pixels of the template; 0 where the recording has nothing to align to."""
    surround_px: float
    least_score: float
    """Frames that match worse than this are outliers."""


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
        smooth = cv2.GaussianBlur(small, (0, 0), surround_px, borderType=cv2.BORDER_REFLECT)
        out[...] = (small - smooth) / np.sqrt(np.maximum(smooth, 1))
    return flat


def bin_frame(frame: NDArray[np.float32], bin_factor: int) -> NDArray[np.float32]:
    """Average squares of ``bin_factor`` pixels; rows and columns that do not fill a square are left out."""
    if bin_factor == 1:
        return frame
    height, width = (size // bin_factor for size in frame.shape)
    frame = frame[: height * bin_factor, : width * bin_factor]
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def learn_template(sample: NDArray[Any], bin_factor: int, surround_px: float, max_shift_px: int) -> Template:
    """Align a sample of frames to its own mean, again and again, and learn which frequencies to trust.

    Parameters
    ----------
    sample
        (n, height, width) raw frames, spread over the recording.
    bin_factor, surround_px
        As for :func:`flatten`.
    max_shift_px
        Largest shift, in pixels of the recording.

    Returns
    -------
    Template
    """
    flat = flatten(sample, bin_factor, surround_px)
    shape = flat.shape[1:]
    limit = max(0, min(-(-max_shift_px // bin_factor), (min(shape) - 1) // 2 - 1))
    displacement = np.zeros((len(sample), 2))
    scores = np.zeros(len(sample))
    for _ in range(_ROUNDS):
        spectra = _spectra(flat, displacement)
        mean = spectra.mean(0)
        power = np.mean(np.abs(spectra - mean) ** 2, axis=0)
        floor = 1e-3 * float(power.mean()) + np.finfo(np.float32).tiny
        # The mean of n frames keeps 1/n of their noise; what is mostly that noise must not be matched against.
        kept = np.maximum(1 - _NOISE_CAUTION * power / (len(sample) * np.abs(mean) ** 2 + floor), 0)
        weights = (kept * np.conj(mean) / (power + floor)).astype(np.complex64)
        weights[0, 0] = 0
        image = scipy.fft.irfft2(mean, s=shape).astype(np.float32)
        template = Template(weights, image, bin_factor, limit, surround_px, -np.inf)
        moved, scores = _displacements(spectra, template, limit)
        displacement += moved
        displacement -= np.median(displacement, axis=0)
        np.clip(displacement, -limit, limit, out=displacement)
    median = float(np.median(scores))
    spread = 1.4826 * float(np.median(np.abs(scores - median)))
    least = median - _SCORE_MADS * max(spread, 0.05 * abs(median))
    if median < _LEAST_MATCH:  # nothing to hold on to: shifts would be noise, and moving frames by them does harm
        return replace(template, max_shift=0)
    return replace(template, least_score=least)


def estimate_shifts(frames: NDArray[Any], template: Template) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Estimate the correction that aligns each frame to the template.

    Parameters
    ----------
    frames
        (n, height, width), raw.
    template
        Of the same recording.

    Returns
    -------
    shifts : ndarray
        (n, 2) as (dy, dx), pixels of the recording, the correction to apply.
    matched : ndarray
        (n,); False where a frame matches so badly that its shift says nothing.
    """
    if template.max_shift == 0:
        return np.zeros((len(frames), 2), np.float32), np.ones(len(frames), bool)
    flat = flatten(frames, template.bin_factor, template.surround_px)
    displacement = np.zeros((len(frames), 2))
    score = np.zeros(len(frames))
    # The taper stays with the sensor and pulls a shift towards zero by a few per cent; the second look, at the frame
    # already moved back, has next to nothing left to pull.
    for limit in (template.max_shift, min(template.max_shift, _SECOND_LOOK)):
        moved, score = _displacements(_spectra(flat, displacement), template, limit)
        displacement += moved
    np.clip(displacement, -template.max_shift, template.max_shift, out=displacement)
    return (-displacement * template.bin_factor).astype(np.float32), score >= template.least_score


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


def _spectra(flat: NDArray[np.float32], displacement: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Move frames back by their displacement, taper the edges, and transform."""
    window = np.outer(_taper(flat.shape[1]), _taper(flat.shape[2])).astype(np.float32)
    tapered = np.empty_like(flat)
    for frame, moved, out in zip(flat, displacement.astype(np.float32), tapered, strict=True):
        np.multiply(shift_frame(frame, -moved), window, out=out)
    spectra: NDArray[np.complex64] = scipy.fft.rfft2(tapered)
    return spectra


def _displacements(
    spectra: NDArray[np.complex64], template: Template, limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find where the weighted cross-correlation of each frame peaks: (n, 2) in template pixels, and its height."""
    shape = template.image.shape
    if limit == 0:
        return np.zeros((len(spectra), 2)), np.ones(len(spectra))
    cross = spectra * template.weights
    surface = scipy.fft.irfft2(cross, s=shape)
    offsets = np.arange(-limit, limit + 1)
    near = surface[:, offsets[:, None] % shape[0], offsets[None] % shape[1]].reshape(len(surface), -1)
    row, column = np.divmod(near.argmax(1), len(offsets))
    start = np.stack([offsets[row], offsets[column]], 1).astype(np.float64)
    peak, height = _refine(cross, start, shape)
    power = np.einsum("nyx,nyx->n", surface, surface) / np.prod(shape)
    return peak, height / (np.sqrt(power) + np.finfo(np.float32).tiny)


def _refine(
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


def _taper(size: int) -> NDArray[np.float64]:
    """Cosine ramps over a sixteenth of the length at both ends."""
    ramp = max(2, size // 16)
    edge = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / ramp
    ramps: NDArray[np.float64] = 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1))
    return ramps
