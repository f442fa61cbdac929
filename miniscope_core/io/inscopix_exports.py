"""Readers of what Inscopix' programs export: a movie with its table of times, and a session as DataJoint has it.

A movie and its time stamps, one recording a movie::

    anywhere/
      movie.tif                    or .avi .mp4
      movie-timestamps.csv         Global Frame Number,Movie Number,Local Frame Number,Frame Timestamp (s)

A dropped frame has the time ``NaN``. A TIFF leaves such frames out unless it was asked to keep them, so its frames are
either all rows or those with a time; which, the counts tell.

A session as DataJoint's workflow expects it, one recording::

    session/
      session.json                 microscope.fps.fps, microscope.fov, manual.mScope.ledMaxPower
      recording/
        movie.avi …
        movie-timestamps.csv       with a column "time (ms)"

References
----------
inscopix/isxcore b8116a3, src/isxMovieExporter.cpp:373-419 (the table); datajoint/element-miniscope 3bc1953,
element_miniscope/miniscope.py:343-357 (the session).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from miniscope_core.errors import ClockError, MetadataError, RecordingError, VideoError
from miniscope_core.io.clock import Clock, ClockRows, given_clock, join_clock
from miniscope_core.io.folders import (
    beside,
    first_line,
    natural_key,
    shorten,
    visible_files,
    visible_folders,
)
from miniscope_core.io.gpio import read_gpio
from miniscope_core.io.metadata import load_json, number, parse_rate
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.pictures import Pictures
from miniscope_core.io.plain_movie import VIDEO, kind_of
from miniscope_core.io.recording import Recording, RecordingMetadata
from miniscope_core.io.signals import Signal
from miniscope_core.io.stacks import picked
from miniscope_core.io.tables import read_table, read_text

SESSION_FILE: Final = "session.json"
_HEADER: Final = "Global Frame Number,Movie Number,Local Frame Number,Frame Timestamp ("
_MS_PER_UNIT: Final = {"s": 1e3, "us": 1e-3}
_UNIX_S: Final = 5e8
_LARGEST: Final = 1e15
"""In microseconds thirty years; the counter of a microscope starts with it."""
_TIME: Final = "time (ms)"


# -- a movie and its table --------------------------------------------------------------------------------
class InscopixExport:
    """Reader of an exported movie with its table of times; see the module's text."""

    name = "Inscopix"
    looks_for = "a movie with a CSV of the same name and the header Global Frame Number,…"
    place: Literal["folder", "file"] = "file"
    plain = False
    takes: frozenset[str] = frozenset()

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the names of movie and table."""
        table = _table_of(place) if kind_of(place) else None
        return f"{place.name} with {table.name}, by its header" if table else None

    def set_aside(self, place: Path) -> str | None:
        """Return None: tracking tables of behaviour movies have other columns."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a movie.

        Raises
        ------
        VideoError, ClockError
            When one of the files is missing or broken.
        """
        table, kind = _table_of(place), kind_of(place)
        if table is None or kind is None:
            raise ClockError(f"Table of times missing beside {place}. To go on without it pass fps= (--fps).")
        times = read_export_times(table) if options.fps is None else None
        pictures = kind.open(place, [place], options)
        absolute = times is not None and len(known := times[np.isfinite(times)]) > 0 and known[0] > _UNIX_S * 1e3
        side = read_gpio([place], [place.parent], float(known[0]) / 1e3 if absolute else None)
        warnings = [
            *pictures.warnings,
            *side.warnings,
            "An export tells neither when it was recorded nor of which animal",
        ]
        if times is None:
            clock = given_clock(
                place,
                options.fps,
                pictures.frame_count,
                options.clock,
                unused=table.name,
                problems=pictures.problems,
            )
        else:
            rows = _export_rows(table, times, pictures.frame_count)
            clock = join_clock(place, rows, pictures.files, options.clock, video_problems=pictures.problems)
        metadata = _plain_metadata(self.name, pictures, warnings)
        return _recording(place, pictures, clock, metadata, (table, *side.files), side.signals, self)


def _table_of(movie: Path) -> Path | None:
    names = [f"{movie.stem}{ending}.csv" for ending in ("", "-timestamps", "_timestamps", ".timestamps")]
    return next((path for path in beside(movie, names) if first_line(path).startswith(_HEADER)), None)


def read_export_times(path: Path) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Read a table of exported times, ms; NaN for frames that were dropped.

    Raises
    ------
    ClockError
        When a row cannot be read, with its line.
    """
    lines = [line.rstrip("\r") for line in read_text(path).split("\n")]
    unit = lines[0].rstrip().removeprefix(_HEADER).partition(")")[0] if lines else ""
    if unit not in _MS_PER_UNIT:
        raise ClockError(
            f"Header of {path.name} in {path.parent}: got {lines[0][:100] if lines else ''!r}, expected "
            f"{_HEADER}s) or us). To go on without it pass fps= (--fps)."
        )
    times = []
    movies: set[str] = set()
    for line_number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split(",")
        value = number(cells[3].strip()) if len(cells) >= 4 else None
        dropped = len(cells) >= 4 and cells[3].strip().casefold() == "nan"
        if not dropped and (value is None or abs(value) > _LARGEST):
            raise ClockError(
                f"{path.name} line {line_number} in {path.parent}: got {line[:60]!r}, expected four cells, the last "
                "a time or NaN. Is the file damaged? To go on without it pass fps= (--fps)."
            )
        movies.add(cells[1].strip())
        times.append(math.nan if value is None else value)
    if len(movies) > 1:
        raise ClockError(
            f"{path.name} in {path.parent}: got rows of {len(movies)} movies, expected one. Export each with its own."
        )
    return np.array(times, np.float64) * _MS_PER_UNIT[unit]


