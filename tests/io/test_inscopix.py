"""Inscopix: movies by their layout, exports with their tables, sessions as DataJoint has them."""

import json
import struct
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, MetadataError, RecordingError, RecordingFormatError, VideoError
from miniscope_core.io import find_recordings, open_recording
from tests.builders import Movie, make_movie, write_video
from tests.contracts.readers import MovieContract
from tests.formats import (
    isxd_footer,
    write_inscopix_session,
    write_inscopix_times,
    write_isxd,
    write_tiff,
)
from tests.io.test_plain_movie import deep_movie


class TestIsxd(MovieContract):
    software = "Inscopix"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_isxd(root / "run" / "movie.isxd", movie)


class TestIsxdWithHeaders(MovieContract):
    """Frames between their headers, with the hardware's clock in them."""

    software = "Inscopix"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        stamps = [2**40 + 50_000 * index for index in range(len(movie))]
        return write_isxd(root / "run" / "movie.isxd", movie, stamps_us=stamps)


def test_eight_bit_frames_are_read(tmp_path: Path) -> None:
    movie = make_movie(5)
    np.testing.assert_array_equal(open_recording(write_isxd(tmp_path / "a.isxd", movie)).frames(), movie)


def test_frames_that_are_not_stored_have_a_time_and_no_picture(tmp_path: Path) -> None:
    movie = deep_movie(20)
    # Of 30: 3 and 4 dropped, 10 to 14 and 29 cropped, 6 and 7 blank.
    footer = isxd_footer(movie, numTimes=30, dropped=[3, 4], cropped=["10 - 14", "29"], blank=[6, 7])
    recording = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer))
    kept = [index for index in range(30) if index not in {3, 4, 6, 7, 10, 11, 12, 13, 14, 29}]
    np.testing.assert_allclose(recording.timestamps_s, np.array(kept) * 0.05)
    np.testing.assert_array_equal(recording.frames(), movie)
    assert (recording.clock.dropped, recording.clock.dropped_from) == (2, "frames that the file lists as dropped")
    assert "2 dropped, 2 blank and 6 cropped of 30 times have no frame" in recording.clock.rule


def test_the_hardware_s_stamps_are_the_clock(tmp_path: Path) -> None:
    movie = deep_movie(6)
    stamps = [2**33 + stamp for stamp in (0, 50_100, 99_800, 150_000, 260_000, 300_000)]
    recording = open_recording(write_isxd(tmp_path / "a.isxd", movie, stamps_us=stamps))
    np.testing.assert_allclose(recording.timestamps_s, [0, 0.0501, 0.0998, 0.15, 0.26, 0.3])
    assert recording.clock.source == "time stamps of the frames"
    assert recording.clock.nominal_fps == 20
    assert recording.clock.jitter_ms > 0
    stamps[3] = 2**33 + 10
    with pytest.raises(ClockError, match="goes back 1 times"):
        open_recording(write_isxd(tmp_path / "a.isxd", movie, stamps_us=stamps))


def test_stamps_begin_where_the_first_frame_that_is_stored_belongs(tmp_path: Path) -> None:
    footer = isxd_footer(movie := deep_movie(4), numTimes=6, dropped=[0], cropped=["1"])
    stamps = [2**33 + 50_000 * index for index in range(4)]
    recording = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer, stamps_us=stamps))
    np.testing.assert_allclose(recording.timestamps_s, [0.1, 0.15, 0.2, 0.25])
    np.testing.assert_array_equal(recording.frames(), movie)


@pytest.mark.parametrize("version", [0, None])
def test_files_from_before_headers_have_none_whatever_they_say(tmp_path: Path, version: int | None) -> None:
    footer = isxd_footer(movie := deep_movie(4)) | {"fileVersion": version, "hasFrameHeaderFooter": True}
    recording = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer))
    np.testing.assert_array_equal(recording.frames(), movie)


