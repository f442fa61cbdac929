"""Recordings at addresses through the pipeline: named by their address, fetched where they are wanted."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, RecordingError
from miniscope_core.models import RecordingKey
from miniscope_core.pipeline.collect import collect_garbage
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.ingest_csv import ingest_sessions, ingest_subjects
from miniscope_core.pipeline.join import ingest_folder
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.process import add_parameter_set, add_task, process_recording
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.progress import silent
from miniscope_core.remote import RemoteFiles
from miniscope_core.storage.archive import Archive
from tests.archives import StandIn, rows, settings_for, snapshot, write_session
from tests.services import S3Service, s3_service, upload
from tests.simulation import simulate


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Service]:
    with s3_service() as service:
        yield service


@pytest.fixture
def lab(s3: S3Service, tmp_path: Path, sqlite_template: Path) -> Iterator[Archive]:
    """Return an archive whose recordings may be on S3; nothing is below a raw root."""
    shutil.copyfile(sqlite_template, tmp_path / "miniscope.db")
    with Archive.open(settings_for(tmp_path, raw_roots=[], raw_options={"s3": s3.options})) as archive:
        yield archive


@pytest.fixture
def address(s3: S3Service, tmp_path: Path) -> Iterator[str]:
    """Put the recording of the other tests into the bucket: s3://miniscope/raw/subject1/…/My_V4_Miniscope."""
    write_session(tmp_path / "raw")
    yield upload(s3, tmp_path / "raw", "raw") + "/subject1/2021_01_01/00_00_01/My_V4_Miniscope"
    client = s3.client()
    for entry in client.list_objects_v2(Bucket=s3.bucket).get("Contents", ()):
        client.delete_object(Bucket=s3.bucket, Key=entry["Key"])


def other(archive: Archive, **changes: Any) -> Archive:
    """Open the same archive with other settings."""
    kept = {name: getattr(archive.settings, name) for name in ("database_url", "store_url", "raw_roots", "raw_options")}
    return Archive.open(settings_for(archive.settings.home, **kept | changes))


def directory(archive: Archive) -> str:
    (row,) = rows(archive, m.Recording)
    return str(row["recording_directory"])


def copies(archive: Archive) -> int:
    return len(RemoteFiles.of(archive.settings).cache.copies())


def test_recording_is_named_by_its_address_and_processed_from_there(
    lab: Archive, address: str, engine: StandIn
) -> None:
    done = ingest_recording(lab, address)
    assert done.changed
    assert f"from {address}" in done.message
    assert directory(lab) == address
    files = {row["file_path"] for row in rows(lab, m.RecordingFile)}
    assert {f"{address}/0.avi", f"{address.rpartition('/')[0]}/metaData.json"} <= files
    (session,) = rows(lab, m.SessionDirectory)
    assert session["session_dir"] == address.rpartition("/")[0]
    task = add_task(lab, done.key, add_parameter_set(lab, "cnmfe", {}))
    assert process_recording(lab, task).changed


def test_other_machine_fetches_what_it_has_not(lab: Archive, address: str, tmp_path: Path) -> None:
    key = ingest_recording(lab, address).key
    with other(lab, cache_dir=tmp_path / "elsewhere") as there:
        assert open_ingested(there, key, silent).frame_count == 30
        assert copies(there) > 0


def test_ingesting_it_again_changes_nothing(lab: Archive, address: str) -> None:
    ingest_recording(lab, address)
    before = snapshot(lab)
    for place in (address, f"{address}/", address.rpartition("/")[0]):
        again = ingest_recording(lab, place)
        assert not again.changed
        assert again.message.startswith("Unchanged")
    assert snapshot(lab) == before


def test_other_content_at_the_address_is_refused(lab: Archive, address: str, s3: S3Service, tmp_path: Path) -> None:
    key = ingest_recording(lab, address).key
    write_session(tmp_path / "another", seed=1)
    upload(s3, tmp_path / "another", "raw")
    with pytest.raises(ConflictError, match=rf"{address} are not those .*0\.avi has other content"):
        open_ingested(lab, key, silent)


def test_same_files_at_two_addresses_are_a_copy(lab: Archive, address: str, s3: S3Service, tmp_path: Path) -> None:
    ingest_recording(lab, address)
    upload(s3, tmp_path / "raw", "copy")
    with pytest.raises(ConflictError, match=r"from s3://miniscope/raw/.*no copy"):
        ingest_recording(lab, address.replace("/raw/", "/copy/"))


def test_recording_that_moved_to_another_address_is_renamed(
    lab: Archive, address: str, s3: S3Service, tmp_path: Path
) -> None:
    ingest_recording(lab, address)
    upload(s3, tmp_path / "raw", "archive")
    client = s3.client()
    for entry in client.list_objects_v2(Bucket=s3.bucket, Prefix="raw/")["Contents"]:
        client.delete_object(Bucket=s3.bucket, Key=entry["Key"])
    moved = ingest_recording(lab, address.replace("/raw/", "/archive/"))
    assert moved.message.startswith("Moved")
    assert directory(lab) == address.replace("/raw/", "/archive/")


