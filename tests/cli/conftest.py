"""Running the program ``miniscope`` as its user does, in this process, with a home of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from miniscope_core.cli import main

MiniscopeProgram = Callable[..., "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left on the screen."""

    status: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty MINISCOPE_HOME; nothing of the caller's own settings is seen."""
    for name in ("DATABASE_URL", "STORE_URL", "STORE_OPTIONS", "RAW_ROOTS", "RAW_OPTIONS", "SCRATCH_DIR"):
        monkeypatch.delenv(f"MINISCOPE_{name}", raising=False)
    monkeypatch.setenv("MINISCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


@pytest.fixture
def miniscope(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> MiniscopeProgram:
    """Return a function that runs ``miniscope`` with arguments and gives status and output."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["miniscope", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return run
