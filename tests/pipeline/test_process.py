"""Processing: parameter sets and tasks recorded once, a result computed once and published whole."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.errors import (
    ClaimError,
    ConflictError,
    DatabaseError,
    EngineError,
    NotFoundError,
    ParameterError,
    RecordingNotFoundError,
    ResultError,
    StoreError,
)
from miniscope_core.io import open_recording
from miniscope_core.models import RecordingKey, TaskKey, TaskMode, param_set_hash
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.pipeline.collect import collect_garbage
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import (
    add_parameter_set,
    add_parameters,
    add_task,
    choose_parameter_set,
    compute,
    pending_recordings,
    process_recording,
)
from miniscope_core.pipeline.published import published_result
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.result import ResultWriter, load_result
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.publish import unreferenced
from tests.archives import StandIn, boxes, jobs, rows, settings_for, snapshot, write_result, write_session
from tests.builders import make_movie, write_video

NOW = timedelta(seconds=-60)
"""For collecting garbage: whatever was written until a minute from now."""


def task_row(archive: Archive) -> dict[str, Any]:
    (row,) = rows(archive, m.ProcessingTask)
    return row


# -- parameter sets ---------------------------------------------------------------------------------------------
def test_parameters_without_a_value_are_no_part_of_a_set(lite: Archive) -> None:
    """So that sets of a version that did not know them keep their hashes."""
    add_parameters(lite, CnmfeParameters())
    add_parameters(lite, CnmfeParameters(cell_diameter_um=15))
    in_px, in_um = (row["params"] for row in rows(lite, m.ProcessingParamSet))
    assert in_px["cell_diameter_px"] == 13
    assert not {"cell_diameter_um", "pixel_size_um"} & in_px.keys()
    assert in_um["cell_diameter_um"] == 15
    assert not {"cell_diameter_px", "pixel_size_um"} & in_um.keys()


def test_parameter_set_is_recorded_once_with_its_hash_and_exact_values(archive: Archive) -> None:
    params = {"gSig": (3, 3), "K": None, "min_corr": 0.8, "tsub": 2}
    assert add_parameter_set(archive, "caiman", params, "as published") == 0
    before = snapshot(archive)
    assert add_parameter_set(archive, "caiman", dict(reversed(params.items()))) == 0
    assert add_parameter_set(archive, "caiman", params, paramset_id=0) == 0
    assert snapshot(archive) == before
    (row,) = rows(archive, m.ProcessingParamSet)
    assert row["params"] == params
    assert isinstance(row["params"]["gSig"], tuple)
    assert row["param_set_hash"] == param_set_hash(params)
    assert isinstance(row["param_set_hash"], uuid.UUID)
    assert (row["processing_method"], row["paramset_desc"]) == ("caiman", "as published")


def test_the_same_parameters_of_two_methods_are_two_sets(lite: Archive) -> None:
    assert [add_parameter_set(lite, method, {"min_corr": 0.8}) for method in ("caiman", "cnmfe")] == [0, 1]


def test_other_parameters_get_the_next_number_also_after_a_gap(lite: Archive) -> None:
    assert add_parameter_set(lite, "cnmfe", {}, paramset_id=7) == 7
    assert add_parameter_set(lite, "cnmfe", {"min_corr": 0.7}) == 8


def test_parameter_set_numbers_are_not_overwritten(lite: Archive) -> None:
    add_parameter_set(lite, "cnmfe", {})
    before = snapshot(lite)
    with pytest.raises(ConflictError, match="Parameter set 0 is there already"):
        add_parameter_set(lite, "cnmfe", {"min_corr": 0.7}, paramset_id=0)
    with pytest.raises(ConflictError, match="are set 0 already, not 1"):
        add_parameter_set(lite, "cnmfe", {}, paramset_id=1)
    with pytest.raises(NotFoundError, match="suite2p"):
        add_parameter_set(lite, "suite2p", {})
    assert snapshot(lite) == before


def test_parameter_sets_by_several_runs_at_once_get_a_number_each(archive: Archive) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = pool.map(lambda corr: add_parameter_set(archive, "cnmfe", {"min_corr": corr}), (0.6, 0.7, 0.8, 0.6))
        assert len(set(numbers)) == 3
    assert [row["paramset_id"] for row in rows(archive, m.ProcessingParamSet)] == [0, 1, 2]


def test_default_parameters_are_one_set_however_they_are_asked_for(lite: Archive) -> None:
    number = choose_parameter_set(lite, None, None)
    assert choose_parameter_set(lite, CnmfeParameters(), None) == number
    assert add_parameters(lite, CnmfeParameters()) == number
    assert choose_parameter_set(lite, None, number) == number
    assert choose_parameter_set(lite, CnmfeParameters(min_snr=4), None) != number


def test_parameters_and_a_number_together_are_refused(lite: Archive) -> None:
    with pytest.raises(ParameterError, match="expected one of them"):
        choose_parameter_set(lite, CnmfeParameters(), 0)
    with pytest.raises(NotFoundError, match="paramset_id 5"):
        choose_parameter_set(lite, None, 5)


# -- tasks --------------------------------------------------------------------------------------------------------
def test_task_is_recorded_once(archive: Archive, task: TaskKey) -> None:
    before = snapshot(archive)
    assert add_task(archive, task.recording, task.paramset_id) == task
    assert snapshot(archive) == before
    assert str(task) == "subject1/2021-01-01T00:00:01/0/0"


def test_task_with_another_mode_or_folder_is_refused(lite: Archive, lite_task: TaskKey) -> None:
    with pytest.raises(ConflictError, match="got mode load 'results', expected trigger ''"):
        add_task(lite, lite_task.recording, lite_task.paramset_id, TaskMode.LOAD, "results")
    with pytest.raises(ConflictError, match="got mode trigger 'results'"):
        add_task(lite, lite_task.recording, lite_task.paramset_id, TaskMode.TRIGGER, "results")
    with pytest.raises(ParameterError, match="output_dir="):
        add_task(lite, lite_task.recording, lite_task.paramset_id, TaskMode.LOAD)


def test_task_of_what_is_not_there_is_refused(lite: Archive, lite_task: TaskKey) -> None:
    with pytest.raises(NotFoundError, match="paramset_id 9"):
        add_task(lite, lite_task.recording, 9)
    unknown = RecordingKey(subject="nobody", session_datetime=datetime(2021, 1, 1), recording_id=0)
    with pytest.raises(NotFoundError, match="nobody"):
        add_task(lite, unknown, 0)
    with pytest.raises(NotFoundError, match="nobody"):
        process_recording(lite, TaskKey(recording=unknown, paramset_id=0))


def test_pending_are_the_recordings_without_traces_in_order(archive: Archive, task: TaskKey, raw: Path) -> None:
    second = ingest_recording(archive, write_session(raw, "b", seed=1), IngestOptions(subject="a")).key
    assert pending_recordings(archive, 0) == [second, task.recording]
    process_recording(archive, task)
    assert pending_recordings(archive, 0) == [second, task.recording]
    curation = curate_processing(archive, task).key
    assert pending_recordings(archive, 0) == [second, task.recording]
    extract_traces(archive, curation)
    assert pending_recordings(archive, 0) == [second]
    other = add_parameter_set(archive, "cnmfe", {"min_snr": 4.0})
    assert pending_recordings(archive, other) == [second, task.recording]
    with pytest.raises(NotFoundError):
        pending_recordings(archive, 9)


# -- computing ------------------------------------------------------------------------------------------------------
def test_result_is_published_whole_and_reads_back_equal(archive: Archive, task: TaskKey, engine: StandIn) -> None:
    done = process_recording(archive, task)
    assert (done.key, done.changed, done.unit_count, done.accepted_count) == (task, True, 6, 5)
    result = published_result(archive, task)
    arrays = engine.arrays()
    assert {name for name in result.array_names if not name.startswith("footprints")} == set(arrays)
    for name, values in arrays.items():
        assert np.array_equal(result.read(name), values.astype(result.array(name).dtype), equal_nan=name == "snr"), name
    assert (result.footprints != engine.footprints).nnz == 0


def test_row_of_the_processing_tells_where_the_numbers_come_from(archive: Archive, task: TaskKey) -> None:
    process_recording(archive, task)
    (row,) = rows(archive, m.Processing)
    assert (row["package"], row["method"], row["package_version"]) == ("miniscope_core", "cnmfe", "0.0")
    assert row["timings"] == {"motion correction": 1.5, "factorisation": 2.5}
    assert (row["cpu_seconds"], row["peak_memory_bytes"]) == (7.5, 2**33)
    assert (row["unit_count"], row["accepted_count"], row["notes"]) == (6, 5, ["made by a stand-in"])
    facts = row["provenance"]
    assert facts["recording"] == str(task.recording)
    assert facts["content_digest"] == rows(archive, m.RecordingInfo)[0]["content_digest"]
    assert facts["parameters"] == CnmfeParameters().model_dump(mode="json")
    assert facts["packages"]["miniscope-core"]
    assert abs(datetime.now(UTC) - row["processing_time"]) < timedelta(minutes=5)
    waiting = task_row(archive)
    assert (waiting["claimed_by"], waiting["claim_expires_at"], waiting["error"]) == (None, None, None)
    assert waiting["attempts"] == 1


def test_processing_again_changes_nothing(archive: Archive, task: TaskKey, engine: StandIn) -> None:
    process_recording(archive, task)
    before = snapshot(archive)
    again = process_recording(archive, task)
    assert (again.changed, again.unit_count, again.accepted_count) == (False, 6, 5)
    assert again.message.startswith("Unchanged")
    assert snapshot(archive) == before
    assert engine.runs == 1
    assert jobs(archive) == []


def test_parameters_reach_the_engine_with_their_values(lite: Archive, lite_task: TaskKey) -> None:
    other = add_task(lite, lite_task.recording, add_parameter_set(lite, "cnmfe", {"min_snr": 4.5}))
    process_recording(lite, other)
    assert published_result(lite, other).parameters["min_snr"] == 4.5


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (EngineError("Too dark. Raise the LED."), "Too dark. Raise the LED."),
        (RuntimeError("index out of range"), "RuntimeError: index out of range"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_failure_of_the_engine_is_kept_and_leaves_nothing_behind(
    archive: Archive, task: TaskKey, engine: StandIn, error: Exception, kept: str
) -> None:
    before = snapshot(archive)
    engine.error = error
    with pytest.raises(EngineError if isinstance(error, OSError) else type(error)) as caught:
        process_recording(archive, task)
    assert "\n" not in str(caught.value)
    assert kept in task_row(archive)["error"]
    assert jobs(archive) == []
    after = snapshot(archive)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"ProcessingTask"}
    engine.error = None
    process_recording(archive, task)
    assert (task_row(archive)["error"], task_row(archive)["attempts"]) == (None, 2)


def test_parameters_that_are_not_valid_fail_before_the_engine_runs(
    lite: Archive, lite_task: TaskKey, engine: StandIn
) -> None:
    for params, named in (({"min_corr": 2.0}, "min_corr"), ({"radius": 3}, "radius")):
        task = add_task(lite, lite_task.recording, add_parameter_set(lite, "cnmfe", params))
        with pytest.raises(ParameterError, match=named) as caught:
            process_recording(lite, task)
        assert "\n" not in str(caught.value)
    assert engine.runs == 0


def test_method_without_an_engine_is_one_clear_line(lite: Archive, lite_task: TaskKey, engine: StandIn) -> None:
    with lite.database.session() as session:
        session.add(m.make(m.ProcessingMethod, processing_method="suite2p"))
    task = add_task(lite, lite_task.recording, add_parameter_set(lite, "suite2p", {}))
    with pytest.raises(ParameterError, match="'suite2p' has no engine"):
        process_recording(lite, task)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fluorescence": None}, "fluorescence is missing"),
        ({"accepted": np.ones(5, bool)}, "accepted has the shape"),
        ({"image_average": np.ones((56, 40))}, "image_average has the shape"),
    ],
)
def test_incomplete_result_of_an_engine_is_not_published(
    lite: Archive, lite_task: TaskKey, engine: StandIn, changes: dict[str, Any], named: str
) -> None:
    engine.changes = changes
    with pytest.raises(ResultError, match=named):
        process_recording(lite, lite_task)
    assert rows(lite, m.Processing) == []
    assert jobs(lite) == []


def test_result_of_another_movie_is_not_published(lite: Archive, lite_task: TaskKey, engine: StandIn) -> None:
    engine.info = {"frame_count": 29}
    engine.changes = {
        name: values[..., :29] if name in ("fluorescence", "traces", "activity") else values[:29]
        for name, values in engine.arrays().items()
        if name in ("fluorescence", "traces", "activity", "shifts_px", "timestamps_s")
    }
    with pytest.raises(ResultError, match=r"got 29 frames of 40×56 px, expected 30"):
        process_recording(lite, lite_task)
    assert rows(lite, m.Processing) == []


def test_files_that_changed_since_ingestion_are_not_processed(
    lite: Archive, lite_task: TaskKey, engine: StandIn, device: Path
) -> None:
    write_video(device / "0.avi", make_movie(30, 40, 56, seed=9))
    with pytest.raises(ConflictError, match=r"0\.avi has other content"):
        process_recording(lite, lite_task)
    assert engine.runs == 0
    assert "0.avi" in task_row(lite)["error"]


def test_files_that_are_away_say_where_they_were_looked_for(lite: Archive, lite_task: TaskKey, raw: Path) -> None:
    raw.rename(raw.with_name("unplugged"))
    with pytest.raises(RecordingNotFoundError, match=r"looked at .*raw.*MINISCOPE_RAW_ROOTS"):
        process_recording(lite, lite_task)


def test_store_that_cannot_be_written_is_noticed_before_the_engine_runs(
    lite: Archive, lite_task: TaskKey, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(lite.store._fs, "pipe_file", refuse)
    with pytest.raises(StoreError, match="Read-only"):
        process_recording(lite, lite_task)
    assert engine.runs == 0


# -- publishing fails ----------------------------------------------------------------------------------------------
def test_finished_result_that_could_not_be_published_is_not_computed_again(
    archive: Archive, task: TaskKey, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise StoreError("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(archive.store, "upload", fail)
        with pytest.raises(StoreError):
            process_recording(archive, task)
    assert task_row(archive)["error"] == "The store is away."
    assert any(name.endswith("result/result.json") for name in jobs(archive))
    assert process_recording(archive, task).changed
    assert engine.runs == 1
    assert jobs(archive) == []
    assert unreferenced(archive.database, archive.store, NOW) == []


def test_damaged_result_of_an_earlier_attempt_is_computed_again(
    lite: Archive, lite_task: TaskKey, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lite.store, "upload", lambda *_, **__: (_ for _ in ()).throw(StoreError("away")))
        with pytest.raises(StoreError):
            process_recording(lite, lite_task)
    (description,) = lite.settings.jobs_dir.glob("*/result/result.json")
    description.write_text("{")
    process_recording(lite, lite_task)
    assert engine.runs == 2


def _break_commit(archive: Archive, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """Let the commit of the next publication fail, before or after it took effect."""
    dialect, upload = archive.database.engine.dialect, archive.store.upload
    commit, armed = dialect.do_commit, []

    def arm(*arguments: Any, **options: Any) -> Any:
        done = upload(*arguments, **options)
        armed.append(True)
        return done

    def fail(connection: Any) -> None:
        if not armed:
            return commit(connection)
        armed.clear()
        if after:
            commit(connection)
        raise dialect.dbapi.OperationalError("connection lost")  # type: ignore[union-attr]

    monkeypatch.setattr(archive.store, "upload", arm)
    monkeypatch.setattr(dialect, "do_commit", fail)


def test_commit_whose_answer_is_lost_is_found_done_by_the_next_attempt(
    archive: Archive, task: TaskKey, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _break_commit(archive, patch, after=True)
        with pytest.raises(DatabaseError, match="connection lost"):
            process_recording(archive, task)
    assert task_row(archive)["error"] is None
    assert not process_recording(archive, task).changed
    assert published_result(archive, task).unit_count == 6
    assert unreferenced(archive.database, archive.store, NOW) == []
    assert engine.runs == 1


def test_commit_that_failed_leaves_garbage_that_is_found_and_a_task_that_runs(
    archive: Archive, task: TaskKey, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _break_commit(archive, patch, after=False)
        with pytest.raises(DatabaseError, match="connection lost"):
            process_recording(archive, task)
    assert rows(archive, m.Processing) == []
    (garbage,) = unreferenced(archive.database, archive.store, NOW)
    assert process_recording(archive, task).changed
    assert engine.runs == 1
    collect_garbage(archive, NOW)
    assert garbage.prefix not in archive.store.prefixes()
    assert published_result(archive, task).unit_count == 6


CRASH = """
import os, sys
from miniscope_core.models import TaskKey, as_key
from miniscope_core.pipeline import engines
from miniscope_core.pipeline.process import process_recording
from miniscope_core.storage import publish
from miniscope_core.storage.archive import Archive
from tests.archives import StandIn

