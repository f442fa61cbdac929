"""Loading what CaImAn saved: the file becomes a published result with its clock, or is refused before anything is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from miniscope_core import models as m
from miniscope_core.errors import MiniscopeError, ResultError
from miniscope_core.models import RecordingKey, TaskKey, TaskMode
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.loading import different_parameters
from miniscope_core.pipeline.process import add_parameter_set, add_task, process_recording
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import BOXES, FRAMES, HEIGHT, WIDTH, boxes, jobs, rows, settings_for
from tests.caiman_files import NONE, caiman_values, fortran, write_caiman

UNITS = len(BOXES)


def values(**changes: Any) -> dict[str, Any]:
    """Return a CaImAn file of the test recording, with the footprints of the stand-in engine."""
    rng = np.random.default_rng(3)
    pictures = boxes().toarray().reshape(UNITS, HEIGHT, WIDTH)
    pictures /= np.linalg.norm(pictures, axis=(1, 2), keepdims=True)
    own: dict[str, Any] = {
        "dims": np.array([HEIGHT, WIDTH]),
        "estimates/A": sp.csc_matrix(fortran(pictures)),
        **{f"estimates/{name}": rng.normal(size=(UNITS, FRAMES)) for name in ("C", "S", "YrA")},
        "estimates/b0": NONE,
        "estimates/SNR_comp": np.array([np.inf, np.nan, 3, 4, 5, 6]),
        "estimates/r_values": np.array([0.5, -1, 0.7, 0.8, 0.9, 1]),
        "estimates/idx_components": np.array([0, 4]),
        **{f"estimates/{name}": NONE for name in ("bl", "neurons_sn", "g")},
    }
    return caiman_values(**own | changes)


def load_task(archive: Archive, recording: RecordingKey, name: str, **params: Any) -> TaskKey:
    """Plan to load a CaImAn result."""
    return add_task(archive, recording, add_parameter_set(archive, "caiman", params), TaskMode.LOAD, name)


@pytest.fixture
def recording(lite: Archive, device: Path) -> RecordingKey:
    return ingest_recording(lite, device).key


@pytest.fixture
def folder(raw: Path) -> Path:
    path = raw / "subject1" / "caiman"
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("name", ["subject1/caiman/result.hdf5", "subject1/caiman"])
def test_caiman_file_or_its_folder_becomes_a_published_result(
    lite: Archive, recording: RecordingKey, folder: Path, name: str, tmp_path: Path
) -> None:
    write_caiman(folder / "result.hdf5", values())
    task = load_task(lite, recording, name)
    done = process_recording(lite, task)
    assert (done.unit_count, done.accepted_count) == (UNITS, 2)
    assert not process_recording(lite, task).changed
    curation = curate_processing(lite, task).key
    extract_traces(lite, curation)
    with Workspace(settings_for(tmp_path)) as workspace:
        masks = workspace.masks(curation)
        assert masks["mask_npix"].tolist() == [144, 100, 154, 60, 1, 121]
        assert masks["accepted"].tolist() == [True, False, False, False, True, False]
        assert masks["snr"].isna().tolist() == [False, True, False, False, False, False]
        assert masks["snr"][0] == np.inf
        assert masks["r_value"].isna().tolist() == [False, True, False, False, False, False]
        row = workspace.fetch1("Processing", task)
        assert (row["package"], row["package_version"], row["method"]) == ("caiman", "1.12.1", "caiman")
        assert any("result.hdf5" in note for note in row["notes"])
        assert any("Shifts are not known" in note for note in row["notes"])
        assert np.array_equal(workspace.result(task).timestamps_s, workspace.timestamps_s(recording))
        motion = workspace.fetch1("RigidMotionCorrection", curation)
        assert (motion["y_std"], motion["x_std"]) == (None, None)
    assert jobs(lite) == []


def test_detrended_and_change_over_baseline_are_activities_of_their_own_name(
    lite: Archive, recording: RecordingKey, folder: Path
) -> None:
    content = values()
    fluorescence = content["estimates/C"] + content["estimates/YrA"]
    some = {"b": fortran(np.ones((1, HEIGHT, WIDTH))), "f": np.ones((1, FRAMES))}
    write_caiman(folder / "dff.hdf5", content, F_dff=fluorescence / 50, **some)
    write_caiman(folder / "detrended.hdf5", content, F_dff=fluorescence - 1)
    for name, nonce in (("dff", 1), ("detrended", 2)):
        task = load_task(lite, recording, f"subject1/caiman/{name}.hdf5", nonce=nonce)
        process_recording(lite, task)
        key = curate_processing(lite, task).key
        extract_traces(lite, key)
        activity = rows(lite, m.Activity, paramset_id=task.paramset_id)
        assert {row["extraction_method"] for row in activity} == {"caiman_deconvolution", f"caiman_{name}"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("one.hdf5", "two.hdf5"), r"got one\.hdf5 and two\.hdf5, expected one file"),
        ((), "No CaImAn result in"),
    ],
)
def test_folder_without_exactly_one_result_is_refused(
    lite: Archive, recording: RecordingKey, folder: Path, files: tuple[str, ...], message: str
) -> None:
    for name in files:
        write_caiman(folder / name, values())
    with pytest.raises(ResultError, match=message):
        process_recording(lite, load_task(lite, recording, "subject1/caiman"))
    assert rows(lite, m.Publication, kind="processing") == []


def test_file_of_another_movie_is_refused(lite: Archive, recording: RecordingKey, folder: Path) -> None:
    write_caiman(folder / "result.hdf5")
    with pytest.raises(ResultError, match="got 30 frames of 7×11 px, expected 30 of 40×56 px"):
        process_recording(lite, load_task(lite, recording, "subject1/caiman"))
    assert jobs(lite) == []


def test_caiman_file_for_another_method_is_refused(lite: Archive, recording: RecordingKey, folder: Path) -> None:
    write_caiman(folder / "result.hdf5", values())
    number = add_parameter_set(lite, "cnmfe", {})
    task = add_task(lite, recording, number, TaskMode.LOAD, "subject1/caiman/result.hdf5")
    with pytest.raises(ResultError, match="got a file for method caiman, expected cnmfe"):
        process_recording(lite, task)


def test_damaged_file_is_refused_and_the_task_says_why(lite: Archive, recording: RecordingKey, folder: Path) -> None:
    whole = write_caiman(folder / "result.hdf5", values()).read_bytes()
    (folder / "result.hdf5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MiniscopeError, match="Is the copy complete"):
        process_recording(lite, load_task(lite, recording, "subject1/caiman"))
    assert "Is the copy complete" in rows(lite, m.ProcessingTask)[0]["error"]


def test_parameters_that_differ_from_the_set_are_noted(lite: Archive, recording: RecordingKey, folder: Path) -> None:
    write_caiman(folder / "result.hdf5", values())
    task = load_task(lite, recording, "subject1/caiman", gSig=[5, 5], fr=20)
    process_recording(lite, task)
    notes = rows(lite, m.Processing)[0]["notes"]
    assert [note for note in notes if "differs" in note] == [
        "The parameter set differs from the file: init.gSig: got [4, 4], expected [5, 5]"
    ]


@pytest.mark.parametrize(
    ("asked", "differences"),
    [
        ({}, 0),
        ({"gSig": (4, 4), "fr": 20, "unknown": 1}, 0),
        ({"gSig": 4.0, "K": None}, 0),
        ({"init": {"gSig": [4, 4], "p": 3}, "p": 7}, 2),
        ({"p": 1}, 0),
        ({"p": 2}, 2),
        ({"gSig": [4, 5], "fr": 10}, 2),
        ({"fnames": ["elsewhere.avi"]}, 0),
    ],
)
def test_parameters_are_compared_by_what_they_mean(asked: dict[str, Any], differences: int) -> None:
    used = {
        "data": {"fr": 20.0, "fnames": ["0.avi"]},
        "init": {"gSig": [4, 4], "K": None},
        "preprocess": {"p": 1},
        "temporal": {"p": 1},
    }
    assert len(different_parameters(asked, used)) == differences
