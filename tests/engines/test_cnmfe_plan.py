"""Planning by memory: fewer workers rather than more memory, and a refusal before the work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from miniscope_core.engines.base import Resources
from miniscope_core.engines.cnmfe import CnmfeEngine
from miniscope_core.engines.cnmfe.plan import needed_bytes, plan_workers
from miniscope_core.errors import EngineError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.progress import silent
from miniscope_core.result import ProcessingResult
from tests.simulation import Simulated

PARAMETERS = CnmfeParameters(cell_diameter_px=13)


def recording(scene: Simulated, shape: tuple[int, int], frames: int) -> Recording:
    return replace(scene.recording(), shape=shape, timestamps_s=np.arange(frames) / scene.fps)


def test_the_length_of_the_recording_does_not_count(scene: Simulated) -> None:
    needed = [needed_bytes(recording(scene, (608, 608), frames), PARAMETERS, 2) for frames in (20_000, 200_000)]
    assert needed[0] == pytest.approx(needed[1], rel=0.01)


def test_the_estimate_is_above_what_was_measured_and_not_by_far(scene: Simulated) -> None:
    # Peaks of the whole process with two workers: 460–520 MiB at 256×256×3000, 640–800 MiB at 608×608×2000.
    for shape, frames, measured in (((256, 256), 3000, 520), ((608, 608), 2000, 800)):
        estimate = needed_bytes(recording(scene, shape, frames), PARAMETERS, 2) / 2**20
        assert 0.8 * measured < estimate < 2 * measured


def test_workers_are_left_out_until_the_rest_fits(scene: Simulated) -> None:
    large = recording(scene, (608, 608), 2000)
    limit = needed_bytes(large, PARAMETERS, 3)
    assert plan_workers(large, PARAMETERS, Resources(Path(), 8, limit)) == 3
    assert plan_workers(large, PARAMETERS, Resources(Path(), 2, limit)) == 2


def test_a_limit_that_holds_not_even_one_worker_is_refused_before_the_work(scene: Simulated, tmp_path: Path) -> None:
    resources = Resources(tmp_path, 2, 100 * 2**20)
    with pytest.raises(EngineError, match=r"need \d+ MiB with one worker.*100 MiB.*MINISCOPE_MEMORY_LIMIT"):
        CnmfeEngine().run(scene.recording(), PARAMETERS, tmp_path / "out", silent, resources)
    assert not (tmp_path / "out").exists()


def test_the_result_does_not_hang_on_the_limit(scene: Simulated, found: ProcessingResult, tmp_path: Path) -> None:
    given = CnmfeParameters(cell_diameter_px=10)
    tight = Resources(tmp_path, 2, needed_bytes(scene.recording(), given, 1))
    result = CnmfeEngine().run(scene.recording(), given, tmp_path / "out", silent, tight)
    np.testing.assert_array_equal(result.traces, found.traces)
