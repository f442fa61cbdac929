"""The rim of the lens: where it keeps light away, and how to let the brain move behind it.

A lens whose rim is in the picture, or a dark band at an edge, is sharp and stays where it is while the brain moves:
frames are held by it, and moving them back moves it over the cells. Its shadow multiplies the light, so frames are
divided by it before they are compared and moved, and multiplied by it afterwards. Only darkness that comes in from the
edge of the picture counts. At first the shadow is told by how far from that darkness a pixel lies alone, so that it has
none of the brain's own shape; then by the motion, which shows the same brain in more and in less of it.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
import scipy.fft
import scipy.ndimage as ndi
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.footprints import enlarge
from miniscope_core.engines.cnmfe.frames import shift_frame

_DARK: Final = 0.2
"""Part of the light below which a pixel shows nothing of the brain."""
_SEEN: Final = (0.25, 0.6)
"""Parts of the light from which a pixel is compared, and from which it counts in full."""
_LEAST_AREA: Final = 0.005
"""Of the field; smaller dark corners hold nothing back."""
_LEAST_BRIGHT: Final = 0.1
"""Of the field; where less is lit, darkness is no rim."""
_MOST_OFFSET: Final = 0.6
"""Part of the brightness that can be the sensor's own; a picture of less contrast is dark everywhere, or nowhere."""
_FARTHEST: Final = 4.0
"""Distance over which a rim fades, at most, in cell diameters."""
_FLAT: Final = 1.1
"""Rise over a cell's diameter up to which the light counts as full."""
_BEYOND: Final = 1.0
"""How much farther than it seems a shadow may fall, in cell diameters."""
_ENVELOPE: Final = 2.0
"""Deviation of the blur that carries the brightness of the lit field on below the rim, in cell diameters."""
_ROUNDS: Final = 3
"""Times the dark is told by the brightness carried on below the rim, which is told by where it is dark."""
_ITERATIONS: Final = 3
"""Times light and brain are told from each other, for one set of displacements."""
_BRIGHTEST: Final = 1.2
"""Most light that can be found beside the rim, where the field is brighter than the blur that stands for it."""
_LEAST_BRAIN: Final = 0.02
"""Of the mean brightness: no part of a brain is darker."""


