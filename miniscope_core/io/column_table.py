"""A table of frame times whose columns the caller names, as Bonsai workflows and scripts write them.

Nothing is guessed: a workflow's author chooses the columns, so :class:`ClockColumns` has to say which is what.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError
from miniscope_core.io.clock import ClockRows
from miniscope_core.io.folders import find_file
from miniscope_core.io.options import ClockColumns, Column
from miniscope_core.io.recording import Note
from miniscope_core.io.signals import Signal
from miniscope_core.io.tables import read_text

_MS_PER_UNIT: Final = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_MAX_MS: Final = 1e16
_ABSOLUTE_MS: Final = 1e11
"""From 1973 on in Unix time; larger than any recording is long."""


@dataclass(frozen=True)
class ColumnTable:
    """What a table says by a column map."""

    path: Path
    rows: ClockRows
    started: datetime | None
    """Local time of the first row, where times are dates."""
    head_orientation: NDArray[np.float64] | None
    notes: tuple[Note, ...]
    signals: tuple[Signal, ...]
    warnings: tuple[str, ...]


def column_table(video: Path, columns: ClockColumns) -> ColumnTable:
    """Read the table of times beside a video.

    Parameters
    ----------
    video
        A video file, or ``FOLDER/name`` for one beside the files of a folder.
    columns
        Which column is what.

    Raises
    ------
    ClockError
        When it is missing, a column is, or a cell is not what the map says, with its line.
    """
    name = columns.file or f"{video.stem}.csv"
    path = find_file(video.parent, name)
    if path is None:
        raise ClockError(
            f"{name} missing in {video.parent}: needed for the frame clock. Name it by file= in the column map, or "
            "pass fps= (--fps)."
        )
    lines = [line for line in enumerate(read_text(path).splitlines(), start=1) if line[1].strip()]
    cells = [(number, _split(path, number, line)) for number, line in lines]
    names = [cell.strip() for cell in cells.pop(0)[1]] if columns.named and cells else []
    warnings = []
    if cells and len(cells[-1][1]) < len(cells[0][1]):
        warnings.append(f"{name} ends with a row cut short (line {cells.pop()[0]}), which is left out")
    times, started = _times(path, cells, names, columns)
    frames = _whole(path, cells, names, columns.frame) if columns.frame is not None else None
    lost, problem = _lost(path, frames, cells)
    remarks = [f"columns {columns.text}, as the caller says"]
    if columns.unit == "iso" or (len(times) and not times[0]):
        remarks.append("times count from the first row")
    rows = ClockRows(
        source=name,
        times_ms=times,
        remarks=tuple(remarks),
        problems=(*warnings, *([problem] if problem else [])),
        lines=np.array([number for number, _ in cells], np.int64),
        lost=lost,
        lost_from="frame number" if lost is not None else "",
    )
    orientation = _orientation(path, cells, names, columns, times)
    utc = started is not None and cells[0][1][_at(path, names, columns.time)].strip().endswith(("Z", "+00:00"))
    told = ("The start time is in UTC, not in the rig's local time",) if utc else ()
    triggers = _trigger_cells(path, cells, names, columns)
    return ColumnTable(
        path, rows, started, orientation, _changes(triggers, times), _trigger_signal(path, triggers, times), told
    )


def _split(path: Path, number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise _bad(path, number, line, "comma-separated cells") from error


_Rows = Sequence[tuple[int, list[str]]]


def _at(path: Path, names: list[str], column: Column) -> int:
    if isinstance(column, int):
        return column
    if column not in names:
        raise ClockError(
            f"Column {column!r} of {path.name} in {path.parent}: got {', '.join(names)[:80]!r} as names, expected it "
            "among them. Give its number from 0."
        )
    return names.index(column)


def _cells(path: Path, rows: _Rows, names: list[str], column: Column) -> list[tuple[int, str]]:
    position = _at(path, names, column)
    found = []
    for number, row in rows:
        if position >= len(row):
            raise _bad(path, number, ",".join(row), f"a column {column}")
        found.append((number, row[position].strip()))
    return found


def _bad(path: Path, number: int, got: str, expected: str) -> ClockError:
    return ClockError(
        f"{path.name} line {number} in {path.parent}: got {got[:60]!r}, expected {expected}. "
        "Correct the column map (--columns), or pass fps= (--fps)."
    )


def _numbers(path: Path, rows: _Rows, names: list[str], column: Column) -> NDArray[np.float64]:
    values = np.empty(len(rows))
    for index, (number, cell) in enumerate(_cells(path, rows, names, column)):
        try:
            values[index] = float(cell)
        except ValueError:
            values[index] = math.nan
        if not abs(values[index]) < _MAX_MS:
            raise _bad(path, number, cell, f"a number in column {column}")
    return values


def _whole(path: Path, rows: _Rows, names: list[str], column: Column) -> NDArray[np.int64]:
    values = _numbers(path, rows, names, column)
    if (broken := np.flatnonzero(values != np.rint(values))).size:
        raise _bad(path, rows[int(broken[0])][0], str(values[broken[0]]), f"a whole number in column {column}")
    return values.astype(np.int64)


def _times(
    path: Path, rows: _Rows, names: list[str], columns: ClockColumns
) -> tuple[NDArray[np.float64], datetime | None]:
    """Return milliseconds from the first row where times are absolute, and when that was."""
    if columns.unit != "iso":
        times = _numbers(path, rows, names, columns.time) * _MS_PER_UNIT[columns.unit]
        return (times - times[0] if len(times) and abs(times[0]) > _ABSOLUTE_MS else times), None
    dates = []
    for number, cell in _cells(path, rows, names, columns.time):
        date = parse_iso(cell)
        if date is None:
            raise _bad(path, number, cell, "a date and time such as 2024-05-17T10:23:45.1234567+01:00")
        dates.append(date)
    if not dates:
        return np.empty(0), None
    if len({date[0].tzinfo is None for date in dates}) > 1:
        raise _bad(path, rows[0][0], rows[0][1][0], "a zone in every time or in none")
    first, first_rest = dates[0]
    seconds = [(date - first).total_seconds() * 1e3 + (rest - first_rest) * 1e-4 for date, rest in dates]
    return np.array(seconds), first.replace(tzinfo=None)


def parse_iso(cell: str) -> tuple[datetime, int] | None:
    """Return a date and time and its tenths of microseconds, as .NET writes seven digits; None when it is none."""
    head, dot, tail = cell.strip().partition(".")
    if not dot:
        head, tail = cell.strip(), ""
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    zone = tail[len(digits) :]
    if "T" not in head and " " not in head:
        return None
    padded = f"{digits:0<7.7}"
    try:
        return datetime.fromisoformat(f"{head}.{padded[:6]}{zone}" if dot else head), int(padded[6]) if dot else 0
    except ValueError:
        return None


def _lost(path: Path, frames: NDArray[np.int64] | None, rows: _Rows) -> tuple[int | None, str]:
    """Count the frame numbers passed over; numbers that stand still or go back are a problem."""
    if frames is None or len(frames) < 2:
        return None, ""
    steps = np.diff(frames)
    if (wrong := np.flatnonzero(steps < 1)).size:
        line = rows[int(wrong[0]) + 1][0]
        return None, f"{path.name} counts frames that stand still or go back {wrong.size} times, first at line {line}"
    return int((steps - 1).sum()), ""


def _orientation(
    path: Path, rows: _Rows, names: list[str], columns: ClockColumns, times: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    if columns.w is None or columns.x is None or columns.y is None or columns.z is None:
        return None
    parts = [_numbers(path, rows, names, one) for one in (columns.w, columns.x, columns.y, columns.z)]
    return np.stack([times / 1000, *parts], axis=1)


def _trigger_cells(path: Path, rows: _Rows, names: list[str], columns: ClockColumns) -> list[str]:
    return [] if columns.trigger is None else [cell for _, cell in _cells(path, rows, names, columns.trigger)]


def _changes(cells: Sequence[str], times: NDArray[np.float64]) -> tuple[Note, ...]:
    """Return a note for each change of the trigger's column."""
    return tuple(
        Note(time_s=float(times[index]) / 1000, text=f"trigger {cell}"[:200])
        for index, cell in enumerate(cells)
        if cell != (cells[index - 1] if index else cell)
    )


def _trigger_signal(path: Path, cells: Sequence[str], times: NDArray[np.float64]) -> tuple[Signal, ...]:
    """Return the trigger's column as a signal, where its cells are numbers or true and false."""
    values = [_level(cell) for cell in cells]
    known = [value for value in values if value is not None]
    if not cells or len(known) < len(values):
        return ()
    return (
        Signal(
            name="trigger",
            channels=("value",),
            units=("",),
            times_s=times / 1000,
            values=np.array(known)[:, None],
            source=path.name,
            rule="one sample a row of the frame clock",
            uncertainty_s=0.0,
        ),
    )


def _level(cell: str) -> float | None:
    word = {"true": 1.0, "false": 0.0}.get(cell.casefold())
    if word is not None:
        return word
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
