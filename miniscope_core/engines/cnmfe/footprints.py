"""Footprints: small images at their places, kept connected and compact; merging; back to full resolution."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import cv2
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.tiles import Tiled, sort_into_tiles

_FLOOR: Final = 0.04
"""Weights below this part of the peak are cut. Cutting higher leaves a halo in the residual that looks like cells."""
_REACH: Final = 1.5
"""Farthest a footprint reaches from its middle, in cell diameters: an out-of-focus cell is wide."""
_GROWTH: Final = 0.25
"""How far a footprint may grow in one update, in cell diameters."""
_LEAST_AREA: Final = 0.15
"""Smallest area above 0.3 of the peak, in squared cell diameters; less is a speck."""
_BLUR: Final = 0.7
"""Deviation of the blur by which the connected part is told, px."""
_BLUR_REACH: Final = 4
"""Pixels that the blur reaches, and one."""
_GAUSS: Final = 2.355
"""Full width at half maximum over standard deviation."""


@dataclass(frozen=True)
class Footprint:
    """Non-negative weights in a window of the field. Not to be changed."""

    top: int
    left: int
    weights: NDArray[np.float32]
    """(rows, columns)."""

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of mass (y, x) in the field, px."""
        down, across = (self.weights.sum(axis, dtype=np.float64) for axis in (1, 0))
        total = float(down.sum())
        y, x = (float(line @ np.arange(len(line))) / total for line in (down, across))
        return self.top + y, self.left + x

    @property
    def norm(self) -> float:
        """Euclidean norm of the weights."""
        return float(np.linalg.norm(self.weights))

    def window(self) -> tuple[slice, slice]:
        """Where in the field it lies."""
        rows, columns = self.weights.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)

    def __truediv__(self, divisor: np.float32) -> "Footprint":
        """Divide the weights by a number."""
        return replace(self, weights=self.weights / divisor)


@dataclass(frozen=True)
class Footprints:
    """The footprints of one field, and what is made of them all, worked out when it is first asked for."""

    shape: tuple[int, int]
    """Height and width of the field."""
    diameter: float
    """Of a cell, px."""
    items: tuple[Footprint, ...] = ()

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.items)

    def __iter__(self) -> Iterator[Footprint]:
        """Give the footprints in their order."""
        return iter(self.items)

    def __getitem__(self, unit: int) -> Footprint:
        """Return one footprint."""
        return self.items[unit]

    def each(self, function: Callable[[Footprint], Footprint]) -> "Footprints":
        """Make another footprint of each."""
        return replace(self, items=tuple(function(footprint) for footprint in self.items))

    @cached_property
    def rows(self) -> "sp.csr_array":
        """Sparse (unit, height·width) array over C-ordered pixels."""
        return to_sparse(self.items, self.shape)

    @cached_property
    def tiled(self) -> Tiled:
        """The same sorted into tiles."""
        return sort_into_tiles(self.rows, self.shape)


def gaussian_footprint(y: int, x: int, shape: tuple[int, int], diameter: float) -> Footprint:
    """Make the first guess of a cell at a pixel: a Gaussian of the cell's width."""
    top, bottom, left, right = _window(y, x, shape, diameter)
    rows, columns = np.ogrid[top:bottom, left:right]
    distance2 = (rows - y) ** 2 + (columns - x) ** 2
    weights = np.exp(-distance2 / (2 * (diameter / _GAUSS) ** 2)).astype(np.float32)
    weights[distance2 > diameter**2] = 0
    return Footprint(top, left, weights)


