"""The ring model of one-photon background: what a pixel's far neighbours predict is not a cell's.

Light from above and below the focal plane is smooth over a cell's width, so the background at a pixel is a weighted
sum of the residual on a ring around it, farther away than a cell reaches. It varies so slowly over the field that
both the fit and the prediction are done on a grid of half the resolution.

References
----------
Zhou et al. 2018, CNMF-E, doi:10.7554/eLife.28728.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.factors import Factors
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context

_RADIUS: Final = 1.4
"""Of the ring, in cell diameters from its centre."""
_FIT_STEPS: Final = 600
"""Time steps the weights are fitted to; background is slow, so neighbouring frames are averaged."""
_SQUARE: Final = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Coarse pixels that share their weights, (down, right)."""
_RIDGE: Final = 1e-3
"""Part of the ring's total power added to its diagonal: neighbours on a ring are nearly alike."""


@dataclass(frozen=True)
class Ring:
    """The background model of one recording."""

    mean: NDArray[np.float32]
    """Mean of the fit movie, (height, width)."""
    weights: "sp.csr_array"
    """(pixel, pixel) on the coarse grid."""
    coarse: tuple[int, int]

    def predict(self, residual: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict the background of frames without mean and units, both on the coarse grid, (n, rows, columns)."""
        low = self.weights @ residual.reshape(len(residual), -1).T
        return np.ascontiguousarray(low.T, np.float32).reshape(-1, *self.coarse)


def coarsen(frames: NDArray[np.float32], coarse: tuple[int, int]) -> NDArray[np.float32]:
    """Average frames onto the coarse grid."""
    out = np.empty((len(frames), *coarse), np.float32)
    for frame, low in zip(frames, out, strict=True):
        low[...] = cv2.resize(frame, coarse[::-1], interpolation=cv2.INTER_AREA)
    return out


def fit_ring(movie: ScratchMovie, mean: NDArray[np.float32], factors: Factors, context: Context) -> Ring:
    """Fit the ring weights of every coarse pixel to what the units leave over.

    Parameters
    ----------
    movie
        Motion-corrected movie of the fit.
    mean
        Its mean image.
    factors
        Units found so far; their part is taken out first.
    context
        Workers.
    """
    frames, height, width = movie.shape
    coarse = (max(1, height // 2), max(1, width // 2))
    step = max(1, frames // _FIT_STEPS)
    light, chunks = factors.light, movie.chunks
    firsts = np.cumsum([0, *(max(1, (part.stop - part.start) // step) for part in chunks)]).tolist()
    # Each pixel's course in one piece, and behind the last pixel's one of zeros for what is outside the field.
    shares = [
        np.zeros((coarse[0] * coarse[1] + 1, len(range(share, firsts[-1], len(_SQUARE)))), np.float32)
        for share in range(len(_SQUARE))
    ]

    def residual(index: int) -> None:
        chunk = movie.read(chunks[index])
        chunk -= mean
        light.subtract(chunk, chunks[index])
        low = coarsen(chunk, coarse)
        whole = len(low) // step
        steps = low[: whole * step].reshape(whole, step, -1).mean(1) if whole else low.reshape(1, len(low), -1).mean(1)
        for share, courses in enumerate(shares):
            some = steps[(share - firsts[index]) % len(shares) :: len(shares)]
            begin = -(-(firsts[index] - share) // len(shares))
            courses[:-1, begin : begin + len(some)] = some.T

    context.each(residual, range(len(chunks)))
    offsets = _ring_offsets(_RADIUS * factors.diameter / 2)

    def rows(y: int) -> "sp.csr_array":
        return _square_weights(shares, y, coarse, offsets)

    return Ring(mean, sp.csr_array(sp.vstack(list(context.map(rows, range(0, coarse[0], 2))))), coarse)


def ring_bytes(shape: tuple[int, int], frames: int) -> int:
    """Return what fitting the ring holds in memory, bytes: the coarse residual."""
    return 4 * (frames // max(1, frames // _FIT_STEPS) + 1) * (shape[0] // 2) * (shape[1] // 2)


def remove_background(movie: ScratchMovie, ring: Ring, factors: Factors, path: Path, context: Context) -> ScratchMovie:
    """Write the movie without its mean and its background, as the footprints and traces are fitted to it."""
    clean = ScratchMovie(path, movie.shape, movie.scale, signed=True)
    light = factors.light

    def work(part: slice) -> None:
        chunk = movie.read(part)
        chunk -= ring.mean
        residual = chunk.copy()
        light.subtract(residual, part)
        low = coarsen(residual, ring.coarse)
        del residual  # as large as the chunk
        for frame, background in zip(chunk, ring.predict(low), strict=True):
            frame -= cv2.resize(background, frame.shape[::-1], interpolation=cv2.INTER_LINEAR)
        clean.write(part.start, chunk)

    context.each(work, movie.chunks)
    return clean


def filter_footprints(rows: "sp.csr_array", ring: Ring, shape: tuple[int, int]) -> "tuple[sp.csr_array, sp.csr_array]":
    """Apply the map from a mean-free frame to the frame without background to footprints, and its transpose after it.

    The map is F = 1 − U W D with D averaging onto the coarse grid, W the ring weights and U linear interpolation.

    Parameters
    ----------
    rows
        Footprints A, (unit, pixel), C-ordered pixels.
    ring
        Fitted.
    shape
        Of a frame, px.

    Returns
    -------
    filtered : scipy.sparse.csr_array
        A Fᵀ, (unit, pixel): what is left of each footprint once the background is taken out.
    matched : scipy.sparse.csr_array
        A Fᵀ F, (unit, pixel): what a mean-free frame is multiplied by.
    """
    down = sp.csr_array(sp.kron(_axis_mean(shape[0], ring.coarse[0]), _axis_mean(shape[1], ring.coarse[1])))
    up = sp.csr_array(sp.kron(_axis_linear(ring.coarse[0], shape[0]), _axis_linear(ring.coarse[1], shape[1])))
    # From the left, so that every product is as thin as the footprints.
    filtered = sp.csr_array(rows - rows @ down.T @ ring.weights.T @ up.T)
    matched = sp.csr_array(filtered - filtered @ up @ ring.weights @ down)
    return filtered, matched


def _ring_offsets(radius: float) -> NDArray[np.int64]:
    reach = int(np.ceil(radius + 1))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(y, x)
    on = (distance >= radius - 0.5) & (distance < radius + 0.5)
    return np.stack([y[on], x[on]], 1)


def _square_weights(
    shares: list[NDArray[np.float32]], y: int, coarse: tuple[int, int], offsets: NDArray[np.int64]
) -> "sp.csr_array":
    """Fit the weights of two rows of coarse pixels: one ridge regression for each square of four.

    Neighbours have the same background. Each of the four contributes another share of the time steps, so the square
    costs what one pixel would.
    """
    height, width = coarse
    left = np.arange(0, width, 2)
    gram: NDArray[np.float64] = np.zeros((len(left), len(offsets), len(offsets)))
    target: NDArray[np.float64] = np.zeros((len(left), len(offsets), 1))
    for (down, right), share in zip(_SQUARE, shares, strict=True):
        row, column = min(y + down, height - 1), np.minimum(left + right, width - 1)
        around = share[_ring_pixels(row, column, coarse, offsets)]
        gram += around @ around.transpose(0, 2, 1)
        target += around @ share[row * width + column][:, :, None]
    diagonal = np.arange(len(offsets))
    power = np.trace(gram, axis1=1, axis2=2)
    gram[:, diagonal, diagonal] += (_RIDGE * power + np.finfo(np.float32).tiny)[:, None]
    weights = np.linalg.solve(gram, target)[..., 0].astype(np.float32)
    parts = []
    for row in range(y, min(y + 2, height)):
        pixels = _ring_pixels(row, np.arange(width), coarse, offsets)
        inside = pixels < height * width
        starts = np.concatenate([[0], np.cumsum(inside.sum(1))]).astype(np.int32)
        values = np.repeat(weights, 2, axis=0)[:width][inside]
        parts.append(sp.csr_array((values, pixels[inside].astype(np.int32), starts), shape=(width, height * width)))
    return sp.csr_array(sp.vstack(parts))


def _ring_pixels(
    y: int, x: NDArray[np.int64], coarse: tuple[int, int], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the pixels on the ring around each pixel of a row, (pixel, ring); one past the last where outside."""
    height, width = coarse
    ring_y, ring_x = y + offsets[:, 0], x[:, None] + offsets[:, 1]
    inside = (ring_y >= 0) & (ring_y < height) & (ring_x >= 0) & (ring_x < width)
    return np.where(inside, ring_y * width + ring_x, height * width)


def _axis_mean(size: int, coarse: int) -> "sp.csr_array":
    """One axis of averaging by area, (coarse, size)."""
    edges = np.linspace(0, size, coarse + 1)
    pixel = np.arange(size)
    cover = np.minimum(pixel + 1, edges[1:, None]) - np.maximum(pixel, edges[:-1, None])
    weights = np.maximum(cover, 0)
    return sp.csr_array((weights / weights.sum(1, keepdims=True)).astype(np.float32))


def _axis_linear(coarse: int, size: int) -> "sp.csr_array":
    """One axis of linear interpolation between pixel centres, (size, coarse), edges repeated."""
    place = np.clip((np.arange(size) + 0.5) * coarse / size - 0.5, 0, coarse - 1)
    below = np.minimum(place.astype(int), max(coarse - 2, 0))
    part = place - below
    weights = np.zeros((size, coarse), np.float32)
    weights[np.arange(size), below] += 1 - part
    weights[np.arange(size), np.minimum(below + 1, coarse - 1)] += part
    return sp.csr_array(weights)
