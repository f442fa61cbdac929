"""Ingestion from two CSV files, subjects and sessions, as users of the DataJoint workflow have them.

subjects.csv::

    subject,sex,subject_birth_date,subject_description
    subject1,M,2021-01-01 00:00:01,"Calcium imaging, CA1"

sessions.csv::

    subject,session_dir,acquisition_software
    subject1,subject1/session1,Miniscope-DAQ-V4

An empty cell says nothing. All rows are checked, and every recording is read, before anything is written.
"""

import csv
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, MiniscopeError, NotFoundError, ParameterError, TableError
from miniscope_core.io import find_recordings
from miniscope_core.models import Entity, get, make, natural_select
from miniscope_core.pipeline.files import RawFiles, Where
from miniscope_core.pipeline.ingest import Ingested, Prepared, prepare_recording, record
from miniscope_core.pipeline.requests import IngestOptions, checked_options
from miniscope_core.pipeline.rows import find_or_add, lock_writers, missing_values
from miniscope_core.progress import Progress, silent
from miniscope_core.storage.archive import Archive

_LOOKUPS: Final[Mapping[str, type[Entity]]] = {
    "source": m.Source,
    "line": m.Line,
    "strain": m.Strain,
    "species": m.Species,
}
_SUBJECT_COLUMNS: Final = ("subject", "sex", "subject_birth_date", "subject_description", "nickname", *_LOOKUPS)
_OPTIONS: Final = (
    "session_datetime",
    "recording_id",
    "session_note",
    "experimenter",
    "project",
    "location",
)
_SESSION_COLUMNS: Final = ("subject", "session_dir", "acquisition_software", *_OPTIONS)


@dataclass(frozen=True)
class RowOutcome:
    """What became of one row of a CSV file; a session with several miniscopes gives one for each."""

    line: int
    """Line of the row in its file, from 1, the header included."""
    key: str
    """Natural key of the subject or recording."""
    changed: bool
    """False when everything was there already."""
    message: str


@dataclass(frozen=True)
class _Row:
    path: Path
    line: int
    cells: dict[str, str]
    """Columns that are not empty."""

    @property
    def where(self) -> str:
        return f"Line {self.line} of {self.path}"


# -- subjects -----------------------------------------------------------------------------------------------
def ingest_subjects(archive: Archive, path: Path) -> list[RowOutcome]:
    """Record the subjects of a CSV file, all of them or none.

    A subject that is there gets what it lacks; nothing is overwritten.

    Parameters
    ----------
    archive
        Where to record them.
    path
        CSV with the columns ``subject`` and any of ``sex`` (M, F, U), ``subject_birth_date``,
        ``subject_description``, ``nickname``, ``source``, ``line``, ``strain``, ``species``.

    Returns
    -------
    list of RowOutcome
        One a row, in the order of the file.

    Raises
    ------
    TableError
        When the file cannot be read, or a column or a cell is not valid.
    ConflictError
        When a subject is there with other values.
    """
    rows = _read(Path(path), _SUBJECT_COLUMNS, ("subject",))
    _refuse_repeated(rows, ("subject",))
    given = [(row, _subject_values(row)) for row in rows]
    with archive.database.session() as session:
        lock_writers(session)
        return [_record_subject(session, row, values) for row, values in given]


def _subject_values(row: _Row) -> dict[str, Any]:
    values: dict[str, Any] = dict(row.cells)
    if "subject_birth_date" in values:
        values["subject_birth_date"] = _day(row, values["subject_birth_date"])
    own = {name: value for name, value in values.items() if name not in _LOOKUPS}
    try:
        checked = make(m.Subject, **own)
        for name in values.keys() & _LOOKUPS.keys():
            make(_LOOKUPS[name], **{name: values[name]})
    except MiniscopeError as error:
        raise TableError(f"{row.where}: {error}") from error
    return values | {name: getattr(checked, name) for name in own}


