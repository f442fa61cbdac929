"""The steps of cleaning, each on frames in memory: (n, height, width) float32 in, the same out."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.models.cleaning import Crop

_ROW_SURROUND_PX: Final = 6.0
"""Deviation of the vertical blur that a row is compared with: wider lets more of a vignette through, narrower takes
less of a stripe of several rows."""


@dataclass(frozen=True)
class HotPixels:
    """Pixels that say nothing of the tissue, and those around them that do."""

    pixels: NDArray[np.intp]
    """(hot,), C-ordered."""
    around: NDArray[np.intp]
    """(hot, 8), C-ordered pixels that are sound; where there are fewer, some are repeated."""

    def replaced(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give every hot pixel the median of the sound ones around it."""
        flat = frames.reshape(len(frames), -1)
        flat[:, self.pixels] = np.median(flat[:, self.around], axis=2)
        return frames


def cropped(frames: NDArray[np.float32], crop: Crop | None) -> NDArray[np.float32]:
    """Keep a part of the field."""
    if crop is None:
        return frames
    part = frames[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    return np.ascontiguousarray(part)


def without_stripes(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take off what a row has more or less than the rows around it.

    Sensors read a row at a time, so their noise is common to a row: the median over a row of what each pixel differs
    from a vertical blur is that noise, and next to nothing of cells, which fill a small part of a row.
    """
    for frame in frames:
        blurred = cv2.GaussianBlur(frame, (1, 0), sigmaX=1, sigmaY=_ROW_SURROUND_PX, borderType=cv2.BORDER_REFLECT)
        frame -= np.median(frame - blurred, axis=1)[:, None]
    return frames


def without_flicker(frames: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Scale every frame to a mean brightness; a black one, which has no brightness to scale, stays."""
    means = frames.mean((1, 2), dtype=np.float64)
    gain = np.where(means > 0, level / np.maximum(means, 1e-9), 1.0)
    frames *= gain.astype(np.float32)[:, None, None]
    return frames


def binned(frames: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average squares of pixels; rows and columns that do not fill a square are left out."""
    if factor == 1:
        return frames
    count, height, width = len(frames), frames.shape[1] // factor, frames.shape[2] // factor
    whole = frames[:, : height * factor, : width * factor]
    return np.asarray(whole.reshape(count, height, factor, width, factor).mean((2, 4)), np.float32)
