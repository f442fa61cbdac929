"""Curation: one decision per policy and processing, kept with every unit."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core import models as m
from miniscope_core.curation.policies import AcceptEngine
from miniscope_core.errors import NotFoundError, StoreError
from miniscope_core.models import CurationKey, TaskKey
from miniscope_core.pipeline import curate
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.process import process_recording
from miniscope_core.result import ProcessingResult
from miniscope_core.storage.archive import Archive
from tests.archives import StandIn, rows, snapshot


def test_first_curation_is_number_0_and_takes_the_engines_acceptance(
    archive: Archive, task: TaskKey, engine: StandIn
) -> None:
    process_recording(archive, task)
    done = curate_processing(archive, task)
    assert (str(done.key), done.changed) == (f"{task}/0", True)
    assert (done.unit_count, done.accepted_count) == (6, 5)
    (row,) = rows(archive, m.Curation)
    assert (row["manual_curation"], row["curator"]) == (False, "accept_engine")
    assert row["policy"] == {"kind": "accept_engine"}
    assert row["curation_output_dir"] in archive.store.prefixes()
    assert row["parent_curation"] is None
    assert abs(datetime.now(UTC) - row["curation_time"]) < timedelta(minutes=5)
    units = rows(archive, m.CurationUnit)
    assert [unit["unit_id"] for unit in units] == list(range(6))
    assert [unit["accepted"] for unit in units] == engine.arrays()["accepted"].tolist()


def test_curating_again_by_the_same_policy_changes_nothing(archive: Archive, curation: CurationKey) -> None:
    before = snapshot(archive)
    again = curate_processing(archive, curation.task)
    assert (again.key, again.changed, again.unit_count, again.accepted_count) == (curation, False, 6, 5)
    assert again.message.startswith("Unchanged")
    assert snapshot(archive) == before


def test_another_decision_is_the_next_number_and_leaves_the_first(
    lite: Archive, lite_task: TaskKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_recording(lite, lite_task)
    first = curate_processing(lite, lite_task).key
    with lite.database.session() as session:
        curate.get(session, m.Curation, **first.columns).manual_curation = True
    second = curate_processing(lite, lite_task).key
    assert (first.curation_id, second.curation_id) == (0, 1)
    assert len(rows(lite, m.CurationUnit)) == 12


def test_two_runs_that_decide_at_once_make_one_curation(
    archive: Archive, task: TaskKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_recording(archive, task)
    decide = curate.decide

    def decide_late(policy: AcceptEngine, result: ProcessingResult) -> NDArray[np.bool_]:
        monkeypatch.setattr(curate, "decide", decide)
        curate_processing(archive, task)
        return decide(policy, result)

    monkeypatch.setattr(curate, "decide", decide_late)
    assert not curate_processing(archive, task).changed
    assert len(rows(archive, m.Curation)) == 1


def test_what_was_not_processed_cannot_be_curated(lite: Archive, lite_task: TaskKey) -> None:
    with pytest.raises(NotFoundError, match="Processing"):
        curate_processing(lite, lite_task)


def test_result_that_cannot_be_read_leaves_no_curation(lite: Archive, lite_task: TaskKey) -> None:
    process_recording(lite, lite_task)
    before = snapshot(lite)
    (shard,) = Path(lite.settings.store_url).glob("objects/*/processing/*/arrays.zarr/accepted/c/0")
    shard.write_bytes(b"\x00" * shard.stat().st_size)
    with pytest.raises(StoreError, match="processing/") as caught:
        curate_processing(lite, lite_task)
    assert "\n" not in str(caught.value)
    assert snapshot(lite) == before


def test_publication_with_a_lost_object_is_refused_instead_of_read_as_zeros(lite: Archive, lite_task: TaskKey) -> None:
    process_recording(lite, lite_task)
    (shard,) = Path(lite.settings.store_url).glob("objects/*/processing/*/arrays.zarr/accepted/c/0")
    shard.unlink()
    with pytest.raises(StoreError, match=r"Damaged publication at .*: got \d+ objects"):
        curate_processing(lite, lite_task)
    assert rows(lite, m.Curation) == []


def test_no_units_are_a_curation_of_none(lite: Archive, lite_task: TaskKey, engine: StandIn) -> None:
    engine.footprints = engine.footprints[:0]
    process_recording(lite, lite_task)
    done = curate_processing(lite, lite_task)
    assert (done.changed, done.unit_count, done.accepted_count) == (True, 0, 0)
    assert not curate_processing(lite, lite_task).changed
