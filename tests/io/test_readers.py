"""Which folder is a recording, and what is said when none is."""

from pathlib import Path

import pytest

from miniscope_core.errors import RecordingFormatError, RecordingNotFoundError
from miniscope_core.io import READERS, find_recording, find_recordings, open_recording
from tests.builders import SCOPE, make_movie, write_v3_recording, write_v4_device, write_v4_session
from tests.formats import write_bonsai, write_inscopix_times


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingNotFoundError, match=r"No folder at .*nowhere"):
        open_recording(tmp_path / "nowhere")


def test_a_file_is_answered_with_its_folder(tmp_path: Path) -> None:
    folder = write_v4_device(tmp_path / "session", make_movie(3))
    with pytest.raises(RecordingFormatError, match=rf"is a file.*Pass {folder}$"):
        open_recording(folder / "0.avi")


def test_a_folder_of_something_else_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "movie.txt").write_bytes(b"")
    with pytest.raises(RecordingFormatError) as caught:
        open_recording(tmp_path)
    for reader in READERS:
        assert reader.name in str(caught.value)
        assert reader.looks_for in str(caught.value)


def test_a_data_folder_gives_every_recording_in_natural_order(tmp_path: Path) -> None:
    for name in ("mouse10", "mouse9"):
        write_v4_session(tmp_path / name, {SCOPE: make_movie(3)}, {"Cam": make_movie(3)})
    write_v3_recording(tmp_path / "mouse2", make_movie(3))
    found = [path.relative_to(tmp_path).as_posix() for path in find_recordings(tmp_path)]
    assert found == [
        "mouse2/5_28_2019/H15_M45_S12",
        f"mouse9/2021_01_01/00_00_01/{SCOPE}",
        f"mouse10/2021_01_01/00_00_01/{SCOPE}",
    ]
    with pytest.raises(RecordingFormatError, match=r"3 recordings in .*Name one of them"):
        find_recording(tmp_path)


def test_a_recording_linked_twice_and_a_link_in_a_circle_are_found_once(tmp_path: Path) -> None:
    folder = write_v4_device(tmp_path / "session" / "zz", make_movie(3))
    (tmp_path / "session" / "aa").symlink_to(folder, target_is_directory=True)
    (tmp_path / "session" / "circle").symlink_to(tmp_path, target_is_directory=True)
    assert find_recordings(tmp_path) == [folder]


def test_hidden_folders_are_not_looked_into(tmp_path: Path) -> None:
    write_v4_device(tmp_path / ".trash" / "old", make_movie(3))
    assert find_recordings(tmp_path) == []


def test_what_lies_below_a_recording_is_its_own(tmp_path: Path) -> None:
    folder = write_v4_device(tmp_path / "session", make_movie(3))
    write_v4_device(folder / "backup", make_movie(3))
    assert find_recordings(tmp_path) == [folder]


def test_the_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_v4_device(tmp_path / "session", make_movie(3))
    monkeypatch.chdir(folder)
    assert open_recording(".").directory == folder
    monkeypatch.chdir(tmp_path)
    assert open_recording("session").directory == folder


def test_a_movie_that_two_programs_claim_is_refused_with_both(tmp_path: Path) -> None:
    path = write_bonsai(tmp_path / "movie.avi", make_movie(4))
    write_inscopix_times(tmp_path / "movie-timestamps.csv", [0, 0.05, 0.1, 0.15])
    with pytest.raises(RecordingFormatError, match=r"Inscopix by movie\.avi with .*Bonsai by movie\.avi"):
        open_recording(path)
    with pytest.raises(RecordingFormatError, match="of different programs"):
        find_recordings(tmp_path)
