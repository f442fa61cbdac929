"""The demo that ships: copied whole or not at all, and true to its own truth."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from miniscope_core.demo import DEMO_SESSION, copy_demo, load_truth
from miniscope_core.errors import ConflictError


def decoded(device: Path) -> np.ndarray:
    frames = []
    for name in ("0.avi", "1.avi", "2.avi"):
        capture = cv2.VideoCapture(str(device / name))
        while (step := capture.read())[0]:
            frames.append(step[1][..., 0])
        capture.release()
    return np.stack(frames)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copy_is_a_session_folder_with_one_device(tmp_path: Path) -> None:
    session = copy_demo(tmp_path / "new" / "raw")
    assert session == tmp_path / "new" / "raw" / DEMO_SESSION
    assert json.loads((session / "metaData.json").read_text())["animalName"] == "demo_mouse"
    assert {path.name for path in session.iterdir()} == {"metaData.json", "notes.csv", "My_V4_Miniscope"}
    assert [path.name for path in (tmp_path / "new" / "raw").rglob(".demo-*")] == []


def test_copying_again_changes_nothing(tmp_path: Path) -> None:
    session = copy_demo(tmp_path)
    (session / ".DS_Store").write_text("a file browser was here")
    before = {path: path.stat().st_mtime_ns for path in session.rglob("*")}
    assert copy_demo(tmp_path) == session
    assert {path: path.stat().st_mtime_ns for path in session.rglob("*")} == before


@pytest.mark.parametrize("damage", ["changed", "missing", "extra", "file"])
def test_other_content_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    if damage == "file":
        session = tmp_path / DEMO_SESSION
        session.parent.mkdir(parents=True)
        session.write_text("mine")
    else:
        session = copy_demo(tmp_path)
        target = session / "My_V4_Miniscope" / {"extra": "3.avi"}.get(damage, "1.avi")
        if damage == "missing":
            target.unlink()
        else:
            target.write_bytes(b"mine")
    before = snapshot(tmp_path)
    with pytest.raises(ConflictError, match="10_23_45"):
        copy_demo(tmp_path)
    assert snapshot(tmp_path) == before


def test_a_copy_that_fails_leaves_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("miniscope_core.demo.shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        copy_demo(tmp_path)
    assert snapshot(tmp_path) == {}


def test_clock_has_one_row_per_frame_and_two_dropped_frames(tmp_path: Path) -> None:
    device = copy_demo(tmp_path) / "My_V4_Miniscope"
    rows = list(csv.DictReader((device / "timeStamps.csv").read_text().splitlines()))
    times = np.array([int(row["Time Stamp (ms)"]) for row in rows])
    numbers = np.array([int(row["DAQ Frame Number"]) for row in rows])
    assert len(rows) == len(decoded(device)) == load_truth().frame_count == 600
    assert np.median(np.diff(times)) == 50
    assert np.flatnonzero(np.diff(numbers) == 2).tolist() == np.flatnonzero(np.diff(times) > 90).tolist() == [210, 432]


def test_truth_is_about_this_movie(tmp_path: Path) -> None:
    """Weighted by a cell's trace the movie shows that cell, so neither axes, order nor frames are exchanged."""
    truth = load_truth()
    movie = decoded(copy_demo(tmp_path) / "My_V4_Miniscope").astype(np.float32)
    assert movie.shape[1:] == truth.shape == (104, 136)
    assert truth.motion_px is not None
    still = np.stack(
        [
            cv2.warpAffine(frame, np.array([[1, 0, -dx], [0, 1, -dy]]), truth.shape[::-1])
            for frame, (dy, dx) in zip(movie, truth.motion_px, strict=True)
        ]
    )
    still -= still.mean((1, 2), keepdims=True)
    fine = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) - cv2.GaussianBlur(frame, (0, 0), 9) for frame in still])
    weights = truth.traces - truth.traces.mean(1, keepdims=True)
    maps = np.tensordot(weights, fine - fine.mean(0), 1).reshape(truth.unit_count, -1)
    inside = np.zeros(truth.shape, bool)
    inside[8:-8, 8:-8] = True
    footprints = truth.footprints.toarray()
    hits = [
        footprints[unit, np.argmax(np.where(inside.ravel(), maps[unit], -np.inf))] > 0.5
        for unit in range(truth.unit_count)
        if footprints[unit, inside.ravel()].max() > 0.99
    ]
    assert len(hits) > 25
    assert np.mean(hits) > 0.8


def test_truth_has_enough_cells_that_spike() -> None:
    truth = load_truth()
    assert 20 <= truth.detectable.sum() <= 50
    assert (truth.spikes.sum(1) > 5).all()
    assert truth.footprints.max() == 1
