"""``--clean``: what it would do is shown by ``inspect``, done by ``preview`` and ``process``, and refused in a line."""

import json
from pathlib import Path

import numpy as np
import pytest

from miniscope_core import load_result
from tests.cli.conftest import MiniscopeProgram
from tests.simulation import Simulated, simulate

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a session with a black frame and one whose middle is noise."""
    made = tmp_path_factory.mktemp("simulated")
    scene: Simulated = simulate(shape=(72, 88), frame_count=300, cell_count=6, diameter_px=10, seed=3)
    scene.movie[100] = 0
    scene.movie[200, 30:50] = np.random.default_rng(0).integers(0, 256, (20, 88))
    scene.write_v4(made)
    return made


def test_inspect_shows_before_and_after_and_names_broken_frames(
    miniscope: MiniscopeProgram, folder: Path, home: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "cleaned.png"
    seen = miniscope("inspect", folder, "--clean", "find_broken+stripes", "--picture", picture)
    assert seen.status == 0, seen.err
    assert "2 of 300 frames are broken and were filled from their neighbours: 100, 200." in seen.out
    assert "The movie was cleaned before analysis: find_broken, stripes." in seen.out
    assert picture.read_bytes().startswith(PNG)
    assert not home.exists()


def test_process_records_the_cleaning_in_the_result(miniscope: MiniscopeProgram, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen = miniscope(
        *("process", folder, "--output", out, "--set", "cell_diameter_px=5"),
        *("--clean", "find_broken", "--clean", "binning=2"),
    )
    assert seen.status == 0, seen.err
    result = load_result(out)
    assert result.shape == (36, 44)
    assert result.parameters["cleaning"] == {"find_broken": True, "binning": 2}
    assert result.read("filled_frames").tolist() == [100, 200]
    assert json.loads((out / "result.json").read_text())["notes"][0].startswith("2 of 300 frames are broken")


def test_preview_is_of_the_cleaned_movie(miniscope: MiniscopeProgram, folder: Path) -> None:
    seen = miniscope("preview", folder, "--clean", "binning=2", "--set", "cell_diameter_px=5")
    assert seen.status == 0, seen.err
    assert "cleaned before analysis: binning" in seen.out


@pytest.mark.parametrize("command", ["inspect", "preview"])
def test_an_unknown_step_is_refused_with_those_there_are(
    miniscope: MiniscopeProgram, folder: Path, command: str
) -> None:
    seen = miniscope(command, folder, "--clean", "polish")
    assert seen.status == 1
    assert "got 'polish', expected one of find_broken, crop=TOP,LEFT,HEIGHT,WIDTH" in seen.err


def test_a_cleaning_beside_a_parameter_set_is_refused(miniscope: MiniscopeProgram, folder: Path) -> None:
    seen = miniscope("run", folder, "--paramset", 0, "--clean", "stripes")
    assert seen.status == 1
    assert "--paramset, or --set and --clean, not both" in seen.err
