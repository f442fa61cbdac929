"""Movies without a program's mark: video files, TIFF stacks, their series, and tables of times by a column map."""

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, ParameterError, RecordingError, RecordingFormatError, VideoError
from miniscope_core.io import Recording, find_recordings, open_recording
from miniscope_core.io.options import ClockColumns
from tests.builders import SCOPE, Movie, make_movie, write_pyav_video, write_v4_session, write_video
from tests.contracts.readers import MovieContract
from tests.formats import write_bonsai, write_hdf5, write_tiff


def deep_movie(frames: int = 27, height: int = 24, width: int = 32) -> NDArray[np.uint16]:
    """Make a movie of 16 bit in which both bytes matter."""
    return np.random.default_rng(3).integers(0, 2**16, (frames, height, width), dtype=np.uint16)


class PlainContract(MovieContract):
    """A movie at a rate of the caller's."""

    options: ClassVar[dict[str, Any]] = {"fps": 20}

    def test_a_rate_that_nobody_knows_is_asked_for(self, folder: Path) -> None:
        with pytest.raises(ClockError, match=r"Frame rate unknown at .*--fps"):
            self.open(folder, fps=None)


# -- video ------------------------------------------------------------------------------------------------
class TestAvi(PlainContract):
    software = "Video"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_video(root / "run" / "mouse 3.avi", movie)


class TestNumberedAvi(PlainContract):
    """Files called by numbers, without clock and metadata, in their order."""

    software = "Video"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        parts = [movie[:9], *(movie[start : start + 2] for start in range(9, 27, 2))]  # ten: 9 before 10
        for number, part in enumerate(parts, start=1):
            write_video(root / "run" / f"{number}.avi", part)
        return root / "run"


class TestAvi16(PlainContract):
    software = "Video"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_pyav_video(root / "run" / "deep.avi", movie, codec="ffv1", pixel_format="gray16le")


def test_an_mp4_decodes_to_what_opencv_decodes(tmp_path: Path) -> None:
    smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), 4) for frame in make_movie(30, 64, 80)])
    path = tmp_path / "movie.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (80, 64), isColor=True)
    for frame in smooth:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()
    capture = cv2.VideoCapture(str(path))
    expected = np.stack([cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2GRAY) for _ in range(30)])
    capture.release()
    recording = open_recording(path, fps=15)
    np.testing.assert_array_equal(recording.frames(), expected)
    np.testing.assert_array_equal(recording.frames(3, 9), expected[3:9])
    assert recording.fps == 15  # not the container's 30
    assert any("with loss" in warning for warning in recording.metadata.warnings)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"movie\.mp4"):
        open_recording(path, fps=15)


def test_a_number_that_is_missing_is_named(tmp_path: Path) -> None:
    for number in (0, 1, 3):
        write_video(tmp_path / f"{number}.avi", make_movie(3))
    with pytest.raises(VideoError, match=r"Number 2 missing"):
        open_recording(tmp_path, fps=20)


def test_files_that_may_be_parts_are_never_joined_unasked(tmp_path: Path) -> None:
    movie = make_movie(9)
    for number in range(3):
        write_video(tmp_path / f"run_{number}.avi", movie[3 * number : 3 * number + 3])
    assert len(find_recordings(tmp_path)) == 3
    with pytest.raises(RecordingFormatError, match=r"3 recordings.*files='\*\.avi'"):
        open_recording(tmp_path, fps=20)
    together = open_recording(tmp_path, fps=20, files="run_*.avi")
    np.testing.assert_array_equal(together.frames(), movie)
    assert "files='run_*.avi'" in together.evidence
    with pytest.raises(RecordingFormatError, match="No miniscope recording"):
        open_recording(tmp_path, fps=20, files="walk_*.avi")


def test_movies_beside_a_program_s_recording_are_not_recordings(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(3)})
    write_video(session / "denoised.avi", make_movie(3))
    write_tiff(session / "mean.tif", make_movie(1))
    write_hdf5(session / "result.h5", make_movie(5))
    assert find_recordings(tmp_path) == [session / SCOPE]
    assert open_recording(session / "denoised.avi", fps=5).fps == 5  # named, it is what it is


def test_an_option_without_meaning_is_refused(tmp_path: Path) -> None:
    session = write_v4_session(tmp_path, {SCOPE: make_movie(3)})
    with pytest.raises(ParameterError, match=r"files= for .*expected nothing.*Miniscope-DAQ-V4"):
        open_recording(session / SCOPE, files="*.avi")


# -- TIFF -------------------------------------------------------------------------------------------------
class TestTiff(PlainContract):
    software = "TIFF"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_tiff(root / "run" / "stack.tif", movie)


class TestTiff16BigEndian(PlainContract):
    software = "TIFF"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_tiff(root / "run" / "stack.tiff", movie, order=">", rows_per_strip=7)


