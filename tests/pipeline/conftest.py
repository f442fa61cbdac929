"""Fixtures of the pipeline's tests: an archive on each database, a recording below a raw root, a stand-in engine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from miniscope_core.models import CurationKey, RecordingKey, TaskKey
from miniscope_core.pipeline import engines
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameter_set, add_task, process_recording
from miniscope_core.storage.archive import Archive
from tests.archives import StandIn, settings_for, write_session


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return the stand-in that takes the place of the built-in engine."""
    stand_in = StandIn()
    monkeypatch.setitem(engines.ENGINES, "cnmfe", lambda settings: stand_in)  # type: ignore[arg-type]
    return stand_in


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Return the raw root."""
    return tmp_path / "raw"


@pytest.fixture
def device(raw: Path) -> Path:
    """Return the folder of a recording: raw/subject1/2021_01_01/00_00_01/My_V4_Miniscope."""
    return write_session(raw)


@pytest.fixture
def archive(database_url: str, tmp_path: Path) -> Iterator[Archive]:
    """Return a fresh archive, on each database."""
    with Archive.open(settings_for(tmp_path, database_url=database_url)) as archive:
        yield archive


@pytest.fixture
def lite(sqlite_template: Path, tmp_path: Path) -> Iterator[Archive]:
    """Return a fresh archive on SQLite, where the database makes no difference."""
    shutil.copyfile(sqlite_template, tmp_path / "miniscope.db")
    with Archive.open(settings_for(tmp_path)) as archive:
        yield archive


@pytest.fixture
def recording(archive: Archive, device: Path) -> RecordingKey:
    """Ingest the recording."""
    return ingest_recording(archive, device).key


@pytest.fixture
def task(archive: Archive, recording: RecordingKey, engine: StandIn) -> TaskKey:
    """Plan to process the recording with the default parameters."""
    return add_task(archive, recording, add_parameter_set(archive, "cnmfe", {}))


@pytest.fixture
def curation(archive: Archive, task: TaskKey) -> CurationKey:
    """Process and curate the recording."""
    process_recording(archive, task)
    return curate_processing(archive, task).key


@pytest.fixture
def lite_task(lite: Archive, device: Path, engine: StandIn) -> TaskKey:
    """Ingest the recording and plan to process it, on SQLite."""
    key = ingest_recording(lite, device).key
    return add_task(lite, key, add_parameter_set(lite, "cnmfe", {}))


@pytest.fixture
def lite_curation(lite: Archive, lite_task: TaskKey) -> CurationKey:
    """Process and curate the recording, on SQLite."""
    process_recording(lite, lite_task)
    return curate_processing(lite, lite_task).key
