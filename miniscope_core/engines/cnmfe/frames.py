"""Frames made ready to be compared: binned, flattened, blurred, moved."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

_SURROUND: Final = 0.6
"""Blur taken away before alignment, in cell diameters: wider keeps more to hold on to, narrower less of the vignette.
Errors of 0.25, 0.4, 0.6 and 1.0 on one simulated recording: 0.24, 0.21, 0.20 and 0.20 px."""
_WIDE_PX: Final = 3.0


def flatten(
    frames: NDArray[Any], bin_factor: int, surround_px: float, trust: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Bin frames, take away what is smooth and even out the shot noise.

    Vignette and stray light stay where the lens is while the brain moves; taking away a blurred copy leaves what
    moves. Dividing by the root of that copy makes shot noise even over the field.

    Parameters
    ----------
    frames
        (n, height, width), raw.
    bin_factor
        Pixels averaged along each axis.
    surround_px
        Standard deviation of the blur, in binned pixels.
    trust
        Multiplied in the end, (height // bin_factor, width // bin_factor).

    Returns
    -------
    ndarray
        (n, height // bin_factor, width // bin_factor).
    """
    height, width = (size // bin_factor for size in frames.shape[1:])
    flat = np.empty((len(frames), height, width), np.float32)
    for frame, out in zip(frames, flat, strict=True):
        small = bin_frame(frame.astype(np.float32), bin_factor)
        level = smooth(small, surround_px)
        out[...] = (small - level) / shot_noise(level)
        if trust is not None:
            out *= trust
    return flat


def bin_frame(frame: NDArray[np.float32], bin_factor: int) -> NDArray[np.float32]:
    """Average squares of ``bin_factor`` pixels; rows and columns that do not fill a square are left out."""
    if bin_factor == 1:
        return frame
    height, width = (size // bin_factor for size in frame.shape)
    frame = frame[: height * bin_factor, : width * bin_factor]
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def surround(diameter: float) -> float:
    """Return the blur that :func:`flatten` takes away, for cells of a diameter in the same pixels."""
    return _SURROUND * diameter


def shift_frame(frame: NDArray[Any], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move a frame by (dy, dx) pixels, bilinear; what comes in over the edge repeats the edge.

    All pixels have the same two weights along each axis, so two weighted sums do it, in half the time of a warp.
    """
    if not shift.any():
        return frame.astype(np.float32, copy=False)
    height, width = frame.shape
    down, right = (int(whole) for whole in np.floor(shift))
    part_y, part_x = float(shift[0]) - down, float(shift[1]) - right
    pad = max(abs(down), abs(right)) + 1
    wide = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    wide = wide[pad - down - 1 : pad - down + height, pad - right - 1 : pad - right + width]
    rows = cv2.addWeighted(wide[1:], 1 - part_y, wide[:-1], part_y, 0, dtype=cv2.CV_32F)
    return np.asarray(cv2.addWeighted(rows[:, 1:], 1 - part_x, rows[:, :-1], part_x, 0), np.float32)


def moved_back(flat: NDArray[np.float32], displacement: NDArray[np.float64]) -> NDArray[np.float32]:
    """Undo a displacement of each frame, in its own pixels."""
    moved = np.empty_like(flat)
    for frame, shift, out in zip(flat, -displacement.astype(np.float32), moved, strict=True):
        out[...] = shift_frame(frame, shift)
    return moved


def smooth(frame: NDArray[np.float32], surround_px: float) -> NDArray[np.float32]:
    """Blur a frame; a wide blur at half the resolution, where it costs a fourth and looks the same."""
    if surround_px < _WIDE_PX or min(frame.shape) < 4 * surround_px:
        return np.asarray(cv2.GaussianBlur(frame, (0, 0), surround_px, borderType=cv2.BORDER_REFLECT), np.float32)
    height, width = frame.shape
    small = cv2.resize(frame, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), surround_px / 2, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def shot_noise(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the deviation of shot noise around a level, up to a factor."""
    return np.sqrt(np.maximum(smooth, 1))
