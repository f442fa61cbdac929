"""``--join``: recordings of a folder as one movie, for ``inspect``, ``process`` and ``ingest``."""

from datetime import datetime
from pathlib import Path

import pytest

from miniscope_core import load_result
from tests.cli.conftest import MiniscopeProgram
from tests.simulation import simulate


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("day")
    scene = simulate(shape=(72, 88), frame_count=200, cell_count=6, diameter_px=10, seed=3)
    scene.write_v4(made / "14_30_15", start=datetime(2024, 3, 5, 14, 30, 15))
    scene.write_v4(made / "14_40_15", start=datetime(2024, 3, 5, 14, 40, 15))
    return made


def test_inspect_tells_where_each_recording_lies_and_the_pauses(miniscope: MiniscopeProgram, day: Path) -> None:
    seen = miniscope("inspect", day, "--join")
    assert seen.status == 0, seen.err
    assert "from frame 200, 600.0 s" in seen.out
    assert "pauses of 590.0 s" in " ".join(seen.out.split())


def test_process_keeps_the_parts_in_the_result(miniscope: MiniscopeProgram, day: Path, tmp_path: Path) -> None:
    seen = miniscope("process", day, "--join", "--output", tmp_path / "out", "--set", "cell_diameter_px=10")
    assert seen.status == 0, seen.err
    result = load_result(tmp_path / "out")
    assert result.parts == (slice(0, 200), slice(200, 400))
    assert result.timestamps_s[200] - result.timestamps_s[199] > 580


def test_without_the_option_several_recordings_are_refused(miniscope: MiniscopeProgram, day: Path) -> None:
    seen = miniscope("inspect", day)
    assert seen.status == 1
    assert "2 recordings in" in seen.err


@pytest.mark.parametrize("command", ["inspect", "process", "ingest", "run"])
@pytest.mark.parametrize("other", [("--files", "run_*.tif"), ("--dataset", "movie")])
def test_join_with_what_means_one_recording_is_refused(
    miniscope: MiniscopeProgram, day: Path, tmp_path: Path, command: str, other: tuple[str, str]
) -> None:
    output = ("--output", tmp_path / "out") if command == "process" else ()
    seen = miniscope(command, day, "--join", *other, *output)
    assert seen.status == 1
    told = " ".join(seen.err.split())
    assert f"--join with {other[0]}: got '{other[1]}', expected --join alone" in told
    assert f"Leave out {other[0]}" in told


def test_ingest_records_parts_and_joint(miniscope: MiniscopeProgram, day: Path) -> None:
    seen = miniscope("ingest", day, "--join")
    assert seen.status == 0, seen.err
    assert "mouse1/2024-03-05T14:30:15/2: 400 frames" in seen.err + seen.out
    status = miniscope("status")
    assert "mouse1/2024-03-05T14:30:15/2" in status.out
