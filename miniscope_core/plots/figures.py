"""What all figures share: canvas, type sizes, colours, decimation of long courses, and writing PNG."""

import io
import os
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import ArrayLike, NDArray
from PIL import Image

DPI: Final = 130
# Okabe & Ito's palette: these pairs stay apart in every common form of colour blindness.
ACCEPTED: Final = "#E69F00"
REJECTED: Final = "#56B4E9"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
GREY: Final = "#8C8C8C"
INK: Final = "#262626"
SMALL: Final = 7.5
"""Size of tick labels and legends, points."""
NORMAL: Final = 8.5
"""Size of axis labels, points."""
TITLE: Final = 9.5
"""Size of titles, points."""
MAX_TRUE_COLOUR_BYTES: Final = 400_000
"""Larger PNG files get a palette of 256 colours."""
_PAUSE_S: Final = 5.0
_PAUSE_STEPS: Final = 20.0
"""A step in time longer than both this many usual ones and ``_PAUSE_S`` is a pause: between joined recordings, say."""
MAX_COLUMNS: Final = 1500
"""Courses longer than this many points are drawn as minimum and maximum per column."""


def new_figure(width_in: float, height_in: float) -> Figure:
    """Make an empty figure on an Agg canvas, without pyplot.

    Parameters
    ----------
    width_in, height_in
        Size in inches; there are 130 px to the inch.
    """
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as a PNG file's bytes; figures of the same arrays give the same bytes.

    Pictures of noise compress badly in true colour, so large ones get a palette of 256 colours: run pages embed them.
    """
    # Titles carry names from recordings: a dollar sign in one is a dollar sign, not a formula.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    if buffer.tell() <= MAX_TRUE_COLOUR_BYTES:
        return buffer.getvalue()
    with Image.open(buffer) as picture:
        palette = picture.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE)
    smaller = io.BytesIO()
    palette.save(smaller, format="png", optimize=True, dpi=(DPI, DPI))
    return smaller.getvalue()


def save_png(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, replacing an older one only once the new one is whole.

    Parameters
    ----------
    figure
        Any of this package's figures.
    path
        Its folder is created.

    Returns
    -------
    Path
        Where it is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = png_bytes(figure)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(partial).chmod(0o644)  # mkstemp is for secrets, a picture is not
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return path


def label(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Set title and axis labels in the sizes of the house, and take away the frame above and to the right."""
    axes.set_title(title, fontsize=TITLE, loc="left", color=INK)
    axes.set_xlabel(x, fontsize=NORMAL, color=INK)
    axes.set_ylabel(y, fontsize=NORMAL, color=INK)
    axes.tick_params(labelsize=SMALL, color=GREY, labelcolor=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def legend_above(axes: Axes, handles: Sequence[Artist] | None = None) -> None:
    """Put the legend above the axes at their right, in the line of the title, where it hides no data."""
    chosen = handles if handles is not None else axes.get_legend_handles_labels()[0]
    axes.legend(
        handles=list(chosen),
        fontsize=SMALL,
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=3,
        borderpad=0.2,
        columnspacing=1.2,
        handlelength=1.8,
    )


def number(value: float) -> str:
    """Return three digits that matter, never with an exponent for everyday sizes: ``0.123``, ``12.3``, ``1,234``."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"


def say_nothing_there(axes: Axes, text: str) -> None:
    """Write in the middle of an empty plot why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=NORMAL, color=GREY)


def decimated(
    times_s: ArrayLike, values: ArrayLike, columns: int = MAX_COLUMNS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Thin a long course so that its picture stays the same: lowest and highest value of each column.

    Taking every n-th point would lose the transients, which are what one looks for.

    Parameters
    ----------
    times_s, values
        (frame,), of one length.
    columns
        Pixel columns the course will be drawn on.

    Returns
    -------
    times_s, values
        Two points per column, or the course itself when it is no longer than that. Where time pauses, a NaN keeps
        the line from being drawn through what nobody recorded.
    """
    times, course = np.asarray(times_s, np.float64), np.asarray(values, np.float64)
    steps = np.diff(times)
    pauses = np.flatnonzero(steps > max(_PAUSE_S, _PAUSE_STEPS * float(np.median(steps)))) if len(steps) else steps
    edges = [0, *(int(pause) + 1 for pause in pauses), len(course)]
    share = columns / max(1, len(course))
    pieces = [
        _thinned(times[begin:end], course[begin:end], max(1, round((end - begin) * share)))
        for begin, end in pairwise(edges)
    ]
    for piece in pieces[1:]:
        piece[:] = [np.insert(piece[0], 0, piece[0][0]), np.insert(piece[1], 0, np.nan)]
    return np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])


def _thinned(times: NDArray[np.float64], course: NDArray[np.float64], columns: int) -> list[NDArray[np.float64]]:
    """Thin a course without a pause."""
    if len(course) <= 2 * columns:
        return [times, course]
    edges = np.linspace(0, len(course), columns + 1).astype(int)[:-1]
    points = np.stack([np.fmin.reduceat(course, edges), np.fmax.reduceat(course, edges)], axis=1)
    # Each column's two points keep apart in time, or the line between columns would lean.
    ends = np.append(edges[1:], len(course)) - 1
    return [np.stack([times[edges], times[ends]], axis=1).ravel(), points.ravel()]


def limits(image: NDArray[Any], low: float = 0.5, high: float = 99.7) -> tuple[float, float]:
    """Return grey limits from percentiles of the finite pixels, apart even in a flat or empty image."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    bottom, top = (float(value) for value in np.percentile(finite, [low, high]))
    return (bottom, top) if top > bottom else (bottom - 0.5, bottom + 0.5)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 mask``, ``2 masks``, ``1,234 masks``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
