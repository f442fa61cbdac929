"""Measures of masks and traces that need no movie: size, centre, shape, skewness."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import skew

# A footprint of the built-in engine is taken for a soma when it is about as large and as round as a cell body:
# its area within a factor of three of the expected disc, its long axis at most twice the short one.
_AREA_FACTOR: Final = 3.0
_MOST_ELONGATED: Final = 2.0
# Of a centre computed from weights; the spread of two neighbouring pixels is 0.25 px².
_ROUNDING_PX2: Final = 1e-9


@dataclass(frozen=True)
class MaskGeometry:
    """Size, place and shape of the footprints of a result, one entry per unit."""

    npix: NDArray[np.int64]
    """Pixels with weight."""
    center_px: NDArray[np.float64]
    """(unit, 2): centre of mass (y, x); NaN where a footprint is empty."""
    half_area_px: NDArray[np.int64]
    """Pixels above half of the footprint's highest weight."""
    elongation: NDArray[np.float64]
    """Long over short axis of the weights' second moments, from 1; NaN where empty, inf on a line."""


def measure_masks(footprints: "sp.csr_array", shape: tuple[int, int]) -> MaskGeometry:
    """Measure footprints.

    Parameters
    ----------
    footprints
        Sparse (unit, height·width), C-ordered pixels, weights at least 0.
    shape
        Height and width, px.
    """
    count = footprints.shape[0]
    npix = np.zeros(count, np.int64)
    half = np.zeros(count, np.int64)
    center = np.full((count, 2), np.nan)
    elongation = np.full(count, np.nan)
    for unit in range(count):
        entries = slice(footprints.indptr[unit], footprints.indptr[unit + 1])
        weights = footprints.data[entries].astype(np.float64)
        keep = weights > 0
        if not keep.any():
            continue
        weights = weights[keep]
        yx = np.stack(np.unravel_index(footprints.indices[entries][keep], shape)).astype(np.float64)
        npix[unit] = weights.size
        half[unit] = int((weights > weights.max() / 2).sum())
        center[unit] = yx @ weights / weights.sum()
        elongation[unit] = _elongation(yx - center[unit][:, None], weights)
    return MaskGeometry(npix, center, half, elongation)


def _elongation(offsets: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    moments = (offsets * weights) @ offsets.T / weights.sum()
    variances = np.linalg.eigvalsh(moments)
    short, long = np.sqrt(np.where(variances > _ROUNDING_PX2, variances, 0))
    # A single pixel is as round as it can be drawn.
    return 1.0 if long == 0 else float(np.divide(long, short)) if short > 0 else float("inf")


def classify_masks(geometry: MaskGeometry, accepted: NDArray[np.bool_], cell_diameter_px: float | None) -> list[str]:
    """Tell somata from what is not known, by size and roundness.

    Only an accepted unit of a cell body's size and shape is called a soma; everything else is ``unknown``:
    the footprint alone does not tell a dendrite from a vessel's edge.

    Parameters
    ----------
    geometry
        As :func:`measure_masks` returned it.
    accepted
        (unit,), the curation's decision.
    cell_diameter_px
        Width of a cell body at half height, px; None where nobody knows, and then no unit is called a soma.

    Returns
    -------
    list of str
        ``"soma"`` or ``"unknown"`` per unit.
    """
    if cell_diameter_px is None:
        return ["unknown"] * len(accepted)
    disc = np.pi / 4 * cell_diameter_px**2
    fits = (geometry.half_area_px >= disc / _AREA_FACTOR) & (geometry.half_area_px <= disc * _AREA_FACTOR)
    with np.errstate(invalid="ignore"):
        soma = accepted & fits & (geometry.elongation <= _MOST_ELONGATED)
    return ["soma" if is_soma else "unknown" for is_soma in soma]


def skewness_and_variance(traces: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return skewness and variance of traces over frames.

    Parameters
    ----------
    traces
        (unit, frame).

    Returns
    -------
    tuple of ndarray
        Skewness (1) and variance (the unit of the traces, squared), each (unit,). A constant trace has no
        skewness: NaN.
    """
    values = np.asarray(traces, np.float64)
    variance = values.var(axis=1)
    skewness = np.full(len(values), np.nan)
    varies = variance > 0
    if varies.any():
        skewness[varies] = skew(values[varies], axis=1)
    return skewness, variance
