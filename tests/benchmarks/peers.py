"""Other tools on the same recordings, each in a Python of its own, scored and counted as our engines are.

A tool is known by its adapter, ``foreign/run_NAME.py``: a script that gets a job as JSON (``files`` in order, ``fps``,
``cell_diameter_px``, ``decay_s``, ``workers``, ``scratch``, ``output``) and writes one npz::

    footprints_data, footprints_indices, footprints_indptr   sparse rows, (unit, height·width) in C order
    shape          (2,)              height and width, px
    traces         (unit, frame)
    activity       (unit, frame)
    shifts_px      (frame, 2)        the correction applied, (dy, dx)
    accepted       (unit,)           the tool's own acceptance
    timings        JSON              wall seconds per stage
    version
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.errors import MiniscopeError
from tests.benchmarks.cases import Case, Measured, Units, cost_of, decode_cpu_seconds, judge
from tests.benchmarks.watch import watched

ADAPTERS: Final = Path(__file__).parent / "foreign"
# True of every recording of the table; each tool gets the same.
_CELL_DIAMETER_PX: Final = 13.0
_DECAY_S: Final = 0.6
_WRITTEN: Final = (
    *("footprints_data", "footprints_indices", "footprints_indptr", "shape", "traces", "activity", "shifts_px"),
    *("accepted", "timings", "version"),
)


class PeerError(MiniscopeError, RuntimeError):
    """A tool could not be run, or failed."""


@dataclass(frozen=True)
class Peer:
    """An installed tool."""

    name: str
    python: Path
    adapter: Path


def parse_peer(text: str) -> Peer:
    """Return the tool of ``NAME=PATH_TO_PYTHON``."""
    name, _, python = text.partition("=")
    adapter = ADAPTERS / f"run_{name}.py"
    if not python or not adapter.is_file():
        known = ", ".join(sorted(path.stem.removeprefix("run_") for path in ADAPTERS.glob("run_*.py")))
        raise ValueError(f"Peer {text!r}: expected NAME=PATH_TO_PYTHON with NAME one of {known}.")
    return Peer(name, Path(python), adapter)


def measure_peer(case: Case, peer: Peer, workers: int) -> Measured:
    """Run a tool once on a recording and score it.

    Raises
    ------
    PeerError
        When it cannot be run or fails, with its last words.
    ResultError
        When what it wrote does not fit the recording.
    """
    if case.repeat > 1 or case.rim:
        raise PeerError(f"{peer.name} reads the video files itself: it is not run on a recording repeated or darkened.")
    recording, truth = case.open()
    with tempfile.TemporaryDirectory() as folder:
        scratch, output = Path(folder) / "scratch", Path(folder) / "found.npz"
        scratch.mkdir()
        job = {
            "files": [str(file.path) for file in recording.files],
            "fps": recording.fps,
            "cell_diameter_px": _CELL_DIAMETER_PX,
            "decay_s": _DECAY_S,
            "workers": workers,
            "scratch": str(scratch),
            "output": str(output),
        }
        before = decode_cpu_seconds(recording)
        (Path(folder) / "job.json").write_text(json.dumps(job))
        log = Path(folder) / "log.txt"
        try:
            usage = watched([str(peer.python), str(peer.adapter), str(Path(folder) / "job.json")], log)
        except OSError as error:
            raise PeerError(f"{peer.name}: {peer.python} cannot be run ({error.strerror}).") from error
        if usage.exit_code or not output.is_file():
            raise PeerError(f"{peer.name} on {case.name} ended with {usage.exit_code}: {_last_words(log)}")
        arrays = _read(peer, output)
    return judge(
        case,
        f"{peer.name} {arrays['version']}",
        _units(arrays),
        truth,
        timings=json.loads(str(arrays["timings"])),
        cost=cost_of(recording, usage.wall_s, usage.cpu_s, usage.peak_memory_bytes),
        decode_cpu_s=(before + decode_cpu_seconds(recording)) / 2,
    )


def _read(peer: Peer, output: Path) -> dict[str, NDArray[Any]]:
    with np.load(output, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    missing = [name for name in _WRITTEN if name not in arrays]
    if missing:
        raise PeerError(f"{peer.name}: {peer.adapter.name} wrote no {', '.join(missing)}.")
    return arrays


def _units(arrays: dict[str, NDArray[Any]]) -> Units:
    parts = tuple(arrays[f"footprints_{part}"] for part in ("data", "indices", "indptr"))
    footprints = sp.csr_array(parts, shape=(len(arrays["accepted"]), int(np.prod(arrays["shape"]))))
    return Units(footprints, arrays["traces"], arrays["activity"], arrays["shifts_px"], arrays["accepted"])


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"
