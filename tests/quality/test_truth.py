"""The truth file: round trip and refusal of what is none."""

from pathlib import Path

import numpy as np
import pytest

from miniscope_core.errors import ResultError
from miniscope_core.quality import GroundTruth
from tests.simulation import simulate


def test_truth_file_round_trips(tmp_path: Path) -> None:
    made = simulate((40, 48), 30, 3)
    truth = GroundTruth.from_dense(made.footprints, made.traces, made.spikes, made.motion_px, [True, False, True])
    truth.save(tmp_path / "truth.npz")
    read = GroundTruth.load(tmp_path / "truth.npz")
    assert (read.shape, read.unit_count, read.frame_count) == ((40, 48), 3, 30)
    np.testing.assert_array_equal(read.footprints.toarray().reshape(3, 40, 48), made.footprints)
    np.testing.assert_array_equal(read.traces, made.traces)
    np.testing.assert_array_equal(read.spikes, made.spikes)
    np.testing.assert_array_equal(read.motion_px, made.motion_px)
    np.testing.assert_array_equal(read.detectable, [True, False, True])


def test_still_recording_has_no_motion(tmp_path: Path) -> None:
    truth = GroundTruth.from_dense(np.ones((1, 4, 5)), np.ones((1, 3)), np.ones((1, 3)))
    truth.save(tmp_path / "truth.npz")
    assert GroundTruth.load(tmp_path / "truth.npz").motion_px is None


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ResultError, match=r"spikes: got shape \(2, 9\), expected \(2, 10\)"):
        GroundTruth.from_dense(np.ones((2, 4, 5)), np.ones((2, 10)), np.ones((2, 9)))
    with pytest.raises(ResultError, match=r"motion_px: got shape \(9, 2\)"):
        GroundTruth.from_dense(np.ones((2, 4, 5)), np.ones((2, 10)), np.ones((2, 10)), np.ones((9, 2)))


@pytest.mark.parametrize("content", [None, b"", b"no archive at all", b"PK\x03\x04 cut short"])
def test_unreadable_truth_names_the_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "truth.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultError, match=r"truth\.npz"):
        GroundTruth.load(path)


def test_missing_arrays_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", shape=np.array([4, 5]), traces=np.ones((1, 3)))
    with pytest.raises(ResultError, match="spikes, detectable are missing"):
        GroundTruth.load(tmp_path / "truth.npz")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", shape=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ResultError, match=r"truth\.npz"):
        GroundTruth.load(tmp_path / "truth.npz")
