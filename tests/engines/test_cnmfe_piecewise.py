"""Piece-wise correction: what moves by itself is followed, and what moves as one is left as one."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.frames import shift_frame
from miniscope_core.engines.cnmfe.piecewise import patch_ranges, warp_frame
from miniscope_core.result import ProcessingResult
from tests.engines.conftest import Run
from tests.simulation import ArraySource, Simulated, simulate


@pytest.fixture(scope="module")
def wide() -> Simulated:
    """Return a field large enough for several patches, crowded and bright, so that each has something to hold on to."""
    return simulate((160, 192), 500, cell_count=60, seed=8, brightness=0.12)


def sheared(scene: Simulated) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the movie with its left and right half pulled apart along y, and by how much, (frame,)."""
    rng = np.random.default_rng(0)
    pull = cv2.GaussianBlur(rng.normal(size=(1, len(scene.movie))), (0, 0), 1.0)[0]
    pull *= 1.2 / pull.std()
    columns = np.linspace(-1, 1, scene.shape[1], dtype=np.float32)
    rows = np.arange(scene.shape[0], dtype=np.float32)[:, None]
    movie = np.empty_like(scene.movie)
    for frame, amount, out in zip(scene.movie, pull, movie, strict=True):
        field = np.float32(amount) * np.broadcast_to(columns, scene.shape)
        moved = cv2.remap(
            frame.astype(np.float32),
            np.broadcast_to(np.arange(scene.shape[1], dtype=np.float32), scene.shape).copy(),
            rows - field,
            cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        out[...] = np.clip(np.rint(moved), 0, 255)
    return movie, pull


def test_a_field_that_shears_is_followed_patch_by_patch(wide: Simulated, run_engine: Run) -> None:
    movie, pull = sheared(wide)
    recording = replace(wide.recording(), source=ArraySource(movie))
    result = run_engine(recording, workers=2, motion="piecewise", patch_px=64)
    shifts, ranges = result.read("block_shifts_px"), result.read("block_ranges_px")
    middle = (ranges[:, 2] + ranges[:, 3]) / 2
    place = 2 * middle / (wide.shape[1] - 1) - 1
    truth = wide.motion_px[:, 0] + pull * place[:, None]
    error = shifts[..., 0] + truth
    error -= error.mean(1, keepdims=True)
    rigid = pull * place[:, None]
    # A patch is a ninth of the field, and its noise three times that of a rigid shift: a quarter pixel, say.
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(rigid**2))
    np.testing.assert_allclose(result.shifts_px, shifts.mean(0), atol=1e-4)
    result.check("here")


def test_a_field_that_moves_as_one_is_corrected_as_well_as_rigidly(wide: Simulated, run_engine: Run) -> None:
    results = {
        motion: run_engine(wide.recording(), workers=2, motion=motion, patch_px=64) for motion in ("rigid", "piecewise")
    }

    def error(result: ProcessingResult) -> float:
        left = result.shifts_px + wide.motion_px
        return float(np.sqrt(np.mean((left - left.mean(0)) ** 2)))

    assert error(results["piecewise"]) < error(results["rigid"]) + 0.03
    blocks = results["piecewise"].read("block_shifts_px")
    # What is left of the patches' own shifts is the part that half the blocks and the other half agree on.
    assert np.std(blocks - blocks.mean(0)) < 0.15
    assert "block_shifts_px" not in results["rigid"].array_names


def test_equal_shifts_of_all_patches_are_a_rigid_shift() -> None:
    frame = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    shift = np.array([1.25, -2.5], np.float32)
    warped = warp_frame(frame, np.tile(shift, (6, 1)), (2, 3))
    # OpenCV's two bilinear warps round their weights to a 32nd.
    np.testing.assert_allclose(warped[5:-5, 5:-5], shift_frame(frame, shift)[5:-5, 5:-5], atol=0.1)


def test_patches_tile_the_field() -> None:
    ranges = patch_ranges((101, 67), (3, 2))
    cover = np.zeros((101, 67), int)
    for top, bottom, left, right in ranges:
        cover[top:bottom, left:right] += 1
    assert (cover == 1).all()
    assert len(ranges) == 6
