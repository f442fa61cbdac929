"""Two results of one recording in one picture: outlines of both, and how alike the cells are that both found."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from miniscope_core.plots.figures import (
    ACCEPTED,
    INK,
    REJECTED,
    TITLE,
    counted,
    label,
    legend_above,
    new_figure,
    say_nothing_there,
)
from miniscope_core.plots.images import draw_image, draw_lines, outline

_BINS: Final = np.linspace(-0.2, 1, 25)


def plot_agreement(
    image: ArrayLike,
    first: "sp.csr_array",
    second: "sp.csr_array",
    pairs: ArrayLike,
    trace_r: ArrayLike,
    activity_r: ArrayLike,
    *,
    names: tuple[str, str] = ("first", "second"),
    title: str = "",
) -> Figure:
    """Draw where two results found cells, and the correlations of those that both found.

    The first's outlines are orange and solid, the second's blue and dashed. A cell that only one found carries a mark
    in its middle: a cross of the first, a plus of the second.

    Parameters
    ----------
    image
        (height, width), usually the correlation image.
    first, second
        Footprints that were compared, sparse (unit, height·width), C-ordered pixels, on the image's grid.
    pairs
        (pair, 2), positions in ``first`` and ``second`` of the same cell.
    trace_r, activity_r
        (pair,), correlations; NaN ones are left out.
    names
        Of the two results.
    title
        Above all of it.
    """
    picture, found = np.asarray(image), np.asarray(pairs, int).reshape(-1, 2)
    shape = (picture.shape[0], picture.shape[1])
    height = float(np.clip(6.2 * shape[0] / shape[1], 3.6, 7.5)) + 0.9
    figure = new_figure(11.0, height)
    figure.suptitle(title, fontsize=TITLE + 1, color=INK, x=0.01, ha="left")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.7, 1])
    field = figure.add_subplot(grid[:, 0])
    draw_image(field, picture)
    handles = []
    styles: tuple[tuple[sp.csr_array, str, Any, str], ...] = (
        (first, ACCEPTED, "-", "x"),
        (second, REJECTED, "--", "+"),
    )
    for side, (rows, colour, style, mark) in enumerate(styles):
        alone = np.setdiff1d(np.arange(rows.shape[0]), found[:, side])
        _draw_side(field, rows, shape, alone, colour, style, mark)
        handles += [
            Line2D([], [], color=colour, linestyle=style, label=f"{names[side]} ({rows.shape[0]:,})"),
            Line2D([], [], color=colour, linestyle="", marker=mark, label=f"{names[side]} only ({len(alone):,})"),
        ]
    field.set_xlim(-0.5, shape[1] - 0.5)
    field.set_ylim(shape[0] - 0.5, -0.5)
    label(field, title=f"{counted(len(found), 'cell')} in both", x="x (px)", y="y (px)")
    legend_above(field, handles)
    _draw_histogram(figure.add_subplot(grid[0, 1]), trace_r, "Traces of the same cell")
    _draw_histogram(figure.add_subplot(grid[1, 1]), activity_r, "Activity of the same cell, by frame")
    return figure


def _draw_side(
    axes: Axes,
    rows: "sp.csr_array",
    shape: tuple[int, int],
    alone: NDArray[np.int64],
    colour: str,
    style: Any,
    mark: str,
) -> None:
    lines: Sequence[list[NDArray[np.float64]]] = [outline(rows, unit, shape) for unit in range(rows.shape[0])]
    draw_lines(axes, [line for unit in lines for line in unit], colour, style, "")
    middles = [np.mean(max(lines[unit], key=len), axis=0) for unit in alone if lines[unit]]
    if middles:
        x, y = np.array(middles).T
        axes.plot(x, y, mark, color=colour, markersize=7, markeredgewidth=1.6, zorder=3)


def _draw_histogram(axes: Axes, values: ArrayLike, title: str) -> None:
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    label(axes, title=title, x="Pearson r", y="cells")
    if not len(known):
        say_nothing_there(axes, "nothing to compare")
        return
    axes.hist(np.clip(known, _BINS[0], None), bins=_BINS.tolist(), color="0.75", edgecolor="0.3", linewidth=0.6)
    median = float(np.median(known))
    axes.axvline(median, color=INK, linestyle=":", linewidth=1.2, label=f"median {median:.2f}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes)
