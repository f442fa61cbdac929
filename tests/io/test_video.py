"""Decoding: exact in every lossless form, from any frame on, and never by what the container says."""

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import av
import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
from av.video.stream import VideoStream
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.avi import FrameIndex, frame_index
from miniscope_core.io.decoding import Cursor, probe
from miniscope_core.io.folders import natural_key
from miniscope_core.io.recording import VideoFile
from miniscope_core.io.video import VideoSource, count_frames, open_video
from tests.builders import cut_file, make_movie, write_pyav_video, write_video

LONG = 150
"""Frames of a file in which going back is worth a seek."""


def source_of(path: Path, frames: int, shape: tuple[int, int] = (24, 32), dtype: type = np.uint8) -> VideoSource:
    return VideoSource([VideoFile(path=path, frame_count=frames)], shape, np.dtype(dtype))


def decoded_in_order(path: Path) -> NDArray[np.uint8]:
    frames = []
    with Cursor(path) as cursor:
        while cursor.skip():
            frames.append(cursor.fetch())
    return np.stack(frames)


# -- exactness ------------------------------------------------------------------------------------------
def test_gray_of_equal_channels_is_the_channel() -> None:
    """The rule that lets colour containers hold gray video: true of every value, in this version of OpenCV too."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(cv2.cvtColor(np.repeat(values[..., None], 3, -1), cv2.COLOR_BGR2GRAY), values)


@pytest.mark.parametrize(
    ("codec", "pixel_format"), [("rawvideo", "bgr24"), ("ffv1", "gray"), ("ffv1", "bgr0"), ("ffv1", "bgra")]
)
def test_gray_video_is_exact_in_any_lossless_form(tmp_path: Path, codec: str, pixel_format: str) -> None:
    movie = make_movie(12)
    if pixel_format == "gray":
        path = write_video(tmp_path / "0.avi", movie)
    elif pixel_format == "bgr24":
        path = write_pyav_video(tmp_path / "0.avi", movie)
    else:
        path = write_video(tmp_path / "0.avi", movie, colour=True)
    np.testing.assert_array_equal(source_of(path, 12).read(0, 12, 1), movie)
    assert not probe(path).coloured


def test_sixteen_bit_gray_is_exact(tmp_path: Path) -> None:
    movie = (make_movie(12).astype(np.uint16) * 257) ^ 0x0F
    path = write_pyav_video(tmp_path / "0.avi", movie, "ffv1", "gray16le")
    video = open_video(tmp_path, [path])
    assert video.dtype == np.uint16
    np.testing.assert_array_equal(video.source().read(0, 12, 1), movie)


def test_colour_becomes_luminance_and_is_told(tmp_path: Path) -> None:
    frame = np.zeros((24, 32, 3), np.uint8)
    frame[:, :16] = (255, 0, 0)
    frame[:, 16:] = (0, 255, 0)
    path = write_pyav_video(tmp_path / "0.avi", np.repeat(frame[None], 5, 0))
    video = open_video(tmp_path, [path])
    assert any("colour" in warning for warning in video.warnings)
    luminance = video.source().read(0, 5, 1)
    assert set(luminance[:, :, :16].ravel()) == {round(0.114 * 255)}
    assert set(luminance[:, :, 16:].ravel()) == {round(0.587 * 255)}


@pytest.mark.parametrize("form", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_of_motion_jpeg_the_luminance_it_holds_is_read(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(0)
    painted = cv2.GaussianBlur(rng.integers(0, 256, (38, 50, 3), dtype=np.uint8), (5, 5), 1)
    frames = [av.VideoFrame.from_ndarray(one, format="bgr24").reformat(format=form) for one in (painted, painted[::-1])]
    path = write_encoded(tmp_path / "0.avi", frames)
    with av.open(str(path)) as container:
        held = [plane_of(frame) for frame in container.decode(video=0)]
    video = open_video(tmp_path, [path])
    assert any("colour" in warning for warning in video.warnings)
    np.testing.assert_array_equal(video.source().read(0, 2, 1), held)


def test_motion_jpeg_of_a_narrow_range_is_spread_as_it_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ramp = np.tile(np.arange(16, 236, dtype=np.uint8), (40, 1))
    planes = np.concatenate([ramp, np.full((20, 220), 128, np.uint8)])
    for form, expected in (("yuvj420p", ramp), ("yuv420p", np.round((ramp - 16.0) * 255 / 219))):
        path = write_encoded(tmp_path / f"{form}.avi", [av.VideoFrame.from_ndarray(planes, format=form)])
        read = source_of(path, 1, ramp.shape).read(0, 1, 1)[0]
        np.testing.assert_allclose(read, expected, atol=3)
    assert capfd.readouterr().err == ""


def write_encoded(path: Path, frames: Sequence[av.VideoFrame]) -> Path:
    """Write Motion JPEG of frames as they are, in their own pixel format and range."""
    with av.open(str(path), "w", format="avi") as container:
        stream = cast("VideoStream", container.add_stream("mjpeg", rate=20, options={"strict": "unofficial"}))
        stream.height, stream.width, stream.pix_fmt = frames[0].height, frames[0].width, frames[0].format.name
        for number, frame in enumerate(frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def plane_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the first plane of a frame."""
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


