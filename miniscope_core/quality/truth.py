"""Ground truth of a simulated recording: what an engine's result is scored against, and its one file.

A truth file is a NumPy ``.npz`` without pickled objects::

    footprints_data, footprints_indices, footprints_indptr   sparse rows, (unit, height·width) in C order
    shape          (2,)              height and width, px
    traces         (unit, frame)     noiseless calcium, a.u.
    spikes         (unit, frame)     spikes in each frame
    motion_px      (frame, 2)        how far the scene moved, (dy, dx); absent in a still recording
    detectable     (unit,)           bright and sharp enough that a perfect method could find it
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from miniscope_core.errors import ResultError

_REQUIRED = (
    "footprints_data",
    "footprints_indices",
    "footprints_indptr",
    "shape",
    "traces",
    "spikes",
    "detectable",
)


@dataclass(frozen=True)
class GroundTruth:
    """Everything known about a simulated recording, at zero motion.

    Raises
    ------
    ResultError
        On construction, when the arrays do not fit together.
    """

    footprints: "sp.csr_array"
    """(unit, height·width), float32, C-ordered pixels; any scale. As the optics show them, not as they were planted."""
    shape: tuple[int, int]
    """Height and width, px."""
    traces: NDArray[np.float32]
    """(unit, frame), noiseless calcium, a.u."""
    spikes: NDArray[np.float32]
    """(unit, frame), spikes in each frame."""
    detectable: NDArray[np.bool_]
    """(unit,), True where the simulator says that the unit can be found at all."""
    motion_px: NDArray[np.float64] | None = None
    """(frame, 2), how far the scene *moved* (dy, dx), px; the correction is its negative. None: unknown."""

    def __post_init__(self) -> None:
        units, pixels = self.footprints.shape
        frames = self.traces.shape[-1]
        expected = {
            "footprints": ((units, pixels), (units, self.shape[0] * self.shape[1])),
            "traces": (self.traces.shape, (units, frames)),
            "spikes": (self.spikes.shape, (units, frames)),
            "detectable": (self.detectable.shape, (units,)),
        }
        if self.motion_px is not None:
            expected["motion_px"] = (self.motion_px.shape, (frames, 2))
        for name, (got, wanted) in expected.items():
            if got != wanted:
                raise ResultError(f"Ground truth array {name}: got shape {got}, expected {wanted}.")

    @classmethod
    def from_dense(
        cls,
        footprints: ArrayLike,
        traces: ArrayLike,
        spikes: ArrayLike,
        motion_px: ArrayLike | None = None,
        detectable: ArrayLike | None = None,
    ) -> Self:
        """Make a truth from a dense stack of footprints, (unit, height, width); every unit counts as detectable."""
        stack = np.asarray(footprints, np.float32)
        height, width = stack.shape[1:]
        return cls(
            footprints=sp.csr_array(stack.reshape(len(stack), height * width)),
            shape=(height, width),
            traces=np.asarray(traces, np.float32),
            spikes=np.asarray(spikes, np.float32),
            detectable=np.ones(len(stack), bool) if detectable is None else np.asarray(detectable, bool),
            motion_px=None if motion_px is None else np.asarray(motion_px, np.float64),
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a truth file.

        Raises
        ------
        ResultError
            When the file is missing, is no such file, or lacks an array.
        """
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ResultError(f"Ground truth unreadable at {path}: {error}. Expected an npz file.") from error
        missing = [name for name in _REQUIRED if name not in arrays]
        if missing:
            raise ResultError(f"Ground truth at {path}: arrays {', '.join(missing)} are missing.")
        height, width = (int(n) for n in arrays["shape"])
        parts = (
            arrays["footprints_data"].astype(np.float32),
            arrays["footprints_indices"],
            arrays["footprints_indptr"],
        )
        units = len(arrays["footprints_indptr"]) - 1
        return cls(
            footprints=sp.csr_array(parts, shape=(units, height * width)),
            shape=(height, width),
            traces=arrays["traces"].astype(np.float32),
            spikes=arrays["spikes"].astype(np.float32),
            detectable=arrays["detectable"].astype(bool),
            motion_px=arrays["motion_px"].astype(np.float64) if "motion_px" in arrays else None,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the truth as one compressed npz file."""
        arrays: dict[str, NDArray[Any]] = {
            "footprints_data": self.footprints.data.astype(np.float32),
            "footprints_indices": self.footprints.indices.astype(np.int32),
            "footprints_indptr": self.footprints.indptr.astype(np.int32),
            "shape": np.asarray(self.shape, np.int32),
            "traces": self.traces,
            "spikes": self.spikes,
            "detectable": self.detectable,
        }
        if self.motion_px is not None:
            arrays["motion_px"] = self.motion_px
        with Path(path).open("wb") as file:  # savez would add .npz to a name without it
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @property
    def unit_count(self) -> int:
        """Number of units, detectable or not."""
        return int(self.footprints.shape[0])

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return int(self.traces.shape[1])

    def select(self, keep: NDArray[np.bool_]) -> "GroundTruth":
        """Return the truth of some units only; ``keep`` is (unit,) bool."""
        return GroundTruth(
            footprints=sp.csr_array(self.footprints[np.flatnonzero(keep)]),
            shape=self.shape,
            traces=self.traces[keep],
            spikes=self.spikes[keep],
            detectable=self.detectable[keep],
            motion_px=self.motion_px,
        )
