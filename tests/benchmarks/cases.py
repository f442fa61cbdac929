"""What is measured: a recording folder, its truth, and one run of an engine over it."""

import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miniscope_core import open_recording
from miniscope_core.demo import copy_demo, load_truth
from miniscope_core.engines.base import Resources
from miniscope_core.io.recording import Recording
from miniscope_core.pipeline.engines import engine_for, validate_parameters
from miniscope_core.progress import silent
from miniscope_core.quality import GroundTruth, Score, score_result
from miniscope_core.result import ProcessingResult
from tests.simulation import simulate

DECODE_CHUNK = 200
TRUTH_FILE = "truth.npz"
_SIMULATED = re.compile(r"(\d+)x(\d+)x(\d+):(\d+)")


@dataclass(frozen=True)
class Case:
    """One recording on disk and the truth about it."""

    name: str
    folder: Path
    truth: Path


@dataclass(frozen=True)
class Measured:
    """One run: how good, how long, how much."""

    name: str
    score: Score
    score_all: Score
    """Of all units, accepted or not: what a better acceptance could reach."""
    frame_count: int
    shape: tuple[int, int]
    timings: Mapping[str, float]
    wall_s: float
    cpu_s: float
    decode_cpu_s: float
    """CPU seconds of decoding the recording once, measured right before and after the engine ran; their mean."""
    peak_memory_bytes: int


def folder_case(folder: Path, truth: Path | None = None) -> Case:
    """Take a folder that holds ``session/`` and ``truth.npz``, or a recording with its truth elsewhere."""
    recording = folder / "session" if (folder / "session").is_dir() else folder
    found = truth or folder / TRUTH_FILE
    if not found.is_file():
        raise FileNotFoundError(f"No truth at {found}: put {TRUTH_FILE} into {folder} or pass --truth.")
    return Case(folder.name, recording, found)


def demo_case(scratch: Path) -> Case:
    """Copy the demo recording."""
    load_truth().save(scratch / "demo.npz")
    return Case("demo", copy_demo(scratch / "demo"), scratch / "demo.npz")


def simulated_case(scratch: Path, size: str, seed: int) -> Case:
    """Simulate a recording of ``HEIGHTxWIDTHxFRAMES:CELLS``, its cells as wide as the default parameters say."""
    match = _SIMULATED.fullmatch(size)
    if match is None:
        raise ValueError(f"Size of a simulated recording: got {size!r}, expected HEIGHTxWIDTHxFRAMES:CELLS.")
    height, width, frames, cells = (int(number) for number in match.groups())
    made = simulate((height, width), frames, cells, diameter_px=13.0, seed=seed)
    folder = scratch / f"simulated_{height}x{width}x{frames}_{seed}"
    made.write_v4(folder, frames_per_file=1000)
    truth = folder.with_suffix(".npz")
    GroundTruth.from_dense(made.footprints, made.traces, made.spikes, made.motion_px).save(truth)
    return Case(folder.name, folder, truth)


def measure(case: Case, parameters: Mapping[str, Any], workers: int, output: Path | None = None) -> Measured:
    """Run the engine once and score it.

    Call it in a process of its own: memory that an earlier run gave back to no one would count for this one.

    Parameters
    ----------
    case
        What to run on.
    parameters
        ``method`` and whatever differs from its defaults.
    workers
        Processes or threads the engine may use.
    output
        Where to keep the result; by default it is thrown away.
    """
    values = dict(parameters)
    method = str(values.pop("method"))
    recording = open_recording(case.folder)
    truth = GroundTruth.load(case.truth)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "scratch").mkdir()
        resources = Resources(scratch_dir=Path(scratch) / "scratch", workers=workers)
        before = decode_cpu_seconds(recording)
        start = time.perf_counter()
        result: ProcessingResult = engine_for(method).run(
            recording, validate_parameters(method, values), output or Path(scratch) / "result", silent, resources
        )
        wall = time.perf_counter() - start
        after = decode_cpu_seconds(recording)
        return Measured(
            name=case.name,
            score=score_result(result, truth),
            score_all=score_result(result, truth, units="all"),
            frame_count=recording.frame_count,
            shape=recording.shape,
            timings=dict(result.timings),
            wall_s=wall,
            cpu_s=result.info.cpu_seconds,
            decode_cpu_s=(before + after) / 2,
            peak_memory_bytes=result.peak_memory_bytes,
        )


def decode_cpu_seconds(recording: Recording) -> float:
    """Return the CPU seconds that decoding every frame once takes, on all of this process's threads."""
    start = time.process_time()
    for _ in recording.chunks(DECODE_CHUNK):
        pass
    return time.process_time() - start
