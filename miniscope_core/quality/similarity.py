"""How alike two footprints are: by their weights (cosine) or by the outlines around most of them (IoU)."""

from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

ENERGY_FRACTION: Final = 0.9
"""Share of a footprint's summed weight that its mask holds."""


def cosines(first: "sp.csr_array", second: "sp.csr_array") -> NDArray[np.float64]:
    """Return the cosine between every two footprints, (unit of first, unit of second); 0 with an empty one."""
    return np.asarray((_unit_length(first) @ _unit_length(second).T).toarray(), np.float64)


def ious(first: "sp.csr_array", second: "sp.csr_array") -> NDArray[np.float64]:
    """Return the intersection over union of the :func:`energy_masks` of every two footprints; 0 with an empty one.

    Unlike the cosine it compares outlines: a mask drawn wider than the true one loses, however little its rim weighs.

    Returns
    -------
    ndarray
        (unit of first, unit of second), 0 to 1.

    References
    ----------
    minisim 1.0.3, ``metrics.py:588-605`` (``_iou_matrix``).
    """
    masks = energy_masks(first), energy_masks(second)
    common = np.asarray((masks[0] @ masks[1].T).toarray(), np.float64)
    areas = [np.diff(mask.indptr).astype(np.float64) for mask in masks]
    union = areas[0][:, None] + areas[1][None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def energy_masks(footprints: "sp.csr_array", fraction: float = ENERGY_FRACTION) -> "sp.csr_array":
    """Return for each footprint the fewest pixels, brightest first, that hold a fraction of its summed weight.

    Parameters
    ----------
    footprints
        Sparse (unit, pixel), weights at least 0.
    fraction
        Share of the sum, 0 to 1.

    Returns
    -------
    csr_array
        (unit, pixel), ones inside the mask; an empty footprint has an empty mask.

    References
    ----------
    minisim 1.0.3, ``metrics.py:554-585`` (``_energy_masks``), whose default fraction is ours (``metrics.py:48``).
    """
    pixels: list[NDArray[np.integer]] = []
    for begin, end in zip(footprints.indptr, footprints.indptr[1:], strict=False):
        weights = footprints.data[begin:end].astype(np.float64)
        brightest = np.argsort(-weights, kind="stable")
        held = np.cumsum(weights[brightest])
        count = int(np.searchsorted(held, fraction * held[-1])) + 1 if held.size and held[-1] > 0 else 0
        pixels.append(footprints.indices[begin:end][brightest[:count]])
    bounds = np.concatenate([[0], np.cumsum([len(mask) for mask in pixels])]).astype(np.int64)
    indices = np.concatenate([np.zeros(0, np.int64), *pixels])
    return sp.csr_array((np.ones(len(indices), np.float32), indices, bounds), shape=footprints.shape)


def _unit_length(footprints: "sp.csr_array") -> "sp.csr_array":
    rows = sp.csr_array(footprints, dtype=np.float64, copy=True)
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    rows.data /= np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(rows.indptr))
    return rows
