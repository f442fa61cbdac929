"""Parsers of what the programs write: any text gives parts of a recording, or one of our own errors."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from miniscope_core.errors import ClockError, MetadataError, RecordingError, RecordingNotFoundError
from miniscope_core.io import metadata as meta
from miniscope_core.io import open_recording, tables
from miniscope_core.io.miniscope_daq_v3 import read_clock_table, read_settings, select_camera
from miniscope_core.io.miniscope_daq_v4 import read_clock
from tests.builders import make_movie, write_v4_device, write_v4_session

CELLS = st.one_of(st.integers(-(10**6), 10**6).map(str), st.floats().map(str), st.text(max_size=6))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def rows(header: str, separator: str) -> st.SearchStrategy[str]:
    """Draw tables that are nearly right: the header, then rows of numbers and of anything."""
    width = len(header.split(separator))
    row = st.lists(CELLS, min_size=width - 1, max_size=width + 1).map(separator.join)
    return st.lists(row, max_size=6).map(lambda lines: "\n".join([header, *lines]))


def told(error: Exception, path: Path) -> None:
    """Check that an error names the file, in one line."""
    assert path.name in str(error)
    assert "\n" not in str(error)


V4 = "Frame Number,Time Stamp (ms),Buffer Index,DAQ Frame Number"
V3 = "camNum\tframeNum\tsysClock\tbuffer"


@settings(deadline=None)
@given(
    content=st.one_of(
        st.text().map(str.encode), st.binary(), rows(V4, ",").map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_any_v4_clock_is_rows_or_our_error(place: Path, content: bytes) -> None:
    path = place / "timeStamps.csv"
    path.write_bytes(content)
    try:
        clock = read_clock(path)
    except RecordingError as error:
        told(error, path)
        return
    assert np.isfinite(clock.times_ms).all()
    assert clock.times_ms.ndim == 1


@settings(deadline=None)
@given(
    content=st.one_of(
        st.text().map(str.encode), st.binary(), rows(V3, "\t").map(lambda text: text.encode("utf-8", "replace"))
    ),
    frames=st.integers(0, 8),
)
def test_any_v3_clock_is_rows_or_our_error(place: Path, content: bytes, frames: int) -> None:
    path = place / "timestamp.dat"
    path.write_bytes(content)
    try:
        clock = select_camera(place, read_clock_table(path), frames)
    except RecordingError as error:
        told(error, path)
        return
    assert np.isfinite(clock.times_ms).all()


@settings(deadline=None)
@given(content=st.one_of(st.text().map(str.encode), st.binary()))
def test_any_side_file_is_read_or_our_error(place: Path, content: bytes) -> None:
    path = place / "notes.csv"
    path.write_bytes(content)
    notes = tables.read_notes(path, 1e-3, ",", 1)
    assert all(np.isfinite(note.time_s) for note in notes)
    table, left_out = tables.read_head_orientation(path)
    assert table.shape[1] == 5
    assert np.isfinite(table).all()
    assert left_out >= 0
    assert all(isinstance(value, str) for value in read_settings(path).values())


@settings(deadline=None)
@given(content=st.one_of(st.text().map(str.encode), st.binary(), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_json_is_an_object_or_our_error(place: Path, content: bytes) -> None:
    path = place / "metaData.json"
    path.write_bytes(content)
    try:
        assert isinstance(meta.load_json(path), dict)
    except MetadataError as error:
        told(error, path)


KEYS = ("frameRate", "gain", "led0", "ROI", "framesPerFile", "deviceName", "deviceType", "animalName")
START = ("recordingStartTime", "year", "month", "day", "hour", "minute", "second", "msec", "miniscopes", "cameras")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v4_session(tmp_path_factory.mktemp("metadata"), {"My_V4_Miniscope": make_movie(4, 8, 10)})


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=80)
@given(
    device=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6),
    start=st.dictionaries(st.sampled_from(START), JSON, max_size=6),
    nested=st.booleans(),
)
def test_any_values_of_the_metadata_give_a_recording(
    session: Path, device: dict[str, Any], start: dict[str, Any], nested: bool
) -> None:
    """Whatever a value is, it is used, or left out and told: the pictures and the clock do not hang on it."""
    folder = session / "My_V4_Miniscope"
    (folder / "metaData.json").write_text(json.dumps(device))
    (session / "metaData.json").write_text(json.dumps({"recordingStartTime": start} if nested else start))
    # As a camera it would be set aside, which is another test's matter.
    if str(device.get("deviceType", "")).casefold().startswith(("webcam", "minicam")) or start.get("cameras"):
        return
    try:
        recording = open_recording(folder, frame_counts={"0.avi": 4})
    except MetadataError as error:  # half a surrogate pair
        told(error, folder / "metaData.json")
        return
    assert recording.fps == 20.0
    assert recording.metadata.nominal_fps is None or recording.metadata.nominal_fps > 0


# -- rules ----------------------------------------------------------------------------------------------
def write(place: Path, text: str) -> Path:
    path = Path(tempfile.mkdtemp(dir=place)) / "timeStamps.csv"
    path.write_bytes(text.encode())
    return path


HEADER = "Frame Number,Time Stamp (ms),Buffer Index"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\n0,-3,0\n1,47,0\n",
        f"{HEADER}\r\n0,-3,0\r\n1,47,0\r\n",
        f"\ufeff{HEADER}\n0,-3,0\n1,47,0",
        f"{HEADER}\n\n0, -3 ,0\n1,47,0,\n\n",
        "buffer index,TIME STAMP (MS) ,Frame Number\n0,-3,0\n0,47,1\n",
    ],
)
def test_harmless_differences_of_writing_do_not_matter(place: Path, text: str) -> None:
    clock = read_clock(write(place, text))
    np.testing.assert_array_equal(clock.times_ms, [-3, 47])
    assert clock.problems == ()


@pytest.mark.parametrize("last", ["2", "2,9", "2,97", "2,9-,0", "2,97,"])
def test_a_last_row_cut_anywhere_is_left_out_and_told(place: Path, last: str) -> None:
    clock = read_clock(write(place, f"{HEADER}\n0,-3,0\n1,47,0\n{last}"))
    assert len(clock.times_ms) == 2
    assert "line 4" in clock.problems[0]


@pytest.mark.parametrize("row", ["1,4x7,0", "1,,0", "1,nan,0", "1,inf,0", "1,1e300,0", "1,47", "1,47,0,5", "1.5,47,0"])
def test_a_row_inside_that_is_no_row_is_an_error_with_its_line(place: Path, row: str) -> None:
    with pytest.raises(ClockError, match=r"timeStamps\.csv line 3 "):
        read_clock(write(place, f"{HEADER}\n0,-3,0\n{row}\n2,97,0\n"))


@pytest.mark.parametrize("header", ["", "0,-3,0", "Frame Number,Buffer Index", "2021-01-01T00:00:01Z,1,0"])
def test_a_table_without_our_header_is_not_guessed_at(place: Path, header: str) -> None:
    with pytest.raises(ClockError, match="expected the column"):
        read_clock(write(place, f"{header}\n0,-3,0\n1,47,0\n"))


def test_a_clock_of_two_hours_is_parsed_in_well_under_a_second(place: Path) -> None:
    path = write(place, HEADER + "\n" + "".join(f"{i},{50 * i},0\n" for i in range(111_770)))
    began = time.process_time()
    assert len(read_clock(path).times_ms) == 111_770
    assert time.process_time() - began < 2  # 0.3 s measured; the bound only catches a quadratic reader


def test_an_absurdly_large_file_is_refused_unread(place: Path) -> None:
    path = place / "large.csv"
    with path.open("wb") as stream:
        stream.truncate(2**31)
    with pytest.raises(MetadataError, match="2,147,483,648 bytes"):
        tables.read_text(path)


def test_a_file_that_is_not_there_is_named(place: Path) -> None:
    with pytest.raises(RecordingNotFoundError, match=r"gone\.csv missing"):
        tables.read_text(place / "gone.csv")


def test_notes_of_several_lines_stay_together(place: Path) -> None:
    path = place / "notes.csv"
    path.write_text("Time Stamp (ms), Note\n1000,first\nsecond, of it\n2000,\n")
    notes = tables.read_notes(path, 1e-3, ",", 1)
    assert [(note.time_s, note.text) for note in notes] == [(1.0, "first\nsecond, of it"), (2.0, "")]


@given(
    times=st.lists(st.integers(-50, 10**8), min_size=2, max_size=20, unique=True).map(sorted),
    data=st.data(),
)
@settings(deadline=None, max_examples=30)
def test_a_folder_written_is_read_back_exactly(place: Path, times: list[int], data: st.DataObject) -> None:
    movie = make_movie(len(times), 8, 10, seed=len(times))
    folder = write_v4_device(
        Path(tempfile.mkdtemp(dir=place)) / "session", movie, frames_per_file=7, times_ms=times, codec="GREY"
    )
    recording = open_recording(folder, workers=1)
    np.testing.assert_array_equal(recording.timestamps_s, np.array(times) / 1000)
    start = data.draw(st.integers(0, len(times) - 1))
    stop = data.draw(st.integers(start, len(times)))
    step = data.draw(st.integers(1, 9))
    np.testing.assert_array_equal(recording.frames(start, stop, step), movie[start:stop:step])
