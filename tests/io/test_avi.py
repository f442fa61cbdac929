"""Chunks of an AVI: a cut shows without decoding, wherever it is."""

from pathlib import Path

import numpy as np
import pytest

from miniscope_core.io.avi import complete_frames, cut_short, never_closed
from miniscope_core.io.video import count_frames, open_video
from tests.builders import cut_file, make_movie, write_pyav_video, write_video


def test_a_whole_file_has_no_problem_and_all_its_frames(tmp_path: Path) -> None:
    for path in (
        write_video(tmp_path / "0.avi", make_movie(30)),
        write_video(tmp_path / "1.avi", make_movie(30), "MJPG"),
        write_pyav_video(tmp_path / "2.avi", make_movie(30)),
    ):
        assert cut_short(path) is None
        assert not never_closed(path)
        assert complete_frames(path) == 30


@pytest.mark.parametrize("keep", [0.99999, 0.9, 0.3])
def test_a_file_cut_anywhere_is_told(tmp_path: Path, keep: float) -> None:
    path = cut_file(write_pyav_video(tmp_path / "0.avi", make_movie(30)), keep)
    assert "cut short" in (cut_short(path) or "")


@pytest.mark.parametrize("codec", ["FFV1", "GREY", "DIB"])
def test_the_beginning_of_a_frame_is_none(tmp_path: Path, codec: str) -> None:
    """Some decoders, and older versions of others, make a damaged frame of what is there."""
    movie = make_movie(30)
    whole = tmp_path / "0.avi"
    write_pyav_video(whole, movie) if codec == "DIB" else write_video(whole, movie, codec)
    data = whole.read_bytes()
    index = data.rindex(b"idx1")
    for lost in (20, 300):
        whole.write_bytes(data[: index - lost])
        video = open_video(tmp_path, [whole])
        assert video.files[0].frame_count == complete_frames(whole) == 29
        np.testing.assert_array_equal(video.source().read(0, 29, 1), movie[:29])
    whole.write_bytes(data[: index + 4])
    assert complete_frames(whole) == 30


def test_a_partial_frame_is_not_counted_where_it_decodes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "0.avi", make_movie(30), "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"idx1") - 20])
    assert count_frames([path], [30]) == [30]
    assert open_video(tmp_path, [path]).files[0].frame_count == 29


def test_a_file_never_closed_is_told_and_read(tmp_path: Path) -> None:
    movie = make_movie(30)
    path = write_video(tmp_path / "0.avi", movie)
    data = bytearray(path.read_bytes())
    data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert never_closed(path)
    assert complete_frames(path) == 30
    video = open_video(tmp_path, [path])
    assert video.problems == ()
    assert any("never closed" in warning for warning in video.warnings)
    np.testing.assert_array_equal(video.source().read(0, 30, 1), movie)


def test_a_file_of_several_riff_chunks_counts_in_all_of_them(tmp_path: Path) -> None:
    """As files above 1 GB are written; the second RIFF is made by hand here."""
    path = write_video(tmp_path / "0.avi", make_movie(5))
    frame = b"00dc" + (4).to_bytes(4, "little") + b"data"
    movi = b"LIST" + (4 + 3 * len(frame)).to_bytes(4, "little") + b"movi" + 3 * frame
    second = b"RIFF" + (4 + len(movi)).to_bytes(4, "little") + b"AVIX" + movi
    path.write_bytes(path.read_bytes() + second)
    assert cut_short(path) is None
    assert complete_frames(path) == 8
    cut_file(path, 1 - 2 / path.stat().st_size)
    assert cut_short(path) is not None
    assert complete_frames(path) == 7


def test_bytes_of_any_kind_end_the_walk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "0.avi"
    for size in (0, 3, 9, 13, 200):
        path.write_bytes(b"RIFF" + rng.bytes(4) + b"AVI LIST" + rng.bytes(size))
        assert complete_frames(path) == 0
        cut_short(path)
