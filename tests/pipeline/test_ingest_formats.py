"""Ingestion of every format: what was given to read a recording is kept, and reads it again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, MetadataError, NotFoundError
from miniscope_core.io import open_recording
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.originals import open_ingested
from miniscope_core.pipeline.requests import IngestOptions, checked_options
from miniscope_core.progress import silent
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import rows
from tests.builders import make_movie, write_video
from tests.formats import (
    buffer_rows,
    write_bonsai,
    write_hdf5,
    write_inscopix_session,
    write_isxd,
    write_mio,
    write_nwb,
    write_tiff,
)
from tests.io.test_signals import write_gpio

MOVIE = make_movie(9)
WHO = {"subject": "subject1", "session_datetime": "2024-05-17T10:23:45"}


def _parts(root: Path) -> Path:
    for index, frame in enumerate(MOVIE):
        write_tiff(root / f"run_{index}.tif", frame[None])
    return root


def _two_datasets(root: Path) -> Path:
    write_hdf5(root / "a.h5", MOVIE[:3], "red")
    return write_hdf5(root / "a.h5", MOVIE, "green")


FORMATS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "Video": (lambda root: write_video(root / "a.avi", MOVIE), {**WHO, "fps": 20}),
    "TIFF": (_parts, {**WHO, "fps": 20, "files": "run_*.tif"}),
    "HDF5": (_two_datasets, {**WHO, "fps": 20, "dataset": "green"}),
    "NWB": (lambda root: write_nwb(root / "a.nwb", MOVIE), {}),
    "Inscopix": (lambda root: write_isxd(root / "a.isxd", MOVIE), {}),
    "Inscopix session": (lambda root: write_inscopix_session(root, MOVIE, 4), WHO),
    "mio": (lambda root: write_mio(root / "a.avi", MOVIE), WHO),
    "Bonsai": (lambda root: write_bonsai(root / "a.avi", MOVIE), {"subject": "s", "columns": "time=0,unit=iso"}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_recording_is_ingested_once_and_read_again(lite: Archive, raw: Path, name: str) -> None:
    write, given = FORMATS[name]
    place, options = write(raw / "mouse"), checked_options(**given)
    done = ingest_recording(lite, place, options)
    assert done.changed
    (recording,) = rows(lite, m.Recording)
    assert recording["acquisition_software"] == name.split()[0]
    assert recording["recording_directory"] == place.relative_to(raw).as_posix()
    (directory,) = rows(lite, m.SessionDirectory)
    assert (raw / directory["session_dir"]).is_dir()
    files = rows(lite, m.RecordingFile)
    assert sum(row["nframes"] or 0 for row in files if row["role"] == "video") == 9
    again = open_ingested(lite, done.key, silent)
    np.testing.assert_array_equal(again.frames(), MOVIE)
    assert not ingest_recording(lite, place, options).changed
    assert not ingest_recording(lite, place, IngestOptions(files=options.files)).changed
    if place.is_file():
        assert not ingest_recording(lite, place.parent).changed


def test_other_options_than_those_recorded_are_refused(lite: Archive, raw: Path) -> None:
    place = _two_datasets(raw / "mouse")
    ingest_recording(lite, place, checked_options(**FORMATS["HDF5"][1]))
    with pytest.raises(ConflictError, match=r"got dataset 'red', expected 'green'"):
        ingest_recording(lite, place, IngestOptions(dataset="red"))


def test_a_file_that_changed_is_refused(lite: Archive, raw: Path) -> None:
    place = write_isxd(raw / "mouse" / "a.isxd", MOVIE)
    ingest_recording(lite, place)
    write_isxd(place, make_movie(9, seed=1))
    with pytest.raises(ConflictError, match="has other content"):
        ingest_recording(lite, place)


def test_a_file_that_moved_is_the_same_recording(lite: Archive, raw: Path) -> None:
    place = write_mio(raw / "mouse" / "a.avi", MOVIE)
    key = ingest_recording(lite, place, checked_options(**WHO)).key
    (raw / "mouse").rename(raw / "elsewhere")
    moved = ingest_recording(lite, raw / "elsewhere" / "a.avi", checked_options(**WHO))
    assert (moved.key, moved.changed) == (key, True)
    np.testing.assert_array_equal(open_ingested(lite, key, silent).frames(), MOVIE)


def test_two_recordings_of_a_folder_are_two(lite: Archive, raw: Path) -> None:
    for number in range(2):
        place = write_isxd(raw / "mouse" / f"{number}.isxd", make_movie(5, seed=number))
        assert ingest_recording(lite, place).key.recording_id == number


def test_corrupt_frames_and_sizes_are_recorded(lite: Archive, raw: Path) -> None:
    table = buffer_rows(9)
    for row in (table[3], table[6], table[20]):  # frames 1, 2 and 6
        row["black_padding_px"] = 5
    ingest_recording(lite, write_mio(raw / "a" / "a.avi", MOVIE, table), checked_options(**WHO))
    (info,) = rows(lite, m.RecordingInfo)
    assert info["clock_report"]["corrupt_frames"] == [[1, 2], [6, 6]]
    ingest_recording(lite, write_nwb(raw / "b" / "b.nwb", MOVIE), IngestOptions(recording_id=7))
    info = rows(lite, m.RecordingInfo)[1]
    assert (info["um_width"], info["um_height"]) == (pytest.approx(64), pytest.approx(36))


def test_a_movie_that_tells_nothing_asks_for_the_animal(lite: Archive, raw: Path) -> None:
    place = write_video(raw / "a.avi", MOVIE)
    with pytest.raises(MetadataError, match="--subject"):
        ingest_recording(lite, place, IngestOptions(fps=20))


def test_signals_are_kept_with_their_arrays(lite: Archive, tmp_path: Path) -> None:
    movie = write_isxd(tmp_path / "raw" / "run.isxd", make_movie(20))
    write_gpio(movie.with_name("run-gpio.csv"))
    key = ingest_recording(lite, movie).key
    with Workspace(lite.settings) as workspace:
        table = workspace.signals(key)
        assert table["signal_name"].tolist() == ["GPIO-1", "BNC Sync Output"]
        assert table["nsamples"].tolist() == [3, 1]
        assert table["stop_s"].tolist() == [0.5, 0.0]
        signal = workspace.signal(key, "GPIO-1")
        expected = open_recording(movie).signals[0]
        np.testing.assert_array_equal(signal.times_s, expected.times_s)
        np.testing.assert_array_equal(signal.values, expected.values)
        assert (signal.rule, signal.uncertainty_s, signal.channels) == (expected.rule, None, ("value",))
        assert workspace.signal(key, 1).name == "BNC Sync Output"
        with pytest.raises(NotFoundError, match="GPIO-9"):
            workspace.signal(key, "GPIO-9")
    assert not ingest_recording(lite, movie).changed
