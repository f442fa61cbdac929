"""The engine: CaImAn in a process of its own, started, watched, and its result read into ours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import h5py

from miniscope_core.engines.base import Resources
from miniscope_core.engines.caiman.chain import REMEDY, default_python, examine
from miniscope_core.engines.caiman.job import (
    determine,
    make_environment,
    notes_on,
    refuse_little_space,
    write_job,
    write_movie,
)
from miniscope_core.engines.caiman.reading import CaimanResult, read_caiman
from miniscope_core.engines.caiman.watch import Ended, Limits, Message, last_lines, watch
from miniscope_core.engines.caiman.writing import write_result
from miniscope_core.engines.measure import Measure
from miniscope_core.errors import EngineError, MiniscopeError
from miniscope_core.io.recording import Recording
from miniscope_core.models.caiman import CaimanParameters
from miniscope_core.progress import Progress
from miniscope_core.result import ProcessingResult

WORKER: Final = Path(__file__).with_name("worker.py")
_LEAST_FRAMES: Final = 100
"""CaImAn takes its first template and its noise from windows of the movie; shorter ones give neither."""

_REMEDIES: Final = {
    "nothing found": "Lower min_corr and min_pnr, or check gSig against the width of a cell.",
    "memory": "Take fewer n_processes or a smaller rf.",
}
_SAMPLE_S: Final = 0.5


class CaimanEngine:
    """Drives the real CaImAn, which may belong to another Python environment; see ``deployments/caiman.md``.

    Parameters
    ----------
    python
        Interpreter that has CaImAn; empty: the running one.
    time_limit_s
        Time after which the worker is ended.
    idle_limit_s
        Time without any work after which the worker is taken to hang.
    """

    def __init__(self, python: str = "", time_limit_s: float = 86_400.0, idle_limit_s: float = 900.0) -> None:
        self.python = default_python(python)
        self.time_limit_s = time_limit_s
        self.idle_limit_s = idle_limit_s

    def run(
        self,
        recording: Recording,
        parameters: CaimanParameters,
        output_dir: Path,
        progress: Progress,
        resources: Resources,
    ) -> ProcessingResult:
        """Process a recording; see :class:`miniscope_core.engines.base.Engine`.

        All files of the recording are one movie, decoded by our reader. Footprints have Euclidean length 1, as CaImAn
        scales them.

        Raises
        ------
        EngineError
            When there is no CaImAn that would run, or it ends without a whole result, for whatever reason.
        ParameterError
            When the parameters contradict the recording.
        """
        determined = determine(parameters, recording, resources.workers)
        _refuse_short(recording)
        examine(self.python).refuse()
        refuse_little_space(recording, resources.scratch_dir)
        work = resources.scratch_dir / "caiman"
        work.mkdir()
        with Measure(_SAMPLE_S) as measure:
            movie, saved = work / "movie.hdf5", work / "result.hdf5"
            with measure.stage("frames for CaImAn"):
                write_movie(recording, movie, progress)
            write_job(determined, movie, saved, work, work / "job.json")
            told = self._drive(determined, work, progress, resources.memory_limit_bytes)
            _refuse_damaged(saved, told)
            with measure.stage("reading the result"):
                read = read_caiman(saved)
            _refuse_other(read, recording)
        return write_result(
            read,
            output_dir,
            fps=recording.fps,
            timestamps_s=recording.timestamps_s,
            parameters=determined.model_dump(mode="json"),
            versions=told.versions,
            timings={**measure.timings, **told.timings},
            cell_diameter_px=determined.cell_diameter_px if parameters.gSig is None else None,
            cpu_seconds=measure.cpu_seconds,
            peak_memory_bytes=measure.peak_memory_bytes,
            notes=notes_on(determined, recording),
        )

    def _drive(self, parameters: CaimanParameters, work: Path, progress: Progress, memory_limit_bytes: int) -> "_Told":
        """Run the worker to its end and return what it told; raise where that is no success."""
        told, log = _Told(progress), work / "worker.log"
        limits = Limits(memory_limit_bytes, self.time_limit_s, self.idle_limit_s)
        command = [self.python, str(WORKER), str(work / "job.json")]
        try:
            ended = watch(command, make_environment(work, parameters.use_cnn), work, log, limits, told.receive)
        except OSError as error:
            if isinstance(error, MiniscopeError):
                raise
            raise EngineError(
                f"CaImAn at {self.python}: cannot be started ({error}), expected an interpreter. {REMEDY}."
            ) from error
        problem = _problem(ended, told, limits)
        if problem:
            raise EngineError(f"CaImAn at {self.python}{told.where}: {problem}{_last(log, ended)}")
        return told


@dataclass
class _Told:
    """What the worker told so far."""

    progress: Progress
    stage: str = ""
    done: bool = False
    failure: Message | None = None
    versions: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The stage it is or was in, for a message."""
        return f" in {self.stage}" if self.stage else ""

    def receive(self, message: Message) -> None:
        """Take one message; one that says nothing intelligible is left alone."""
        if message["event"] == "stage" and isinstance(message.get("stage"), str):
            self.stage = message["stage"]
            done, total = message.get("done"), message.get("total")
            if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total and total >= 1:
                self.progress(self.stage, done, total)
        elif message["event"] == "failed":
            self.failure = message
        elif message["event"] == "done":
            self.done = True
            self.versions = {str(name): str(value) for name, value in _mapping(message, "versions").items()}
            self.timings = {
                str(name): float(value)
                for name, value in _mapping(message, "timings").items()
                if isinstance(value, int | float)
            }


