"""Read what CaImAn saved, by h5py alone, into our own conventions: (unit, frame), (y, x), C-ordered pixels.

Layouts: ``CNMF.save`` since CaImAn 1.4 (a group ``estimates``), the flat one before it, with or without evaluation,
and with the group ``motion_correction`` that DataJoint's elements add. Facts of the format are cited at CaImAn 1.12.1.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.engines.caiman.hdf5 import Reader, opened
from miniscope_core.engines.caiman.motion import (
    HDF5_SUFFIXES,
    Grid,
    Motion,
    motion_beside,
    motion_from,
    motion_of_estimates,
)
from miniscope_core.errors import ResultError

# How much of a course's changes from frame to frame may be its baseline's, in what was only detrended.
_BASELINE_CHANGE: Final = 0.2
# Units, spread over all of them, that tell what was done to every one.
_ASKED_UNITS: Final = 50


@dataclass(frozen=True)
class CaimanResult:
    """What a CaImAn file holds, in our conventions; None where it holds nothing."""

    path: Path
    caiman_version: str
    """As the file says, else ``unknown``."""
    shape: tuple[int, int]
    """Height and width, px."""
    footprints: "sp.csr_array"
    """(unit, height·width), C-ordered pixels, each of Euclidean length 1 as CaImAn scales them: footprints times
    traces are in the units of the movie."""
    fluorescence: NDArray[np.float32]
    """(unit, frame), C + YrA; NaN where the file keeps no residual."""
    traces: NDArray[np.float32]
    """(unit, frame), C: denoised, with its baseline."""
    activity: NDArray[np.float32]
    """(unit, frame), S: deconvolved, in the unit of the traces; NaN where the file keeps none."""
    accepted: NDArray[np.bool_]
    """(unit,), from the positions ``idx_components``; all of them where nothing was evaluated."""
    evaluated: bool
    """Whether CaImAn's evaluation ran."""
    snr: NDArray[np.float32] | None
    """(unit,); infinite where CaImAn's is."""
    r_value: NDArray[np.float32] | None
    """(unit,); NaN where CaImAn put -1 for a correlation that is not defined."""
    cnn_pred: NDArray[np.float32] | None
    """(unit,)."""
    dff: NDArray[np.float32] | None
    """(unit, frame), F_dff where it is a change over a baseline that has a background in it."""
    detrended: NDArray[np.float32] | None
    """(unit, frame), F_dff where CaImAn only took the slow baseline off."""
    background: NDArray[np.float32] | None
    """(component, height, width), b."""
    background_activity: NDArray[np.float32] | None
    """(component, frame), f."""
    background_constant: NDArray[np.float32] | None
    """(height, width), b0 of the ring model."""
    ring_weights: "sp.csr_array | None"
    """(pixel, pixel), W of the ring model, C-ordered pixels of the grid that is ``ssub_B`` times coarser."""
    baseline: NDArray[np.float32] | None
    """(unit,), bl."""
    noise: NDArray[np.float32] | None
    """(unit,), neurons_sn."""
    decay_frames: NDArray[np.float32] | None
    """(unit,), decay time of the fitted g, frames."""
    motion: Motion
    images: dict[str, NDArray[np.float32]]
    """Summary images by our names, each (height, width)."""
    parameters: dict[str, Any]
    """CaImAn's groups of parameters, as saved."""
    notes: tuple[str, ...]
    """What a reader of the numbers should know."""

    @property
    def unit_count(self) -> int:
        """Number of units, accepted or not."""
        return int(self.traces.shape[0])

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return int(self.traces.shape[1])

    @property
    def shifts_px(self) -> NDArray[np.float32] | None:
        """(frame, 2): (dy, dx), the correction applied; None where neither the file nor one beside it has it."""
        return self.motion.shifts_px

    @property
    def block_shifts_px(self) -> NDArray[np.float32] | None:
        """(block, frame, 2), of a piece-wise correction."""
        return self.motion.block_shifts_px

    @property
    def block_ranges_px(self) -> NDArray[np.int64] | None:
        """(block, 4): y start, y stop, x start, x stop."""
        return self.motion.block_ranges_px

    @property
    def fps(self) -> float | None:
        """Frame rate that CaImAn was given, Hz."""
        value = _group(self.parameters, "data").get("fr")
        return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else None


