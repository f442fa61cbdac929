"""Movies in HDF5 and NWB files: which dataset, which axes, which times."""

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, RecordingError, RecordingFormatError, VideoError
from miniscope_core.io import find_recordings, open_recording
from tests.builders import Movie, make_movie, write_video
from tests.contracts.readers import MovieContract
from tests.formats import write_hdf5, write_nwb
from tests.io.test_plain_movie import PlainContract, deep_movie


class _OwnFile(MovieContract):
    def test_a_video_cut_short_is_refused_in_one_line(self, recording: Any, folder: Path, keep: float = 0.9) -> None:
        """HDF5 knows its own length: any cut is refused."""
        data = folder.read_bytes()
        for part in (0.999, 0.6, 0.1):
            folder.write_bytes(data[: int(len(data) * part)])
            with pytest.raises(RecordingError) as caught:
                self.open(folder)
            assert "\n" not in str(caught.value)
            assert folder.name in str(caught.value)


class TestHdf5(_OwnFile, PlainContract):
    software = "HDF5"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_hdf5(root / "run" / "movie.h5", movie)


class TestHdf5Compressed16(_OwnFile, PlainContract):
    """Deep, in chunks, compressed, big-endian, with other datasets around, in a group."""

    software = "HDF5"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        path = root / "run" / "movie.hdf5"
        write_hdf5(path, movie.astype(">u2"), "raw/mov", chunks=(4, 10, 32), compression="gzip", shuffle=True)
        write_hdf5(path, np.zeros((5, 6)), "raw/image")
        return write_hdf5(path, np.zeros((5, 6, 7), np.float32), "footprints")


def test_several_movies_have_to_be_named(tmp_path: Path) -> None:
    first, second = make_movie(5), make_movie(6, seed=1)
    path = write_hdf5(tmp_path / "movie.h5", first, "green")
    write_hdf5(path, second, "deep/red")
    with pytest.raises(RecordingFormatError, match=r"2 movies in .*/green, /deep/red.*--dataset"):
        open_recording(path, fps=20)
    for name, movie in (("green", first), ("/deep/red", second)):
        recording = open_recording(path, fps=20, dataset=name)
        np.testing.assert_array_equal(recording.frames(), movie)
        assert recording.metadata.config["dataset"] == {"name": f"/{name.strip('/')}"}
    with pytest.raises(RecordingFormatError, match=r"got 'blue', expected one of /green"):
        open_recording(path, fps=20, dataset="blue")


def test_results_of_an_engine_are_no_movie(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "result.h5", np.zeros((3, 4, 5), np.float32), "A")
    assert find_recordings(tmp_path) == []
    with pytest.raises(VideoError, match="got float32"):
        open_recording(tmp_path / "result.h5", fps=20, dataset="A")


def test_data_in_another_file_are_refused(tmp_path: Path) -> None:
    other = write_hdf5(tmp_path / "other" / "movie.h5", make_movie(5))
    path = tmp_path / "link.h5"
    with h5py.File(path, "w") as file:
        file["mov"] = h5py.ExternalLink(str(other), "/mov")
        layout = h5py.VirtualLayout((5, 24, 32), np.uint8)
        layout[:] = h5py.VirtualSource(str(other), "mov", (5, 24, 32))
        file.create_virtual_dataset("virtual", layout)
    for name in ("mov", "virtual"):
        with pytest.raises(VideoError, match="other file"):
            open_recording(path, fps=20, dataset=name)


def test_what_was_never_written_is_refused_or_told(tmp_path: Path) -> None:
    path = tmp_path / "movie.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("huge", (2**20, 4000, 4000), np.uint16, chunks=(1, 4000, 4000))
    with pytest.raises(VideoError, match="never written"):
        open_recording(path, fps=20)
    with h5py.File(path, "w") as file:
        file.create_dataset("half", (20, 8, 8), np.uint16, chunks=(5, 8, 8))[:5] = 1
    with pytest.raises(VideoError, match="1 of 4 chunks"):
        open_recording(path, fps=20)
    assert open_recording(path, fps=20, clock="report").clock.problems


def test_chunks_too_large_for_memory_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "movie.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("mov", (1, 4, 4), np.uint8, chunks=(2**16, 128, 128), maxshape=(None, None, None))
        data.id.write_direct_chunk((0, 0, 0), b"\0")
    with pytest.raises(VideoError, match="chunks of 1,073,741,824 bytes"):
        open_recording(path, fps=20, dataset="mov")


