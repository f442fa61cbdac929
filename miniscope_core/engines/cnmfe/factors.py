"""Constrained factorisation of the movie into footprints and traces.

References
----------
Cichocki & Phan 2009, hierarchical alternating least squares, doi:10.1587/transfun.E92.A.708.
Zhou et al. 2018, CNMF-E, doi:10.7554/eLife.28728.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.deconvolve import noise_of
from miniscope_core.engines.cnmfe.footprints import Footprint, Footprints, combine, supports, tidy
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.sweep import sweep
from miniscope_core.engines.cnmfe.tiles import TILE_PX, Tiled, over_space, over_time

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


@dataclass(frozen=True)
class Factors:
    """Footprints of unit norm and their traces on the frames of the fit. Not to be changed: a fit gives new ones."""

    footprints: Footprints
    raw: NDArray[np.float32]
    """Least-squares traces, (unit, frame); noise and baseline included."""

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.footprints)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the field, in pixels of the fit."""
        return self.footprints.shape

    @property
    def diameter(self) -> float:
        """Of a cell, in pixels of the fit."""
        return self.footprints.diameter

    @cached_property
    def low(self) -> NDArray[np.float32]:
        """Baseline of each trace, (unit, 1)."""
        low = np.empty((len(self.raw), 1), np.float32)
        for some in row_blocks(self.raw):
            low[some] = np.percentile(self.raw[some], _LOW, axis=1, keepdims=True)
        return low

    def above(self, some: slice = slice(None), span: slice = slice(None)) -> NDArray[np.float32]:
        """Return the traces of some units and frames above their baseline, never below zero, (unit, frame)."""
        above: NDArray[np.float32] = self.raw[some, span] - self.low[some]
        np.maximum(above, 0, out=above)
        return above

    def centred(self) -> NDArray[np.float32]:
        """Return the traces above their baseline without their means, as the mean-free movie holds them."""
        above = self.above()
        above -= _means(above)
        return above

    def extended(self, others: "Factors") -> "Factors":
        """Put the units of others behind these."""
        items = (*self.footprints, *others.footprints)
        return Factors(replace(self.footprints, items=items), np.concatenate([self.raw, others.raw]))

    @cached_property
    def light(self) -> "Light":
        """What the units add to the mean-free movie."""
        mean = np.empty_like(self.low)
        for some in row_blocks(self.raw):
            mean[some] = _means(self.above(some))
        return Light(self, mean, self.footprints.tiled)


@dataclass(frozen=True)
class Light:
    """What units add to the mean-free movie, worked out for the frames asked for."""

    factors: Factors
    mean: NDArray[np.float32]
    """Of each trace above its baseline, (unit, 1)."""
    tiled: Tiled

    def courses(self, span: slice) -> NDArray[np.float32]:
        """Return the centred traces of consecutive frames, (unit, frame)."""
        above = self.factors.above(span=span)
        above -= self.mean
        return above

    def subtract(self, frames: NDArray[np.float32], span: slice) -> None:
        """Take the units' part out of the frames of a span, in place."""
        self.tiled.subtract(frames, self.courses(span))


def events_of(factors: Factors, context: Context) -> NDArray[np.float32]:
    """Return what of the traces stands out of their noise, without its mean, (unit, frame).

    What a silent cell's trace still does is noise and the light of others; a footprint fitted to it takes on their
    shape.
    """
    events = np.empty_like(factors.raw)
    low = factors.low  # here, and not by every worker

    def work(some: slice) -> None:
        above = factors.raw[some] - low[some]
        np.maximum(above, 0, out=above)
        above -= (_EVENT_NOISES * noise_of(factors.raw[some])[:, None]).astype(np.float32)
        np.maximum(above, 0, out=above)
        above -= _means(above)
        events[some] = above

    context.each(work, list(row_blocks(factors.raw)))
    return events


def row_blocks(raw: NDArray[np.float32]) -> Iterator[slice]:
    """Give some rows at a time: the percentile of all at once would copy them all."""
    for start in range(0, len(raw), _SOME_ROWS):
        yield slice(start, start + _SOME_ROWS)