def supports(footprints: Footprints) -> Footprints:
    """Return where the next update may put weight, as zeros and ones around each present footprint."""
    reach, radius = _reach(footprints.diameter), max(1, round(_GROWTH * footprints.diameter))
    middles = [(round(y), round(x)) for y, x in (footprint.centre for footprint in footprints)]
    size = 2 * reach + 1
    stack = np.zeros((len(footprints), size + radius, size), np.float32)  # the gap keeps them apart below
    for image, footprint, (y, x) in zip(stack, footprints, middles, strict=True):
        _paste(image[:size], footprint, y - reach, x - reach)
    bright = stack > 0.1 * stack.max((1, 2), keepdims=True, initial=0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = _at_once(bright.view(np.uint8), lambda tall: cv2.dilate(tall, kernel))[:, :size]
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    near = rows**2 + columns**2 <= (_REACH * footprints.diameter) ** 2
    grown = (grown * near).astype(np.float32)
    found = []
    for image, (y, x) in zip(grown, middles, strict=True):
        top, bottom, left, right = _window(y, x, footprints.shape, footprints.diameter)
        part = image[top - y + reach : bottom - y + reach, left - x + reach : right - x + reach]
        found.append(Footprint(top, left, part.copy()))
    return replace(footprints, items=tuple(found))


def tidy(footprints: Sequence[Footprint], diameter: float) -> list[Footprint | None]:
    """Keep the connected part of each around its brightest spot; None when what is left is too small for a cell.

    Parameters
    ----------
    footprints
        As fitted.
    diameter
        Of a cell, in their pixels.
    """
    if not footprints:
        return []
    rows, columns = np.array([footprint.weights.shape for footprint in footprints]).T
    stack = np.zeros((len(footprints), int(rows.max()) + _BLUR_REACH, int(columns.max()) + _BLUR_REACH), np.float32)
    for image, footprint in zip(stack, footprints, strict=True):
        _paste(image, footprint, footprint.top, footprint.left)
    smooth = _at_once(stack, lambda tall: cv2.GaussianBlur(tall, (0, 0), _BLUR, borderType=cv2.BORDER_CONSTANT))
    smooth[np.arange(stack.shape[1]) >= rows[:, None]] = 0
    smooth *= np.arange(stack.shape[2]) < columns[:, None, None]
    bright = smooth > _FLOOR * smooth.max((1, 2), keepdims=True)
    labels = _at_once(bright.view(np.uint8), lambda tall: cv2.connectedComponents(tall, connectivity=4)[1])
    brightest = smooth.reshape(len(stack), -1).argmax(1)
    label = labels.reshape(len(stack), -1)[np.arange(len(stack)), brightest]
    kept = np.where(bright & (labels == label[:, None, None]), stack, 0)
    area = np.count_nonzero(kept > 0.3 * kept.max((1, 2), keepdims=True), axis=(1, 2))
    return [
        Footprint(footprint.top, footprint.left, image[:down, :across].copy()) if large else None
        for footprint, image, down, across, large in zip(
            footprints, kept, rows, columns, area >= max(1, _LEAST_AREA * diameter**2), strict=True
        )
    ]


def _at_once(stack: NDArray[Any], function: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """Apply a function of an image to many, one below the other: one by one, the calls cost more than the work."""
    if not len(stack):
        return stack
    return function(stack.reshape(-1, stack.shape[2])).reshape(stack.shape)


def combine(
    first: Footprint, second: Footprint, scale: tuple[float, float], shape: tuple[int, int], diameter: float
) -> Footprint:
    """Add two footprints of one cell, each weighted by its scale, in a window around their common centre."""
    parts = [Footprint(f.top, f.left, f.weights * np.float32(s)) for f, s in zip((first, second), scale, strict=True)]
    mass = np.array([float(p.weights.sum()) for p in parts])
    y, x = (round(c) for c in np.average([p.centre for p in parts], axis=0, weights=mass))
    top, bottom, left, right = _window(y, x, shape, diameter)
    summed = sum(_place(p, top, bottom, left, right) for p in parts)
    return Footprint(top, left, np.asarray(summed, np.float32))


def to_sparse(footprints: Sequence[Footprint], shape: tuple[int, int]) -> "sp.csr_array":
    """Stack footprints into a sparse (unit, height·width) array over C-ordered pixels."""
    # 32 bit indices: with others every product would hold twice as much.
    data, columns, lengths = [], [], [0]
    for footprint in footprints:
        rows, cols = np.nonzero(footprint.weights)
        data.append(footprint.weights[rows, cols])
        columns.append(((rows + footprint.top) * shape[1] + cols + footprint.left).astype(np.int32))
        lengths.append(len(rows))
    return sp.csr_array(
        (
            np.concatenate([*data, np.empty(0, np.float32)]),
            np.concatenate([*columns, np.empty(0, np.int32)]),
            np.cumsum(lengths, dtype=np.int32),
        ),
        shape=(len(footprints), shape[0] * shape[1]),
    )


def enlarge_footprint(footprint: Footprint, bin_factor: int) -> Footprint:
    """Bring a footprint back to the resolution of the recording, with a peak of one."""
    padded = np.pad(footprint.weights, 1)
    rows, columns = padded.shape
    large = cv2.resize(padded, (columns * bin_factor, rows * bin_factor), interpolation=cv2.INTER_LINEAR)
    large = large[bin_factor:-bin_factor, bin_factor:-bin_factor]
    return Footprint(footprint.top * bin_factor, footprint.left * bin_factor, large / large.max())


def enlarge(image: NDArray[np.float32], bin_factor: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a binned image back to the shape of the recording; rows and columns that were left out repeat the edge."""
    height, width = (size * bin_factor for size in image.shape)
    large = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) if bin_factor > 1 else image
    return np.pad(large, ((0, shape[0] - height), (0, shape[1] - width)), mode="edge").astype(np.float32)


def _reach(diameter: float) -> int:
    """Return how far a footprint may reach from its middle, whole px."""
    return int(np.ceil(_REACH * diameter))


def _window(y: int, x: int, shape: tuple[int, int], diameter: float) -> tuple[int, int, int, int]:
    reach = _reach(diameter)
    return max(0, y - reach), min(shape[0], y + reach + 1), max(0, x - reach), min(shape[1], x + reach + 1)


def _place(footprint: Footprint, top: int, bottom: int, left: int, right: int) -> NDArray[np.float32]:
    """Cut a footprint to another window."""
    out = np.zeros((bottom - top, right - left), np.float32)
    _paste(out, footprint, top, left)
    return out


def _paste(image: NDArray[np.float32], footprint: Footprint, top: int, left: int) -> None:
    """Copy a footprint into an image that begins at a place of the field."""
    rows, columns = footprint.weights.shape
    y0, y1 = max(top, footprint.top), min(top + image.shape[0], footprint.top + rows)
    x0, x1 = max(left, footprint.left), min(left + image.shape[1], footprint.left + columns)
    if y0 < y1 and x0 < x1:
        image[y0 - top : y1 - top, x0 - left : x1 - left] = footprint.weights[
            y0 - footprint.top : y1 - footprint.top, x0 - footprint.left : x1 - footprint.left
        ]
