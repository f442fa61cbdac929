"""Miniscope-DAQ V3 folders: raw DIB video, interleaved clocks, start time in the folder's name."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core.errors import ClockError, RecordingFormatError, VideoError
from miniscope_core.io import find_recordings, open_recording
from tests.builders import Movie, cut_file, make_movie, write_v3_recording, write_video
from tests.contracts.readers import FRAMES_PER_FILE, ReaderContract


class TestWithBehaviourCamera(ReaderContract):
    """Scope and behaviour camera in one folder."""

    software = "Miniscope-DAQ-V3"
    clock_name = "timestamp.dat"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        behaviour = make_movie(40, 30, 40, seed=1)
        return write_v3_recording(root, movie, behaviour=behaviour, frames_per_file=FRAMES_PER_FILE, **changes)

    def test_fewer_rows_are_refused_or_leave_frames_out(self, folder: Path, movie: Movie) -> None:
        """Without its last rows no camera agrees; the nearest is taken and told."""
        last = [["1", str(frame)] for frame in (25, 26, 27)]
        self.edit_clock(folder, lambda lines: [line for line in lines if line.split("\t")[:2] not in last])
        with pytest.raises(ClockError, match=r"24 rows.*none of 2 cameras .*27 frames.*camera 0 has 40 rows"):
            open_recording(folder)
        recording = open_recording(folder, clock="report")
        assert recording.frame_count == 24
        assert "camera 1 of 0, 1 is the scope" in recording.clock.rule
        np.testing.assert_array_equal(recording.frames(), movie[:24])

    def test_no_video_at_all_is_named(self, folder: Path) -> None:
        """Behaviour video alone is another matter, and refused as such."""
        (folder / "behavCam1.avi").unlink()
        super().test_no_video_at_all_is_named(folder)

    def test_a_garbage_row_is_named_by_its_line(self, folder: Path) -> None:
        self.edit_clock(folder, lambda lines: [*lines[:5], lines[5].replace("\t", " "), *lines[6:]])
        with pytest.raises(ClockError, match=r"timestamp\.dat line 6 .*fps="):
            open_recording(folder, clock="report")


class TestScopeAlone(ReaderContract):
    """No behaviour camera, and the empty file the program opened ahead."""

    software = "Miniscope-DAQ-V3"
    clock_name = "timestamp.dat"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_v3_recording(root, movie, frames_per_file=FRAMES_PER_FILE, scope_number=0, **changes)


def test_the_scope_is_the_camera_whose_rows_agree(tmp_path: Path) -> None:
    for scope, behaviour in ((0, 1), (2, 0)):
        folder = write_v3_recording(
            tmp_path / str(scope),
            make_movie(12),
            behaviour=make_movie(20),
            scope_number=scope,
            behaviour_number=behaviour,
        )
        recording = open_recording(folder)
        assert (
            f"camera {scope} of {min(scope, behaviour)}, {max(scope, behaviour)} is the scope" in recording.clock.rule
        )
        np.testing.assert_allclose(recording.timestamps_s, np.arange(12) / 20)


def test_the_scope_s_last_frame_number_has_to_agree_too(tmp_path: Path) -> None:
    """A behaviour camera that lost rows can have as many as the scope has frames."""
    folder = write_v3_recording(tmp_path, make_movie(12), behaviour=make_movie(14), fps=10)
    clock = folder / "timestamp.dat"
    lost = ("0\t5\t", "0\t9\t")
    clock.write_text("".join(line for line in clock.read_text().splitlines(True) if not line.startswith(lost)))
    recording = open_recording(folder)
    assert "camera 1 of 0, 1 is the scope" in recording.clock.rule
    assert recording.fps == 10


def test_two_cameras_that_agree_are_refused_or_told(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(12), behaviour=make_movie(12))
    with pytest.raises(ClockError, match=r"2 of 2 cameras agree with the 12 frames.* camera 0 would be taken"):
        open_recording(folder)
    assert "2 of 2 cameras" in open_recording(folder, clock="report").clock.problems[0]


def test_the_frame_number_is_not_the_time(tmp_path: Path) -> None:
    recording = open_recording(write_v3_recording(tmp_path, make_movie(12), fps=10))
    assert recording.fps == 10
    assert recording.timestamps_s[-1] == 1.1


@pytest.mark.parametrize("first", [4_294_967_291, -70_000, 60])
def test_a_first_time_that_is_garbage_is_zero_and_told(tmp_path: Path, first: int) -> None:
    times = [first, *range(50, 600, 50)]
    recording = open_recording(write_v3_recording(tmp_path, make_movie(12), times_ms=times))
    assert recording.timestamps_s[0] == 0
    assert f"{first} ms, is not between 0 and the second and was set to 0" in recording.clock.rule


def test_a_first_time_that_is_possible_stays(tmp_path: Path) -> None:
    recording = open_recording(write_v3_recording(tmp_path, make_movie(12), times_ms=[13, *range(50, 600, 50)]))
    assert recording.timestamps_s[0] == 0.013
    assert "set to 0" not in recording.clock.rule


def test_a_cut_file_inside_keeps_the_times_of_those_after_it(tmp_path: Path) -> None:
    """Nothing tells how many frames a file held but that the program fills each with 1000."""
    movie = make_movie(2100, 8, 10)
    folder = write_v3_recording(tmp_path, movie)
    cut_file(folder / "msCam2.avi", 0.6)
    recording = open_recording(folder, clock="report")
    kept = recording.files[1].frame_count
    assert 0 < kept < 1000
    index = [*range(1000 + kept), *range(2000, 2100)]
    np.testing.assert_array_equal(recording.frames(1000 + kept - 2), movie[index][1000 + kept - 2 :])
    np.testing.assert_allclose(recording.timestamps_s, np.array(index) / 20)


def test_an_empty_last_file_is_no_fault(tmp_path: Path) -> None:
    movie = make_movie(20)
    recording = open_recording(write_v3_recording(tmp_path, movie, frames_per_file=10, trailing_empty=True))
    assert [file.frame_count for file in recording.files] == [10, 10, 0]
    np.testing.assert_array_equal(recording.frames(7, 20), movie[7:20])


def test_an_empty_file_before_the_last_is_one(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(20), frames_per_file=10, trailing_empty=True)
    (folder / "msCam2.avi").write_bytes((folder / "msCam3.avi").read_bytes())
    with pytest.raises(VideoError, match=r"msCam2\.avi holds no frame"):
        open_recording(folder)


def test_facts_come_from_folder_name_and_settings(tmp_path: Path) -> None:
    recording = open_recording(write_v3_recording(tmp_path, make_movie(12)))
    metadata = recording.metadata
    assert metadata.recording_datetime == datetime(2019, 5, 28, 15, 45, 12)
    assert (metadata.animal_name, metadata.led_power, metadata.device_type) == ("subject1", 12, "Miniscope_V3")
    assert [(note.time_s, note.text) for note in recording.notes] == [(3.0, "LED excitation intensity set to 14")]
    assert metadata.warnings == ()
    settings = {"animal": "subject1", "excitation": "12", "msCamExposure": "255", "recordLength": "600"}
    assert metadata.config == {"settings_and_notes.dat": settings}


def test_a_recording_of_the_real_size_is_exact(tmp_path: Path) -> None:
    movie = make_movie(3, 480, 752)
    recording = open_recording(write_v3_recording(tmp_path, movie))
    assert recording.shape == (480, 752)
    np.testing.assert_array_equal(recording.frames(), movie)


def test_settings_without_sense_and_other_videos_are_told(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(12), behaviour=make_movie(14))
    settings = folder / "settings_and_notes.dat"
    settings.write_text(settings.read_text().replace("subject1\t12", "\tbright"))
    write_video(folder / "processed.avi", make_movie(3))
    metadata = open_recording(folder).metadata
    assert (metadata.animal_name, metadata.led_power) == (None, None)
    assert metadata.warnings == (
        "Other videos in the folder are not read: processed.avi",
        "excitation in settings_and_notes.dat: got 'bright', expected a number; left out",
    )


def test_rows_that_are_missing_inside_are_told_by_the_frame_number(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(10), times_ms=list(range(0, 600, 50)))
    clock = folder / "timestamp.dat"
    lines = clock.read_text().splitlines(True)
    clock.write_text("".join([*lines[:5], *lines[7:]]))
    with pytest.raises(
        ClockError, match=r"timestamp\.dat counts frames with 1 jumps, first at line 6: rows are missing"
    ):
        open_recording(folder)


@pytest.mark.parametrize("name", ["mouse 7", "13_45_2019/H15_M45_S12"])
def test_a_folder_by_another_name_has_no_start_time_and_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "13_45_2019").mkdir()
    folder = write_v3_recording(tmp_path, make_movie(12)).rename(tmp_path / name)
    metadata = open_recording(folder).metadata
    assert metadata.recording_datetime is None
    assert any("M_D_YYYY/H15_M45_S12" in warning for warning in metadata.warnings)


def test_missing_settings_are_told(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(12))
    (folder / "settings_and_notes.dat").unlink()
    assert any("settings_and_notes.dat missing" in warning for warning in open_recording(folder).metadata.warnings)


def test_behaviour_video_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(12), behaviour=make_movie(20))
    (folder / "msCam1.avi").unlink()
    with pytest.raises(RecordingFormatError, match="behavCam videos and no msCam"):
        open_recording(folder)


def test_a_folder_of_both_programs_is_refused_with_both(tmp_path: Path) -> None:
    folder = write_v3_recording(tmp_path, make_movie(12))
    write_video(folder / "0.avi", make_movie(12))
    (folder / "metaData.json").write_text("{}")
    with pytest.raises(RecordingFormatError, match=r"Two recordings.*Miniscope-DAQ-V4 by 0\.avi.*V3 by msCam1\.avi"):
        open_recording(folder)
    with pytest.raises(RecordingFormatError):
        find_recordings(tmp_path)