def _export_rows(table: Path, times: "np.ndarray[tuple[int], np.dtype[np.float64]]", frame_count: int) -> ClockRows:
    """Return the rows that have a time, and which frame each is: the counts tell whether dropped ones are kept."""
    valid = np.flatnonzero(np.isfinite(times))
    lost = len(times) - len(valid)
    remarks = [f"{lost} of {len(times)} rows are NaN, frames that were dropped"]
    kept = frame_count == len(times) and lost > 0
    if lost:
        remarks.append("the movie holds them too, and they are left out" if kept else "the movie does not hold them")
    values = times[valid]
    if len(values) and abs(values[0]) > _UNIX_S * 1e3:
        values = values - values[0]
        remarks.append("times count from the first row")
    return ClockRows(
        source=table.name,
        times_ms=values,
        frames=valid if kept else None,
        frame_total=len(times) if kept else None,
        remarks=tuple(remarks),
        lost=lost,
        lost_from=f"NaN in {table.name}",
    )


def _plain_metadata(software: str, pictures: Pictures, warnings: list[str]) -> RecordingMetadata:
    return RecordingMetadata(
        acquisition_software=software,
        um_height=pictures.um_size[0] if pictures.um_size else None,
        um_width=pictures.um_size[1] if pictures.um_size else None,
        warnings=tuple(warnings),
        config=dict(pictures.config),
    )


# -- a session as DataJoint has it ------------------------------------------------------------------------
class InscopixSession:
    """Reader of a session with ``session.json``; see the module's text."""

    name = "Inscopix"
    looks_for = f"{SESSION_FILE} with a microscope, and …/*timestamps.csv"
    place: Literal["folder", "file"] = "folder"
    plain = False
    takes: frozenset[str] = frozenset()

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the session's file and the tables below it."""
        path = place / SESSION_FILE
        if not path.is_file():
            return None
        try:
            if not isinstance(load_json(path).get("microscope"), Mapping):
                return None
        except RecordingError:
            return SESSION_FILE if _tables(place) else None
        return ", ".join([SESSION_FILE, *shorten([f"{one.parent.name}/{one.name}" for one in _tables(place)])])

    def set_aside(self, place: Path) -> str | None:
        """Return None: such a session is a microscope's."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a session.

        Raises
        ------
        VideoError, ClockError, MetadataError
            When a file is missing or broken.
        """
        session = load_json(place / SESSION_FILE)
        tables = _tables(place)
        if len(tables) > 1:
            names = ", ".join(f"{one.parent.name}/{one.name}" for one in tables[:4])
            raise MetadataError(
                f"{len(tables)} recordings in {place}: {names}. Give each a folder with {SESSION_FILE}."
            )
        if not tables and options.fps is None:
            raise ClockError(
                f"*timestamps.csv missing below {place}: needed for the frame clock; is the copy complete? "
                "To go on without it pass fps= (--fps)."
            )
        rows = _session_rows(tables[0]) if tables and options.fps is None else None
        paths = _videos(place, tables[0].parent if tables else None)
        pictures = VIDEO.open(place, paths, options)
        nominal = _nominal(session)
        if rows is None:
            clock = given_clock(
                place,
                options.fps,
                pictures.frame_count,
                options.clock,
                nominal_fps=nominal,
                unused=tables[0].name if tables else None,
                problems=pictures.problems,
            )
        else:
            clock = join_clock(place, rows, pictures.files, options.clock, nominal, video_problems=pictures.problems)
        side = read_gpio(paths, [place, *(path.parent for path in paths)])
        metadata = _session_metadata(self.name, session, pictures, nominal)
        metadata = metadata.model_copy(update={"warnings": (*metadata.warnings, *side.warnings)})
        files = (place / SESSION_FILE, *tables, *side.files)
        return _recording(place, pictures, clock, metadata, files, side.signals, self)


