"""The built-in engine as a whole: what it finds, what it writes, and what it does with odd recordings."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.engines.base import Resources
from miniscope_core.engines.cnmfe import CnmfeEngine
from miniscope_core.errors import EngineError, VideoError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.progress import silent
from miniscope_core.quality import GroundTruth, score_result
from miniscope_core.result import ARRAYS, ProcessingResult
from tests.engines.conftest import Run
from tests.simulation import ArraySource, Simulated, simulate

UNIT_ARRAYS = ("accepted", "snr", "r_value", "baseline", "noise", "decay_time_s")
ROWS = ("fluorescence", "traces", "activity")


def still(scene: Simulated, movie: NDArray[Any]) -> Recording:
    """Return another movie with the clock of a scene."""
    count, height, width = movie.shape
    return replace(
        scene.recording(),
        shape=(height, width),
        dtype=movie.dtype,
        timestamps_s=scene.timestamps_s[:count],
        source=ArraySource(movie),
    )


def truth_of(scene: Simulated) -> GroundTruth:
    return GroundTruth.from_dense(scene.footprints, scene.traces, scene.spikes, scene.motion_px)


def test_most_cells_are_found_with_their_traces_and_activity(scene: Simulated, found: ProcessingResult) -> None:
    # Twelve bright, mostly separate cells: all but two must be found. What else is accepted can only be cells that
    # are no part of the truth: the six deep ones and those cut by the edge.
    score = score_result(found, truth_of(scene))
    assert score.recall >= 0.8
    assert score.f1 >= 0.6
    # White noise at a tenth of a transient's height leaves a demixed, denoised trace above 0.95.
    assert score.trace_correlation >= 0.9
    assert score.activity_correlation >= 0.6


def test_shifts_are_the_correction_within_a_quarter_pixel(scene: Simulated, found: ProcessingResult) -> None:
    error = found.shifts_px + scene.motion_px
    error = error - error.mean(0)
    assert np.sqrt(np.mean(error**2)) < 0.25
    assert not len(found.read("outlier_frames"))


def test_every_array_has_the_axes_it_promises(scene: Simulated, found: ProcessingResult) -> None:
    units, frames = found.unit_count, len(scene.movie)
    lengths = {"unit": units, "frame": frames, "yx": 2, "y": scene.shape[0], "x": scene.shape[1], "row": units + 1}
    assert {*ROWS, *UNIT_ARRAYS, "shifts_px", "seeds_px", "image_pnr", "image_correlation"} <= set(found.array_names)
    for name in found.array_names:
        values = found.read(name)
        expected = [lengths.get(axis) for axis in ARRAYS[name].axes]
        assert all(want in (None, got) for want, got in zip(expected, values.shape, strict=True)), name
        if values.dtype.kind == "f":
            assert np.isfinite(values).all(), name


def test_footprints_lie_where_the_cells_are_and_seeds_within_the_field(
    scene: Simulated, found: ProcessingResult
) -> None:
    height, width = scene.shape
    seeds = found.read("seeds_px")
    assert ((seeds >= 0) & (seeds < (height, width))).all()
    images = found.footprints.toarray().reshape(-1, height, width)
    assert images.min() >= 0
    np.testing.assert_allclose(images.max((1, 2)), 1, rtol=1e-5)
    # The brightest cell: the peak of some footprint is within half a cell of it.
    bright = int(scene.traces.max(1).argmax())
    y, x = np.unravel_index(int(scene.footprints[bright].argmax()), scene.shape)
    peaks = np.array([np.unravel_index(int(image.argmax()), scene.shape) for image in images])
    assert np.hypot(*(peaks - (y, x)).T).min() < 5


def test_activity_is_never_negative_and_traces_stay_near_the_fluorescence(found: ProcessingResult) -> None:
    assert found.activity.min() >= 0
    residual = found.fluorescence - found.traces
    assert np.median(residual.std(1) / found.read("noise")) < 2


def test_the_result_is_the_same_bit_for_bit_whatever_the_number_of_workers(scene: Simulated, run_engine: Run) -> None:
    recording = still(scene, scene.movie[:300, :64, :80])
    alone, together = run_engine(recording, workers=1), run_engine(recording, workers=3)
    assert alone.unit_count > 0
    assert alone.array_names == together.array_names
    for name in alone.array_names:
        np.testing.assert_array_equal(alone.read(name), together.read(name), err_msg=name)


def test_a_movie_of_pure_noise_has_no_cells_and_says_so(run_engine: Run) -> None:
    scene = simulate(frame_count=300, seed=1, motion_px=0)
    noise = np.random.default_rng(0).poisson(60, (300, 64, 80)).astype(np.uint8)
    result = run_engine(still(scene, noise))
    assert result.unit_count == 0
    assert result.fluorescence.shape == (0, 300)
    assert result.footprints.shape == (0, 64 * 80)
    assert any("No cells" in note for note in result.info.notes)
    # Shifts of noise would be noise.
    assert not result.shifts_px.any()
    assert any("No motion" in note for note in result.info.notes)


def test_a_movie_that_never_changes_has_no_cells_and_no_motion(scene: Simulated, run_engine: Run) -> None:
    frozen = np.repeat(scene.movie[:1], 100, axis=0)
    result = run_engine(still(scene, frozen))
    assert result.unit_count == 0
    np.testing.assert_allclose(result.shifts_px, 0, atol=1e-3)


def test_sixteen_bit_movies_of_odd_size_work(run_engine: Run) -> None:
    scene = simulate(shape=(79, 101), frame_count=400, cell_count=6, seed=5, dtype=np.uint16, diameter_px=13)
    result = run_engine(scene.recording(), cell_diameter_px=13.0)
    assert result.shape == (79, 101)
    score = score_result(result, truth_of(scene))
    assert score.recall >= 0.6
    assert (
        np.sqrt(np.mean((result.shifts_px + scene.motion_px - np.mean(result.shifts_px + scene.motion_px, 0)) ** 2))
        < 0.5
    )


@pytest.mark.parametrize(
    ("shape", "frames", "word"), [((96, 128), 10, "10 frames"), ((20, 128), 100, "20×128")], ids=["short", "small"]
)
def test_a_recording_too_short_or_too_small_is_refused(
    scene: Simulated, run_engine: Run, shape: tuple[int, int], frames: int, word: str
) -> None:
    movie = scene.movie[:frames, : shape[0], : shape[1]]
    with pytest.raises(EngineError, match=word):
        run_engine(still(scene, movie))


def test_a_full_disk_is_refused_before_the_work_with_folder_and_bytes(
    scene: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(EngineError, match=rf"{tmp_path}.*1,000 bytes free, expected at least [\d,]+"):
        CnmfeEngine().run(
            still(scene, scene.movie[:50]),
            CnmfeParameters(cell_diameter_px=10),
            tmp_path / "out",
            silent,
            Resources(tmp_path),
        )


def test_a_disk_that_fills_up_on_the_way_is_an_engine_error(
    scene: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(EngineError, match="No space left"):
        CnmfeEngine().run(
            still(scene, scene.movie[:50]),
            CnmfeParameters(cell_diameter_px=10),
            tmp_path / "out",
            silent,
            Resources(tmp_path),
        )


def test_an_error_of_the_recording_is_not_taken_for_one_of_the_disk(scene: Simulated, run_engine: Run) -> None:
    class Broken:
        def read(self, start: int, stop: int, step: int) -> NDArray[np.uint8]:
            raise VideoError("Video 1.avi is cut short.")

    with pytest.raises(VideoError, match="cut short"):
        run_engine(replace(scene.recording(), source=Broken()))


def test_stages_report_progress_up_to_their_end_and_are_timed(scene: Simulated, run_engine: Run) -> None:
    steps: dict[str, list[tuple[int, int]]] = {}

    def note(stage: str, done: int, total: int) -> None:
        steps.setdefault(stage, []).append((done, total))

    result = run_engine(still(scene, scene.movie[:200]), progress=note)
    assert {"motion correction", "factorisation"} <= set(steps)
    for stage, calls in steps.items():
        assert [done for done, _ in calls] == sorted(done for done, _ in calls), stage
        assert calls[-1][0] == calls[-1][1], stage
    assert set(result.timings) >= {"motion correction", "factorisation", "writing"}
    assert result.info.cpu_seconds > 0
    assert result.peak_memory_bytes > 2**20
    assert result.parameters["cell_diameter_px"] == 10.0


def test_nothing_is_written_outside_output_and_scratch(
    scene: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "work"))
    recording = still(scene, scene.movie[:100])
    CnmfeEngine().run(
        recording, CnmfeParameters(cell_diameter_px=10), tmp_path / "out", silent, Resources(tmp_path / "scratch")
    )
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "work", "out"}
    assert not list((tmp_path / "work").iterdir())
