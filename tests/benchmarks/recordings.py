"""The recordings with known truth that engines are compared on, made by the public simulator minisim.

Making one needs a Python with minisim, which pins zarr 2 and so has an environment of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.cases import TRUTH_FILE

REQUIREMENTS: Final = ("minisim==1.0.3", "opencv-python-headless")
"""One version of the simulator: the same seed gives everybody the same movie."""
_SCRIPT: Final = Path(__file__).parent / "foreign" / "simulate_minisim.py"
_ENVIRONMENT: Final = ".minisim"
_SPEC: Final = re.compile(r"(ca1|l23):(\d+):(\d+(?:\.\d+)?):(\d+)")


@dataclass(frozen=True)
class RecordingSpec:
    """All that decides a simulated recording."""

    region: str
    """``ca1``, or ``l23``: layers 2 and 3 of the cortex."""
    size_px: int
    """Height and width."""
    seconds: float
    """Duration, at 20 Hz."""
    seed: int


NAMED: Final[Mapping[str, RecordingSpec]] = {
    "dev_ca1": RecordingSpec("ca1", 256, 150, 21),
    "dev_l23": RecordingSpec("l23", 256, 150, 22),
    "perf_ca1_608": RecordingSpec("ca1", 608, 100, 41),
}
"""Those whose scores are published. Engines are developed on the first two; judge them on further seeds."""


def parse_spec(text: str) -> tuple[str, RecordingSpec]:
    """Return the folder name and the spec of a name such as ``dev_ca1`` or of ``REGION:SIZE_PX:SECONDS:SEED``."""
    if text in NAMED:
        return text, NAMED[text]
    match = _SPEC.fullmatch(text)
    if match is None:
        raise ValueError(
            f"Recording to make: got {text!r}, expected one of {', '.join(NAMED)}, or REGION:SIZE_PX:SECONDS:SEED "
            "such as ca1:256:150:121 (regions: ca1, l23)."
        )
    region, size, seconds, seed = match.groups()
    return text.replace(":", "_"), RecordingSpec(region, int(size), float(seconds), int(seed))


def make_recording(folder: Path, text: str, python: Path | None = None) -> Path:
    """Make one recording below a folder, unless it is there already, and return where it is.

    ::

        folder/dev_ca1/
          session/     as Miniscope-DAQ-QT writes it
          truth.npz

    Parameters
    ----------
    folder
        Created with its parents.
    text
        As :func:`parse_spec` takes it.
    python
        Interpreter that has minisim; by default an environment is made in the folder and minisim installed there.

    Raises
    ------
    ValueError
        When the text names no recording.
    OSError
        When minisim cannot be installed or fails, with its last words.
    """
    name, spec = parse_spec(text)
    made = folder / name
    if (made / TRUTH_FILE).is_file():
        return made
    partial = folder / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    interpreter = python or minisim_python(folder)
    print(f"Simulating {name} ({spec.size_px}×{spec.size_px}, {spec.seconds:g} s, seed {spec.seed}).", flush=True)
    _call([str(interpreter), str(_SCRIPT), str(partial), json.dumps(asdict(spec))], f"Simulating {name}")
    os.replace(partial, made)
    return made


def minisim_python(folder: Path) -> Path:
    """Return the interpreter of an environment with minisim below a folder; it is made when it is not there."""
    environment = folder / _ENVIRONMENT
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = environment / "ready"
    if not ready.is_file():
        print(f"Installing {' and '.join(REQUIREMENTS)} into {environment}.", flush=True)
        venv.create(environment, clear=True, with_pip=True)
        _call([str(python), "-m", "pip", "install", "-q", *REQUIREMENTS], f"Installing minisim into {environment}")
        ready.touch()
    return python


def _call(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        raise OSError(f"{what}: {command[0]} cannot be run ({error.strerror}). Pass --minisim-python.") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(f"{what}: {command[0]} ended with {done.returncode}: {last}")
