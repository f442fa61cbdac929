"""Two CSV files, as users of the DataJoint workflow have them: all rows or none, and again nothing."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from miniscope_core import models as m
from miniscope_core.errors import (
    ClockError,
    ConflictError,
    NotFoundError,
    RecordingFormatError,
    RecordingNotFoundError,
    TableError,
)
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.ingest_csv import ingest_sessions, ingest_subjects
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.storage.archive import Archive
from tests.archives import HEIGHT, WIDTH, rows, snapshot, write_session
from tests.builders import make_movie, write_v4_session

SUBJECTS = """subject,sex,subject_birth_date,subject_description
subject1,M,2021-01-01 00:00:01,"hippocampus, left"
subject2,F,2021-03-04,
"""
SESSIONS = """subject,session_dir,acquisition_software
subject1,subject1/2021_01_01/00_00_01,Miniscope-DAQ-V4
subject2,subject2/2021_01_01/00_00_01,Miniscope-DAQ-V4
"""


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """Return a function that writes a CSV file."""

    def write(text: str, name: str = "table.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return path

    return write


def subjects(archive: Archive) -> dict[str, dict[str, Any]]:
    return {row["subject"]: row for row in rows(archive, m.Subject)}


# -- subjects -------------------------------------------------------------------------------------------------------
def test_subjects_are_recorded_with_all_their_columns(archive: Archive, table: Any) -> None:
    done = ingest_subjects(archive, table(SUBJECTS))
    assert [(one.line, one.key, one.changed) for one in done] == [(2, "subject1", True), (3, "subject2", True)]
    first, second = subjects(archive)["subject1"], subjects(archive)["subject2"]
    assert (first["sex"].value, first["subject_birth_date"]) == ("M", date(2021, 1, 1))
    assert first["subject_description"] == "hippocampus, left"
    assert (second["sex"].value, second["subject_birth_date"], second["subject_description"]) == (
        "F",
        date(2021, 3, 4),
        "",
    )


def test_lookups_of_subjects_are_shared(lite: Archive, table: Any) -> None:
    text = (
        "subject,nickname,source,line,strain,species\na,Al,Breeder,Thy1,C57BL/6J,Mus musculus\nb,,Breeder,,C57BL/6J,\n"
    )
    ingest_subjects(lite, table(text))
    first, second = subjects(lite)["a"], subjects(lite)["b"]
    assert [first[name] for name in ("nickname", "source", "line", "strain", "species")] == [
        "Al",
        "Breeder",
        "Thy1",
        "C57BL/6J",
        "Mus musculus",
    ]
    assert (second["source"], second["line"], second["strain"]) == ("Breeder", None, "C57BL/6J")
    assert len(rows(lite, m.Source)) == len(rows(lite, m.Strain)) == 1


def test_the_same_subjects_again_change_nothing_and_say_so(archive: Archive, table: Any) -> None:
    ingest_subjects(archive, table(SUBJECTS))
    before = snapshot(archive)
    again = ingest_subjects(archive, table(SUBJECTS))
    assert [one.changed for one in again] == [False, False]
    assert all(one.message.startswith("Unchanged") for one in again)
    assert snapshot(archive) == before


def test_subject_known_from_a_folder_gets_what_it_lacks(archive: Archive, device: Path, table: Any) -> None:
    ingest_recording(archive, device)
    first, second = ingest_subjects(archive, table(SUBJECTS))
    assert (first.changed, first.message) == (
        True,
        "Completed subject subject1: sex, subject_birth_date, subject_description",
    )
    assert second.message == "Added subject subject2"
    assert subjects(archive)["subject1"]["subject_birth_date"] == date(2021, 1, 1)


@pytest.mark.parametrize(
    ("column", "value"), [("sex", "F"), ("subject_birth_date", "2020-01-01"), ("subject_description", "CA3")]
)
def test_subject_with_other_values_is_refused_and_no_row_written(
    lite: Archive, table: Any, column: str, value: str
) -> None:
    ingest_subjects(lite, table(SUBJECTS))
    before = snapshot(lite)
    with pytest.raises(ConflictError, match=rf"Line 3 of .*subject subject1 .*got {column} '{value}'"):
        ingest_subjects(lite, table(f"subject,{column}\nnew,\nsubject1,{value}\n"))
    assert snapshot(lite) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("subject,sex,birth_date\na,M,2021-01-01\n", r"column 'birth_date' \(did you mean 'subject_birth_date'\?\)"),
        ("subject;sex\na;M\n", "separated by ';', expected a comma"),
        ("subject,sex,sex\na,M,M\n", "there twice"),
        ("sex\nM\n", "column 'subject' is missing"),
        ("subject,sex\na,male\n", r"Line 2 of .*sex.*male"),
        ("subject,sex\nok,M\n,M\n", "Line 3 of .*subject is empty"),
        ("subject,subject_birth_date\na,01.02.2021\n", r"Line 2 of .*'01\.02\.2021', expected a day"),
        ("subject,sex\na/b,M\n", "Line 2 of .*a/b"),
        ("subject,sex\na,M\n\nb,F\na,F\n", "Line 5 of .*a is there already in line 2"),
        ("subject,sex\na,M,extra\n", "Line 2 of .*got 3 cells, expected 2"),
        ("subject,sex\na\n", "Line 2 of .*got 1 cells, expected 2"),
        ('subject,sex\n"a,M\n', "is no CSV"),
        ("", "is empty"),
    ],
)
def test_table_of_subjects_that_is_not_valid_is_one_clear_line(
    lite: Archive, table: Any, text: str, expected: str
) -> None:
    before = snapshot(lite)
    with pytest.raises(TableError, match=expected) as caught:
        ingest_subjects(lite, table(text))
    assert "\n" not in str(caught.value)
    assert "table.csv" in str(caught.value)
    assert snapshot(lite) == before


def test_file_of_a_spreadsheet_is_read(lite: Archive, table: Any) -> None:
    text = "subject , sex\r\n a , M \r\n,\r\n"
    assert [one.key for one in ingest_subjects(lite, table(text, encoding="utf-8-sig"))] == ["a"]


def test_file_of_another_encoding_or_none_is_one_clear_line(lite: Archive, table: Any, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is not UTF-8"):
        ingest_subjects(lite, table("subject\nMäuschen\n", encoding="latin-1"))
    with pytest.raises(TableError, match=r"gone\.csv cannot be read: No such file"):
        ingest_subjects(lite, tmp_path / "gone.csv")


# -- sessions ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def folders(archive: Archive, raw: Path, table: Any) -> list[Path]:
    """Record two subjects and write a session of each; the folders' own metadata name subject1 in both."""
    ingest_subjects(archive, table(SUBJECTS, "subjects.csv"))
    return [write_session(raw, f"subject{number}", seed=number) for number in (1, 2)]


