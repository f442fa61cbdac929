"""Units sorted into tiles of the field, and the products of a movie with them.

The movie is only ever multiplied: by traces over time (for the footprints) and by footprints over space (for the
traces). Both products are sums over chunks of frames and are taken tile by tile with the few units that touch a tile,
so work grows with the area and memory with neither the area nor the length.

Tiles are cut out of the frames a row of them at a time: one by one, workers would spend their time waiting for each
other's short steps.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context

TILE_PX: Final = 24


@dataclass(frozen=True)
class Tiled:
    """Weights of units, sorted into square tiles of the field: a row for every unit in every tile that it touches."""

    shape: tuple[int, int]
    """Height and width of the field; its last tiles reach beyond it and have no weight there."""
    count: int
    """Units."""
    units: NDArray[np.int64]
    """(row,): whose weights they are; tile by tile, ascending in each."""
    weights: NDArray[np.float32]
    """(row, tile pixel)."""
    starts: NDArray[np.int64]
    """(tile + 1,): where the rows of each tile begin."""

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles down and across."""
        return -(-self.shape[0] // TILE_PX), -(-self.shape[1] // TILE_PX)

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """(row,): a number for its tile and unit, ascending."""
        tiles = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return np.asarray(tiles * self.count + self.units, np.int64)

    @cached_property
    def _gather(self) -> "sp.csr_array":
        """(unit, row): adds up the rows of each unit."""
        row = np.argsort(self.units, kind="stable").astype(np.int32)
        ends = np.concatenate([[0], np.cumsum(np.bincount(self.units, minlength=self.count))]).astype(np.int32)
        return sp.csr_array((np.ones(len(row), np.float32), row, ends), shape=(self.count, len(row)))

    def tiles(self) -> Iterator[tuple[tuple[slice, slice], slice]]:
        """Give the window of every tile in the field and its rows."""
        across = self.grid[1]
        for tile, (start, stop) in enumerate(zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)):
            y, x = (TILE_PX * place for place in divmod(tile, across))
            window = slice(y, min(y + TILE_PX, self.shape[0])), slice(x, min(x + TILE_PX, self.shape[1]))
            yield window, slice(start, stop)

    def arranged(self, other: "Tiled") -> NDArray[np.float32]:
        """Return these weights in the rows of other ones of the same units, zero where these have no row."""
        weights = np.zeros_like(other.weights)
        _, here, there = np.intersect1d(self.keys, other.keys, assume_unique=True, return_indices=True)
        weights[there] = self.weights[here]
        return weights

    def project(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """Sum frames over space with each unit's weights: (unit, frame)."""
        products = np.empty((len(self.units), len(frames)), np.float32)
        for blocks, rows in self._bands(frames):
            for block, some in zip(blocks, rows, strict=True):
                np.matmul(self.weights[some], block.T, out=products[some])
        return np.asarray(self._gather @ products, np.float32)

    def correlate(self, frames: NDArray[Any], courses: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum frames over time with each unit's course, (unit, frame), in the tiles it touches: (row, tile pixel)."""
        products = np.empty_like(self.weights)
        part = courses[self.units]
        for blocks, rows in self._bands(frames):
            for block, some in zip(blocks, rows, strict=True):
                np.matmul(part[some], block, out=products[some])
        return products

    def subtract(self, frames: NDArray[np.float32], courses: NDArray[np.float32]) -> None:
        """Take each unit's weights times its course, (unit, frame), out of frames, in place."""
        part = courses[self.units]
        whole = self.shape[1] // TILE_PX
        blocks = np.empty((self.grid[1], len(frames), TILE_PX**2), np.float32)
        tall = blocks.reshape(*blocks.shape[:2], TILE_PX, TILE_PX)
        for top, rows in self._rows():
            for block, some in zip(blocks, rows, strict=True):
                np.matmul(part[some].T, self.weights[some], out=block)
            band = frames[:, top : top + TILE_PX]
            height = band.shape[1]
            inside = band[:, :, : whole * TILE_PX].reshape(len(band), height, whole, TILE_PX)
            inside -= tall[:whole, :, :height].transpose(1, 2, 0, 3)
            if whole < len(tall):
                edge = band[:, :, whole * TILE_PX :]
                edge -= tall[whole, :, :height, : edge.shape[2]]

    def _rows(self) -> Iterator[tuple[int, list[slice]]]:
        """Give where each row of tiles begins in the field, and the rows of weights of its tiles."""
        down, across = self.grid
        for row in range(down):
            edges = self.starts[row * across : (row + 1) * across + 1].tolist()
            yield row * TILE_PX, [slice(*edge) for edge in itertools.pairwise(edges)]

    def _bands(self, frames: NDArray[Any]) -> Iterator[tuple[NDArray[np.float32], list[slice]]]:
        """Cut frames into tiles, row by row of tiles: (tile, frame, tile pixel), each the next one's memory."""
        whole = self.shape[1] // TILE_PX
        tall = np.zeros((self.grid[1], len(frames), TILE_PX, TILE_PX), np.float32)
        for top, rows in self._rows():
            band = frames[:, top : top + TILE_PX]
            height = band.shape[1]
            inside = band[:, :, : whole * TILE_PX].reshape(len(band), height, whole, TILE_PX)
            tall[:whole, :, :height] = inside.transpose(2, 0, 1, 3)
            if whole < len(tall):
                edge = band[:, :, whole * TILE_PX :]
                tall[whole, :, :height, : edge.shape[2]] = edge
            tall[:, :, height:] = 0
            yield tall.reshape(*tall.shape[:2], -1), rows


def sort_into_tiles(footprints: "sp.csr_array", shape: tuple[int, int]) -> Tiled:
    """Sort the weights of a sparse (unit, height·width) array into tiles."""
    # Row by row of tiles: sorted all at once, wide footprints would take many times their own size.
    by_pixel = sp.csc_array(footprints)
    height, width = shape
    count, across = footprints.shape[0], -(-width // TILE_PX)
    units, weights, lengths = [np.zeros(0, np.int64)], [np.zeros((0, TILE_PX**2), np.float32)], [np.zeros(1, np.int64)]
    for top in range(0, height, TILE_PX):
        band = sp.coo_array(by_pixel[:, top * width : min(top + TILE_PX, height) * width])
        y, x = np.divmod(band.col, width)
        tile = x // TILE_PX
        present = np.zeros((across, count), bool)
        present[tile, band.row] = True
        row = np.cumsum(present.ravel()).reshape(present.shape) - 1
        found = np.zeros((int(present.sum()), TILE_PX**2), np.float32)
        found[row[tile, band.row], y * TILE_PX + x - tile * TILE_PX] = band.data
        units.append(np.nonzero(present)[1])
        weights.append(found)
        lengths.append(present.sum(1))
    starts = np.cumsum(np.concatenate(lengths))
    return Tiled(shape, count, np.concatenate(units), np.concatenate(weights), starts)


def over_time(movie: ScratchMovie, courses: NDArray[np.float32], tiled: Tiled, context: Context) -> NDArray[np.float32]:
    """Sum a movie over time with each unit's course, (unit, frame), in the tiles it touches: (row, tile pixel)."""
    total = np.zeros_like(tiled.weights)
    for part in context.map(lambda span: tiled.correlate(movie.read_steps(span), courses[:, span]), movie.chunks):
        total += part
    total /= np.float32(movie.scale)
    return total


def over_space(movie: ScratchMovie, tiled: Tiled, context: Context) -> NDArray[np.float32]:
    """Sum a movie over space with each unit's weights: (unit, frame)."""
    summed = np.empty((tiled.count, movie.shape[0]), np.float32)

    def work(span: slice) -> None:
        np.divide(tiled.project(movie.read_steps(span)), np.float32(movie.scale), out=summed[:, span])

    context.each(work, movie.chunks)
    return summed