def test_facts_of_an_isxd(tmp_path: Path) -> None:
    recording = open_recording(write_isxd(tmp_path / "a.isxd", deep_movie(4)))
    metadata = recording.metadata
    assert metadata.recording_datetime == datetime(2024, 5, 17, 10, 23, 45, 500000)  # 08:23:45.5 UTC + 2 h
    assert metadata.started_unix_ms == 1715934225500
    assert (metadata.animal_name, metadata.device_type, metadata.gain, metadata.led_power) == (
        "subject1",
        "nVista3",
        4,
        0.8,
    )
    assert (metadata.um_width, metadata.um_height) == (32 * 1.75, 24 * 1.75)
    assert recording.clock.source == "timingInfo"


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"secsSinceEpoch": {"num": 1715934225, "den": 1}, "utcOffset": -25200}, datetime(2024, 5, 17, 1, 23, 45)),
        ({"secsSinceEpoch": {"num": 1715934225, "den": 1}}, datetime(2024, 5, 17, 8, 23, 45)),
        ({"secsSinceEpoch": {"num": 0, "den": 1000}, "utcOffset": 0}, None),
        ({"secsSinceEpoch": {"num": 10**18, "den": 1}, "utcOffset": 0}, None),
        ({}, None),
    ],
)
def test_the_start_is_the_local_time_at_the_rig(
    tmp_path: Path, start: dict[str, Any], expected: datetime | None
) -> None:
    footer = isxd_footer(movie := deep_movie(4), start=start)
    metadata = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer)).metadata
    assert metadata.recording_datetime == expected
    assert ("The start time is missing" in metadata.warnings) == (expected is None)


def test_cropped_ranges_that_meet_or_overlap_count_once(tmp_path: Path) -> None:
    footer = isxd_footer(movie := deep_movie(4), numTimes=10, cropped=["4 - 6", "1 - 2", "3", "5 - 6"])
    recording = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer))
    np.testing.assert_allclose(recording.timestamps_s, np.array([0, 7, 8, 9]) * 0.05)
    assert "6 cropped of 10 times" in recording.clock.rule


def test_a_movie_of_which_nothing_is_stored_is_refused(tmp_path: Path) -> None:
    footer = isxd_footer(deep_movie(4), dropped=[0, 1], cropped=["2 - 3"])
    path = write_isxd(tmp_path / "a.isxd", deep_movie(4)[:0], footer)
    with pytest.raises(VideoError, match="holds no frame: 4 times, 2 dropped, 0 blank, 2 cropped"):
        open_recording(path)


@pytest.mark.parametrize(("text", "told"), [(b"{", "no JSON"), (b"[1]", "a JSON list"), (b"\xff\xfe", "no JSON")])
def test_a_description_that_cannot_be_read_is_refused(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "a.isxd"
    path.write_bytes(b"\0" * 64 + text + b"\0" + struct.pack("<Q", len(text)))
    with pytest.raises(VideoError, match=rf"a\.isxd is damaged or cut short: got {told}.*Copy it again"):
        open_recording(path)


def test_the_program_s_default_pixel_size_is_nobody_s_measurement(tmp_path: Path) -> None:
    footer = isxd_footer(movie := deep_movie(4))
    footer["spacingInfo"]["pixelSize"] = {"x": {"num": 6, "den": 1}, "y": {"num": 6, "den": 1}}
    metadata = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer)).metadata
    assert metadata.um_width is None
    assert any("6 µm" in warning for warning in metadata.warnings)


@pytest.mark.parametrize(
    ("dual", "channel", "told"),
    [("multiplexing", None, True), ("multiplexing", "green", False), ("single", None, False), (None, None, False)],
)
def test_two_colours_that_alternate_in_a_movie_are_told(
    tmp_path: Path, dual: str | None, channel: str | None, told: bool
) -> None:
    """Inscopix' program gives each colour a movie of its own, and writes which it is."""
    footer = isxd_footer(movie := deep_movie(4))
    footer["extraProperties"]["microscope"]["dualColor"] = {"enabled": True, "mode": dual} if dual else None
    footer["extraProperties"]["idps"] = {"channel": channel} if channel else None
    warnings = open_recording(write_isxd(tmp_path / "a.isxd", movie, footer)).metadata.warnings
    assert any("Frames of two colours alternate" in warning for warning in warnings) == told