engines.ENGINES["cnmfe"] = lambda settings: StandIn()
publish._add_publication = lambda *_: os._exit(17)
with Archive.open() as archive:
    process_recording(archive, as_key(sys.argv[1], TaskKey))
"""


def test_process_that_dies_between_upload_and_commit_is_taken_over(
    lite: Archive, lite_task: TaskKey, engine: StandIn
) -> None:
    settings = lite.settings
    environment = {
        "MINISCOPE_HOME": str(settings.home),
        "MINISCOPE_RAW_ROOTS": f'["{settings.raw_roots[0]}"]',
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    died = subprocess.run([sys.executable, "-c", CRASH, str(lite_task)], env=os.environ | environment, check=False)
    assert died.returncode == 17
    with pytest.raises(ClaimError, match=rf"{lite_task} is being computed already: claimed by"):
        process_recording(lite, lite_task)
    _lapse(lite)
    assert process_recording(lite, lite_task).changed
    assert engine.runs == 0  # what the dead process had finished was published
    (garbage,) = collect_garbage(lite, NOW, dry_run=True)
    assert "/processing/" in garbage.place
    assert task_row(lite)["attempts"] == 2


# -- two at once ------------------------------------------------------------------------------------------------------
def _lapse(archive: Archive, owner: str | None = None) -> None:
    """Let the claim have lapsed, or be somebody else's."""
    until = datetime.now(UTC) + timedelta(minutes=-1 if owner is None else 5)
    values: dict[str, Any] = {"claim_expires_at": until} | ({"claimed_by": owner} if owner else {})
    with archive.database.session() as session:
        session.execute(
            sa.update(m.ProcessingTask).where(col(m.ProcessingTask.claimed_by).is_not(None)).values(**values)
        )


