"""Is there a CaImAn to drive? What a Python has of it, what of that does not work together, and what to do."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from miniscope_core.errors import EngineError

PROBE: Final = Path(__file__).with_name("probe.py")
REMEDY: Final = (
    "Make the environment of deployments/caiman-environment.yml and set MINISCOPE_CAIMAN_PYTHON to its bin/python"
)
_PROBE_S: Final = 60
_RESOURCES_UNTIL: Final = (1, 12, 2)
"""The release that no longer imports ``pkg_resources``."""
_BOUNDS: Final = (
    ("numpy", (2,), (1, 13, 1), "NumPy < 2"),
    ("scipy", (1, 17), (1, 12, 2), "SciPy < 1.17: with a later one the fit ends in LinAlgError after many minutes"),
    ("setuptools", (81,), _RESOURCES_UNTIL, "setuptools < 81: CaImAn imports its pkg_resources"),
)
"""A package, its first version that does not do, the first release of CaImAn with which it does, and the rule; as read
in the source of 1.12.1, 1.12.2, 1.13.0 and 1.13.1."""


@dataclass(frozen=True)
class Chain:
    """What a Python told about its CaImAn."""

    python: str
    """The interpreter that was asked."""
    versions: dict[str, str]
    """Installed packages that matter, and Python itself."""
    problems: tuple[str, ...]
    """What keeps it from running; none: it will do."""
    genuine: bool
    """Whether there is a CaImAn at all, and not what PyPI calls by its name."""
    notes: tuple[str, ...]
    """What does not matter to this engine, but to other uses of that environment."""

    def refuse(self) -> None:
        """Raise where something keeps CaImAn from running.

        Raises
        ------
        EngineError
            With all of it, and what to do.
        """
        if self.problems:
            raise EngineError(f"{'; '.join(self.problems)}. {REMEDY}.")

    def describe(self) -> str:
        """Return one line with the versions."""
        listed = ", ".join(f"{name} {version}" for name, version in self.versions.items() if name != "caiman")
        noted = "".join(f"; {note}" for note in self.notes)
        return f"CaImAn {self.versions.get('caiman', 'without a version')} at {self.python} ({listed}){noted}"


def default_python(python: str) -> str:
    """Return the interpreter that a setting means: the running one where it names none."""
    return str(Path(python).expanduser()) if python else sys.executable


def examine(python: str) -> Chain:
    """Ask an interpreter what it has of CaImAn; nothing is imported there.

    Parameters
    ----------
    python
        Interpreter; empty: the running one.

    Raises
    ------
    EngineError
        When it cannot be run, or answers with something else.
    """
    python = default_python(python)
    try:
        done = subprocess.run(
            [python, str(PROBE)], capture_output=True, timeout=_PROBE_S, check=True, stdin=subprocess.DEVNULL
        )
        answer: dict[str, Any] = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        versions = {"python": str(answer["python"]), **answer["versions"]}
        problems = tuple(_problems(python, answer))
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        raise EngineError(
            f"Python for CaImAn at {python}: got {type(error).__name__} ({_short(error)}), expected an interpreter "
            f"that runs. {REMEDY}."
        ) from error
    return Chain(python, versions, problems, bool(answer["genuine"]), tuple(_notes(answer)))


def _short(error: Exception) -> str:
    lines = (getattr(error, "stderr", b"") or b"").decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else str(error)


def _problems(python: str, answer: dict[str, Any]) -> list[str]:
    versions: dict[str, str] = answer["versions"]
    where = f"CaImAn at {python}"
    if "caiman" in versions and not answer["genuine"]:
        return [
            f"{where}: got the package caiman {versions['caiman']} ({answer['summary']!r}), expected the one for "
            f"calcium imaging: the caiman of PyPI is an unrelated one of that name. Remove it: {python} -m pip "
            "uninstall caiman"
        ]
    if not answer["genuine"]:
        return [f"{where}: got a Python without it, expected CaImAn, which comes from conda-forge"]
    release = _numbers(versions.get("caiman", ""))
    problems = [
        f"{where}: got {name} {versions[name]} with CaImAn {versions['caiman']}, expected {rule}"
        for name, bound, until, rule in _BOUNDS
        if release < until and name in versions and _numbers(versions[name]) >= bound
    ]
    if release < _RESOURCES_UNTIL and not answer["modules"]["pkg_resources"]:
        problems.append(f"{where}: got no pkg_resources, expected setuptools < 81")
    if not answer["modules"]["h5py"]:
        problems.append(f"{where}: got no h5py, expected it: results come in HDF5")
    return problems


def _notes(answer: dict[str, Any]) -> list[str]:
    versions = answer["versions"]
    if "opencv-python-headless" in versions and "opencv-python" not in versions:
        return [
            "its OpenCV is the headless build, with which CaImAn itself cannot read AVI (this engine does it for it)"
        ]
    return []


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, to compare; an unknown one is newer than any."""
    parts = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts) or (sys.maxsize,)