@pytest.mark.parametrize("size", [0, 2**64 - 16])
def test_a_heap_that_the_library_would_walk_for_ever_is_refused(tmp_path: Path, size: int) -> None:
    path = write_nwb(tmp_path / "a.nwb", make_movie(4))
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 16 : heap + 18] = (0 if size == 0 else 1).to_bytes(2, "little")
    data[heap + 24 : heap + 32] = size.to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(VideoError, match="heap of texts at byte"):
        open_recording(path)


# -- NWB --------------------------------------------------------------------------------------------------
class TestNwbRate(_OwnFile):
    software = "NWB"

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        return write_nwb(root / "run" / "session.nwb", movie)


class TestNwbTimes(_OwnFile):
    software = "NWB"

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return deep_movie()

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        times = 12.5 + np.arange(len(movie)) / 20
        return write_nwb(root / "run" / "session.nwb", movie, kind="TwoPhotonSeries", times_s=times.tolist())


class TestNwbExternal(MovieContract):
    """A series that names its videos."""

    software = "NWB"
    options: ClassVar[dict[str, Any]] = {}

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        folder = root / "run"
        for number, start in enumerate((0, 20)):
            write_video(folder / "video" / f"part {number}.avi", movie[start : start + 20])
        return write_nwb(
            folder / "session.nwb", None, kind="ImageSeries", external=["video/part 0.avi", "./video/part 1.avi"]
        )

    def test_it_is_found_from_above(self, recording: Any, tmp_path: Path) -> None:
        """The videos below are found as well: nothing marks them as the series' own."""
        assert recording.directory in find_recordings(tmp_path)

    def test_a_link_to_its_folder_works(self, recording: Any, tmp_path: Path, movie: Movie) -> None:
        link = tmp_path / "link"
        link.symlink_to(recording.folder, target_is_directory=True)
        np.testing.assert_array_equal(self.open(link / "session.nwb").frames(8, 12), movie[8:12])


def test_facts_of_an_nwb_file(tmp_path: Path) -> None:
    recording = open_recording(write_nwb(tmp_path / "a.nwb", make_movie(4), start_s=3.0))
    metadata = recording.metadata
    assert metadata.recording_datetime == datetime(2024, 5, 17, 10, 23, 45, 500000)
    assert (metadata.animal_name, metadata.researcher_name) == ("subject1", "Somebody, Some")
    assert (metadata.device_name, metadata.nominal_fps) == ("Miniscope", 20)
    assert metadata.um_width == pytest.approx(32 * 2.0)
    assert metadata.um_height == pytest.approx(24 * 1.5)
    assert recording.timestamps_s[0] == 3.0
    assert "32 columns and 24 rows" in " ".join(metadata.warnings)


def test_imaging_goes_before_videos_and_several_have_to_be_named(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "a.nwb", make_movie(4))
    write_nwb(path, make_movie(6, seed=2), kind="ImageSeries", name="behaviour")
    assert open_recording(path).frame_count == 4
    write_nwb(path, make_movie(5, seed=1), name="red")
    with pytest.raises(RecordingFormatError, match=r"2 movies in .*OnePhotonSeries, red"):
        open_recording(path)
    np.testing.assert_array_equal(open_recording(path, dataset="acquisition/red").frames(), make_movie(5, seed=1))


def test_times_that_do_not_fit_are_refused_or_told(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "a.nwb", make_movie(5), times_s=[0, 0.05, 0.1, 0.15])
    with pytest.raises(ClockError, match="4 rows, 5 frames decode"):
        open_recording(path)
    assert open_recording(path, clock="report").frame_count == 4
    path = write_nwb(tmp_path / "b.nwb", make_movie(3), times_s=[0, float("nan"), 0.1])
    with pytest.raises(ClockError, match="NaN"):
        open_recording(path, clock="report")
    path = write_nwb(tmp_path / "c.nwb", make_movie(3), rate=None)
    with pytest.raises(ClockError, match="Frame rate unknown"):
        open_recording(path)


@pytest.mark.parametrize("name", ["/etc/0.avi", "../0.avi", "C:\\data\\0.avi", "s3://bucket/0.avi", ""])
def test_videos_elsewhere_are_not_followed(tmp_path: Path, name: str) -> None:
    path = write_nwb(tmp_path / "a.nwb", None, kind="ImageSeries", external=[name])
    with pytest.raises(VideoError, match="below the file's folder"):
        open_recording(path)


def test_a_video_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write_nwb(tmp_path / "a.nwb", None, kind="ImageSeries", external=["video/0.avi"])
    with pytest.raises(VideoError, match=r"video/0\.avi missing"):
        open_recording(path)
