"""Miniscope-DAQ-QT folders of all eras: layouts, metadata variants, the clock's columns, and what breaks."""

import json
import os
import shutil
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core.errors import ClockError, MetadataError, RecordingFormatError, VideoError
from miniscope_core.io import Recording, find_recordings, open_recording
from miniscope_core.io.metadata import parse_gain
from tests.builders import (
    SCOPE,
    Movie,
    cut_file,
    make_movie,
    regular_times_ms,
    session_metadata,
    write_v4_clock,
    write_v4_device,
    write_v4_session,
    write_video,
)
from tests.contracts.readers import FRAMES_PER_FILE, ReaderContract


class TestPlainLayout(ReaderContract):
    """Everything in one folder."""

    software = "Miniscope-DAQ-V4"
    clock_name = "timeStamps.csv"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_v4_device(root / "session", movie, frames_per_file=FRAMES_PER_FILE, **changes)


class TestSessionLayout(ReaderContract):
    """The folders as the program makes them, with a behaviour camera beside the scope."""

    software = "Miniscope-DAQ-V4"
    clock_name = "timeStamps.csv"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        cameras = {"Behav Cam": make_movie(9, 32, 48, seed=1)}
        session = write_v4_session(root, {SCOPE: movie}, cameras, frames_per_file=FRAMES_PER_FILE, **changes)
        return session / SCOPE


def plain(root: Path, frames: int = 12, **changes: Any) -> Path:
    return write_v4_device(root / "session", make_movie(frames), **changes)


# -- layouts --------------------------------------------------------------------------------------------
def test_a_session_opens_its_only_scope_and_leaves_the_cameras_alone(tmp_path: Path) -> None:
    movie = make_movie(12)
    session = write_v4_session(tmp_path, {"My V4": movie}, {"Cam A": make_movie(15), "Cam B": make_movie(9)})
    recording = open_recording(session)
    assert recording.directory == session / "My_V4"
    assert recording.metadata.device_name == "My V4"
    np.testing.assert_array_equal(recording.frames(), movie)


def test_a_camera_without_session_metadata_is_told_by_its_type(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, {"Cam": make_movie(15)})
    (session / "metaData.json").unlink()
    assert find_recordings(session) == [session / SCOPE]


def test_a_camera_that_lost_its_metadata_is_told_by_the_session(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, {"Behav Cam": make_movie(15)})
    (session / "Behav_Cam" / "metaData.json").unlink()
    assert find_recordings(session) == [session / SCOPE]


def test_a_camera_is_told_however_a_computer_spells_its_umlauts(tmp_path: Path) -> None:
    """A Mac gives ä in two characters, the program wrote one."""
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, {"Käfig Cam": make_movie(15)})
    camera = session / "Käfig_Cam"
    (camera / "metaData.json").unlink()
    camera.rename(session / unicodedata.normalize("NFD", "Käfig_Cam"))
    assert find_recordings(session) == [session / SCOPE]


def test_a_minicam_among_the_miniscopes_of_a_session_is_a_scope(tmp_path: Path) -> None:
    changes = {"deviceType": "Minicam-Mono-XGA", "gain": "8X"}
    session = write_v4_session(tmp_path, {"Mini": make_movie(12)}, metadata=changes)
    assert open_recording(session).metadata.gain == 8
    (session / "metaData.json").unlink()
    assert find_recordings(session) == []


def test_a_camera_folder_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, {"Cam": make_movie(15)})
    with pytest.raises(RecordingFormatError, match=r"No miniscope recording in .*Cam: .*lists it as a camera\. Pass"):
        open_recording(session / "Cam")


def test_a_session_of_cameras_alone_says_so_and_nothing_about_other_formats(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {}, {"Cam A": make_movie(15), "Cam B": make_movie(9)})
    with pytest.raises(RecordingFormatError, match=r"got Cam_A is set aside: .*Cam_B is set aside") as caught:
        open_recording(session)
    assert "Looked for" not in str(caught.value)


