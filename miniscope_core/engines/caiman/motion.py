"""CaImAn's motion correction: in the result file, as DataJoint adds it, or in a file of its own beside it.

The signs and the order of axes are those that CaImAn 1.12.1 has in fact, whatever its labels say: column 0 of
``shifts_rig`` and ``x_shifts_els`` are rows (dy), column 1 and ``y_shifts_els`` are columns (dx), both the correction
applied to a frame (``motion_correction.py:2087-2110``). Those are our own conventions too.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.caiman.hdf5 import opened
from miniscope_core.errors import ResultError

Lookup: TypeAlias = Callable[[str], "NDArray[Any] | None"]
"""Gives the array of a name, or None."""

HDF5_SUFFIXES: Final = (".hdf5", ".h5", ".hdf")
_IMAGES: Final = {
    "template": ("reference_image", "total_template_els", "total_template_rig", "template_els", "template_rig"),
    "average": ("average_image",),
    "max": ("max_image",),
    "correlation": ("correlation_image",),
    "pnr": ("pnr_image",),
}
"""Our names of images, and what they are called there."""
_MOST_BYTES: Final = 2**31


@dataclass(frozen=True)
class Grid:
    """Where piece-wise correction put its patches."""

    shape: tuple[int, int]
    strides: tuple[int, int] | None
    overlaps: tuple[int, int] | None
    upsampling: int = 1


@dataclass(frozen=True)
class Motion:
    """What is known of the motion correction, in our conventions."""

    shifts_px: NDArray[np.float32] | None = None
    """(frame, 2): (dy, dx), the correction applied; the mean over blocks where it was piece-wise."""
    block_shifts_px: NDArray[np.float32] | None = None
    """(block, frame, 2)."""
    block_ranges_px: NDArray[np.int64] | None = None
    """(block, 4): y start, y stop, x start, x stop."""
    images: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def motion_from(lookup: Lookup, grid: Grid, frame_count: int, where: str) -> Motion:
    """Make a motion correction of named arrays.

    Parameters
    ----------
    lookup
        Gives ``shifts_rig``, or ``x_shifts_els``, ``y_shifts_els`` and ``coord_shifts_els``, and images.
    grid
        Size of the image and what the parameters say of patches.
    frame_count
        Frames of the traces.
    where
        The file, for messages.

    Raises
    ------
    ResultError
        When shifts are of other frames than the traces, of three dimensions, or an image has another size.
    """
    if lookup("z_shifts_els") is not None:
        raise ResultError(
            f"Motion shifts at {where}: got three dimensions, expected two. Volumes cannot be read; load one plane."
        )
    images = _images(lookup, grid.shape, where)
    dy, dx = lookup("x_shifts_els"), lookup("y_shifts_els")
    if dy is not None and dx is not None and dy.size:
        return _piecewise(dy, dx, lookup("coord_shifts_els"), grid, frame_count, where, images)
    rigid = lookup("shifts_rig")
    if rigid is None or not rigid.size:
        return Motion(images=images)
    _check_shape("shifts_rig", rigid.shape, (frame_count, 2), where)
    return Motion(shifts_px=rigid.astype(np.float32), images=images)


def motion_of_estimates(shifts: NDArray[Any] | None, grid: Grid, frame_count: int, where: str) -> Motion | None:
    """Make a motion correction of ``estimates.shifts``, which only ``fit_file`` fills; None where it is empty.

    It is (frame, 2) of a rigid correction, and (2, frame, patch) of a piece-wise one
    (``source_extraction/cnmf/cnmf.py:364-370``).
    """
    if shifts is None or not shifts.size:
        return None
    if shifts.ndim == 3 and shifts.shape[0] == 2:
        return _piecewise(shifts[0], shifts[1], None, grid, frame_count, where, {})
    if shifts.shape != (frame_count, 2):
        return None  # of an online analysis, which keeps no shift of the frames it began with
    return Motion(shifts_px=shifts.astype(np.float32))


def motion_beside(path: Path, grid: Grid, frame_count: int, others: Sequence[Path]) -> Motion | None:
    """Look for the motion correction of a result in the files of its folder.

    Parameters
    ----------
    path
        The result, which has none itself.
    grid, frame_count
        As in :func:`motion_from`.
    others
        Further results of the folder that have no shifts either: with one of them, nobody can tell whose they are.

    Returns
    -------
    Motion or None
        Of the one file that fits, with a note that names it.

    Raises
    ------
    ResultError
        When more than one file fits.
    """
    found: list[tuple[Path, Motion]] = []
    for candidate in sorted(path.parent.iterdir()):
        if candidate == path or candidate.name.startswith(".") or not candidate.is_file():
            continue
        motion = _from_file(candidate, grid, frame_count)
        if motion is not None and motion.shifts_px is not None:
            found.append((candidate, motion))
    if len(found) > 1:
        raise ResultError(
            f"Motion shifts beside {path}: got {' and '.join(one.name for one, _ in found)}, expected one file of "
            f"{frame_count} frames. Put the result into a folder with its own."
        )
    if not found:
        return None
    candidate, motion = found[0]
    if others:
        note = f"Shifts of {candidate.name} not used: they may belong to {', '.join(one.name for one in others)}"
        return Motion(notes=(note,))
    return Motion(
        motion.shifts_px,
        motion.block_shifts_px,
        motion.block_ranges_px,
        motion.images,
        (*motion.notes, f"Shifts are those of {candidate.name}, which lay beside the result"),
    )


def _from_file(path: Path, grid: Grid, frame_count: int) -> Motion | None:
    """Read a file that may hold a motion correction; what does not is no concern of ours."""
    try:
        if path.suffix == ".npz":
            return motion_from(_npz(path), grid, frame_count, str(path))
        if path.suffix in HDF5_SUFFIXES:
            with opened(path) as reader:
                if reader.node("estimates") is not None:
                    return None  # another result, whose shifts are its own
                inside = reader.group("motion_correction") or reader
                return motion_from(inside.numbers, grid, frame_count, str(path))
    except ResultError:
        return None
    return None


def _npz(path: Path) -> Lookup:
    names = (
        "shifts_rig",
        *(f"{axis}_shifts_els" for axis in "xyz"),
        "coord_shifts_els",
        *itertools.chain(*_IMAGES.values()),
    )
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with ZipFile(path) as archive:
            sizes = {Path(one.filename).stem: one.file_size for one in archive.infolist()}
        with np.load(path, allow_pickle=False) as stored:
            for name in names:
                if sizes.get(name, _MOST_BYTES) < _MOST_BYTES:
                    arrays[name] = _numbers_or_nothing(stored, name)
    except (OSError, ValueError, EOFError, BadZipFile, MemoryError) as error:
        raise ResultError(f"Unreadable motion correction at {path}: {error}.") from error
    return lambda name: arrays[name] if name in arrays and arrays[name].size else None


def _numbers_or_nothing(stored: Any, name: str) -> NDArray[Any]:
    """Return an array; one of objects (coordinates that are all None) would need pickle, and says nothing."""
    try:
        values = np.asarray(stored[name])
    except ValueError:
        return np.zeros(0)
    return values if values.dtype.kind in "fiub" else np.zeros(0)


def _images(lookup: Lookup, shape: tuple[int, int], where: str) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for ours, theirs in _IMAGES.items():
        image = next((values for name in theirs if (values := lookup(name)) is not None), None)
        if image is not None:
            _check_shape(ours, image.shape, shape, where)
            found[ours] = image.astype(np.float32)
    return found


def _piecewise(
    dy: NDArray[Any],
    dx: NDArray[Any],
    coordinates: NDArray[Any] | None,
    grid: Grid,
    frame_count: int,
    where: str,
    images: dict[str, NDArray[np.float32]],
) -> Motion:
    blocks = dy.shape[1] if dy.ndim == 2 else 0
    for name, values in (("x_shifts_els", dy), ("y_shifts_els", dx)):
        _check_shape(name, values.shape, (frame_count, blocks), where)
    shifts = np.stack([dy.T, dx.T], axis=2).astype(np.float32)
    ranges = block_ranges(grid, blocks, coordinates)
    mean = shifts.mean(axis=0)
    if ranges is None:
        note = f"Where the {blocks} blocks of the correction lie is not known: shifts are their mean"
        return Motion(shifts_px=mean, images=images, notes=(note,))
    return Motion(mean, shifts, ranges, images)


def block_ranges(grid: Grid, blocks: int, coordinates: NDArray[Any] | None = None) -> NDArray[np.int64] | None:
    """Return where each block lies, (block, 4): y start, y stop, x start, x stop, px; None where nobody knows.

    DataJoint writes the corners (row start and stop, column start and stop); CaImAn itself only positions in a grid,
    or None for each (with ``shifts_opencv``), and then the grid follows from strides and overlaps: on the patches
    themselves, or on the finer ones that it interpolates to without OpenCV (``motion_correction.py:1757-1781``).

    Parameters
    ----------
    grid
        Size of the image, and strides and overlaps from the parameters.
    blocks
        Number of blocks that there are shifts of.
    coordinates
        What the file says.
    """
    height, width = grid.shape
    limits = np.array([height, height, width, width])
    if coordinates is not None and coordinates.shape == (blocks, 4) and coordinates.dtype.kind in "iuf":
        return np.asarray(np.clip(coordinates, 0, limits), np.int64)
    if grid.strides is None or grid.overlaps is None:
        return None
    for factor in (1, max(1, grid.upsampling)):
        strides = [max(1, round(stride / factor)) for stride in grid.strides]
        windows = [stride + overlap for stride, overlap in zip(strides, grid.overlaps, strict=True)]
        starts = [
            [*range(0, size - window, stride), size - window]
            for size, window, stride in zip(grid.shape, windows, strides, strict=True)
        ]
        corners = [(y, y + windows[0], x, x + windows[1]) for y, x in itertools.product(*starts)]
        if len(corners) == blocks:
            return np.asarray(np.clip(np.array(corners), 0, limits), np.int64)
    return None


def _check_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...], where: str) -> None:
    if got != expected:
        raise ResultError(
            f"{name} at {where}: got shape {got}, expected {expected} as the traces and images have. "
            "Is this the motion correction of this result?"
        )