class TestBigTiff(PlainContract):
    software = "TIFF"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_tiff(root / "run" / "stack.tif", movie, big=True)


class TestTiffSeries(PlainContract):
    """A page a file, in natural order, by the caller's pattern."""

    software = "TIFF"
    options: ClassVar[dict[str, Any]] = {"fps": 20, "files": "run_*.tif"}

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        for index, frame in enumerate(movie):
            write_tiff(root / "run" / f"run_{index}.tif", frame[None])
        write_tiff(root / "run" / "other.tif", movie[:, :5, :5])
        return root / "run"

    def test_it_is_found_from_above(self, recording: Recording, tmp_path: Path) -> None:
        """Only the caller's pattern makes them one."""
        assert len(find_recordings(tmp_path)) == self.frame_count + 1

    def test_exactly_one_reader_recognises_it(self, recording: Recording) -> None:
        """See :meth:`test_it_is_found_from_above`."""
        assert "files='run_*.tif'" in recording.evidence


@pytest.mark.parametrize("compression", [5, 8, 32773])
@pytest.mark.parametrize("deep", [False, True])
def test_a_compressed_tiff_is_exact(tmp_path: Path, compression: int, deep: bool) -> None:
    movie = deep_movie(21) if deep else make_movie(21)
    path = tmp_path / "stack.tif"
    assert cv2.imwritemulti(str(path), list(movie), [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    recording = open_recording(path, fps=20)
    np.testing.assert_array_equal(recording.frames(), movie)
    np.testing.assert_array_equal(recording.frames(2, 20, 5), movie[2:20:5])
    assert recording.dtype == movie.dtype


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"imagej": True}, {"ome": True}])
def test_what_another_library_writes_is_read(tmp_path: Path, options: dict[str, bool]) -> None:
    movie = deep_movie(12)
    path = tmp_path / "stack.tif"
    axes = {"metadata": {"axes": "TYX"}} if options.keys() & {"imagej", "ome"} else {"photometric": "minisblack"}
    tifffile.imwrite(path, movie, **options, **axes)
    np.testing.assert_array_equal(open_recording(path, fps=20).frames(), movie)


def test_an_imagej_stack_with_one_directory_is_read_whole(tmp_path: Path) -> None:
    movie = deep_movie(12)
    text = "ImageJ=1.53t\nimages=12\nslices=12\nunit=micron\nfinterval=0.05\n"
    path = write_tiff(tmp_path / "stack.tif", movie[:1], description=text)
    tail = write_tiff(tmp_path / "one.tif", movie[:1], description=text).read_bytes()
    # One directory before the pixels, as ImageJ writes stacks above 4 GB.
    pixels = movie[0].astype("<u2").tobytes()
    whole = bytearray(tail.replace(pixels, b"\0" * len(pixels)) + movie.astype("<u2").tobytes())
    place = whole.index((273).to_bytes(2, "little") + (4).to_bytes(2, "little"))
    whole[place + 8 : place + 12] = (len(tail)).to_bytes(4, "little")
    path.write_bytes(whole)
    recording = open_recording(path, fps=20)
    np.testing.assert_array_equal(recording.frames(), movie)
    assert recording.metadata.nominal_fps == 20
    path.write_bytes(whole[:-100])
    with pytest.raises(VideoError, match=r"cut short: 12 pages are announced, 11 are there"):
        open_recording(path, fps=20)
    assert open_recording(path, fps=20, clock="report").frame_count == 11


def test_the_rate_in_a_tiff_is_told_and_not_trusted(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", make_movie(3), description="ImageJ=1.53t\nfinterval=0.1\nunit=micron\n")
    with pytest.raises(ClockError, match=r"Frame rate unknown"):
        open_recording(path)
    assert open_recording(path, fps=20).metadata.nominal_fps == pytest.approx(10)


def test_a_pixel_size_in_micrometres_gives_the_field(tmp_path: Path) -> None:
    text = "ImageJ=1.53t\nunit=micron\n"
    path = write_tiff(tmp_path / "a.tif", make_movie(3), description=text, resolution=(2, 4))
    recording = open_recording(path, fps=20)
    assert (recording.metadata.um_width, recording.metadata.um_height) == (16, 6)
    assert recording.pixel_size_um == 0.5


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_computed_pixels_are_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((3, 8, 8), dtype), photometric="minisblack")
    with pytest.raises(VideoError, match=rf"got {dtype}, expected uint8 or uint16"):
        open_recording(path, fps=20)


def test_pages_of_two_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(make_movie(1, 8, 8)[0], photometric="minisblack")
        writer.write(make_movie(1, 9, 8)[0], photometric="minisblack")
    with pytest.raises(VideoError, match=r"Page 1 of .*got 8×9 px"):
        open_recording(path, fps=20)


