"""Memory of the engine does not grow with the length of the recording."""

import tracemalloc
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.engines.conftest import Run
from tests.simulation import Simulated, simulate


@dataclass(frozen=True)
class Repeated:
    """A recording of any length made of one short movie, over and over; never more in memory than is read."""

    movie: NDArray[Any]

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        return self.movie[np.arange(start, stop, step) % len(self.movie)]


def peak_bytes(scene: Simulated, frames: int, run_engine: Run) -> int:
    """Run the engine on so many frames and return the most it had allocated at once."""
    recording = replace(scene.recording(), timestamps_s=np.arange(frames) / scene.fps, source=Repeated(scene.movie))
    tracemalloc.start()
    try:
        run_engine(recording)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_the_same_for_four_times_the_frames(run_engine: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The fit sees a bounded number of frames; bound it low, so that short recordings show what long ones do.
    monkeypatch.setattr("miniscope_core.engines.cnmfe.correct._FIT_FRAMES", 200)
    monkeypatch.setattr("miniscope_core.engines.cnmfe.correct._SAMPLE_FRAMES", 160)
    scene = simulate(shape=(40, 56), frame_count=200, cell_count=4, seed=2)
    short = peak_bytes(scene, 600, run_engine)
    long = peak_bytes(scene, 2400, run_engine)
    # All frames as bytes are 5.4 MB at 2400; four rows of float32 per unit and frame would be 0.2 MB more each.
    assert long < 1.1 * short + 2**20
