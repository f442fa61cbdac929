"""Catching up: whatever was ingested and has no result."""

import shutil
from pathlib import Path

import pytest
from sqlmodel import Session, select

from flows import process_pending
from miniscope_core.errors import EngineError
from miniscope_core.models import ProcessingTask, RecordingKey, Segmentation
from miniscope_core.pipeline import ingest, process
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.claims import Claim
from tests.flows.conftest import PARAMETERS

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


def ingested(archive: Archive, folder: Path, subject: str) -> RecordingKey:
    return ingest.ingest_recording(archive, folder, IngestOptions(subject=subject)).key


def test_one_broken_recording_does_not_stop_the_others(recorded: Path, archive_home: Path, tmp_path: Path) -> None:
    bad = shutil.copytree(recorded, tmp_path / "bad")
    (bad / "notes.csv").unlink()  # the same files twice would be refused
    with Archive.open() as archive:
        broken = ingested(archive, bad, "a_broken")
        good = ingested(archive, recorded, "b_good")
    (bad / "My_V4_Miniscope" / "0.avi").unlink()

    with pytest.raises(EngineError, match=r"1 of 2 recordings failed.*a_broken.*0\.avi") as failure:
        process_pending(parameters=PARAMETERS)
    assert "\n" not in str(failure.value)
    assert "b_good" not in str(failure.value)
    with Archive.open() as archive:
        assert process.pending_recordings(archive, 0) == [broken]

    (bad / "My_V4_Miniscope" / "0.avi").write_bytes((recorded / "My_V4_Miniscope" / "0.avi").read_bytes())
    assert process_pending(parameters=PARAMETERS) == [f"{broken}/0/0"]
    assert process_pending(parameters=PARAMETERS) == []
    assert good != broken


def test_result_that_a_crash_left_without_traces_is_curated_and_extracted(recorded: Path, archive_home: Path) -> None:
    with Archive.open() as archive:
        key = ingested(archive, recorded, "mouse1")
        number = process.choose_parameter_set(archive, PARAMETERS, None)
        process.process_recording(archive, process.add_task(archive, key, number))
    assert process_pending(parameters=PARAMETERS) == [f"{key}/{number}/0"]
    with Archive.open() as archive, Session(archive.database.engine) as session:
        assert len(session.exec(select(Segmentation)).all()) == 1
    assert process_pending(parameters=PARAMETERS) == []


def test_recording_that_somebody_else_computes_is_left_to_them(recorded: Path, archive_home: Path) -> None:
    with Archive.open() as archive:
        key = ingested(archive, recorded, "mouse1")
        number = process.choose_parameter_set(archive, PARAMETERS, None)
        process.add_task(archive, key, number)
        with Session(archive.database.engine) as session:
            task_pk = session.exec(select(ProcessingTask)).one().id
        assert task_pk is not None
        with Claim(archive.database, task_pk):
            assert process_pending(parameters=PARAMETERS) == []
        assert process.pending_recordings(archive, number) == [key]


def test_fault_that_nobody_thought_of_in_one_recording_spares_the_others(
    recorded: Path, archive_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(recorded, tmp_path / "other")
    (other / "notes.csv").unlink()
    with Archive.open() as archive:
        ingested(archive, other, "a_odd")
        ingested(archive, recorded, "b_good")
    tried: list[str] = []

    def odd(archive: Archive, task: object, progress: object) -> None:
        tried.append(str(task))
        raise ZeroDivisionError("never thought of")

    monkeypatch.setattr(process, "process_recording", odd)
    with pytest.raises(EngineError, match=r"2 of 2 recordings failed"):
        process_pending(parameters=PARAMETERS)
    assert [key.split("/")[0] for key in tried] == ["a_odd", "b_good"]
