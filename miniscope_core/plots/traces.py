"""Courses of units against time in seconds: many stacked, or one with its mask."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from miniscope_core.plots.figures import (
    ACCEPTED,
    BLUE,
    GREY,
    INK,
    SMALL,
    TITLE,
    VERMILION,
    counted,
    decimated,
    label,
    legend_above,
    limits,
    new_figure,
    number,
    say_nothing_there,
)
from miniscope_core.plots.images import outline

MAX_TRACES: Final = 30
"""More courses than this do not fit on a page."""
TIME_LABEL: Final = "time (s)"
_ACTIVITY_HEIGHT: Final = 0.28


def plot_traces(
    fluorescence: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    denoised: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    mask_ids: Sequence[int] | NDArray[Any] | None = None,
    title: str = "Fluorescence",
    max_traces: int = MAX_TRACES,
) -> Figure:
    """Draw courses stacked above each other, each scaled to its own range, which is written at its right.

    Parameters
    ----------
    fluorescence
        (unit, frame), as extracted, a.u.
    timestamps_s
        (frame,), s.
    denoised
        (unit, frame), drawn over the fluorescence.
    activity
        (unit, frame), drawn as marks below it, each unit's highest at full height.
    mask_ids
        (unit,), written at the left; by default their positions.
    title
        Above the plot; the count follows it.
    max_traces
        Only the first so many are drawn, and the title says so.

    Returns
    -------
    Figure
    """
    courses = np.asarray(fluorescence)
    shown = min(len(courses), max_traces)
    figure = new_figure(9.0, 1.6 + 0.26 * max(shown, 4))
    draw_traces(
        figure.add_subplot(),
        courses,
        timestamps_s,
        denoised=denoised,
        activity=activity,
        mask_ids=mask_ids,
        title=title,
        max_traces=max_traces,
    )
    return figure


def draw_traces(
    axes: Axes,
    fluorescence: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    denoised: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    mask_ids: Sequence[int] | NDArray[Any] | None = None,
    title: str = "",
    heading: str = "",
    max_traces: int = MAX_TRACES,
) -> None:
    """Draw stacked courses on axes; see :func:`plot_traces`. A ``heading`` replaces title and count."""
    courses, times = np.asarray(fluorescence), np.asarray(timestamps_s, np.float64)
    count, shown = len(courses), min(len(courses), max_traces)
    ids = np.arange(count) if mask_ids is None else np.asarray(mask_ids)
    counts = counted(count, "mask") if shown == count else f"{shown:,} of {counted(count, 'mask')}"
    label(axes, title=heading or (f"{title}, {counts}" if title else counts), x=TIME_LABEL, y="mask")
    axes.set_xlim(times[0], max(times[-1], times[0] + 1e-9))
    if shown == 0:
        say_nothing_there(axes, "no masks")
        axes.set_yticks([])
        return
    ranges = [
        _draw_course(axes, unit, times, courses[unit], _row(denoised, unit), _row(activity, unit))
        for unit in range(shown)
    ]
    axes.set_yticks([-unit + 0.25 for unit in range(shown)], [str(ids[unit]) for unit in range(shown)])
    axes.set_ylim(-shown + 1 - 0.4, 1.15)
    for unit, extent in enumerate(ranges):
        axes.text(
            1.005, -unit + 0.25, number(extent), transform=axes.get_yaxis_transform(), fontsize=SMALL - 1, va="center"
        )
    axes.text(1.005, 1.0, "range\n(a.u.)", transform=axes.transAxes, fontsize=SMALL - 1, va="bottom", color=INK)
    _legend(axes, denoised is not None, activity is not None)


def plot_mask_activity(
    footprint: ArrayLike,
    fluorescence: ArrayLike,
    activity: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    mask_id: int = 0,
    denoised: ArrayLike | None = None,
    activity_unit: str = "a.u.",
    title: str = "",
) -> Figure:
    """Draw one mask: its footprint, its fluorescence and its deconvolved activity.

    Parameters
    ----------
    footprint
        (height, width) of the whole field; the picture shows the part around the mask.
    fluorescence
        (frame,), as extracted, a.u.
    activity
        (frame,), deconvolved.
    timestamps_s
        (frame,), s.
    mask_id
        For the title.
    denoised
        (frame,), drawn over the fluorescence.
    activity_unit
        Unit of the activity.
    title
        More for the title, such as the mask's type.

    Returns
    -------
    Figure
    """
    field = np.asarray(footprint)
    times = np.asarray(timestamps_s, np.float64)
    figure = new_figure(10.0, 3.6)
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 3.2), height_ratios=(1.5, 1))
    heading = f"Mask {mask_id}" + (f", {title}" if title else "")
    figure.suptitle(heading, fontsize=TITLE + 1, color=INK, x=0.01, ha="left")
    _draw_footprint(figure.add_subplot(grid[:, 0]), field)

    above = figure.add_subplot(grid[0, 1])
    above.plot(*decimated(times, np.asarray(fluorescence)), color=GREY, linewidth=0.7, label="as extracted")
    if denoised is not None:
        above.plot(*decimated(times, np.asarray(denoised)), color=BLUE, linewidth=1.0, label="denoised")
        legend_above(above)
    label(above, y="fluorescence (a.u.)")
    above.tick_params(labelbottom=False)
    below = figure.add_subplot(grid[1, 1], sharex=above)
    below.plot(*decimated(times, np.asarray(activity)), color=VERMILION, linewidth=0.8)
    label(below, x=TIME_LABEL, y=f"activity ({activity_unit})")
    below.set_xlim(times[0], max(times[-1], times[0] + 1e-9))
    figure.align_ylabels([above, below])
    return figure


def _draw_footprint(axes: Axes, field: NDArray[Any]) -> None:
    pixels = counted(int(np.count_nonzero(field > 0)), "pixel")
    lit = np.argwhere(field > 0.05 * max(float(field.max(initial=0)), 0.0))
    if len(lit) == 0:
        label(axes, title="Empty footprint", x="x (px)", y="y (px)")
        return
    margin = 5
    (top, left), (bottom, right) = np.maximum(lit.min(0) - margin, 0), np.minimum(lit.max(0) + margin + 1, field.shape)
    crop = field[top:bottom, left:right]
    low, high = limits(crop, 0, 100)
    axes.imshow(
        crop, cmap="gray", vmin=min(low, 0), vmax=high, extent=(left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    )
    rows = sp.csr_array(field.reshape(1, field.size))
    lines = outline(rows, 0, (field.shape[0], field.shape[1]))
    axes.add_collection(LineCollection(lines, colors=ACCEPTED, linewidths=1.2))
    label(axes, title=f"Footprint, {pixels}", x="x (px)", y="y (px)")


def _draw_course(
    axes: Axes,
    unit: int,
    times: NDArray[np.float64],
    fluorescence: NDArray[Any],
    denoised: NDArray[Any] | None,
    activity: NDArray[Any] | None,
) -> float:
    """Draw one course one step lower than the last and return its range, a.u."""
    low, high = limits(fluorescence, 1.0, 100.0)
    scale = 0.62 / (high - low)  # leaves room for the marks of the course above
    x, y = decimated(times, fluorescence)
    axes.plot(x, (y - low) * scale - unit, color=GREY, linewidth=0.6, alpha=0.9, clip_on=False, zorder=2)
    if denoised is not None:
        x, y = decimated(times, denoised)
        axes.plot(x, (y - low) * scale - unit, color=BLUE, linewidth=0.9, clip_on=False, zorder=3)
    if activity is not None and activity.max(initial=0) > 0:
        x, y = decimated(times, activity)
        x, y = x[y > 0], y[y > 0] / float(activity.max())
        foot = np.full_like(x, -unit - 0.34)
        marks = np.stack([np.stack([x, foot], 1), np.stack([x, foot + _ACTIVITY_HEIGHT * y], 1)], 1)
        axes.add_collection(LineCollection(list(marks), colors=VERMILION, linewidths=0.7, zorder=1))
    return high - low


def _legend(axes: Axes, denoised: bool, activity: bool) -> None:
    handles = [Line2D([], [], color=GREY, linewidth=1, label="as extracted")]
    if denoised:
        handles.append(Line2D([], [], color=BLUE, linewidth=1.2, label="denoised"))
    if activity:
        handles.append(Line2D([], [], color=VERMILION, linewidth=1.2, label="activity"))
    legend_above(axes, handles)


def _row(values: ArrayLike | None, unit: int) -> NDArray[Any] | None:
    return None if values is None else np.asarray(values)[unit]