def _day(row: _Row, text: str) -> date:
    # A time of day, as the workflow's own example has it, is not kept.
    try:
        return datetime.fromisoformat(text).date()
    except ValueError as error:
        raise TableError(f"{row.where}: got subject_birth_date {text!r}, expected a day as 2021-01-31.") from error


def _record_subject(session: Session, row: _Row, values: dict[str, Any]) -> RowOutcome:
    name = values["subject"]
    there = session.execute(natural_select(m.Subject, subject=name)).mappings().first()
    wanted = values if there is None else missing_values(f"{row.where}: subject {name}", dict(there), values)
    subject = find_or_add(session, m.Subject, subject=name)
    for column, value in wanted.items():
        if column in _LOOKUPS:
            lookup: Any = find_or_add(session, _LOOKUPS[column], **{column: value})
            setattr(subject, f"{column}_pk", lookup.id)
        else:
            setattr(subject, column, value)
    session.flush()
    if there is None:
        message = f"Added subject {name}"
    elif wanted:
        message = f"Completed subject {name}: {', '.join(wanted)}"
    else:
        message = f"Unchanged: subject {name} is there already"
    return RowOutcome(row.line, name, there is None or bool(wanted), message)


# -- sessions -----------------------------------------------------------------------------------------------
def ingest_sessions(archive: Archive, path: Path, progress: Progress = silent) -> list[RowOutcome]:
    """Ingest the sessions of a CSV file, each with all its miniscope recordings.

    Parameters
    ----------
    archive
        Where to record them.
    path
        CSV with the columns ``subject``, ``session_dir`` (below a raw root, absolute, or an address) and any of
        ``acquisition_software``, ``session_datetime``, ``recording_id``, ``session_note``, ``experimenter``,
        ``project``, ``location``. Every subject must be recorded.
    progress
        Told the frames decoded and the files digested.

    Returns
    -------
    list of RowOutcome
        One a recording, in the order of the file.

    Raises
    ------
    TableError
        When the file cannot be read, or a column or a cell is not valid.
    NotFoundError
        When a subject is not recorded.
    RecordingError
        When a session's folder is missing or broken.
    ConflictError
        When a folder is recorded with other files or facts, or is of another acquisition software than the row tells.
    """
    rows = _read(Path(path), _SESSION_COLUMNS, ("subject", "session_dir"))
    _refuse_repeated(rows, ("session_dir", "recording_id"))
    options = [_session_options(row) for row in rows]
    with archive.database.session() as session:
        for row in rows:
            _refuse_unknown_subject(session, row)
    places = [_recording_folders(archive, row, progress) for row in rows]
    ready = [
        (row, prepare_recording(archive, folder, asked, progress))
        for row, asked, folders in zip(rows, options, places, strict=True)
        for folder in folders
    ]
    for row, one in ready:
        _refuse_other_software(archive, row, one)
    _refuse_copies(ready)
    done = [(row, one if isinstance(one, Ingested) else record(archive, one, progress)) for row, one in ready]
    return [RowOutcome(row.line, str(one.key), one.changed, one.message) for row, one in done]


def _session_options(row: _Row) -> IngestOptions:
    asked = {name: value for name, value in row.cells.items() if name in (*_OPTIONS, "subject")}
    try:
        return checked_options(**asked)
    except ParameterError as error:
        raise TableError(f"{row.where}: {error}") from error


def _refuse_unknown_subject(session: Session, row: _Row) -> None:
    name = row.cells["subject"]
    try:
        get(session, m.Subject, subject=name)
    except NotFoundError as error:
        known = [one["subject"] for one in session.execute(natural_select(m.Subject)).mappings()]
        raise NotFoundError(
            f"{row.where}: subject {name!r} is not recorded{_nearest(name, known)}. Add it by a CSV of subjects first."
        ) from error