def test_a_task_that_is_being_computed_is_refused_to_everybody_else(
    archive: Archive, task: TaskKey, engine: StandIn
) -> None:
    engine.may_finish = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(process_recording, archive, task)
        try:
            assert engine.started.wait(30)
            with pytest.raises(ClaimError, match=f"{task} is being computed already"):
                process_recording(archive, task)
        finally:
            engine.may_finish.set()
        assert first.result().changed
    assert engine.runs == 1
    assert task_row(archive)["error"] is None


def test_a_claim_that_was_lost_publishes_nothing(archive: Archive, task: TaskKey, engine: StandIn) -> None:
    before = snapshot(archive)["objects"]
    engine.meanwhile = lambda: _lapse(archive, owner="somebody else")
    with pytest.raises(ClaimError, match="nothing was published"):
        process_recording(archive, task)
    assert rows(archive, m.Processing) == []
    assert snapshot(archive)["objects"] == before
    assert (task_row(archive)["claimed_by"], task_row(archive)["error"]) == ("somebody else", None)


def test_two_attempts_at_one_task_leave_each_others_work_alone(
    lite: Archive, lite_task: TaskKey, engine: StandIn
) -> None:
    """The first is suspended in the middle, its claim lapses, and the second does it all."""

    def overtake() -> None:
        engine.meanwhile = None
        before = jobs(lite)
        _lapse(lite)
        assert process_recording(lite, lite_task).changed
        assert [name for name in before if name in jobs(lite)] == before

    engine.meanwhile = overtake
    with pytest.raises(ClaimError, match="nothing was published"):
        process_recording(lite, lite_task)
    assert engine.runs == 2
    assert len(rows(lite, m.Processing)) == 1
    assert [path for path in lite.settings.jobs_dir.rglob("*") if path.name.endswith((".scratch", ".partial"))] == []
    collect_garbage(lite, NOW)
    assert jobs(lite) == []
    assert published_result(lite, lite_task).unit_count == 6


