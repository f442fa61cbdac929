"""Fluorescence of every unit on every frame, streamed: one sparse product and one small solve per chunk.

With the ring weights W and the footprints A fixed, a mean-free frame y obeys (I − W) y ≈ (I − W) A c. The least
squares solution for c is linear in y, so frames need not know of each other and memory does not grow with their
number.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.background import Ring, filter_footprints
from miniscope_core.engines.cnmfe.factors import RIDGE
from miniscope_core.engines.cnmfe.footprints import Footprints
from miniscope_core.engines.cnmfe.movie import ScratchMovie, ScratchRows
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.tiles import sort_into_tiles


def extract(
    movie: ScratchMovie,
    mean: NDArray[np.float32],
    ring: Ring,
    footprints: Footprints,
    path: Path,
    context: Context,
) -> ScratchRows:
    """Demix the fluorescence of every unit on every frame.

    Parameters
    ----------
    movie
        Motion-corrected movie, every frame, (frame, height, width).
    mean
        Its mean image.
    ring
        Background model.
    footprints
        Of unit norm, at least one.
    path
        Scratch file for the rows.
    context
        Workers and progress.

    Returns
    -------
    ScratchRows
        (unit, frame), relative to the mean of the movie.
    """
    shape = movie.shape[1], movie.shape[2]
    filtered, matched = filter_footprints(footprints.rows, ring, shape)
    gram = (filtered @ filtered.T).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] *= 1 + RIDGE
    factor = scipy.linalg.cho_factor(gram)
    del filtered
    tiled = sort_into_tiles(matched, shape)
    del matched
    found = ScratchRows(path, (len(footprints), movie.shape[0]))

    def work(frames: slice) -> None:
        chunk = movie.read(frames)
        chunk -= mean
        values = scipy.linalg.cho_solve(factor, tiled.project(chunk).astype(np.float64))
        for unit, part in enumerate(values.astype(np.float32)):
            found.write(unit, frames.start, part)

    for _ in context.run("trace extraction", work, movie.chunks):
        pass
    return found


def blocks(rows: ScratchRows, step: int, some: slice | None = None) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Read rows, or some of them, in blocks of columns, each (row, ≤ step)."""
    count, length = rows.shape
    wanted = range(count)[some or slice(None)]
    for start in range(0, length, step):
        columns = slice(start, min(start + step, length))
        yield columns, np.stack([rows.read(row, columns) for row in wanted])
