"""Pictures of the field: average, summary images, and the outlines of masks on top of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import ArrayLike, NDArray

from miniscope_core.plots.figures import (
    ACCEPTED,
    DPI,
    INK,
    NORMAL,
    REJECTED,
    SMALL,
    TITLE,
    counted,
    label,
    legend_above,
    limits,
    new_figure,
)

Footprints: TypeAlias = "sp.sparray | sp.spmatrix | NDArray[Any]"
"""Sparse (unit, height·width) over C-ordered pixels, or dense (unit, height, width)."""

CONTOUR_LEVEL: Final = 0.4
"""Height of a mask's outline, as a fraction of its peak: near half height, where a cell's edge is seen."""
_NUMBER_SIZE: Final = 6.0
_TITLES: Final[Mapping[str, str]] = {
    "template": "Template",
    "average": "Average",
    "max": "Maximum over time",
    "correlation": "Local correlation",
    "pnr": "Peak-to-noise ratio",
}
_UNITS: Final[Mapping[str, str]] = {"correlation": "r", "pnr": "ratio"}
_ORDER: Final = ("average", "max", "correlation", "pnr")


def plot_average_image(image: ArrayLike, *, title: str = "Average image", um_per_px: float | None = None) -> Figure:
    """Draw one image of the field.

    Parameters
    ----------
    image
        (height, width), a.u.
    title
        Above the picture.
    um_per_px
        Size of a pixel in the tissue, µm; with it a scale bar is drawn.

    Returns
    -------
    Figure
    """
    picture = np.asarray(image)
    figure = new_figure(*_field_size(picture.shape))
    axes = figure.add_subplot()
    drawn = draw_image(axes, picture, title=title)
    _colour_bar(figure, axes, drawn, "brightness (a.u.)")
    if um_per_px is not None:
        _scale_bar(axes, picture.shape, um_per_px)
    return figure


def plot_contours(
    image: ArrayLike,
    footprints: Footprints,
    mask_ids: Sequence[int] | NDArray[Any] | None = None,
    accepted: ArrayLike | None = None,
    *,
    shape: tuple[int, int] | None = None,
    title: str = "",
    numbered: bool = True,
    level: float = CONTOUR_LEVEL,
    um_per_px: float | None = None,
    image_label: str = "brightness (a.u.)",
) -> Figure:
    """Draw the outlines of masks on an image.

    Accepted masks are orange with a solid line, rejected ones blue with a dashed line.

    Parameters
    ----------
    image
        (height, width), usually the average or the correlation image.
    footprints
        Sparse (unit, height·width) over C-ordered pixels, or dense (unit, height, width).
    mask_ids
        (unit,), the numbers to write; by default their positions.
    accepted
        (unit,), bool; left out, no difference is made.
    shape
        Height and width of the footprints, px; by default the image's.
    title
        Above the picture; the counts follow it.
    numbered
        Whether to write the masks' numbers where there is room.
    level
        Height of the outline as a fraction of each footprint's peak.
    um_per_px
        Size of a pixel in the tissue, µm; with it a scale bar is drawn.
    image_label
        What the image shows, with its unit, for the colour bar.

    Returns
    -------
    Figure
    """
    picture = np.asarray(image)
    figure = new_figure(*_field_size(picture.shape))
    axes = figure.add_subplot()
    drawn = draw_image(axes, picture)
    _colour_bar(figure, axes, drawn, image_label)
    draw_contours(
        axes, footprints, shape or picture.shape, mask_ids, accepted, title=title, numbered=numbered, level=level
    )
    if um_per_px is not None:
        _scale_bar(axes, picture.shape, um_per_px)
    return figure


def plot_summary_images(
    images: Mapping[str, ArrayLike], *, seeds_px: ArrayLike | None = None, title: str = ""
) -> Figure:
    """Draw the summary images side by side.

    Parameters
    ----------
    images
        By name (average, max, correlation, pnr, …), each (height, width); those four come first.
    seeds_px
        (seed, 2), (y, x) where the engine looked for a cell; drawn on the correlation and PNR images.
    title
        Above all of them.

    Returns
    -------
    Figure
    """
    names = [name for name in _ORDER if name in images] + sorted(set(images) - set(_ORDER) - {"template"})
    columns = 2 if len(names) > 1 else 1
    rows = max(1, -(-len(names) // columns))
    first = np.asarray(images[names[0]]).shape if names else (1, 1)
    figure = new_figure(4.2 * columns, rows * float(np.clip(3.5 * first[0] / first[1], 2.0, 5.0)) + 0.4)
    if title:
        figure.suptitle(title, fontsize=TITLE + 1, color=INK, x=0.01, ha="left")
    for position, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, position + 1)
        measured = name in _UNITS
        drawn = draw_image(axes, np.asarray(images[name]), cmap="magma" if measured else "gray")
        _colour_bar(figure, axes, drawn, _UNITS.get(name, "a.u."))
        heading = _TITLES.get(name, name)
        if seeds_px is not None and measured:
            seeds = np.asarray(seeds_px).reshape(-1, 2)
            axes.plot(seeds[:, 1], seeds[:, 0], "+", color="white", markersize=4, markeredgewidth=0.7)
            heading += f", {counted(len(seeds), 'seed')} (+)"
        label(axes, title=heading, x="x (px)", y="y (px)")
    return figure


def draw_image(axes: Axes, image: NDArray[Any], *, title: str = "", cmap: str = "gray") -> AxesImage:
    """Draw an image with (y, x) in pixels, the first row at the top."""
    low, high = limits(image)
    drawn = axes.imshow(image, cmap=cmap, vmin=low, vmax=high, origin="upper")
    label(axes, title=title, x="x (px)", y="y (px)")
    return drawn


def draw_contours(
    axes: Axes,
    footprints: Footprints,
    shape: tuple[int, ...],
    mask_ids: Sequence[int] | NDArray[Any] | None = None,
    accepted: ArrayLike | None = None,
    *,
    title: str = "",
    numbered: bool = True,
    level: float = CONTOUR_LEVEL,
) -> None:
    """Draw outlines on axes that hold an image; see :func:`plot_contours`."""
    rows = _rows(footprints)
    count = rows.shape[0]
    ids = np.arange(count) if mask_ids is None else np.asarray(mask_ids)
    keep = np.ones(count, bool) if accepted is None else np.asarray(accepted, bool)
    lines = [outline(rows, unit, (shape[0], shape[1]), level) for unit in range(count)]
    draw_lines(axes, [line for unit in np.flatnonzero(~keep) for line in lines[unit]], REJECTED, "--", "rejected")
    draw_lines(axes, [line for unit in np.flatnonzero(keep) for line in lines[unit]], ACCEPTED, "-", "accepted")
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    if numbered:
        _number(axes, lines, ids, keep)
    counts = counted(count, "mask")
    label(axes, title=f"{title}: {counts}" if title else counts, x="x (px)", y="y (px)")
    if accepted is not None:
        handles = [
            Line2D([], [], color=ACCEPTED, linestyle="-", label=f"accepted ({int(keep.sum()):,})"),
            Line2D([], [], color=REJECTED, linestyle="--", label=f"rejected ({int((~keep).sum()):,})"),
        ]
        legend_above(axes, handles)


def outline(
    rows: "sp.csr_array", unit: int, shape: tuple[int, int], level: float = CONTOUR_LEVEL
) -> list[NDArray[np.float64]]:
    """Return a footprint's outline as closed lines (point, 2) of (x, y), px; none for an empty footprint.

    Parameters
    ----------
    rows
        Sparse (unit, height·width) over C-ordered pixels.
    unit
        Position of the footprint.
    shape
        Height and width, px.
    level
        As a fraction of the footprint's peak.
    """
    crop, (top, left) = footprint_crop(rows, unit, shape, margin_px=0)
    if crop.size == 0 or crop.max() <= 0:
        return []
    # A frame of zeros closes the outlines of masks that touch the edge of the field.
    padded = np.pad(crop, 1)
    return [
        np.asarray(line, np.float64) + np.array([left - 1, top - 1])
        for line in contour_generator(z=padded).lines(level * float(crop.max()))
    ]


def footprint_crop(
    rows: "sp.csr_array", unit: int, shape: tuple[int, int], margin_px: int
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the part of the field around a footprint, (y, x), and the (y, x) of its first pixel."""
    entries = slice(rows.indptr[unit], rows.indptr[unit + 1])
    pixels, weights = rows.indices[entries], rows.data[entries]
    pixels, weights = pixels[weights > 0], weights[weights > 0]
    if pixels.size == 0:
        return np.zeros((0, 0)), (0, 0)
    y, x = pixels // shape[1], pixels % shape[1]
    top, left = max(0, int(y.min()) - margin_px), max(0, int(x.min()) - margin_px)
    bottom, right = min(shape[0], int(y.max()) + margin_px + 1), min(shape[1], int(x.max()) + margin_px + 1)
    crop = np.zeros((bottom - top, right - left))
    crop[y - top, x - left] = weights
    return crop, (top, left)