def test_directories_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", make_movie(2))
    data = bytearray(path.read_bytes())
    data[-4:] = data[4:8]  # the last directory is followed by the first
    path.write_bytes(data)
    with pytest.raises(VideoError, match="circle"):
        open_recording(path, fps=20)


# -- times by a column map --------------------------------------------------------------------------------
class TestColumns(MovieContract):
    """A movie with a table that the caller explains."""

    software = "Video"
    options: ClassVar[dict[str, Any]] = {"columns": "time=t,unit=s"}

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        path = write_video(root / "run" / "movie.avi", movie)
        rows = [f"{index},{3 + index / 20}" for index in range(len(movie))]
        path.with_suffix(".csv").write_text("\n".join(["number,t", *rows]) + "\n")
        return path


class TestBonsai(MovieContract):
    software = "Bonsai"
    options: ClassVar[dict[str, Any]] = {"columns": "time=0,unit=iso,frame=1,trigger=2,w=3,x=4,y=5,z=6"}

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_bonsai(root / "run" / "movie.avi", movie)


def test_bonsai_without_a_map_asks_for_one_and_shows_the_row(tmp_path: Path) -> None:
    path = write_bonsai(tmp_path / "movie.avi", make_movie(4))
    with pytest.raises(ClockError, match=r"got '2024-05-17T10:23:45.*columns='time=0,unit=iso,frame=1'"):
        open_recording(path)


def test_bonsai_rides_along(tmp_path: Path) -> None:
    path = write_bonsai(tmp_path / "movie.avi", make_movie(20))
    recording = open_recording(path, **TestBonsai.options)
    assert recording.metadata.recording_datetime == datetime(2024, 5, 17, 10, 23, 45)
    assert [(note.time_s, note.text) for note in recording.notes] == [(0.5, "trigger True")]
    assert recording.head_orientation is not None
    np.testing.assert_allclose(recording.head_orientation[3], [0.15, 0.7, 0.1, 0.1, 0.7])
    assert recording.clock.dropped_from == "frame number"


def test_bonsai_counts_the_frame_numbers_passed_over(tmp_path: Path) -> None:
    movie = make_movie(20)
    path = write_bonsai(tmp_path / "movie.avi", movie)
    lines = path.with_suffix(".csv").read_text().splitlines()
    kept = [*lines[:5], *lines[8:]]
    write_bonsai(path, movie[: len(kept)], kept)
    recording = open_recording(path, columns="time=0,unit=iso,frame=1")
    assert (recording.clock.dropped, recording.clock.dropped_from) == (3, "frame number")
    assert open_recording(path, columns="time=0,unit=iso").clock.dropped == 3
    assert open_recording(path, columns="time=0,unit=iso").clock.dropped_from == "gaps in time"
    write_bonsai(path, movie[: len(kept)], [*kept[:-1], kept[3]])
    with pytest.raises(ClockError, match="stand still or go back 1 times"):
        open_recording(path, columns="time=0,unit=iso,frame=1")


def test_the_size_of_bonsai_s_example_is_told(tmp_path: Path) -> None:
    path = write_bonsai(tmp_path / "movie.avi", make_movie(3, 768, 1024))
    recording = open_recording(path, columns="time=0,unit=iso")
    assert any("stretches" in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "time"),
        ("time=0", "unit"),
        ("time=0,unit=min", "unit"),
        ("time=0,unit=s,colour=3", "colour"),
        ("time=0,unit=s,file=../x.csv", "file"),
        ("garbage", "garbage"),
    ],
)
def test_a_map_that_is_none_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ParameterError, match=problem):
        ClockColumns.parse(text)


def test_a_map_is_the_same_after_it_was_written() -> None:
    columns = ClockColumns.parse("time=t,unit=iso,file=a.csv,frame=2,header=true")
    assert ClockColumns.parse(columns.text) == columns


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("time=9,unit=s", "expected a column 9"),
        ("time=t,unit=s", "Column 't'"),
        ("time=0,unit=iso,file=none.csv", "none.csv missing"),
        ("time=2,unit=s", "line 1 .*'False'.*a number"),
        ("time=1,unit=iso", "line 1 .*a date and time"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_the_line(tmp_path: Path, columns: str, problem: str) -> None:
    path = write_bonsai(tmp_path / "movie.avi", make_movie(4))
    with pytest.raises(RecordingError, match=problem):
        open_recording(path, columns=columns)


def test_rows_that_are_not_the_frames_are_refused_or_told(tmp_path: Path) -> None:
    movie = make_movie(20)
    path = write_bonsai(tmp_path / "movie.avi", movie)
    lines = path.with_suffix(".csv").read_text().splitlines()
    path.with_suffix(".csv").write_text("\n".join(lines[:15]) + "\n")
    with pytest.raises(ClockError, match=r"15 rows, 20 frames decode"):
        open_recording(path, columns="time=0,unit=iso")
    assert open_recording(path, columns="time=0,unit=iso", clock="report").frame_count == 15
