"""What is measured: a recording folder, its truth, and one run of an engine over it."""

import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core import open_recording
from miniscope_core.demo import copy_demo, load_truth
from miniscope_core.engines.base import Resources
from miniscope_core.io.recording import Recording
from miniscope_core.pipeline.engines import engine_for, validate_parameters
from miniscope_core.progress import silent
from miniscope_core.quality import GroundTruth, Score, score_units
from miniscope_core.quality.scoring import Similarity
from miniscope_core.result import ProcessingResult
from miniscope_core.settings import Settings
from tests.benchmarks.repeats import Cost, repeat_recording, repeat_truth
from tests.benchmarks.rims import rimmed_recording, rimmed_truth
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
    repeat: int = 1
    """How often it is played."""
    rim: float = 0.0
    """Radius of the lens it is seen through, in parts of the field; 0: none."""

    def open(self) -> tuple[Recording, GroundTruth]:
        """Open the recording and its truth."""
        return self.open_recording(), self.open_truth()

    def open_recording(self) -> Recording:
        """Open the recording alone."""
        recording = open_recording(self.folder)
        if self.rim:
            recording = rimmed_recording(recording, self.rim)
        return recording if self.repeat == 1 else repeat_recording(recording, self.repeat)

    def open_truth(self) -> GroundTruth:
        """Load the truth, which grows with the length of the recording."""
        truth = GroundTruth.load(self.truth)
        if self.rim:
            truth = rimmed_truth(truth, self.rim)
        return truth if self.repeat == 1 else repeat_truth(truth, self.repeat)

    def repeated(self, times: int) -> "Case":
        """Return the case that plays this recording several times."""
        return replace(self, name=f"{self.name}×{times}", repeat=times)


@dataclass(frozen=True)
class Units:
    """What any method found, in our conventions."""

    footprints: "sp.csr_array"
    """(unit, height·width), C-ordered pixels."""
    traces: NDArray[np.floating]
    activity: NDArray[np.floating]
    shifts_px: NDArray[np.floating]
    """(frame, 2), the correction applied, (dy, dx)."""
    accepted: NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """One run: how good, how long, how much."""

    name: str
    method: str
    score: Score
    score_all: Score
    """Of all units, accepted or not: what a better acceptance could reach."""
    score_iou: Score
    """Of the accepted units, by the overlap of masks."""
    timings: Mapping[str, float]
    """Wall seconds per stage."""
    cost: Cost
    decode_cpu_s: float
    """CPU seconds of decoding the recording once, measured right before and after the run; their mean."""


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
    recording = case.open_recording()  # the truth comes after the run: its memory is none of the engine's
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "scratch").mkdir()
        resources = Resources(scratch_dir=Path(scratch) / "scratch", workers=workers)
        engine = engine_for(method, Settings())
        before = decode_cpu_seconds(recording)
        start = time.perf_counter()
        result: ProcessingResult = engine.run(
            recording, validate_parameters(method, values), output or Path(scratch) / "result", silent, resources
        )
        wall = time.perf_counter() - start
        return judge(
            case,
            method,
            Units(result.footprints, result.traces, result.activity, result.shifts_px, result.accepted),
            case.open_truth(),
            timings=dict(result.timings),
            cost=cost_of(recording, wall, result.info.cpu_seconds, result.peak_memory_bytes),
            decode_cpu_s=(before + decode_cpu_seconds(recording)) / 2,
        )


def judge(
    case: Case,
    method: str,
    units: Units,
    truth: GroundTruth,
    *,
    timings: Mapping[str, float],
    cost: Cost,
    decode_cpu_s: float,
) -> Measured:
    """Score what was found, in all the ways the table shows."""
    return Measured(
        name=case.name,
        method=method,
        score=_score(units, units.accepted, truth),
        score_all=_score(units, np.ones_like(units.accepted), truth),
        score_iou=_score(units, units.accepted, truth, "iou"),
        timings=timings,
        cost=cost,
        decode_cpu_s=decode_cpu_s,
    )


def _score(units: Units, keep: NDArray[np.bool_], truth: GroundTruth, similarity: Similarity = "cosine") -> Score:
    return score_units(
        sp.csr_array(units.footprints[np.flatnonzero(keep)]),
        truth,
        traces=units.traces[keep],
        activity=units.activity[keep],
        shifts_px=units.shifts_px,
        similarity=similarity,
    )


def cost_of(recording: Recording, wall_s: float, cpu_s: float, peak_memory_bytes: int) -> Cost:
    """Return what a run over a recording took."""
    seconds = {"wall": wall_s, "CPU": cpu_s}
    return Cost(recording.shape, recording.frame_count, recording.fps, seconds, peak_memory_bytes)


def decode_cpu_seconds(recording: Recording) -> float:
    """Return the CPU seconds that decoding every frame once takes, on all of this process's threads."""
    start = time.process_time()
    for _ in recording.chunks(DECODE_CHUNK):
        pass
    return time.process_time() - start
