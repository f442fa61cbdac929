"""Where units may be: local correlation and peak-to-noise of the residual, smoothed to the size of a cell.

A cell's pixels rise together and well above their noise. Both images are taken of what the units found so far leave
over, so a later look finds the neighbours that a brighter cell had covered.

References
----------
Zhou et al. 2018, CNMF-E, doi:10.7554/eLife.28728 (correlation and peak-to-noise images).
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.factors import Factors, normalised
from miniscope_core.engines.cnmfe.footprints import gaussian_footprint
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context

_SMOOTH: Final = 0.25
"""Standard deviation of the spatial smoothing, in cell diameters: narrower than a cell, to keep neighbours apart."""
_SPACING: Final = 0.35
"""Least distance between two seeds of one look, in cell diameters."""
_ACTIVE: Final = 3.0
"""Noise deviations above which a pixel counts as active; the rest is set to zero before correlating."""
_LOOKS: Final = 10
"""Pieces of the recording that level and noise of the residual are taken from."""
_ROWS: Final = 16
"""Of the field, for which they are taken at a time."""


@dataclass(frozen=True)
class SeedImages:
    """What seeds are chosen by, (height, width) of the fit."""

    correlation: NDArray[np.float32]
    pnr: NDArray[np.float32]
    level: NDArray[np.float32]
    """Median of the smoothed residual."""


class _Residual:
    """The smoothed residual of the background-free movie, chunk by chunk."""

    def __init__(self, movie: ScratchMovie, factors: Factors) -> None:
        self.movie = movie
        self.light = factors.light
        self.sigma = _SMOOTH * factors.diameter

    def read(self, part: slice) -> NDArray[np.float32]:
        """Read consecutive frames: units taken out, smoothed in space, and averaged over three frames in time.

        The first and last frame of the recording are averaged with themselves.
        """
        wide = slice(max(0, part.start - 1), min(part.stop + 1, self.movie.shape[0]))
        padded = np.empty((part.stop - part.start + 2, *self.movie.shape[1:]), np.float32)
        first = wide.start - part.start + 1
        chunk = self.movie.read(wide, out=padded[first : first + wide.stop - wide.start])
        self.light.subtract(chunk, wide)
        for frame in chunk:
            cv2.GaussianBlur(frame, (0, 0), self.sigma, dst=frame, borderType=cv2.BORDER_REFLECT)
        if wide.start == part.start:
            padded[0] = padded[1]
        if wide.stop == part.stop:
            padded[-1] = padded[-2]
        mean: NDArray[np.float32] = padded[:-2] + padded[1:-1]
        mean += padded[2:]
        mean /= np.float32(3)
        return mean


def look(movie: ScratchMovie, factors: Factors, context: Context) -> SeedImages:
    """Compute the correlation and peak-to-noise images of what the units leave over."""
    residual = _Residual(movie, factors)
    level, noise = _level_and_noise(residual, context)
    distance = max(1, round(0.3 * factors.diameter))
    offsets = ((distance, 0), (0, distance), (distance, distance), (distance, -distance))
    threshold = _ACTIVE * noise

    def work(part: slice) -> tuple[NDArray[np.float32], NDArray[np.float32], list[NDArray[np.float32]]]:
        chunk = residual.read(part)
        chunk -= level
        highest = chunk.max(0)
        chunk[chunk < threshold] = 0
        moments = np.stack([chunk.sum(0), np.einsum("tyx,tyx->yx", chunk, chunk)])
        products = []
        for offset in offsets:
            here, there = _pair(chunk.shape[1:], offset)
            products.append(np.einsum("tyx,tyx->yx", chunk[(slice(None), *here)], chunk[(slice(None), *there)]))
        return highest, moments, products

    shape = movie.shape[1:]
    peak = np.zeros(shape, np.float32)
    moments = np.zeros((2, *shape))
    products = [np.zeros(())] * len(offsets)
    for highest, part_moments, part_products in context.map(work, movie.chunks):
        np.maximum(peak, highest, out=peak)
        moments += part_moments
        products = [total + part for total, part in zip(products, part_products, strict=True)]
    mean = moments[0] / movie.shape[0]
    deviation = np.sqrt(np.maximum(moments[1] / movie.shape[0] - mean**2, 0)) + np.finfo(np.float32).tiny
    summed, count = np.zeros(shape), np.zeros(shape)
    for offset, product in zip(offsets, products, strict=True):
        here, there = _pair(shape, offset)
        corr = (product / movie.shape[0] - mean[here] * mean[there]) / (deviation[here] * deviation[there])
        for area in (here, there):
            summed[area] += corr
            count[area] += 1
    correlation = np.clip(summed / np.maximum(count, 1), 0, 1).astype(np.float32)
    return SeedImages(correlation, (peak / noise).astype(np.float32), level)


def choose(images: SeedImages, diameter: float, min_corr: float, min_pnr: float) -> NDArray[np.int64]:
    """Choose seeds, best first: local maxima of correlation × peak-to-noise above both thresholds; (seed, yx)."""
    score = images.correlation * images.pnr
    size = 2 * max(1, int(_SPACING * diameter)) + 1
    highest = cv2.dilate(score, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    found = np.argwhere((score >= highest) & (images.correlation > min_corr) & (images.pnr > min_pnr))
    order = np.argsort(-score[found[:, 0], found[:, 1]], kind="stable")
    return found[order].astype(np.int64)


def plant(
    seeds: NDArray[np.int64], images: SeedImages, factors: Factors, movie: ScratchMovie, context: Context
) -> Factors:
    """Add a unit at every seed: a Gaussian footprint and the residual's trace at the pixel."""
    if not len(seeds):
        return factors
    residual = _Residual(movie, factors)
    rows, columns = seeds.T

    def work(part: slice) -> NDArray[np.float32]:
        values = residual.read(part)[:, rows, columns] - images.level[rows, columns]
        return np.ascontiguousarray(values.T, np.float32)

    traces = np.maximum(np.concatenate(list(context.map(work, movie.chunks)), axis=1), 0)
    added = [gaussian_footprint(int(y), int(x), factors.shape, factors.diameter) for y, x in seeds]
    return factors.extended(normalised(added, traces, factors.footprints))


