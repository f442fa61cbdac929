"""Piece-wise correction: what patches of the field move beyond the field as a whole.

The linear map that refines the shift of a frame is a sum over small blocks. Summed with the blocks around a place
counting most, it gives the shift there. Most of what such local shifts say is noise and activity, so they are shrunk
by the part of them that two halves of the blocks, taken like the black and the white of a chessboard, agree on. Where
the brain moves as one, nothing is left of them and the correction stays rigid.

References
----------
Pnevmatikakis & Giovannucci 2017, NoRMCorre, doi:10.1016/j.jneumeth.2017.07.031 (patches, and shifts that vary between).
Wiener 1949, the shrinkage of a noisy signal to the part that is signal.
"""

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.refine import Refiner


@dataclass(frozen=True)
class Patches:
    """A grid of equal patches, each with a shift of its own."""

    grid: tuple[int, int]
    """Patches down and across."""
    nearness: NDArray[np.float64]
    """(patch, block): how much a block counts for a patch."""
    trust: float
    """Part of the local shifts that is motion, 0 to 1."""

    def deviations(self, refiner: Refiner, moved: NDArray[np.float32]) -> NDArray[np.float64]:
        """Estimate how the shift of each patch still differs from that of the whole frame.

        Parameters
        ----------
        refiner
            Learnt from frames like these.
        moved
            (n, height, width), flattened, corrected by what is known.

        Returns
        -------
        ndarray
            (n, patch, 2) as (dy, dx), template pixels, shrunk.
        """
        return self.trust * self._raw(refiner, refiner.by_block(moved), np.ones(self.nearness.shape[1]))

    def _raw(self, refiner: Refiner, evidence: NDArray[np.float64], used: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = self.nearness * used
        information = refiner.information.reshape(-1, 2, 2)
        local = np.einsum("pb,nbk->npk", weights, evidence)
        inverse = np.linalg.inv(np.einsum("pb,bkl->pkl", weights, information))
        whole = np.einsum("b,nbk->nk", used, evidence) @ np.linalg.inv(np.tensordot(used, information, 1)).T
        return np.asarray(np.einsum("pkl,npl->npk", inverse, local) - whole[:, None])


def learn_patches(refiner: Refiner, moved: NDArray[np.float32], side_px: float) -> Patches:
    """Lay patches over the field and learn from a sample how far their shifts can be trusted.

    Parameters
    ----------
    refiner
        Learnt from the same sample.
    moved
        (n, height, width), flattened, corrected rigidly.
    side_px
        Wished side of a patch, in their pixels.
    """
    height, width = moved.shape[1:]
    grid = (max(1, round(height / side_px)), max(1, round(width / side_px)))
    down, across = refiner.information.shape[:2]
    near = [
        np.exp(-(((np.arange(count)[:, None] + 0.5) / count - (np.arange(blocks) + 0.5) / blocks) ** 2) * 2 * count**2)
        for count, blocks in zip(grid, (down, across), strict=True)
    ]
    patches = Patches(grid, np.kron(near[0], near[1]), 1.0)
    black = np.indices((down, across)).sum(0).ravel() % 2
    if grid == (1, 1) or not 0 < black.sum() < black.size:
        return replace(patches, trust=0.0)
    evidence = refiner.by_block(moved)
    halves = [patches._raw(refiner, evidence, used.astype(np.float64)) for used in (black, 1 - black)]
    agreed = float(np.mean(halves[0] * halves[1]))
    total = float(np.mean(patches._raw(refiner, evidence, np.ones(black.size)) ** 2)) + np.finfo(float).tiny
    return replace(patches, trust=float(np.clip(agreed / total, 0, 1)))


def warp_frame(frame: NDArray[np.float32], shifts: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Move each place of a frame by a shift of its own, bilinear; what comes in over the edge repeats the edge.

    Parameters
    ----------
    frame
        (height, width).
    shifts
        (patch, 2) as (dy, dx), px of the frame, at the patches' centres; between them they are interpolated.
    grid
        Patches down and across.
    """
    height, width = frame.shape
    field = cv2.resize(shifts.reshape(*grid, 2), (width, height), interpolation=cv2.INTER_LINEAR)
    rows = np.arange(height, dtype=np.float32)[:, None] - field[..., 0]
    columns = np.arange(width, dtype=np.float32) - field[..., 1]
    moved = cv2.remap(frame, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def patch_ranges(shape: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.int64]:
    """Return where the patches lie: (patch, 4) as (y start, y stop, x start, x stop), px."""
    rows, columns = (
        np.rint(np.linspace(0, size, count + 1)).astype(int) for size, count in zip(shape, grid, strict=True)
    )
    return np.array(
        [
            (top, bottom, left, right)
            for top, bottom in itertools.pairwise(rows)
            for left, right in itertools.pairwise(columns)
        ],
        np.int64,
    )
