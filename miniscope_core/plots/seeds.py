"""Why a cell was found or not: the two images that seeds are chosen by, their thresholds, and what became of seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import ArrayLike, NDArray

from miniscope_core.plots.figures import (
    ACCEPTED,
    GREY,
    INK,
    NORMAL,
    REJECTED,
    SMALL,
    TITLE,
    label,
    limits,
    new_figure,
    number,
)
from miniscope_core.plots.images import Footprints, draw_contours, draw_image
from miniscope_core.plots.traces import TIME_LABEL, draw_traces

_MARKS: Final[Mapping[str, tuple[str, str, float]]] = {
    "accepted": ("o", ACCEPTED, 5.0),
    "rejected": ("x", REJECTED, 5.5),
    "no unit": ("v", "white", 4.5),
}
"""Shape, colour and size of a seed's mark, points; told apart by shape alone."""
_LEGEND: Final = {"accepted": "an accepted unit", "rejected": "a rejected unit", "no unit": "no unit"}
_FEW: Final = 150
"""Seeds from which on their marks get smaller, or they would hide the image."""
_SMALLEST: Final = 0.6
_SHADES: Final = 512


@dataclass(frozen=True)
class SeedMap:
    """Seeds, and the two images they are chosen by.

    The images are those of the first look; seeds of a later look are chosen on what the units found so far leave
    over, so they can lie where these images are low.
    """

    correlation: NDArray[Any]
    pnr: NDArray[Any]
    """(height, width), local correlation and peak-to-noise ratio."""
    seeds_px: NDArray[Any]
    """(seed, 2), (y, x), px."""
    fates: Sequence[str]
    """(seed,), ``"accepted"``, ``"rejected"`` or ``"no unit"``: in what kind of unit each ended."""
    min_corr: float | None = None
    min_pnr: float | None = None
    """Thresholds that a seed passes both; None where there is none."""


def plot_seeds(seed_map: SeedMap, *, title: str = "") -> Figure:
    """Draw the correlation and the peak-to-noise image with the seeds: a seed needs both above their thresholds.

    What is below a threshold is grey, what is above it in colour.

    Parameters
    ----------
    seed_map
        Images, seeds and thresholds.
    title
        Above both.

    Returns
    -------
    Figure
    """
    figure, grid = _page(seed_map, 1, 9.6, title)
    _draw_images(figure, grid, seed_map)
    return figure


def plot_preview(
    seed_map: SeedMap,
    footprints: Footprints,
    fluorescence: ArrayLike,
    timestamps_s: ArrayLike,
    *,
    accepted: ArrayLike | None = None,
    denoised: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    mask_ids: Sequence[int] | NDArray[Any] | None = None,
    joins_s: Sequence[float] = (),
    title: str = "",
) -> Figure:
    """Draw what parameters find: the images with the seeds, the outlines of the units and some traces.

    Parameters
    ----------
    seed_map
        Images, seeds and thresholds.
    footprints
        Sparse (unit, height·width) over C-ordered pixels, or dense (unit, height, width).
    fluorescence, denoised, activity
        (n, frame), of the units to draw.
    timestamps_s
        (frame,), s.
    accepted
        (unit,), bool; by default all are.
    mask_ids
        (n,), numbers of the units that the traces are of.
    joins_s
        Times at which frames follow each other that did not in the recording, s; marked across the traces.
    title
        Above all of it.

    Returns
    -------
    Figure
    """
    figure, grid = _page(seed_map, 2, 12.0, title)
    _draw_images(figure, grid, seed_map)
    field = figure.add_subplot(grid[1, 0])
    draw_image(field, seed_map.correlation)
    keep = np.ones(footprints.shape[0], bool) if accepted is None else accepted
    draw_contours(field, footprints, seed_map.correlation.shape, accepted=keep, title="On the correlation")
    kept, shown = int(np.count_nonzero(keep)), len(np.asarray(fluorescence))
    courses = figure.add_subplot(grid[1, 1])
    for join in joins_s:
        courses.axvline(join, color=GREY, linewidth=0.6, linestyle=(0, (2, 3)), zorder=0)
    draw_traces(
        courses,
        fluorescence,
        timestamps_s,
        denoised=denoised,
        activity=activity,
        mask_ids=mask_ids,
        heading=f"{shown:,} of {kept:,} accepted",
    )
    if len(joins_s):
        courses.set_xlabel(f"{TIME_LABEL}, runs joined at the dotted lines")
    return figure


