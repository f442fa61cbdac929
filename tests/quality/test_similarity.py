"""Overlap of masks, on cases whose right number can be worked out by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from miniscope_core.quality import GroundTruth, score_units
from miniscope_core.quality.similarity import cosines, energy_masks, ious


def rows(*weights: list[float]) -> "sp.csr_array":
    return sp.csr_array(np.asarray(weights, np.float32))


def test_mask_holds_the_fewest_brightest_pixels_with_nine_tenths_of_the_weight() -> None:
    masks = energy_masks(rows([0.3, 8.0, 0.0, 1.5, 0.2], [0.0, 0.0, 2.0, 0.0, 0.0], [0.0] * 5))
    np.testing.assert_array_equal(masks.toarray(), [[0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0] * 5])


def test_overlap_is_common_over_covered_pixels() -> None:
    first = rows([1, 1, 0, 0], [0, 0, 0, 1])
    second = rows([0, 5, 5, 0], [0, 0, 0, 0])
    np.testing.assert_allclose(ious(first, second), [[1 / 3, 0], [0, 0]])


def test_nothing_against_nothing_overlaps_in_no_pixel() -> None:
    assert ious(rows([0, 0]), rows([0, 0])).tolist() == [[0]]
    assert ious(sp.csr_array((0, 4)), rows([1, 0, 0, 0])).shape == (0, 1)


def test_dim_rim_costs_overlap_but_hardly_any_cosine() -> None:
    core = [0.0] * 40 + [1.0] * 10 + [0.0] * 50
    rimmed = [0.15] * 40 + [1.0] * 10 + [0.15] * 50
    assert cosines(rows(core), rows(rimmed))[0, 0] > 0.9
    assert ious(rows(core), rows(rimmed))[0, 0] < 0.2


@pytest.mark.parametrize(("similarity", "found"), [("cosine", 1), ("iou", 0)])
def test_score_takes_the_threshold_that_belongs_to_its_similarity(similarity: str, found: int) -> None:
    truth = GroundTruth.from_dense(
        np.asarray([[0.0] * 40 + [1.0] * 10 + [0.0] * 50]).reshape(1, 10, 10), np.ones((1, 5)), np.ones((1, 5))
    )
    rimmed = rows([0.15] * 40 + [1.0] * 10 + [0.15] * 50)
    assert score_units(rimmed, truth, similarity=similarity).found_count == found  # type: ignore[arg-type]
    assert score_units(rimmed, truth, similarity=similarity, threshold=0.05).found_count == 1  # type: ignore[arg-type]