def test_two_scopes_of_a_session_are_listed(tmp_path: Path) -> None:
    movies = {"Scope 10": make_movie(12), "Scope 9": make_movie(14, seed=1)}
    session = write_v4_session(tmp_path, movies)
    with pytest.raises(RecordingFormatError, match=r"2 recordings in .*Scope_9, Scope_10\. Name one"):
        open_recording(session)
    for name, movie in movies.items():
        np.testing.assert_array_equal(open_recording(session / name.replace(" ", "_")).frames(), movie)


def test_a_linked_device_folder_keeps_its_session(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path / "data", {SCOPE: make_movie(12)})
    (tmp_path / "here").symlink_to(session / SCOPE, target_is_directory=True)
    recording = open_recording(tmp_path / "here")
    assert recording.metadata.animal_name == "subject1"
    assert recording.directory == tmp_path / "here"


def test_ten_files_come_in_natural_order(tmp_path: Path) -> None:
    movie = make_movie(23)
    folder = write_v4_device(tmp_path / "session", movie, frames_per_file=2)
    recording = open_recording(folder)
    assert [file.path.name for file in recording.files][:3] == ["0.avi", "1.avi", "2.avi"]
    assert recording.files[-1].path.name == "11.avi"
    np.testing.assert_array_equal(recording.frames(), movie)


def test_videos_with_other_names_are_not_read_and_told(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    for name in ("behavCam1.avi", "00.avi", "processed.avi"):
        shutil.copy(folder / "0.avi", folder / name)
    recording = open_recording(folder)
    assert recording.frame_count == 12
    assert any("00.avi, behavCam1.avi, processed.avi" in warning for warning in recording.metadata.warnings)


def test_a_file_without_frames_is_refused(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    write_video(folder / "1.avi", make_movie(1)[:0])
    with pytest.raises(VideoError, match=r"1\.avi"):
        open_recording(folder)


# -- metadata -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("nested", [True, False])
def test_start_time_nested_or_flat(tmp_path: Path, nested: bool) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, nested=nested)
    metadata = open_recording(session).metadata
    assert metadata.recording_datetime == datetime(2021, 1, 1, 0, 0, 1, 250_000)
    assert metadata.started_unix_ms == 1609459201250
    assert (metadata.animal_name, metadata.researcher_name) == ("subject1", "somebody")
    assert metadata.experiment_name == "linear track"
    assert metadata.warnings == ()


def test_start_time_from_the_folder_names_is_told(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)})
    (session / "metaData.json").unlink()
    metadata = open_recording(session).metadata
    assert metadata.recording_datetime == datetime(2021, 1, 1, 0, 0, 1)
    assert any("taken from the folder names 2021_01_01/00_00_01" in warning for warning in metadata.warnings)


@pytest.mark.parametrize(
    ("shift_ms", "kept"),
    [(0, True), (-7_200_000, True), (20_700_000, True), (-1, True), (60_000, False), (86_400_000, False)],
)
def test_the_moment_since_1970_is_kept_where_it_is_a_time_zone_from_the_date(
    tmp_path: Path, shift_ms: int, kept: bool
) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)})
    facts = json.loads((session / "metaData.json").read_text())
    facts["recordingStartTime"]["msecSinceEpoch"] += shift_ms
    (session / "metaData.json").write_text(json.dumps(facts))
    metadata = open_recording(session).metadata
    assert metadata.recording_datetime == datetime(2021, 1, 1, 0, 0, 1, 250_000)
    assert metadata.started_unix_ms == (1609459201250 + shift_ms if kept else None)
    assert any("no time zone from 2021-01-01 00:00:01" in warning for warning in metadata.warnings) != kept