def _means(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each row, (row, 1)."""
    return np.asarray(rows.mean(1, keepdims=True), np.float32)


def update_traces(factors: Factors, movie: ScratchMovie, context: Context) -> Factors:
    """Fit the traces to the background-free movie by least squares with the footprints as they are."""
    footprints = factors.footprints
    if not footprints:
        return factors
    raw = over_space(movie, footprints.tiled, context)
    gram = (footprints.rows @ footprints.rows.T).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] *= 1 + RIDGE
    factor = scipy.linalg.cho_factor(gram)

    def solve(start: int) -> None:
        part = raw[:, start : start + _SOLVED_FRAMES]
        part[...] = scipy.linalg.cho_solve(factor, part.astype(np.float64))

    context.each(solve, range(0, raw.shape[1], _SOLVED_FRAMES))
    return replace(factors, raw=raw)


def update_footprints(factors: Factors, movie: ScratchMovie, context: Context) -> Factors:
    """Fit the footprints to the background-free movie, non-negative and near where they were; drop what is no cell."""
    footprints = factors.footprints
    if not footprints:
        return factors
    allowed = supports(footprints)
    masks = allowed.tiled
    weights = footprints.tiled.arranged(masks) * masks.weights
    events = events_of(factors, context)
    sums = over_time(movie, events, masks, context)
    gram = events @ events.T
    del events  # as large as the traces
    sweep(weights, sums, gram, masks, context)
    images = [np.zeros_like(area.weights) for area in allowed]
    for window, some in masks.tiles():
        for unit, row in zip(masks.units[some].tolist(), weights[some], strict=True):
            _put(images[unit], allowed[unit], window, row)
    fitted = [Footprint(area.top, area.left, image) for area, image in zip(allowed, images, strict=True)]
    tidied = tidy(fitted, footprints.diameter)
    kept = [unit for unit, footprint in enumerate(tidied) if footprint is not None]
    found = [footprint for footprint in tidied if footprint is not None]
    return normalised(found, factors.raw[kept], footprints)


def normalised(found: list[Footprint], raw: NDArray[np.float32], like: Footprints) -> Factors:
    """Make factors of footprints of any norm and their traces, which are scaled in place, in the field of others."""
    norms = np.array([footprint.norm for footprint in found], np.float32)
    raw *= norms[:, None]
    return Factors(replace(like, items=tuple(f / norm for f, norm in zip(found, norms, strict=True))), raw)


def merge(factors: Factors, least_corr: float) -> Factors:
    """Join pairs of overlapping units whose traces agree, the most alike first."""
    while len(factors) > 1:
        rows = factors.footprints.rows
        overlap = (rows @ rows.T).tocoo()
        near = (overlap.row < overlap.col) & (overlap.data > _MERGE_OVERLAP)
        pairs = np.stack([overlap.row[near], overlap.col[near]], 1)
        traces = factors.centred()
        norms = np.linalg.norm(traces, axis=1) + np.finfo(np.float32).tiny
        alike = np.array([traces[i] @ traces[j] / (norms[i] * norms[j]) for i, j in pairs])
        chosen = _disjoint(pairs[np.argsort(-alike, kind="stable")[: np.count_nonzero(alike > least_corr)]])
        if not chosen:
            break
        factors = _joined(factors, chosen, norms)
    return factors


def _disjoint(pairs: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Leave out pairs of which a unit is in an earlier pair: what that becomes has to be looked at again."""
    seen: set[int] = set()
    chosen = []
    for first, second in pairs.tolist():
        if first not in seen and second not in seen:
            chosen.append((first, second))
        seen |= {first, second}
    return chosen


def _joined(factors: Factors, pairs: list[tuple[int, int]], norms: NDArray[np.float32]) -> Factors:
    """Put what two units are together in the place of the first of each pair."""
    items, raw = list(factors.footprints), factors.raw.copy()
    for first, second in pairs:
        one, two = items[first], items[second]
        scale = (float(norms[first]), float(norms[second]))
        joined = combine(one, two, scale, factors.shape, factors.diameter)
        joined /= np.float32(joined.norm)
        together = replace(factors.footprints, items=(one, two, joined)).rows
        share = (together @ together.T).toarray()[2, :2]
        raw[first] = share[0] * raw[first] + share[1] * raw[second]
        items[first] = joined
    gone = sorted(second for _, second in pairs)
    left = tuple(item for unit, item in enumerate(items) if unit not in set(gone))
    return Factors(replace(factors.footprints, items=left), np.delete(raw, gone, 0))


def _put(image: NDArray[np.float32], area: Footprint, window: tuple[slice, slice], values: NDArray[np.float32]) -> None:
    """Copy one tile's values of a unit into the unit's own window."""
    rows, columns = window
    tile = values.reshape(TILE_PX, TILE_PX)
    height, width = image.shape
    y0, y1 = max(rows.start, area.top), min(rows.stop, area.top + height)
    x0, x1 = max(columns.start, area.left), min(columns.stop, area.left + width)
    image[y0 - area.top : y1 - area.top, x0 - area.left : x1 - area.left] = tile[
        y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start
    ]
