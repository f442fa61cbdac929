"""What every reader promises, whatever the acquisition format: subclass it beside the reader's own tests.

:class:`MovieContract` is for every reader; :class:`ReaderContract` adds what holds where several AVI files and a clock
file make a recording.
"""

import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, ParameterError, RecordingError, RecordingNotFoundError, VideoError
from miniscope_core.io import READERS, Recording, find_recordings, open_recording
from miniscope_core.models.lookups import LOOKUPS
from miniscope_core.models.recording import AcquisitionSoftware
from tests.builders import Movie, cut_file, make_movie

FRAMES_PER_FILE = 10


class MovieContract:
    """Tests of a reader on a recording of :attr:`frame_count` frames, without a fault."""

    software: str
    options: ClassVar[dict[str, Any]] = {}
    """What the caller has to give to open it."""
    frame_count = 27

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        """Write a recording below ``root`` and return its folder or file."""
        raise NotImplementedError

    def open(self, place: Path, **options: Any) -> Recording:
        return open_recording(place, **self.options | options)

    @pytest.fixture
    def movie(self) -> NDArray[Any]:
        return make_movie(self.frame_count)

    @pytest.fixture
    def folder(self, tmp_path: Path, movie: Movie) -> Path:
        """Where the recording is: a folder, or a file."""
        return self.write(tmp_path, movie)

    @pytest.fixture
    def recording(self, folder: Path) -> Recording:
        return self.open(folder)

    # -- what a recording is
    def test_frames_are_exactly_what_was_written(self, recording: Recording, movie: Movie) -> None:
        assert recording.frame_count == len(movie)
        assert recording.shape == movie.shape[1:]
        assert recording.dtype == movie.dtype
        frames = recording.frames()
        assert frames.dtype == movie.dtype
        np.testing.assert_array_equal(frames, movie)

    def test_any_range_equals_the_slice_in_any_order(self, recording: Recording, movie: Movie) -> None:
        for start, stop, step in [(12, 27, 1), (0, 5, 1), (9, 11, 1), (3, 27, 7), (26, 27, 1), (0, 27, 13), (4, 4, 1)]:
            np.testing.assert_array_equal(recording.frames(start, stop, step), movie[start:stop:step])

    def test_threads_read_at_the_same_time(self, recording: Recording, movie: Movie) -> None:
        starts = [0, 20, 5, 15, 10, 0, 20, 5] * 3
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda start: recording.frames(start, start + 7), starts))
        for start, part in zip(starts, parts, strict=True):
            np.testing.assert_array_equal(part, movie[start : start + 7])

    def test_a_copy_for_another_process_reads_the_same(self, recording: Recording, movie: Movie) -> None:
        recording.frames(3, 6)
        copy = pickle.loads(pickle.dumps(recording))  # noqa: S301
        np.testing.assert_array_equal(copy.frames(5, 25), movie[5:25])

    def test_the_clock_gives_a_time_to_every_frame(self, recording: Recording) -> None:
        assert recording.fps == pytest.approx(20)
        np.testing.assert_allclose(np.diff(recording.timestamps_s), 0.05, atol=1e-9)
        assert (recording.clock.frames, recording.clock.used) == (self.frame_count, self.frame_count)
        assert recording.clock.problems == ()
        assert recording.clock.rule
        assert recording.duration_s == pytest.approx(27 / 20)

    def test_it_says_what_it_is_and_why(self, recording: Recording) -> None:
        assert recording.metadata.acquisition_software == self.software
        assert recording.evidence
        assert recording.folder.is_dir()
        assert all(path.is_file() for path in recording.side_files)
        assert self.software in [row["acquisition_software"] for row in LOOKUPS[AcquisitionSoftware]]

    def test_exactly_one_reader_recognises_it(self, recording: Recording) -> None:
        place = recording.directory
        kind = "folder" if place.is_dir() else "file"
        mine = [reader for reader in READERS if reader.place == kind and reader.recognise(place)]
        marked = [reader for reader in mine if not reader.plain]
        assert [reader.name for reader in marked or mine] == [self.software]

    # -- where it lies
    def test_it_is_found_from_above(self, recording: Recording, tmp_path: Path) -> None:
        assert find_recordings(tmp_path) == [recording.directory]
        assert find_recordings(recording.directory) == [recording.directory]

    def test_a_link_to_its_folder_works(self, recording: Recording, tmp_path: Path, movie: Movie) -> None:
        odd = tmp_path / "Übung 1 (mäuse) %d [a,b]"
        shutil.copytree(recording.folder, odd / "inside")
        link = tmp_path / "link to it"
        link.symlink_to(odd, target_is_directory=True)
        at = link / "inside" if "files" in self.options else link
        np.testing.assert_array_equal(self.open(at).frames(8, 12), movie[8:12])

    def test_what_computers_leave_in_folders_changes_nothing(
        self, folder: Path, recording: Recording, tmp_path: Path
    ) -> None:
        """Finder writes a ``._`` beside every file that it copies to a foreign disk, and Explorer its own."""
        found = find_recordings(tmp_path)
        for place in (recording.folder, recording.folder.parent):
            for path in [one for one in place.iterdir() if one.is_file()]:
                path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
            for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
                (place / name).write_bytes(b"\0\0\0\1Bud1")
        again = self.open(folder)
        assert (again.files, again.metadata, again.clock) == (recording.files, recording.metadata, recording.clock)
        assert find_recordings(tmp_path) == found

    @pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
    def test_line_endings_do_not_matter(self, folder: Path, recording: Recording, ending: bytes) -> None:
        texts = [path for path in recording.side_files if path.suffix in (".csv", ".dat", ".json")]
        for path in texts:
            path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", ending))
        again = self.open(folder)
        np.testing.assert_array_equal(again.timestamps_s, recording.timestamps_s)
        assert (again.metadata, again.notes, again.clock) == (recording.metadata, recording.notes, recording.clock)

    def test_reading_leaves_the_folder_as_it_was(self, folder: Path, tmp_path: Path) -> None:
        """A disk that the acquisition computer shares may be read-only."""

        def state() -> dict[Path, tuple[int, int]]:
            return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")}

        before = state()
        self.open(folder).frames(0, 12)
        find_recordings(tmp_path)
        assert state() == before

    # -- counting
    def names(self, recording: Recording) -> dict[str, int]:
        """Return the frames of each file by its path from the recording's place."""
        at = recording.directory
        return {Path(os.path.relpath(file.path, at)).as_posix(): file.frame_count for file in recording.files}

    def test_known_counts_read_the_same(self, folder: Path, recording: Recording) -> None:
        assert self.open(folder, frame_counts=self.names(recording)).files == recording.files

    def test_trusting_the_containers_reads_the_same(self, folder: Path, recording: Recording) -> None:
        quick = self.open(folder, trust_containers=True)
        assert quick.files == recording.files
        np.testing.assert_array_equal(quick.frames(3, 20, 4), recording.frames(3, 20, 4))

    def test_a_file_known_before_and_gone_is_an_error(self, folder: Path) -> None:
        with pytest.raises(VideoError, match=r"77\.avi missing"):
            self.open(folder, frame_counts={"77.avi": 10})

    def test_a_file_of_another_count_than_known_is_an_error(self, folder: Path, recording: Recording) -> None:
        name, count = next(iter(self.names(recording).items()))
        with pytest.raises(VideoError, match=rf"{recording.files[0].path.name}.*got {count}.*expected"):
            self.open(folder, clock="report", frame_counts={name: count + 2}).source.read(0, count + 2, 1)

    # -- what is broken
    def test_a_video_that_is_empty_is_named(self, recording: Recording, folder: Path) -> None:
        path = recording.files[0].path
        path.write_bytes(b"")
        with pytest.raises(RecordingError, match=rf"{path.name}"):
            self.open(folder)

    @pytest.mark.parametrize("keep", [0.999, 0.6, 0.1])
    def test_a_video_cut_short_is_refused_in_one_line(self, recording: Recording, folder: Path, keep: float) -> None:
        path = cut_file(recording.files[0].path, keep)
        with pytest.raises(RecordingError) as caught:
            self.open(folder)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)

    def test_a_place_that_is_gone_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(RecordingNotFoundError, match="nowhere"):
            self.open(tmp_path / "nowhere")

    @pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
    def test_an_impossible_rate_is_refused(self, folder: Path, fps: float) -> None:
        with pytest.raises(ClockError, match="fps="):
            self.open(folder, fps=fps)

    def test_a_given_rate_goes_before_everything_and_says_so(self, folder: Path) -> None:
        recording = self.open(folder, fps=10)
        assert (recording.fps, recording.clock.source) == (10, "given")
        np.testing.assert_allclose(recording.timestamps_s, np.arange(recording.frame_count) / 10)

    def test_an_unknown_clock_policy_is_refused(self, folder: Path) -> None:
        with pytest.raises(ParameterError, match="'strict', 'report'"):
            self.open(folder, clock="lenient")

    def test_an_option_of_another_format_is_refused(self, folder: Path) -> None:
        taken = {option for reader in READERS if reader.name == self.software for option in reader.takes}
        name, value = ("columns", "time=0,unit=s") if "dataset" in taken else ("dataset", "x")
        with pytest.raises(ParameterError, match=rf"{name}= for .*'{value}'.*read as {self.software}"):
            self.open(folder, **{name: value})


