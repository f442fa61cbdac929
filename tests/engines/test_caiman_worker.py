"""What the worker does by itself, between CaImAn's steps; the real CaImAn is not needed."""

import io
import json
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from miniscope_core.engines.caiman import worker

HEIGHT, WIDTH, FRAMES = 5, 7, 11


@pytest.fixture
def corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a movie, (frame, height, width), that a CaImAn of straw gives by frame."""
    movie = np.random.default_rng(0).normal(size=(FRAMES, HEIGHT, WIDTH)).astype(np.float32)
    by_frame = np.asfortranarray(movie.transpose(2, 1, 0).reshape(HEIGHT * WIDTH, FRAMES))
    straw: Any = ModuleType("caiman")
    straw.load_memmap = lambda name: (by_frame, (HEIGHT, WIDTH), FRAMES)
    monkeypatch.setitem(sys.modules, "caiman", straw)
    return movie


def rearranged(folder: Path, border: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the movie as CaImAn reads it from the file that was written, (frame, height, width)."""
    name = worker.rearrange("given", str(folder), border)
    assert Path(name).name == f"corrected_d1_{HEIGHT}_d2_{WIDTH}_d3_1_order_C_frames_{FRAMES}.mmap"
    courses = np.fromfile(name, np.float32).reshape(HEIGHT * WIDTH, FRAMES)
    return courses.T.reshape((FRAMES, HEIGHT, WIDTH), order="F")


@pytest.mark.parametrize("block_bytes", [1, 4 * FRAMES * 3, 2**20])
def test_movie_is_the_same_by_pixel_whatever_the_block(
    corrected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(worker, "BLOCK_BYTES", block_bytes)
    np.testing.assert_allclose(rearranged(tmp_path, 0), corrected + worker.SAVED_OFFSET, rtol=1e-6)


def test_border_that_moved_in_gets_the_least_value(corrected: Any, tmp_path: Path) -> None:
    movie = rearranged(tmp_path, 1)
    least = corrected.min() + worker.SAVED_OFFSET
    np.testing.assert_allclose(movie[:, 1:-1, 1:-1], corrected[:, 1:-1, 1:-1] + worker.SAVED_OFFSET, rtol=1e-6)
    for edge in (movie[:, 0], movie[:, -1], movie[:, :, 0], movie[:, :, -1]):
        np.testing.assert_allclose(edge, least, rtol=1e-6)


def test_lists_are_tuples_again_and_the_movie_is_named() -> None:
    groups = worker.groups({"movie": "m.hdf5", "groups": {"data": {"fr": 20}, "motion": {"max_shifts": [3, 4]}}})
    assert groups == {"data": {"fr": 20, "fnames": ["m.hdf5"]}, "motion": {"max_shifts": (3, 4)}}


def test_stages_are_told_and_timed() -> None:
    stream = io.StringIO()
    report = worker.Report(stream)
    with report.stage("evaluation"):
        pass
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["stage"], one["done"], one["total"]) for one in told] == [("evaluation", 0, 1), ("evaluation", 1, 1)]
    assert report.timings["evaluation"] >= 0


def cnmf_patches(patch: int) -> int:
    """Stand in for CaImAn's function of this name."""
    if patch < 0:
        raise ValueError("bad patch")
    return 2 * patch


def other(patch: int) -> int:
    """Stand in for another function of CaImAn's."""
    return patch


def test_each_patch_that_is_done_is_told() -> None:
    stream = io.StringIO()
    report = worker.Report(stream)
    with ThreadPool(2) as pool:
        worker.tell_patches(pool, report)
        with report.stage("factorisation"):
            assert pool.map_async(cnmf_patches, [3, 1, 2]).get(60) == [6, 2, 4]
            assert pool.map_async(other, [3, 1, 2]).get(60) == [3, 1, 2]
        with pytest.raises(ValueError, match="bad patch"):
            pool.map_async(cnmf_patches, [3, -1]).get(60)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    steps = [(one["stage"], one["done"], one["total"]) for one in told[:5]]
    assert steps == [("factorisation", 0, 1), *(("factorisation", done, 4) for done in (1, 2, 3, 4))]


@pytest.mark.parametrize("footprints", [None, np.zeros((35, 0))])
def test_no_components_are_noticed_at_every_step(footprints: Any) -> None:
    with pytest.raises(worker.NothingFoundError):
        worker.refuse_nothing(SimpleNamespace(estimates=SimpleNamespace(A=footprints)))


def test_piecewise_shifts_without_places_are_left_to_the_grid() -> None:
    motion = SimpleNamespace(
        pw_rigid=True, x_shifts_els=[[1, 2]], y_shifts_els=[[3, 4]], coord_shifts_els=[[None, None]]
    )
    assert list(worker.shifts(motion)) == ["x_shifts_els", "y_shifts_els"]
    motion.coord_shifts_els = [[(0, 4, 0, 4), (0, 4, 3, 7)]]
    assert worker.shifts(motion)["coord_shifts_els"].shape == (2, 4)
