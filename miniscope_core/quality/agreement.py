"""How far two results of the same recording agree: cells found by both, by one only, and how alike those are.

Cells are matched as they are scored (see :mod:`miniscope_core.quality.scoring`): by the assignment that maximises the
summed cosine of footprints, and a pair counts from 0.7. The templates of two motion corrections lie apart by a
constant, which is taken out of their shifts, and, rounded to whole pixels, off the second's footprints.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from miniscope_core.errors import ResultError
from miniscope_core.quality.scoring import COSINE_THRESHOLD, moved, shift_error
from miniscope_core.quality.similarity import cosines
from miniscope_core.result import ProcessingResult


@dataclass(frozen=True)
class Agreement:
    """What two results have in common. Units are positions in their results."""

    first_units: NDArray[np.int64]
    """(unit,), those of the first result that were compared."""
    second_units: NDArray[np.int64]
    pairs: NDArray[np.int64]
    """(pair, 2): unit of the first and of the second result that are the same cell."""
    similarity: NDArray[np.float64]
    """(pair,), cosine of the footprints."""
    trace_r: NDArray[np.float64]
    """(pair,), Pearson r of the denoised traces; NaN where one is constant or not known."""
    activity_r: NDArray[np.float64]
    """(pair,), Pearson r of the activity, frame by frame; NaN likewise."""
    offset_px: tuple[int, int]
    """Whole pixels (dy, dx) by which the second's footprints were moved."""
    shift_rms_px: float
    """Root mean square difference of the shifts over frames and axes, without their constant offset, px; NaN where
    one result does not know its shifts."""

    @property
    def first_only(self) -> NDArray[np.int64]:
        """Units of the first result without a partner."""
        return np.setdiff1d(self.first_units, self.pairs[:, 0])

    @property
    def second_only(self) -> NDArray[np.int64]:
        """Units of the second result without a partner."""
        return np.setdiff1d(self.second_units, self.pairs[:, 1])


def compare_results(
    first: ProcessingResult,
    second: ProcessingResult,
    *,
    units: Literal["accepted", "all"] = "accepted",
    threshold: float = COSINE_THRESHOLD,
) -> Agreement:
    """Match the cells of two results of one recording and compare them.

    Parameters
    ----------
    first, second
        Of any engine.
    units
        ``"accepted"`` by each engine itself, or ``"all"``.
    threshold
        Least cosine of footprints of the same cell.

    Raises
    ------
    ResultError
        When the two have other frames or another size, so that they are not of one recording.
    """
    got, expected = ((one.frame_count, *one.shape) for one in (second, first))
    if got != expected:
        raise ResultError(
            f"Comparing two results: got {got[0]} frames of {got[1]}×{got[2]} px in the second, expected {expected[0]} "
            f"of {expected[1]}×{expected[2]} px as in the first. Are both of the same recording?"
        )
    first_units, second_units = (
        np.flatnonzero(one.accepted) if units == "accepted" else np.arange(one.unit_count) for one in (first, second)
    )
    offset, rms = _shift_difference(first.shifts_px, second.shifts_px)
    rows = (_weights(first, first_units), moved(_weights(second, second_units), first.shape, offset))
    likeness = cosines(*rows)
    ours, theirs = linear_sum_assignment(likeness, maximize=True)
    alike = likeness[ours, theirs] >= threshold
    pairs = np.stack([first_units[ours[alike]], second_units[theirs[alike]]], axis=1).astype(np.int64)
    return Agreement(
        first_units=first_units,
        second_units=second_units,
        pairs=pairs,
        similarity=likeness[ours[alike], theirs[alike]],
        trace_r=_correlations(first.traces[pairs[:, 0]], second.traces[pairs[:, 1]]),
        activity_r=_correlations(first.activity[pairs[:, 0]], second.activity[pairs[:, 1]]),
        offset_px=offset,
        shift_rms_px=rms,
    )


def _weights(result: ProcessingResult, units: NDArray[np.int64]) -> "sp.csr_array":
    return sp.csr_array(result.footprints[units]).maximum(0)


def _shift_difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[tuple[int, int], float]:
    """Return where the second's template lies off the first's, (dy, dx), and the difference without it."""
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return (0, 0), float("nan")
    # The second's shifts stand for the truth: motion is what a correction undoes.
    apart, rms = shift_error(first, -second)
    return (round(-float(apart[0])), round(-float(apart[1]))), rms


def _correlations(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return Pearson's r of each pair of courses, (pair,); NaN where one is constant or not known."""
    courses = [np.asarray(one, np.float64) for one in (first, second)]
    a, b = (one - one.mean(axis=1, keepdims=True) for one in courses)
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    product = (a * b).sum(axis=1)
    return np.asarray(np.divide(product, scale, out=np.full(len(a), np.nan), where=scale > 0))
