"""``miniscope demo`` and ``miniscope run``: the whole way as a newcomer goes it, scored against the truth."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from miniscope_core.cli import main


@pytest.fixture
def miniscope(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    for name in list(os.environ):
        if name.startswith("MINISCOPE_"):
            monkeypatch.delenv(name)
    # The program sets it; put back afterwards.
    monkeypatch.setenv("MINISCOPE_HOME", str(tmp_path / "unused"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["miniscope", *map(str, arguments)])
        main_status = 0
        try:
            main()
        except SystemExit as ended:
            main_status = int(ended.code or 0)
        printed = capsys.readouterr()
        assert main_status == 0, printed.err
        return printed.out

    return run


def test_demo_finds_most_cells_says_so_and_its_next_commands_work(
    miniscope: Callable[..., str], tmp_path: Path
) -> None:
    printed = miniscope("demo")
    score = re.search(r"F1 (\d\.\d+).*shift error (\d\.\d+) px", printed)
    assert score is not None
    assert float(score[1]) >= 0.8  # 0.90 when it was written; the engine's own bound is 0.6
    assert float(score[2]) <= 0.5
    assert len(list((tmp_path / "miniscope-demo" / "pictures").glob("*.png"))) >= 6
    assert not (tmp_path / "unused").exists()
    commands = [line.split() for line in printed.splitlines() if line.startswith("  miniscope --home")]
    assert [words[3] for words in commands] == ["status", "curate", "plot"]
    for words in commands:
        # A page is served until somebody ends it; a decision by options asks the same of its key.
        assert miniscope(*words[1:], *(["--as-is"] if words[3] == "curate" else []))
    again = miniscope("demo")
    assert "Unchanged, processed before" in again
