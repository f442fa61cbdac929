"""Preview: a sample that an engine takes for a recording, what it finds there, and nothing left behind."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core.errors import EngineError, ParameterError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.pipeline.preview import FrameSample, preview_recording, sample_recording
from miniscope_core.settings import Settings
from tests.archives import StandIn
from tests.simulation import Simulated, simulate

PARAMETERS = CnmfeParameters(cell_diameter_px=10)


@dataclass(frozen=True)
class Numbered:
    """A frame source whose frames hold their own number, however many there are."""

    shape: tuple[int, int] = (48, 64)

    def read(self, start: int, stop: int, step: int) -> np.ndarray[Any, Any]:
        """Make frames ``start, start + step, … < stop``."""
        numbers = np.arange(start, stop, step, dtype=np.uint16)
        return np.broadcast_to(numbers[:, None, None], (len(numbers), *self.shape)).copy()


@pytest.fixture(scope="module")
def scene() -> Simulated:
    return simulate(frame_count=1000, cell_count=8, shape=(72, 96), seed=5)


@pytest.fixture(scope="module")
def long(scene: Simulated) -> Recording:
    """Return a recording of fifty minutes, at 20 Hz, without a movie."""
    times = np.arange(60_000) / 20
    return replace(scene.recording(), shape=(48, 64), dtype=np.dtype(np.uint16), timestamps_s=times, source=Numbered())


def shown(sample: Recording) -> np.ndarray[Any, Any]:
    return np.asarray(sample.frames()[:, 0, 0], int)


def test_sample_is_runs_of_five_seconds_spread_over_the_recording(long: Recording) -> None:
    numbers = shown(sample_recording(long))
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    assert [len(run) for run in runs] == [100] * 6
    assert (numbers[0], numbers[-1]) == (0, 59_999)
    np.testing.assert_allclose(np.diff([run[0] for run in runs]), 59_900 / 5, atol=1)


def test_times_of_a_sample_run_on_at_the_rate_of_the_recording(long: Recording) -> None:
    sample = sample_recording(long)
    assert sample.frame_count == sample.clock.used == 600
    assert sample.fps == long.fps
    np.testing.assert_allclose(np.diff(sample.timestamps_s), 1 / long.fps)
    assert sample.clock.problems == ()


@pytest.mark.parametrize(("start", "stop", "step"), [(0, 600, 1), (95, 305, 1), (3, 600, 7), (99, 101, 1), (50, 50, 1)])
def test_any_range_of_a_sample_is_that_range_of_all_its_frames(
    long: Recording, start: int, stop: int, step: int
) -> None:
    sample = sample_recording(long)
    np.testing.assert_array_equal(sample.frames(start, stop, step), sample.frames()[start:stop:step])


def test_large_fields_get_fewer_frames_but_never_too_few(long: Recording) -> None:
    large, vast = (replace(long, shape=shape, source=Numbered(shape)) for shape in ((608, 608), (4000, 4000)))
    assert 100 < sample_recording(large).frame_count < 300
    assert sample_recording(vast).frame_count == 100


def test_sample_with_room_for_one_run_is_taken_from_the_middle(long: Recording) -> None:
    numbers = shown(sample_recording(long, frames=150))
    np.testing.assert_array_equal(numbers, np.arange(29_925, 30_075))


def test_recording_shorter_than_the_sample_is_used_whole(scene: Simulated) -> None:
    recording = scene.recording()
    assert sample_recording(recording, frames=1000) is recording
    assert isinstance(sample_recording(recording, frames=999).source, FrameSample)


def test_too_few_frames_are_refused(long: Recording) -> None:
    with pytest.raises(ParameterError, match="got 20, expected at least 100"):
        sample_recording(long, frames=20)


def test_preview_finds_the_cells_of_a_simulation(scene: Simulated) -> None:
    seen = preview_recording(scene.recording(), PARAMETERS, Settings(workers=1))
    assert seen.result.frame_count == 600
    assert seen.frame_count == 1000
    assert len(seen.joins_s) == 5
    kept = np.flatnonzero(seen.result.accepted)
    truth = scene.footprints.reshape(len(scene.footprints), -1)
    found = seen.result.footprints[kept].toarray()
    cosine = (found @ truth.T) / (np.linalg.norm(found, axis=1)[:, None] * np.linalg.norm(truth, axis=1)[None])
    # Half a minute shows most of eight cells that are active every eight seconds on average.
    assert np.count_nonzero(cosine.max(0) >= 0.7) >= 6
    assert seen.seed_count is not None
    assert seen.seed_count >= len(kept)
    assert sum(seen.rejections.values()) >= seen.result.unit_count - len(kept)
    assert seen.whole_seconds == pytest.approx(seen.seconds * 1000 / 600)


def test_preview_leaves_nothing_behind(
    scene: Simulated, engine: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    engine.info = {"frame_count": 600}
    seen = preview_recording(scene.recording(), PARAMETERS, Settings(workers=1))
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(seen.result.traces, engine.arrays(600)["traces"].astype(np.float32))
    engine.error = EngineError("no")
    with pytest.raises(EngineError):
        preview_recording(scene.recording(), PARAMETERS, Settings(workers=1))
    assert list(tmp_path.iterdir()) == []


def test_any_engine_can_be_previewed_even_one_that_tells_no_seeds(scene: Simulated, engine: StandIn) -> None:
    engine.info = {"frame_count": 600}
    seen = preview_recording(scene.recording(), PARAMETERS, Settings(workers=1))
    assert seen.seed_count is None
    assert engine.runs == 1
    assert seen.rejections
