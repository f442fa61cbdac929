"""Constrained factorisation of the movie into footprints and traces, by tiles of the field and chunks of time.

The movie is only ever multiplied: by traces over time (for the footprints) and by footprints over space (for the
traces). Both products are sums over chunks of frames and are taken tile by tile of the field with the few units
that touch the tile, so work grows with the area and memory with neither the area nor the length.

References
----------
Cichocki & Phan 2009, hierarchical alternating least squares, doi:10.1587/transfun.E92.A.708.
Zhou et al. 2018, CNMF-E, doi:10.7554/eLife.28728.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.deconvolve import noise_of
from miniscope_core.engines.cnmfe.footprints import Footprint, combine, support, tidy, to_sparse
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context

_TILE_PX: Final = 24
_SWEEPS: Final = 6
RIDGE: Final = 1e-4
"""Part of a unit's own power added to the diagonal, so that two nearly equal footprints stay solvable."""
_SOLVED_FRAMES: Final = 512
_SOME_ROWS: Final = 64
_LOW: Final = 20.0
"""Percentile of a trace taken for its baseline: a cell is silent most of the time."""
_EVENT_NOISES: Final = 3.0
"""Noise deviations of a trace above which it tells of its cell's shape."""
_MERGE_OVERLAP: Final = 0.3
"""Least cosine between footprints that may be one cell."""

Tiles = list[tuple[slice, slice]]


@dataclass(frozen=True)
class TileUnits:
    """The units that touch one tile, and their weights in it."""

    units: NDArray[np.int64]
    weights: NDArray[np.float32]
    """(unit, tile pixel)."""


@dataclass
class Factors:
    """Footprints of unit norm and their traces on the frames of the fit."""

    shape: tuple[int, int]
    diameter: float
    """Of a cell, in pixels of the fit."""
    footprints: list[Footprint]
    raw: NDArray[np.float32]
    """Least-squares traces, (unit, frame); noise and baseline included."""

    @property
    def traces(self) -> NDArray[np.float32]:
        """Traces above their baseline, never below zero, (unit, frame)."""
        above = np.empty_like(self.raw)
        for some in _row_blocks(self.raw):
            above[some] = _above_low(self.raw[some])[0]
        return above

    @property
    def events(self) -> NDArray[np.float32]:
        """What of the traces stands out of their noise, without its mean, (unit, frame).

        What a silent cell's trace still does is noise and the light of others; a footprint fitted to it takes on their
        shape.
        """
        traces = self.traces
        for trace, raw in zip(traces, self.raw, strict=True):
            trace -= np.float32(_EVENT_NOISES * noise_of(raw.astype(np.float64)))
        np.maximum(traces, 0, out=traces)
        if len(traces):
            traces -= traces.mean(1, keepdims=True)
        return traces

    @property
    def centred(self) -> NDArray[np.float32]:
        """The traces without their means, as the mean-free movie holds them."""
        traces = self.traces
        if len(traces):
            traces -= traces.mean(1, keepdims=True)
        return traces


def tile_grid(shape: tuple[int, int]) -> Tiles:
    """Cut a field into tiles."""
    return [
        (slice(y, min(y + _TILE_PX, shape[0])), slice(x, min(x + _TILE_PX, shape[1])))
        for y in range(0, shape[0], _TILE_PX)
        for x in range(0, shape[1], _TILE_PX)
    ]


def by_tile(footprints: list[Footprint], shape: tuple[int, int]) -> list[TileUnits]:
    """Sort the weights of footprints into tiles."""
    return sparse_by_tile(to_sparse(footprints, shape), shape)


