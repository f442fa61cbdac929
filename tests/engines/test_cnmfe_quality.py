"""What is taken for a cell: the size and shape of footprints."""

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.footprints import Footprint
from miniscope_core.engines.cnmfe.quality import shapes
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.quality import GroundTruth, score_result
from tests.engines.conftest import Run
from tests.simulation import simulate

DIAMETER = 13.0


def disc(diameter: float, size: int = 61) -> NDArray[np.float32]:
    y, x = np.indices((size, size)) - size // 2
    return np.asarray(np.hypot(y, x) <= diameter / 2, np.float32)


def shape_of(weights: NDArray[np.float32]) -> tuple[float, float]:
    area, elongation = shapes([Footprint(5, 7, weights)], DIAMETER)
    return float(area[0]), float(elongation[0])


@pytest.mark.parametrize("ratio", [0.6, 1.0, 2.0])
def test_a_disc_has_the_area_of_its_diameter_and_no_direction(ratio: float) -> None:
    area, elongation = shape_of(disc(ratio * DIAMETER))
    # The outline of a disc of pixels runs outside the circle by up to a pixel: 13 % of the area at 8 px.
    assert area == pytest.approx(ratio**2, rel=0.2)
    assert elongation == pytest.approx(1, abs=0.02)


def test_what_lies_below_half_the_peak_has_no_say() -> None:
    assert shape_of(disc(DIAMETER) + 0.4 * disc(3 * DIAMETER)) == shape_of(disc(DIAMETER))


def test_a_ragged_region_takes_more_room_than_a_compact_one_of_the_same_area() -> None:
    ragged = disc(2 * DIAMETER)
    ragged[:, ::3] = 0
    compact = disc(2 * DIAMETER * np.sqrt(2 / 3))
    assert np.count_nonzero(ragged) == pytest.approx(np.count_nonzero(compact), rel=0.05)
    assert shape_of(ragged)[0] > 1.3 * shape_of(compact)[0]


def test_a_strip_is_as_long_as_it_is_and_one_pixel_is_no_strip() -> None:
    strip = np.zeros((20, 40), np.float32)
    strip[0, 2:38] = 1
    assert shape_of(strip)[1] == pytest.approx(36, rel=0.01)
    single = np.zeros((5, 5), np.float32)
    single[2, 2] = 1
    assert shape_of(single)[1] == pytest.approx(1)


def test_strips_at_the_edge_and_wide_light_are_not_accepted_as_cells(run_engine: Run) -> None:
    scene = simulate(shape=(96, 112), frame_count=700, cell_count=10, diameter_px=11, seed=77)
    result = run_engine(scene.recording(), cell_diameter_px=11.0)
    truth = GroundTruth.from_dense(scene.footprints, scene.traces, scene.spikes, scene.motion_px)
    score = score_result(result, truth)
    assert score.recall == 1
    images = result.footprints[np.flatnonzero(result.accepted)].toarray().reshape(-1, *scene.shape)
    area, elongation = shapes([Footprint(0, 0, image) for image in images], 11.0)
    defaults = CnmfeParameters()
    assert area.max() <= defaults.max_area
    assert elongation.max() <= defaults.max_elongation
    # There are such units to refuse: without the criteria they are accepted.
    lenient = run_engine(scene.recording(), cell_diameter_px=11.0, max_area=1e9, max_elongation=1e9)
    assert lenient.accepted.sum() > result.accepted.sum()
