"""Reader of movies in NWB files (Neurodata Without Borders 2.x), by h5py alone.

::

    session.nwb
      /session_start_time, /timestamps_reference_time
      /acquisition/OnePhotonSeries       or TwoPhotonSeries, or ImageSeries; dataset= names one of several
        data                             (frame, x, y): columns before rows, the other way round than everywhere else
        starting_time @rate              or timestamps, s
        external_file                    paths, followed where they lead below the file's own folder
        imaging_plane → grid_spacing, imaging_rate, device
      /general/subject/subject_id, /general/experimenter

References
----------
NWB schema 2.7, core/nwb.image.yaml (ImageSeries) and core/nwb.ophys.yaml (OnePhotonSeries, ImagingPlane).
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, RecordingFormatError, VideoError
from miniscope_core.io.clock import Clock, ClockRows, given_clock, join_clock, regular_clock
from miniscope_core.io.hdf5 import Hdf5Part, check_dataset, is_hdf5, opened
from miniscope_core.io.metadata import number, text
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.pictures import Pictures
from miniscope_core.io.plain_movie import kind_of
from miniscope_core.io.recording import Recording, RecordingMetadata, VideoFile
from miniscope_core.io.stacks import MAX_FRAMES, StackSource, known_counts

_SERIES: Final = ("OnePhotonSeries", "TwoPhotonSeries")
_VIDEO: Final = "ImageSeries"
_UM_PER_UNIT: Final = {"meters": 1e6, "meter": 1e6, "m": 1e6, "micrometers": 1.0, "um": 1.0, "µm": 1.0, "microns": 1.0}
_MAX_FILES: Final = 10_000


@dataclass(frozen=True)
class _Series:
    """What a series says of itself; read while the file is open."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    external: tuple[str, ...]
    problems: list[str]
    rate: float | None
    start_s: float
    times_s: NDArray[np.float64] | None
    imaging_rate: float | None
    um_per_px: tuple[float, float] | None
    """Along x and y."""
    device: str | None


