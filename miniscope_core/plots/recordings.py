"""Pictures of a recording before any analysis, and of the motion that was corrected."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from miniscope_core.plots.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    TITLE,
    VERMILION,
    counted,
    decimated,
    label,
    legend_above,
    limits,
    new_figure,
)
from miniscope_core.plots.traces import TIME_LABEL

_FRAME_WIDTH_IN: Final = 2.4
_MAX_FRAMES: Final = 4
_MAX_SIGNALS: Final = 4
_COLOURS: Final = (BLUE, VERMILION, GREEN)
_GAP: Final = 1.5
"""Intervals longer than this many usual ones are gaps."""


class Course(Protocol):
    """A signal with some channels, as readers give it."""

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> tuple[str, ...]: ...
    @property
    def units(self) -> tuple[str, ...]: ...
    @property
    def times_s(self) -> NDArray[np.float64]: ...
    @property
    def values(self) -> NDArray[np.float64]: ...


def plot_recording(
    frames: ArrayLike,
    frame_indices: ArrayLike,
    timestamps_s: ArrayLike,
    brightness: ArrayLike,
    *,
    brightness_indices: ArrayLike | None = None,
    dropped: int | None = None,
    corrupt_frames: ArrayLike = (),
    invented_times: ArrayLike = (),
    signals: Sequence[Course] = (),
    title: str = "Recording",
) -> Figure:
    """Draw what a reader saw: a few frames, the mean brightness, the intervals of the frame clock, and other signals.

    Gaps in time, corrupt frames and invented times are marked on the clock.

    Parameters
    ----------
    frames
        (n, height, width), raw; at most four are drawn, spread over those given.
    frame_indices
        (n,), which frames they are.
    timestamps_s
        (frame,), the clock of the whole recording, s.
    brightness
        (m,), mean pixel value of frames.
    brightness_indices
        (m,), which frames these are; by default all.
    dropped
        Frames missing, for the title.
    corrupt_frames, invented_times
        Frames that the format calls broken, and frames whose times nobody recorded.
    signals
        Other courses on the same clock; at most four are drawn.
    title
        Above everything; the facts follow it.

    Returns
    -------
    Figure
    """
    stack, times = np.asarray(frames), np.asarray(timestamps_s, np.float64)
    chosen = np.unique(np.linspace(0, len(stack) - 1, min(len(stack), _MAX_FRAMES)).round().astype(int))
    height, width = stack.shape[1:]
    picture_in = float(np.clip(_FRAME_WIDTH_IN * height / width, 1.2, 3.2))
    drawn = signals[:_MAX_SIGNALS]
    figure = new_figure(_FRAME_WIDTH_IN * _MAX_FRAMES, picture_in + 3.4 + 1.4 * len(drawn))
    ratios = (picture_in, 1.2, 1.2, *(1.0 for _ in drawn))
    grid = figure.add_gridspec(len(ratios), max(1, len(chosen)), height_ratios=ratios)
    low, high = limits(stack)
    for column, position in enumerate(chosen):
        index = int(np.asarray(frame_indices)[position])
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(stack[position], cmap="gray", vmin=low, vmax=high)
        label(axes, title=f"frame {index:,}, {times[index]:.2f} s", x="x (px)", y="y (px)" if column == 0 else "")
        axes.tick_params(labelleft=column == 0)
    shown = np.arange(len(times)) if brightness_indices is None else np.asarray(brightness_indices)
    above, below = figure.add_subplot(grid[1, :]), figure.add_subplot(grid[2, :])
    above.plot(*decimated(times[shown], np.asarray(brightness)), color=BLUE, linewidth=0.8)
    label(above, title="Mean brightness", x=TIME_LABEL, y="pixel value")
    facts = [counted(len(times), "frame"), f"{width}×{height} px (width × height)", *_draw_clock(below, times)]
    _mark(below, times, np.asarray(corrupt_frames, int), np.asarray(invented_times, int))
    legend_above(below)
    above.set_xlim(below.get_xlim())
    for row, course in enumerate(drawn, start=3):
        axes = figure.add_subplot(grid[row, :])
        _draw_signal(axes, course)
        axes.set_xlim(below.get_xlim())
    if len(signals) > len(drawn):
        facts.append(f"{len(drawn)} of {len(signals)} signals drawn")
    if dropped is not None:
        facts.append(f"{dropped:,} dropped")
    figure.suptitle(f"{title}: {', '.join(facts)}", fontsize=TITLE + 1, color=INK, x=0.01, ha="left")
    return figure


def plot_shifts(
    shifts_px: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    outlier_frames: ArrayLike | None = None,
    title: str = "Motion correction",
) -> Figure:
    """Draw the correction applied to every frame.

    Parameters
    ----------
    shifts_px
        (frame, 2), (dy, dx), px.
    timestamps_s
        (frame,), s.
    outlier_frames
        (n,), frames whose shift was replaced; marked.
    title
        Above the plot; the standard deviations follow it.

    Returns
    -------
    Figure
    """
    figure = new_figure(9.0, 4.0)
    above = figure.add_subplot(2, 1, 1)
    below = figure.add_subplot(2, 1, 2, sharex=above, sharey=above)
    draw_shifts(above, shifts_px, timestamps_s, outlier_frames=outlier_frames, title=title, directions=("dy",))
    draw_shifts(below, shifts_px, timestamps_s, outlier_frames=outlier_frames, directions=("dx",))
    above.set_xlabel("")
    above.tick_params(labelbottom=False)
    return figure


def draw_shifts(
    axes: Axes,
    shifts_px: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    outlier_frames: ArrayLike | None = None,
    title: str = "",
    directions: Sequence[str] = ("dy", "dx"),
) -> None:
    """Draw shifts on axes, one or both directions; see :func:`plot_shifts`."""
    shifts, times = np.asarray(shifts_px, np.float64), np.asarray(timestamps_s, np.float64)
    for axis, (name, colour) in enumerate((("dy", BLUE), ("dx", VERMILION))):
        if name in directions:
            spread = f"{name} (s.d. {shifts[:, axis].std():.2f} px)"
            course = decimated(times, shifts[:, axis])
            axes.plot(*course, color=colour, linewidth=0.7, alpha=0.8, label=spread)
    if outlier_frames is not None and len(replaced := np.asarray(outlier_frames, int)):
        spot = np.full(len(replaced), shifts.max())
        axes.plot(times[replaced], spot, "v", color=GREEN, markersize=4, label=counted(len(replaced), "outlier"))
    axes.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    axes.set_xlim(times[0], max(times[-1], times[0] + 1e-9))
    label(
        axes,
        title=title,
        x=TIME_LABEL,
        y="shift applied (px)" if len(directions) > 1 else f"{directions[0]} applied (px)",
    )
    legend_above(axes)


def _draw_clock(axes: Axes, times: NDArray[np.float64]) -> list[str]:
    """Draw the intervals between frames and return what the title says of them."""
    label(axes, title="Frame clock", x=TIME_LABEL, y="interval (ms)")
    axes.set_xlim(times[0], max(times[-1], times[0] + 1e-9))
    if len(times) < 2:
        return []
    intervals = np.round(np.diff(times) * 1000, 3)  # below a microsecond there is only rounding
    median = float(np.median(intervals))
    axes.plot(*decimated(times[1:], intervals), color=GREY, linewidth=0.7)
    span = max(0.1 * abs(median), 1.0)  # so that a regular clock looks regular
    axes.set_ylim(min(median - span, intervals.min() - 0.1 * span), max(median + span, intervals.max() + 0.1 * span))
    axes.axhline(median, color=VERMILION, linewidth=0.8, linestyle=(0, (4, 2)), label=f"median {median:.1f} ms")
    return [f"{1000 / median:.2f} Hz"] if median > 0 else []


def _mark(axes: Axes, times: NDArray[np.float64], corrupt: NDArray[np.int_], invented: NDArray[np.int_]) -> None:
    """Mark what is not as a clock should be: gaps above, frames without data or times of their own below."""
    steps = np.diff(times)
    median = float(np.median(steps)) if len(steps) else 0.0
    gaps = times[1:][steps > _GAP * median] if median > 0 else times[:0]
    across = axes.get_xaxis_transform()
    for where, height, sign, colour, what in (
        (gaps, 0.96, "v", GREEN, counted(len(gaps), "gap")),
        (times[corrupt], 0.06, "|", VERMILION, counted(len(corrupt), "corrupt frame")),
        (times[invented], 0.16, "|", BLUE, counted(len(invented), "invented time")),
    ):
        if len(where):
            heights = np.full(len(where), height)
            axes.plot(where, heights, sign, color=colour, markersize=5, transform=across, label=what, clip_on=False)


def _draw_signal(axes: Axes, course: Course) -> None:
    """Draw the channels of a signal that have the unit of its first."""
    same = [index for index, unit in enumerate(course.units) if unit == course.units[0]][: len(_COLOURS)]
    for index, colour in zip(same, _COLOURS, strict=False):
        alone = len(course.channels) == 1
        axes.plot(
            *decimated(course.times_s, course.values[:, index]),
            color=colour,
            linewidth=0.8,
            label=None if alone else course.channels[index],
            # A channel of a box lists its changes: in between it stays.
            drawstyle="steps-post" if alone else "default",
        )
    more = len(course.channels) - len(same)
    title = course.name + (f", and {counted(more, 'more channel')}" if more else "")
    label(axes, title=title, x=TIME_LABEL, y=course.units[0] or "value")
    if len(course.channels) > 1:
        legend_above(axes)