@pytest.fixture
def lite_folders(lite: Archive, raw: Path, table: Any) -> list[Path]:
    """Do the same, on SQLite."""
    ingest_subjects(lite, table(SUBJECTS, "subjects.csv"))
    return [write_session(raw, f"subject{number}", seed=number) for number in (1, 2)]


def test_sessions_are_ingested_under_the_subject_of_their_row(
    archive: Archive, folders: list[Path], table: Any
) -> None:
    done = ingest_sessions(archive, table(SESSIONS))
    assert [(one.line, one.key, one.changed) for one in done] == [
        (2, "subject1/2021-01-01T00:00:01/0", True),
        (3, "subject2/2021-01-01T00:00:01/0", True),
    ]
    assert len(rows(archive, m.RecordingInfo)) == 2


def test_the_same_sessions_again_change_nothing_and_say_so(archive: Archive, folders: list[Path], table: Any) -> None:
    ingest_sessions(archive, table(SESSIONS))
    before = snapshot(archive)
    again = ingest_sessions(archive, table(SESSIONS))
    assert [one.changed for one in again] == [False, False]
    assert all(one.message.startswith("Unchanged") for one in again)
    assert snapshot(archive) == before


def test_all_columns_of_a_session_are_kept(lite: Archive, lite_folders: list[Path], table: Any) -> None:
    header = "subject,session_dir,session_datetime,recording_id,session_note,experimenter,project,location"
    ingest_sessions(lite, table(f"{header}\nsubject1,subject1,2022-02-02 08:00:00,4,calm,Ada,memory,CA1\n"))
    (session,), (recording,) = rows(lite, m.Session), rows(lite, m.Recording)
    assert (session["session_datetime"], session["session_note"], session["project"]) == (
        datetime(2022, 2, 2, 8),
        "calm",
        "memory",
    )
    assert recording["recording_id"] == 4
    assert rows(lite, m.SessionExperimenter)[0]["user"] == "Ada"
    assert rows(lite, m.AnatomicalLocation)[0]["anatomical_description"] == "CA1"


