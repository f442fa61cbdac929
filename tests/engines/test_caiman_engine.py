"""The engine that drives CaImAn, with a stand-in for it: what it is told, and every way in which it can fail."""

import json
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from miniscope_core.engines.base import Resources
from miniscope_core.engines.caiman.job import make_environment, notes_on
from miniscope_core.engines.caiman.reading import read_caiman
from miniscope_core.engines.caiman.run import CaimanEngine
from miniscope_core.errors import EngineError, ParameterError
from miniscope_core.io.recording import JoinedPart, Recording
from miniscope_core.models.caiman import CaimanParameters
from miniscope_core.result import ProcessingResult
from tests.caiman_files import DATA
from tests.engines.caiman_standin import ANSWER, make_standin
from tests.engines.test_caiman_watch import wait_until_gone
from tests.simulation import Simulated, simulate

GOOD = f"shutil.copy({str(DATA / 'one_photon_piecewise.hdf5')!r}, output); done()"
Drive = Callable[..., ProcessingResult]


@pytest.fixture(scope="module")
def movie() -> Simulated:
    """Return a movie of the size of the results in ``tests/data/caiman``: higher than wide."""
    return simulate(shape=(80, 64), frame_count=300, cell_count=4, seed=5)


@pytest.fixture(scope="module")
def recording(movie: Simulated) -> Recording:
    """Return it as a recording."""
    return movie.recording()


@pytest.fixture
def drive(tmp_path: Path, recording: Recording) -> Drive:
    """Return a function that runs the engine against a stand-in that behaves as told."""
    (tmp_path / "scratch").mkdir()

    def drive(
        behaviour: str,
        *,
        idle_limit_s: float = 60.0,
        memory: int = 2**30,
        time_s: float = 60.0,
        seen: list[str] | None = None,
        parameters: CaimanParameters | None = None,
        **answer: Any,
    ) -> ProcessingResult:
        python = make_standin(tmp_path, textwrap.dedent(behaviour), **answer)
        resources = Resources(tmp_path / "scratch", 2, memory)
        heard = [] if seen is None else seen

        def progress(stage: str, done: int, total: int) -> None:
            heard.append(stage)

        engine = CaimanEngine(python, time_s, idle_limit_s)
        return engine.run(recording, parameters or CaimanParameters(), tmp_path / "out", progress, resources)

    return drive


def notes(tmp_path: Path) -> dict[str, Any]:
    """Return what the stand-in was asked."""
    return dict(json.loads((tmp_path / "notes.json").read_text()))


def test_result_of_caiman_becomes_one_of_ours(drive: Drive, tmp_path: Path, recording: Recording) -> None:
    seen: list[str] = []
    result = drive(f"{GOOD}; print('noise to the end')", seen=seen)
    result.check("here")
    read = read_caiman(DATA / "one_photon_piecewise.hdf5")
    np.testing.assert_array_equal(result.traces, read.traces)
    np.testing.assert_array_equal(result.timestamps_s, recording.timestamps_s)
    assert (result.versions["caiman"], result.versions["numpy"]) == ("1.12.1", "1.26.4")
    assert result.parameters["gSig"] == [4, 4]
    assert result.parameters["fr"] == recording.fps
    assert result.timings["factorisation"] == 1.5
    assert result.timings["frames for CaImAn"] > 0
    assert result.peak_memory_bytes > 0
    assert result.info.method == "caiman"
    assert "factorisation" in seen


