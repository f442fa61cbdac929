"""Cleaning through the whole pipeline: what was filled or cleaned is in the result, the database and the workspace."""

from pathlib import Path

import numpy as np
import pytest

from miniscope_core.errors import EngineError, ParameterError, ResultError
from miniscope_core.models import TaskKey, TaskMode
from miniscope_core.models.cleaning import Cleaning, Crop
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameters, add_task, compute, process_recording
from miniscope_core.pipeline.requests import checked_options
from miniscope_core.quality import GroundTruth, score_result
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import settings_for
from tests.formats import buffer_rows, write_mio
from tests.simulation import Simulated, simulate

BROKEN = [60, 61, 150]


@pytest.fixture(scope="module")
def scene() -> Simulated:
    return simulate(shape=(72, 96), frame_count=300, cell_count=8, seed=5)


@pytest.fixture
def torn(scene: Simulated, raw: Path) -> Path:
    """Write the scene as a wire-free recording that lost buffers of some frames, which came as noise."""
    movie = scene.movie.copy()
    movie[BROKEN, 20:50] = np.random.default_rng(0).integers(0, 256, (len(BROKEN), 30, 96))
    table = buffer_rows(len(movie))
    for row in table:
        if row["reconstructed_frame_index"] in BROKEN and row["buffer_count"] % 3 == 1:
            row["black_padding_px"] = 500
    raw.mkdir(parents=True, exist_ok=True)
    return write_mio(raw / "mouse.avi", movie, table)


def done(archive: Archive, folder: Path, parameters: CnmfeParameters) -> TaskKey:
    options = checked_options(subject="mouse", session_datetime="2024-05-17T10:23:45", clock="report")
    key = ingest_recording(archive, folder, options).key
    task = add_task(archive, key, add_parameters(archive, parameters))
    process_recording(archive, task)
    return task


def test_frames_the_format_calls_broken_are_no_data_from_reader_to_trace(
    lite: Archive, torn: Path, scene: Simulated
) -> None:
    task = done(lite, torn, CnmfeParameters(cell_diameter_px=10))
    curation = extract_traces(lite, curate_processing(lite, task).key).key
    with Workspace(lite.settings) as workspace:
        result = workspace.result(task)
        truth = GroundTruth.from_dense(scene.footprints, scene.traces, scene.spikes, scene.motion_px)
        assert score_result(result, truth).recall >= 0.75
        assert workspace.filled_frames(task).tolist() == workspace.filled_frames(curation).tolist() == BROKEN
        # The noise would be the brightest event of every pixel it covered.
        assert result.images["max"].max() < 1.5 * np.percentile(scene.movie, 99.99)
        mask = int(workspace.masks(curation)["mask_id"].iloc[0])
        fluorescence = workspace.fluorescence(curation, mask).values
        assert np.flatnonzero(np.isnan(fluorescence)).tolist() == BROKEN
        assert np.isfinite(workspace.denoised(curation, mask).values).all()
        (note,) = workspace.fetch1("Processing", task)["notes"]
        assert note == "3 of 300 frames are broken and were filled from their neighbours: 60–61, 150."


def test_a_cropped_and_binned_movie_is_published_in_its_own_pixels(lite: Archive, scene: Simulated, raw: Path) -> None:
    device = scene.write_v4(raw / "mouse")
    cleaning = Cleaning(crop=Crop(top=4, left=8, height=60, width=80), binning=2, stripes=True)
    task = done(lite, device, CnmfeParameters(cell_diameter_px=5, cleaning=cleaning))
    curation = extract_traces(lite, curate_processing(lite, task).key).key
    with Workspace(lite.settings) as workspace:
        assert workspace.image(curation, "average").shape == (30, 40)
        result = workspace.result(task)
        assert result.parameters["cleaning"] == cleaning.model_dump()
        assert result.read("cleaning_frame_before").shape == (30, 40)
        assert len(workspace.filled_frames(task)) == 0
        mask = int(workspace.masks(curation)["mask_id"].iloc[0])
        assert workspace.footprint(curation, mask).shape == (30, 40)
        assert np.isfinite(workspace.fluorescence(curation, mask).values).all()


def test_what_cannot_be_cropped_is_refused_and_leaves_nothing(scene: Simulated, tmp_path: Path) -> None:
    parameters = CnmfeParameters(cleaning=Cleaning(crop=Crop(top=0, left=0, height=73, width=10)))
    with pytest.raises(ParameterError, match=r"crop: got rows 0:73"):
        compute(scene.recording(), parameters, tmp_path / "out", settings_for(tmp_path))
    small = CnmfeParameters(cleaning=Cleaning(crop=Crop(top=0, left=0, height=20, width=20)))
    with pytest.raises(EngineError, match="cell_diameter_px"):
        compute(scene.recording(), small, tmp_path / "out", settings_for(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_the_whole_field_does_not_pass_for_a_cropped_one(
    lite: Archive, scene: Simulated, raw: Path, tmp_path: Path
) -> None:
    device = scene.write_v4(raw / "mouse")
    whole = CnmfeParameters(cell_diameter_px=10)
    compute(scene.recording(), whole, raw / "out", settings_for(tmp_path))
    cropped = whole.model_copy(update={"cleaning": Cleaning(crop=Crop(top=0, left=0, height=60, width=60))})
    options = checked_options(subject="mouse", session_datetime="2024-05-17T10:23:45")
    key = ingest_recording(lite, device, options).key
    task = add_task(lite, key, add_parameters(lite, cropped), TaskMode.LOAD, "out")
    with pytest.raises(ResultError, match=r"300 of 60×60 px"):
        process_recording(lite, task)