# -- which file ---------------------------------------------------------------------------------------------
def find_caiman_file(path: str | os.PathLike[str]) -> Path:
    """Return the CaImAn result that a path means: the file itself, or the only one of a folder.

    A folder's files that end like HDF5 and cannot be opened count too: the one meant may be among them.

    Raises
    ------
    ResultError
        When there is none, or more than one; it names them.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise ResultError(f"No CaImAn result at {path}: there is no such file or folder.")
    found = _results_in(path)
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(one.name for one in found)
        raise ResultError(f"CaImAn result in {path}: got {names}, expected one file. Name the one that is meant.")
    raise ResultError(
        f"No CaImAn result in {path}: none of its files ({', '.join(HDF5_SUFFIXES)}) has estimates with A and C."
    )


def _results_in(folder: Path) -> list[Path]:
    files = [one for one in folder.iterdir() if one.suffix.lower() in HDF5_SUFFIXES and not one.name.startswith(".")]
    return [one for one in sorted(files) if one.is_file() and _may_be_result(one)]


def _may_be_result(path: Path) -> bool:
    try:
        with opened(path) as reader:
            return _estimates(reader) is not None
    except ResultError:
        return True


def _estimates(reader: Reader) -> Reader | None:
    """Return the group with A and C: ``estimates``, or the file itself before there was one."""
    for group in (reader.group("estimates"), reader):
        if group is not None and group.node("A") is not None and group.node("C") is not None:
            return group
    return None


# -- reading ------------------------------------------------------------------------------------------------
def read_caiman(path: str | os.PathLike[str]) -> CaimanResult:
    """Read a CaImAn result; CaImAn need not be installed.

    Parameters
    ----------
    path
        The HDF5 file that ``CNMF.save`` wrote, or a folder that holds exactly one. Shifts that it lacks are taken
        from the one npz or HDF5 file beside it that has them for as many frames; a note says so.

    Returns
    -------
    CaimanResult

    Raises
    ------
    ResultError
        When there is no such result or more than one, it is damaged, of a volume, or contradicts itself.
    """
    path = find_caiman_file(path)
    # What float32 cannot hold is infinite there.
    with opened(path) as reader, np.errstate(over="ignore", invalid="ignore"):
        estimates = _estimates(reader)
        if estimates is None:
            raise ResultError(f"No CaImAn result at {path}: it has no estimates with A and C. Was it saved by CaImAn?")
        return _Reading(reader, estimates).result()


class _Reading:
    """One file being read: what its parts have to agree on, and the notes that come up."""

    def __init__(self, reader: Reader, estimates: Reader) -> None:
        self.path = reader.path
        self.reader = reader
        self.estimates = estimates
        self.notes: list[str] = []
        parameters = reader.group("params")
        self.parameters = {} if parameters is None else parameters.tree()
        self.shape = self._shape()
        columns = self._required_matrix()
        self.footprints = _footprints(columns, self.shape)
        self.units = int(self.footprints.shape[0])
        traces = estimates.numbers("C", ndim=2)
        if traces is None or len(traces) != self.units:
            raise estimates.wrong("C", f"{0 if traces is None else len(traces)} traces", f"{self.units} as A has units")
        self.traces = traces.astype(np.float32)
        self.frames = self.traces.shape[1]
        if not self.frames:
            raise estimates.wrong("C", "no frames", "at least one")

    def result(self) -> CaimanResult:
        fluorescence = self._fluorescence()
        background, courses = self._background()
        dff, detrended = self._dff(fluorescence, background is not None)
        accepted, evaluated = self._accepted()
        motion = self._motion()
        constant = self._constant()
        return CaimanResult(
            path=self.path,
            caiman_version=str(_group(self.parameters, "data").get("caiman_version") or "unknown"),
            shape=self.shape,
            footprints=self.footprints,
            fluorescence=fluorescence,
            traces=self.traces,
            activity=self._activity(),
            accepted=accepted,
            evaluated=evaluated,
            snr=self._per_unit("SNR_comp"),
            r_value=self._r_value(),
            cnn_pred=self._per_unit("cnn_preds"),
            dff=dff,
            detrended=detrended,
            background=background,
            background_activity=courses,
            background_constant=constant,
            ring_weights=self._ring_weights(),
            baseline=self._per_unit("bl"),
            noise=self._per_unit("neurons_sn"),
            decay_frames=self._decay_frames(),
            motion=motion,
            images=self._images(motion, background, courses, constant),
            parameters=self.parameters,
            notes=(*self.notes, *motion.notes),
        )

    # -- units ----------------------------------------------------------------------------------------------
    def _shape(self) -> tuple[int, int]:
        sources = ((self.reader, "dims"), (self.estimates, "dims"), (self.reader, "params/data/dims"))
        dims = next((values for source, name in sources if (values := source.numbers(name)) is not None), None)
        if dims is None:
            raise ResultError(f"dims missing at {self.path}: needed to place pixels. Was it saved by CaImAn?")
        if dims.size == 3 or _group(self.parameters, "motion").get("is3D") is True:
            raise ResultError(
                f"CaImAn result at {self.path}: got a volume of dims {dims.tolist()}, expected a height and a width. "
                "Volumes cannot be read; analyse its planes one by one."
            )
        if dims.shape != (2,) or dims.dtype.kind not in "iu" or (dims < 1).any():
            raise self.reader.wrong("dims", f"{dims.tolist()}", "a height and a width")
        return int(dims[0]), int(dims[1])

    def _required_matrix(self) -> "sp.csc_array":
        columns = self.estimates.matrix("A")
        if columns is None:
            raise self.estimates.wrong("A", "nothing", "footprints; did CaImAn find any components")
        height, width = self.shape
        if columns.shape[0] != height * width:
            raise ResultError(
                f"A at {self.path}: got {columns.shape[0]:,} pixels, expected {height * width:,} ({height}×{width}). "
                "Is it of another movie, or of a part of the field?"
            )
        return columns

    def _course(self, name: str) -> NDArray[np.float32] | None:
        """Return an array (unit, frame), or None."""
        values = self.estimates.numbers(name)
        if values is None or (values.ndim < 2 and not values.size):
            return None
        if values.shape != (self.units, self.frames):
            raise self.estimates.wrong(name, f"shape {values.shape}", f"{(self.units, self.frames)} as C has")
        return values.astype(np.float32)

    def _fluorescence(self) -> NDArray[np.float32]:
        residual = self._course("YrA")
        residual = self._course("R") if residual is None else residual
        if residual is None:
            self.notes.append("Fluorescence is not known: the file keeps no residual (YrA)")
            return np.full_like(self.traces, np.nan)
        return self.traces + residual

    def _activity(self) -> NDArray[np.float32]:
        activity = self._course("S")
        if activity is None:
            self.notes.append("Activity is not known: CaImAn did not deconvolve (no S)")
            return np.full_like(self.traces, np.nan)
        return activity

    def _per_unit(self, name: str) -> NDArray[np.float32] | None:
        """Return an array (unit,), or None; one of another length is left from before units came or went."""
        values = self.estimates.numbers(name)
        if values is None or (not values.size and self.units):
            return None
        if values.size != self.units:
            self.notes.append(f"{name} left out: {values.size} values for {self.units} units")
            return None
        return values.reshape(self.units).astype(np.float32)

    def _r_value(self) -> NDArray[np.float32] | None:
        """Return r_values; CaImAn 1.12.1 puts -1 where the correlation is NaN (``components_evaluation.py``)."""
        values = self._per_unit("r_values")
        return None if values is None else np.where(values == -1, np.float32(np.nan), values)

    def _accepted(self) -> tuple[NDArray[np.bool_], bool]:
        """Return who is accepted, and whether CaImAn evaluated; what a person decided in its GUI comes last."""
        positions, discarded = self._positions("idx_components"), self._discarded()
        if positions is not None:
            accepted = np.zeros(self.units, bool)
            accepted[positions] = True
        else:
            accepted = np.ones(self.units, bool)
            self.notes.append(
                f"Every unit counts as accepted: CaImAn's select_components took {discarded:,} others out"
                if discarded
                else "Not evaluated by CaImAn: every unit counts as accepted"
            )
        kept, refused = self._positions("accepted_list"), self._positions("rejected_list")
        if kept is not None and refused is not None and len(kept) + len(refused):
            accepted[kept], accepted[refused] = True, False
            self.notes.append(
                f"By hand, in CaImAn's GUI, {len(kept):,} units were accepted and {len(refused):,} rejected"
            )
        return accepted, positions is not None or discarded > 0

    def _positions(self, name: str) -> NDArray[np.int64] | None:
        """Return positions of units, or None."""
        positions = self.estimates.numbers(name)
        if positions is None:
            return None
        positions = positions.ravel()
        bad = positions[(positions < 0) | (positions >= self.units)]
        if len(bad) or (len(positions) and positions.dtype.kind not in "iu"):
            got = bad.tolist() if len(bad) else f"values of type {positions.dtype}"
            raise self.estimates.wrong(name, f"{got}", f"positions below {self.units}")
        return positions.astype(np.int64)

    def _discarded(self) -> int:
        """Return how many units ``select_components`` took out, which then forgets the positions of the others."""
        others = self.estimates.group("discarded_components")
        columns = None if others is None else others.matrix("A")
        return 0 if columns is None else int(columns.shape[1])

    def _decay_frames(self) -> NDArray[np.float32] | None:
        """Return the decay time that g stands for: c[t] = g1 c[t-1] (+ g2 c[t-2])."""
        g = self.estimates.numbers("g")
        if g is None or g.ndim != 2 or g.shape[0] != self.units or g.shape[1] not in (1, 2):
            return None
        g1, g2 = g[:, 0], (g[:, 1] if g.shape[1] == 2 else np.zeros(self.units))
        with np.errstate(invalid="ignore", divide="ignore"):
            root = (g1 + np.sqrt(g1**2 + 4 * g2)) / 2
            decay = np.where((root > 0) & (root < 1), -1 / np.log(root), np.nan)
        return decay.astype(np.float32)

    # -- F_dff and the background -------------------------------------------------------------------------------
    def _dff(
        self, fluorescence: NDArray[np.float32], has_background: bool
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Return F_dff as what it is: (dff, detrended), at most one of them.

        CaImAn only detrends where b and f are None or it was told to, and then says so only in its log
        (``cnmf/utilities.py:491-497``). With b and f of zero components it divides by the baseline of what is left
        once all background is gone, which is near zero: that is neither, and is left out.
        """
        values = self._course("F_dff")
        if values is None:
            return None, None
        if is_detrended(values, fluorescence) or is_detrended(values, self.traces):
            self.notes.append("F_dff is only detrended, no ΔF/F: the slow baseline was taken off, nothing divided")
            return None, values
        if has_background:
            return values, None
        self.notes.append("F_dff left out: without a background it is no ΔF/F, and it was divided, not detrended")
        return None, None

    def _background(self) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        columns, courses = self.estimates.matrix("b"), self.estimates.numbers("f")
        if columns is None or courses is None or not columns.shape[1]:
            return None, None
        height, width = self.shape
        if columns.shape[0] != height * width or courses.shape != (columns.shape[1], self.frames):
            got = f"{columns.shape} and f of {courses.shape}"
            raise self.estimates.wrong("b", got, f"({height * width}, any) and f of (any, {self.frames})")
        images = np.asarray(columns.toarray()).T.reshape(-1, width, height).transpose(0, 2, 1)
        return images.astype(np.float32), courses.astype(np.float32)

    def _constant(self) -> NDArray[np.float32] | None:
        values = self.estimates.numbers("b0")
        if values is None or values.size != self.shape[0] * self.shape[1]:
            return None
        return np.ascontiguousarray(values.reshape(self.shape, order="F"), np.float32)

    def _ring_weights(self) -> "sp.csr_array | None":
        weights = self.estimates.matrix("W")
        if weights is None or not weights.shape[0]:
            return None
        coarser = max(1, int(_group(self.parameters, "init").get("ssub_B") or 1))
        height, width = (-(-size // coarser) for size in self.shape)
        if weights.shape != (height * width,) * 2:
            self.notes.append(f"Ring weights left out: a grid of {weights.shape[0]} px is not {height}×{width}")
            return None
        entries = sp.coo_array(weights)
        row, column = (_c_order(pixels, height, width) for pixels in entries.coords)
        return sp.csr_array((entries.data.astype(np.float32), (row, column)), shape=weights.shape)

    # -- motion and images --------------------------------------------------------------------------------------
    def _motion(self) -> Motion:
        parameters = _group(self.parameters, "motion")
        grid = Grid(
            self.shape,
            _pair(parameters.get("strides")),
            _pair(parameters.get("overlaps")),
            int(parameters.get("upsample_factor_grid") or 1),
        )
        group = self.reader.group("motion_correction")
        inside = Motion() if group is None else motion_from(group.numbers, grid, self.frames, str(self.path))
        if inside.shifts_px is not None:
            return inside
        own = motion_of_estimates(self.estimates.numbers("shifts"), grid, self.frames, str(self.path))
        others = [one for one in _results_in(self.path.parent) if one != self.path and not _has_shifts(one)]
        found = own or motion_beside(self.path, grid, self.frames, others) or Motion()
        if found.shifts_px is None:
            self.notes.append("Shifts are not known: neither the result nor a file beside it has them")
        return Motion(
            found.shifts_px, found.block_shifts_px, found.block_ranges_px, found.images | inside.images, found.notes
        )

    def _images(
        self,
        motion: Motion,
        background: NDArray[np.float32] | None,
        courses: NDArray[np.float32] | None,
        constant: NDArray[np.float32] | None,
    ) -> dict[str, NDArray[np.float32]]:
        images = dict(motion.images)
        local = self.estimates.numbers("Cn")
        if "correlation" not in images and local is not None and local.shape == self.shape:
            images["correlation"] = local.astype(np.float32)
        if "average" in images:
            return images
        rest = constant
        if background is not None and courses is not None:
            rest = np.tensordot(courses.mean(axis=1), background, axes=1)
        if rest is not None:
            cells = np.asarray(self.footprints.T @ self.traces.mean(axis=1)).reshape(self.shape)
            images["average"] = (rest + cells).astype(np.float32)
            self.notes.append("The average image is the model's: mean of the cells plus the background")
        return images


def is_detrended(values: NDArray[np.floating], course: NDArray[np.floating]) -> bool:
    """Tell whether courses are others less a slow baseline: then they change alike from frame to frame.

    What was divided by a baseline changes by another amount.

    Parameters
    ----------
    values, course
        (unit, frame).
    """
    if not values.size or values.shape[1] < 2:
        return False
    every = -(-len(values) // _ASKED_UNITS)
    values, course = values[::every], course[::every]
    changes, difference = np.diff(course.astype(np.float64)), np.diff(values.astype(np.float64) - course)
    usable = np.isfinite(changes) & np.isfinite(difference)
    total = np.abs(np.where(usable, changes, 0)).sum(axis=1)
    apart = np.abs(np.where(usable, difference, 0)).sum(axis=1)
    moving = total > 0
    return bool(moving.any() and np.median(apart[moving] / total[moving]) < _BASELINE_CHANGE)


def _has_shifts(path: Path) -> bool:
    try:
        with opened(path) as reader:
            own = (reader.node(name) for name in ("estimates/shifts", "motion_correction/shifts_rig"))
            return any(isinstance(node, h5py.Dataset) and bool(node.size) and node.ndim > 0 for node in own) or (
                reader.node("motion_correction/x_shifts_els") is not None
            )
    except ResultError:
        return False


def _footprints(columns: "sp.csc_array", shape: tuple[int, int]) -> "sp.csr_array":
    """Turn (pixel in Fortran order, unit) into (unit, pixel in C order)."""
    entries = sp.coo_array(columns)
    pixel, unit = entries.coords
    parts = (entries.data.astype(np.float32), (unit, _c_order(pixel, *shape)))
    rows = sp.csr_array(parts, shape=(columns.shape[1], columns.shape[0]))
    rows.sum_duplicates()
    return rows


def _c_order(pixels: NDArray[np.integer], height: int, width: int) -> NDArray[np.int64]:
    x, y = np.divmod(pixels.astype(np.int64), height)
    return y * width + x


def _group(parameters: dict[str, Any], name: str) -> dict[str, Any]:
    found = parameters.get(name)
    return found if isinstance(found, dict) else {}


def _pair(value: Any) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) and one >= 0 for one in value):
        return value[0], value[1]
    return None