def test_start_time_that_is_no_date_is_told(tmp_path: Path) -> None:
    folder = plain(tmp_path, metadata={"recordingStartTime": {"year": 2021, "month": 13, "day": 1}})
    metadata = open_recording(folder).metadata
    assert metadata.recording_datetime is None
    assert any("Start time" in warning for warning in metadata.warnings)


@pytest.mark.parametrize("value", ["20FPS", "20", 20, 20.0, "20.0 fps"])
def test_frame_rate_as_string_or_number(tmp_path: Path, value: object) -> None:
    recording = open_recording(plain(tmp_path, metadata={"frameRate": value}))
    assert recording.metadata.nominal_fps == recording.clock.nominal_fps == 20.0
    assert not any("frameRate" in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize("value", ["fast", "", -3, 0, True, [20], {"fps": 20}, 1e400, 10**400, "20FPS20"])
def test_frame_rate_as_nonsense_is_told_and_the_clock_counts(tmp_path: Path, value: object) -> None:
    recording = open_recording(plain(tmp_path, metadata={"frameRate": value}))
    assert recording.metadata.nominal_fps is None
    assert recording.fps == 20.0
    assert any("frameRate" in warning for warning in recording.metadata.warnings)


def test_frame_rate_unlike_the_clock_is_told(tmp_path: Path) -> None:
    recording = open_recording(plain(tmp_path, metadata={"frameRate": "30FPS"}))
    assert recording.fps == 20.0
    assert any("30 Hz, the clock gives 20 Hz" in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize(
    ("device_type", "gain", "expected"),
    [
        ("Miniscope_V4_BNO", "High", 3.5),
        ("Miniscope_V4", "Low", 1),
        ("Miniscope_V4_2C_Manual", "Medium", 2),
        ("Miniscope_V3", "High", 4),
        ("Miniscope_V4_BNO", 3.5, 3.5),
        ("Miniscope_V4_BNO", "2", 2),
        ("Miniscope_V4_BNO", "16X", None),
        ("Somebody's own", "High", None),
        ("Miniscope_V4_BNO", [1], None),
    ],
)
def test_gain_words_become_numbers_by_device_type(
    tmp_path: Path, device_type: str, gain: object, expected: float | None
) -> None:
    metadata = open_recording(plain(tmp_path, metadata={"deviceType": device_type, "gain": gain})).metadata
    assert metadata.gain == expected
    assert any("gain" in warning for warning in metadata.warnings) == (expected is None)


@pytest.mark.parametrize("device_type", ["Minicam-Mono-XGA", "Siminiscope_1024X768"])
def test_gain_of_a_minicam_is_told_as_a_multiple(device_type: str) -> None:
    assert [parse_gain(word, device_type) for word in ("1X", "8X", "16X", "32X", "Low")] == [1, 8, 16, 32, None]


@pytest.mark.parametrize(
    ("device_type", "size"),
    [
        ("Miniscope_V4_BNO", (608, 608)),
        ("Miniscope_V4", (608, 608)),
        ("Miniscope_V4_2C_Manual", (608, 608)),
        ("Miniscope_V3", (480, 752)),
        ("Somebody's own", (24, 32)),
    ],
)
def test_size_comes_from_the_video_without_roi(tmp_path: Path, device_type: str, size: tuple[int, int]) -> None:
    movie = make_movie(3, *size)
    folder = write_v4_device(tmp_path / "session", movie, metadata={"ROI": None, "deviceType": device_type})
    recording = open_recording(folder)
    assert recording.shape == size
    np.testing.assert_array_equal(recording.frames(), movie)
    assert not any("px" in warning for warning in recording.metadata.warnings)


def test_another_size_than_the_devices_own_without_roi_is_told(tmp_path: Path) -> None:
    recording = open_recording(plain(tmp_path, metadata={"ROI": None, "deviceType": "Miniscope_V3"}))
    assert recording.shape == (24, 32)
    told = "Miniscope_V3 gives 752×480 px and no ROI was set, the video has 32×24"
    assert any(told in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize("roi", [{"width": 600, "height": 600}, {"width": "wide"}, 7])
def test_roi_that_contradicts_the_video_is_told(tmp_path: Path, roi: object) -> None:
    folder = plain(tmp_path)
    facts = json.loads((folder / "metaData.json").read_text()) | {"ROI": roi}
    (folder / "metaData.json").write_text(json.dumps(facts))
    recording = open_recording(folder)
    assert recording.shape == (24, 32)
    assert any("ROI" in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize(("written", "told"), [(5, 1000), (1000, 5)])
def test_frames_per_file_that_contradicts_the_files_is_told(tmp_path: Path, written: int, told: int) -> None:
    recording = open_recording(plain(tmp_path, frames_per_file=written, metadata={"framesPerFile": told}))
    assert any(f"framesPerFile is {told}" in warning for warning in recording.metadata.warnings)


def test_metadata_of_an_earlier_recording_show_in_the_folder_s_name(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)})
    again = session.rename(session.with_name("17_30_00"))
    metadata = open_recording(again).metadata
    assert metadata.recording_datetime == datetime(2021, 1, 1, 0, 0, 1, 250_000)
    assert any("called 2021_01_01/17_30_00: is metaData.json left" in warning for warning in metadata.warnings)


@pytest.mark.parametrize("between", ["subject1/linear_track", ""])
def test_start_time_is_read_from_folders_in_whatever_order_the_lab_has_them(tmp_path: Path, between: str) -> None:
    """``directoryStructure`` may put the animal between date and time; a value that is missing is named as such."""
    folder = write_v4_device(tmp_path / "animalNameMissing/2024_05_17" / between / "10_23_45" / SCOPE, make_movie(12))
    assert open_recording(folder).metadata.recording_datetime == datetime(2024, 5, 17, 10, 23, 45)


def test_a_folder_that_is_no_date_tells_no_start(tmp_path: Path) -> None:
    for number, names in enumerate(("2024_13_17/10_23_45", "2024_05_17/10_23_75", "10_23_45/2024_05_17")):
        folder = write_v4_device(tmp_path / f"{number}" / names / SCOPE, make_movie(12))
        assert open_recording(folder).metadata.recording_datetime is None


@pytest.mark.parametrize(("day", "warned"), [("2021_01_01", False), ("2021_03_04", True)])
def test_metadata_of_an_earlier_day_show_where_folders_have_no_time(tmp_path: Path, day: str, warned: bool) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)})
    again = tmp_path / "subject1" / day / "linear_track"
    shutil.copytree(session, again)
    warnings = open_recording(again).metadata.warnings
    assert any(f"the folders are called {day}: is metaData.json left" in one for one in warnings) == warned