def test_where_nothing_answers_nobody_knows_that_it_is_gone(lab: Archive, address: str, tmp_path: Path) -> None:
    key = ingest_recording(lab, address).key
    away = {"s3": {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}}
    with (
        other(lab, raw_roots=[tmp_path / "raw"], raw_options=away) as near,
        pytest.raises(RecordingError, match="Cannot read s3://"),
    ):
        open_ingested(near, key, silent)


class TestRoots:
    """Roots that are addresses: names relative to them are the same for every machine."""

    @pytest.fixture
    def rooted(self, lab: Archive, address: str) -> Iterator[Archive]:
        with other(lab, raw_roots=["s3://miniscope/raw"]) as archive:
            yield archive

    def test_names_are_relative(self, rooted: Archive, address: str) -> None:
        ingest_recording(rooted, address)
        assert directory(rooted) == "subject1/2021_01_01/00_00_01/My_V4_Miniscope"
        assert not ingest_recording(rooted, address).changed

    def test_names_are_found_in_a_folder_elsewhere_and_back(
        self, rooted: Archive, address: str, tmp_path: Path
    ) -> None:
        key = ingest_recording(rooted, address).key
        with other(rooted, raw_roots=[tmp_path / "raw"], cache_dir=tmp_path / "unused") as near:
            assert open_ingested(near, key, silent).address is None
            assert not ingest_recording(near, tmp_path / "raw" / directory(near)).changed
            assert copies(near) == 0
        with other(rooted, raw_roots=[tmp_path / "nothing", "s3://miniscope/raw"]) as far:
            assert open_ingested(far, key, silent).address == address

    def test_recording_that_moved_from_a_folder_is_found_by_the_end_of_its_path(
        self, lab: Archive, address: str, tmp_path: Path
    ) -> None:
        key = ingest_recording(lab, tmp_path / "raw" / "subject1").key
        shutil.rmtree(tmp_path / "raw")
        with other(lab, raw_roots=["s3://miniscope/raw"]) as far:
            assert open_ingested(far, key, silent).address == address


def test_session_table_takes_addresses(lab: Archive, address: str, tmp_path: Path) -> None:
    (tmp_path / "subjects.csv").write_text("subject\nsubject1\n")
    (tmp_path / "sessions.csv").write_text(f"subject,session_dir\nsubject1,{address.rpartition('/')[0]}\n")
    ingest_subjects(lab, tmp_path / "subjects.csv")
    (done,) = ingest_sessions(lab, tmp_path / "sessions.csv")
    assert done.changed
    assert directory(lab) == address


def test_joined_recordings_are_fetched_part_by_part(lab: Archive, s3: S3Service, tmp_path: Path) -> None:
    scene = simulate(shape=(40, 48), frame_count=30, cell_count=2, seed=3)
    for name, minute in (("a", 30), ("b", 40)):
        scene.write_v4(tmp_path / "day" / name, start=datetime(2024, 3, 5, 14, minute, 15))
    done = ingest_folder(lab, upload(s3, tmp_path / "day", "day"), IngestOptions(join=True))
    with other(lab, cache_dir=tmp_path / "elsewhere") as there:
        assert open_ingested(there, done.key, silent).frame_count == 60
    names = [row["recording_directory"] for row in rows(lab, m.Recording)]
    assert len(names) == 3
    assert all(name.startswith("s3://miniscope/day") for name in names)


def test_garbage_collection_removes_copies_that_nobody_reads(lab: Archive, address: str) -> None:
    key: RecordingKey = ingest_recording(lab, address).key
    assert collect_garbage(lab, timedelta(hours=1)) == []
    recording = open_ingested(lab, key, silent)
    assert collect_garbage(lab, timedelta(seconds=-60)) == []
    del recording
    found = collect_garbage(lab, timedelta(seconds=-60), dry_run=True)
    assert sum(one.nbytes for one in found) > 10_000
    assert copies(lab) > 0
    assert collect_garbage(lab, timedelta(seconds=-60)) == found
    assert copies(lab) == 0


def test_with_no_hours_copies_are_gone_when_a_step_is_done(lab: Archive, address: str, engine: StandIn) -> None:
    with other(lab, cache_hours=0) as tidy:
        key = ingest_recording(tidy, address).key
        assert copies(tidy) == 0
        process_recording(tidy, add_task(tidy, key, add_parameter_set(tidy, "cnmfe", {})))
        RemoteFiles.of(tidy.settings).cache.sweep()
        assert copies(tidy) == 0
