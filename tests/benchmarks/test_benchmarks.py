"""The measuring itself, on the recording that ships: it works, and the scores are of the order they must be."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks import peers, table
from tests.benchmarks.__main__ import main
from tests.benchmarks.cases import Case, Measured, demo_case, measure
from tests.benchmarks.repeats import tell


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return demo_case(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def measured(demo: Case) -> Measured:
    return measure(demo, {"method": "cnmfe"}, workers=1)


def test_demo_scores_as_an_engine_that_works(measured: Measured) -> None:
    # It scores 0.90; of 47 cells, each lost or wrong one costs about 0.01.
    assert measured.score.f1 >= 0.85
    assert measured.score_iou.f1 >= 0.8
    assert measured.score_all.recall >= measured.score.recall
    # What the simulator's noise leaves: a trace that tells events apart, motion to half a pixel.
    assert measured.score.trace_correlation >= 0.95
    assert measured.score.activity_correlation >= 0.7
    assert measured.score.shift_rmse_px <= 0.5


def test_row_has_a_cell_under_each_column_and_stages_follow(measured: Measured) -> None:
    header, row = table.header(), table.row(measured)
    starts = [sum(width + 1 for _, width in table.COLUMNS[:index]) for index in range(len(table.COLUMNS))]
    for (name, _), start in zip(table.COLUMNS, starts, strict=True):
        assert header[start:].startswith(name)
        assert row[start - 1 : start].isspace() or start == 0
        assert not row[start].isspace()
    assert "motion correction" in table.stages(measured)


def test_table_goes_on_after_a_peer_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run_broken.py").write_text("raise SystemExit('no licence')")
    monkeypatch.setattr(peers, "ADAPTERS", tmp_path)
    peer = f"broken={sys.executable}"
    assert main(["--demo", "--peer", peer, "--peer", peer, "--bar", "0.85"]) == 0
    _, row, _, *failed = capsys.readouterr().out.splitlines()
    assert row.startswith("demo ")
    assert failed == ["    broken on demo ended with 1: no licence"] * 2


def test_demo_played_twice_has_the_same_cells_and_tells_what_length_costs(demo: Case, measured: Measured) -> None:
    twice = measure(demo.repeated(2), {"method": "cnmfe"}, workers=1)
    assert twice.name == "demo×2"
    assert twice.score.true_count == measured.score.true_count
    assert twice.score.f1 >= 0.85
    told = tell(measured.name, measured.cost, twice.cost)
    assert "at 600 frames" in told
    assert "at 1200; extrapolated to 600×600×111770" in told
    assert told.endswith("h CPU for 1.55 h of recording")


@pytest.mark.parametrize(
    "arguments",
    [
        ["no/such/folder"],
        ["--peer", "minian=python"],
        ["--set", "min_snr"],
        ["--simulated", "96x128"],
        ["--make", "anywhere", "dev_ca2"],
    ],
)
def test_what_cannot_be_measured_is_told_before_anything_runs(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert not told.out
