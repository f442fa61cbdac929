"""What became of seeds and of rejected units."""

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.quality.seeds import count_rejections, seed_fates
from miniscope_core.result import ResultWriter
from tests.archives import BOXES, HEIGHT, WIDTH, boxes, stand_in_arrays, write_result

SHAPE = (HEIGHT, WIDTH)


def middles() -> np.ndarray:
    return np.array([(y + height // 2, x + width // 2) for y, x, height, width in BOXES])


def test_seed_shares_the_fate_of_the_unit_it_lies_in() -> None:
    accepted = np.arange(len(BOXES)) != 1
    fates = seed_fates(boxes(), accepted, np.vstack([middles(), [[0, 0]]]), SHAPE)
    assert fates == ["accepted", "rejected", *["accepted"] * (len(BOXES) - 2), "no unit"]


def test_seed_on_two_units_belongs_to_the_one_that_weighs_more_there() -> None:
    stack = np.zeros((2, 10, 12), np.float32)
    stack[0, 2:8, 2:8] = 0.5
    stack[0, 2, 2] = 1.0
    stack[1, 4:9, 4:9] = 7.0
    rows = sp.csr_array(stack.reshape(2, -1))
    assert seed_fates(rows, np.array([True, False]), np.array([[5, 5], [3, 3], [2, 2]]), (10, 12)) == [
        "rejected",
        "accepted",
        "accepted",
    ]


def test_seed_on_the_faint_skirt_of_a_unit_is_in_no_unit() -> None:
    stack = np.zeros((1, 10, 12), np.float32)
    stack[0, 2, 2], stack[0, 2, 3] = 1.0, 0.1
    rows = sp.csr_array(stack.reshape(1, -1))
    assert seed_fates(rows, np.array([True]), np.array([[2, 3]]), (10, 12)) == ["no unit"]


def test_without_units_or_seeds_there_is_nothing_to_tell() -> None:
    none = sp.csr_array((0, HEIGHT * WIDTH), dtype=np.float32)
    assert seed_fates(none, np.zeros(0, bool), np.array([[1, 1]]), SHAPE) == ["no unit"]
    assert seed_fates(boxes(), np.ones(len(BOXES), bool), np.zeros((0, 2), int), SHAPE) == []


def test_rejected_units_are_counted_by_each_criterion_that_they_fail(tmp_path: Path) -> None:
    arrays = stand_in_arrays() | {
        "accepted": np.array([True, False, False, False, False, False]),
        "snr": np.array([1.0, 1.0, 1.0, 9.0, 9.0, np.nan]),
        "r_value": np.array([0.1, 0.9, 0.1, 0.1, 0.9, 0.9]),
    }
    result = write_result(ResultWriter(tmp_path / "out"), boxes(), arrays, CnmfeParameters(min_snr=2, min_r_value=0.5))
    assert count_rejections(result) == {"min_snr": 3, "min_r_value": 2, "other criteria": 1}
