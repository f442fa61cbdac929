"""A stand-in for a Python that has CaImAn: it answers the probe, and as the worker behaves well or badly."""

import json
import sys
from pathlib import Path
from typing import Any, Final

ANSWER: Final[dict[str, Any]] = {
    "python": "3.11.9",
    "executable": "stand-in",
    "versions": {"caiman": "1.12.1", "numpy": "1.26.4", "scipy": "1.14.1", "h5py": "3.12.1", "setuptools": "75.0.0"},
    "summary": "Advanced algorithms for ROI detection and deconvolution of Calcium Imaging datasets.",
    "importable": True,
    "genuine": True,
    "modules": {"h5py": True, "cv2": True, "pkg_resources": True},
}
"""What the probe says of a Python that will do."""

_PROGRAM: Final = """#!{python}
import json, os, shutil, subprocess, sys, time
from pathlib import Path

def tell(event, **fields):
    print(json.dumps(dict(event=event, **fields)), flush=True)

def stage(name):
    tell("stage", stage=name, done=0, total=1)
    tell("stage", stage=name, done=1, total=1)

def done(components=3):
    tell("done", versions=dict(caiman="1.12.1", numpy="1.26.4"), timings=dict(factorisation=1.5), components=components)

if sys.argv[1].endswith("probe.py"):
    print({answer!r})
    sys.exit()
job = json.loads(Path(sys.argv[2]).read_text())
output = Path(job["output"])
Path({notes!r}).write_text(json.dumps(dict(pid=os.getpid(), job=job, cwd=os.getcwd(), environment=dict(os.environ))))
for name in ("importing CaImAn", "motion correction"):
    stage(name)
tell("stage", stage="factorisation", done=0, total=1)
{behaviour}
"""


def make_standin(folder: Path, behaviour: str, **answer: Any) -> str:
    """Write an interpreter that behaves as told when it runs the worker, and return its path.

    What it was asked is in ``notes.json`` beside it afterwards.

    Parameters
    ----------
    folder
        Where to write it.
    behaviour
        Python; it has ``tell``, ``stage``, ``done``, ``job`` and ``output``.
    answer
        What the probe says otherwise than :data:`ANSWER`.
    """
    path = folder / "python"
    path.write_text(
        _PROGRAM.format(
            python=sys.executable,
            answer=json.dumps({**ANSWER, **answer}),
            notes=str(folder / "notes.json"),
            behaviour=behaviour,
        )
    )
    path.chmod(0o755)
    return str(path)
