"""``preview`` and ``inspect --seeds``: what parameters would find, and where units are tried."""

from pathlib import Path

import pytest

from miniscope_core.demo import copy_demo
from tests.cli.conftest import MiniscopeProgram
from tests.simulation import simulate

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulated")
    simulate(shape=(72, 88), frame_count=300, cell_count=6, diameter_px=10, seed=3).write_v4(made)
    return made


def row(text: str, name: str) -> str:
    (found,) = (line for line in text.splitlines() if line.strip().startswith(name))
    return found.strip().removeprefix(name).strip()


def test_preview_tells_what_parameters_find_and_writes_no_database(
    miniscope: MiniscopeProgram, folder: Path, home: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "seen.png"
    seen = miniscope("preview", folder, "--set", "cell_diameter_px=10", "--frames", 200, "--picture", picture)
    assert seen.status == 0, seen.err
    assert row(seen.out, "sample") == "200 of 300 frames, spread over the recording"
    assert row(seen.out, "cell diameter") == "10 px"
    assert 3 <= int(row(seen.out, "accepted")) <= int(row(seen.out, "units"))
    assert int(row(seen.out, "seeds")) >= int(row(seen.out, "units"))
    assert "at this cost per frame" in row(seen.out, "whole recording")
    assert picture.read_bytes().startswith(PNG)
    assert not home.exists()


def test_preview_in_micrometres_says_what_they_are_in_pixels(miniscope: MiniscopeProgram, folder: Path) -> None:
    seen = miniscope("preview", folder, "--set", "cell_diameter_um=15", "--set", "pixel_size_um=1.5")
    assert seen.status == 0, seen.err
    assert row(seen.out, "cell diameter") == "10 px (15 µm at 1.5 µm per px)"
    assert row(seen.out, "sample") == "all 300 frames"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "cell_diameter_um=15"), "Give pixel_size_um as well"),
        (("--set", "cell_diameter_um=15", "--set", "cell_diameter_px=9"), "got 9 px and 15 µm, expected one of them"),
        (("--method", "magic"), "no engine"),
        (("--frames", "3"), "expected at least 100"),
    ],
    ids=str,
)
def test_preview_refuses_in_one_line(
    miniscope: MiniscopeProgram, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = miniscope("preview", folder, *arguments)
    assert refused.status == 1
    assert message in refused.err
    assert refused.err.count("\n") == 1


def test_stricter_thresholds_find_less(miniscope: MiniscopeProgram, folder: Path) -> None:
    usual = miniscope("preview", folder, "--set", "cell_diameter_px=10")
    strict = miniscope("preview", folder, "--set", "cell_diameter_px=10", "--set", "min_pnr=40")
    assert int(row(strict.out, "seeds")) < int(row(usual.out, "seeds"))
    nothing = miniscope("preview", folder, "--set", "cell_diameter_px=10", "--set", "min_pnr=9999")
    assert nothing.status == 0
    assert "note: No cells found" in nothing.out


def test_inspect_shows_seeds_of_a_sample_and_of_a_result(
    miniscope: MiniscopeProgram, folder: Path, home: Path, tmp_path: Path
) -> None:
    given = ("--set", "cell_diameter_px=10")
    sample = miniscope("inspect", folder, "--seeds", *given, "--picture", tmp_path / "sample.png")
    assert sample.status == 0, sample.err
    assert miniscope("process", folder, "--output", tmp_path / "out", *given).status == 0
    result = miniscope("inspect", tmp_path / "out", "--seeds", "--picture", tmp_path / "result.png")
    assert result.status == 0, result.err
    # The sample of a short recording is the whole of it.
    for name in ("seeds", "in accepted units", "in rejected units", "in no unit", "min_corr", "min_pnr"):
        assert row(sample.out, name) == row(result.out, name)
    assert row(result.out, "min_corr") == "0.55"
    assert (tmp_path / "sample.png").read_bytes().startswith(PNG)
    assert (tmp_path / "result.png").read_bytes().startswith(PNG)
    assert not home.exists()
    refused = miniscope("inspect", tmp_path / "out", "--seeds", *given)
    assert refused.status == 1
    assert "its parameters are fixed" in refused.err


def test_inspect_takes_parameters_only_for_seeds(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    refused = miniscope("inspect", copy_demo(tmp_path), "--set", "min_corr=0.4")
    assert refused.status == 1
    assert "only with --seeds" in refused.err


def test_parameters_are_listed_everyday_ones_first(miniscope: MiniscopeProgram) -> None:
    shown = miniscope("parameters").out
    order = [shown.index(text) for text in ("Everyday", "cell_diameter_um", "min_corr", "Expert", "merge_corr")]
    assert order == sorted(order)
    assert "–         > 0, ≤ 200" in shown