def test_session_with_two_miniscopes_gives_two_outcomes(lite: Archive, raw: Path, table: Any) -> None:
    ingest_subjects(lite, table(SUBJECTS, "subjects.csv"))
    movies = {"scope A": make_movie(20, HEIGHT, WIDTH), "scope B": make_movie(20, WIDTH, HEIGHT, seed=1)}
    write_v4_session(raw / "subject1", movies)
    done = ingest_sessions(lite, table("subject,session_dir\nsubject1,subject1\n"))
    assert [(one.line, one.key[-2:]) for one in done] == [(2, "/0"), (2, "/1")]
    with pytest.raises(TableError, match="recording_id 0 for 2 recordings"):
        ingest_sessions(lite, table("subject,session_dir,recording_id\nsubject1,subject1,0\n"))


def test_broken_session_in_the_last_row_writes_none_of_the_others(
    archive: Archive, folders: list[Path], table: Any
) -> None:
    (folders[1] / "timeStamps.csv").unlink()
    before = snapshot(archive)
    with pytest.raises(ClockError, match=r"timeStamps\.csv missing"):
        ingest_sessions(archive, table(SESSIONS))
    assert snapshot(archive) == before


def test_other_software_than_the_files_are_of_is_refused(lite: Archive, lite_folders: list[Path], table: Any) -> None:
    text = SESSIONS.replace("00_00_01,Miniscope-DAQ-V4\nsubject2", "00_00_01,Miniscope-DAQ-V3\nsubject2")
    before = snapshot(lite)
    with pytest.raises(ConflictError, match=r"Line 2 of .*got acquisition_software 'Miniscope-DAQ-V3'"):
        ingest_sessions(lite, table(text))
    assert snapshot(lite) == before
    ingest_sessions(lite, table(SESSIONS))
    with pytest.raises(ConflictError, match="expected 'Miniscope-DAQ-V4'"):
        ingest_sessions(lite, table(text))


def test_session_recorded_with_other_facts_is_refused(lite: Archive, lite_folders: list[Path], table: Any) -> None:
    ingest_recording(lite, lite_folders[1], IngestOptions(subject="subject1", recording_id=5))
    before = snapshot(lite)
    with pytest.raises(ConflictError, match="got subject 'subject2', expected 'subject1'"):
        ingest_sessions(lite, table(SESSIONS))
    assert snapshot(lite) == before


def test_two_rows_that_would_conflict_are_refused_before_the_first(
    lite: Archive, lite_folders: list[Path], table: Any
) -> None:
    before = snapshot(lite)
    rows_of_one_id = "subject,session_dir,recording_id\nsubject1,subject1,0\nsubject1,subject2,0\n"
    with pytest.raises(ConflictError, match=r"Line 3 of .* the same recording as line 2"):
        ingest_sessions(lite, table(rows_of_one_id))
    assert snapshot(lite) == before


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("subject,session_dirs\nsubject1,x\n", TableError, r"'session_dirs' \(did you mean 'session_dir'\?\)"),
        ("subject\nsubject1\n", TableError, "column 'session_dir' is missing"),
        ("subject,session_dir\nsubject1,\n", TableError, "session_dir is empty"),
        ("subject,session_dir\nsubject3,subject1\n", NotFoundError, r"Line 2 .*'subject3' .*did you mean 'subject"),
        ("subject,session_dir\nsubject1,nowhere\n", RecordingNotFoundError, "nowhere"),
        ("subject,session_dir\nsubject1,empty\n", RecordingFormatError, "No miniscope recording"),
        ("subject,session_dir,session_datetime\nsubject1,subject1,noon\n", TableError, "Line 2 .*session_datetime"),
        ("subject,session_dir,recording_id\nsubject1,subject1,first\n", TableError, "Line 2 .*recording_id"),
        ("subject,session_dir\nsubject1,subject1\nsubject2,subject1\n", TableError, "Line 3 .*already in line 2"),
    ],
)
def test_table_of_sessions_that_is_not_valid_is_one_clear_line(
    lite: Archive, lite_folders: list[Path], raw: Path, table: Any, text: str, error: type[Exception], expected: str
) -> None:
    (raw / "empty").mkdir()
    before = snapshot(lite)
    with pytest.raises(error, match=expected) as caught:
        ingest_sessions(lite, table(text))
    assert "\n" not in str(caught.value)
    assert snapshot(lite) == before