def written_as_recorded(session: Path, seconds: float, copied: bool = False) -> None:
    """Give files the times at which the program would have closed them; metadata that many seconds before it began."""
    began = 1_700_000_000.0
    for path in session.rglob("metaData.json"):
        os.utime(path, (began, began - seconds))
    for number in range(3):
        end = began + (number if copied else 10 * (number + 1))
        os.utime(session / SCOPE / f"{number}.avi", (end, end))


@pytest.mark.parametrize(
    ("seconds", "copied", "warned"), [(1800, False, 2), (1, False, 0), (1800, True, 0)], ids=["again", "new", "copied"]
)
def test_metadata_of_an_earlier_recording_show_in_when_they_were_written(
    tmp_path: Path, seconds: float, copied: bool, warned: int
) -> None:
    """The program never writes over a ``metaData.json``; a copy that did not keep the times of files proves nothing."""
    session = write_v4_session(tmp_path, {SCOPE: make_movie(30)}, frames_per_file=10, fps=1)
    written_as_recorded(session, seconds, copied)
    told = "was written 30 min before the recording began: is it left from an earlier recording"
    assert sum(told in warning for warning in open_recording(session).metadata.warnings) == warned


def test_videos_of_an_earlier_longer_recording_are_named(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(25)}, frames_per_file=5)
    write_video(session / SCOPE / "2.avi", make_movie(3))
    write_v4_clock(session / SCOPE, regular_times_ms(13))
    told = r"13 rows, 23 frames decode \(the rows end with 2\.avi: if 3\.avi … 4\.avi are left .*, move them away\)"
    with pytest.raises(ClockError, match=told):
        open_recording(session)
    for name in ("3.avi", "4.avi"):
        (session / SCOPE / name).unlink()
    assert open_recording(session).frame_count == 13


