"""The workspace: everything by the keys people type, tables as pandas, arrays as NumPy, and it changes nothing."""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from miniscope_core import Workspace
from miniscope_core import models as m
from miniscope_core.errors import DatabaseError, EntityError, NotFoundError, StoreError
from miniscope_core.models import CurationKey, SubjectKey, as_key
from miniscope_core.pipeline import engines
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameter_set, add_task, process_recording
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.storage.archive import Archive
from tests.archives import BOXES, FRAMES, HEIGHT, WIDTH, StandIn, settings_for, snapshot, stand_in_arrays, write_session

RECORDING = "subject1/2021-01-01T00:00:01/0"
TASK = f"{RECORDING}/0"
CURATION = f"{TASK}/0"
ARRAYS = stand_in_arrays()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """Run a recording through the pipeline, and ingest another of another subject."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "miniscope.db")
    with pytest.MonkeyPatch.context() as patch, Archive.open(settings_for(home)) as archive:
        patch.setitem(engines.ENGINES, "cnmfe", lambda settings: StandIn())  # type: ignore[arg-type]
        key = ingest_recording(archive, write_session(home / "raw", metadata={"ewl": 3})).key
        ingest_recording(archive, write_session(home / "raw", "b", seed=1), IngestOptions(subject="subject2"))
        task = add_task(archive, key, add_parameter_set(archive, "cnmfe", {}, "defaults"))
        process_recording(archive, task)
        extract_traces(archive, curate_processing(archive, task).key)
    return home


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    with Workspace(settings_for(home)) as workspace:
        yield workspace


# -- tables -----------------------------------------------------------------------------------------------------------
def test_browsing_goes_from_subjects_to_curations(workspace: Workspace) -> None:
    assert workspace.subjects().subject.tolist() == ["subject1", "subject2"]
    assert workspace.sessions("subject1").session_datetime.tolist() == [pd.Timestamp("2021-01-01 00:00:01")]
    assert len(workspace.sessions()) == 2
    assert workspace.parameter_sets()[["paramset_id", "paramset_desc"]].to_numpy().tolist() == [[0, "defaults"]]
    assert len(workspace.tasks()) == len(workspace.processings(TASK)) == len(workspace.curations(RECORDING)) == 1
    assert workspace.tasks("subject2").empty
    assert workspace.files(RECORDING).file_path.str.endswith("0.avi").sum() == 1


def test_recordings_stand_with_their_facts(workspace: Workspace) -> None:
    recordings = workspace.recordings()
    assert len(recordings) == 2
    first = recordings.iloc[0]
    assert (first.nframes, first.px_height, first.px_width, first.fps) == (FRAMES, HEIGHT, WIDTH, pytest.approx(20))
    assert first.acquisition_software == "Miniscope-DAQ-V4"
    assert len(workspace.recordings("subject2")) == 1


def test_masks_stand_with_their_quality_type_and_acceptance(workspace: Workspace) -> None:
    masks = workspace.masks(CURATION)
    assert masks.mask_id.tolist() == list(range(6))
    assert masks.mask_npix.tolist() == [height * width for _, _, height, width in BOXES]
    assert masks.accepted.tolist() == ARRAYS["accepted"].tolist()
    assert masks.accepted.dtype == bool
    assert masks.mask_type.tolist() == ["soma", "unknown", "soma", "unknown", "unknown", "soma"]
    assert np.allclose(masks.snr, ARRAYS["snr"], equal_nan=True)
    assert masks[masks.accepted & (masks.snr > 4)].mask_id.tolist() == [2, 3, 4]
    assert not any(name.startswith("array") for name in masks.columns)


def test_classification_of_one_mask(workspace: Workspace) -> None:
    row = workspace.classification(CURATION, 3)
    assert row[["mask_id", "mask_classification_method", "mask_type"]].to_numpy().tolist() == [
        [3, "cnmfe_default_classifier", "unknown"]
    ]
    assert np.isnan(row.confidence[0])


def test_tables_narrow_by_key_and_by_column(workspace: Workspace) -> None:
    assert len(workspace.table("Mask", CURATION, mask_npix=144)) == 1
    assert len(workspace.table(m.Mask, "subject1")) == 6
    assert len(workspace.table(m.Mask, SubjectKey(subject="subject2"))) == 0
    assert len(workspace.table("RecordingFile", RECORDING, role="video")) == 1


@pytest.mark.parametrize("entity", m.entities(), ids=lambda entity: entity.__name__)
def test_columns_have_the_same_types_in_an_empty_table(workspace: Workspace, entity: type[m.Entity]) -> None:
    full = workspace.table(entity)
    labels = [item.label for item in m.natural_columns(entity)]
    empty = workspace.table(entity, **{labels[0]: "nothing" if full[labels[0]].dtype == object else -1})
    assert empty.empty
    assert list(empty.columns) == list(full.columns)
    kinds = {name: full[name].dtype for name in full.columns if full[name].dtype.kind in "fMbi"}
    assert {name: empty[name].dtype for name in kinds} == kinds


def test_one_row_is_a_dictionary_of_plain_values(workspace: Workspace) -> None:
    row = workspace.fetch1("RecordingInfo", RECORDING)
    assert row["nframes"] == FRAMES
    assert type(row["nframes"]) is int
    assert row["um_height"] is None
    assert row["session_datetime"] == datetime(2021, 1, 1, 0, 0, 1)
    assert workspace.fetch1("Mask", CURATION, mask_id=2)["mask_npix"] == 154


def test_keys_are_taken_as_text_and_as_keys(workspace: Workspace) -> None:
    key = as_key(CURATION, CurationKey)
    assert workspace.masks(key).equals(workspace.masks(CURATION))
    assert np.array_equal(workspace.timestamps_s(key.task.recording), workspace.timestamps_s(RECORDING))
    assert workspace.result(key).unit_count == workspace.result(TASK).unit_count == 6


# -- arrays -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["template", "average", "max", "correlation", "pnr"])
def test_images_are_those_of_the_result(workspace: Workspace, name: str) -> None:
    assert np.allclose(workspace.image(CURATION, name), ARRAYS[f"image_{name}"])


def test_shifts_are_dy_then_dx(workspace: Workspace) -> None:
    assert np.allclose(workspace.shifts_px(CURATION), ARRAYS["shifts_px"])


def test_traces_stand_against_the_frame_clock_with_their_unit(workspace: Workspace) -> None:
    for trace, name in (
        (workspace.fluorescence(CURATION, 2), "fluorescence"),
        (workspace.denoised(CURATION, 2), "traces"),
        (workspace.activity(CURATION, 2), "activity"),
    ):
        assert np.array_equal(trace.values, ARRAYS[name][2].astype(np.float32))
        assert np.array_equal(trace.time_s, workspace.timestamps_s(RECORDING))
        assert trace.unit == "a.u."
    assert trace.time_s[0] == pytest.approx(-0.003)


def test_footprints_come_whole_or_in_the_order_asked_for(workspace: Workspace) -> None:
    assert workspace.footprints(CURATION).shape == (6, HEIGHT * WIDTH)
    some = workspace.footprints(CURATION, [2, 0])
    assert some.sum(axis=1).tolist() == [154, 144]
    image = workspace.footprint(CURATION, 2)
    y, x, height, width = BOXES[2]
    assert image.shape == (HEIGHT, WIDTH)
    assert image[y : y + height, x : x + width].all()
    assert image.sum() == height * width


def test_a_publication_is_opened_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.fluorescence(CURATION, 0)
    monkeypatch.setattr("miniscope_core.workspace.open_published", lambda *_: pytest.fail("opened again"))
    workspace.fluorescence(CURATION, 1)


def test_nothing_is_changed_by_looking(workspace: Workspace, home: Path) -> None:
    with Archive.open(settings_for(home), create=False) as archive:
        before = snapshot(archive)
        workspace.masks(CURATION)
        workspace.image(CURATION)
        assert snapshot(archive) == before


# -- errors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ask", "error", "expected"),
    [
        (lambda w: w.table("Masks"), EntityError, "Unknown entity 'Masks': expected one of"),
        (lambda w: w.table("Mask", size=3), EntityError, "Mask has no column 'size'"),
        (lambda w: w.table("ProcessingParamSet", RECORDING), EntityError, "has no column 'subject'"),
        (lambda w: w.table("Mask", "subject1/yesterday"), EntityError, "yesterday"),
        (lambda w: w.fetch1("Mask", CURATION), EntityError, r"6 rows of Mask at .*: add mask_id\."),
        (lambda w: w.fetch1("Mask", CURATION, mask_id=6), NotFoundError, f"No Mask at {CURATION}, mask_id 6"),
        (lambda w: w.masks(TASK), EntityError, "got 4 parts"),
        (lambda w: w.masks(f"{TASK}/1"), NotFoundError, f"No Segmentation at {TASK}/1"),
        (lambda w: w.classification(CURATION, 99), NotFoundError, "mask_id 99"),
        (lambda w: w.image(CURATION, "mean"), EntityError, "Unknown image 'mean': expected one of template"),
        (lambda w: w.image(f"{TASK}/1"), NotFoundError, "curation_id 1"),
        (lambda w: w.timestamps_s("subject9/2021-01-01T00:00:01/0"), NotFoundError, "subject9"),
        (lambda w: w.head_orientation(RECORDING), NotFoundError, "HeadOrientation"),
        (lambda w: w.fluorescence(CURATION, 99), NotFoundError, "mask_id 99"),
        (lambda w: w.activity(CURATION, 0, "cnmfe_dff"), NotFoundError, "cnmfe_dff"),
        (lambda w: w.footprint(CURATION, -1), NotFoundError, "mask_id -1: it has 6 masks"),
        (lambda w: w.footprints(CURATION, [0, 6]), NotFoundError, "mask_id 6"),
        (lambda w: w.result(f"{RECORDING}/5"), NotFoundError, "paramset_id 5"),
        (lambda w: w.result(RECORDING), EntityError, "got 3 parts"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    workspace: Workspace, ask: Any, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected) as caught:
        ask(workspace)
    assert "\n" not in str(caught.value)


def test_workspace_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="ingest a recording first"):
        Workspace(settings_for(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_store_that_lost_an_object_is_not_read_as_zeros(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    (shard,) = (copy / "store").glob("objects/*/processing/*/arrays.zarr/fluorescence/c/0/0")
    shard.unlink()
    with Workspace(settings_for(copy)) as workspace:
        for ask in (lambda: workspace.fluorescence(CURATION, 0), lambda: workspace.footprints(CURATION)):
            with pytest.raises(StoreError, match="Damaged publication"):
                ask()
        assert len(workspace.masks(CURATION)) == 6


def test_store_that_is_away_is_one_clear_line(home: Path, tmp_path: Path) -> None:
    with Workspace(settings_for(home, store_url=str(tmp_path / "unplugged"))) as workspace:
        with pytest.raises(StoreError, match="unplugged") as caught:
            workspace.timestamps_s(RECORDING)
        assert "\n" not in str(caught.value)
        assert len(workspace.masks(CURATION)) == 6


def test_it_prints_where_it_looks(workspace: Workspace, home: Path) -> None:
    assert str(home / "miniscope.db") in repr(workspace)
    assert str(home / "store") in repr(workspace)