@dataclass(frozen=True)
class Lens:
    """What part of the light a lens lets through."""

    light: NDArray[np.float32]
    """(height, width), from 0; 1 away from the rim."""
    full: NDArray[np.float32]
    """(height, width), counts there would be without the rim, on average."""
    offset: float
    """Counts without any light."""
    rim: NDArray[np.bool_]
    """(height, width), where the shadow may fall."""

    def lift(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return frames (…, height, width) as they would be without the rim; where it is dark, the average alone."""
        seen = self.light >= _DARK
        scale = np.where(seen, 1 / np.maximum(self.light, _DARK), 0).astype(np.float32)
        base = np.where(seen, self.offset * (1 - scale), self.full).astype(np.float32)
        lifted: NDArray[np.float32] = np.multiply(frames, scale, dtype=np.float32)
        lifted += base
        return lifted

    def lower(self, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put a frame behind the rim."""
        behind: NDArray[np.float32] = (frame - np.float32(self.offset)) * self.light
        behind += np.float32(self.offset)
        return behind

    @property
    def trust(self) -> NDArray[np.float32]:
        """How much a flattened pixel counts: less with less light, for its noise is that of the light there was."""
        low, high = _SEEN
        ramp = np.clip((self.light - low) / (high - low), 0, 1)
        trust: NDArray[np.float32] = (np.sqrt(self.light) * ramp).astype(np.float32)
        return trust

    @property
    def dark_share(self) -> float:
        """Part of the field that shows nothing."""
        return float((self.light < _DARK).mean())

    def seen(self, footprints: "sp.csr_array") -> NDArray[np.float64]:
        """Return what part of the light of footprints (unit, height·width) comes through, (unit,)."""
        power = footprints.multiply(footprints)
        through = power @ np.minimum(self.light.ravel(), 1)
        return np.asarray(through / np.asarray(power.sum(1)).ravel(), np.float64)

    def refined(self, frames: NDArray[np.float32], displacement: NDArray[np.float64]) -> "Lens":
        """Tell rim and brain apart where the rim's shadow falls, by what is the brain's and moves.

        With V the light and B the brain, frame t shows V(x) B(x − d_t): the mean of the frames is V times the mean of
        the moved brains, the mean of the frames moved back is B times the mean of the moved shadows. Each follows from
        the other.

        Parameters
        ----------
        frames
            (n, height, width), as they come.
        displacement
            (n, 2), where the brain is, (dy, dx).
        """
        still = frames.mean(0) - np.float32(self.offset)
        moved = np.zeros_like(still)
        for frame, shift in zip(frames, -displacement.astype(np.float32), strict=True):
            moved += shift_frame(frame - np.float32(self.offset), shift)
        moved /= np.float32(len(frames))
        light, full = self.light, self.full - np.float32(self.offset)
        least = np.float32(_LEAST_BRAIN * max(float(full.mean()), 1.0))
        for _ in range(_ITERATIONS):
            through = _mean_moved(light, -displacement)
            brain = np.where(through > _DARK, moved / np.maximum(through, _DARK), full)
            passing = still / np.maximum(_mean_moved(brain, displacement), least)
            light = np.where(self.rim, np.clip(passing, 0, _BRIGHTEST), 1).astype(np.float32)
        return replace(self, light=light)

    def enlarged(self, bin_factor: int, shape: tuple[int, int]) -> "Lens":
        """Return the lens at the resolution of the recording."""
        images = self.light, self.full, self.rim.astype(np.float32)
        light, full, rim = (enlarge(image, bin_factor, shape) for image in images)
        return Lens(light, full, self.offset, rim > 0)


def find_lens(mean: NDArray[np.float32], diameter: float) -> Lens | None:
    """Find the rim of the lens in the mean of frames as they come.

    Parameters
    ----------
    mean
        (height, width), counts.
    diameter
        Of a cell, in its pixels.

    Returns
    -------
    Lens or None
        None where no darkness comes in from the edge.
    """
    smooth = np.asarray(cv2.GaussianBlur(mean, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT), np.float32)
    offset = float(np.percentile(smooth, 100 * _LEAST_AREA))
    full = np.full_like(smooth, np.median(smooth[smooth >= np.median(smooth)]))
    if offset > _MOST_OFFSET * float(full[0, 0]):
        return None
    light = np.ones(smooth.shape)
    for _ in range(_ROUNDS):
        part = (smooth - offset) / np.maximum(full - offset, np.finfo(np.float32).tiny)
        dark = _from_the_edge(part < _DARK)
        if not dark.any():
            return None
        inside = ndi.distance_transform_edt(~dark) - ndi.distance_transform_edt(dark)
        light, reach = _shadow(part, inside, diameter)
        lit = inside > reach
        if lit.mean() < _LEAST_BRIGHT:
            return None
        full = _carried_on(smooth, lit, _ENVELOPE * diameter)
    return Lens(light.astype(np.float32), full, offset, inside <= reach + _BEYOND * diameter)


def _mean_moved(image: NDArray[np.float32], displacement: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the mean of an image moved by each displacement, by the phases they give its frequencies."""
    pad = 1 + int(np.ceil(np.abs(displacement).max()))  # what comes in over the edge repeats it
    padded = np.pad(image, pad, mode="edge")
    waves = 2 * np.pi * scipy.fft.fftfreq(padded.shape[0]), 2 * np.pi * scipy.fft.rfftfreq(padded.shape[1])
    down, across = (np.exp(-1j * displacement[:, axis : axis + 1] * waves[axis]) for axis in (0, 1))
    spectrum = scipy.fft.rfft2(padded) * (down.T @ across / len(displacement))
    return np.asarray(scipy.fft.irfft2(spectrum, s=padded.shape)[pad:-pad, pad:-pad], np.float32)


def _from_the_edge(dark: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the dark areas that reach the edge of the picture and are large enough."""
    labels, _ = ndi.label(dark)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    sizes = np.bincount(labels.ravel())
    kept = [label for label in np.unique(edge) if label and sizes[label] >= _LEAST_AREA * dark.size]
    return np.isin(labels, kept)


def _shadow(
    part: NDArray[np.float32], inside: NDArray[np.float64], diameter: float
) -> tuple[NDArray[np.float64], float]:
    """Return the part of the light by distance from the dark alone, and the distance from which it is full."""
    farthest = int(np.ceil(_FARTHEST * diameter))
    wide = max(1, round(diameter))
    steps = np.rint(inside).astype(int)
    places = np.arange(-wide, farthest + wide + 1)
    course = np.maximum.accumulate(
        np.nan_to_num([np.median(part[steps == place]) if (steps == place).any() else np.nan for place in places])
    )
    rise = course[wide:] / np.maximum(course[:-wide], np.finfo(float).tiny)
    flat = np.flatnonzero((rise < _FLAT) & (places[:-wide] > 0))
    reach = int(flat[0]) if len(flat) else len(places) - wide - 1
    light = np.interp(inside, places[: reach + 1], course[: reach + 1] / max(course[reach], np.finfo(float).tiny))
    return np.clip(light, 0, 1), float(places[reach])


def _carried_on(smooth: NDArray[np.float32], lit: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """Blur the lit field, and carry it on where it is not lit."""
    weight = lit.astype(np.float32)
    level = float(smooth[lit].mean())
    tiny = 1e-3  # where nothing lit is near: the mean of all that is
    summed = cv2.GaussianBlur(smooth * weight, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) + tiny * level
    total = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) + tiny
    return np.asarray(summed / total, np.float32)
