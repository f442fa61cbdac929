"""Wire-free recordings of mio: frames by their buffers, broken ones marked."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core.errors import ClockError, VideoError
from miniscope_core.io import open_recording
from miniscope_core.io.mio import read_buffers
from tests.builders import Movie, make_movie
from tests.contracts.readers import MovieContract
from tests.formats import buffer_rows, write_mio


class TestMio(MovieContract):
    software = "mio"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_mio(root / "run" / "wire free.avi", movie)


def test_a_frame_s_time_is_that_of_its_first_buffer(tmp_path: Path) -> None:
    recording = open_recording(write_mio(tmp_path / "a.avi", make_movie(5)))
    np.testing.assert_allclose(recording.timestamps_s, np.arange(5) * 0.05)
    assert recording.corrupt_frames == ()
    assert recording.metadata.config["a.csv"]["buffers_a_frame"] == 3


def test_buffers_of_no_frame_are_not_frames(tmp_path: Path) -> None:
    rows = buffer_rows(5)
    lost = [row | {"reconstructed_frame_index": -1, "frame_num": 99} for row in rows[:2]]
    assert open_recording(write_mio(tmp_path / "a.avi", make_movie(5), [*lost, *rows])).frame_count == 5


def test_frames_that_miss_a_part_are_marked(tmp_path: Path) -> None:
    rows = buffer_rows(6)
    rows[4]["black_padding_px"] = 17  # frame 1
    del rows[11]  # the last buffer of frame 3
    recording = open_recording(write_mio(tmp_path / "a.avi", movie := make_movie(6), rows))
    assert recording.corrupt_frames == (1, 3)
    assert any("2 of 6 frames miss a part" in warning for warning in recording.metadata.warnings)
    np.testing.assert_array_equal(recording.frames(), movie)  # marked, not repaired
    assert recording.clock.problems == ()


def test_columns_that_a_version_does_not_write_are_done_without(tmp_path: Path) -> None:
    rows = buffer_rows(6)
    del rows[11]  # the last buffer of frame 3
    wanted = ("timestamp", "reconstructed_frame_index")
    recording = open_recording(
        write_mio(tmp_path / "a.avi", make_movie(6), [{name: row[name] for name in wanted} for row in rows])
    )
    assert recording.corrupt_frames == (3,)
    assert recording.clock.dropped_from == "gaps in time"
    assert recording.metadata.config["a.csv"] == {"buffers": 17, "buffers_of_no_frame": 0, "buffers_a_frame": 3}


def test_a_buffer_that_came_twice_makes_no_frame_whole(tmp_path: Path) -> None:
    rows = buffer_rows(6)
    rows[11] = rows[10]  # of frame 3 the second came again, the last did not
    assert open_recording(write_mio(tmp_path / "a.avi", make_movie(6), rows)).corrupt_frames == (3,)


def test_dropped_frames_are_counted_by_the_device_s_number(tmp_path: Path) -> None:
    rows = [row for row in buffer_rows(9) if row["frame_num"] not in (103, 104, 107)]
    for row in rows:
        row["reconstructed_frame_index"] -= sum(row["frame_num"] > gone for gone in (103, 104, 107))
    recording = open_recording(write_mio(tmp_path / "a.avi", make_movie(6), rows))
    assert (recording.clock.dropped, recording.clock.dropped_from) == (3, "the device's frame_num")
    assert recording.timestamps_s[3] == pytest.approx(0.25)


def test_a_device_that_began_anew_is_told(tmp_path: Path) -> None:
    rows = buffer_rows(6)
    for row in rows[9:]:
        row["frame_num"] -= 103
    assert "began anew 1 times" in open_recording(write_mio(tmp_path / "a.avi", make_movie(6), rows)).clock.rule


def test_frames_without_buffers_are_refused_or_left_out(tmp_path: Path) -> None:
    rows = [row for row in buffer_rows(8) if row["reconstructed_frame_index"] != 2]
    path = write_mio(tmp_path / "a.avi", movie := make_movie(8), rows)
    with pytest.raises(ClockError, match="no buffer of 1 frames, first of frame 2"):
        open_recording(path)
    recording = open_recording(path, clock="report")
    np.testing.assert_array_equal(recording.frames(), np.delete(movie, 2, axis=0))
    assert recording.timestamps_s[2] == pytest.approx(0.15)


@pytest.mark.parametrize(("frames", "told"), [(7, "8 frames, 7 decode"), (9, "8 frames, 9 decode")])
def test_a_table_of_another_length_is_refused_or_told(tmp_path: Path, frames: int, told: str) -> None:
    path = write_mio(tmp_path / "a.avi", make_movie(frames), buffer_rows(8))
    with pytest.raises(ClockError, match=told):
        open_recording(path)
    assert open_recording(path, clock="report").frame_count == min(frames, 8)


def test_a_table_without_a_frame_and_a_broken_row_are_named(tmp_path: Path) -> None:
    rows = [row | {"reconstructed_frame_index": -1} for row in buffer_rows(3)]
    path = write_mio(tmp_path / "a.avi", make_movie(3), rows)
    with pytest.raises(ClockError, match="9 buffers, none of a frame"):
        open_recording(path)
    path = write_mio(tmp_path / "a.avi", make_movie(3))
    table = path.with_suffix(".csv")
    table.write_text(table.read_text().replace("5050", "x"))
    with pytest.raises(ClockError, match=r"a\.csv line 5 .*'x'"):
        open_recording(path)
    path.write_bytes(b"RIFF")
    with pytest.raises((VideoError, ClockError)):
        open_recording(path)


def test_a_damaged_frame_number_costs_no_memory_for_the_frames_that_it_passes_over(tmp_path: Path) -> None:
    """Found by fuzzing: one row that named frame 16 million had as many numbers listed and sorted."""
    rows = buffer_rows(5)
    rows[-1]["reconstructed_frame_index"] = 16_000_000
    path = write_mio(tmp_path / "a.avi", make_movie(5), rows).with_suffix(".csv")
    tracemalloc.start()
    try:
        table = read_buffers(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert table.rows.problems == ("a.csv has no buffer of 15999995 frames, first of frame 5",)
