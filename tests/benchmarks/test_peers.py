"""Another tool is run in its own interpreter, and scored and counted as an engine is."""

import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import scipy.sparse as sp

from miniscope_core.errors import ResultError
from tests.benchmarks.cases import Case, demo_case
from tests.benchmarks.foreign import run_caiman
from tests.benchmarks.peers import Peer, PeerError, measure_peer, parse_peer
from tests.benchmarks.watch import watched

MIB = 2**20
KNOWS_THE_TRUTH = """
import json, sys
import numpy as np
job = json.load(open(sys.argv[1]))
assert job["files"][0].endswith("0.avi") and len(job["files"]) == 3 and 19 < job["fps"] < 21
truth = dict(np.load({truth!r}))
truth |= dict(activity=truth.pop("spikes"), shifts_px=-truth.pop("motion_px"), accepted=truth.pop("detectable"))
np.savez(job["output"], **truth, timings=json.dumps({{"looking it up": 0.1}}), version="1.2")
"""
HOLDS_200_MIB = "import time; held = b'x' * (200 * 2**20); time.sleep(1)"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return demo_case(tmp_path_factory.mktemp("demo"))


def peer(folder: Path, script: str) -> Peer:
    adapter = folder / "run_other.py"
    adapter.write_text(script)
    return Peer("other", Path(sys.executable), adapter)


def test_peer_that_knows_the_truth_scores_perfectly(tmp_path: Path, demo: Case) -> None:
    measured = measure_peer(demo, peer(tmp_path, KNOWS_THE_TRUTH.format(truth=str(demo.truth))), workers=1)
    assert measured.method == "other 1.2"
    assert (measured.score.f1, measured.score_iou.f1) == (1, 1)
    assert measured.score.trace_correlation == pytest.approx(1)
    assert measured.score.activity_correlation == pytest.approx(1)
    assert measured.score.shift_rmse_px == pytest.approx(0, abs=1e-9)
    assert dict(measured.timings) == {"looking it up": 0.1}
    assert measured.cost.peak_memory_bytes > 5 * MIB


def test_peer_that_writes_nothing_has_failed(tmp_path: Path, demo: Case) -> None:
    with pytest.raises(PeerError, match="other on demo ended with 0: so much for that"):
        measure_peer(demo, peer(tmp_path, "print('so much for that')"), workers=1)


def test_peer_that_leaves_something_out_is_told(tmp_path: Path, demo: Case) -> None:
    script = KNOWS_THE_TRUTH.format(truth=str(demo.truth)).replace(', version="1.2"', "")
    with pytest.raises(PeerError, match=r"run_other.py wrote no version"):
        measure_peer(demo, peer(tmp_path, script), workers=1)


def test_peer_that_lost_frames_is_told(tmp_path: Path, demo: Case) -> None:
    script = KNOWS_THE_TRUTH.format(truth=str(demo.truth)).replace('truth.pop("spikes")', 'truth["spikes"][:, 1:]')
    with pytest.raises(ResultError, match=r"expected .* as in the truth"):
        measure_peer(demo, peer(tmp_path, script), workers=1)


def test_peer_without_interpreter_is_told(tmp_path: Path, demo: Case) -> None:
    with pytest.raises(PeerError, match="cannot be run"):
        measure_peer(demo, Peer("other", tmp_path / "python", tmp_path / "run_other.py"), workers=1)


def test_peer_is_not_run_on_what_only_we_can_repeat(tmp_path: Path, demo: Case) -> None:
    with pytest.raises(PeerError, match="repeated"):
        measure_peer(demo.repeated(3), peer(tmp_path, ""), workers=1)


@pytest.mark.parametrize("text", ["suite2p", "suite2p=", "other=python"])
def test_peer_needs_a_known_name_and_an_interpreter(text: str) -> None:
    with pytest.raises(ValueError, match="one of caiman, suite2p"):
        parse_peer(text)


def test_memory_is_that_of_the_whole_tree_of_processes(tmp_path: Path) -> None:
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS_200_MIB!r}], check=True)"
    usage = watched([sys.executable, "-c", nested], tmp_path / "log")
    assert usage.exit_code == 0
    assert 200 * MIB < usage.peak_memory_bytes < 300 * MIB
    assert usage.cpu_s > 0


def test_what_a_program_left_running_is_ended(tmp_path: Path) -> None:
    leaves = (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); sys.exit(3)"
    )
    assert watched([sys.executable, "-c", leaves], tmp_path / "log").exit_code == 3
    left = int((tmp_path / "log").read_text())
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(left).wait(2)
    # Where nobody collects orphans it stays in the list, but runs no more.
    assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_caiman_footprints_become_c_ordered_rows(tmp_path: Path) -> None:
    image = np.zeros((3, 4), np.float32)
    image[1, 2], image[2, 0] = 0.8, 0.6
    found = SimpleNamespace(
        A=sp.csc_matrix(image.reshape(-1, 1, order="F")), C=np.ones((1, 5)), S=np.zeros((1, 5)), idx_components=[0]
    )
    run_caiman.save(str(tmp_path / "f.npz"), found, SimpleNamespace(shifts_rig=[(0.5, -1.0)] * 5), (3, 4), "1")
    with np.load(tmp_path / "f.npz") as file:
        rows = sp.csr_array(
            (file["footprints_data"], file["footprints_indices"], file["footprints_indptr"]), shape=(1, 12)
        )
        np.testing.assert_array_equal(rows.toarray().reshape(3, 4), image)
        assert file["accepted"].tolist() == [True]


@pytest.mark.parametrize("script", ["run_caiman", "run_suite2p", "simulate_minisim"])
def test_scripts_for_other_interpreters_import_nothing_of_ours(script: str) -> None:
    text = (Path(run_caiman.__file__).parent / f"{script}.py").read_text()
    assert "from miniscope_core" not in text
    assert "import miniscope_core" not in text
    assert "from tests" not in text