def _mapping(message: Message, name: str) -> Mapping[Any, Any]:
    value = message.get(name)
    return value if isinstance(value, Mapping) else {}


def _problem(ended: Ended, told: _Told, limits: Limits) -> str:
    """Return why a worker's end is no success, with a remedy; empty where it is one."""
    by_limit = {
        "memory": f"got {ended.peak_bytes / 2**20:,.0f} MiB of memory in use, expected at most "
        f"{limits.memory_bytes / 2**20:,.0f} MiB. Raise MINISCOPE_MEMORY_LIMIT, or take fewer n_processes or a smaller "
        "rf.",
        "time": f"got no result in {limits.time_s:.0f} s. Raise MINISCOPE_TIME_LIMIT, or take a shorter recording.",
        "idle": f"got no work done in {limits.idle_s:.0f} s, expected progress: it hangs, as its pool does where one "
        "of its processes is killed. Is memory short? Take fewer n_processes.",
    }
    if ended.reason:
        return by_limit[ended.reason]
    if told.failure is not None:
        return _failure(told.failure)
    if ended.status == -9:
        return "it was killed. Did the system run out of memory? Take fewer n_processes or a smaller rf."
    if ended.status:
        how = f"signal {-ended.status}" if ended.status < 0 else f"status {ended.status}"
        return f"it ended with {how}, expected a result. Its last lines say more."
    return "" if told.done else "it ended without a result and without an error. Is the worker of this version?"


def _failure(failure: Message) -> str:
    reason = str(failure.get("reason", "no reason told"))
    remedy = _REMEDIES.get(str(failure.get("kind")), "The parameters may not suit the recording.")
    return f"{reason.rstrip('.')}. {remedy}"


def _last(log: Path, ended: Ended) -> str:
    """Return the worker's last lines for a message."""
    lines = [*ended.stray, *last_lines(log)]
    return f" Last lines: {' | '.join(lines[-5:])}" if lines else ""


def _refuse_damaged(saved: Path, told: _Told) -> None:
    """Refuse a result that is not there or not whole, whatever was told of it."""
    try:
        with h5py.File(saved, "r") as file:
            if "estimates" in file:
                return
        reason = "it has no estimates"
    except OSError as error:
        reason = str(error)
    raise EngineError(
        f"CaImAn's result at {saved.name}{told.where}: got {reason}, expected a whole HDF5 file. Is the disk full?"
    )


def _refuse_other(read: CaimanResult, recording: Recording) -> None:
    """Refuse a result without units, or of another movie."""
    got, expected = (read.frame_count, *read.shape), (recording.frame_count, *recording.shape)
    if got != expected:
        raise EngineError(
            f"CaImAn's result for {recording.directory}: got {got[0]} frames of {got[1]}×{got[2]} px, expected "
            f"{expected[0]} of {expected[1]}×{expected[2]} px. Does extra change the movie? Leave it out."
        )
    if not read.unit_count:
        raise EngineError(
            f"CaImAn's result for {recording.directory}: got no components, expected some. {_REMEDIES['nothing found']}"
        )


def _refuse_short(recording: Recording) -> None:
    if recording.frame_count < _LEAST_FRAMES:
        raise EngineError(
            f"Recording at {recording.directory}: got {recording.frame_count} frames, expected at least "
            f"{_LEAST_FRAMES}. Is the copy complete?"
        )