# -- any frame, any order -------------------------------------------------------------------------------
@pytest.mark.parametrize("codec", ["FFV1", "GREY", "MJPG", "XVID", "DIB", "H264"])
def test_any_order_gives_what_decoding_in_order_gives(tmp_path: Path, codec: str) -> None:
    """Seeks must land where sequential decoding arrives: steps, jumps ahead and jumps back in one file."""
    movie = make_movie(LONG)
    if codec in ("DIB", "H264"):
        names = {"DIB": ("rawvideo", "bgr24"), "H264": ("libx264", "gray")}[codec]
        path = write_pyav_video(tmp_path / "0.avi", movie, *names)
    else:
        path = write_video(tmp_path / "0.avi", movie, codec)
    truth = decoded_in_order(path)
    assert len(truth) == LONG
    source = source_of(path, LONG)
    order = np.random.default_rng(0).integers(0, LONG, 25).tolist()
    for frame in [0, LONG - 1, 1, 100, 99, 60, *order]:
        np.testing.assert_array_equal(source.read(frame, frame + 1, 1)[0], truth[frame], err_msg=f"frame {frame}")
    for step in (2, 31, 40, 149):
        np.testing.assert_array_equal(source.read(3, LONG, step), truth[3::step])


def test_going_back_and_far_ahead_is_a_seek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling a long recording must not decode all of it."""
    path = write_video(tmp_path / "0.avi", make_movie(LONG))
    grabbed = []
    skip = Cursor.skip

    def counted(cursor: Cursor) -> bool:
        grabbed.append(cursor.position)
        return skip(cursor)

    monkeypatch.setattr(Cursor, "skip", counted)
    source = source_of(path, LONG)
    source.read(0, LONG, 60)
    assert len(grabbed) == 3
    source.read(70, 71, 1)
    assert len(grabbed) == 3 + 11  # from the key frame before it, at 60


def test_a_file_whose_packets_do_not_count_is_never_sought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container claims more frames than decode, so its numbering is not ours."""
    movie = make_movie(LONG)
    path = write_video(tmp_path / "0.avi", movie)
    data = bytearray(path.read_bytes())
    for frame in (40, 41):
        place = nth_frame(bytes(data), frame)
        data[place + 8 : place + 12] = b"\xff" * 4
    path.write_bytes(data)
    (count,) = count_frames([path], [LONG])
    monkeypatch.setattr(Cursor, "seek", lambda *_: pytest.fail("sought"))
    source = source_of(path, count)
    np.testing.assert_array_equal(source.read(38, count, 1), movie[38:count])
    np.testing.assert_array_equal(source.read(35, 37, 1), movie[35:37])


def nth_frame(data: bytes, frame: int) -> int:
    """Return where the chunk of a frame begins in an AVI of one stream."""
    place = data.index(b"movi") + 4
    for _ in range(frame):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
    return place


