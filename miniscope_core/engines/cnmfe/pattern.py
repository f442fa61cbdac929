"""What stays where the sensor and the lens are while the brain moves, and how to keep it out of the alignment.

Stripes of the read-out, defective pixels and the rim of the lens are sharp and the same in every frame: correlated with
a template that holds them too, every frame seems to be where it was. The shifts that come out are the brain's motion
times a gain below one. That gain can be measured: frames regressed on the shifts show what really moves with them, the
gradient of the brain divided by the gain, and it is compared with the gradient of the mean frame, in which the pattern
has no part that moves. With the shifts divided by the gain, the mean of the frames as they come (pattern + blurred
brain) and of the frames moved back (blurred pattern + brain) tell pattern and brain apart, frequency by frequency.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
import scipy.fft
import scipy.ndimage as ndi
from numpy.typing import NDArray

_DERIVATIVE: Final = np.array([1, -8, 0, 8, -1]) / 12
LEAST_GAIN: Final = 0.85
"""Shifts with a gain above this are taken as they are. Intact recordings measured 0.95 to 1.01; stripes, a lens rim and
hot columns 0.03 to 0.07, twelve hot pixels 0.6."""
_STILL_HELD: Final = 0.7
"""Part of what was held back that may still be. A wide vessel in a small field was taken for a pattern, and 0.81 of
what had been held still was without it; hot columns taken for the rim of a lens left all of it."""
_LEAST_AGREEMENT: Final = 0.25
"""Correlation of what moves in two halves of the sample, from which there is motion to measure a gain by. Motion of a
pixel or two gives 0.26 to 0.98, frames that do not move 0.0 to 0.1. Intact frames of 608×608 px give 0.15 to 0.2, and
gains of 0.6 to 0.9: what the cells do agrees as well, and counts for motion."""
_SMALLEST_GAIN: Final = 0.02
_NEAR: Final = 0.5
"""Distance, in cell diameters, over which a gradient still tells what a pixel shows."""
_RIDGE: Final = 0.05
"""Added where brain and pattern can hardly be told apart, for the motion is small against the wavelength: there the
pattern is taken for brain."""
_SHARP: Final = 3.0
"""Deviations from the median of the mean frame beyond which nothing in a brain lies."""
_TRUST: Final = 2.0
"""Height of the pattern, in the same deviations, at which a pixel counts half."""
_TRUST_BLUR_PX: Final = 1.5


@dataclass(frozen=True)
class Pattern:
    """What to take out of flattened frames before they are aligned."""

    image: NDArray[np.float32]
    """Subtracted, (height, width)."""
    trust: NDArray[np.float32]
    """Multiplied, (height, width): near zero where the pattern is far stronger than the brain."""

    def remove(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames (…, height, width) without the pattern: the same ones where there is none."""
        return flat if self.is_none else (flat - self.image) * self.trust

    @cached_property
    def is_none(self) -> bool:
        """Whether it changes nothing."""
        return not self.image.any() and bool((self.trust == 1).all())


def no_pattern(shape: tuple[int, ...]) -> Pattern:
    """Return the pattern that changes nothing."""
    return Pattern(np.zeros(shape, np.float32), np.ones(shape, np.float32))


def sharp_pattern(mean: NDArray[np.float32]) -> Pattern:
    """Guess a pattern before any motion is known: what stands out of the mean frame more than a brain does."""
    middle, spread = _spread(mean)
    return _pattern(mean - np.clip(mean, middle - _SHARP * spread, middle + _SHARP * spread), mean)


def fit_pattern(
    mean: NDArray[np.float32], moved_mean: NDArray[np.float32], displacement: NDArray[np.float64]
) -> Pattern:
    """Tell pattern and brain apart by what the motion blurs.

    With φ the mean of the phases that the motion gives a frequency, the mean frame is S + φ B and the mean of the
    frames moved back B + φ* S.

    Parameters
    ----------
    mean
        Of flattened frames as they come, (height, width).
    moved_mean
        Of the same frames, each moved back.
    displacement
        (frame, 2), by how much each was.
    """
    shape = mean.shape
    window = np.outer(taper(shape[0]), taper(shape[1])).astype(np.float32)
    still, moved = scipy.fft.rfft2(mean * window), scipy.fft.rfft2(moved_mean * window)
    waves = (2 * np.pi * scipy.fft.fftfreq(shape[0]), 2 * np.pi * scipy.fft.rfftfreq(shape[1]))
    down, across = (np.exp(-1j * displacement[:, axis : axis + 1] * waves[axis]) for axis in (0, 1))
    phase = down.T @ across / len(displacement)
    image = scipy.fft.irfft2((still - phase * moved) / (1 - np.abs(phase) ** 2 + _RIDGE), s=shape)
    return _pattern(image.astype(np.float32), mean)