def _recording_folders(archive: Archive, row: _Row, progress: Progress) -> list[Where]:
    raw = RawFiles.of(archive.settings)
    folder = raw.find(row.cells["session_dir"])
    with raw.remote.held(folder, progress) as place:
        folders = [raw.remote.where(one) for one in find_recordings(place)] or [folder]
    if len(folders) > 1 and "recording_id" in row.cells:
        raise TableError(
            f"{row.where}: got recording_id {row.cells['recording_id']} for {len(folders)} recordings in {folder}. "
            "Leave it out, or name the folder of one of them in session_dir."
        )
    return folders


def _refuse_other_software(archive: Archive, row: _Row, one: Prepared | Ingested) -> None:
    stated = row.cells.get("acquisition_software")
    if stated is None:
        return
    if isinstance(one, Prepared):
        found = one.opened.metadata.acquisition_software
    else:
        with archive.database.session() as session:
            found = (
                session.execute(natural_select(m.Recording, **one.key.columns)).mappings().one()["acquisition_software"]
            )
    if stated != found:
        raise ConflictError(
            f"{row.where}: got acquisition_software {stated!r} for {row.cells['session_dir']}, expected {found!r} "
            "as its files are. Nothing was written."
        )


def _refuse_copies(ready: list[tuple[_Row, Prepared | Ingested]]) -> None:
    """Refuse two rows of one file that would conflict; those with the database are refused already."""
    seen: dict[object, _Row] = {}
    for row, one in ready:
        if isinstance(one, Ingested):
            continue
        names: list[object] = [one.digest]
        if one.options.recording_id is not None:
            names.append((one.session, one.options.recording_id))
        for name in names:
            if name in seen:
                raise ConflictError(
                    f"{row.where}: {one.place} holds the same recording as line {seen[name].line}. "
                    "Nothing was written: leave one of them out."
                )
            seen[name] = row


# -- CSV --------------------------------------------------------------------------------------------------
def _read(path: Path, known: tuple[str, ...], needed: tuple[str, ...]) -> list[_Row]:
    try:
        # Spreadsheets begin UTF-8 with a mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}. Is the path right?") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is not UTF-8: byte {error.start} cannot be read. Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise TableError(f"{path} is no CSV: {error}. Save it as CSV with commas.") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise TableError(f"{path} is empty: expected a header with {', '.join(needed)}, and a row each.")
    header = _header(path, lines[0][1], known, needed)
    return [_row(path, number, header, cells, needed) for number, cells in lines[1:]]


def _header(path: Path, header: list[str], known: tuple[str, ...], needed: tuple[str, ...]) -> list[str]:
    for name in header:
        if name in known:
            continue
        separator = next((one for one in (";", "\t") if one in name), None)
        if separator:
            raise TableError(f"{path}: the columns are separated by {separator!r}, expected a comma.")
        raise TableError(f"{path}: got a column {name!r}{_nearest(name, known)}, expected {', '.join(known)}.")
    if len(set(header)) < len(header):
        raise TableError(f"{path}: a column is there twice in {', '.join(header)}. Leave one of them out.")
    missing = [name for name in needed if name not in header]
    if missing:
        raise TableError(f"{path}: column {missing[0]!r} is missing, got {', '.join(header)}.")
    return header


def _row(path: Path, number: int, header: list[str], cells: list[str], needed: tuple[str, ...]) -> _Row:
    row = _Row(path, number, {name: cell for name, cell in zip(header, cells, strict=False) if cell})
    if len(cells) != len(header):
        raise TableError(
            f"{row.where}: got {len(cells)} cells, expected {len(header)}. Put text with commas into quotation marks."
        )
    for name in needed:
        if name not in row.cells:
            raise TableError(f"{row.where}: {name} is empty. Fill it in.")
    return row


def _refuse_repeated(rows: list[_Row], columns: tuple[str, ...]) -> None:
    seen: dict[tuple[str | None, ...], int] = {}
    for row in rows:
        values = tuple(row.cells.get(name) for name in columns)
        if values in seen:
            raise TableError(
                f"{row.where}: {values[0]} is there already in line {seen[values]}. Leave one of them out."
            )
        seen[values] = row.line


def _nearest(name: str, known: "list[str] | tuple[str, ...]") -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