class NwbMovie:
    """Reader of movies in NWB files; see the module's text."""

    name = "NWB"
    looks_for = "a file .nwb with a OnePhotonSeries, TwoPhotonSeries or ImageSeries in /acquisition"
    place: Literal["folder", "file"] = "file"
    plain = True
    takes = frozenset({"dataset"})

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the names of the series."""
        if place.suffix.casefold() != ".nwb" or not is_hdf5(place):
            return None
        try:
            with opened(place) as file:
                found = _all_series(file)
        except VideoError:
            return f"{place.name}, which begins as HDF5 does"  # reading will tell what is broken
        named = [f"{kind} {name}" for name, kind in found.items()]
        return f"{place.name} with {', '.join(named[:3])}{' …' if len(named) > 3 else ''}" if named else None

    def set_aside(self, place: Path) -> str | None:
        """Return None: an NWB file of behaviour alone has no such series."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a file.

        Raises
        ------
        VideoError, ClockError, RecordingFormatError
            When it is damaged, holds several series and none is named, or times are missing.
        """
        with opened(place) as file:
            series = _read_series(place, file, _choose(place, file, options), options)
            facts = _facts(file)
        pictures = _pictures(place, series, options)
        clock = _clock(place, series, pictures, options)
        height, width = pictures.shape
        warnings = list(pictures.warnings)
        started = _start(facts.get("session_start_time"))
        if started is None:
            warnings.append("session_start_time is missing or no date")
        if facts.get("timestamps_reference_time", facts.get("session_start_time")) != facts.get("session_start_time"):
            warnings.append("times count from timestamps_reference_time, which is not session_start_time")
        size = series.um_per_px
        return Recording(
            directory=place,
            files=pictures.files,
            shape=pictures.shape,
            dtype=pictures.dtype,
            timestamps_s=clock.timestamps_s,
            clock=clock.report,
            metadata=RecordingMetadata(
                acquisition_software=self.name,
                device_name=series.device,
                animal_name=text(facts.get("subject_id")),
                researcher_name=text(facts.get("experimenter")),
                experiment_name=text(facts.get("experiment_description")),
                recording_datetime=started,
                nominal_fps=series.imaging_rate,
                um_height=size[1] * height if size else None,
                um_width=size[0] * width if size else None,
                warnings=tuple(warnings),
                config={"nwb": {**facts, "series": series.name, "type": series.kind}},
            ),
            source=pictures.source,
            evidence=self.recognise(place, options) or "",
            side_files=(place,) if series.external else (),
        )


# -- which series -----------------------------------------------------------------------------------------
def _all_series(file: h5py.File) -> dict[str, str]:
    """Return the type of each imaging series by its name; plain videos only where there is no imaging."""
    group = file.get("acquisition")
    found = {}
    for name in group if isinstance(group, h5py.Group) else ():
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink) or not isinstance(group.get(name), h5py.Group):
            continue
        kind = _text(group[name].attrs.get("neurodata_type"))
        if kind in (*_SERIES, _VIDEO):
            found[name] = kind or ""
    imaging = {name: kind for name, kind in found.items() if kind in _SERIES}
    return imaging or found


def _choose(place: Path, file: h5py.File, options: ReadOptions) -> str:
    found = _all_series(file)
    names = ", ".join(list(found)[:8]) or "none"
    if options.dataset is not None:
        name = options.dataset.strip("/").removeprefix("acquisition/").removesuffix("/data")
        if name not in found:
            raise RecordingFormatError(f"dataset= for {place}: got {options.dataset!r}, expected one of {names}.")
        return name
    if len(found) != 1:
        raise RecordingFormatError(f"{len(found)} movies in {place}: {names}. Name one by dataset= (--dataset).")
    return next(iter(found))


def _read_series(place: Path, file: h5py.File, name: str, options: ReadOptions) -> _Series:
    group = file["acquisition"][name]
    external = _external(group)
    data = group.get("data")
    dtype: np.dtype[Any] | None = None
    problems: list[str] = []
    shape: tuple[int, ...] = ()
    if not external:
        if not isinstance(data, h5py.Dataset):
            raise VideoError(f"Series {name} of {place}: got no data, expected (frame, x, y). Is the copy complete?")
        dtype, problems = check_dataset(place, f"/acquisition/{name}/data", data)
        shape = data.shape
    times = group.get("timestamps")
    if isinstance(times, h5py.Dataset):
        if times.ndim != 1 or not 0 < times.shape[0] <= MAX_FRAMES or times.dtype.kind not in "fiu":
            raise ClockError(
                f"timestamps of {name} in {place}: got {times.dtype} {times.shape}, expected one number a frame. "
                "To go on without it pass fps= (--fps)."
            )
        times_s = np.asarray(times[:], np.float64) if options.fps is None else None
    else:
        times_s = None
    start = group.get("starting_time")
    rate = number(_scalar(start.attrs.get("rate"))) if isinstance(start, h5py.Dataset) else None
    plane = group.get("imaging_plane")
    plane = plane if isinstance(plane, h5py.Group) else None
    device = (plane if plane is not None else group).get("device", getlink=True)
    imaging_rate = number(_scalar(_value(plane, "imaging_rate")))
    return _Series(
        name=name,
        kind=_text(group.attrs.get("neurodata_type")) or "",
        shape=shape,
        dtype=dtype,
        external=external,
        problems=problems,
        rate=rate,
        start_s=number(_scalar(_value(group, "starting_time"))) or 0.0,
        times_s=times_s,
        imaging_rate=imaging_rate if imaging_rate and 0 < imaging_rate < 1e6 else None,
        um_per_px=_grid(plane),
        device=text(str(device.path).rpartition("/")[2]) if isinstance(device, h5py.SoftLink) else None,
    )


def _external(group: h5py.Group) -> tuple[str, ...]:
    files = group.get("external_file")
    if not isinstance(files, h5py.Dataset) or files.ndim != 1 or not 0 < files.shape[0] <= _MAX_FILES:
        return ()
    return tuple(_text(one) or "" for one in files[:])


def _grid(plane: h5py.Group | None) -> tuple[float, float] | None:
    spacing = plane.get("grid_spacing") if plane is not None else None
    if not isinstance(spacing, h5py.Dataset) or spacing.ndim != 1 or spacing.shape[0] not in (2, 3):
        return None
    scale = _UM_PER_UNIT.get(_text(spacing.attrs.get("unit")) or "meters")
    values = [number(_scalar(one)) for one in spacing[:2]]
    if scale is None or not all(value and value > 0 for value in values):
        return None
    across, down = (float(value or 0) * scale for value in values)
    return across, down


def _facts(file: h5py.File) -> dict[str, Any]:
    """Return the texts of a file that tell what was recorded."""
    names = {
        "session_start_time": "session_start_time",
        "timestamps_reference_time": "timestamps_reference_time",
        "identifier": "identifier",
        "session_description": "session_description",
        "experiment_description": "general/experiment_description",
        "experimenter": "general/experimenter",
        "institution": "general/institution",
        "lab": "general/lab",
        "subject_id": "general/subject/subject_id",
        "species": "general/subject/species",
        "sex": "general/subject/sex",
    }
    found = {key: _text(_value(file, name)) for key, name in names.items()}
    found["nwb_version"] = _text(file.attrs.get("nwb_version"))
    return {key: value for key, value in found.items() if value is not None}


def _value(group: h5py.Group | None, name: str) -> Any:
    """Return a small dataset's value; None where there is none."""
    data = group.get(name) if group is not None else None
    return data[()] if isinstance(data, h5py.Dataset) and data.size is not None and data.size <= 100 else None


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | np.ndarray) and np.size(value) == 1 else value