def _level_and_noise(residual: _Residual, context: Context) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Take median and noise of every pixel from a few pieces spread over the recording."""
    frames, height, _ = residual.movie.shape
    length = min(40, -(-frames // _LOOKS))
    # Three-frame means share two of three frames with the next but none with the third after.
    lag = min(3, length - 1)

    def piece(start: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        seen = residual.read(slice(start, start + length))
        # Frames that follow each other are nearly the same: every fourth says as much.
        return seen[::4].copy(), np.mean((seen[lag:] - seen[:-lag]) ** 2, axis=0)

    starts = sorted({int(start) for start in np.linspace(0, frames - length, _LOOKS)})
    seen, squares = zip(*context.map(piece, starts), strict=True)

    def medians(top: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        rows = slice(top, top + _ROWS)
        level = np.median(np.concatenate([part[:, rows] for part in seen]), axis=0)
        return level, np.sqrt(np.median([square[rows] for square in squares], axis=0) / 2)

    bands = zip(*context.map(medians, range(0, height, _ROWS)), strict=True)
    level, noise = (np.concatenate(band).astype(np.float32) for band in bands)
    floor = 1e-3 * float(noise.mean()) + np.finfo(np.float32).tiny
    return level, np.maximum(noise, floor).astype(np.float32)


def _pair(shape: tuple[int, ...], offset: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index a field and the same field moved by an offset, where both exist."""
    (height, width), (dy, dx) = shape, offset
    here = (slice(0, max(height - dy, 0)), slice(max(0, -dx), max(width - max(0, dx), 0)))
    there = (slice(dy, height), slice(max(0, dx), max(width - max(0, -dx), 0)))
    return here, there
