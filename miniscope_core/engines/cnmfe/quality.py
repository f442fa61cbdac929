"""How far a unit can be trusted: its trace above noise, its footprint against the movie and against a cell's shape.

References
----------
Giovannucci et al. 2019, CaImAn, doi:10.7554/eLife.38173 (component evaluation; same ideas, own definitions).
"""

from typing import Final

import cv2
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.factors import Factors
from miniscope_core.engines.cnmfe.footprints import Footprint
from miniscope_core.engines.cnmfe.movie import ScratchMovie, ScratchRows
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.tiles import over_time
from miniscope_core.engines.cnmfe.traces import blocks

_EVENT_FRAMES: Final = 60
"""Frames in which a unit is brightest; its footprint is compared with their mean."""
_REACH: Final = 1.0
"""Radius of the comparison, in cell diameters: far enough that a fragment of a larger cell shows."""

_HALO_OVERLAP: Final = 0.1
"""Least cosine between footprints of which one may be the other's halo."""
_HALO_BRIGHTER: Final = 1.5
"""How much higher the signal-to-noise of a cell is than that of its halo, at least."""


def spatial_r(movie: ScratchMovie, factors: Factors, context: Context) -> NDArray[np.float32]:
    """Correlate each footprint with the movie at its own events, the other units taken out.

    Parameters
    ----------
    movie
        Background-free movie of the fit.
    factors
        Fitted to it.
    context
        Workers.

    Returns
    -------
    ndarray
        (unit,), −1 to 1.
    """
    if not factors.footprints:
        return np.zeros(0, np.float32)
    traces = factors.centred()
    events = _event_weights(factors.raw)
    discs = factors.footprints.each(lambda footprint: _disc(footprint, factors))
    masks, tiled = discs.tiled, factors.footprints.tiled
    sums = over_time(movie, events, masks, context)
    gram = events @ traces.T
    own = tiled.arranged(masks)
    moments = np.zeros((len(discs), 6))
    for (_, here), (_, there) in zip(masks.tiles(), tiled.tiles(), strict=True):
        units = masks.units[here]
        image = sums[here] - gram[np.ix_(units, tiled.units[there])] @ tiled.weights[there]
        image += gram[units, units][:, None] * own[here]
        x, y = ((masks.weights[here] > 0) * part.astype(np.float64) for part in (image, own[here]))
        parts = ((masks.weights[here] > 0), x, y, x * x, y * y, x * y)
        moments[units] += np.stack([part.sum(1) for part in parts], 1)
    count, sx, sy, sxx, syy, sxy = moments.T
    covariance = sxy - sx * sy / count
    spread = np.sqrt(np.maximum(sxx - sx**2 / count, 0) * np.maximum(syy - sy**2 / count, 0))
    found = np.zeros(len(discs))
    np.divide(covariance, spread, out=found, where=spread > 0)
    return found.astype(np.float32)


def peak_snr(trace: NDArray[np.float32], baseline: float, noise: float) -> float:
    """Return the highest point of a denoised trace above its baseline, in standard deviations of the noise."""
    return float(trace.max() - baseline) / noise if noise > 0 else 0.0


def shapes(footprints: list[Footprint], diameter: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure the region above half of each footprint's peak: how much room it takes and how long it is.

    The room is that of the convex hull, so that a ragged region counts for more than a compact one of the same area:
    light from far out of focus leaves large and ragged footprints once the background is taken out.

    Parameters
    ----------
    footprints
        With at least one weight above zero each.
    diameter
        Of a cell, in their pixels.

    Returns
    -------
    area : ndarray
        (unit,), area of the hull in areas of a disc of a cell's diameter.
    elongation : ndarray
        (unit,), long over short axis of the region's second moments, from 1.
    """
    disc = np.pi / 4 * diameter**2
    area, elongation = np.zeros(len(footprints)), np.ones(len(footprints))
    for unit, footprint in enumerate(footprints):
        y, x = np.nonzero(footprint.weights > 0.5 * footprint.weights.max())
        # Every pixel is a square: its corners, not its centre, span the hull.
        corners = np.concatenate([np.stack([x + dx, y + dy], 1) for dy in (0, 1) for dx in (0, 1)]).astype(np.int32)
        area[unit] = cv2.contourArea(cv2.convexHull(corners)) / disc
        spread = np.cov(np.stack([y, x]), bias=True) + np.eye(2) / 12  # a square's own spread keeps a line finite
        short, long = np.sqrt(np.linalg.eigvalsh(spread))
        elongation[unit] = long / short
    return area, elongation


def halos(
    footprints: "sp.csr_array",
    correlation: NDArray[np.float64],
    snr: NDArray[np.float64],
    least_corr: float,
) -> NDArray[np.bool_]:
    """Tell units that are the halo of a brighter neighbour: they overlap it and their trace follows its trace.

    What a footprint leaves out of its own cell comes back as a dim unit beside it.

    Parameters
    ----------
    footprints
        (unit, pixel).
    correlation
        Of the denoised traces, (unit, unit).
    snr
        (unit,).
    least_corr
        Correlation from which a trace follows another.

    Returns
    -------
    ndarray
        (unit,).
    """
    norms = np.sqrt(np.asarray(footprints.multiply(footprints).sum(1)).ravel())
    overlap = (footprints @ footprints.T).tocoo()
    one, other = overlap.row, overlap.col
    near = overlap.data > _HALO_OVERLAP * norms[one] * norms[other]
    outshone = snr[other] > _HALO_BRIGHTER * snr[one]
    found = np.zeros(len(snr), bool)
    found[one[near & outshone & (correlation[one, other] >= least_corr)]] = True
    return found


def correlate(rows: ScratchRows, step: int) -> NDArray[np.float64]:
    """Correlate every row with every other, in blocks of columns: (row, row); constant rows correlate with none."""
    count, length = rows.shape
    gram, total = np.zeros((count, count)), np.zeros(count)
    for _, block in blocks(rows, step):
        values = block.astype(np.float64)
        gram += values @ values.T
        total += values.sum(1)
    covariance = gram / length - np.outer(total, total) / length**2
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.outer(spread, spread)
    found = np.zeros_like(covariance)
    np.divide(covariance, scale, out=found, where=scale > 0)
    return found


def _event_weights(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight each unit's brightest frames equally, to a sum of one: (unit, frame)."""
    count = min(_EVENT_FRAMES, max(1, raw.shape[1] // 10))
    weights = np.zeros_like(raw)
    for row, out in zip(raw, weights, strict=True):
        smooth = np.convolve(row, np.ones(5, np.float32) / 5, mode="same")
        out[np.argsort(-smooth, kind="stable")[:count]] = 1 / count
    return weights


def _disc(footprint: Footprint, factors: Factors) -> Footprint:
    """A disc around a footprint's middle, joined with its own pixels."""
    height, width = factors.shape
    y, x = footprint.centre
    reach = _REACH * factors.diameter
    rows, columns = footprint.window()
    top, bottom = max(0, min(rows.start, int(y - reach))), min(height, max(rows.stop, int(y + reach) + 2))
    left, right = max(0, min(columns.start, int(x - reach))), min(width, max(columns.stop, int(x + reach) + 2))
    grid_y, grid_x = np.ogrid[top:bottom, left:right]
    disc = ((grid_y - y) ** 2 + (grid_x - x) ** 2 <= reach**2).astype(np.float32)
    inner = disc[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    inner[footprint.weights > 0] = 1
    return Footprint(top, left, disc)
