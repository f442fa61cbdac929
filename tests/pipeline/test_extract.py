"""Extraction: rows that say the same as the arrays, with y and x where they belong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from scipy.stats import skew

from miniscope_core import models as m
from miniscope_core.errors import NotFoundError, StoreError
from miniscope_core.models import CurationKey, TaskKey, TaskMode
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.pipeline import extract
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.process import add_parameter_set, add_task, process_recording
from miniscope_core.result import ProcessingResult, ResultWriter
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import BOXES, FRAMES, HEIGHT, WIDTH, StandIn, boxes, rows, snapshot, write_result

RESULTS = (m.MotionCorrection, m.Segmentation, m.Mask, m.Fluorescence, m.FluorescenceTrace, m.Activity, m.ActivityTrace)


def extracted(archive: Archive, task: TaskKey) -> CurationKey:
    process_recording(archive, task)
    key = curate_processing(archive, task).key
    extract_traces(archive, key)
    return key


def one(archive: Archive, entity: type[m.Entity]) -> dict[str, Any]:
    (row,) = rows(archive, entity)
    return row


# -- masks --------------------------------------------------------------------------------------------------------
def test_masks_have_the_size_and_centre_of_their_footprints(archive: Archive, curation: CurationKey) -> None:
    done = extract_traces(archive, curation)
    assert (done.changed, done.mask_count) == (True, 6)
    masks = rows(archive, m.Mask)
    assert [mask["mask_id"] for mask in masks] == list(range(6))
    for mask, (y, x, height, width) in zip(masks, BOXES, strict=True):
        assert mask["mask_npix"] == height * width
        assert mask["mask_center_y"] == pytest.approx(y + (height - 1) / 2)
        assert mask["mask_center_x"] == pytest.approx(x + (width - 1) / 2)
        assert (mask["array_name"], mask["array_row"], mask["segmentation_channel"]) == (
            "footprints",
            mask["mask_id"],
            0,
        )


def test_masks_above_130_pixels_are_one_query_that_reads_no_array(
    archive: Archive, curation: CurationKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract_traces(archive, curation)
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda *_: pytest.fail("an array was read"))
    monkeypatch.setattr(zarr, "open_group", lambda *_, **__: pytest.fail("a group was opened"))
    query = m.natural_select(m.Mask, **curation.columns)
    with archive.database.session() as session:
        large = session.execute(query.where(query.selected_columns["mask_npix"] > 130)).mappings().all()
    assert [row["mask_id"] for row in large] == [0, 2]
    with Workspace(archive.settings) as workspace:
        masks = workspace.masks(curation)
    assert masks.mask_id[masks.mask_npix > 130].tolist() == [0, 2]


def test_only_accepted_units_of_a_cells_size_and_roundness_are_somata(
    lite: Archive, lite_curation: CurationKey
) -> None:
    extract_traces(lite, lite_curation)
    kinds = {row["mask_id"]: row["mask_type"] for row in rows(lite, m.MaskClassificationType)}
    # 1 was not accepted, 3 is a bar, 4 a single pixel
    assert kinds == {0: "soma", 1: "unknown", 2: "soma", 3: "unknown", 4: "unknown", 5: "soma"}
    row = rows(lite, m.MaskClassificationType)[0]
    assert (row["mask_classification_method"], row["confidence"]) == ("cnmfe_default_classifier", None)


def test_nobody_is_called_a_soma_where_the_size_of_a_cell_is_unknown(
    lite: Archive, lite_task: TaskKey, engine: StandIn
) -> None:
    engine.info = {"cell_diameter_px": None}
    extracted(lite, lite_task)
    assert {row["mask_type"] for row in rows(lite, m.MaskClassificationType)} == {"unknown"}


def test_empty_footprint_has_no_centre(lite: Archive, lite_task: TaskKey, engine: StandIn) -> None:
    engine.footprints = boxes(((3, 5, 12, 12), (0, 0, 0, 0)))
    extracted(lite, lite_task)
    empty = rows(lite, m.Mask)[1]
    assert (empty["mask_npix"], empty["mask_center_y"], empty["mask_center_x"]) == (0, None, None)


# -- traces and quality ----------------------------------------------------------------------------------------------
def test_traces_name_their_array_and_row(lite: Archive, lite_curation: CurationKey) -> None:
    extract_traces(lite, lite_curation)
    for mask_id, row in enumerate(rows(lite, m.FluorescenceTrace)):
        assert (row["mask_id"], row["array_name"], row["array_row"]) == (mask_id, "fluorescence", mask_id)
        assert (row["denoised_name"], row["neuropil_fluorescence_name"]) == ("traces", None)
    for mask_id, row in enumerate(rows(lite, m.ActivityTrace)):
        assert (row["mask_id"], row["array_name"], row["array_row"]) == (mask_id, "activity", mask_id)
        assert (row["extraction_method"], row["unit"]) == ("cnmfe_deconvolution", "a.u.")


def test_change_over_baseline_is_an_activity_of_its_own_where_the_engine_defines_it(
    lite: Archive, lite_task: TaskKey, engine: StandIn
) -> None:
    engine.changes = {"dff": np.full((6, FRAMES), 0.25), "neuropil": np.ones((6, FRAMES))}
    key = extracted(lite, lite_task)
    assert len(rows(lite, m.ActivityTrace)) == 12
    assert {row["neuropil_fluorescence_name"] for row in rows(lite, m.FluorescenceTrace)} == {"neuropil"}
    with Workspace(lite.settings) as workspace:
        dff = workspace.activity(key, 2, "cnmfe_dff")
        assert (dff.values == 0.25).all()
        assert dff.unit == "1"
        assert np.array_equal(workspace.activity(key, 2).values, engine.arrays()["activity"][2].astype(np.float32))


def test_quality_is_what_was_measured_and_null_where_nothing_was(
    archive: Archive, curation: CurationKey, engine: StandIn
) -> None:
    extract_traces(archive, curation)
    arrays = engine.arrays()
    fluorescence = arrays["fluorescence"].astype(np.float32).astype(float)
    for unit, row in enumerate(rows(archive, m.QualityMetrics)):
        assert row["variance"] == pytest.approx(fluorescence[unit].var())
        assert row["skewness"] == pytest.approx(skew(fluorescence[unit]))
        assert row["r_value"] == pytest.approx(arrays["r_value"][unit])
        assert row["noise"] == pytest.approx(arrays["noise"][unit])
        assert row["npix"] == BOXES[unit][2] * BOXES[unit][3]
        assert (row["cnn_pred"], row["baseline"], row["decay_time_s"]) == (None, None, None)
    snr = [row["snr"] for row in rows(archive, m.QualityMetrics)]
    assert snr[:5] == pytest.approx(arrays["snr"][:5])
    assert snr[5] is None


def test_metric_that_is_not_a_number_is_found_by_no_comparison(archive: Archive, curation: CurationKey) -> None:
    extract_traces(archive, curation)
    query = m.natural_select(m.QualityMetrics)
    snr = query.selected_columns["snr"]
    with archive.database.session() as session:
        assert {row.mask_id for row in session.execute(query.where(snr > 3))} == {1, 2, 3, 4}
        assert {row.mask_id for row in session.execute(query.where(snr.is_(None)))} == {5}


# -- motion correction ----------------------------------------------------------------------------------------------
def test_rigid_shifts_have_their_spread_along_y_and_x(
    lite: Archive, lite_curation: CurationKey, engine: StandIn
) -> None:
    extract_traces(lite, lite_curation)
    y_std, x_std = engine.arrays()["shifts_px"].std(axis=0)
    row = one(lite, m.RigidMotionCorrection)
    assert (row["y_std"], row["x_std"]) == (pytest.approx(y_std, rel=1e-5), pytest.approx(x_std, rel=1e-5))
    assert y_std > 2 * x_std
    assert (row["shifts_name"], row["outlier_frames_name"]) == ("shifts_px", None)
    assert one(lite, m.MotionCorrection)["motion_correct_channel"] == 0
    assert rows(lite, m.NonRigidMotionCorrection) == rows(lite, m.Block) == []


def test_summary_images_stand_under_their_own_names(lite: Archive, lite_curation: CurationKey) -> None:
    extract_traces(lite, lite_curation)
    row = one(lite, m.MotionCorrectionSummary)
    names = {name.removesuffix("_name"): value for name, value in row.items() if name.endswith("_image_name")}
    assert names == {
        "ref_image": "image_template",
        "average_image": "image_average",
        "correlation_image": "image_correlation",
        "max_proj_image": "image_max",
        "pnr_image": "image_pnr",
    }


@pytest.fixture
def piecewise(archive: Archive, task: TaskKey, raw: Path, engine: StandIn) -> CurationKey:
    """Load, curate and extract a result that was corrected in 2 × 3 blocks."""
    ranges = [(y, y + 20, x, x + 20) for y in (0, 20) for x in (0, 18, 36)]
    shifts = np.random.default_rng(1).normal(size=(6, FRAMES, 2)) * np.arange(1, 7)[:, None, None] * (2, 1)
    arrays = engine.arrays() | {
        "block_ranges_px": np.array(ranges),
        "block_shifts_px": shifts,
        "shifts_px": shifts.mean(axis=0),
        "outlier_frames": np.array([3, 7]),
    }
    engine.changes = arrays
    write_result(ResultWriter(raw / "results"), boxes(), arrays)
    number = add_parameter_set(archive, "cnmfe", CnmfeParameters().model_dump(exclude={"method"}))
    return extracted(archive, add_task(archive, task.recording, number, TaskMode.LOAD, "results"))


def test_blocks_of_a_piecewise_correction_have_their_ranges_and_spread(
    archive: Archive, piecewise: CurationKey, engine: StandIn
) -> None:
    row = one(archive, m.NonRigidMotionCorrection)
    assert (row["block_height"], row["block_width"]) == (20, 20)
    assert (row["block_count_y"], row["block_count_x"]) == (2, 3)
    assert row["outlier_frames_name"] == "outlier_frames"
    assert rows(archive, m.RigidMotionCorrection) == []
    shifts = engine.arrays()["block_shifts_px"]
    blocks = rows(archive, m.Block)
    assert [block["block_id"] for block in blocks] == list(range(6))
    for block in blocks:
        index = block["array_index"]
        got = [block[f"block_{axis}_{end}"] for axis in "yx" for end in ("start", "stop")]
        assert got == list(engine.arrays()["block_ranges_px"][index])
        assert (block["y_std"], block["x_std"]) == pytest.approx(tuple(shifts[index].std(axis=0)), rel=1e-5)
        assert block["shifts_name"] == "block_shifts_px"


# -- once, all or nothing ------------------------------------------------------------------------------------------
def test_extracting_again_changes_nothing(archive: Archive, curation: CurationKey) -> None:
    extract_traces(archive, curation)
    before = snapshot(archive)
    again = extract_traces(archive, curation)
    assert (again.changed, again.mask_count) == (False, 6)
    assert again.message.startswith("Unchanged")
    assert snapshot(archive) == before


def test_two_runs_that_extract_at_once_write_the_rows_once(
    archive: Archive, curation: CurationKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = extract._measure

    def measure_late(*arguments: Any) -> Any:
        monkeypatch.setattr(extract, "_measure", measure)
        extract_traces(archive, curation)
        return measure(*arguments)

    monkeypatch.setattr(extract, "_measure", measure_late)
    assert not extract_traces(archive, curation).changed
    assert len(rows(archive, m.Mask)) == 6


def test_failure_half_way_leaves_no_row(
    archive: Archive, curation: CurationKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(archive)
    monkeypatch.setattr(extract._Rows, "_add_quality", lambda *_: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        extract_traces(archive, curation)
    assert snapshot(archive) == before


def test_store_that_fails_while_it_is_read_leaves_no_row(
    lite: Archive, lite_task: TaskKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_recording(lite, lite_task)
    key = curate_processing(lite, lite_task).key
    before = snapshot(lite)
    array = ProcessingResult.array

    def fail(self: ProcessingResult, name: str) -> Any:
        if name == "fluorescence":
            raise ConnectionResetError("reset by the service")
        return array(self, name)

    monkeypatch.setattr(ProcessingResult, "array", fail)
    with pytest.raises(StoreError, match="reset by the service"):
        extract_traces(lite, key)
    assert snapshot(lite) == before


def test_no_units_are_an_extraction_of_none(archive: Archive, task: TaskKey, engine: StandIn) -> None:
    engine.footprints = engine.footprints[:0]
    key = extracted(archive, task)
    assert not extract_traces(archive, key).changed
    assert rows(archive, m.Mask) == []
    assert len(rows(archive, m.Segmentation)) == len(rows(archive, m.MotionCorrectionSummary)) == 1
    with Workspace(archive.settings) as workspace:
        assert workspace.masks(key).empty
        assert workspace.footprints(key).shape == (0, HEIGHT * WIDTH)


def test_unknown_curation_is_refused(lite: Archive, lite_task: TaskKey) -> None:
    with pytest.raises(NotFoundError, match="Curation"):
        extract_traces(lite, CurationKey(task=lite_task, curation_id=0))


def test_progress_tells_the_units(lite: Archive, lite_task: TaskKey) -> None:
    process_recording(lite, lite_task)
    calls: list[tuple[str, int, int]] = []
    extract_traces(lite, curate_processing(lite, lite_task).key, lambda *call: calls.append(call))
    assert calls == [("extraction", 6, 6)]


# -- memory ----------------------------------------------------------------------------------------------------------
class Watched:
    """An array that notes how much is asked of it at once."""

    def __init__(self, values: NDArray[Any], sizes: list[int]) -> None:
        self.shape, self._values, self._sizes = values.shape, values, sizes

    def __getitem__(self, index: Any) -> NDArray[Any]:
        got = np.asarray(self._values[index])
        self._sizes.append(got.size)
        return got


@pytest.mark.parametrize("frames", [1, 7, 100])
def test_spread_of_shifts_is_the_same_however_many_frames_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    monkeypatch.setattr(extract, "_VALUES_AT_ONCE", 120)
    shifts = 1e3 + np.random.default_rng(0).normal(size=(5, frames, 2))
    sizes: list[int] = []
    assert np.allclose(extract._std(Watched(shifts, sizes)), shifts.std(axis=1), rtol=1e-9, atol=1e-12)
    assert max(sizes) <= 120
    assert len(sizes) == -(-frames // 12)
    assert np.allclose(extract._std(shifts[0]), shifts[0].std(axis=0), atol=1e-12)


def test_fluorescence_of_a_long_recording_is_read_by_fewer_units(
    lite: Archive, lite_curation: CurationKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "_VALUES_AT_ONCE", 2 * FRAMES + 1)
    measure, sizes = extract.skewness_and_variance, []

    def watched(traces: NDArray[Any]) -> Any:
        sizes.append(len(traces))
        return measure(traces)

    monkeypatch.setattr(extract, "skewness_and_variance", watched)
    extract_traces(lite, lite_curation)
    assert sizes == [2, 2, 2]