@pytest.mark.parametrize(
    ("kind", "told"),
    [(1, "a cell set"), (2, "a behaviour movie"), (3, "a GPIO"), (5, "a vessel set"), (99, "a kind of data unknown")],
)
def test_other_kinds_of_isxd_are_no_recording_and_named(tmp_path: Path, kind: int, told: str) -> None:
    footer = isxd_footer(movie := deep_movie(4)) | {"type": kind}
    path = write_isxd(tmp_path / "cells.isxd", movie, footer)
    assert find_recordings(tmp_path) == []
    with pytest.raises(RecordingFormatError, match=rf"No miniscope recording in .*cells\.isxd: it holds {told}"):
        open_recording(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dataType": 1}, "got float32, expected uint8 or uint16"),
        ({"dataType": 9}, "dataType 9"),
        ({"timingInfo": {}}, "0 times"),
        ({"spacingInfo": {"numPixels": {"x": 2**40, "y": 2**40}}}, "px"),
        ({"spacingInfo": None}, "px"),
    ],
)
def test_a_description_without_sense_is_refused(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = write_isxd(tmp_path / "a.isxd", movie := deep_movie(4), isxd_footer(movie) | change)
    with pytest.raises(VideoError, match=problem):
        open_recording(path)


@pytest.mark.parametrize(
    ("timing", "problem"),
    [
        ({"dropped": [99]}, "dropped frames of .*below 4"),
        ({"dropped": "x"}, "dropped frames"),
        ({"cropped": ["2 - 99"]}, "below 4"),
        ({"cropped": ["b"]}, "range such as"),
        ({"period": {"num": 0, "den": 1}}, "Frame period"),
        ({"period": 5}, "Frame period"),
    ],
)
def test_times_without_sense_are_refused(tmp_path: Path, timing: dict[str, Any], problem: str) -> None:
    path = write_isxd(tmp_path / "a.isxd", movie := deep_movie(4), isxd_footer(movie, **timing))
    with pytest.raises(MetadataError, match=problem):
        open_recording(path)


def test_frames_that_are_not_what_was_described_are_refused_or_told(tmp_path: Path) -> None:
    movie = deep_movie(10)
    path = write_isxd(tmp_path / "a.isxd", movie, isxd_footer(movie, numTimes=12))
    with pytest.raises(VideoError, match=r"bytes for 10 frames, its description tells of 12"):
        open_recording(path)
    recording = open_recording(path, clock="report")
    np.testing.assert_array_equal(recording.frames(), movie)
    assert recording.clock.problems


def test_a_length_beyond_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.isxd"
    path.write_bytes(b"\0" * 100 + struct.pack("<Q", 2**60))
    with pytest.raises(VideoError, match="length of 1,152,921,504,606,846,976"):
        open_recording(path)


# -- exports ----------------------------------------------------------------------------------------------
class TestExportedTiff(MovieContract):
    """Dropped frames are left out of the movie and are rows of the table."""

    software = "Inscopix"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        path = write_tiff(root / "run" / "movie.tif", movie)
        write_inscopix_times(path.with_name("movie-timestamps.csv"), [index / 20 for index in range(len(movie))])
        return path


class TestExportedAvi(MovieContract):
    software = "Inscopix"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        path = write_video(root / "run" / "movie.avi", movie)
        times = [2**41 + 50_000 * index for index in range(len(movie))]
        write_inscopix_times(path.with_suffix(".csv"), times, "us")
        return path


def test_dropped_frames_that_the_movie_leaves_out(tmp_path: Path) -> None:
    movie = deep_movie(8)
    path = write_tiff(tmp_path / "movie.tif", movie)
    write_inscopix_times(tmp_path / "movie.csv", [0, 0.05, None, None, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.frames(), movie)
    np.testing.assert_allclose(recording.timestamps_s, [0, 0.05, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
    assert (recording.clock.dropped, recording.clock.dropped_from) == (2, "NaN in movie.csv")


def test_dropped_frames_that_the_movie_keeps_are_no_data(tmp_path: Path) -> None:
    movie = deep_movie(10)
    path = write_tiff(tmp_path / "movie.tif", movie)
    write_inscopix_times(tmp_path / "movie.csv", [0, 0.05, None, None, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
    recording = open_recording(path)
    kept = np.delete(movie, [2, 3], axis=0)
    assert recording.frame_count == 8
    np.testing.assert_array_equal(recording.frames(), kept)
    np.testing.assert_array_equal(recording.frames(1, 8, 3), kept[1:8:3])
    assert "2 frames without a time are left out" in recording.clock.rule
    assert recording.clock.frames == 10


def test_a_movie_of_another_length_than_its_table_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "movie.tif", deep_movie(9))
    write_inscopix_times(tmp_path / "movie.csv", [0, 0.05, None, None, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45])
    with pytest.raises(ClockError, match="8 rows, 9 frames decode"):
        open_recording(path)


def test_exported_times_since_1970_count_from_the_first(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "movie.tif", deep_movie(5))
    write_inscopix_times(tmp_path / "movie.csv", [1715934225.5 + 0.05 * index for index in range(5)])
    recording = open_recording(path)
    np.testing.assert_allclose(recording.timestamps_s, np.arange(5) * 0.05, atol=1e-6)
    assert "times count from the first row" in recording.clock.rule


@pytest.mark.parametrize("row", ["4,0,4", "4,0,4,x", "4,0,4,"])
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, row: str) -> None:
    path = write_tiff(tmp_path / "movie.tif", deep_movie(5))
    table = write_inscopix_times(tmp_path / "movie.csv", [0, 0.05, 0.1, 0.15])
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ClockError, match=r"movie\.csv line 6 .*--fps"):
        open_recording(path)


def test_rows_of_several_movies_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "movie.tif", deep_movie(5))
    table = write_inscopix_times(tmp_path / "movie.csv", [0, 0.05, 0.1, 0.15])
    table.write_text(table.read_text() + "4,1,0,0.2\n")
    with pytest.raises(ClockError, match="2 movies"):
        open_recording(path)


# -- session ----------------------------------------------------------------------------------------------
class TestSession(MovieContract):
    software = "Inscopix"
    options: ClassVar[dict[str, Any]] = {}

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_inscopix_session(root, movie, frames_per_file=10)


def test_facts_of_a_session(tmp_path: Path) -> None:
    folder = write_inscopix_session(tmp_path, make_movie(12))
    recording = open_recording(folder)
    assert (recording.metadata.nominal_fps, recording.metadata.gain, recording.metadata.led_power) == (20, 3, 0.6)
    assert recording.timestamps_s[0] == 1.0
    facts = json.loads((folder / "session.json").read_text())
    facts["microscope"]["fov"]["width"] = 99
    (folder / "session.json").write_text(json.dumps(facts))
    assert any("99×24 px, the video 32×24" in one for one in open_recording(folder).metadata.warnings)


def test_a_session_of_two_channels_is_told(tmp_path: Path) -> None:
    folder = write_inscopix_session(tmp_path, make_movie(12))
    assert not any("channels" in one for one in open_recording(folder).metadata.warnings)
    facts = json.loads((folder / "session.json").read_text())
    facts["manual"]["mScope"]["ledMaxPower"] = [1.2, 0.8]
    (folder / "session.json").write_text(json.dumps(facts))
    assert any("2 channels (manual.mScope.ledMaxPower)" in one for one in open_recording(folder).metadata.warnings)


def test_a_session_without_its_table_asks_for_it(tmp_path: Path) -> None:
    folder = write_inscopix_session(tmp_path, make_movie(12))
    (folder / "recording_1" / "movie-timestamps.csv").unlink()
    with pytest.raises(ClockError, match=r"timestamps\.csv missing"):
        open_recording(folder)
    assert open_recording(folder, fps=20).frame_count == 12
    for path in (folder / "recording_1").glob("*.avi"):
        path.unlink()
    with pytest.raises(RecordingError, match="Video missing"):
        open_recording(folder, fps=20)


def test_times_of_a_session_since_1970_count_from_the_first(tmp_path: Path) -> None:
    folder = write_inscopix_session(tmp_path, make_movie(12))
    table = folder / "recording_1" / "movie-timestamps.csv"
    rows = [f"{index}, {1715934225500 + 50 * index}" for index in range(12)]
    table.write_text("\n".join(["frame, time (ms)", *rows]) + "\n")
    recording = open_recording(folder)
    np.testing.assert_allclose(recording.timestamps_s, np.arange(12) * 0.05)
    assert "times count from the first row" in recording.clock.rule


def test_a_session_whose_json_is_broken_is_named(tmp_path: Path) -> None:
    folder = write_inscopix_session(tmp_path, make_movie(12))
    (folder / "session.json").write_text("{")
    with pytest.raises(MetadataError, match=r"session\.json in .* is no readable JSON"):
        open_recording(folder)


def test_two_recordings_in_a_session_are_refused(tmp_path: Path) -> None:
    folder = write_inscopix_session(tmp_path, make_movie(12))
    (folder / "recording_2").mkdir()
    (folder / "recording_2" / "b-timestamps.csv").write_text("frame, time (ms)\n0,0\n1,50\n")
    with pytest.raises(MetadataError, match=r"2 recordings in .*recording_1/movie-timestamps\.csv"):
        open_recording(folder)