def test_a_compression_that_the_video_does_not_have_is_told(tmp_path: Path) -> None:
    warnings = open_recording(plain(tmp_path, codec="MJPG")).metadata.warnings
    assert any("compression is FFV1, the video is compressed with loss" in warning for warning in warnings)


def test_the_second_colour_of_a_scope_is_told(tmp_path: Path) -> None:
    changes = {"deviceType": "Miniscope_V4_2C_Manual", "led0": 0, "led1": 40}
    metadata = open_recording(plain(tmp_path, metadata=changes)).metadata
    assert metadata.led_power == 0
    assert any("led1) is at 40" in warning for warning in metadata.warnings)


@pytest.mark.parametrize(
    ("device_type", "led", "told"),
    [("Miniscope_V4_BNO", 100, False), ("Miniscope_V4_BNO", 101, True), ("Miniscope_V3", 255, False)],
)
def test_light_in_fine_steps_is_kept_as_written_and_told(
    tmp_path: Path, device_type: str, led: int, told: bool
) -> None:
    metadata = open_recording(plain(tmp_path, metadata={"deviceType": device_type, "led0": led})).metadata
    assert metadata.led_power == led
    assert any(f"led0 is {led} of 100" in warning for warning in metadata.warnings) == told


def test_numbered_videos_alone_are_not_miniscope_daq(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (folder / "metaData.json").unlink()
    (folder / "timeStamps.csv").unlink()
    write_video(folder / "1.avi", make_movie(3))
    assert open_recording(folder, fps=20).metadata.acquisition_software == "Video"


def test_a_folder_made_flat_that_kept_the_sessions_metadata_says_so(tmp_path: Path) -> None:
    """Both files have one name, so that of the device was written over when all was put into one folder."""
    folder = plain(tmp_path)
    (folder / "metaData.json").write_text(json.dumps(session_metadata()))
    metadata = open_recording(folder).metadata
    assert (metadata.animal_name, metadata.device_type) == ("subject1", None)
    assert any("metaData.json names no device" in warning for warning in metadata.warnings)


def test_missing_metadata_are_told_and_no_more(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (folder / "metaData.json").unlink()
    recording = open_recording(folder)
    assert recording.frame_count == 12
    assert any("metaData.json missing" in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": "\\ud800"}', b"null"]
)
@pytest.mark.parametrize("level", ["device", "session"])
def test_unreadable_json_is_named(tmp_path: Path, content: bytes, level: str) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)})
    place = session / SCOPE if level == "device" else session
    (place / "metaData.json").write_bytes(content)
    with pytest.raises(MetadataError, match=rf"metaData\.json in {place}") as caught:
        open_recording(session)
    assert "\n" not in str(caught.value)


def test_config_keeps_both_files_whole(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, metadata={"customKey": {"a": [1, None]}})
    config = open_recording(session).metadata.config
    assert config["metaData.json"]["customKey"] == {"a": [1, None]}
    assert config["../metaData.json"]["baseDirectory"] == "C:/data/subject1"


# -- clock ----------------------------------------------------------------------------------------------
def test_first_time_may_be_negative(tmp_path: Path) -> None:
    recording = open_recording(plain(tmp_path))
    assert recording.timestamps_s[0] == -0.003
    assert recording.clock.problems == ()


