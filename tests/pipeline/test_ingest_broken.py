"""What ingestion refuses, and what it does when the database or the store fails: one clear line, nothing written."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from miniscope_core import models as m
from miniscope_core.errors import (
    ClockError,
    ConflictError,
    DatabaseError,
    MetadataError,
    MiniscopeError,
    RecordingFormatError,
    RecordingNotFoundError,
    StoreError,
    VideoError,
)
from miniscope_core.pipeline import ingest
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.progress import silent
from miniscope_core.storage import database
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.faults import is_transient
from tests.archives import FRAMES, HEIGHT, WIDTH, jobs, rows, settings_for, snapshot, write_session
from tests.builders import (
    cut_file,
    device_metadata,
    make_movie,
    regular_times_ms,
    write_v4_clock,
    write_v4_device,
    write_v4_session,
    write_video,
)

Break = Callable[[Path], object]


def _clock(times_ms: list[float]) -> Break:
    return lambda device: write_v4_clock(device, times_ms)


def _unlink(name: str) -> Break:
    return lambda device: (device / name).unlink()


def _write(name: str, text: str) -> Break:
    return lambda device: (device / name).write_text(text)


def _backward() -> list[float]:
    times: list[float] = list(regular_times_ms(FRAMES))
    times[10], times[11] = times[11], times[10]
    return times


def _second_device(device: Path) -> None:
    write_v4_device(device.parent / "other", make_movie(9, HEIGHT, WIDTH, 5), metadata={"deviceName": "other"})


BROKEN: dict[str, tuple[Break, type[MiniscopeError], str]] = {
    "no video": (_unlink("0.avi"), VideoError, "0.avi"),
    "empty video": (_write("0.avi", ""), VideoError, "0.avi"),
    "video without frames": (lambda d: write_video(d / "0.avi", make_movie(0, HEIGHT, WIDTH)), VideoError, "0.avi"),
    "truncated video": (lambda d: cut_file(d / "0.avi", 0.5), ClockError, ""),
    "video that is no video": (_write("0.avi", "not a video"), VideoError, "0.avi"),
    "gap in the numbers": (lambda d: write_video(d / "2.avi", make_movie(5, HEIGHT, WIDTH)), VideoError, "1.avi"),
    "video of another size": (lambda d: write_video(d / "1.avi", make_movie(5, 24, 32)), VideoError, "1.avi"),
    "no clock": (_unlink("timeStamps.csv"), ClockError, "timeStamps.csv"),
    "empty clock": (_write("timeStamps.csv", ""), ClockError, "timeStamps.csv"),
    "clock with fewer rows": (_clock(list(regular_times_ms(FRAMES - 5))), ClockError, "timeStamps.csv"),
    "clock with more rows": (_clock(list(regular_times_ms(FRAMES + 5))), ClockError, "timeStamps.csv"),
    "clock that goes back": (_clock(_backward()), ClockError, "timeStamps.csv"),
    "device metadata that are no JSON": (_write("metaData.json", "{"), MetadataError, "metaData.json"),
    "session metadata that are no JSON": (_write("../metaData.json", "{"), MetadataError, "metaData.json"),
    "folder that is not there": (lambda d: shutil.rmtree(d), RecordingNotFoundError, "My_V4_Miniscope"),
    "folder without anything": (
        lambda d: [path.unlink() for path in d.iterdir()],
        RecordingFormatError,
        "My_V4_Miniscope",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folder_is_one_clear_line_and_leaves_everything_as_it_was(
    lite: Archive, device: Path, raw: Path, name: str
) -> None:
    ingest_recording(lite, write_session(raw, "before", seed=3), IngestOptions(subject="before"))
    before, scratch = snapshot(lite), jobs(lite)
    breaks, error, named = BROKEN[name]
    breaks(device)
    with pytest.raises(error) as caught:
        ingest_recording(lite, device)
    message = str(caught.value)
    assert named in message
    assert str(device.parent) in message
    assert "\n" not in message
    assert not is_transient(caught.value)
    assert snapshot(lite) == before
    assert jobs(lite) == scratch


def test_session_with_two_recordings_asks_which(lite: Archive, device: Path) -> None:
    _second_device(device)
    with pytest.raises(RecordingFormatError, match="Name one of them"):
        ingest_recording(lite, device.parent)


def test_folder_of_a_behaviour_camera_is_no_recording(lite: Archive, raw: Path) -> None:
    movie = make_movie(20, HEIGHT, WIDTH)
    session = write_v4_session(raw / "s", {"scope": movie}, {"BehavCam": movie})
    with pytest.raises(RecordingFormatError, match="camera"):
        ingest_recording(lite, session / "BehavCam")
    assert not rows(lite, ingest.m.Recording)


@pytest.mark.parametrize("name", ["clock with fewer rows", "clock with more rows", "clock that goes back"])
def test_clock_that_does_not_fit_is_ingested_when_asked_and_the_problem_recorded(
    lite: Archive, device: Path, name: str
) -> None:
    BROKEN[name][0](device)
    ingest_recording(lite, device, IngestOptions(clock="report"))
    (info,) = rows(lite, ingest.m.RecordingInfo)
    assert info["clock_report"]["problems"]
    assert not ingest_recording(lite, device).changed


def test_recording_without_clock_takes_the_rate_that_is_given(lite: Archive, device: Path) -> None:
    (device / "timeStamps.csv").unlink()
    ingest_recording(lite, device, IngestOptions(fps=25))
    (info,) = rows(lite, ingest.m.RecordingInfo)
    assert (info["fps"], info["clock_report"]["source"]) == (25, "given")
    assert not ingest_recording(lite, device).changed


def test_unreadable_number_in_metadata_is_recorded_as_a_warning(lite: Archive, raw: Path) -> None:
    facts = device_metadata((HEIGHT, WIDTH)) | {"frameRate": "fast"}
    ingest_recording(lite, write_session(raw, metadata=facts))
    (info,) = rows(lite, ingest.m.RecordingInfo)
    assert any("frameRate" in warning for warning in info["clock_report"]["metadata_warnings"])


# -- the store fails -------------------------------------------------------------------------------------------
def _refused(archive: Archive, device: Path, error: type[MiniscopeError], match: str) -> MiniscopeError:
    before = snapshot(archive)
    with pytest.raises(error, match=match) as caught:
        ingest_recording(archive, device)
    assert "\n" not in str(caught.value)
    assert snapshot(archive) == before
    assert jobs(archive) == []
    return caught.value


def test_store_that_cannot_be_written_is_noticed_before_anything_is_read(
    archive: Archive, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(archive.store._fs, "pipe_file", refuse)
    monkeypatch.setattr(ingest, "open_recording", lambda *args, **options: pytest.fail("it was read"))
    error = _refused(archive, device, StoreError, "Read-only file system")
    assert not is_transient(error)


def test_disk_that_fills_while_publishing_leaves_nothing(
    archive: Archive, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = archive.store._fs.put_file, []

    def fill(source: str, target: str, **options: Any) -> None:
        calls.append(target)
        if len(calls) == 3:
            Path(target).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        put(source, target, **options)

    monkeypatch.setattr(archive.store._fs, "put_file", fill)
    error = _refused(archive, device, StoreError, "No space left on device")
    assert not is_transient(error)
    assert ingest_recording(archive, device).changed


def test_file_in_place_of_the_store_is_one_clear_line(sqlite_template: Path, device: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    shutil.copyfile(sqlite_template, tmp_path / "miniscope.db")
    with Archive.open(settings_for(tmp_path, store_url=str(tmp_path / "taken"))) as archive:
        with pytest.raises(StoreError, match="taken"):
            ingest_recording(archive, device)
        assert rows(archive, ingest.m.Subject) == []


def test_scratch_folder_that_cannot_be_made_is_one_clear_line(lite: Archive, device: Path) -> None:
    lite.settings.scratch_dir.write_text("a file")
    before = snapshot(lite)
    with pytest.raises(StoreError, match="MINISCOPE_SCRATCH_DIR"):
        ingest_recording(lite, device)
    assert snapshot(lite) == before


# -- the database fails ----------------------------------------------------------------------------------------
def test_failure_while_rows_are_written_removes_the_objects_too(
    archive: Archive, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_add_companions", lambda session, *_: session.execute(sa.text("SELECT nonsense")))
    _refused(archive, device, DatabaseError, "nonsense")


def test_rows_that_contradict_the_database_remove_the_objects_too(
    archive: Archive, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = {"channel": 0}
    monkeypatch.setattr(
        ingest, "_add_companions", lambda session, *_: session.add(ingest.make(ingest.m.Channel, **number))
    )
    _refused(archive, device, ConflictError, "contradict")


def test_read_only_database_is_noticed_before_anything_is_read(
    lite: Archive, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///file:{tmp_path / 'miniscope.db'}?mode=ro&uri=true"
    monkeypatch.setattr(ingest, "open_recording", lambda *args, **options: pytest.fail("it was read"))
    with Archive.open(settings_for(tmp_path, database_url=url)) as archive:
        error = _refused(archive, device, DatabaseError, "read-only")
    assert not is_transient(error)


def test_locked_database_is_one_clear_line_and_passes_by_itself(
    sqlite_template: Path, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0)
    shutil.copyfile(sqlite_template, tmp_path / "miniscope.db")
    with Archive.open(settings_for(tmp_path)) as archive:
        other = sa.create_engine(archive.settings.database_url)
        with other.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            error = _refused(archive, device, DatabaseError, "locked")
            connection.rollback()
        other.dispose()
        assert is_transient(error)
        assert ingest_recording(archive, device).changed


def test_server_that_is_away_is_one_clear_line_and_may_come_back(tmp_path: Path) -> None:
    url = "postgresql://somebody:secret@127.0.0.1:1/miniscope"
    with pytest.raises(DatabaseError, match="cannot be reached") as caught:
        Archive.open(settings_for(tmp_path, database_url=url))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert is_transient(caught.value)


@pytest.mark.parametrize("backend", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_connection_that_breaks_while_rows_are_written_leaves_nothing(
    archive: Archive, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(session: Any, *_: Any) -> None:
        with archive.database.engine.connect() as other:
            pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        session.execute(sa.text("SELECT 1"))

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "_add_companions", hang_up)
        error = _refused(archive, device, DatabaseError, "terminat|closed")
    assert is_transient(error)
    assert ingest_recording(archive, device).changed


def test_invented_times_are_recorded_and_invented_again_when_the_files_are_read_for_processing(
    lite: Archive, device: Path
) -> None:
    times = [50.0 * frame for frame in range(FRAMES - 2)]
    times[5] = 1e7
    write_v4_clock(device, times)
    with pytest.raises(ClockError):
        ingest_recording(lite, device)
    key = ingest_recording(lite, device, IngestOptions(clock="interpolate")).key
    (row,) = rows(lite, m.RecordingInfo)
    assert row["nframes"] == FRAMES
    assert row["clock_report"]["invented"] == [[5, 5], [FRAMES - 2, FRAMES - 1]]
    again = open_ingested(lite, key, silent)
    assert again.invented_times.tolist() == [5, FRAMES - 2, FRAMES - 1]
    assert again.timestamps_s.tolist() == pytest.approx([0.05 * frame for frame in range(FRAMES)])
