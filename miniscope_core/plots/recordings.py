"""Pictures of a recording before any analysis, and of the motion that was corrected."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

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


def plot_recording(
    frames: ArrayLike,
    frame_indices: ArrayLike,
    timestamps_s: ArrayLike,
    brightness: ArrayLike,
    *,
    brightness_indices: ArrayLike | None = None,
    dropped: int | None = None,
    title: str = "Recording",
) -> Figure:
    """Draw what a reader saw: a few frames, the mean brightness and the intervals of the frame clock.

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
    figure = new_figure(_FRAME_WIDTH_IN * _MAX_FRAMES, picture_in + 3.4)
    grid = figure.add_gridspec(3, max(1, len(chosen)), height_ratios=(picture_in, 1.2, 1.2))
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
    above.set_xlim(below.get_xlim())
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


def _draw_clock(axes: Axes, times: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> list[str]:
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
    legend_above(axes)
    return [f"{1000 / median:.2f} Hz"] if median > 0 else []
