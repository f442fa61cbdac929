"""The processing result: one file group on disk, one writer and one loader for every engine.

A result is a folder::

    OUT/
      result.json       scalars: shape, frame count, parameters as used, versions, timings; written last
      arrays.zarr/      one Zarr v3 group, sharded; the arrays of ``ARRAYS``

It must not know engines, databases or stores: an engine writes it, publishing copies it, everybody reads it.
Axis order is (unit, frame) and (y, x) everywhere; footprints are sparse rows over C-ordered pixels.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from zarr.storage import MemoryStore

from miniscope_core.errors import ResultError

RESULT_FILE: Final = "result.json"
ARRAYS_GROUP: Final = "arrays.zarr"
FORMAT_VERSION: Final = 1
SPARSE_PARTS: Final = ("data", "indices", "indptr")
"""A sparse matrix ``x`` is stored as the arrays ``x_data``, ``x_indices`` and ``x_indptr``, compressed by row."""

# A chunk is what one read fetches: some units by a few thousand frames. A shard is one object in a store.
_CHUNK: Final = {"unit": 32, "frame": 4096, "block": 64, "entry": 2**16, "sample": 2**16, "y": 4096, "x": 4096}
_SHARD_FACTOR: Final = {"unit": 8, "frame": 8, "entry": 64, "sample": 64}


@dataclass(frozen=True)
class ArraySpec:
    """What an array of a result holds: its axes, its type on disk, its unit and what it means."""

    axes: tuple[str, ...]
    dtype: str
    unit: str
    meaning: str


ARRAYS: Final[Mapping[str, ArraySpec]] = {
    "footprints_data": ArraySpec(("entry",), "float32", "1", "weights of the sparse footprints, row by row"),
    "footprints_indices": ArraySpec(("entry",), "int64", "px", "C-ordered pixel of each weight"),
    "footprints_indptr": ArraySpec(("row",), "int64", "1", "where each unit's row begins; units + 1 entries"),
    "fluorescence": ArraySpec(("unit", "frame"), "float32", "a.u.", "as extracted: trace plus residual"),
    "traces": ArraySpec(("unit", "frame"), "float32", "a.u.", "denoised, baseline included"),
    "activity": ArraySpec(("unit", "frame"), "float32", "a.u.", "deconvolved, in the unit of the traces"),
    "neuropil": ArraySpec(("unit", "frame"), "float32", "a.u.", "background under each footprint"),
    "dff": ArraySpec(("unit", "frame"), "float32", "1", "change over baseline fluorescence"),
    "detrended": ArraySpec(("unit", "frame"), "float32", "a.u.", "fluorescence less its slow baseline; no ΔF/F"),
    "background": ArraySpec(("component", "y", "x"), "float32", "a.u.", "spatial background components"),
    "background_activity": ArraySpec(("component", "frame"), "float32", "a.u.", "their time courses"),
    "background_constant": ArraySpec(("y", "x"), "float32", "a.u.", "background of a ring model that does not change"),
    "ring_weights_data": ArraySpec(("entry",), "float32", "1", "ring model: how neighbours predict a pixel, by row"),
    "ring_weights_indices": ArraySpec(("entry",), "int64", "px", "C-ordered neighbour, on the ring model's own grid"),
    "ring_weights_indptr": ArraySpec(("ring_row",), "int64", "1", "where each pixel's row begins"),
    "shifts_px": ArraySpec(("frame", "yx"), "float32", "px", "(dy, dx), the correction applied"),
    "block_shifts_px": ArraySpec(("block", "frame", "yx"), "float32", "px", "the same per block"),
    "block_ranges_px": ArraySpec(("block", "range"), "int64", "px", "y start, y stop, x start, x stop"),
    "accepted": ArraySpec(("unit",), "bool", "1", "the engine's own acceptance"),
    "snr": ArraySpec(("unit",), "float32", "1", "peak signal-to-noise of the trace"),
    "r_value": ArraySpec(("unit",), "float32", "1", "correlation of the footprint with the movie at its events"),
    "cnn_pred": ArraySpec(("unit",), "float32", "1", "classifier's probability of a cell"),
    "baseline": ArraySpec(("unit",), "float32", "a.u.", "fluorescence without activity"),
    "decay_time_s": ArraySpec(("unit",), "float32", "s", "fitted decay of the indicator"),
    "noise": ArraySpec(("unit",), "float32", "a.u.", "standard deviation of the fluorescence noise"),
    "seeds_px": ArraySpec(("seed", "yx"), "int64", "px", "(y, x) where a unit was tried"),
    "outlier_frames": ArraySpec(("outlier",), "int64", "1", "frames whose shift was replaced"),
    "timestamps_s": ArraySpec(("frame",), "float64", "s", "frame clock, from the start of the recording"),
    "head_orientation": ArraySpec(("sample", "channel"), "float64", "s, 1", "time, then the quaternion w, x, y, z"),
    "part_starts": ArraySpec(("part",), "int64", "1", "first frame of each recording that was joined"),
    "filled_frames": ArraySpec(("filled",), "int64", "1", "broken frames, filled from their neighbours: no data"),
    "cleaning_frame_before": ArraySpec(("y", "x"), "float32", "a.u.", "one frame before the movie was cleaned"),
    "cleaning_frame_after": ArraySpec(("y", "x"), "float32", "a.u.", "the same frame after"),
    "cleaning_deviation_before": ArraySpec(("y", "x"), "float32", "a.u.", "deviation over a sample before cleaning"),
    "cleaning_deviation_after": ArraySpec(("y", "x"), "float32", "a.u.", "the same after"),
    "image_template": ArraySpec(("y", "x"), "float32", "a.u.", "what frames were aligned to"),
    "image_average": ArraySpec(("y", "x"), "float32", "a.u.", "mean of the corrected movie"),
    "image_max": ArraySpec(("y", "x"), "float32", "a.u.", "maximum of the corrected movie over time"),
    "image_correlation": ArraySpec(("y", "x"), "float32", "1", "local correlation of the filtered movie"),
    "image_pnr": ArraySpec(("y", "x"), "float32", "1", "peak-to-noise ratio of the filtered movie"),
}
_IMAGE: Final = "image_"
_SIGNAL: Final = re.compile(r"signal_\d+")
_SIGNAL_SPEC: Final = ArraySpec(("sample", "channel"), "float64", "s, …", "time, then the channels of the signal")
_NEEDED: Final = (
    *(f"footprints_{part}" for part in SPARSE_PARTS),
    *("fluorescence", "traces", "activity", "shifts_px", "accepted", "image_template", "image_average"),
)
"""What every result has; the rest only where the engine defines it."""


class ResultInfo(BaseModel):
    """Everything of a result that is not an array, as ``result.json`` holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    method: str = Field(description="Key of the processing method, as in the parameters")
    package: str = Field(description="Package that computed it")
    package_version: str
    shape: tuple[int, int] = Field(description="Height and width of the corrected movie, px")
    frame_count: int = Field(ge=1)
    unit_count: int = Field(ge=0)
    fps: float = Field(gt=0, description="Frame rate, Hz")
    parameters: dict[str, Any] = Field(description="As used, with every default filled in")
    versions: dict[str, str] = Field(description="Versions of the packages that matter to the numbers")
    timings: dict[str, float] = Field(description="Wall seconds per stage")
    cpu_seconds: float = Field(default=0.0, ge=0)
    peak_memory_bytes: int = Field(ge=0, description="Highest resident memory of the process tree")
    cell_diameter_px: float | None = Field(default=None, gt=0, description="Width of a cell body the engine expected")
    activity_method: str = Field(description="How the activity was inferred, as in ActivityExtractionMethod")
    notes: tuple[str, ...] = Field(default=(), description="What a reader of the numbers should know")
    files: dict[str, int] = Field(
        default_factory=dict, repr=False, description="Bytes of every other file of the folder, by its path in there"
    )


