"""The walk through a workspace works as it is written, on a recording that was really processed."""

from pathlib import Path

import pytest

from miniscope_core import Workspace
from miniscope_core.demo.explore import explore, main
from miniscope_core.pipeline import curate, extract, ingest, process
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from tests.simulation import simulate


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explored")
    device = simulate(shape=(72, 88), frame_count=300, cell_count=6, diameter_px=10, seed=3).write_v4(folder / "raw")
    with Archive.open(Settings(home=folder / "home")) as archive:
        recording = ingest.ingest_recording(archive, device).key
        number = process.add_parameter_set(archive, "cnmfe", {"cell_diameter_px": 10.0})
        task = process.add_task(archive, recording, number)
        process.process_recording(archive, task)
        extract.extract_traces(archive, curate.curate_processing(archive, task).key)
    return folder / "home"


def test_walk_prints_every_table_and_draws_the_large_masks(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Workspace(Settings(home=home)) as workspace:
        key = explore(workspace, tmp_path / "pictures", min_npix=130)
        large = workspace.masks(key).query("mask_npix > 130")
    printed = capsys.readouterr().out
    for column in ("subject_birth_date", "recording_duration", "file_path", "param_set_hash", "task_mode", "mask_type"):
        assert column in printed
    assert len(large) > 0
    assert all(str(npix) in printed for npix in large["mask_npix"])
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"average.png", "contours.png", "mask.png"}


def test_walk_runs_from_the_command_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--home", str(home), "--output", str(tmp_path / "explored")])
    assert "/0/0/0; pictures in" in capsys.readouterr().out
    assert (tmp_path / "explored" / "contours.png").is_file()