def test_result_that_another_attempt_finished_first_is_taken(
    lite: Archive, lite_task: TaskKey, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtake() -> None:
        engine.meanwhile = None
        _lapse(lite)
        with monkeypatch.context() as patch:
            patch.setattr(lite.store, "upload", lambda *_, **__: (_ for _ in ()).throw(StoreError("away")))
            with pytest.raises(StoreError, match="away"):
                process_recording(lite, lite_task)
        _lapse(lite)

    engine.meanwhile = overtake
    with pytest.raises(ClaimError):
        process_recording(lite, lite_task)
    assert len(list(lite.settings.jobs_dir.glob("*/*"))) == 1
    assert process_recording(lite, lite_task).changed
    assert engine.runs == 2
    assert jobs(lite) == []


def test_two_databases_with_one_scratch_folder_compute_apart(
    lite: Archive, lite_task: TaskKey, device: Path, tmp_path: Path, engine: StandIn
) -> None:
    shared = settings_for(tmp_path / "second", raw_roots=lite.settings.raw_roots, scratch_dir=lite.settings.scratch_dir)

    def meet() -> None:
        engine.meanwhile = None
        with Archive.open(shared) as other:
            key = ingest_recording(other, device).key
            before = jobs(lite)
            assert process_recording(other, add_task(other, key, add_parameter_set(other, "cnmfe", {}))).changed
        assert jobs(lite) == before

    engine.meanwhile = meet
    assert process_recording(lite, lite_task).changed
    assert engine.runs == 2
    assert jobs(lite) == []


# -- without an archive ---------------------------------------------------------------------------------------------
def _compute(device: Path, output_dir: Path) -> int:
    recording = open_recording(device)
    return compute(recording, CnmfeParameters(), output_dir, Settings(workers=1)).unit_count


def test_result_goes_where_a_link_leads(device: Path, tmp_path: Path, engine: StandIn) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    assert _compute(device, tmp_path / "out") == 6
    assert (tmp_path / "out").is_symlink()
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["arrays.zarr", "result.json"]


def test_result_goes_into_the_working_folder(
    device: Path, tmp_path: Path, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert _compute(device, Path()) == 6
    assert sorted(path.name for path in Path().iterdir()) == ["arrays.zarr", "result.json"]


@pytest.mark.parametrize("there", [True, False])
def test_result_needs_no_rights_to_remove_its_folder(
    device: Path, tmp_path: Path, engine: StandIn, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """As a mount point: it can neither be removed nor replaced."""
    out = tmp_path / "out"
    if there:
        out.mkdir()
    rmdir, rename = Path.rmdir, Path.rename

    def refuse_rmdir(path: Path) -> None:
        if path == out:
            raise OSError(errno.EBUSY, "Device or resource busy")
        rmdir(path)

    def refuse_rename(path: Path, target: Path) -> Path:
        if target == out and there:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rmdir", refuse_rmdir)
    monkeypatch.setattr(Path, "rename", refuse_rename)
    assert _compute(device, out) == 6
    assert sorted(path.name for path in out.iterdir()) == ["arrays.zarr", "result.json"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("there", [True, False])
def test_failure_leaves_the_output_folder_as_it_was(device: Path, tmp_path: Path, engine: StandIn, there: bool) -> None:
    if there:
        (tmp_path / "out").mkdir()
    before = sorted(tmp_path.rglob("*"))
    engine.error = EngineError("Too dark.")
    with pytest.raises(EngineError, match="Too dark"):
        _compute(device, tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("there", [True, False])
def test_finished_result_that_cannot_be_moved_is_kept_and_named(
    device: Path, tmp_path: Path, engine: StandIn, there: bool
) -> None:
    """Somebody put a file of this name there while the engine ran."""
    out = tmp_path / "out"
    if there:
        out.mkdir()

    def occupy() -> None:
        out.mkdir(exist_ok=True)
        (out / "result.json").write_text("somebody else's")

    engine.meanwhile = occupy
    with pytest.raises(EngineError, match="It is kept, whole, in ") as caught:
        _compute(device, out)
    kept = Path(str(caught.value).split("whole, in ")[1].removesuffix(": move it by hand."))
    load_result(kept).check(str(kept))
    assert (out / "result.json").read_text() == "somebody else's"
    assert not (out / "arrays.zarr").exists()


# -- loading ---------------------------------------------------------------------------------------------------
@pytest.fixture
def computed(lite: Archive, lite_task: TaskKey, raw: Path, engine: StandIn) -> Path:
    """Return a result that somebody computed elsewhere, with other parameters than the defaults."""
    folder = raw / "subject1" / "results"
    write_result(ResultWriter(folder), boxes(), engine.arrays(), CnmfeParameters(min_snr=4.5))
    return folder


def _load_task(archive: Archive, recording: RecordingKey, folder: str, **params: Any) -> TaskKey:
    number = add_parameter_set(archive, "cnmfe", params)
    return add_task(archive, recording, number, TaskMode.LOAD, folder)


def test_result_computed_elsewhere_is_loaded_and_stays_where_it_is(
    lite: Archive, lite_task: TaskKey, computed: Path, engine: StandIn
) -> None:
    task = _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5)
    assert process_recording(lite, task).changed
    assert engine.runs == 0
    assert (computed / "result.json").is_file()
    assert np.array_equal(published_result(lite, task).traces, engine.arrays()["traces"].astype(np.float32))
    assert rows(lite, m.Processing)[0]["provenance"]["task_mode"] == "load"
    assert not process_recording(lite, task).changed


def test_task_that_loads_stays_so_for_whoever_does_not_ask_for_a_mode(
    lite: Archive, lite_task: TaskKey, computed: Path, engine: StandIn
) -> None:
    task = _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5)
    before = snapshot(lite)
    assert add_task(lite, task.recording, task.paramset_id) == task
    assert snapshot(lite) == before
    with pytest.raises(ConflictError, match="got mode trigger '', expected load"):
        add_task(lite, task.recording, task.paramset_id, TaskMode.TRIGGER)
    assert process_recording(lite, add_task(lite, task.recording, task.paramset_id)).changed
    assert engine.runs == 0


def test_loading_publishes_the_result_and_nothing_else_of_its_folder(
    lite: Archive, lite_task: TaskKey, computed: Path, tmp_path: Path
) -> None:
    (computed / "raw.avi").write_bytes(b"x" * 1000)
    (tmp_path / "secret").write_text("password")
    (computed / "link").symlink_to(tmp_path / "secret")
    (computed / "arrays.zarr/traces/.hidden").write_bytes(b"x")
    files = set(load_result(computed).info.files)
    task = _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5)
    assert process_recording(lite, task).changed
    (publication,) = rows(lite, m.Publication, kind="processing")
    assert lite.store.objects(publication["prefix"]).keys() == files | {"result.json", "manifest.json"}
    assert (computed / "raw.avi").is_file()


@pytest.mark.parametrize("lie", ["../../../secret", "arrays.zarr/../../../../secret", "link", "linked/secret"])
def test_loading_follows_neither_links_nor_paths_that_lead_out(
    lite: Archive, lite_task: TaskKey, computed: Path, raw: Path, lie: str
) -> None:
    (raw.parent / "secret").write_text("password")
    (computed / "link").symlink_to(raw.parent / "secret")
    (computed / "linked").symlink_to(raw.parent)
    description = json.loads((computed / "result.json").read_text())
    description["files"][lie] = len("password")
    (computed / "result.json").write_text(json.dumps(description))
    with pytest.raises((ResultError, StoreError), match=f"{lie.split('/')[-1]}"):
        process_recording(lite, _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5))
    assert rows(lite, m.Publication, kind="processing") == []


def test_result_that_lost_a_file_is_not_loaded(lite: Archive, lite_task: TaskKey, computed: Path) -> None:
    shutil.rmtree(computed / "arrays.zarr/fluorescence/c")
    with pytest.raises(ResultError, match="fluorescence/c/0/0 is missing"):
        process_recording(lite, _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5))
    assert rows(lite, m.Publication, kind="processing") == []