class GroupWriter:
    """Write the named arrays of a result into a Zarr group, whole or by slices; without one, into memory."""

    def __init__(self, group: "zarr.Group | None" = None) -> None:
        self._group = zarr.open_group(MemoryStore(), mode="w", zarr_format=3) if group is None else group

    def create(self, name: str, shape: tuple[int, ...]) -> "zarr.Array[Any]":
        """Create an array to be filled by slices.

        Parameters
        ----------
        name
            A key of ``ARRAYS``.
        shape
            Lengths along the axes of its :class:`ArraySpec`.

        Returns
        -------
        zarr.Array
            Filled with zeros. Write it in slices that begin and end at multiples of
            :func:`write_step` frames, or each write rewrites a shard.
        """
        spec = array_spec(name)
        if len(shape) != len(spec.axes):
            raise ResultError(f"Array {name!r}: got shape {shape}, expected the axes {spec.axes}.")
        chunks = tuple(max(1, min(n, _CHUNK.get(axis, n))) for n, axis in zip(shape, spec.axes, strict=True))
        shards = tuple(
            chunk * max(1, min(_SHARD_FACTOR.get(axis, 1), -(-n // chunk)))
            for n, axis, chunk in zip(shape, spec.axes, chunks, strict=True)
        )
        return self._group.create_array(
            name,
            shape=shape,
            dtype=spec.dtype,
            chunks=chunks,
            shards=shards,
            fill_value=0,
            dimension_names=spec.axes,
            attributes={"unit": spec.unit, "meaning": spec.meaning},
        )

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Write a whole array, converted to the type its :class:`ArraySpec` names."""
        values = np.asarray(values)
        array = self.create(name, values.shape)
        if values.size:
            array[...] = values.astype(array_spec(name).dtype, copy=False)

    def write_sparse(self, name: str, matrix: "sp.sparray | sp.spmatrix") -> None:
        """Write a sparse matrix, compressed by row; the one given stays as it is."""
        rows = sp.csr_array(matrix, copy=True)
        rows.sum_duplicates()
        for part in SPARSE_PARTS:
            self.write(f"{name}_{part}", getattr(rows, part))
        self._group[f"{name}_indptr"].attrs["sparse_shape"] = list(rows.shape)

    def write_footprints(self, footprints: "sp.sparray | sp.spmatrix") -> None:
        """Write sparse footprints, (unit, height·width) over C-ordered pixels."""
        self.write_sparse("footprints", footprints)

    def finish(self, info: ResultInfo) -> "ProcessingResult":
        """Make a result of the arrays and their description."""
        return ProcessingResult(info=info, group=self._group)


class ArrayWriter(GroupWriter):
    """Write named arrays into ``arrays.zarr`` of a folder, whole or by slices.

    Parameters
    ----------
    folder
        Created with its parents; must be empty or absent.

    Raises
    ------
    ResultError
        When the folder already holds something.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ResultError(f"Output folder is not empty at {self.folder}: name a new one, nothing was overwritten.")
        self.folder.mkdir(parents=True, exist_ok=True)
        super().__init__(zarr.open_group(str(self.folder / ARRAYS_GROUP), mode="w", zarr_format=3))


class ResultWriter(ArrayWriter):
    """Write a result folder: arrays in any order, then :meth:`finish`.

    Until ``finish`` the folder is no result: :func:`load_result` refuses it.
    """

    def finish(self, info: ResultInfo) -> "ProcessingResult":
        """Make the folder a result, by writing its description last, and load it.

        The description lists the folder's files: Zarr takes one that was lost for zeros.
        """
        _describe(self.folder, info)
        return load_result(self.folder)


def amend_result(
    result: "ProcessingResult", arrays: Mapping[str, NDArray[Any]], notes: Sequence[str] = ()
) -> "ProcessingResult":
    """Add arrays and notes to a finished result folder that nobody else knows yet.

    Parameters
    ----------
    result
        As an engine returned it, in a folder.
    arrays
        By their names in ``ARRAYS``; none of them may be there.
    notes
        What a reader of the numbers should know besides.

    Raises
    ------
    ResultError
        When the result has no folder.
    """
    if result.folder is None:
        raise ResultError("A result that lies in no folder cannot be added to: load it from its folder.")
    writer = GroupWriter(zarr.open_group(str(result.folder / ARRAYS_GROUP), mode="r+"))
    for name, values in arrays.items():
        writer.write(name, values)
    _describe(result.folder, result.info.model_copy(update={"notes": (*notes, *result.info.notes)}))
    return load_result(result.folder)


def _describe(folder: Path, info: ResultInfo) -> None:
    """Write the description of a result, with the files that are there now; it appears whole or not at all."""
    path = folder / RESULT_FILE
    partial = path.with_suffix(".partial")
    # The description is not among the files that it lists.
    files = {name: size for name, size in _file_sizes(folder).items() if name != RESULT_FILE}
    partial.write_text(info.model_copy(update={"files": files}).model_dump_json(indent=1), encoding="utf-8")
    os.replace(partial, path)


def _file_sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def write_step() -> int:
    """Return the number of frames in one shard of a (unit, frame) array: the step to write slices by."""
    return _CHUNK["frame"] * _SHARD_FACTOR["frame"]


def write_units() -> int:
    """Return the number of units in one shard of a (unit, frame) array: the other step to write slices by."""
    return _CHUNK["unit"] * _SHARD_FACTOR["unit"]


def array_spec(name: str) -> ArraySpec:
    """Return what an array called ``name`` holds.

    Raises
    ------
    ResultError
        When no result has an array of this name.
    """
    if name in ARRAYS:
        return ARRAYS[name]
    if _SIGNAL.fullmatch(name):
        return _SIGNAL_SPEC
    raise ResultError(f"Unknown array {name!r}: results hold {', '.join(sorted(ARRAYS))}.")


@dataclass(frozen=True)
class ProcessingResult:
    """A result folder, read on demand: an attribute reads its array whole, :meth:`array` opens it for slicing."""

    info: ResultInfo
    group: "zarr.Group" = field(repr=False)
    folder: Path | None = field(default=None, repr=False)
    """Where it lies, unless it was read from a store."""

    def array(self, name: str) -> "zarr.Array[Any]":
        """Open an array without reading it.

        Raises
        ------
        ResultError
            When this result has no such array.
        """
        array = self.group.get(name)
        if not isinstance(array, zarr.Array):
            raise ResultError(f"No array {name!r} in the result: it has {', '.join(self.array_names)}.")
        return array

    def read(self, name: str) -> NDArray[Any]:
        """Read an array whole."""
        return np.asarray(self.array(name)[...])

    def optional(self, name: str) -> NDArray[Any] | None:
        """Read an array whole, or return None where the engine did not define it."""
        return self.read(name) if name in self.array_names else None

    def check(self, where: str) -> None:
        """Check that a result is whole and does not contradict itself.

        Every file that the description lists is there with its size, every array that a result needs is there, all
        have the lengths the description tells, and the footprints lie within the image. Reads the footprints'
        indices, no other values.

        Parameters
        ----------
        where
            Where the result lies, for the message.

        Raises
        ------
        ResultError
            When it is incomplete or contradicts itself; it names the files or the arrays.
        """
        self.check_files(where)
        problems = self._problems_of_shapes() or self._problems_of_footprints()
        if problems:
            raise _damaged(where, problems)

    def check_files(self, where: str) -> None:
        """Check that every file the description lists is there with its size: Zarr reads zeros where one was lost.

        Raises
        ------
        ResultError
            When one is missing, cut short, or foreign to the arrays it lies among.
        """
        problems = self._problems_of_files()
        if problems:
            raise _damaged(where, problems)

    def _problems_of_files(self) -> list[str]:
        if self.folder is None:
            return []
        if not self.info.files:
            return [f"{RESULT_FILE} does not list the files"]
        found, listed = _file_sizes(self.folder), self.info.files
        problems = [
            f"file {name} has {found[name]} bytes, expected {size}" if name in found else f"file {name} is missing"
            for name, size in listed.items()
            if found.get(name) != size
        ]
        # A foreign chunk would change what is read here, and not be published. Desktops leave hidden files everywhere.
        foreign = [name for name in found.keys() - listed.keys() if name.startswith(f"{ARRAYS_GROUP}/")]
        return problems + [f"file {name} is foreign" for name in sorted(foreign) if "/." not in name]

    def _problems_of_shapes(self) -> list[str]:
        problems = [f"{name} is missing" for name in _NEEDED if name not in self.array_names]
        lengths = {"unit": self.unit_count, "frame": self.frame_count, "y": self.shape[0], "x": self.shape[1], "yx": 2}
        lengths["row"] = self.unit_count + 1
        for name in self.array_names:
            expected = [lengths.get(axis) for axis in ARRAYS[name].axes] if name in ARRAYS else None
            got = self.array(name).shape
            if expected is None:
                problems.append(f"{name} is unknown")
            elif len(got) != len(expected) or any(w not in (None, g) for g, w in zip(got, expected, strict=True)):
                problems.append(
                    f"{name} has the shape {got}, expected {tuple('any' if w is None else w for w in expected)}"
                )
        if ("block_shifts_px" in self.array_names) != ("block_ranges_px" in self.array_names):
            problems.append("block_shifts_px and block_ranges_px belong together")
        return problems

    def _problems_of_footprints(self) -> list[str]:
        """Ask of the sparse matrix what SciPy takes on trust."""
        try:
            bounds, pixels = self.read("footprints_indptr"), self.read("footprints_indices")
        except (OSError, ValueError, RuntimeError) as error:
            return [f"footprints cannot be read ({error})"]
        weights, pixel_count = self.array("footprints_data").shape[0], self.shape[0] * self.shape[1]
        problems = []
        if bounds[0] != 0 or (np.diff(bounds) < 0).any():
            problems.append("footprints_indptr does not rise from 0")
        if bounds[-1] != weights:
            problems.append("footprints_indptr does not end at the last weight")
        if len(pixels) != weights:
            problems.append(f"footprints_indices has {len(pixels)} entries, footprints_data {weights}")
        elif len(pixels) and not 0 <= pixels.min() <= pixels.max() < pixel_count:
            problems.append(f"footprints_indices has {pixels.min()}…{pixels.max()}, expected 0…{pixel_count - 1}")
        asked = [self.unit_count, pixel_count]
        if (got := self.array("footprints_indptr").attrs.get("sparse_shape")) != asked:
            problems.append(f"footprints have the sparse shape {got}, expected {asked}")
        return problems

    @cached_property
    def array_names(self) -> tuple[str, ...]:
        """Names of the arrays that are here."""
        return tuple(sorted(self.group.array_keys()))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.info.shape

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self.info.frame_count

    @property
    def unit_count(self) -> int:
        """Number of units, accepted or not."""
        return self.info.unit_count

    @property
    def fps(self) -> float:
        """Frame rate, Hz."""
        return self.info.fps

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters as used."""
        return self.info.parameters

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that matter to the numbers."""
        return self.info.versions

    @property
    def timings(self) -> dict[str, float]:
        """Wall seconds per stage."""
        return self.info.timings

    @property
    def peak_memory_bytes(self) -> int:
        """Highest resident memory of the process tree, bytes."""
        return self.info.peak_memory_bytes

    @property
    def parts(self) -> tuple[slice, ...]:
        """The frames of each recording, in order, where several were joined; else all of them.

        ``[result.traces[:, part] for part in result.parts]`` gives the traces of each.
        """
        starts = self.optional("part_starts")
        edges = [0, self.frame_count] if starts is None else [*starts.tolist(), self.frame_count]
        return tuple(slice(begin, end) for begin, end in pairwise(edges))

    @cached_property
    def footprints(self) -> "sp.csr_array":
        """Sparse footprints, (unit, height·width), float32, C-ordered pixels."""
        height, width = self.shape
        parts = (
            self.read("footprints_data"),
            self.read("footprints_indices"),
            self.read("footprints_indptr"),
        )
        return sp.csr_array(parts, shape=(self.unit_count, height * width))

    @cached_property
    def fluorescence(self) -> NDArray[np.float32]:
        """Fluorescence as extracted (trace plus residual), (unit, frame), a.u."""
        return self.read("fluorescence")

    @cached_property
    def traces(self) -> NDArray[np.float32]:
        """Denoised traces, (unit, frame), a.u."""
        return self.read("traces")

    @cached_property
    def activity(self) -> NDArray[np.float32]:
        """Deconvolved activity, (unit, frame), in the unit of the traces."""
        return self.read("activity")

    @cached_property
    def shifts_px(self) -> NDArray[np.float32]:
        """Shifts (frame, 2) as (dy, dx), px: the correction applied to a frame; the mean over blocks if piece-wise."""
        return self.read("shifts_px")

    @cached_property
    def accepted(self) -> NDArray[np.bool_]:
        """The engine's own acceptance, (unit,)."""
        return self.read("accepted")

    @cached_property
    def snr(self) -> NDArray[np.float32]:
        """Peak signal-to-noise ratio, (unit,)."""
        return self.read("snr")

    @cached_property
    def r_value(self) -> NDArray[np.float32]:
        """Spatial consistency of each footprint, (unit,)."""
        return self.read("r_value")

    @cached_property
    def timestamps_s(self) -> NDArray[np.float64]:
        """Frame clock, (frame,), seconds from the start of the recording."""
        return self.read("timestamps_s")

    @cached_property
    def images(self) -> dict[str, NDArray[np.float32]]:
        """Summary images by name (template, average, max, correlation, pnr), each (height, width)."""
        return {name.removeprefix(_IMAGE): self.read(name) for name in self.array_names if name.startswith(_IMAGE)}


def _damaged(where: str, problems: list[str]) -> ResultError:
    more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
    return ResultError(f"Damaged result in {where}: {'; '.join(problems[:5])}{more}. Compute it again.")


def load_result(folder: str | os.PathLike[str]) -> ProcessingResult:
    """Load the result that an engine left in a folder.

    Parameters
    ----------
    folder
        As given to ``miniscope process --output`` or to an engine.

    Returns
    -------
    ProcessingResult
        Arrays are read when they are asked for.

    Raises
    ------
    ResultError
        When the folder holds no finished result, one that lost a file, or one of another format version.
    """
    folder = Path(folder)
    path = folder / RESULT_FILE
    if not path.is_file():
        raise ResultError(
            f"No finished result in {folder}: {RESULT_FILE} is missing. Did the engine end with an error?"
        )
    try:
        group = zarr.open_group(str(folder / ARRAYS_GROUP), mode="r")
    except (OSError, ValueError) as error:
        raise ResultError(f"Damaged result in {folder}: {ARRAYS_GROUP} is missing or no Zarr group.") from error
    result = replace(result_from(path.read_bytes(), group, where=str(folder)), folder=folder)
    result.check_files(str(folder))
    return result


def result_from(description: bytes, group: "zarr.Group", where: str) -> ProcessingResult:
    """Make a result from the bytes of its ``result.json`` and its opened group, wherever they were read.

    Raises
    ------
    ResultError
        When the description cannot be read or is of another format version.
    """
    try:
        fields = json.loads(description)
        version = fields.get("format_version", FORMAT_VERSION)
        # Asked first: a later version may have fields that this one does not know.
        if version != FORMAT_VERSION:
            raise ResultError(
                f"Result at {where}: got format version {version}, expected {FORMAT_VERSION}. "
                "Read it with the version of miniscope_core that wrote it."
            )
        info = ResultInfo.model_validate(fields)
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ResultError(f"Unreadable {RESULT_FILE} at {where}: {reason}. Was it edited, or cut short?") from error
    return ProcessingResult(info=info, group=group)
