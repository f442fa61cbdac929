"""All stages on a real PostgreSQL and a real S3 service, from a folder to a queried mask."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from miniscope_core import models as m
from miniscope_core.errors import StoreError
from miniscope_core.pipeline.collect import collect_garbage
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameter_set, add_task, pending_recordings, process_recording
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.faults import is_transient
from miniscope_core.workspace import Workspace
from tests.archives import HEIGHT, WIDTH, StandIn, jobs, rows, settings_for, snapshot
from tests.services import S3Service, s3_service


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Service]:
    with s3_service() as service:
        yield service


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def remote(database_url: str, s3: S3Service, tmp_path: Path) -> Iterator[Archive]:
    store_url = f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    settings = settings_for(tmp_path, database_url=database_url, store_url=store_url, store_options=s3.options)
    with Archive.open(settings) as archive:
        yield archive


def test_folder_becomes_queried_cells_once(remote: Archive, device: Path, engine: StandIn) -> None:
    for attempt in range(2):
        ingested = ingest_recording(remote, device)
        number = add_parameter_set(remote, "cnmfe", {})
        task = add_task(remote, ingested.key, number)
        processed = process_recording(remote, task)
        curated = curate_processing(remote, task)
        extracted = extract_traces(remote, curated.key)
        changed = [one.changed for one in (ingested, processed, curated, extracted)]
        assert changed == [attempt == 0] * 4
        if attempt == 0:
            before = snapshot(remote)
    assert snapshot(remote) == before
    assert engine.runs == 1
    assert pending_recordings(remote, number) == []
    assert jobs(remote) == []
    with Workspace(remote.settings) as workspace:
        masks = workspace.masks(str(curated.key))
        assert masks[masks.mask_npix > 130].mask_id.tolist() == [0, 2]
        trace = workspace.fluorescence(curated.key, 2)
        assert np.array_equal(trace.values, engine.arrays()["fluorescence"][2].astype(np.float32))
        assert workspace.image(curated.key).shape == (HEIGHT, WIDTH)


def test_publications_are_tens_of_objects(remote: Archive, device: Path, engine: StandIn) -> None:
    key = ingest_recording(remote, device).key
    process_recording(remote, add_task(remote, key, add_parameter_set(remote, "cnmfe", {})))
    counts = {row["kind"]: row["object_count"] for row in rows(remote, m.Publication)}
    assert counts["recording"] <= 5
    assert counts["processing"] <= 45


def test_bucket_that_is_gone_is_one_clear_line(remote: Archive, s3: S3Service, device: Path) -> None:
    settings = remote.settings.model_copy(update={"store_url": "s3://no-such-bucket/x"})
    before = snapshot(remote)
    with Archive.open(settings) as archive, pytest.raises(StoreError, match="no-such-bucket") as caught:
        ingest_recording(archive, device)
    assert "\n" not in str(caught.value)
    assert not is_transient(caught.value)
    assert snapshot(remote) == before
    assert collect_garbage(remote) == []
