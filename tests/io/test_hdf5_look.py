"""Damaged HDF5 files: the library gets stuck in some and crashes over others, and the program lives on."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from miniscope_core import load_caiman
from miniscope_core.errors import ResultError, VideoError
from miniscope_core.io import hdf5_look, open_recording
from miniscope_core.io.hdf5_look import fault_in
from tests.builders import make_movie
from tests.caiman_files import write_caiman
from tests.formats import write_hdf5, write_nwb

_TEXT_TYPE = bytes.fromhex("190101001000000010")
"""How a file describes texts of any length in UTF-8: class 9 version 1, kind, character set, size."""


def damage_text_types(path: Path) -> Path:
    path.write_bytes(path.read_bytes().replace(_TEXT_TYPE, _TEXT_TYPE[:1] + b"\xff" + _TEXT_TYPE[2:]))
    return path


def damage_heap(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    first_text = data.index(b"GCOL") + 16
    data[first_text : first_text + 16] = bytes(16)  # neither a number nor a size: it leads to itself
    path.write_bytes(data)
    return path


def test_a_file_over_which_the_library_crashes_is_refused_and_the_program_lives(tmp_path: Path) -> None:
    path = damage_text_types(write_nwb(tmp_path / "a.nwb", make_movie(5)))
    crash = "import h5py, sys; h5py.File(sys.argv[1]).visititems(lambda name, node: print(dict(node.attrs)))"
    if subprocess.run([sys.executable, "-c", crash, str(path)], capture_output=True, check=False).returncode in (0, 1):
        pytest.skip("this version of the library survives it")
    openings = "import sys; from miniscope_core.io import open_recording; open_recording(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", openings, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"VideoError: HDF5 file {path} cannot be read (the HDF5 library crashes over it)" in done.stderr


def test_a_file_for_which_the_library_takes_memory_without_bounds_is_refused(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "a.nwb", make_movie(5))
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL").to_bytes(8, "little")
    place = data.find(heap)
    while place >= 4:  # before where a text lies stands how long it is
        data[place - 4 : place] = (3 * 2**28).to_bytes(4, "little")
        place = data.find(heap, place + 1)
    path.write_bytes(data)
    looker = hdf5_look._Looker()
    # A large program must not hide what the small one takes.
    filled = np.ones(2**27)
    fault = looker.fault(path)
    looker.end()
    del filled
    if fault is None:
        pytest.skip("this version of the library checks the length first")
    assert fault == "the HDF5 library takes more memory for its texts than the file can hold"
    with pytest.raises(VideoError, match="takes more memory"):
        open_recording(path)


def test_a_result_that_the_library_gets_stuck_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_look, "PATIENCE_S", 2.0)
    path = tmp_path / "result.hdf5"
    write_caiman(path)
    damage_heap(path)
    with pytest.raises(ResultError, match="library gets stuck"):
        load_caiman(path)


def test_one_process_looks_at_all_files_and_another_goes_on_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5_look, "PATIENCE_S", 3.0)
    paths = [write_nwb(tmp_path / f"{number} µ\n.nwb", make_movie(4)) for number in range(6)]
    damage_heap(paths[2])
    begun = []
    begin = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **named: begun.append(1) or begin(*given, **named))
    looker = hdf5_look._Looker()
    for _ in range(2):
        found = [looker.fault(path) for path in paths]
        assert found == [None, None, "the HDF5 library gets stuck in it", None, None, None]
    assert len(begun) == 2
    looker.end()


def test_a_looker_that_went_for_want_of_work_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_look, "_IDLE_S", 0.05)
    looker = hdf5_look._Looker()
    for number in range(4):
        path = write_hdf5(tmp_path / f"{number}.h5", make_movie(4))
        assert looker.fault(path) is None
        if looker._process is not None and number == 1:
            looker._process.wait(20)
    looker.end()


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_look, "PATIENCE_S", 2.0)
    path = write_nwb(tmp_path / "a.nwb", make_movie(4))
    assert fault_in(path) is None
    damage_heap(path)
    os.utime(path, ns=(1, 1))
    assert fault_in(path) == "the HDF5 library gets stuck in it"


def test_another_program_in_the_working_directory_is_not_taken_for_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "h5py.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    looker = hdf5_look._Looker()
    assert looker.fault(write_hdf5(tmp_path / "a.h5", make_movie(4))) is None
    looker.end()


def test_a_fork_begins_a_process_of_its_own(tmp_path: Path) -> None:
    first, second = (write_hdf5(tmp_path / f"{name}.h5", make_movie(4)) for name in "ab")
    assert fault_in(first) is None
    script = (
        "import os, sys; from pathlib import Path; from miniscope_core.io import hdf5_look as look\n"
        "a, b = map(Path, sys.argv[1:]); assert look.fault_in(a) is None; mine = look._looker._process.pid\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ok = look.fault_in(b) is None and look._looker._process.pid != mine\n"
        "    look._looker.end(); os._exit(0 if ok else 1)\n"
        "ok = os.waitpid(child, 0)[1] == 0 and look._looker._process.poll() is None and look.fault_in(b) is None\n"
        "sys.exit(0 if ok else 1)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script, str(first), str(second)], check=True)


def test_reading_a_movie_looks_at_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_hdf5(tmp_path / "a.h5", movie := make_movie(20))
    asked = []
    ask = hdf5_look._Looker._ask
    monkeypatch.setattr(hdf5_look._Looker, "_ask", lambda self, path: asked.append(path) or ask(self, path))
    recording = open_recording(path, fps=20)
    np.testing.assert_array_equal(recording.frames(), movie)
    assert asked == [path]