def _rows(footprints: Footprints) -> "sp.csr_array":
    if sp.issparse(footprints):
        rows = sp.csr_array(footprints)
    else:
        stack: NDArray[Any] = np.asarray(footprints)
        rows = sp.csr_array(stack.reshape(len(stack), int(np.prod(stack.shape[1:]))))
    rows.sum_duplicates()
    return rows


def draw_lines(axes: Axes, lines: list[NDArray[np.float64]], colour: str, style: Literal["-", "--"], name: str) -> None:
    """Draw lines (point, 2) of (x, y), px, such as :func:`outline` gives, over an image."""
    drawn = LineCollection(lines, colors=colour, linestyles=style, linewidths=1.0, label=name)
    # A dark seam keeps the line visible on bright cells.
    drawn.set_path_effects([Stroke(linewidth=1.9, foreground=(0, 0, 0, 0.55)), Normal()])
    axes.add_collection(drawn)


def _number(axes: Axes, lines: list[list[NDArray[np.float64]]], ids: NDArray[Any], accepted: NDArray[np.bool_]) -> None:
    """Write numbers into the outlines, accepted ones first, leaving out those without room."""
    place = axes.get_position(original=True)
    paper = axes.figure.bbox
    width_in, height_in = place.width * paper.width / DPI, place.height * paper.height / DPI
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    # Pixels of the image per point on paper.
    scale = max(abs(right - left) / width_in, abs(top - bottom) / height_in) / 72
    placed: list[tuple[float, float, float]] = []
    for unit in np.argsort(~accepted, kind="stable"):
        if not lines[unit]:
            continue
        longest = max(lines[unit], key=len)
        low, high = longest.min(axis=0), longest.max(axis=0)
        x, y = (float(value) for value in (low + high) / 2)
        text = str(ids[unit])
        half = 0.32 * len(text) * _NUMBER_SIZE * scale
        tall = 1.1 * _NUMBER_SIZE * scale
        if 2 * half > high[0] - low[0] or tall > high[1] - low[1]:
            continue
        if any(abs(x - px) < half + ph and abs(y - py) < tall for px, py, ph in placed):
            continue
        placed.append((x, y, half))
        written = axes.text(x, y, text, fontsize=_NUMBER_SIZE, color="white", ha="center", va="center_baseline")
        written.set_path_effects([Stroke(linewidth=1.3, foreground="black"), Normal()])
        written.set_clip_on(True)


