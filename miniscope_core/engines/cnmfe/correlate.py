"""Shifts by correlation: where a frame matches a template best, each spatial frequency weighted by its trust.

A recording gives its own weights: power that the mean of its aligned frames does not explain is noise and cells.

References
----------
Knapp & Carter 1976, generalised cross-correlation, doi:10.1109/TASSP.1976.1162830.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.frames import moved_back
from miniscope_core.engines.cnmfe.parallel import Context, pieces
from miniscope_core.engines.cnmfe.pattern import taper

RUN_FRAMES: Final = 25
"""Frames of a sample that follow each other: OpenCV decodes some twenty frames for every seek."""
_ROUNDS: Final = 4
"""Alignments of the sample to its own mean; the shifts settle after three or four."""
_CLEARLY: Final = 1.3
"""How much higher a peak beyond the largest shift must be than those within it; in noise they are 1.0 to 1.4."""
_LEAST_BEYOND: Final = 4.0
"""Least peak over its root mean square of a frame out of reach: part of it lies outside the template. Frames displaced
by a third of the field give 4.2 to 5.3."""
_NOISE_CAUTION: Final = 4.0
_NEWTON_STEPS: Final = 2


@dataclass(frozen=True)
class Aligned:
    """Coarse frames aligned to their own mean."""

    displacement: NDArray[np.float64]
    scores: NDArray[np.float64]
    """How well each matches."""
    weights: NDArray[np.complex64]
    beyond: NDArray[np.int64]
    """(frame,): how far away a frame is that is out of reach; zero for the others."""

    def within_reach(self) -> "Aligned":
        """Leave out the frames that are out of reach."""
        near = self.beyond == 0
        return Aligned(self.displacement[near], self.scores[near], self.weights, self.beyond[near])


def align(
    coarse: NDArray[np.float32], limit: int, context: Context, start: NDArray[np.float64] | None = None
) -> Aligned:
    """Align frames to their own mean by correlation.

    Without displacements to start from, the first thing to align to is a short run of frames: the mean of all shows a
    recording that jumps twice, and every frame finds itself in it. That run may lie at one end of the motion.
    """
    shape = coarse.shape[1:]
    displacement = np.zeros((len(coarse), 2)) if start is None else start.copy()
    near, scores, weights = np.ones(len(coarse), bool), np.zeros(len(coarse)), np.zeros(0, np.complex64)
    spectra = np.empty((len(coarse), shape[0], shape[1] // 2 + 1), np.complex64)

    def transformed(some: slice) -> NDArray[np.complex64]:
        return spectra_of(moved_back(coarse[some], displacement[some]))

    def beyond(reach: int, least: float) -> NDArray[np.int64]:
        found = np.empty(len(coarse), np.int64)
        return context.fill(found, lambda some: _beyond(spectra[some], weights, shape, reach, least))

    for step in range(_ROUNDS if start is None else 1):
        context.fill(spectra, transformed)
        reach = limit
        if start is None and step == 0:
            reach = max(limit, min(2 * limit, (min(shape) - 1) // 2 - 1))
            weights = _weights(spectra[_steadiest(spectra)])
            near = beyond(reach, 0.0) == 0
        else:
            weights = _weights(spectra[near])
        moved, scores = _displacements(spectra, weights, shape, reach, context)
        displacement += moved
        displacement -= np.median(displacement[near] if near.any() else displacement, axis=0)
        near &= np.abs(displacement).max(1) <= limit + 1
        near |= not near.any()
        np.clip(displacement, -limit, limit, out=displacement)
    context.fill(spectra, lambda some: spectra_of(coarse[some]))
    return Aligned(displacement, scores, weights, beyond(limit, _LEAST_BEYOND))


def _displacements(
    spectra: NDArray[np.complex64], weights: NDArray[np.complex64], shape: tuple[int, ...], limit: int, context: Context
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Do what :func:`displacements` does for a whole sample."""
    found = context.map(lambda some: displacements(spectra[some], weights, shape, limit), pieces(len(spectra)))
    peaks, heights = zip(*found, strict=True)
    return np.concatenate(peaks), np.concatenate(heights)


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


def spectra_of(flat: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Taper the edges of frames and transform."""
    window = np.outer(taper(flat.shape[1]), taper(flat.shape[2])).astype(np.float32)
    spectra: NDArray[np.complex64] = scipy.fft.rfft2(flat * window)
    return spectra


def displacements(
    spectra: NDArray[np.complex64], weights: NDArray[np.complex64], shape: tuple[int, ...], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find where the weighted cross-correlation of each frame peaks: (n, 2) in pixels, and its height over its rms.

    Of frames few enough to hold their correlations.
    """
    if limit == 0:
        return np.zeros((len(spectra), 2)), np.ones(len(spectra))
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
    flat = scipy.fft.irfft2(spectra * weights, s=shape).reshape(len(spectra), -1)
    place = flat.argmax(1)
    highest, near = flat.max(1), flat[:, distance <= limit].max(1)
    clear = (highest > _CLEARLY * near) & (highest > least * np.sqrt(np.mean(flat**2, axis=1)))
    return np.where(clear & (distance[place] > limit), distance[place], 0)


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
