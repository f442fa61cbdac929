"""Cleaning up removes what nobody refers to, once it is old, and nothing else."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from miniscope_core.errors import StoreError
from miniscope_core.models import ProcessingTask, TaskKey, get
from miniscope_core.pipeline.collect import collect_garbage
from miniscope_core.pipeline.process import process_recording
from miniscope_core.pipeline.published import published_result
from miniscope_core.storage.archive import Archive
from tests.archives import StandIn, jobs, settings_for, snapshot

NOW = timedelta(seconds=-60)
"""Whatever was written until a minute from now."""


def leave_job(archive: Archive, age: timedelta, name: str = "0123456789abcdef") -> Path:
    """Leave the scratch folder of a job that died, all of it last written so long ago."""
    folder = archive.settings.jobs_dir / name
    (folder / ".result.scratch").mkdir(parents=True)
    (folder / ".result.scratch" / "movie.tmp").write_bytes(b"x" * 1000)
    when = (datetime.now(UTC) - age).timestamp()
    for path in (folder / ".result.scratch" / "movie.tmp", folder / ".result.scratch", folder):
        os.utime(path, (when, when))
    return folder


def leave_upload(archive: Archive, tmp_path: Path) -> str:
    """Leave objects that no row names."""
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "result.json").write_text("{}")
    return archive.store.upload(tmp_path / "result", "processing", below=archive.database.identity).prefix


def test_unreferenced_objects_and_old_jobs_are_found_then_removed(
    archive: Archive, task: TaskKey, tmp_path: Path
) -> None:
    process_recording(archive, task)
    before = snapshot(archive)
    prefix = leave_upload(archive, tmp_path)
    job = leave_job(archive, timedelta(days=3))
    found = collect_garbage(archive, NOW, dry_run=True)
    assert [one.place for one in found] == [archive.store.address(prefix), str(job)]
    assert found[1].nbytes == 1000
    assert prefix in archive.store.prefixes()
    assert job.exists()
    assert collect_garbage(archive, NOW) == found
    assert snapshot(archive) == before
    assert jobs(archive) == []
    assert published_result(archive, task).unit_count == 6
    assert collect_garbage(archive, NOW) == []


def test_results_of_another_database_in_the_same_store_are_left_alone(
    lite: Archive, lite_task: TaskKey, tmp_path: Path
) -> None:
    process_recording(lite, lite_task)
    with Archive.open(settings_for(tmp_path / "other", store_url=lite.store.url)) as empty:
        assert collect_garbage(empty, NOW) == []
    assert published_result(lite, lite_task).unit_count == 6


def test_what_is_younger_than_a_day_is_spared(lite: Archive, tmp_path: Path) -> None:
    leave_upload(lite, tmp_path)
    leave_job(lite, timedelta(hours=23))
    assert collect_garbage(lite) == []
    old = leave_job(lite, timedelta(hours=25), "old")
    assert [one.place for one in collect_garbage(lite)] == [str(old)]


def test_one_young_file_keeps_a_whole_job(lite: Archive) -> None:
    job = leave_job(lite, timedelta(days=3))
    (job / ".result.scratch" / "new.tmp").write_text("just written")
    assert collect_garbage(lite) == []


def test_job_of_a_running_task_is_spared_however_old(lite: Archive, lite_task: TaskKey, engine: StandIn) -> None:
    engine.may_finish = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(process_recording, lite, lite_task)
        try:
            assert engine.started.wait(30)
            assert collect_garbage(lite, NOW) == []
        finally:
            engine.may_finish.set()
        assert running.result().changed


def test_job_of_a_task_whose_claim_lapsed_is_removed_once_it_is_old(
    lite: Archive, lite_task: TaskKey, engine: StandIn
) -> None:
    def die() -> None:
        with lite.database.session() as session:
            task = get(session, ProcessingTask, **lite_task.columns)
            task.claim_expires_at = datetime.now(UTC) - timedelta(minutes=1)
        computing = [lite.settings.jobs_dir / name for name in jobs(lite) if "/" not in name]
        assert [one.place for one in collect_garbage(lite, NOW, dry_run=True)] == [str(path) for path in computing]
        assert computing

    engine.meanwhile = die
    process_recording(lite, lite_task)


def test_only_our_own_folder_of_a_shared_scratch_is_touched(lite: Archive) -> None:
    other = lite.settings.scratch_dir / "somebody elses"
    other.mkdir(parents=True)
    assert collect_garbage(lite, NOW) == []
    assert other.is_dir()


def test_leftover_prints_place_size_and_time(lite: Archive) -> None:
    leave_job(lite, timedelta(days=3))
    (found,) = collect_garbage(lite, dry_run=True)
    assert str(found).startswith(f"{found.place} (0.0 MiB, written 20")


def test_job_that_cannot_be_removed_is_one_clear_line(lite: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    job = leave_job(lite, timedelta(days=3))

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    with pytest.raises(StoreError, match=f"{job} cannot be removed: Permission denied"):
        collect_garbage(lite)
