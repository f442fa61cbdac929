"""Scores of a result against the ground truth of a simulated recording.

A unit *finds* a cell when the two are partners in the assignment that maximises the summed cosine of footprints, and
their own cosine is at least 0.7. The cosine compares weights and not outlines, so a mask drawn a little wider or
narrower under optical blur stays a find, and a mask over two neighbours does not. On request the overlap of masks
(``similarity="iou"``, at least 0.3) takes the cosine's place: it is what others report.

Two conventions are absorbed, because neither is a mistake of the method:

- **The constant offset.** Motion correction aligns frames to a template whose own position is arbitrary. With
  ``correction = -motion + offset`` the offset is the mean over frames of ``-correction - motion`` (per axis); it is
  taken out of the shift error, and footprints are moved by it, rounded to whole pixels, before they are compared.
- **The scale** of traces and activity: both are compared by Pearson's r.

Traces and activity are compared over every assigned pair whose footprints overlap at all, also below the threshold.
These are the definitions of the public simulator minisim's own scorer, with which the numbers agree.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from miniscope_core.errors import ResultError
from miniscope_core.quality.similarity import cosines, ious
from miniscope_core.quality.truth import GroundTruth
from miniscope_core.result import ProcessingResult

Similarity = Literal["cosine", "iou"]

COSINE_THRESHOLD: Final = 0.7
IOU_THRESHOLD: Final = 0.3
"""Least overlap of masks that counts as a find where masks are compared: under blur 0.5 mostly measures their width."""
_SIMILARITIES: Final = {"cosine": (cosines, COSINE_THRESHOLD), "iou": (ious, IOU_THRESHOLD)}


@dataclass(frozen=True)
class Score:
    """How well units agree with the truth; nan where there was nothing to compare."""

    unit_count: int
    """Units that were scored."""
    true_count: int
    """Cells they were scored against: the detectable ones, unless all were asked for."""
    planted_count: int
    """Cells of the simulation, detectable or not."""
    found_count: int
    """Cells found: partners at least as similar as the threshold."""
    mean_similarity: float
    """Mean cosine, or overlap of masks, of the partners that overlap."""
    trace_correlation: float
    """Median Pearson r of partners' traces."""
    activity_correlation: float
    """Median Pearson r of partners' activity with the true spikes per frame."""
    shift_rmse_px: float
    """Root mean square error of the shifts over frames and both axes, px, without the constant offset."""
    offset_px: tuple[int, int]
    """Whole pixels (dy, dx) by which footprints were moved before they were compared."""
    pairs: NDArray[np.int64]
    """(found, 2): position of the unit, position of the true cell among all planted ones."""

    @property
    def precision(self) -> float:
        """Found over scored units; 0 without units."""
        return self.found_count / self.unit_count if self.unit_count else 0.0

    @property
    def recall(self) -> float:
        """Found over true cells; 0 without cells."""
        return self.found_count / self.true_count if self.true_count else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when both are."""
        both = self.unit_count + self.true_count
        return 2 * self.found_count / both if both else 0.0

    def summary(self) -> str:
        """Return the score in one line for people."""
        return (
            f"found {self.found_count} of {self.true_count} cells with {self.unit_count} units "
            f"(F1 {self.f1:.2f}, precision {self.precision:.2f}, recall {self.recall:.2f}); "
            f"trace r {self.trace_correlation:.2f}, activity r {self.activity_correlation:.2f}, "
            f"shift error {self.shift_rmse_px:.2f} px"
        )


def score_result(
    result: ProcessingResult,
    truth: GroundTruth,
    *,
    units: Literal["accepted", "all"] = "accepted",
    similarity: Similarity = "cosine",
    threshold: float | None = None,
) -> Score:
    """Score an engine's result; by default the units that it accepted itself.

    Parameters
    ----------
    result
        Of the recording that ``truth`` belongs to.
    truth
        Its ground truth.
    units
        ``"accepted"`` or ``"all"``.
    similarity, threshold
        As in :func:`score_units`.

    Raises
    ------
    ResultError
        When the result has other frames or another size than the truth.
    """
    keep = result.accepted if units == "accepted" else np.ones(result.unit_count, bool)
    return score_units(
        sp.csr_array(result.footprints[np.flatnonzero(keep)]),
        truth,
        traces=result.traces[keep],
        activity=result.activity[keep],
        shifts_px=result.shifts_px,
        similarity=similarity,
        threshold=threshold,
    )


def score_units(
    footprints: "sp.sparray | sp.spmatrix",
    truth: GroundTruth,
    *,
    traces: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    shifts_px: ArrayLike | None = None,
    similarity: Similarity = "cosine",
    threshold: float | None = None,
    detectable_only: bool = True,
) -> Score:
    """Score units against the truth.

    Parameters
    ----------
    footprints
        Sparse (unit, height·width), C-ordered pixels; negative weights count as zero.
    truth
        What is true.
    traces, activity
        (unit, frame); left out, their score is nan.
    shifts_px
        (frame, 2), the correction applied, (dy, dx); left out or with nan, no offset is absorbed and the error is nan.
    similarity
        ``"cosine"`` of the weights, or ``"iou"``: overlap of the masks that hold nine tenths of them. The assignment
        maximises its sum.
    threshold
        Least similarity of a find; by default 0.7 for the cosine, 0.3 for the overlap.
    detectable_only
        Score against the detectable cells: the fair denominator of the recall.

    Returns
    -------
    Score

    Raises
    ------
    ResultError
        When an array has another shape than the truth asks for.
    """
    estimate = sp.csr_array(footprints).maximum(0)
    _check("footprints", estimate.shape[1:], truth.footprints.shape[1:])
    keep = truth.detectable if detectable_only else np.ones(truth.unit_count, bool)
    target = truth.select(keep)
    offset = np.zeros(2)
    rmse = float("nan")
    if shifts_px is not None and truth.motion_px is not None and np.isfinite(shifts_px).all():
        offset, rmse = shift_error(shifts_px, truth.motion_px)
    moved_px = (round(float(offset[0])), round(float(offset[1])))
    compare, usual = _SIMILARITIES[similarity]
    likeness = compare(moved(sp.csr_array(estimate), truth.shape, moved_px), target.footprints)
    rows, columns = linear_sum_assignment(likeness, maximize=True)
    values = likeness[rows, columns]
    overlap, found = values > 0, values >= (usual if threshold is None else threshold)
    partners = rows[overlap], columns[overlap]
    return Score(
        unit_count=int(estimate.shape[0]),
        true_count=target.unit_count,
        planted_count=truth.unit_count,
        found_count=int(found.sum()),
        mean_similarity=float(values[overlap].mean()) if overlap.any() else 0.0,
        trace_correlation=_median_r("traces", traces, target.traces, partners, len(likeness)),
        activity_correlation=_median_r("activity", activity, target.spikes, partners, len(likeness)),
        shift_rmse_px=rmse,
        offset_px=moved_px,
        pairs=np.stack([rows[found], np.flatnonzero(keep)[columns[found]]], axis=1).astype(np.int64),
    )


def shift_error(shifts_px: ArrayLike, motion_px: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Compare a correction with the true motion.

    Parameters
    ----------
    shifts_px
        (frame, 2), the correction applied, (dy, dx), px.
    motion_px
        (frame, 2), how far the scene moved, (dy, dx), px.

    Returns
    -------
    offset, rmse
        The constant (dy, dx) by which the template is off the scene at rest, to be *added* to footprint positions, px;
        and the root mean square error over frames and axes once it is taken out, px.

    Raises
    ------
    ResultError
        When the two have different shapes.
    """
    shifts, motion = np.asarray(shifts_px, np.float64), np.asarray(motion_px, np.float64)
    _check("shifts_px", shifts.shape, motion.shape)
    residual = -shifts - motion
    offset = residual.mean(axis=0)
    return offset, float(np.sqrt(np.mean((residual - offset) ** 2)))