def _text(value: Any) -> str | None:
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value).replace("\0", "\ufffd")[:4000] if isinstance(value, str) else None


def _start(value: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(value).replace(tzinfo=None) if value else None
    except ValueError:
        return None


# -- frames and clock ---------------------------------------------------------------------------------------
def _pictures(place: Path, series: _Series, options: ReadOptions) -> Pictures:
    if series.external:
        return _followed(place, series, options)
    count, width, height = series.shape
    dtype = series.dtype or np.dtype(np.uint8)
    known_counts(place, [place], [count], options.frame_counts)
    part = Hdf5Part(place, f"/acquisition/{series.name}/data", count, transposed=True)
    return Pictures(
        files=(VideoFile(path=place, frame_count=count),),
        shape=(height, width),
        dtype=dtype,
        source=StackSource([part], (height, width), dtype),
        problems=tuple(series.problems),
        warnings=(f"Frames are taken as NWB's schema has them, (x, y): {width} columns and {height} rows",),
    )


def _followed(place: Path, series: _Series, options: ReadOptions) -> Pictures:
    """Open the files that a series names."""
    paths = []
    for name in series.external:
        relative = PurePosixPath(name.replace("\\", "/"))
        if not relative.parts or relative.is_absolute() or ".." in relative.parts or ":" in relative.parts[0]:
            raise VideoError(
                f"external_file of {series.name} in {place}: got {name[:120]!r}, expected a path below the file's "
                "folder. Put the video there, or pass it itself."
            )
        path = place.parent / relative
        if not path.is_file():
            raise VideoError(
                f"Video {relative} missing in {place.parent}, named by {place.name}. Is the copy complete?"
            )
        paths.append(path)
    kind = kind_of(paths[0])
    if kind is None or any(kind_of(path) is not kind for path in paths):
        raise VideoError(f"external_file of {series.name} in {place}: got {paths[0].name}, expected AVI, MP4 or TIFF.")
    return kind.open(place, paths, options)


def _clock(place: Path, series: _Series, pictures: Pictures, options: ReadOptions) -> Clock:
    nominal = series.imaging_rate
    if options.fps is None and series.times_s is not None:
        if not np.isfinite(series.times_s).all():
            raise ClockError(
                f"timestamps of {series.name} in {place}: got NaN or infinity, expected seconds. "
                "To go on without it pass fps= (--fps)."
            )
        rows = ClockRows(source=f"{series.name}/timestamps", times_ms=series.times_s * 1000)
        return join_clock(place, rows, pictures.files, options.clock, nominal, video_problems=pictures.problems)
    if options.fps is None and series.rate is not None:
        return regular_clock(
            place,
            series.rate,
            pictures.frame_count,
            options.clock,
            source=f"{series.name}/starting_time",
            rule="Frame i is at starting_time + i / rate, as the file says; it holds no times",
            start_s=series.start_s,
            nominal_fps=nominal,
            problems=pictures.problems,
        )
    unused = "timestamps or rate" if series.rate is not None or series.times_s is not None else None
    return given_clock(
        place,
        options.fps,
        pictures.frame_count,
        options.clock,
        nominal_fps=nominal,
        unused=unused,
        problems=pictures.problems,
    )
