"""One update of footprints by hierarchical alternating least squares, for many tiles of the field at once.

References
----------
Cichocki & Phan 2009, doi:10.1587/transfun.E92.A.708.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.tiles import Tiled

_SWEEPS: Final = 6
_TOGETHER: Final = 32
"""Tiles that are worked on at once: enough that the products are no longer small, few enough to share out."""


def sweep(
    weights: NDArray[np.float32],
    sums: NDArray[np.float32],
    gram: NDArray[np.float32],
    masks: Tiled,
    context: Context,
) -> None:
    """Update the weights of every tile in place, one unit after the other, and all again.

    Parameters
    ----------
    weights
        In the rows of the masks, (row, tile pixel).
    sums
        The movie summed over time with the units' courses, in the same rows.
    gram
        Products of the courses, (unit, unit).
    masks
        Where each unit may have weight, zeros and ones.
    context
        Workers.
    """
    lengths = np.diff(masks.starts)
    # Tiles with as many units belong together: those with fewer are filled up with units without power.
    order = np.argsort(lengths, kind="stable")

    def work(batch: NDArray[np.int64]) -> None:
        within = np.arange(int(lengths[batch].max()))
        filled = within < lengths[batch, None]
        rows = (masks.starts[batch, None] + within)[filled]
        block = np.zeros((3, *filled.shape, weights.shape[1]), np.float32)
        for part, values in zip(block, (weights, sums, masks.weights), strict=True):
            part[filled] = values[rows]
        units = np.zeros(filled.shape, np.int64)
        units[filled] = masks.units[rows]
        products = gram[units[:, :, None], units[:, None]] * (filled[:, :, None] & filled[:, None])
        _sweep(block, products)
        weights[rows] = block[0][filled]

    context.each(work, [order[start : start + _TOGETHER] for start in range(0, len(order), _TOGETHER)])


def _sweep(block: NDArray[np.float32], gram: NDArray[np.float32]) -> None:
    """Update the first of three, weights, sums and masks, each (tile, unit, pixel), in place."""
    weights, sums, masks = block
    power = np.einsum("tuu->tu", gram)
    rate = np.divide(1, power, out=np.zeros_like(power), where=power > 0)  # a unit that never shows stays as it is
    for _ in range(_SWEEPS):
        for unit in range(weights.shape[1]):
            step = sums[:, unit] - (gram[:, None, unit] @ weights)[:, 0]
            step *= rate[:, unit, None]
            step += weights[:, unit]
            np.maximum(step, 0, out=step)
            np.multiply(step, masks[:, unit], out=weights[:, unit])
