"""The commands, as a user types them: what they print, what they leave, and one clear line where they refuse."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from miniscope_core import load_result
from miniscope_core.cli.exploring import status_rows
from miniscope_core.demo import copy_demo
from miniscope_core.models import ProcessingTask, get
from miniscope_core.pipeline import process
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.builders import SCOPE, make_movie, write_v4_session
from tests.cli.conftest import MiniscopeProgram
from tests.engines.caiman_standin import make_standin
from tests.formats import write_hdf5
from tests.simulation import simulate

SMALL = ("--set", "cell_diameter_px=10")


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return write_v4_session(tmp_path / "raw" / "mouse 1", {SCOPE: make_movie(30)})


@pytest.fixture(scope="module")
def simulated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(shape=(72, 88), frame_count=300, cell_count=6, diameter_px=10, seed=3).write_v4(folder)
    return folder


def test_inspect_shows_facts_and_clock_and_writes_no_database(
    miniscope: MiniscopeProgram, session: Path, home: Path, tmp_path: Path
) -> None:
    shown = miniscope("inspect", session, "--picture", tmp_path / "seen.png")
    assert shown.status == 0
    assert "30 of 24×32 px (height×width)" in shown.out
    assert "20 Hz measured" in shown.out
    assert "Frame clock: timeStamps.csv" in shown.out
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")
    assert not home.exists()


def test_inspect_shows_what_a_strict_reader_refuses(miniscope: MiniscopeProgram, session: Path) -> None:
    clock = next(session.rglob("timeStamps.csv"))
    clock.write_text("".join(clock.read_text().splitlines(keepends=True)[:-5]))
    shown = miniscope("inspect", session)
    assert shown.status == 0
    assert "a strict reader refuses" in shown.out
    refused = miniscope("ingest", session)
    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert "timeStamps.csv" in refused.err


def test_ingest_twice_says_unchanged(miniscope: MiniscopeProgram, session: Path) -> None:
    first = miniscope("ingest", session, "--subject", "mouse1")
    assert first.status == 0
    assert "Ingested mouse1/2021-01-01T00:00:01/0: 30 frames at 20 Hz" in first.out
    again = miniscope("ingest", session, "--subject", "mouse1")
    assert again.status == 0
    assert again.out.startswith("Unchanged: mouse1/2021-01-01T00:00:01/0")


def test_ingest_takes_the_two_csv_files(miniscope: MiniscopeProgram, session: Path, tmp_path: Path) -> None:
    (tmp_path / "subjects.csv").write_text(
        "subject,sex,subject_birth_date,subject_description\nsubject1,M,2021-01-01 00:00:01,\n"
    )
    (tmp_path / "sessions.csv").write_text(
        f"subject,session_dir,acquisition_software\nsubject1,{session},Miniscope-DAQ-V4\n"
    )
    done = miniscope("ingest", "--subjects", tmp_path / "subjects.csv", "--sessions", tmp_path / "sessions.csv")
    assert done.status == 0, done.err
    assert "subject1/2021-01-01T00:00:01/0" in miniscope("status").out


@pytest.mark.parametrize("arguments", [("ingest",), ("ingest", "DIR", "--subjects", "x.csv")])
def test_ingest_of_nothing_or_of_both_is_refused(miniscope: MiniscopeProgram, arguments: tuple[str, ...]) -> None:
    refused = miniscope(*arguments)
    assert refused.status == 1
    assert "ingest takes a folder" in refused.err


def test_a_folder_that_is_not_there_is_one_line_and_makes_no_home(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    for command in ("inspect", "ingest"):
        refused = miniscope(command, tmp_path / "nowhere")
        assert refused.status == 1
        assert refused.err.count("\n") == 1
        assert "nowhere" in refused.err


def test_status_before_anything_says_what_to_do(miniscope: MiniscopeProgram, home: Path) -> None:
    refused = miniscope("status")
    assert refused.status == 1
    assert "ingest" in refused.err
    assert not home.exists()


def test_process_alone_leaves_a_result_and_no_database(
    miniscope: MiniscopeProgram, simulated_folder: Path, tmp_path: Path, home: Path
) -> None:
    done = miniscope("process", simulated_folder, "--method", "cnmfe", "--output", tmp_path / "out", *SMALL)
    assert done.status == 0, done.err
    result = load_result(tmp_path / "out")
    assert result.parameters["cell_diameter_px"] == 10
    assert f"{int(result.accepted.sum())} cells accepted of {result.unit_count} units" in done.out
    assert not home.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    again = miniscope("process", simulated_folder, "--output", tmp_path / "out")
    assert again.status == 1
    assert "not empty" in again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "magic"), "no engine"),
        (("--set", "cell_diameter_px"), "NAME=VALUE"),
        (("--set", "cell_diametre_px=3"), "cell_diametre_px"),
        (("--method", "caiman", "--set", "gsig=3"), "there is no 'gsig', did you mean 'gSig'?"),
        (("--method", "caiman", "--set", "gSig=[3,0]"), "gSig.1: got 0"),
        (("--set", "cell_diameter_px=-3"), "cell_diameter_px: got -3"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(
    miniscope: MiniscopeProgram, session: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    refused = miniscope("process", session, "--output", tmp_path / "out", *arguments)
    assert refused.status == 1
    assert message in refused.err
    assert not (tmp_path / "out").exists()


def test_status_and_plot_show_a_processed_recording(
    miniscope: MiniscopeProgram, simulated_folder: Path, home: Path, tmp_path: Path
) -> None:
    assert miniscope("ingest", simulated_folder, "--subject", "mouse1").status == 0
    assert "ingested" in miniscope("status").out
    with Archive.open(Settings()) as archive:
        number = process.add_parameter_set(archive, "cnmfe", {"cell_diameter_px": 10.0})
        (recording,) = process.pending_recordings(archive, number)
        task = process.add_task(archive, recording, number)
        process.process_recording(archive, task)
    assert "processed" in miniscope("status").out
    assert miniscope("plot").status == 1
    curated = miniscope("curate", task, "--accept-engine")
    assert curated.status == 0
    assert "Extracted" in curated.out
    assert "extracted" in miniscope("status").out
    plotted = miniscope("plot", "--output", tmp_path / "pictures", "--min-npix", 5)
    assert plotted.status == 0, plotted.err
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"overview.png", "average_image.png", "contours.png", "traces.png", "shifts.png", "seeds.png"} <= names
    assert len(plotted.out.splitlines()) == len(names)


def test_failed_task_shows_its_message_in_status(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    session = copy_demo(tmp_path / "raw")
    assert miniscope("ingest", session).status == 0
    with Archive.open(Settings()) as archive:
        number = process.choose_parameter_set(archive, None, None)
        (recording,) = process.pending_recordings(archive, number)
        task = process.add_task(archive, recording, number)
        next(session.rglob("0.avi")).unlink()
        with pytest.raises(Exception, match=r"0\.avi"):
            process.process_recording(archive, task)
    shown = miniscope("status").out
    assert "failed" in shown
    assert "0.avi" in shown


@pytest.mark.parametrize(("lease_s", "state"), [(60.0, "running"), (-60.0, "interrupted")])
def test_status_tells_a_claim_that_lapsed_from_one_that_is_held(
    home: Path, tmp_path: Path, lease_s: float, state: str
) -> None:
    with Archive.open(Settings()) as archive:
        key = ingest_recording(archive, copy_demo(tmp_path / "raw")).key
        task = process.add_task(archive, key, process.choose_parameter_set(archive, None, None))
        with archive.database.session() as session:
            row = get(session, ProcessingTask, **task.columns)
            row.claimed_by, row.claim_expires_at = "rig:1", datetime.now(UTC) + timedelta(seconds=lease_s)
    with Workspace(Settings()) as workspace:
        assert status_rows(workspace, workspace.recordings())["state"].tolist() == [state]


def test_curation_and_extraction_again_change_nothing(miniscope: MiniscopeProgram, simulated_folder: Path) -> None:
    assert miniscope("ingest", simulated_folder).status == 0
    with Archive.open(Settings()) as archive:
        number = process.add_parameter_set(archive, "cnmfe", {"cell_diameter_px": 10.0})
        task = process.add_task(archive, process.pending_recordings(archive, number)[0], number)
        process.process_recording(archive, task)
        extract_traces(archive, curate_processing(archive, task).key)
    again = miniscope("curate", task, "--accept-engine")
    assert again.status == 0
    assert all(line.startswith("Unchanged") for line in again.out.splitlines())


def test_gc_lists_and_then_removes_what_no_row_names(miniscope: MiniscopeProgram, session: Path, home: Path) -> None:
    assert miniscope("ingest", session, "--subject", "mouse1").status == 0
    (mine,) = (home / "store" / "objects").iterdir()
    orphan = mine / "processing" / ("0123456789abcdef" * 2)
    orphan.mkdir(parents=True)
    (orphan / "result.json").write_text("{}")
    kept = sorted((mine / "recording").iterdir())
    assert "Nothing older than 24 h" in miniscope("gc").out
    listed = miniscope("gc", "--older-than-hours", 0)
    assert "processing/0123456789abcdef" in listed.out
    assert f"In database sqlite:///{home}/miniscope.db, store {home}/store" in listed.out
    assert orphan.exists()
    assert miniscope("gc", "--older-than-hours", 0, "--delete").status == 0
    assert not (orphan / "result.json").exists()
    assert sorted((mine / "recording").iterdir()) == kept


def test_doctor_finds_a_working_installation_and_a_broken_one(
    miniscope: MiniscopeProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = miniscope("doctor")
    assert healthy.status == 0, healthy.out
    assert "FAIL" not in healthy.out
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("MINISCOPE_STORE_URL", str(tmp_path / "taken"))
    monkeypatch.setenv("MINISCOPE_RAW_ROOTS", json.dumps([str(tmp_path / "gone")]))
    broken = miniscope("doctor")
    assert broken.status == 1
    assert broken.out.count("FAIL") == 2


def test_caiman_that_crashes_is_one_line_and_leaves_nothing(
    miniscope: MiniscopeProgram, simulated_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "caiman").mkdir()
    python = make_standin(tmp_path / "caiman", "print('out of luck', file=sys.stderr); sys.exit(3)")
    monkeypatch.setenv("MINISCOPE_CAIMAN_PYTHON", python)
    failed = miniscope("process", simulated_folder, "--method", "caiman", "--output", tmp_path / "out")
    assert failed.status == 1
    assert "in factorisation: it ended with status 3" in failed.err
    assert "out of luck" in failed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["caiman"]


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ({}, 0, "CaImAn 1.12.1 at "),
        ({"genuine": False, "summary": "MicroPython tool"}, 1, "expected the one for calcium imaging"),
        (
            {"versions": {"caiman": "1.12.1", "numpy": "2.1.0"}},
            1,
            "got numpy 2.1.0 with CaImAn 1.12.1",
        ),
    ],
    ids=["real", "impostor", "wrong bounds"],
)
def test_doctor_checks_the_python_that_has_caiman(
    miniscope: MiniscopeProgram,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, Any],
    status: int,
    message: str,
) -> None:
    monkeypatch.setenv("MINISCOPE_CAIMAN_PYTHON", make_standin(tmp_path, "", **answer))
    seen = miniscope("doctor")
    assert seen.status == status
    assert message in seen.out


def test_setting_that_makes_no_sense_is_one_line(miniscope: MiniscopeProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINISCOPE_WORKERS", "many")
    refused = miniscope("status")
    assert refused.status == 1
    assert "MINISCOPE_WORKERS: got 'many'" in refused.err


def test_quiet_prints_nothing_of_what_went_well(miniscope: MiniscopeProgram, session: Path) -> None:
    done = miniscope("--quiet", "ingest", session, "--subject", "mouse1")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_home_option_names_the_folder_of_everything(
    miniscope: MiniscopeProgram, session: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINISCOPE_HOME", str(home))  # put back afterwards: the option sets it
    assert miniscope("--home", tmp_path / "elsewhere", "ingest", session, "--subject", "m").status == 0
    assert (tmp_path / "elsewhere" / "miniscope.db").is_file()
    assert not home.exists()


def test_home_option_wins_over_addresses_of_the_environment(
    miniscope: MiniscopeProgram, session: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINISCOPE_HOME", str(home))
    monkeypatch.setenv("MINISCOPE_DATABASE_URL", f"sqlite:///{tmp_path / 'laboratory.db'}")
    monkeypatch.setenv("MINISCOPE_STORE_URL", str(tmp_path / "laboratory"))
    assert miniscope("--home", tmp_path / "mine", "ingest", session, "--subject", "m").status == 0
    assert (tmp_path / "mine" / "miniscope.db").is_file()
    assert not (tmp_path / "laboratory.db").exists()
    assert not (tmp_path / "laboratory").exists()


def test_store_options_that_are_no_json_are_one_line(
    miniscope: MiniscopeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINISCOPE_STORE_OPTIONS", "{nonsense")
    refused = miniscope("status")
    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert "MINISCOPE_STORE_OPTIONS" in refused.err


def test_server_that_does_not_answer_is_one_line(
    miniscope: MiniscopeProgram, session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        refused = miniscope("run", session)
    assert refused.status == 1
    assert refused.err.count("\n") == 1
    assert "No Prefect server answers" in refused.err


def test_picture_that_cannot_be_written_is_one_line(miniscope: MiniscopeProgram, session: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    refused = miniscope("inspect", session, "--picture", tmp_path / "taken" / "seen.png")
    assert refused.status == 1
    assert refused.err.count("\n") == 1


def test_parameters_lists_what_set_takes(miniscope: MiniscopeProgram) -> None:
    shown = miniscope("parameters")
    assert shown.status == 0
    assert "cell_diameter_px" in shown.out
    assert "≥ 4, ≤ 100" in shown.out


def test_misspelt_parameter_names_the_nearest(miniscope: MiniscopeProgram, session: Path, tmp_path: Path) -> None:
    refused = miniscope("process", session, "--output", tmp_path / "out", "--set", "cell_diameter=12")
    assert refused.status == 1
    assert "did you mean 'cell_diameter_px'?" in refused.err


def test_run_with_a_parameter_set_that_is_not_there_ingests_nothing(miniscope: MiniscopeProgram, session: Path) -> None:
    refused = miniscope("run", session, "--paramset", 7)
    assert refused.status == 1
    assert "7" in refused.err
    assert "No recording yet" in miniscope("status").out


def test_status_below_a_key_that_is_not_there_says_so(miniscope: MiniscopeProgram, session: Path) -> None:
    assert miniscope("ingest", session, "--subject", "mouse1").status == 0
    assert miniscope("status", "mouse1/").status == 0
    refused = miniscope("status", "mous")
    assert refused.status == 1
    assert "mous" in refused.err


def test_a_file_of_another_format_is_inspected_and_ingested(miniscope: MiniscopeProgram, tmp_path: Path) -> None:
    movie = write_hdf5(tmp_path / "raw" / "movie.h5", make_movie(8), "green")
    write_hdf5(movie, make_movie(4), "red")
    shown = miniscope("inspect", movie, "--fps", 20, "--dataset", "green")
    assert shown.status == 0
    assert "read as" in shown.out
    assert "HDF5 (movie.h5 with /green, /red)" in shown.out
    assert "20 Hz as told, not measured" in shown.out
    refused = miniscope("inspect", movie, "--fps", 20)
    assert refused.status == 1
    assert "--dataset" in refused.err
    done = miniscope(
        "ingest", movie, "--fps", 20, "--dataset", "red", "--subject", "a", "--session-datetime", "2024-05-17T10:23:45"
    )
    assert "Ingested a/2024-05-17T10:23:45/0: 4 frames" in done.out
    for command in (("process", "--output", tmp_path / "out"), ("preview",), ("run",)):
        refused = miniscope(command[0], movie, *command[1:], "--fps", 20, "--dataset", "blue")
        assert refused.status == 1
        assert "blue" in refused.err
    unread = miniscope("inspect", tmp_path / "raw", "--fps", 20, "--columns", "colour=1")
    assert unread.status == 1
    assert "Column map" in unread.err