def test_a_seek_that_goes_astray_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = make_movie(LONG)
    path = write_video(tmp_path / "0.avi", movie)
    right, tried = Cursor.seek, []

    def astray(cursor: Cursor, index: int) -> None:
        tried.append(index)
        right(cursor, index - 3)
        cursor.position = index

    monkeypatch.setattr(Cursor, "seek", astray)
    source = source_of(path, LONG)
    np.testing.assert_array_equal(source.read(0, LONG, 60), movie[::60])
    np.testing.assert_array_equal(source.read(90, 100, 1), movie[90:100])
    assert tried == [60]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), counts=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_any_slice_of_any_files_equals_the_movie(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, counts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("video")
    movie = make_movie(sum(counts), 8, 10)
    edges = np.cumsum([0, *counts]).tolist()
    paths = [
        write_video(folder / f"{number}.avi", movie[start:stop], "GREY")
        for number, (start, stop) in enumerate(pairwise(edges))
    ]
    source = open_video(folder, paths).source()
    for _ in range(5):
        start = data.draw(st.integers(0, len(movie) - 1))
        stop = data.draw(st.integers(start, len(movie)))
        step = data.draw(st.integers(1, len(movie)))
        np.testing.assert_array_equal(source.read(start, stop, step), movie[start:stop:step])
    source.close()


def test_files_are_closed_on_demand_and_reopened(tmp_path: Path) -> None:
    movie = make_movie(12)
    source = source_of(write_video(tmp_path / "0.avi", movie), 12)
    source.read(0, 5, 1)
    if Path("/proc/self/fd").exists():
        assert len(open_files("0.avi")) == 1
        source.close()
        assert open_files("0.avi") == []
    np.testing.assert_array_equal(source.read(5, 12, 1), movie[5:])
    assert source._idle == []  # read to its end, it is not kept


def open_files(name: str) -> list[str]:
    """Return the files of this name that this process has open, where the system tells."""
    targets = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return [target for target in targets if Path(target).name == name]


def test_few_files_stay_open_however_many_there_are(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{number}.avi", make_movie(4)) for number in range(12)]
    source = open_video(tmp_path, paths).source()
    for start in range(0, 48, 4):
        source.read(start, start + 2, 1)
    assert len(source._idle) <= 4


# -- counting and what is broken ------------------------------------------------------------------------
def test_count_is_what_decodes_not_what_the_container_claims(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "0.avi", make_movie(30))
    cut = cut_file(write_video(tmp_path / "1.avi", make_movie(30)), 0.5)
    none = write_video(tmp_path / "2.avi", make_movie(1)[:0], "GREY")
    claimed = [probe(path).claimed for path in (whole, cut, none)]
    assert claimed[1] == 30
    counts = count_frames([whole, cut, none], claimed, workers=2)
    assert counts[0] == 30
    assert 10 <= counts[1] <= 16
    assert counts[2] == 0


def test_a_broken_file_ends_the_counting(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{number}.avi", make_movie(4)) for number in range(3)]
    paths[1].write_bytes(b"")
    with pytest.raises(VideoError, match=r"1\.avi is empty"):
        count_frames(paths, [4, 4, 4], workers=2)


def test_a_file_that_went_away_is_an_error_when_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "0.avi", make_movie(12))
    source = source_of(path, 12)
    path.unlink()
    with pytest.raises(VideoError, match=r"0\.avi cannot be read"):
        source.read(0, 2, 1)


def test_a_damaged_file_makes_no_noise_on_standard_error(tmp_path: Path) -> None:
    """In a process of its own, because FFmpeg asks for its log level once."""
    path = cut_file(write_video(tmp_path / "0.avi", make_movie(30), "FFV1"), 0.5)
    code = (
        "import sys, pathlib; from miniscope_core.io.video import count_frames; "
        "print(count_frames([pathlib.Path(sys.argv[1])], [30]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_names_sort_as_people_count() -> None:
    names = ["10.avi", "2.avi", "1.avi", "msCam10.avi", "msCam9.avi"]
    assert sorted(names, key=natural_key) == ["1.avi", "2.avi", "10.avi", "msCam9.avi", "msCam10.avi"]


# -- ranges of a file at the same time ------------------------------------------------------------------
FORMS = ["FFV1", "GREY", "MJPG"]


@pytest.fixture(scope="module")
def long_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a file of each codec whose frames tell their place, of 120 frames."""
    folder = tmp_path_factory.mktemp("long")
    return {codec: write_video(folder / f"{codec}.avi", make_movie(120), codec) for codec in FORMS}


@pytest.fixture
def opened_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let ranges be of 20 frames, and list at which frames decoding begins."""
    monkeypatch.setattr("miniscope_core.io.video._RANGE_FRAMES", 20)
    begun: list[int] = []
    seek = Cursor.seek
    monkeypatch.setattr(Cursor, "seek", lambda cursor, index: (begun.append(index), seek(cursor, index))[1])
    return begun


@pytest.mark.parametrize("codec", FORMS)
def test_file_is_counted_in_ranges(long_files: dict[str, Path], opened_at: list[int], codec: str) -> None:
    told: list[tuple[str, int, int]] = []
    path = long_files[codec]
    assert count_frames([path], [120], workers=3, progress=lambda *one: told.append(one)) == [120]
    assert sorted(opened_at) == [40, 80]
    assert told[-1] == ("decoding", 120, 120)
    assert count_frames([path, path], [120, 120], workers=2) == [120, 120]
    assert len(opened_at) == 2


def test_claim_that_is_not_what_the_file_holds_is_no_place_to_cut(
    long_files: dict[str, Path], opened_at: list[int]
) -> None:
    for claimed in (0, 60, 119, 121, 10**6):
        assert count_frames([long_files["GREY"]], [claimed], workers=3) == [120]
    assert opened_at == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(codec=st.sampled_from(FORMS), place=st.floats(0, 1), length=st.integers(1, 3000), cut=st.booleans())
def test_damaged_file_has_as_many_frames_in_ranges_as_from_its_beginning(
    long_files: dict[str, Path],
    opened_at: list[int],
    tmp_path_factory: pytest.TempPathFactory,
    codec: str,
    place: float,
    length: int,
    cut: bool,
) -> None:
    content = bytearray(long_files[codec].read_bytes())
    at = 300 + int(place * (len(content) - 301))
    if cut:
        del content[at:]
    else:
        content[at : at + length] = bytes(255 - one for one in content[at : at + length])
    path = tmp_path_factory.mktemp("damaged") / "0.avi"
    path.write_bytes(content)
    try:
        claimed = probe(path).claimed
        serial = count_frames([path], [claimed], workers=1)
    except VideoError:
        return
    assert count_frames([path], [claimed], workers=3) == serial


# -- a few frames through a copy of them ----------------------------------------------------------------
@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """List which frames were copied out of a file to be decoded."""
    made: list[tuple[int, int]] = []
    excerpt = FrameIndex.excerpt

    def listed(self: FrameIndex, path: Path, first: int, stop: int) -> tuple[bytes, int]:
        made.append((first, stop))
        return excerpt(self, path, first, stop)

    monkeypatch.setattr(FrameIndex, "excerpt", listed)
    return made


@pytest.mark.parametrize("codec", FORMS)
def test_frames_elsewhere_are_those_of_the_file(
    long_files: dict[str, Path], copies: list[tuple[int, int]], codec: str
) -> None:
    path = long_files[codec]
    expected = decoded_in_order(path)
    source = source_of(path, 120)
    for start, stop, step in ((77, 102, 1), (41, 42, 1), (100, 120, 3), (3, 9, 1), (60, 120, 1)):
        np.testing.assert_array_equal(source.read(start, stop, step), expected[start:stop:step])
    assert copies[:2] == [(77, 102), (41, 42)]


def test_copy_begins_at_a_key_frame_and_leaves_no_file(
    long_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    index = frame_index(long_files["FFV1"])
    assert index is not None
    assert index.keys[:3] == (0, 12, 24)
    with Cursor.excerpt(long_files["FFV1"], index, 40, 45) as cursor:
        assert cursor.position == 36
        assert len(list(tmp_path.iterdir())) == 1
        assert sum(cursor.skip() for _ in range(20)) == 9
    assert list(tmp_path.iterdir()) == []


def test_who_reads_on_seeks_once(long_files: dict[str, Path], copies: list[tuple[int, int]]) -> None:
    source = source_of(long_files["FFV1"], 120)
    for start in range(50, 120, 10):
        source.read(start, start + 10, 1)
    assert copies == [(50, 60)]


def test_file_without_a_sound_index_is_sought_in_as_before(
    long_files: dict[str, Path], tmp_path: Path, copies: list[tuple[int, int]]
) -> None:
    content = long_files["FFV1"].read_bytes()
    at = content.rindex(b"idx1")
    path = tmp_path / "0.avi"
    renamed, holed = content[:at] + b"JUNK" + content[at + 4 :], content[: at + 300] + bytes(16) + content[at + 316 :]
    endless = content[: at + 4] + b"\xff\xff\xff\x7f" + content[at + 8 :]
    for damage in (renamed, holed, endless):
        path.write_bytes(damage)
        assert frame_index(path) is None
        np.testing.assert_array_equal(source_of(path, 120).read(77, 90, 1), decoded_in_order(long_files["FFV1"])[77:90])
    assert copies == []


def test_no_room_for_a_copy_is_no_error(long_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    frames = source_of(long_files["GREY"], 120).read(77, 90, 1)
    np.testing.assert_array_equal(frames, decoded_in_order(long_files["GREY"])[77:90])


@given(st.binary(max_size=400), st.integers(0, 60), st.booleans())
def test_any_index_is_read_or_not_believed(
    tmp_path_factory: pytest.TempPathFactory, long_files: dict[str, Path], noise: bytes, at: int, end: bool
) -> None:
    content = bytearray(long_files["MJPG"].read_bytes())
    place = content.rindex(b"idx1") + at if end else at
    content[place : place + len(noise)] = noise
    path = tmp_path_factory.mktemp("index") / "0.avi"
    path.write_bytes(content)
    index = frame_index(path)
    if index is not None:
        index.excerpt(path, len(index.starts) - 1, len(index.starts))