def _page(seed_map: SeedMap, rows: int, width_in: float, title: str) -> tuple[Figure, GridSpec]:
    height, width = seed_map.correlation.shape
    row_in = float(np.clip((width_in / 2 - 0.8) * height / width, 2.0, 6.8)) + 0.5
    figure = new_figure(width_in, rows * row_in + 0.35)
    if title:
        figure.suptitle(title, fontsize=TITLE + 1, color=INK, x=0.01, ha="left")
    return figure, figure.add_gridspec(rows, 2)


def _draw_images(figure: Figure, grid: GridSpec, seed_map: SeedMap) -> None:
    images = (
        (seed_map.correlation, "Local correlation", seed_map.min_corr),
        (seed_map.pnr, "Peak-to-noise ratio", seed_map.min_pnr),
    )
    handles: list[Line2D] = []
    for column, (image, name, least) in enumerate(images):
        axes = figure.add_subplot(grid[0, column])
        draw_thresholded(figure, axes, image, least)
        handles = draw_seeds(axes, np.asarray(seed_map.seeds_px), seed_map.fates)
        heading = name if least is None else f"{name}, in colour above {number(least)}"
        label(axes, title=heading, x="x (px)", y="y (px)")
    figure.legend(
        handles=handles, loc="outside upper right", ncols=len(handles), fontsize=SMALL, frameon=False, handlelength=1
    )


def draw_thresholded(figure: Figure, axes: Axes, image: NDArray[Any], least: float | None) -> None:
    """Draw an image in grey below a threshold and in colour above it, with a colour bar that marks it."""
    low, high = limits(image)
    if least is not None:
        low, high = min(low, least), max(high, least * 1.02)
    part = 0.0 if least is None or high <= low else (least - low) / (high - low)
    drawn = axes.imshow(image, cmap=_grey_then_colour(part), vmin=low, vmax=high, origin="upper")
    bar = figure.colorbar(drawn, cax=axes.inset_axes((1.02, 0, 0.03, 1)))
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.outline.set_visible(False)
    if least is not None:
        bar.ax.axhline(least, color=INK, linewidth=1.4)
        bar.ax.text(
            -0.35, least, "▸", transform=bar.ax.get_yaxis_transform(), fontsize=NORMAL, va="center", ha="center"
        )


def draw_seeds(axes: Axes, seeds_px: NDArray[np.int64], fates: Sequence[str]) -> list[Line2D]:
    """Mark seeds by what became of them, and return what a legend needs.

    Parameters
    ----------
    axes
        Hold an image.
    seeds_px
        (seed, 2), (y, x), px.
    fates
        (seed,), see :func:`plot_seeds`.
    """
    names = np.asarray(fates, dtype=object)
    scale = float(np.clip(np.sqrt(_FEW / max(1, len(names))), _SMALLEST, 1.0))
    handles = []
    for fate, (marker, colour, size) in _MARKS.items():
        chosen = seeds_px[names == fate]
        (drawn,) = axes.plot(chosen[:, 1], chosen[:, 0], marker, color=colour, markersize=size * scale, label=fate)
        handles.append(Line2D([], [], marker=marker, linestyle="", color=colour, markersize=size))
        handles[-1].set_label(f"seed in {_LEGEND[fate]} ({len(chosen):,})")
        for line, part in ((drawn, scale), (handles[-1], 1.0)):
            line.set_markerfacecolor("none")
            line.set_markeredgewidth(1.5 * part)
            line.set_path_effects([Stroke(linewidth=2.7 * part, foreground="black"), Normal()])
    return handles


def _grey_then_colour(part: float) -> ListedColormap:
    """Return a colour map that is grey in its lower part (0 to 1) and in colour above."""
    greys = round(_SHADES * min(max(part, 0.0), 1.0))
    below = colormaps["gray"](np.linspace(0.05, 0.6, greys))
    above = colormaps["magma"](np.linspace(0.25, 0.78, max(1, _SHADES - greys)))
    return ListedColormap(np.concatenate([below, above]))