def gains(
    flat: NDArray[np.float32], displacement: NDArray[np.float64], pattern: Pattern, diameter: float
) -> NDArray[np.float64]:
    """Measure what part of the brain's motion the displacements tell.

    Parameters
    ----------
    flat
        (frame, height, width), flattened, with their pattern.
    displacement
        (frame, 2), estimated after the pattern was removed.
    pattern
        The one removed.
    diameter
        Of a cell, in their pixels.

    Returns
    -------
    ndarray
        (2,) along (y, x): one where nothing holds the frames back, below one where a pattern does. Also one where
        nothing moves or the frames are fewer than 32: then there is nothing to measure by.
    """
    if len(flat) < _PIECES:
        return np.ones(2)
    half = np.arange(len(flat)) // (len(flat) // _PIECES) % 2
    cells = np.rint((displacement - np.median(displacement, axis=0)) / (_NEAR * diameter))
    # Among frames that are close to each other: farther apart, a gradient tells nothing of what a pixel shows.
    apart, weight = _within_groups(displacement, np.column_stack([half, cells]))
    moving = []
    for k in (0, 1):
        weights = np.zeros((2, len(flat)))  # zero for the other half: picking the frames would copy them
        weights[:, half == k] = np.linalg.pinv(apart[half == k])
        moving.append(-_combine(weights, flat) * pattern.trust)
    border = tuple(slice(size // 16, size - size // 16) for size in flat.shape[1:])
    found = np.ones(2)
    for axis, mean in enumerate(pattern.remove(_combine((weight / weight.sum(0)).T, flat))):
        slope = ndi.correlate1d(mean, _DERIVATIVE, axis, mode="nearest")[border].astype(np.float64)
        one, other = (gradient[axis][border].astype(np.float64) for gradient in moving)
        # Of two halves the noise is not the same, so that it adds nothing to their product.
        power = float(np.sum(one * other))
        if power > _LEAST_AGREEMENT * float(np.linalg.norm(one) * np.linalg.norm(other)):
            found[axis] = float(np.sum(slope * (one + other))) / (2 * power)
    return found


def held_back(gain: NDArray[np.float64], least: float = LEAST_GAIN) -> bool:
    """Tell whether something that does not move holds the alignment back."""
    return bool((gain < least).any())


def releases(before: float, after: float) -> bool:
    """Tell whether what was taken out is what held the frames, by the least gain before and after."""
    return 1 - after < _STILL_HELD * (1 - before)


def released(displacement: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale displacements (frame, 2) to what they would be without the pattern."""
    return displacement / np.where(gain < LEAST_GAIN, np.maximum(gain, _SMALLEST_GAIN), 1)


def taper(size: int) -> NDArray[np.float64]:
    """Cosine ramps over a sixteenth of the length at both ends."""
    ramp = max(2, size // 16)
    edge = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / ramp
    ramps: NDArray[np.float64] = 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1))
    return ramps


_PIECES: Final = 32
"""Pieces of the sample that go in turn to the one and the other half."""


def _within_groups(
    values: NDArray[np.float64], labels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take from values (frame, 2) the mean of their group, and return with them the variance of the group.

    The variance is how much the group has to say in a regression on the centred values.
    """
    group = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    centred, variance = np.empty_like(values), np.empty_like(values)
    for one in range(int(group.max()) + 1):
        here = group == one
        centred[here] = values[here] - values[here].mean(0)
        variance[here] = np.mean(centred[here] ** 2, axis=0) + np.finfo(float).tiny
    return centred, variance


def _combine(weights: NDArray[np.float64], flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum frames with weights (row, frame): (row, height, width)."""
    return np.asarray((weights.astype(np.float32) @ flat.reshape(len(flat), -1)).reshape(-1, *flat.shape[1:]))


def _pattern(image: NDArray[np.float32], mean: NDArray[np.float32]) -> Pattern:
    """Trust a pixel the less, the higher the pattern around it."""
    power = cv2.GaussianBlur(image**2, (0, 0), _TRUST_BLUR_PX)
    scale = (_TRUST * _spread(mean)[1]) ** 2 + float(np.finfo(np.float32).tiny)
    return Pattern(image, (1 / (1 + power / scale)).astype(np.float32))


def _spread(image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the median of an image and its standard deviation, from the median deviation, where it is not masked."""
    seen = image[image != 0]
    if not len(seen):
        return 0.0, 0.0
    middle = float(np.median(seen))
    return middle, 1.4826 * float(np.median(np.abs(seen - middle)))