def sparse_by_tile(footprints: "sp.csr_array", shape: tuple[int, int]) -> list[TileUnits]:
    """Sort a sparse (unit, height·width) array into tiles."""
    # Band by band of tiles: sorted all at once, wide footprints would take many times their own size.
    by_pixel, found = sp.csc_array(footprints), []
    height, width = shape
    for top in range(0, height, _TILE_PX):
        bottom = min(top + _TILE_PX, height)
        band = sp.coo_array(by_pixel[:, top * width : bottom * width])
        y, x = np.divmod(band.col, width)
        order = np.argsort(x // _TILE_PX, kind="stable")
        unit, y, x, values = band.row[order], y[order], x[order], band.data[order]
        lefts = range(0, width, _TILE_PX)
        bounds = np.searchsorted(x // _TILE_PX, np.arange(len(lefts) + 1))
        for left, start, stop in zip(lefts, bounds[:-1], bounds[1:], strict=True):
            part = slice(start, stop)
            units, place = np.unique(unit[part], return_inverse=True)
            across = min(_TILE_PX, width - left)
            weights = np.zeros((len(units), (bottom - top) * across), np.float32)
            weights[place, y[part] * across + x[part] - left] = values[part]
            found.append(TileUnits(units.astype(np.int64), weights))
    return found


class Light:
    """What the units add to the mean-free movie, worked out for the frames asked for.

    Parameters
    ----------
    factors
        Not changed meanwhile.
    """

    def __init__(self, factors: Factors) -> None:
        self._tiled = by_tile(factors.footprints, factors.shape)
        self._grid = tile_grid(factors.shape)
        self._raw = factors.raw
        self._low, self._mean = (np.zeros((len(self._raw), 1), np.float32) for _ in range(2))
        for some in _row_blocks(self._raw):
            above, self._low[some] = _above_low(self._raw[some])
            self._mean[some] = above.mean(1, keepdims=True)

    def courses(self, span: slice) -> NDArray[np.float32]:
        """Return the centred traces of consecutive frames, (unit, frame)."""
        above = self._raw[:, span] - self._low
        np.maximum(above, 0, out=above)
        above -= self._mean
        return above

    def subtract(self, frames: NDArray[np.float32], span: slice) -> None:
        """Take the units' part out of the frames of a span, in place."""
        courses = self.courses(span)
        for window, tile in zip(self._grid, self._tiled, strict=True):
            if len(tile.units):
                part = courses[tile.units].T @ tile.weights
                area = frames[(slice(None), *window)]
                area -= part.reshape(area.shape)


def _row_blocks(raw: NDArray[np.float32]) -> Iterator[slice]:
    """Give some rows at a time: the percentile of all at once would copy them all."""
    for start in range(0, len(raw), _SOME_ROWS):
        yield slice(start, start + _SOME_ROWS)


def _above_low(raw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return traces above their baseline, never below zero, and the baseline, (unit, 1)."""
    low = np.percentile(raw, _LOW, axis=1, keepdims=True).astype(np.float32)
    above = raw - low
    return np.maximum(above, 0, out=above), low


def over_time(
    movie: ScratchMovie, weights: NDArray[np.float32], tiled: list[TileUnits], context: Context
) -> list[NDArray[np.float32]]:
    """Sum the movie over time with each unit's weights, in the tiles the unit touches.

    Parameters
    ----------
    movie
        (frame, height, width).
    weights
        (unit, frame).
    tiled
        Which units touch which tile.

    Returns
    -------
    list of ndarray
        For each tile (unit, tile pixel).
    """
    grid = tile_grid(movie.shape[1:])

    def work(frames: slice) -> list[NDArray[np.float32]]:
        chunk = movie.read_steps(frames)
        part = weights[:, frames]
        return [part[tile.units] @ _flat(chunk, window) for window, tile in zip(grid, tiled, strict=True)]

    sums = [np.zeros_like(tile.weights) for tile in tiled]
    for output in context.map(work, movie.chunks):
        for total, part in zip(sums, output, strict=True):
            total += part
    for total in sums:
        total /= np.float32(movie.scale)
    return sums


def over_space(movie: ScratchMovie, tiled: list[TileUnits], units: int, context: Context) -> NDArray[np.float32]:
    """Sum the movie over space with each unit's footprint: (unit, frame)."""
    grid = tile_grid(movie.shape[1:])

    def work(frames: slice) -> NDArray[np.float32]:
        return project(movie.read_steps(frames), tiled, units, grid)

    summed = np.empty((units, movie.shape[0]), np.float32)
    for frames, part in zip(movie.chunks, context.map(work, movie.chunks), strict=True):
        np.divide(part, np.float32(movie.scale), out=summed[:, frames])
    return summed


def project(frames: NDArray[Any], tiled: list[TileUnits], units: int, grid: Tiles) -> NDArray[np.float32]:
    """Sum frames over space with each unit's weights: (unit, frame)."""
    total = np.zeros((units, len(frames)), np.float32)
    for window, tile in zip(grid, tiled, strict=True):
        if len(tile.units):
            total[tile.units] += tile.weights @ _flat(frames, window).T
    return total


def _flat(frames: NDArray[Any], window: tuple[slice, slice]) -> NDArray[np.float32]:
    """Cut a tile out of frames: (frame, tile pixel), in one piece."""
    return frames[(slice(None), *window)].astype(np.float32).reshape(len(frames), -1)


def update_traces(factors: Factors, movie: ScratchMovie, context: Context) -> None:
    """Fit the traces to the background-free movie by least squares with the footprints as they are."""
    if not factors.footprints:
        return
    tiled = by_tile(factors.footprints, factors.shape)
    projected = over_space(movie, tiled, len(factors.footprints), context)
    rows = to_sparse(factors.footprints, factors.shape)
    gram = (rows @ rows.T).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] *= 1 + RIDGE
    factor = scipy.linalg.cho_factor(gram)
    for start in range(0, projected.shape[1], _SOLVED_FRAMES):
        part = projected[:, start : start + _SOLVED_FRAMES]
        part[...] = scipy.linalg.cho_solve(factor, part.astype(np.float64))
    factors.raw = projected


def update_footprints(factors: Factors, movie: ScratchMovie, context: Context) -> None:
    """Fit the footprints to the background-free movie, non-negative and near where they were; drop what is no cell."""
    if not factors.footprints:
        return
    shape, diameter = factors.shape, factors.diameter
    allowed = [support(footprint, shape, diameter) for footprint in factors.footprints]
    masks = by_tile(allowed, shape)
    start = _on_masks(factors.footprints, masks, shape)
    events = factors.events
    sums = over_time(movie, events, masks, context)
    gram = events @ events.T
    images = [np.zeros_like(a.weights) for a in allowed]
    for window, mask, weights, total in zip(tile_grid(shape), masks, start, sums, strict=True):
        _sweep(weights, total, gram[np.ix_(mask.units, mask.units)], mask.weights)
        for unit, values in zip(mask.units, weights, strict=True):
            _put(images[unit], allowed[unit], window, values)
    kept, footprints = [], []
    for unit, (area, image) in enumerate(zip(allowed, images, strict=True)):
        footprint = tidy(Footprint(area.top, area.left, image), diameter)
        if footprint is not None:
            kept.append(unit)
            footprints.append(footprint)
    factors.raw = factors.raw[kept]
    factors.footprints = footprints
    normalise(factors)


def normalise(factors: Factors) -> None:
    """Scale every footprint to unit norm and its trace the other way."""
    for unit, footprint in enumerate(factors.footprints):
        norm = footprint.norm
        footprint.weights = footprint.weights / np.float32(norm)
        factors.raw[unit] *= np.float32(norm)


def merge(factors: Factors, least_corr: float) -> int:
    """Join pairs of overlapping units whose traces agree, the most alike first; return how many went."""
    merged = 0
    while len(factors.footprints) > 1:
        rows = to_sparse(factors.footprints, factors.shape)
        overlap = (rows @ rows.T).tocoo()
        near = (overlap.row < overlap.col) & (overlap.data > _MERGE_OVERLAP)
        pairs = np.stack([overlap.row[near], overlap.col[near]], 1)
        traces = factors.centred
        norms = np.linalg.norm(traces, axis=1) + np.finfo(np.float32).tiny
        alike = np.array([traces[i] @ traces[j] / (norms[i] * norms[j]) for i, j in pairs])
        chosen = _disjoint(pairs[np.argsort(-alike, kind="stable")[: np.count_nonzero(alike > least_corr)]])
        if not chosen:
            break
        for first, second in chosen:
            _join(factors, first, second, norms)
        gone = {second for _, second in chosen}
        factors.raw = np.delete(factors.raw, sorted(gone), 0)
        factors.footprints = [f for unit, f in enumerate(factors.footprints) if unit not in gone]
        merged += len(gone)
    return merged


def _disjoint(pairs: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Leave out pairs of which a unit is in an earlier pair: what that becomes has to be looked at again."""
    seen: set[int] = set()
    chosen = []
    for first, second in pairs.tolist():
        if first not in seen and second not in seen:
            chosen.append((first, second))
        seen |= {first, second}
    return chosen


def _join(factors: Factors, first: int, second: int, norms: NDArray[np.float32]) -> None:
    """Put what two units are together in the place of the first."""
    one, two = factors.footprints[first], factors.footprints[second]
    scale = (float(norms[first]), float(norms[second]))
    joined = combine(one, two, scale, factors.shape, factors.diameter)
    joined.weights /= np.float32(joined.norm)
    together = to_sparse([one, two, joined], factors.shape)
    share = (together @ together.T).toarray()[2, :2]
    factors.raw[first] = share[0] * factors.raw[first] + share[1] * factors.raw[second]
    factors.footprints[first] = joined


def _sweep(
    weights: NDArray[np.float32],
    sums: NDArray[np.float32],
    gram: NDArray[np.float32],
    mask: NDArray[np.float32],
) -> None:
    """Update the weights of one tile in place, one unit after the other."""
    for _ in range(_SWEEPS):
        for unit in range(len(weights)):
            power = gram[unit, unit]
            if power > 0:
                step = (sums[unit] - gram[unit] @ weights) / power
                weights[unit] = np.maximum(weights[unit] + step, 0) * mask[unit]


def _on_masks(footprints: list[Footprint], masks: list[TileUnits], shape: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Arrange the present weights as the masks are arranged, zero outside them."""
    out = []
    for mask, tile in zip(masks, by_tile(footprints, shape), strict=True):
        weights = np.zeros_like(mask.weights)
        both, here, there = np.intersect1d(mask.units, tile.units, assume_unique=True, return_indices=True)
        if len(both):
            weights[here] = tile.weights[there]
        weights *= mask.weights
        out.append(weights)
    return out


def _put(image: NDArray[np.float32], area: Footprint, window: tuple[slice, slice], values: NDArray[np.float32]) -> None:
    """Copy one tile's values of a unit into the unit's own window."""
    rows, columns = window
    tile = values.reshape(rows.stop - rows.start, columns.stop - columns.start)
    height, width = image.shape
    y0, y1 = max(rows.start, area.top), min(rows.stop, area.top + height)
    x0, x1 = max(columns.start, area.left), min(columns.stop, area.left + width)
    image[y0 - area.top : y1 - area.top, x0 - area.left : x1 - area.left] = tile[
        y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start
    ]
