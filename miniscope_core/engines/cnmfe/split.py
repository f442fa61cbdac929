"""Units that are two cells: told by their events, which show now one picture and now another.

Two cells that lie nearly on top of each other are one local maximum to every search for seeds, and the fit gives them
one footprint between the two. But they are seldom active together, so the pictures of the unit's events fall into
two kinds. Where two footprints explain the events clearly better than one, the unit is split.

References
----------
Lee & Seung 1999, non-negative factorisation, doi:10.1038/44565.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.deconvolve import noise_of
from miniscope_core.engines.cnmfe.factors import Factors, row_blocks
from miniscope_core.engines.cnmfe.footprints import Footprint, Footprints, supports, tidy
from miniscope_core.engines.cnmfe.movie import ScratchMovie, ScratchRows
from miniscope_core.engines.cnmfe.parallel import Context

_MOST_EVENTS: Final = 120
_LEAST_EVENTS: Final = 8
_EVENT_PART: Final = 0.2
"""Least height of an event, as a part of the trace's highest."""
_EVENT_NOISES: Final = 4.0
_STRUCTURE: Final = 1.2
"""How far what one footprint leaves over must stand out of noise, as the ratio of singular values."""
_ALIKE: Final = 0.97
"""Cosine from which two footprints are one."""
_LEAST_SHARE: Final = 0.15
"""Least part of the events' energy that each footprint must explain."""
_ITERATIONS: Final = 60


@dataclass(frozen=True)
class Events:
    """Pictures of one unit at its events, the other units taken out."""

    top: int
    left: int
    mask: NDArray[np.float32]
    """Where its footprint may be, (rows, columns)."""
    pictures: NDArray[np.float32]
    """(event, rows, columns)."""


class _Album:
    """The pictures of all units on disk: together they are many times what the fit holds in memory."""

    def __init__(self, path: Path, areas: Footprints, frames: list[NDArray[np.int64]]) -> None:
        self.areas = areas
        self.frames = frames
        """Of each unit's events, ascending."""
        sizes = [len(times) * area.weights.size for area, times in zip(areas, frames, strict=True)]
        self._starts = np.cumsum([0, *sizes]).tolist()
        self._file = ScratchRows(path, (1, self._starts[-1]))

    def write(self, unit: int, first: int, pictures: NDArray[np.float32]) -> None:
        """Store a unit's pictures from one event on."""
        self._file.write(0, self._starts[unit] + first * self.areas[unit].weights.size, pictures.ravel())

    def read(self, unit: int) -> Events:
        """Return a unit's pictures."""
        area = self.areas[unit]
        pictures = self._file.read(0, slice(self._starts[unit], self._starts[unit + 1]))
        return Events(area.top, area.left, area.weights, pictures.reshape(-1, *area.weights.shape))

    def close(self) -> None:
        """Close the file; its folder's owner removes it."""
        self._file.close()


def split(factors: Factors, movie: ScratchMovie, path: Path, context: Context) -> Factors:
    """Split units that are two cells.

    Parameters
    ----------
    factors
        Fitted to the movie.
    movie
        Background-free.
    path
        Scratch file for the pictures of events.
    context
        Workers.

    Returns
    -------
    Factors
        A unit that is split keeps its place for one half, the other comes last.
    """
    if not factors.footprints:
        return factors
    noise = float(np.median(np.concatenate([noise_of(factors.raw[some]) for some in row_blocks(factors.raw)])))
    album = _collect(factors, movie, noise, path, context)
    pairs = list(context.map(lambda unit: halve(album.read(unit), noise, factors.diameter), range(len(factors))))
    album.close()
    items, split_units = list(factors.footprints), []
    for unit, pair in enumerate(pairs):
        if pair is not None:
            items[unit] = pair[0]
            items.append(pair[1])
            split_units.append(unit)
    if not split_units:
        return factors
    raw = np.concatenate([factors.raw, factors.raw[split_units]])
    return Factors(replace(factors.footprints, items=tuple(items)), raw)


