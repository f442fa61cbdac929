"""Makes files as CaImAn writes them, with every axis of another length and every value known."""

from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

DATA: Final = Path(__file__).parent / "data" / "caiman"
HEIGHT, WIDTH, FRAMES, UNITS = 7, 11, 30, 3
"""No two of these are equal, so that exchanged axes are seen."""
NONE: Final = b"NoneType"
CENTERS: Final = ((1, 8), (5, 2), (4, 9))
"""(y, x) of the units; none is on the diagonal, and some are outside once y and x are exchanged."""


def images(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float64]:
    """Return the footprints as pictures, (unit, height, width): a peak, and less weight below it than beside it."""
    pictures = np.zeros((UNITS, height, width))
    for unit, (y, x) in enumerate(CENTERS):
        pictures[unit, y, x], pictures[unit, y + 1, x], pictures[unit, y, x + 1] = 0.8, 0.36, 0.48
    return pictures


def fortran(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return pictures as CaImAn's columns, (pixel, picture)."""
    return np.stack([picture.ravel(order="F") for picture in pictures], axis=1)


def courses(seed: int = 0) -> NDArray[np.float64]:
    """Return (unit, frame)."""
    return np.random.default_rng(seed).normal(size=(UNITS, FRAMES))


def caiman_values(**changes: Any) -> dict[str, Any]:
    """Return the content of a one-photon file by path; a change to ``...`` leaves one out."""
    values: dict[str, Any] = {
        "dims": np.array([HEIGHT, WIDTH]),
        "estimates/A": sp.csc_matrix(fortran(images())),
        "estimates/C": courses(1),
        "estimates/S": courses(2),
        "estimates/YrA": courses(3),
        "estimates/F_dff": NONE,
        "estimates/W": NONE,
        "estimates/b": NONE,
        "estimates/f": NONE,
        "estimates/b0": np.arange(HEIGHT * WIDTH, dtype=float),
        "estimates/idx_components": np.array([2, 0]),
        "estimates/idx_components_bad": np.array([1]),
        "estimates/SNR_comp": np.array([3.5, np.inf, np.nan]),
        "estimates/r_values": np.array([0.9, -1.0, 0.5]),
        "estimates/cnn_preds": np.array([]),
        "estimates/bl": np.array(["1.5", "[2.5]", "None"], "S32"),
        "estimates/neurons_sn": np.array([1.0, 2.0, 3.0]),
        "estimates/g": np.array([[np.exp(-1 / 8)], [np.exp(-1 / 4)], [0.0]]),
        "estimates/center": np.zeros((15, 2)),
        "estimates/shifts": np.zeros(0),
        "params/data/@caiman_version": "1.12.1",
        "params/data/fr": 20.0,
        "params/data/fnames": np.array([b"0.avi", b"1.avi"]),
        "params/init/gSig": np.array([4, 4]),
        "params/init/K": NONE,
        "params/init/ssub_B": 2,
        "params/motion/strides": np.array([3, 4]),
        "params/motion/overlaps": np.array([1, 2]),
        "params/motion/pw_rigid": False,
        "params/motion/is3D": False,
    }
    return {name: value for name, value in (values | changes).items() if value is not ...}


def write_caiman(path: Path, values: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a file; ``changes`` name estimates by their last name."""
    values = caiman_values() if values is None else values
    values = values | {f"estimates/{name}": value for name, value in changes.items()}
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            if value is not ...:
                _put(file, name, value)
    return path


def _put(file: h5py.File, name: str, value: Any) -> None:
    group, _, last = name.rpartition("/")
    if last.startswith("@"):
        file.require_group(group).attrs[last[1:]] = value
    elif sp.issparse(value):
        columns = value.tocsc()
        for part in ("data", "indices", "indptr"):
            file[f"{name}/{part}"] = getattr(columns, part)
        file[f"{name}/shape"] = np.array(columns.shape)
    else:
        file[name] = value


def rigid_shifts() -> NDArray[np.float64]:
    """Return (frame, 2): rows first, much larger than columns."""
    return np.stack([np.linspace(10, 20, FRAMES), np.linspace(-2, -1, FRAMES)], axis=1)