def moved(footprints: "sp.csr_array", shape: tuple[int, int], offset_px: tuple[int, int]) -> "sp.csr_array":
    """Move footprints by whole pixels (dy, dx); what leaves the field is cut off.

    Parameters
    ----------
    footprints
        (unit, height·width), C-ordered pixels.
    shape
        Height and width, px.
    offset_px
        (dy, dx); content at (y, x) goes to (y + dy, x + dx).
    """
    if offset_px == (0, 0):
        return footprints
    entries = sp.coo_array(footprints)
    unit, pixel = entries.coords
    y, x = pixel // shape[1] + offset_px[0], pixel % shape[1] + offset_px[1]
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    parts = (entries.data[inside], (unit[inside], (y * shape[1] + x)[inside]))
    return sp.csr_array(parts, shape=footprints.shape)


def _median_r(
    name: str,
    estimate: ArrayLike | None,
    target: NDArray[np.float32],
    partners: tuple[NDArray[np.int64], NDArray[np.int64]],
    unit_count: int,
) -> float:
    """Return the median correlation of partners; those with a constant course on either side say nothing."""
    if estimate is None:
        return float("nan")
    courses = np.asarray(estimate, np.float64)
    _check(name, courses.shape, (unit_count, target.shape[1]))
    first, second = courses[partners[0]], target[partners[1]].astype(np.float64)
    first = first - first.mean(axis=1, keepdims=True) if len(first) else first
    second = second - second.mean(axis=1, keepdims=True) if len(second) else second
    scale = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    defined = scale > 0
    if not defined.any():
        return float("nan")
    return float(np.median((first * second).sum(axis=1)[defined] / scale[defined]))


def _check(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(got) != tuple(expected):
        raise ResultError(
            f"Scoring {name}: got shape {tuple(got)}, expected {tuple(expected)} as in the truth. "
            "Is this the truth of this recording?"
        )