def test_time_going_back_is_refused_by_line_or_told(tmp_path: Path) -> None:
    times = regular_times_ms(12)
    times[7] = 10
    folder = plain(tmp_path, times_ms=times)
    with pytest.raises(ClockError, match=r"goes back 1 times, first at line 9 from 297 to 10 ms"):
        open_recording(folder)
    recording = open_recording(folder, clock="report")
    assert recording.clock.backward == 1
    assert recording.timestamps_s[7] == 0.01


def test_equal_times_are_refused_even_in_a_report(tmp_path: Path) -> None:
    with pytest.raises(ClockError, match="clock stood still"):
        open_recording(plain(tmp_path, times_ms=[5] * 12), clock="report")


def test_a_partial_last_row_is_refused_or_left_out(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    clock = folder / "timeStamps.csv"
    clock.write_text(clock.read_text().rstrip("\n").rsplit(",", 1)[0])
    with pytest.raises(ClockError, match=r"row cut short \(line 13\)"):
        open_recording(folder)
    assert open_recording(folder, clock="report").frame_count == 11


def test_rows_lost_inside_show_in_the_frame_number(tmp_path: Path) -> None:
    folder = plain(tmp_path, frames=10)
    clock = folder / "timeStamps.csv"
    lines = clock.read_text().splitlines()
    lines[4:6] = []
    clock.write_text("\n".join([*lines, "10,497,0", "11,547,0"]) + "\n")
    with pytest.raises(ClockError, match="counts frames with 1 jumps, first at line 5"):
        open_recording(folder)


def test_hardware_frame_number_counts_dropped_frames_across_its_wrap(tmp_path: Path) -> None:
    hardware = [65530, 65531, 65534, 65535, 0, 1, -1, 3, 6, 7, 8, 9]
    recording = open_recording(plain(tmp_path, hardware=hardware, buffer=[0, 3, 117, *[1] * 9]))
    assert (recording.clock.dropped, recording.clock.dropped_from) == (2 + 2, "hardware frame number")
    assert recording.clock.buffer_peak == 117


@pytest.mark.parametrize(("peak", "told"), [(119, False), (120, True), (127, True)])
def test_a_buffer_that_was_nearly_full_is_told(tmp_path: Path, peak: int, told: bool) -> None:
    """The program throws frames away while all 128 places are taken, and its table does not show it."""
    recording = open_recording(plain(tmp_path, buffer=[0, peak, *[1] * 10]))
    warned = any(f"{peak} of 128 frames" in warning for warning in recording.metadata.warnings)
    assert (recording.clock.buffer_peak, warned) == (peak, told)


def test_a_cut_file_inside_keeps_the_times_of_those_after_it(tmp_path: Path) -> None:
    movie = make_movie(27)
    folder = write_v4_device(tmp_path / "session", movie, frames_per_file=10)
    cut_file(folder / "1.avi", 0.6)
    recording = open_recording(folder, clock="report")
    kept = recording.files[1].frame_count
    assert 0 < kept < 10
    index = [*range(10 + kept), *range(20, 27)]
    np.testing.assert_array_equal(recording.frames(), movie[index])
    np.testing.assert_allclose(recording.timestamps_s, np.array(regular_times_ms(27))[index] / 1000)
    assert "takes row 10 k + j" in recording.clock.rule


def test_a_long_clock_is_read_quickly_enough_to_be_no_matter(tmp_path: Path) -> None:
    frames = 12
    folder = plain(tmp_path, frames=frames, times_ms=regular_times_ms(111_770))
    recording = open_recording(folder, clock="report")
    assert (recording.clock.rows, recording.frame_count) == (111_770, frames)


# -- side tables ----------------------------------------------------------------------------------------
def test_notes_are_split_at_the_first_comma_only(tmp_path: Path) -> None:
    recording = open_recording(write_v4_session(tmp_path, {SCOPE: make_movie(12)}))
    assert [(note.time_s, note.text) for note in recording.notes] == [
        (1.5, "rearing, then still"),
        (2.0, f"{SCOPE},led0,20"),
    ]


def test_notes_from_before_they_had_a_header_keep_the_first(tmp_path: Path) -> None:
    """Version 1.11 began to write one."""
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)}, nested=False)
    (session / "notes.csv").write_text("-2,started\n1500,rearing, then still\n")
    notes = open_recording(session).notes
    assert [(note.time_s, note.text) for note in notes] == [(-0.002, "started"), (1.5, "rearing, then still")]