def _colour_bar(figure: Figure, axes: Axes, drawn: AxesImage, text: str) -> None:
    # An inset is as tall as the picture itself, whatever room the layout gave to the axes.
    bar = figure.colorbar(drawn, cax=axes.inset_axes((1.02, 0, 0.03, 1)))
    bar.set_label(text, fontsize=NORMAL, color=INK)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)


def _scale_bar(axes: Axes, shape: tuple[int, ...], um_per_px: float) -> None:
    """Draw a bar of a round length, a fifth of the field or less, in the lower left corner."""
    wanted = shape[1] * um_per_px / 5
    power = 10 ** np.floor(np.log10(wanted))
    length_um = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    length_px = length_um / um_per_px
    x, y = 0.04 * shape[1], 0.95 * shape[0]
    seam = [Stroke(linewidth=4, foreground="black"), Normal()]
    axes.plot([x, x + length_px], [y, y], color="white", linewidth=2.5, solid_capstyle="butt", path_effects=seam)
    text = axes.text(x, y - 0.02 * shape[0], f"{length_um:g} µm", color="white", fontsize=SMALL, va="bottom")
    text.set_path_effects([Stroke(linewidth=1.5, foreground="black"), Normal()])


def _field_size(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return a figure's size in inches for one picture of this (height, width)."""
    width = 6.4
    return width, float(np.clip((width - 1.2) * shape[0] / shape[1] + 0.9, 2.5, 9.0))
