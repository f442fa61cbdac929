"""Activity and denoised traces from fluorescence: drift, scale, nothing from nothing."""

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from miniscope_core.engines.cnmfe.deconvolve import deconvolve, drift_of

FPS, RISE_S, DECAY_S = 20.0, 0.05, 0.4


def course(seed: int, frames: int = 2400) -> NDArray[np.float64]:
    """Return the calcium that spikes at 0.3 Hz leave, one spike rising to one."""
    rng = np.random.default_rng(seed)
    spikes = (rng.random(frames) < 0.3 / FPS).astype(float)
    return np.asarray(scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / (FPS * DECAY_S))], spikes))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bleaching_cell_keeps_its_trace_and_its_activity(seed: int) -> None:
    calcium = course(seed)
    noise = 0.1 * np.random.default_rng(10 + seed).normal(size=len(calcium))
    bleached = 100 + 8 * np.exp(-np.arange(len(calcium)) / 1600)  # eight transients' heights
    still, drifting = (
        deconvolve((calcium + noise + base).astype(np.float32), FPS, RISE_S, DECAY_S) for base in (100.0, bleached)
    )
    for solved in (still, drifting):
        assert np.corrcoef(solved.trace, calcium)[0, 1] > 0.95
    # Drift is no activity: as good with it as without.
    assert np.corrcoef(still.activity, drifting.activity)[0, 1] > 0.95
    assert drifting.activity.sum() == pytest.approx(still.activity.sum(), rel=0.1)


def test_the_drift_lies_at_the_baseline_of_a_busy_cell() -> None:
    calcium = course(2)
    noise = 0.1 * np.random.default_rng(3).normal(size=len(calcium))
    drift = drift_of(50 + calcium + noise, FPS, 15.0)
    # At 0.3 Hz and 0.4 s a cell is back within a tenth of a transient of its baseline for more than half of the time.
    assert np.abs(drift - 50).max() < 0.2


def test_a_recording_shorter_than_the_window_has_one_baseline() -> None:
    drift = drift_of(np.arange(40.0), FPS, 15.0)
    assert np.unique(drift).size == 1


def test_a_trace_that_never_changes_has_no_activity() -> None:
    solved = deconvolve(np.full(300, 7.0, np.float32), FPS, RISE_S, DECAY_S)
    assert not solved.activity.any()
    np.testing.assert_array_equal(solved.trace, 7)


def test_joined_recordings_are_deconvolved_each_by_itself() -> None:
    """No transient outlasts a pause, and a baseline that moved meanwhile is no activity."""
    rng = np.random.default_rng(3)
    first, second = (rng.normal(level, 1, 400).astype(np.float32) for level in (20, 45))
    first[-1] += 60  # an event that the recording ends in
    joined = deconvolve(np.concatenate([first, second]), FPS, 0.05, 0.4, (0, 400))
    alone = deconvolve(second, FPS, 0.05, 0.4)
    np.testing.assert_allclose(joined.activity[400:], alone.activity, atol=1e-3)
    np.testing.assert_allclose(np.diff(joined.trace[400:]), np.diff(alone.trace), atol=1e-3)
    glued = deconvolve(np.concatenate([first, second]), FPS, 0.05, 0.4)
    assert glued.activity.max() > 10 > joined.activity[400:].max()


def test_one_recording_is_deconvolved_as_it_always_was() -> None:
    values = np.random.default_rng(4).normal(30, 2, 300).astype(np.float32)
    once, named = deconvolve(values, FPS, 0.05, 0.4), deconvolve(values, FPS, 0.05, 0.4, (0,))
    np.testing.assert_array_equal(once.trace, named.trace)
    assert (once.baseline, once.noise) == (named.baseline, named.noise)
