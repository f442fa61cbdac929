"""One page that shows a result: where the cells are, what they did, how the field moved, and how good they look."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from miniscope_core.plots.figures import (
    ACCEPTED,
    INK,
    REJECTED,
    TITLE,
    label,
    legend_above,
    new_figure,
    say_nothing_there,
)
from miniscope_core.plots.images import Footprints, draw_contours, draw_image
from miniscope_core.plots.recordings import draw_shifts
from miniscope_core.plots.traces import draw_traces

_TRACES: Final = 14


def plot_overview(
    image: ArrayLike,
    footprints: Footprints,
    fluorescence: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    trace_units: ArrayLike | None = None,
    accepted: ArrayLike | None = None,
    denoised: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    shifts_px: ArrayLike | None = None,
    snr: ArrayLike | None = None,
    r_value: ArrayLike | None = None,
    mask_ids: Sequence[int] | NDArray[Any] | None = None,
    title: str = "",
) -> Figure:
    """Draw a result on one page.

    Parameters
    ----------
    image
        (height, width), usually the correlation image.
    footprints
        Sparse (unit, height·width) over C-ordered pixels, or dense (unit, height, width).
    fluorescence, denoised, activity
        (unit, frame); the accepted units of the highest SNR are drawn.
    timestamps_s
        (frame,), s.
    trace_units
        (n,), the positions of the units that the rows of ``fluorescence``, ``denoised`` and ``activity`` are of,
        so that a long recording need not bring them all; left out, of every unit.
    accepted
        (unit,), bool; left out, all are.
    shifts_px
        (frame, 2), (dy, dx), the correction applied, px.
    snr, r_value
        (unit,), quality measures.
    mask_ids
        (unit,), by default their positions.
    title
        Above the page.

    Returns
    -------
    Figure
    """
    courses = np.asarray(fluorescence)
    traced = np.arange(len(courses)) if trace_units is None else np.asarray(trace_units, np.int64)
    count = footprints.shape[0]
    keep = np.ones(count, bool) if accepted is None else np.asarray(accepted, bool)
    ids = np.arange(count) if mask_ids is None else np.asarray(mask_ids)
    picture = np.asarray(image)
    figure = new_figure(12.0, 7.6)
    if title:
        figure.suptitle(title, fontsize=TITLE + 2, color=INK, x=0.01, ha="left")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.25), height_ratios=(1.9, 1))
    field = figure.add_subplot(grid[0, 0])
    draw_image(field, picture)
    draw_contours(field, footprints, picture.shape, ids, keep)

    best = _best(keep, snr)
    best = best[np.isin(best, traced)]
    rows = np.array([int(np.flatnonzero(traced == unit)[0]) for unit in best], np.int64)
    draw_traces(
        figure.add_subplot(grid[0, 1]),
        courses[rows],
        timestamps_s,
        denoised=None if denoised is None else np.asarray(denoised)[rows],
        activity=None if activity is None else np.asarray(activity)[rows],
        mask_ids=ids[best],
        heading=_traces_heading(int(keep.sum()), min(len(best), _TRACES), snr is not None),
        max_traces=_TRACES,
    )
    _draw_quality(figure.add_subplot(grid[1, 0]), keep, snr, r_value)
    motion = figure.add_subplot(grid[1, 1])
    if shifts_px is None:
        label(motion, title="Motion correction")
        say_nothing_there(motion, "no shifts")
    else:
        draw_shifts(motion, shifts_px, timestamps_s, title="Motion correction")
    return figure


def _traces_heading(accepted: int, shown: int, ranked: bool) -> str:
    if shown == accepted:
        return f"{accepted:,} accepted"
    return f"{shown:,} of {accepted:,} accepted" + (", highest SNR first" if ranked else "")


def _best(accepted: NDArray[np.bool_], snr: ArrayLike | None) -> NDArray[np.int64]:
    """Return positions of accepted units, best SNR first where it is known."""
    units = np.flatnonzero(accepted)
    if snr is None:
        return units
    return units[np.argsort(-np.nan_to_num(np.asarray(snr, np.float64)[units], nan=-np.inf), kind="stable")]


def _draw_quality(axes: Axes, accepted: NDArray[np.bool_], snr: ArrayLike | None, r_value: ArrayLike | None) -> None:
    if snr is None or len(accepted) == 0:
        label(axes, title="Quality", x="", y="")
        axes.set_xticks([])
        axes.set_yticks([])
        say_nothing_there(axes, "no masks" if len(accepted) == 0 else "no quality measures")
        return
    ratio = np.asarray(snr, np.float64)
    groups = ((accepted, ACCEPTED, "o", "accepted"), (~accepted, REJECTED, "x", "rejected"))
    if r_value is None:
        finite = ratio[np.isfinite(ratio)]
        bins = np.linspace(0, max(float(finite.max(initial=1.0)), 1.0), 25).tolist()
        for group, colour, _, name in groups:
            axes.hist(ratio[group & np.isfinite(ratio)], bins=bins, color=colour, alpha=0.8, label=name)
        label(axes, title="Quality", x="signal-to-noise ratio", y="masks")
    else:
        fit = np.asarray(r_value, np.float64)
        for group, colour, marker, name in groups:
            shown = f"{name} ({int(group.sum()):,})"
            axes.plot(ratio[group], fit[group], marker, color=colour, markersize=4, alpha=0.9, label=shown)
        label(axes, title="Quality", x="signal-to-noise ratio", y="spatial r")
    legend_above(axes)
