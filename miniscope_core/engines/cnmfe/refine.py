"""The last fraction of a pixel: shifts by weighted least squares that discount what active cells do.

Correlating a frame with a template leaves an error of a few tenths of a pixel, and most of it is not noise: an active
cell beside a bright neighbour looks like that neighbour moved. So the residual of a frame, already moved back, is
explained by the template's gradient with every small block of the field weighted by the inverse of its own covariance
over the recording: what the cells of a block are seen to do counts for little, and the other blocks outvote it. The
whole estimate is one linear map of a frame, so it costs two inner products.

References
----------
Aitken 1936, generalised least squares, doi:10.1017/S0370164600014346.
Baker & Matthews 2004, linearised image alignment, doi:10.1023/B:VISI.0000011205.11775.fd.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.parallel import Context

_BLOCK: Final = 1.8
"""Side of a block in cell diameters: a cell and its surround, and few enough pixels to know their covariance."""
_EDGE_PX: Final = 4
_LOADING: Final = 0.1
"""Noise variance added to a block's covariance, over and above what the size of the sample asks for."""
_NOISE_FRAMES: Final = 50
_REACH_PX: Final = 1.0
"""Beyond one pixel of the template the linear map means nothing."""
_DERIVATIVE: Final = np.array([1, -8, 0, 8, -1]) / 12


@dataclass(frozen=True)
class Refiner:
    """A linear map from a flattened frame, moved back by its first shift, to what is still missing."""

    image: NDArray[np.float32]
    """Mean of the sample, (height, width): what frames are compared with."""
    block_px: int
    """Side of a block, in template pixels."""
    scores: NDArray[np.float32]
    """(2, height, width): gradient over covariance, block by block."""
    offsets: NDArray[np.float32]
    """(2, blocks down, blocks across): what the template itself scores in each block."""
    information: NDArray[np.float64]
    """(blocks down, blocks across, 2, 2): inverse covariance of each block's own estimate."""

    def rigid(self, moved: NDArray[np.float32]) -> NDArray[np.float64]:
        """Estimate the correction that each frame still needs.

        Parameters
        ----------
        moved
            (n, height, width), flattened, corrected by a first shift.

        Returns
        -------
        ndarray
            (n, 2) as (dy, dx), template pixels; zero where it would exceed a pixel.
        """
        flat = self.scores.reshape(2, -1)
        summed = (moved.reshape(len(moved), -1) @ flat.T).astype(np.float64) - self.offsets.sum((1, 2))
        found = summed @ np.linalg.inv(self.information.sum((0, 1))).T
        return np.where(np.abs(found).max(1, keepdims=True) > _REACH_PX, 0, found)

    def by_block(self, moved: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each block says: (n, block, 2), to be multiplied by the inverse of information."""
        height, width = moved.shape[1:]
        edges = [np.arange(0, size, self.block_px) for size in (height, width)]
        found = np.empty((len(moved), 2, self.offsets[0].size))
        for frame, out in zip(moved, found, strict=True):
            summed = np.add.reduceat(np.add.reduceat(self.scores * frame, edges[0], axis=1), edges[1], axis=2)
            out[...] = (summed - self.offsets).reshape(2, -1)
        return found.transpose(0, 2, 1)


def learn_refiner(moved: NDArray[np.float32], diameter: float, context: Context) -> Refiner:
    """Learn from a sample which pixels tell motion from activity.

    Parameters
    ----------
    moved
        (n, height, width), flattened frames of a sample, corrected as well as is known.
    diameter
        Of a cell, in their pixels.
    context
        Workers.
    """
    count, height, width = moved.shape
    image = moved.mean(0)
    gradient = np.stack([ndi.correlate1d(image, _DERIVATIVE, axis, mode="nearest") for axis in (0, 1)])
    noise = _noise_variance(moved[:: max(1, count // _NOISE_FRAMES)] - image) if count > 1 else 0.0
    noise = max(noise, 1e-3 * float(np.mean(gradient**2)) + float(np.finfo(np.float32).tiny))
    side = max(4, round(_BLOCK * diameter))
    down, across = -(-height // side), -(-width // side)
    scores = np.zeros((2, height, width), np.float32)
    offsets = np.zeros((2, down, across), np.float32)
    information = np.zeros((down, across, 2, 2))

    def learn(block: tuple[int, ...]) -> None:
        row, column = block
        window = (
            slice(max(row * side, _EDGE_PX), min((row + 1) * side, height - _EDGE_PX)),
            slice(max(column * side, _EDGE_PX), min((column + 1) * side, width - _EDGE_PX)),
        )
        slope = gradient[(slice(None), *window)].reshape(2, -1).astype(np.float64)
        pixels = slope.shape[1]
        if not pixels:
            return
        residual = (moved[(slice(None), *window)] - image[window]).reshape(count, pixels)
        covariance = (residual.T @ residual).astype(np.float64) / count
        # Of a sample no larger than the block, the covariance knows little: the more is added.
        covariance[np.diag_indices(pixels)] += (_LOADING + pixels / count) * noise
        weighted = np.linalg.solve(covariance, slope.T).T
        scores[(slice(None), *window)] = weighted.reshape(2, *image[window].shape)
        offsets[:, row, column] = weighted @ image[window].ravel()
        information[row, column] = (weighted @ slope.T + slope @ weighted.T) / 2

    context.each(learn, list(np.ndindex(down, across)))
    information += np.finfo(np.float32).tiny * np.eye(2)
    return Refiner(image, side, scores, offsets, information)


def _noise_variance(residual: NDArray[np.float32]) -> float:
    """Return the variance of what changes from pixel to pixel: noise does, cells and their surround do not."""
    rough = residual[:, 1:, 1:] - residual[:, :-1, 1:] - residual[:, 1:, :-1] + residual[:, :-1, :-1]
    return float(np.median(np.mean(rough**2, axis=0))) / 4
