"""Recordings are made once, whole or not at all, by an interpreter that has the simulator."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks import recordings
from tests.benchmarks.recordings import RecordingSpec, make_recording, parse_spec

FAKE = """
import json, pathlib, sys
folder, spec = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
(folder / "session").mkdir()
(folder / "truth.npz").write_text(json.dumps(spec))
"""


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a script that takes the place of the simulation."""
    script = tmp_path / "simulate.py"
    script.write_text(FAKE)
    monkeypatch.setattr(recordings, "_SCRIPT", script)
    return script


def test_names_and_specs_say_all_that_decides_a_recording() -> None:
    assert parse_spec("dev_l23") == ("dev_l23", RecordingSpec("l23", 256, 150, 22))
    assert parse_spec("ca1:128:12.5:7") == ("ca1_128_12.5_7", RecordingSpec("ca1", 128, 12.5, 7))


@pytest.mark.parametrize("text", ["dev_ca2", "ca3:256:150:1", "ca1:256:150", "../ca1:256:150:1"])
def test_what_names_no_recording_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one of dev_ca1"):
        parse_spec(text)


def test_recording_is_made_once(tmp_path: Path, simulator: Path) -> None:
    made = make_recording(tmp_path / "made", "l23:64:10:3", Path(sys.executable))
    assert made == tmp_path / "made" / "l23_64_10_3"
    assert (made / "truth.npz").read_text() == '{"region": "l23", "size_px": 64, "seconds": 10.0, "seed": 3}'
    simulator.unlink()
    assert make_recording(tmp_path / "made", "l23:64:10:3", tmp_path / "no python") == made


def test_failed_simulation_leaves_no_recording_and_is_made_anew(tmp_path: Path, simulator: Path) -> None:
    simulator.write_text(FAKE + "raise MemoryError('7 GB are not there')")
    with pytest.raises(OSError, match=r"Simulating dev_ca1: .* ended with 1: MemoryError: 7 GB are not there"):
        make_recording(tmp_path / "made", "dev_ca1", Path(sys.executable))
    assert not (tmp_path / "made" / "dev_ca1").exists()
    simulator.write_text(FAKE)
    assert make_recording(tmp_path / "made", "dev_ca1", Path(sys.executable)).is_dir()


def test_interpreter_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be run"):
        make_recording(tmp_path / "made", "dev_ca1", tmp_path / "no python")
