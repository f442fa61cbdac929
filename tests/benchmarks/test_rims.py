"""A recording seen through a rim is darker where the rim is, and cells in the dark are nobody's to find."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from miniscope_core.quality import GroundTruth
from tests.benchmarks.cases import simulated_case
from tests.benchmarks.rims import rim_light, rimmed_recording, rimmed_truth
from tests.simulation import simulate

SCENE = simulate((48, 64), 20, 3, seed=3)


def test_light_is_full_in_the_middle_and_none_in_the_corners() -> None:
    light = rim_light((48, 64), 0.4)
    assert light[24, 32] > 0.999
    assert light[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.001
    assert light[24, 32 + 24] > 0.5 > light[24, 32 + 27]  # the edge is at 25.6 px


def test_frames_are_darkened_and_nothing_else() -> None:
    recording = SCENE.recording()
    rimmed = rimmed_recording(recording, 0.4)
    light = rim_light(recording.shape, 0.4)
    assert (rimmed.dtype, rimmed.shape, rimmed.frame_count) == (recording.dtype, recording.shape, 20)
    np.testing.assert_array_equal(rimmed.frames(3, 15, 4), np.rint(SCENE.movie[3:15:4] * light).astype(np.uint8))


def test_cells_in_the_dark_are_not_counted_and_others_as_they_look() -> None:
    masks = np.zeros((2, 48, 64), np.float32)
    masks[0, 22:26, 30:34] = 1
    masks[1, :3, :3] = 1
    truth = GroundTruth.from_dense(masks, np.ones((2, 20)), np.ones((2, 20)))
    rimmed = rimmed_truth(truth, 0.4)
    assert rimmed.detectable.tolist() == [True, False]
    np.testing.assert_allclose(
        rimmed.footprints.toarray(), truth.footprints.toarray() * rim_light((48, 64), 0.4).ravel()
    )


def test_a_case_behind_a_rim_opens_both(tmp_path: Path) -> None:
    case = simulated_case(tmp_path, "48x64x40:3", 0)
    recording, truth = replace(case, rim=0.4).open()
    assert recording.frames(0, 1)[0, 0, 0] == 0
    assert truth.detectable.sum() <= case.open_truth().detectable.sum()
