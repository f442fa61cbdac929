"""Products by tiles are those of the whole field, and tiles swept together are what each is by itself."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.sweep import sweep
from miniscope_core.engines.cnmfe.tiles import TILE_PX, Tiled, sort_into_tiles

FRAMES = 7
_SIZE = st.integers(1, 2 * TILE_PX + 3)


def random_weights(rng: np.random.Generator, units: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Dense (unit, pixel), zero outside a box of each unit; some units have none."""
    dense = np.zeros((units, *shape), np.float32)
    for image in dense[: max(0, units - 1)]:
        top, left = (int(rng.integers(0, size)) for size in shape)
        box = image[top : top + 30, left : left + 30]
        box[...] = rng.random(box.shape)
    return dense.reshape(units, shape[0] * shape[1])


@settings(max_examples=40, deadline=None)
@given(height=_SIZE, width=_SIZE, units=st.integers(0, 6), seed=st.integers(0, 99))
def test_products_by_tiles_are_those_of_the_whole_field(height: int, width: int, units: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = random_weights(rng, units, (height, width))
    tiled = sort_into_tiles(sp.csr_array(dense), (height, width))
    frames = rng.integers(-500, 500, (FRAMES, height, width)).astype(np.int16)
    flat = frames.reshape(FRAMES, -1).astype(np.float32)
    courses = rng.normal(size=(units, FRAMES)).astype(np.float32)
    np.testing.assert_allclose(tiled.project(frames), dense @ flat.T, rtol=1e-4, atol=0.05)
    images = back_in_the_field(tiled, tiled.correlate(frames, courses))
    np.testing.assert_allclose(images, (courses @ flat) * in_touched_tiles(dense, tiled), rtol=1e-4, atol=0.05)
    rest = frames.astype(np.float32)
    tiled.subtract(rest, courses)
    np.testing.assert_allclose(rest.reshape(FRAMES, -1), flat - courses.T @ dense, rtol=1e-4, atol=0.05)


def test_rows_of_other_tiles_are_zero() -> None:
    one = np.zeros((2, 30, 60), np.float32)
    one[0, 3:6, 3:6] = 2
    one[1, 3:6, 40:44] = 3
    grown = one.copy()
    grown[0, 3:6, 20:30] = 1
    tiled, other = (sort_into_tiles(sp.csr_array(image.reshape(2, -1)), (30, 60)) for image in (one, grown))
    arranged = tiled.arranged(other)
    assert len(other.units) == len(tiled.units) + 1
    np.testing.assert_array_equal(back_in_the_field(other, arranged), one.reshape(2, -1))


def test_tiles_swept_together_are_what_each_is_alone(context: Context) -> None:
    rng = np.random.default_rng(1)
    shape, units = (200, 230), 60
    dense = random_weights(rng, units, shape)
    masks = sort_into_tiles(sp.csr_array((dense > 0).astype(np.float32)), shape)
    courses = rng.normal(size=(units, 40)).astype(np.float32)
    courses[3] = 0  # never active: it stays as it is
    gram = courses @ courses.T
    start = rng.random(masks.weights.shape, dtype=np.float32) * masks.weights
    sums = rng.normal(0, 30, masks.weights.shape).astype(np.float32)
    together, alone = start.copy(), start.astype(np.float64)
    sweep(together, sums, gram, masks, context)
    for _, some in masks.tiles():
        products = gram[np.ix_(masks.units[some], masks.units[some])].astype(np.float64)
        for _ in range(6):
            for row in range(some.start, some.stop):
                here = row - some.start
                if products[here, here] > 0:
                    step = (sums[row] - products[here] @ alone[some]) / products[here, here]
                    alone[row] = np.maximum(alone[row] + step, 0) * masks.weights[row]
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)


def back_in_the_field(tiled: Tiled, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put rows of weights back in their place, dense (unit, pixel)."""
    dense = np.zeros((tiled.count, *tiled.shape), np.float32)
    for window, some in tiled.tiles():
        height, width = (part.stop - part.start for part in window)
        for unit, row in zip(tiled.units[some], weights[some], strict=True):
            tile = row.reshape(TILE_PX, TILE_PX)
            assert not tile[height:].any(), "beyond the field there is nothing"
            assert not tile[:, width:].any()
            dense[(unit, *window)] = tile[:height, :width]
    return dense.reshape(tiled.count, tiled.shape[0] * tiled.shape[1])


def in_touched_tiles(dense: NDArray[np.float32], tiled: Tiled) -> NDArray[np.bool_]:
    """Tell the pixels of the tiles that each unit touches, (unit, pixel)."""
    touched = np.zeros((len(dense), *tiled.shape), bool)
    weights = dense.reshape(touched.shape)
    for window, _ in tiled.tiles():
        touched[(slice(None), *window)] = weights[(slice(None), *window)].any((1, 2))[:, None, None]
    return touched.reshape(dense.shape)
