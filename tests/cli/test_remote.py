"""Addresses instead of folders, on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from miniscope_core import load_result
from tests.cli.conftest import MiniscopeProgram
from tests.services import s3_service, upload
from tests.simulation import simulate


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the address of a session, and the options for it, as JSON."""
    folder = tmp_path_factory.mktemp("raw")
    simulate(shape=(72, 88), frame_count=200, cell_count=6, diameter_px=10, seed=3).write_v4(folder)
    with s3_service() as service:
        yield upload(service, folder, "mouse1/14_30_15"), json.dumps({"s3": service.options})


@pytest.fixture
def address(lab: tuple[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MINISCOPE_RAW_OPTIONS", lab[1])
    return lab[0]


def test_inspect_and_preview_take_an_address(miniscope: MiniscopeProgram, address: str, tmp_path: Path) -> None:
    seen = miniscope("inspect", address, "--picture", tmp_path / "seen.png")
    assert seen.status == 0, seen.err
    assert address in seen.out
    assert (tmp_path / "seen.png").is_file()
    seen = miniscope("preview", address, "--set", "cell_diameter_px=10")
    assert seen.status == 0, seen.err


def test_process_takes_an_address(miniscope: MiniscopeProgram, address: str, tmp_path: Path) -> None:
    seen = miniscope("process", address, "--output", tmp_path / "out", "--set", "cell_diameter_px=10")
    assert seen.status == 0, seen.err
    assert load_result(tmp_path / "out").frame_count == 200


def test_ingest_names_the_address_and_gc_removes_the_copies(
    miniscope: MiniscopeProgram, address: str, home: Path
) -> None:
    seen = miniscope("ingest", address)
    assert seen.status == 0, seen.err
    assert f"from {address}" in seen.out
    assert "copies of remote files" in miniscope("doctor").out
    assert (home / "cache" / "files").is_dir()
    removed = miniscope("gc", "--older-than-hours", "0", "--delete")
    assert str(home / "cache" / "files") in removed.out
    assert list((home / "cache" / "files").iterdir()) == []


def test_address_that_is_not_there_is_one_line(miniscope: MiniscopeProgram, address: str) -> None:
    for command in ("inspect", "run", "ingest"):
        seen = miniscope(command, f"{address}/nothing")
        assert seen.status == 1
        assert f"Nothing at {address}/nothing" in seen.err
        assert "Traceback" not in seen.err
