"""The picture of what was cleaned from a movie: before and after, side by side."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from miniscope_core.plots.figures import INK, TITLE, label, limits, new_figure

_WIDTH_IN: Final = 2.7
_PANELS: Final = (
    ("frame_before", "One frame, as recorded"),
    ("frame_after", "The same, cleaned"),
    ("deviation_before", "Change over time, as recorded"),
    ("deviation_after", "Change over time, cleaned"),
)


def plot_cleaning(images: Mapping[str, ArrayLike], *, title: str = "") -> Figure:
    """Draw a frame, and how much each pixel changes over time, before and after cleaning.

    Each picture of a frame has its own range of gray, since cleaning may take off light; the two of the change share
    one, so that a darker picture on the right is less noise.

    Parameters
    ----------
    images
        ``frame_before``, ``frame_after``, ``deviation_before`` and ``deviation_after``, each (height, width), a.u.
    title
        Above all of it.

    Returns
    -------
    Figure
    """
    pictures = {name: np.asarray(images[name], np.float64) for name, _ in _PANELS}
    height, width = pictures["frame_before"].shape
    picture_in = float(np.clip(_WIDTH_IN * height / width, 1.2, 4.0))
    figure = new_figure(_WIDTH_IN * len(_PANELS), picture_in + 0.9)
    ranges = {name: limits(picture) for name, picture in pictures.items()}
    shared = [ranges[name] for name in ("deviation_before", "deviation_after")]
    ranges["deviation_before"] = ranges["deviation_after"] = (min(low for low, _ in shared), shared[0][1])
    for column, (name, text) in enumerate(_PANELS):
        axes = figure.add_subplot(1, len(_PANELS), column + 1)
        low, high = ranges[name]
        axes.imshow(pictures[name], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        label(axes, title=f"{text}\n{low:.3g} to {high:.3g} a.u.", x="x (px)", y="y (px)" if column == 0 else "")
        axes.tick_params(labelleft=column == 0)
    if title:
        figure.suptitle(title, fontsize=TITLE + 1, color=INK, x=0.01, ha="left")
    return figure
