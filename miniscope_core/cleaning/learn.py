"""What cleaning has to know of a whole recording before it can clean one frame: learnt from a spread sample."""

from typing import Final

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from miniscope_core.cleaning.steps import HotPixels
from miniscope_core.errors import ParameterError
from miniscope_core.io.recording import Recording

_RUNS: Final = 16
_RUN_FRAMES: Final = 8
"""Runs, because going to a frame costs more than the few that follow it."""
_HOT_DEVIATIONS: Final = 12.0
"""Of the differences of all pixels from their surround: vessels and cells stay below, a hot pixel lies far above."""
_BLINKING: Final = 4.0
"""Times as much noise as its surround has."""
_MOST_HOT: Final = 0.05
_TO_DEVIATION: Final = 1.4826
_REACH: Final = (1, 2, 3)
"""Half sides of the squares in which sound neighbours are looked for, px."""
_NEIGHBOURS: Final = 8
_GLOW_PERCENTILE: Final = 5.0
_GLOW_SHARE: Final = 1 / 16
"""Deviation of the blur of the glow, as a part of the field's shorter side: far wider than any cell."""


def sample_frames(recording: Recording) -> NDArray[np.float32]:
    """Read some frames in runs spread over a recording, (n ≤ 128, height, width)."""
    total = recording.frame_count
    if total <= _RUNS * _RUN_FRAMES:
        return recording.frames().astype(np.float32)
    starts = np.linspace(0, total - _RUN_FRAMES, _RUNS).astype(int).tolist()
    return np.concatenate([recording.frames(start, start + _RUN_FRAMES) for start in starts]).astype(np.float32)


def find_hot(sample: NDArray[np.float32]) -> HotPixels:
    """Find pixels that stand out of their surround in every frame, or are noisier than it.

    Parameters
    ----------
    sample
        (n, height, width).

    Raises
    ------
    ParameterError
        When so many stand out that it must be something else.
    """
    mean, noise = sample.mean(0), sample.std(0)
    difference = mean - cv2.medianBlur(mean, 5)
    spread = _TO_DEVIATION * np.median(np.abs(difference)) + 1e-6
    hot = np.abs(difference) > _HOT_DEVIATIONS * spread
    hot |= noise > _BLINKING * (cv2.medianBlur(noise, 5) + 0.25)
    if hot.mean() > _MOST_HOT:
        raise ParameterError(
            f"hot_pixels: {hot.mean():.0%} of the pixels stand out of their surround, expected at most "
            f"{_MOST_HOT:.0%}: these are no hot pixels. Leave the step out, or crop what is no tissue."
        )
    return _with_neighbours(hot)


def _with_neighbours(hot: NDArray[np.bool_]) -> HotPixels:
    """Give each hot pixel the sound ones nearest to it."""
    pixels = np.flatnonzero(hot)
    around = np.empty((len(pixels), _NEIGHBOURS), np.intp)
    order = np.arange(hot.size).reshape(hot.shape)
    for reach in reversed(_REACH):  # so that the nearest found is what stays
        side = 2 * reach + 1
        padded = np.pad(np.where(hot, -1, order), reach, constant_values=-1)
        squares = sliding_window_view(padded, (side, side))[hot].reshape(len(pixels), side * side)
        for row, square in zip(around, squares, strict=True):
            sound = square[square >= 0]
            if len(sound) >= (3 if reach < _REACH[-1] else 1):
                row[:] = np.resize(sound, _NEIGHBOURS)
            elif reach == _REACH[-1]:
                row[:] = order[hot][0]
    return HotPixels(pixels, around)


def find_glow(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the broad light that is there in every frame, (height, width), zero at its darkest place.

    The fifth percentile over time, blurred far wider than a cell: where cells are always bright, they stay.
    """
    low = np.percentile(sample, _GLOW_PERCENTILE, axis=0).astype(np.float32)
    sigma = max(1.0, min(low.shape) * _GLOW_SHARE)
    glow = cv2.GaussianBlur(low, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(glow - glow.min(), np.float32)