def test_notes_of_a_session_that_lost_its_metadata_are_kept_and_the_loss_is_told(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(12)})
    (session / "metaData.json").unlink()
    recording = open_recording(session)
    assert [note.time_s for note in recording.notes] == [1.5, 2.0]
    assert session / "notes.csv" in recording.side_files
    assert any("animal and experimenter are unknown" in warning for warning in recording.metadata.warnings)


def test_notes_of_another_program_above_the_folder_are_not_the_sessions(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (tmp_path / "notes.csv").write_text("12,mice in the colony\n")
    assert open_recording(folder).notes == ()


def test_head_orientation_is_joined_on_time_not_on_rows(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (folder / "headOrientation.csv").write_text("Time Stamp (ms),qw,qx,qy,qz\n-3,1,0,0,0\n97,0.5,0.5,-0.5,0.5\n147,0.")
    recording = open_recording(folder)
    assert recording.head_orientation is not None
    np.testing.assert_allclose(recording.head_orientation, [[-0.003, 1, 0, 0, 0], [0.097, 0.5, 0.5, -0.5, 0.5]])
    assert any("1 rows of headOrientation.csv" in warning for warning in recording.metadata.warnings)
    assert folder / "headOrientation.csv" in recording.side_files


@pytest.mark.parametrize("header", ["qw,qx,qy,qz", "Time Stamp (ms),qw,qx,qy,qz"])
def test_head_orientation_is_read_by_place_because_early_headers_forget_the_time(tmp_path: Path, header: str) -> None:
    """Version 0.14 wrote the time and named four columns of five."""
    folder = plain(tmp_path)
    (folder / "headOrientation.csv").write_text(f"{header}\n\n47,1,0,0,0\n")
    np.testing.assert_array_equal(open_recording(folder).head_orientation, [[0.047, 1, 0, 0, 0]])


# -- codecs ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("codec", "colour"), [("GREY", False), ("FFV1", True)])
def test_lossless_codecs_are_exact(tmp_path: Path, codec: str, colour: bool) -> None:
    movie = make_movie(12)
    recording = open_recording(write_v4_device(tmp_path / "session", movie, codec=codec, colour=colour))
    np.testing.assert_array_equal(recording.frames(), movie)


@pytest.mark.parametrize("codec", ["MJPG", "XVID"])
def test_lossy_codecs_are_told(tmp_path: Path, codec: str) -> None:
    recording: Recording = open_recording(plain(tmp_path, codec=codec))
    assert recording.frame_count == 12
    assert any("compressed with loss" in warning for warning in recording.metadata.warnings)


def test_metadata_of_a_recording_above_the_folder_are_not_the_sessions(tmp_path: Path) -> None:
    """One recording was copied into another's folder, whose single metaData.json tells its session too."""
    outer = plain(tmp_path, metadata={"animalName": "somebody else's", **session_metadata()})
    inner = write_v4_device(outer / "inner", make_movie(12))
    metadata = open_recording(inner).metadata
    assert (metadata.animal_name, metadata.recording_datetime) == (None, None)


def test_metadata_of_another_kind_above_the_folder_are_not_the_sessions(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (tmp_path / "metaData.json").write_text(json.dumps({"animalName": "somebody else's"}))
    metadata = open_recording(folder).metadata
    assert metadata.animal_name is None
    assert list(metadata.config) == ["metaData.json"]