def halve(events: Events, noise: float, diameter: float) -> tuple[Footprint, Footprint] | None:
    """Explain the events by two footprints where one is clearly not enough.

    Parameters
    ----------
    events
        Of one unit.
    noise
        Standard deviation of a pixel's noise.
    diameter
        Of a cell, px.

    Returns
    -------
    tuple of Footprint, or None
        Both of unit norm.
    """
    inside = events.mask > 0
    pictures = events.pictures[:, inside].astype(np.float64)
    count, pixels = pictures.shape
    if count < _LEAST_EVENTS or pixels < _LEAST_EVENTS:
        return None
    left, values, right = np.linalg.svd(pictures, full_matrices=False)
    if values[1] < _STRUCTURE * noise * (np.sqrt(count) + np.sqrt(pixels)):
        return None
    heights, shapes = _two(pictures, left, values, right)
    norms = np.linalg.norm(shapes, axis=1)
    energy = norms**2 * (heights**2).sum(0)
    if not norms.all() or energy.min() < _LEAST_SHARE * energy.sum():
        return None
    images = np.zeros((2, *events.mask.shape), np.float32)
    images[:, inside] = shapes
    first, second = tidy([Footprint(events.top, events.left, image) for image in images], diameter)
    if first is None or second is None:
        return None
    found = [footprint / np.float32(footprint.norm) for footprint in (first, second)]
    if float((found[0].weights * found[1].weights).sum()) > _ALIKE:
        return None
    return found[0], found[1]


def _two(
    pictures: NDArray[np.float64], left: NDArray[np.float64], values: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factorise pictures into two non-negative shapes: heights (event, 2) and shapes (2, pixel)."""
    score = left[:, 1] * values[1] / (np.abs(left[:, 0]) * values[0] + np.finfo(float).tiny)
    order = np.argsort(score, kind="stable")
    third = max(2, len(order) // 4)
    shapes = np.maximum(np.stack([pictures[order[:third]].mean(0), pictures[order[-third:]].mean(0)]), 0)
    heights = np.zeros((len(pictures), 2))
    tiny = np.finfo(float).tiny
    for _ in range(_ITERATIONS):
        gram, cross = shapes @ shapes.T, pictures @ shapes.T
        for k in (0, 1):
            heights[:, k] = np.maximum(heights[:, k] + (cross[:, k] - heights @ gram[:, k]) / (gram[k, k] + tiny), 0)
        gram, cross = heights.T @ heights, heights.T @ pictures
        for k in (0, 1):
            shapes[k] = np.maximum(shapes[k] + (cross[k] - gram[k] @ shapes) / (gram[k, k] + tiny), 0)
    return heights, shapes


def _collect(factors: Factors, movie: ScratchMovie, noise: float, path: Path, context: Context) -> _Album:
    """Cut every unit's events out of the movie, the other units taken out."""
    areas = supports(factors.footprints)
    album = _Album(path, areas, [_event_frames(row, noise) for row in factors.raw])
    light = factors.light
    starts = [part.start for part in movie.chunks]
    firsts = np.array([np.searchsorted(times, [*starts, movie.shape[0]]) for times in album.frames])

    def work(index: int) -> None:
        part = movie.chunks[index]
        chunk = movie.read(part)
        light.subtract(chunk, part)
        courses = light.courses(part)
        for unit in np.flatnonzero(firsts[:, index] < firsts[:, index + 1]).tolist():
            first, last = firsts[unit, index : index + 2]
            here = album.frames[unit][first:last]
            rows, columns = areas[unit].window()
            pictures = chunk[here - part.start, rows, columns]
            own = factors.footprints[unit]
            window = own.window()
            y, x = window[0].start - rows.start, window[1].start - columns.start
            _add(pictures, own.weights, y, x, courses[unit, here - part.start])
            album.write(unit, int(first), pictures)

    context.each(work, range(len(starts)))
    return album


def _add(
    pictures: NDArray[np.float32], weights: NDArray[np.float32], y: int, x: int, heights: NDArray[np.float32]
) -> None:
    """Add a footprint at an offset, cut to the pictures, times each picture's height."""
    rows, columns = pictures.shape[1:]
    height, width = weights.shape
    y0, y1, x0, x1 = max(y, 0), min(y + height, rows), max(x, 0), min(x + width, columns)
    if y0 < y1 and x0 < x1:
        pictures[:, y0:y1, x0:x1] += heights[:, None, None] * weights[y0 - y : y1 - y, x0 - x : x1 - x]


def _event_frames(raw: NDArray[np.float32], noise: float) -> NDArray[np.int64]:
    """Choose frames at which a unit peaks, evenly over their heights where there are many."""
    above = raw - np.percentile(raw, 20)
    highest = ndi.maximum_filter1d(above, 3)
    peaks = np.flatnonzero((above >= highest) & (above > max(_EVENT_PART * float(above.max()), _EVENT_NOISES * noise)))
    if len(peaks) > _MOST_EVENTS:
        order = np.argsort(-above[peaks], kind="stable")
        peaks = peaks[order[np.linspace(0, len(order) - 1, _MOST_EVENTS).astype(int)]]
    return np.sort(peaks).astype(np.int64)
