"""The text tables that acquisition programs write beside the video, read without guessing.

A cell that should be a number and is none is an error with its line; a last row that was cut short by a crash is
left out and told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, MetadataError, RecordingError, RecordingNotFoundError
from miniscope_core.io.recording import Note

_MAX_BYTES: Final = 2**29
"""A day of frames at 100 Hz takes a third of this; a larger file is something else."""
_MAX_VALUE: Final = 1e13
"""In milliseconds more than three centuries, and exact as a double."""


@dataclass(frozen=True)
class Table:
    """Numeric columns of a text table."""

    path: Path
    columns: dict[str, NDArray[np.float64]]
    lines: NDArray[np.int64]
    """Line of each row in the file, from 1."""
    problems: tuple[str, ...] = ()

    def whole(self, column: str) -> NDArray[np.int64]:
        """Return a column of whole numbers.

        Raises
        ------
        ClockError
            When one of them is a fraction.
        """
        values = self.columns[column]
        if (broken := np.flatnonzero(values != np.rint(values))).size:
            row = int(broken[0])
            raise _bad_row(self.path, int(self.lines[row]), str(values[row]), f"a whole number as {column}")
        return values.astype(np.int64)


def read_text(path: Path) -> str:
    """Read a text file that a program wrote: UTF-8, with or without byte order mark; damaged bytes show as �.

    Raises
    ------
    RecordingNotFoundError
        When it is not there.
    MetadataError
        When it is too large to be what its name says, or cannot be read.
    """
    try:
        check_size(path)
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except FileNotFoundError as error:
        raise RecordingNotFoundError(f"{path.name} missing in {path.parent}. Is the copy complete?") from error
    except OSError as error:
        raise MetadataError(f"{path.name} in {path.parent} cannot be read: {error.strerror}.") from error


def check_size(path: Path) -> None:
    """Refuse a file that is too large to be a table.

    Raises
    ------
    MetadataError
        When it is.
    OSError
        When it cannot be looked at.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise MetadataError(f"{path.name} in {path.parent}: got {size:,} bytes, expected at most {_MAX_BYTES:,}.")


def read_table(path: Path, separator: str, needed: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read the numeric columns of a table with a header line.

    Parameters
    ----------
    path
        A text file.
    separator
        Between cells.
    needed, optional
        Names of the columns to read; compared without case and surrounding blanks.

    Returns
    -------
    Table
        Its columns under the names asked for. A last row cut short is left out and told in ``problems``.

    Raises
    ------
    ClockError
        When a column is missing, or a cell is no number, with its line.
    """
    text = read_text(path)
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line.strip()]
    header = [cell.strip().casefold() for cell in lines[0][1].split(separator)] if lines else []
    missing = [name for name in needed if name.casefold() not in header]
    if missing:
        found = lines[0][1][:80] if lines else ""
        raise ClockError(
            f"Header of {path.name} in {path.parent}: got {found!r}, expected the column {missing[0]!r}. "
            "Is it another program's file? To go on without it pass fps= (--fps)."
        )
    at = {name: header.index(name.casefold()) for name in (*needed, *optional) if name.casefold() in header}
    rows = [(number, line.split(separator)) for number, line in lines[1:]]
    problems: tuple[str, ...] = ()
    if rows and _cut_short(rows[-1][1], len(header), list(at.values()), ended=text.endswith("\n")):
        problems = (f"{path.name} ends with a row cut short (line {rows[-1][0]}), which is left out",)
        rows.pop()
    for number, cells in rows:
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            raise _bad_row(path, number, separator.join(cells), f"{len(header)} cells")
    columns = {name: _numbers(path, rows, position) for name, position in at.items()}
    return Table(path, columns, np.array([number for number, _ in rows], np.int64), problems)


def _cut_short(cells: list[str], width: int, wanted: list[int], ended: bool) -> bool:
    """Say whether a last row is the beginning of one: cells are missing, or the very last is no number and no line."""
    return len(cells) < width or (not ended and any(_number(cells[position]) is None for position in wanted))


def _numbers(path: Path, rows: list[tuple[int, list[str]]], position: int) -> NDArray[np.float64]:
    try:
        values = np.array([float(cells[position]) for _, cells in rows], np.float64)
    except ValueError:
        values = None
    if values is None or not (np.abs(values) < _MAX_VALUE).all():  # NaN fails the comparison too
        number, cell = next((number, cells[position]) for number, cells in rows if _number(cells[position]) is None)
        raise _bad_row(path, number, cell, "a number")
    return values


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < _MAX_VALUE else None


def _bad_row(path: Path, number: int, got: str, expected: str) -> RecordingError:
    return ClockError(
        f"{path.name} line {number} in {path.parent}: got {got[:60]!r}, expected {expected}. "
        "Is the file damaged? To go on without it pass fps= (--fps)."
    )


def read_notes(path: Path, seconds_per_unit: float, separator: str, skip_lines: int) -> tuple[Note, ...]:
    """Read free remarks: a time, a separator, and text that may hold anything, line breaks too.

    Parameters
    ----------
    path
        A text file.
    seconds_per_unit
        Unit of the times, s.
    separator
        Between time and text; only the first one of a line counts.
    skip_lines
        Lines before the first remark.

    Returns
    -------
    tuple of Note
        In the order of the file. A line without a time continues the remark before it. NUL, which a crash leaves
        and no database takes, shows as �, as other damaged bytes do.
    """
    notes: list[Note] = []
    for line in read_text(path).split("\n")[skip_lines:]:
        line = line.rstrip("\r").replace("\x00", "\ufffd")
        time, found, text = line.partition(separator)
        value = _number(time) if found else None
        if value is not None:
            notes.append(Note(time_s=value * seconds_per_unit, text=text.strip()))
        elif notes and line.strip():
            notes[-1] = Note(time_s=notes[-1].time_s, text=f"{notes[-1].text}\n{line.strip()}")
    return tuple(notes)


def read_head_orientation(path: Path) -> tuple[NDArray[np.float64], int]:
    """Read the orientation sensor's table.

    Rows are not one per frame: the program leaves out readings that fail its own check, so they are to be joined
    on time.

    Returns
    -------
    ndarray
        (row, 5): time in s, then the quaternion w, x, y, z.
    int
        Rows that could not be read and are left out.
    """
    rows, left_out = [], 0
    for line in read_text(path).split("\n")[1:]:
        if not line.strip():
            continue
        values = [_number(cell) for cell in line.split(",")]
        if len(values) == 5 and None not in values:
            rows.append(values)
        else:
            left_out += 1
    table = np.array(rows, np.float64).reshape(-1, 5)
    table[:, 0] /= 1000
    return table, left_out
