"""The ring background: light that is smooth over a cell is taken out, and how the movie is cut changes nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.background import fit_ring, remove_background
from miniscope_core.engines.cnmfe.factors import Factors
from miniscope_core.engines.cnmfe.footprints import Footprints
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context

SHAPE = (44, 38)
DIAMETER = 6.0
FRAMES = 250


def haze(rng: np.random.Generator) -> NDArray[np.float32]:
    """Wide blots of light that come and go each by itself, (frame, height, width), without their mean."""
    blots = np.stack([cv2.GaussianBlur(rng.normal(size=SHAPE).astype(np.float32), (0, 0), 12) for _ in range(6)])
    blots /= blots.std((1, 2), keepdims=True)
    courses = np.cumsum(rng.normal(size=(FRAMES, len(blots))), axis=0)
    movie = np.tensordot(courses / courses.std(0), blots, 1).astype(np.float32)
    return np.asarray(10 * (movie - movie.mean(0)), np.float32)


def stored(path: Path, movie: NDArray[np.float32]) -> ScratchMovie:
    scratch = ScratchMovie(path, movie.shape, 64.0, signed=True)
    for part in scratch.chunks:
        scratch.write(part.start, movie[part])
    return scratch


def test_wide_light_is_taken_out_and_the_light_of_a_cell_left(tmp_path: Path, context: Context) -> None:
    rng = np.random.default_rng(0)
    wide = haze(rng)
    cell = np.zeros(SHAPE, np.float32)
    cell[20:24, 18:22] = 1
    course = 30 * (np.arange(FRAMES) % 50 == 7).astype(np.float32)
    movie = stored(tmp_path / "movie", wide + course[:, None, None] * cell)
    nothing = Factors(Footprints(SHAPE, DIAMETER), np.zeros((0, FRAMES), np.float32))
    ring = fit_ring(movie, np.zeros(SHAPE, np.float32), nothing, context)
    left = remove_background(movie, ring, nothing, tmp_path / "clean", context).read(slice(0, FRAMES)).copy()
    silent = course == 0
    # Blots of twelve pixels differ little over the eight of the ring: what is left is the grid's interpolation.
    assert left[silent].std() < 0.1 * wide[silent].std()
    assert left[~silent][:, cell > 0].mean() > 0.7 * 30


def test_the_ring_does_not_hang_on_how_the_movie_is_cut(
    tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    wide = haze(rng) + rng.normal(size=(FRAMES, *SHAPE)).astype(np.float32)
    nothing = Factors(Footprints(SHAPE, DIAMETER), np.zeros((0, FRAMES), np.float32))
    weights = []
    for most in (FRAMES, 7 * 9):
        monkeypatch.setattr("miniscope_core.engines.cnmfe.movie._MOST_FRAMES", most)
        movie = stored(tmp_path / f"movie{most}", wide)
        weights.append(fit_ring(movie, wide.mean(0), nothing, context).weights.toarray())
    np.testing.assert_array_equal(*weights)
