"""Units that are two cells: taken apart where their events show it, and only there."""

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.split import Events, halve

DIAMETER = 6.5
SIZE = 21
NOISE = 1.0


def blob(y: float, x: float) -> NDArray[np.float32]:
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (DIAMETER / 2.355) ** 2)).astype(np.float32)


def events(shapes: list[NDArray[np.float32]], seed: int = 0, count: int = 40) -> Events:
    """Return pictures of events of the shapes in turn."""
    rng = np.random.default_rng(seed)
    pictures = np.stack([rng.uniform(5, 15) * shapes[i % len(shapes)] for i in range(count)])
    pictures += NOISE * rng.standard_normal(pictures.shape)
    mask = np.asarray(sum(shapes) > 0.1, np.float32)
    return Events(3, 4, mask, pictures.astype(np.float32))


def test_two_cells_that_are_active_in_turn_are_told_apart() -> None:
    first, second = blob(10, 8.5), blob(10, 12)
    halves = halve(events([first, second]), NOISE, DIAMETER)
    assert halves is not None
    found = np.stack([half.weights for half in halves])
    true = np.stack([shape / np.linalg.norm(shape) for shape in (first, second)])
    cosines = np.einsum("iyx,jyx->ij", found, true)
    assert max(np.trace(cosines), np.trace(cosines[::-1])) > 2 * 0.93
    assert all((half.top, half.left) == (3, 4) for half in halves)
    np.testing.assert_allclose([half.norm for half in halves], 1, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_one_cell_stays_one(seed: int) -> None:
    assert halve(events([blob(10, 10)], seed), NOISE, DIAMETER) is None


def test_too_few_events_prove_nothing() -> None:
    assert halve(events([blob(10, 8), blob(10, 13)], count=6), NOISE, DIAMETER) is None


def test_a_neighbour_seen_once_is_no_second_cell() -> None:
    shapes = [blob(10, 10)] * 39 + [blob(10, 14)]
    assert halve(events(shapes), NOISE, DIAMETER) is None