@pytest.mark.parametrize("method", ["cnmfe_deconvolution", "cnmfe_dff"])
def test_activity_of_an_unknown_method_is_refused_before_publishing(
    lite: Archive, lite_task: TaskKey, raw: Path, engine: StandIn, method: str
) -> None:
    arrays = engine.arrays() | {"dff": np.ones((6, 30))}
    write_result(ResultWriter(raw / "subject1/results"), boxes(), arrays, CnmfeParameters(min_snr=4.5))
    task = _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5)
    with lite.database.session() as session:
        row = m.get(session, m.ActivityExtractionMethod, extraction_method=method)
        row.extraction_method = "renamed"
    with pytest.raises(ResultError, match=f"got activity method {method}, expected one of caiman_deconvolution"):
        process_recording(lite, task)
    assert rows(lite, m.Publication, kind="processing") == []
    with lite.database.session() as session:
        m.get(session, m.ActivityExtractionMethod, extraction_method="renamed").extraction_method = method
    assert process_recording(lite, task).changed


def test_result_of_other_parameters_than_the_set_says_is_refused(
    lite: Archive, lite_task: TaskKey, computed: Path
) -> None:
    task = _load_task(lite, lite_task.recording, "subject1/results", min_snr=3.5)
    with pytest.raises(ResultError, match=r"computed with min_snr 4\.5 \(expected 3\.5\)"):
        process_recording(lite, task)