def test_extras_and_a_frame_rate_that_is_not_the_clocks_are_noted(drive: Drive) -> None:
    result = drive(GOOD, parameters=CaimanParameters(fr=30, extra={"init": {"nIter": 9}}))
    assert any("fr=30 Hz; the frame clock says 20 Hz" in note for note in result.info.notes)
    assert any("init.nIter=9" in note for note in result.info.notes)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (
            "print('last words', file=sys.stderr); sys.exit(7)",
            "in factorisation: it ended with status 7.* Last lines: last words",
        ),
        ("import signal; os.kill(os.getpid(), signal.SIGKILL)", "it was killed. Did the system run out of memory"),
        ("import signal; os.kill(os.getpid(), signal.SIGSEGV)", "it ended with signal 11"),
        ("sys.exit(0)", "it ended without a result and without an error"),
        (
            "done(); sys.exit(0)",
            "result at result.hdf5 in factorisation: got .*No such file.*expected a whole HDF5 file",
        ),
        ("output.write_bytes(b'\\x89HDF\\r\\n\\x1a\\n' + bytes(99)); done()", "expected a whole HDF5 file"),
        (f"shutil.copy({str(DATA / 'one_photon_fit_file.hdf5')!r}, output); done()", "got 500 frames of 96×96 px, exp"),
        (f"{GOOD[:-8]}; sys.exit(3)", "it ended with status 3"),
        ("import h5py; h5py.File(output, 'w').close(); done()", "it has no estimates"),
        (
            "tell('failed', kind='nothing found', reason='no component was found'); sys.exit(1)",
            "in factorisation: no component was found. Lower min_corr and min_pnr",
        ),
        (
            "tell('failed', reason='ValueError: bad gSig'); sys.exit(1)",
            "factorisation: ValueError: bad gSig. The param",
        ),
        ("print('noise', '{\"event\": 3'); print('x' * 3_000_000); sys.exit(2)", "status 2.* Last lines: noise"),
        ("tell('stage', stage=4); tell('stage', stage='late', done=9, total=1); sys.exit(3)", "in late: .*status 3"),
    ],
    ids=lambda text: text[:40],
)
def test_bad_end_is_one_error_and_no_result(drive: Drive, tmp_path: Path, behaviour: str, message: str) -> None:
    with pytest.raises(EngineError, match=message) as refused:
        drive(behaviour)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 4000
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("behaviour", "limits", "message"),
    [
        ("time.sleep(60)", {"idle_limit_s": 2.0}, "got no work done in 2 s, expected progress: it hangs"),
        ("while True: pass", {"time_s": 1.0}, "got no result in 1 s. Raise MINISCOPE_TIME_LIMIT"),
        (
            "a = bytearray(b'x' * 400_000_000); time.sleep(60)",
            {"memory": 200 * 2**20},
            r"got \d{3} MiB of memory in use, expected at most 200 MiB. Raise MINISCOPE_MEMORY_LIMIT",
        ),
    ],
    ids=["hangs", "takes too long", "fills memory"],
)
def test_worker_past_a_limit_is_ended(
    drive: Drive, tmp_path: Path, behaviour: str, limits: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        drive(behaviour, **limits)
    assert wait_until_gone(notes(tmp_path)["pid"])
    assert not (tmp_path / "out").exists()


def test_worker_gets_all_frames_in_order_as_one_movie(drive: Drive, tmp_path: Path, movie: Simulated) -> None:
    seen: list[str] = []
    with pytest.raises(EngineError):
        drive("sys.exit(1)", seen=seen)
    with h5py.File(notes(tmp_path)["job"]["movie"]) as file:
        assert file["mov"].dtype == movie.movie.dtype
        np.testing.assert_array_equal(file["mov"][...], movie.movie)
    assert list(dict.fromkeys(seen)) == ["frames for CaImAn", "importing CaImAn", "motion correction", "factorisation"]


def test_worker_gets_every_parameter_determined(drive: Drive, tmp_path: Path, recording: Recording) -> None:
    with pytest.raises(EngineError):
        drive("sys.exit(1)", parameters=CaimanParameters(extra={"init": {"nIter": 9}}))
    job = notes(tmp_path)["job"]
    groups = job["groups"]
    assert groups["data"] == {"fr": recording.fps, "decay_time": 0.6}
    assert (groups["init"]["gSig"], groups["init"]["nIter"]) == ([4, 4], 9)
    assert (job["processes"], groups["patch"]["n_processes"]) == (2, 2)


def test_width_of_a_cell_in_micrometres_becomes_caimans_pixels(drive: Drive) -> None:
    in_um = drive(GOOD, parameters=CaimanParameters(cell_diameter_um=15, pixel_size_um=1.5))
    assert (in_um.parameters["gSig"], in_um.parameters["gSig_filt"]) == ([3, 3], [4, 4])
    assert (in_um.parameters["cell_diameter_um"], in_um.info.cell_diameter_px) == (15, pytest.approx(10))


def test_width_in_micrometres_without_the_size_of_a_pixel_is_refused(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"Give pixel_size_um as well, or cell_diameter_px"):
        drive(GOOD, parameters=CaimanParameters(cell_diameter_um=15))
    with pytest.raises(ParameterError, match=r"10 px: rf: got 12, expected more than gSiz, 13.*Check both"):
        drive(GOOD, parameters=CaimanParameters(cell_diameter_um=15, pixel_size_um=1.5, rf=12))
    assert not (tmp_path / "notes.json").exists()


def test_width_of_a_cell_is_told_by_gsig_where_that_was_given(drive: Drive) -> None:
    result = drive(GOOD, parameters=CaimanParameters(gSig=(8, 8), gSiz=(33, 33), cell_diameter_px=13))
    # The file is of gSig 4, whose cells are 13 px wide.
    assert result.info.cell_diameter_px == pytest.approx(13)


def test_warnings_do_not_take_the_place_of_the_last_lines(drive: Drive) -> None:
    behaviour = """
        import warnings
        print("what went wrong", file=sys.stderr)
        for number in range(20):
            warnings.warn_explicit("of no matter", RuntimeWarning, "caiman.py", number)
            print("[WARNING] again and again", file=sys.stderr)
        sys.exit(4)
        """
    with pytest.raises(EngineError, match=r"Last lines: what went wrong \| \[WARNING\] again and again$"):
        drive(behaviour)


def test_number_of_processes_in_the_parameters_wins(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        drive("sys.exit(1)", parameters=CaimanParameters(n_processes=5))
    assert notes(tmp_path)["job"]["processes"] == 5


def test_worker_works_in_scratch_with_one_thread_a_process(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        drive("sys.exit(1)")
    asked, scratch = notes(tmp_path), tmp_path / "scratch"
    environment = asked["environment"]
    for name in ("CAIMAN_TEMP", "CAIMAN_DATA", "HOME", "MPLCONFIGDIR"):
        assert Path(environment[name]).is_dir()
        assert Path(environment[name]).is_relative_to(scratch)
    assert {environment[f"{one}_NUM_THREADS"] for one in ("OMP", "OPENBLAS", "MKL")} == {"1"}
    assert Path(asked["cwd"]).is_relative_to(scratch)


def test_classifier_without_its_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIMAN_DATA", str(tmp_path / "caiman_data"))
    with pytest.raises(EngineError, match=r"expected its model for use_cnn=True\. Run caimanmanager install"):
        make_environment(tmp_path, use_cnn=True)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"genuine": False, "summary": "MicroPython tool"},
            r"caiman 1.12.1 \('MicroPython tool'\).*pip uninstall caiman",
        ),
        ({"genuine": False, "versions": {}}, "got a Python without it, expected CaImAn, which comes from conda-forge"),
        (
            {"versions": {**ANSWER["versions"], "numpy": "2.1.0"}},
            "got numpy 2.1.0 with CaImAn 1.12.1, .* NumPy < 2",
        ),
        (
            {"versions": {**ANSWER["versions"], "scipy": "1.17.0"}},
            "got scipy 1.17.0 with CaImAn 1.12.1, .* SciPy < 1.17",
        ),
        (
            {"versions": {**ANSWER["versions"], "setuptools": "81.0.0"}},
            "got setuptools 81.0.0 with CaImAn 1.12.1, expected setuptools < 81",
        ),
        ({"modules": {**ANSWER["modules"], "h5py": False}}, "got no h5py"),
    ],
    ids=["impostor", "nothing", "numpy", "scipy", "setuptools", "h5py"],
)
def test_python_in_which_caiman_would_fail_is_refused_before_any_work(
    drive: Drive, tmp_path: Path, answer: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineError, match=f"{message}.*caiman-environment.yml and set MINISCOPE_CAIMAN_PYTHON"):
        drive("done()", **answer)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rf": 60}, "rf: got 60, patches of 121 px, expected them within a field of"),
        ({"pw_rigid": True, "strides": 300}, "strides and overlaps: got patches of 324×324 px"),
        ({"max_shifts": 200}, "max_shifts: got .200, 200., expected less than half"),
        ({"gSiz": 301, "rf": 0}, "gSiz: got .301, 301., expected it within"),
    ],
    ids=str,
)
def test_parameters_that_do_not_fit_the_field_are_refused_before_caiman_starts(
    drive: Drive, tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        drive("done()", parameters=CaimanParameters.model_validate(parameters))
    assert not (tmp_path / "notes.json").exists()


def test_field_smaller_than_a_patch_is_fitted_as_a_whole(drive: Drive, tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        drive("sys.exit(1)", parameters=CaimanParameters(cell_diameter_px=24, max_shifts=10))
    patch = notes(tmp_path)["job"]["groups"]["patch"]
    assert (patch["rf"], patch["only_init"]) == (None, False)


def test_short_recording_is_refused(recording: Recording, tmp_path: Path) -> None:
    short = replace(recording, timestamps_s=recording.timestamps_s[:50])
    with pytest.raises(EngineError, match="got 50 frames, expected at least 100"):
        CaimanEngine().run(short, CaimanParameters(), tmp_path / "out", lambda *_: None, Resources(tmp_path))


def test_joined_recordings_are_told_to_be_one_movie_for_caiman() -> None:
    recording = simulate(shape=(24, 24), frame_count=20, cell_count=1).recording()
    parts = tuple(
        JoinedPart(directory=Path(name), start_frame=start, frame_count=10, start_s=start)
        for name, start in (("a", 0), ("b", 10))
    )
    assert notes_on(CaimanParameters(), recording) == ()
    (note,) = notes_on(CaimanParameters(), replace(recording, parts=parts))
    assert "the 2 joined recordings for one without a pause" in note
