"""A recording seen through a lens whose rim is in the picture, and the truth about what can then be seen."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.io.recording import Recording
from miniscope_core.quality import GroundTruth

_SHARPNESS: Final = 80.0
"""Of a rim in parts of the field: light falls from nine tenths to one tenth over a twentieth of it."""
_LEAST_LIGHT: Final = 0.3
"""Part of its light by which a cell can be found."""


@dataclass(frozen=True)
class RimmedSource:
    """A frame source behind a rim."""

    recording: Recording
    light: NDArray[np.float32]

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Decode frames ``start, start + step, … < stop``, (n, height, width), and darken them."""
        frames = self.recording.frames(start, stop, step)
        return np.stack([np.rint(frame * self.light).astype(frame.dtype) for frame in frames])


def rim_light(shape: tuple[int, int], radius: float) -> NDArray[np.float32]:
    """Return the part of the light that comes through a round lens; its radius in parts of the field's sides."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot((y + 0.5) / shape[0] - 0.5, (x + 0.5) / shape[1] - 0.5)
    return (1 / (1 + np.exp((distance - radius) * _SHARPNESS))).astype(np.float32)


def rimmed_recording(recording: Recording, radius: float) -> Recording:
    """Return a recording as a lens with a rim would have shown it."""
    return replace(recording, source=RimmedSource(recording, rim_light(recording.shape, radius)))


def rimmed_truth(truth: GroundTruth, radius: float) -> GroundTruth:
    """Return the truth about what is seen through a lens with a rim: cells in the dark cannot be found."""
    light = rim_light(truth.shape, radius).ravel()
    power = truth.footprints.multiply(truth.footprints)
    seen = (power @ light) / np.asarray(power.sum(1)).ravel()
    footprints = sp.csr_array(truth.footprints.multiply(light[None])).astype(np.float32)
    return replace(truth, footprints=footprints, detectable=truth.detectable & (seen >= _LEAST_LIGHT))