def test_result_of_another_method_is_refused(lite: Archive, lite_task: TaskKey, computed: Path) -> None:
    task = add_task(lite, lite_task.recording, add_parameter_set(lite, "caiman", {}), TaskMode.LOAD, "subject1/results")
    with pytest.raises(ResultError, match="got method cnmfe, expected caiman"):
        process_recording(lite, task)


def test_folder_without_a_finished_result_is_refused(lite: Archive, lite_task: TaskKey, computed: Path) -> None:
    (computed / "result.json").unlink()
    task = _load_task(lite, lite_task.recording, "subject1/results", min_snr=4.5)
    with pytest.raises(ResultError, match="No finished result"):
        process_recording(lite, task)
    assert "No finished result" in [row["error"] for row in rows(lite, m.ProcessingTask)][1]


def test_folder_that_is_away_is_refused(lite: Archive, lite_task: TaskKey) -> None:
    task = _load_task(lite, lite_task.recording, "subject1/nowhere", min_snr=4.5)
    with pytest.raises(RecordingNotFoundError, match="subject1/nowhere"):
        process_recording(lite, task)


def test_result_is_published_by_settings_with_other_roots(lite: Archive, lite_task: TaskKey, raw: Path) -> None:
    moved = raw.rename(raw.with_name("moved"))
    with Archive.open(settings_for(lite.settings.home, raw_roots=[moved])) as archive:
        assert process_recording(archive, lite_task).changed