def _tables(place: Path) -> list[Path]:
    return [
        path
        for folder in visible_folders(place)
        for path in visible_files(folder)
        if path.name.casefold().endswith("timestamps.csv")
    ]


def _videos(place: Path, folder: Path | None) -> list[Path]:
    """Return the videos of the folder with the table, or of the only one with videos."""
    folders = [folder] if folder else visible_folders(place)
    found = [path for one in folders for path in visible_files(one) if path.suffix.casefold() == ".avi"]
    if not found or len({path.parent for path in found}) > 1:
        where = f"{folder}" if folder else f"the folders of {place}"
        raise VideoError(f"Video missing in {where}: got {len(found)} AVI files. Is the copy complete?")
    return sorted(found, key=lambda path: natural_key(path.name))


def _session_rows(path: Path) -> ClockRows:
    table = read_table(path, ",", [_TIME])
    times = table.columns[_TIME]
    remarks: tuple[str, ...] = ()
    if len(times) and abs(times[0]) > _UNIX_S:
        times, remarks = times - times[0], ("times count from the first row",)
    return ClockRows(source=path.name, times_ms=times, remarks=remarks, problems=table.problems, lines=table.lines)


def _part(session: Mapping[str, Any], *names: str) -> Any:
    value: Any = session
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _nominal(session: Mapping[str, Any]) -> float | None:
    return parse_rate(_part(session, "microscope", "fps", "fps"))


def _session_metadata(
    software: str, session: dict[str, Any], pictures: Pictures, nominal: float | None
) -> RecordingMetadata:
    warnings = list(pictures.warnings)
    size = tuple(number(_part(session, "microscope", "fov", name)) for name in ("height", "width"))
    if None not in size and size != pictures.shape:
        warnings.append(
            f"microscope.fov in {SESSION_FILE} is {size[1]:g}×{size[0]:g} px, the video "
            f"{pictures.shape[1]}×{pictures.shape[0]}"
        )
    powers = _part(session, "manual", "mScope", "ledMaxPower")
    if isinstance(powers, list) and len(powers) > 1:
        warnings.append(
            f"{SESSION_FILE} tells of {len(powers)} channels (manual.mScope.ledMaxPower), read is one movie"
        )
    warnings.append(f"{SESSION_FILE} tells neither when it was recorded nor of which animal")
    return RecordingMetadata(
        acquisition_software=software,
        nominal_fps=nominal,
        gain=number(_part(session, "microscope", "gain")),
        led_power=number(_part(session, "microscope", "led", "exPower")),
        warnings=tuple(warnings),
        config={SESSION_FILE: session},
    )


def _recording(
    place: Path,
    pictures: Pictures,
    clock: Clock,
    metadata: RecordingMetadata,
    side_files: tuple[Path, ...],
    signals: tuple[Signal, ...],
    reader: InscopixExport | InscopixSession,
) -> Recording:
    return Recording(
        directory=place,
        files=pictures.files,
        shape=pictures.shape,
        dtype=pictures.dtype,
        timestamps_s=clock.timestamps_s,
        clock=clock.report,
        metadata=metadata,
        source=picked(pictures.source, clock.frames),
        signals=signals,
        evidence=reader.recognise(place) or "",
        side_files=side_files,
    )
