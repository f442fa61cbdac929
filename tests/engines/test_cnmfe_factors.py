"""Footprints, traces and merging on movies whose factors are known, and what the working files of the fit hold."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.factors import Factors, merge, update_footprints, update_traces
from miniscope_core.engines.cnmfe.footprints import Footprints, gaussian_footprint
from miniscope_core.engines.cnmfe.movie import ScratchMovie
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.engines.cnmfe.split import split
from miniscope_core.progress import silent

SHAPE = (40, 44)
DIAMETER = 6.5
FRAMES = 300


def planted(places: list[tuple[int, int]], raw: NDArray[np.floating]) -> Factors:
    """Units of a cell's width at some places, each with its trace."""
    items = tuple(gaussian_footprint(y, x, SHAPE, DIAMETER) for y, x in places)
    unit = Footprints(SHAPE, DIAMETER, items).each(lambda footprint: footprint / np.float32(footprint.norm))
    return Factors(unit, raw.astype(np.float32))


def images(factors: Factors) -> NDArray[np.float32]:
    """Footprints as dense rows."""
    return np.asarray(factors.footprints.rows.toarray(), np.float32)


def stored(path: Path, movie: NDArray[np.floating]) -> ScratchMovie:
    scratch = ScratchMovie(path, (len(movie), *SHAPE), 64.0, signed=True)
    scratch.write(0, movie.reshape(len(movie), *SHAPE).astype(np.float32))
    return scratch


def spikes(rng: np.random.Generator, units: int) -> NDArray[np.float64]:
    """Sparse events that decay over some steps."""
    events = (rng.random((units, FRAMES)) < 0.04) * rng.uniform(20, 60, (units, FRAMES))
    return np.stack([np.convolve(row, 0.6 ** np.arange(8))[:FRAMES] for row in events])


def test_traces_of_overlapping_units_are_told_apart(tmp_path: Path, context: Context) -> None:
    rng = np.random.default_rng(1)
    truth = planted([(18, 18), (21, 22)], spikes(rng, 2))
    movie = stored(tmp_path / "movie", truth.raw.T @ images(truth))
    fitted = update_traces(planted([(18, 18), (21, 22)], np.zeros((2, FRAMES))), movie, context)
    # The file rounds to 1/64 count, and a hundred pixels of a unit average that.
    np.testing.assert_allclose(fitted.raw, truth.raw, atol=0.05)


def test_a_footprint_takes_nothing_from_what_moves_while_its_cell_is_silent(tmp_path: Path, context: Context) -> None:
    rng = np.random.default_rng(2)
    cell = planted([(20, 18)], spikes(rng, 1) / 2)
    # Light beside the cell comes and goes and leaks into its trace, no higher than the trace's noise.
    haze = np.sin(np.arange(FRAMES) / 3)
    beside = images(planted([(20, 23)], np.zeros((1, FRAMES))))[0]
    movie = stored(tmp_path / "movie", cell.raw.T @ images(cell) + 25 * haze[:, None] * beside)
    noisy = planted([(20, 18)], cell.raw + haze + rng.normal(0, 1, FRAMES))
    fitted = update_footprints(noisy, movie, context)
    found, true = images(fitted)[0], images(cell)[0]
    assert found @ true / np.linalg.norm(found) > 0.97


def test_units_of_one_cell_become_one_unit() -> None:
    rng = np.random.default_rng(3)
    cell, other = spikes(rng, 2)
    # The middle one of three is in two pairs, so they do not become one in one go.
    factors = planted([(20, 16), (20, 18), (20, 20), (21, 22)], np.stack([cell, 2 * cell, cell, other]))
    merged = merge(factors, 0.8)
    assert len(merged.footprints) == len(merged.raw) == 2
    assert np.corrcoef(merged.raw[0], cell)[0, 1] > 0.999
    assert np.corrcoef(merged.raw[1], other)[0, 1] > 0.999


def test_pictures_of_events_are_not_held_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miniscope_core.engines.cnmfe.movie.CHUNK_BYTES", 1)  # eight frames at a time
    rng = np.random.default_rng(4)
    places = [(y, x) for y in (10, 20, 30) for x in (10, 20, 30)]
    raw = (np.arange(FRAMES) % 5 == 0) * rng.uniform(20, 60, (len(places), FRAMES)) + rng.normal(0, 0.5, FRAMES)
    factors = planted(places, raw)
    movie = stored(tmp_path / "movie", factors.raw.T @ images(factors))
    with ThreadPoolExecutor(1) as pool:
        tracemalloc.start()
        try:
            split(factors, movie, tmp_path / "events", Context(pool, 1, silent))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    pictures = (tmp_path / "events").stat().st_size
    assert pictures > len(places) * 50 * 15 * 15 * 4
    assert peak < 0.5 * pictures


@pytest.mark.parametrize("signed", [True, False])
def test_a_scratch_movie_rounds_to_its_step_and_clips_to_its_range(tmp_path: Path, signed: bool) -> None:
    movie = ScratchMovie(tmp_path / "movie", (3, 1, 4), 64.0, signed)
    frames = np.array([[[1.0, 1.004, -3.0, 1e6]], [[0.0, 0.01, 0.02, -1e6]], [[7.25, 200.0, 0.25, 3.0]]], np.float32)
    movie.write(0, frames)
    low, high = (-(2**15), 2**15 - 1) if signed else (0, 2**16 - 1)
    expected = np.clip(np.rint(frames * 64), low, high)
    np.testing.assert_array_equal(movie.read_steps(slice(0, 3)), expected)
    np.testing.assert_array_equal(movie.read(slice(1, 3)), expected[1:] / 64)