class ReaderContract(MovieContract):
    """Tests of a reader on a folder of :attr:`frame_count` frames in three files or more."""

    clock_name: str

    def write(self, root: Path, movie: Movie, **changes: Any) -> Path:
        """Write a recording below ``root``, :data:`FRAMES_PER_FILE` frames a file, and return its folder."""
        raise NotImplementedError

    # -- what a recording is

    def test_files_come_in_natural_order_with_their_decoded_counts(self, recording: Recording) -> None:
        assert [file.frame_count for file in recording.files if file.frame_count] == [10, 10, 7]
        assert all(file.path.parent == recording.directory for file in recording.files)

    def test_clock_gives_rate_and_times(self, recording: Recording) -> None:
        assert recording.fps == 20.0
        assert len(recording.timestamps_s) == self.frame_count
        np.testing.assert_allclose(np.diff(recording.timestamps_s), 0.05)
        report = recording.clock
        assert (report.source, report.rows, report.frames, report.used) == (self.clock_name, 27, 27, 27)
        assert report.problems == ()
        assert recording.duration_s == pytest.approx(27 / 20)

    def test_metadata_name_the_software_and_keep_its_files(self, recording: Recording) -> None:
        assert recording.metadata.acquisition_software == self.software
        assert recording.metadata.config
        assert recording.evidence
        assert all(path.is_file() for path in recording.side_files)
        assert self.clock_name in [path.name for path in recording.side_files]

    # -- where it lies
    def test_a_link_and_odd_names_work(self, folder: Path, tmp_path: Path, movie: Movie) -> None:
        odd = tmp_path / "Übung 1 (mäuse) %d [a,b]" / "My_V4_Miniscope"
        shutil.copytree(folder, odd)
        link = tmp_path / "link to it"
        link.symlink_to(odd, target_is_directory=True)
        for path in (odd, link, str(link) + "/", odd.parent):
            np.testing.assert_array_equal(open_recording(path).frames(8, 12), movie[8:12])

    def test_endings_in_capitals_do_not_matter(self, folder: Path, recording: Recording, movie: Movie) -> None:
        for path in (*(file.path for file in recording.files), *recording.side_files):
            path.rename(path.with_name(f"{path.stem}{path.suffix.upper()}"))
        again = open_recording(folder)
        np.testing.assert_array_equal(again.frames(8, 12), movie[8:12])
        assert [file.path.suffix for file in again.files] == [".AVI"] * len(recording.files)
        assert again.metadata == recording.metadata

    # -- counting
    def test_known_counts_spare_the_decoding(self, folder: Path, recording: Recording) -> None:
        told: list[tuple[str, int, int]] = []
        counts = {file.path.name: file.frame_count for file in recording.files}
        again = open_recording(folder, frame_counts=counts, progress=lambda *call: told.append(call))
        assert told == []
        assert again.files == recording.files

    def test_trusting_the_containers_spares_the_decoding_and_reads_the_same(
        self, folder: Path, recording: Recording
    ) -> None:
        told: list[tuple[str, int, int]] = []
        quick = open_recording(folder, trust_containers=True, progress=lambda *call: told.append(call))
        assert told == []
        assert quick.files == recording.files
        np.testing.assert_array_equal(quick.frames(3, 20, 4), recording.frames(3, 20, 4))

    def test_counting_tells_its_progress_to_the_end(self, folder: Path) -> None:
        told: list[tuple[str, int, int]] = []
        open_recording(folder, workers=2, progress=lambda *call: told.append(call))
        assert told[-1] == ("decoding", 27, 27)
        assert [call[1] for call in told] == sorted(call[1] for call in told)

    def test_a_file_shorter_than_known_is_an_error_when_read(self, folder: Path, recording: Recording) -> None:
        counts = {file.path.name: file.frame_count for file in recording.files}
        first = next(iter(counts))
        trusting = open_recording(folder, clock="report", frame_counts=counts | {first: 12})
        with pytest.raises(VideoError, match=rf"{first}.*got 10 frames, expected 12"):
            trusting.frames(0, 12)

    # -- what is broken, by the video
    def videos(self, folder: Path) -> list[Path]:
        """Return the scope's video files in order."""
        return [file.path for file in open_recording(folder).files]

    @pytest.mark.parametrize("position", [0, 1])
    def test_a_missing_video_is_named(self, folder: Path, position: int) -> None:
        path = self.videos(folder)[position]
        path.unlink()
        with pytest.raises(VideoError, match=rf"{path.name} missing in .*Is the copy complete"):
            open_recording(folder)

    def test_a_missing_last_video_shows_in_the_clock(self, folder: Path) -> None:
        for path in self.videos(folder)[2:]:
            path.unlink()
        with pytest.raises(ClockError, match=r"27 rows.* 20 frames"):
            open_recording(folder)

    def test_no_video_at_all_is_named(self, folder: Path) -> None:
        first, *others = self.videos(folder)
        for path in (first, *others):
            path.unlink()
        with pytest.raises(VideoError, match=rf"{first.name} missing"):
            open_recording(folder)

    @pytest.mark.parametrize(
        ("content", "problem"),
        [(b"", "is empty"), (b"hello" * 50, "no AVI file"), (b"RIFF\0\1\0\0AVI LIST\0\0\0\0", "cannot be opened")],
    )
    def test_a_broken_video_is_named_and_no_noise_is_made(
        self, folder: Path, content: bytes, problem: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = self.videos(folder)[1]
        path.write_bytes(content)
        with pytest.raises(VideoError, match=rf"{path.name} .*{problem}"):
            open_recording(folder)
        assert capfd.readouterr().err == ""

    def test_a_video_cut_short_is_named_with_rows_and_frames(self, folder: Path) -> None:
        path = cut_file(self.videos(folder)[1], 0.6)
        with pytest.raises(
            ClockError, match=rf"27 rows.*frames.*{path.name} gives.*{path.name} is cut short.*clock='report'"
        ):
            open_recording(folder)

    def test_a_video_that_lost_only_its_end_is_refused_too(self, folder: Path) -> None:
        path = cut_file(self.videos(folder)[1], 0.9999)
        with pytest.raises(VideoError, match=rf"{path.name} is cut short.*clock='report'"):
            open_recording(folder)
        assert open_recording(folder, clock="report").frame_count == 27

    def test_a_video_of_another_size_is_named(self, folder: Path, tmp_path: Path) -> None:
        path = self.videos(folder)[1]
        other = self.write(tmp_path / "other", make_movie(27, 32, 48))
        shutil.copy(other / path.name, path)
        with pytest.raises(VideoError, match=rf"{path.name} .*48×32.*32×24"):
            open_recording(folder)

    # -- what is broken, by the clock
    def edit_clock(self, folder: Path, edit: Callable[[list[str]], list[str]]) -> None:
        """Rewrite the clock file's lines, the header among them."""
        path = folder / self.clock_name
        path.write_text("".join(f"{line}\n" for line in edit(path.read_text().splitlines())))

    def test_a_missing_clock_is_named_and_a_rate_replaces_it(self, folder: Path, movie: Movie) -> None:
        (folder / self.clock_name).unlink()
        with pytest.raises(ClockError, match=rf"{self.clock_name} missing.*fps="):
            open_recording(folder)
        recording = open_recording(folder, fps=10)
        np.testing.assert_allclose(recording.timestamps_s, np.arange(27) / 10)
        assert (recording.clock.source, recording.fps) == ("given", 10)

    def test_a_given_rate_goes_before_the_clock_and_says_so(self, folder: Path) -> None:
        recording = open_recording(folder, fps=10)
        assert recording.fps == 10
        assert f"{self.clock_name} is there and was not used" in recording.clock.rule

    def test_fewer_rows_are_refused_or_leave_frames_out(self, folder: Path, movie: Movie) -> None:
        self.edit_clock(folder, lambda lines: lines[:-3])
        with pytest.raises(ClockError, match=r"disagree at .*24.* 27 frames"):
            open_recording(folder)
        recording = open_recording(folder, clock="report")
        assert recording.frame_count == 24
        assert "24 rows" in " ".join(recording.clock.problems)
        assert "last 3 frames have no row" in recording.clock.rule
        np.testing.assert_array_equal(recording.frames(), movie[:24])

    def test_more_rows_are_refused_or_left_out(self, folder: Path, movie: Movie) -> None:
        paths = self.videos(folder)
        replacement = self.write(folder.parent / "shorter", movie[:25])
        shutil.copy(replacement / paths[2].name, paths[2])
        with pytest.raises(ClockError, match=r"disagree at .*27.* 25 frames"):
            open_recording(folder)
        recording = open_recording(folder, clock="report")
        assert recording.frame_count == 25
        assert "last 2 rows are left out" in recording.clock.rule
        assert recording.timestamps_s[-1] == pytest.approx(24 / 20, abs=0.01)

    def test_no_rows_at_all_is_refused_even_in_a_report(self, folder: Path) -> None:
        self.edit_clock(folder, lambda lines: lines[:1])
        with pytest.raises(ClockError, match=self.clock_name):
            open_recording(folder, clock="report")

    def test_an_empty_clock_file_is_refused(self, folder: Path) -> None:
        (folder / self.clock_name).write_bytes(b"")
        with pytest.raises(ClockError, match=rf"{self.clock_name}.*expected the column"):
            open_recording(folder, clock="report")

    def test_a_garbage_row_is_named_by_its_line(self, folder: Path) -> None:
        self.edit_clock(folder, lambda lines: [*lines[:5], lines[5].replace(lines[5][-3:], "x?"), *lines[6:]])
        with pytest.raises(ClockError, match=rf"{self.clock_name} line 6 .*fps="):
            open_recording(folder, clock="report")
