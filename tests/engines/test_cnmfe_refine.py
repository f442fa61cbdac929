"""The refinement of shifts: exact on noiseless frames, and not pulled about by a cell that is active."""

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.frames import shift_frame
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.refine import learn_refiner

SHAPE = (60, 72)
DIAMETER = 6.5


def scene(seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.normal(size=SHAPE).astype(np.float32), (0, 0), 2)
    return np.asarray(image / image.std(), np.float32)


def blob(y: float, x: float) -> NDArray[np.float32]:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * (DIAMETER / 2.355) ** 2)).astype(np.float32)


def sample(
    still: NDArray[np.float32], count: int, rng: np.random.Generator, cells: list[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return aligned frames: the scene, cells that flash by themselves, and noise."""
    frames = still + 0.3 * rng.standard_normal((count, *SHAPE)).astype(np.float32)
    for cell in cells:
        frames += 6 * rng.exponential(size=(count, 1, 1)).astype(np.float32) * cell
    return np.asarray(frames, np.float32)


def test_a_small_shift_is_found_with_its_sign(context: Context) -> None:
    rng = np.random.default_rng(0)
    still = scene(0)
    refiner = learn_refiner(sample(still, 100, rng, []), DIAMETER, context)
    for motion in ((0.4, -0.3), (-0.2, 0.5), (0.0, 0.0)):
        frame = shift_frame(still, np.array(motion, np.float32))
        # Noise of 0.3 in a scene of deviation one, over four thousand pixels, leaves 0.01 px; bilinear blur the rest.
        np.testing.assert_allclose(refiner.rigid(frame[None])[0], np.negative(motion), atol=0.06)


def test_an_active_cell_beside_a_bright_one_moves_no_frame(context: Context) -> None:
    rng = np.random.default_rng(1)
    # A bright neighbour five pixels away: the cell's flash looks like the neighbour moved.
    still = scene(1) + 5 * blob(30, 30)
    cell = blob(30, 35)
    aware = learn_refiner(sample(still, 300, rng, [cell]), DIAMETER, context)
    unaware = learn_refiner(sample(still, 300, rng, []), DIAMETER, context)
    flash = (still + 12 * cell)[None]
    pulled = np.abs(unaware.rigid(flash)[0]).max()
    assert pulled > 0.05
    assert np.abs(aware.rigid(flash)[0]).max() < 0.3 * pulled


def test_more_than_a_pixel_is_not_believed(context: Context) -> None:
    rng = np.random.default_rng(2)
    refiner = learn_refiner(sample(scene(2), 60, rng, []), DIAMETER, context)
    far = 40 * scene(3)[None]  # another scene altogether
    assert np.abs(refiner.rigid(far)).max() <= 1


def test_blocks_add_up_to_the_whole(context: Context) -> None:
    rng = np.random.default_rng(3)
    refiner = learn_refiner(sample(scene(4), 60, rng, []), DIAMETER, context)
    frames = sample(scene(4), 3, rng, [])
    summed = refiner.by_block(frames).sum(1) @ np.linalg.inv(refiner.information.sum((0, 1))).T
    np.testing.assert_allclose(summed, refiner.rigid(frames), atol=1e-4)
