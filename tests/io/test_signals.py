"""What rides along on the clock: pose of a behaviour camera, channels of an acquisition box, triggers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from miniscope_core.io import Recording, Signal, join_recordings, open_recording
from miniscope_core.io.gpio import read_gpio
from miniscope_core.io.pose import read_pose
from tests.builders import SCOPE, make_movie, write_v4_session
from tests.formats import (
    isxd_footer,
    write_bonsai,
    write_inscopix_session,
    write_inscopix_times,
    write_isxd,
    write_tiff,
)
from tests.io.test_joined import START, one

CAMERA = "My Web Cam"
START_UNIX = 1715934225.5
"""When the movies of ``isxd_footer`` begin."""


# -- pose -------------------------------------------------------------------------------------------------
def poses(frames: int, points: int = 3) -> NDArray[np.float64]:
    """Make (frame, point, 3): x, y, likelihood; every value differs in three digits, as the program writes."""
    rng = np.random.default_rng(1)
    xy = rng.integers(10, 640, (frames, points, 2)).astype(float)
    likelihood = rng.integers(1, 999, (frames, points, 1)) / 1000
    return np.concatenate([xy, likelihood], axis=2)


def write_pose(session: Path, frames: Sequence[int], values: NDArray[np.float64], by_point: bool = False) -> Path:
    """Write ``pose.csv`` as Miniscope-DAQ-QT does."""
    path = session / "behaviorTracker" / "pose.csv"
    path.parent.mkdir(exist_ok=True)
    lines = ["DLC-Live Pose Data."]
    for number, pose in zip(frames, values, strict=True):
        flat = (pose if by_point else pose.T).ravel()
        lines.append(f"{number}," + "".join(f"{value:.3g}," for value in flat))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Write a session of a miniscope and a camera with 40 frames."""
    return write_v4_session(tmp_path / "raw", {SCOPE: make_movie(30)}, {CAMERA: make_movie(40)})


def camera_times_s(session: Path) -> NDArray[np.float64]:
    path = session / CAMERA.replace(" ", "_") / "timeStamps.csv"
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=1) / 1000


@pytest.mark.parametrize("by_point", [False, True])
def test_pose_is_on_the_clock_of_the_session_whatever_the_order_of_its_values(session: Path, by_point: bool) -> None:
    frames = [812 + number for number in range(0, 38, 3)]
    values = poses(len(frames))
    write_pose(session, frames, values, by_point)
    recording = open_recording(session)
    (pose,) = recording.signals
    assert pose.name == "pose"
    assert pose.channels[:4] == ("0 x", "0 y", "0 likelihood", "1 x")
    assert pose.units[:3] == ("px", "px", "1")
    np.testing.assert_allclose(pose.values.reshape(len(frames), 3, 3), values)
    np.testing.assert_allclose(pose.times_s, camera_times_s(session)[0:38:3])
    # 37 of the camera's 40 frames lie between the first row and the last: up to 3 are unaccounted for.
    assert pose.uncertainty_s == pytest.approx(3 / 20)
    assert any("My_Web_Cam was switched on" in warning for warning in recording.metadata.warnings)
    assert {path.name for path in recording.side_files} >= {"pose.csv", "timeStamps.csv"}


def test_rows_without_a_pose_or_damaged_are_left_out(session: Path) -> None:
    path = write_pose(session, [5, 6, 7, 8], poses(4))
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], "4,", lines[1], "6,nonsense,", lines[3], "8,1,2"]))
    recording = open_recording(session)
    np.testing.assert_allclose(recording.signals[0].times_s, camera_times_s(session)[[0, 2]])
    assert any("2 rows of pose.csv cannot be read" in warning for warning in recording.metadata.warnings)


@pytest.mark.parametrize(
    ("frames", "cameras", "told"),
    [
        ([9, 4, 10], 1, "go back"),
        ([0, 50, 60], 1, "spans 61 frames"),
        ([0, 1, 2], 2, "2 cameras"),
        ([0, 1, 2], 0, "0 cameras"),
    ],
)
def test_pose_that_cannot_be_placed_is_told_and_left_out(
    tmp_path: Path, frames: list[int], cameras: int, told: str
) -> None:
    movies = {f"cam{number}": make_movie(40) for number in range(cameras)}
    session = write_v4_session(tmp_path, {SCOPE: make_movie(30)}, movies)
    write_pose(session, frames, poses(3))
    recording = open_recording(session)
    assert recording.signals == ()
    assert any("pose.csv is left out" in one and told in one for one in recording.metadata.warnings)


def test_order_of_values_that_nothing_tells_is_not_guessed(session: Path) -> None:
    write_pose(session, [0, 1, 2], np.full((3, 3, 3), 0.5))
    recording = open_recording(session)
    assert recording.signals == ()
    assert any("by point or by coordinate" in warning for warning in recording.metadata.warnings)


@given(content=st.one_of(st.binary(max_size=300), st.text("0123456789.,-e\nnainf", max_size=300).map(str.encode)))
def test_any_pose_file_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("session")
    for name in ("behaviorTracker", "cam"):
        (folder / name).mkdir()
    (folder / "behaviorTracker" / "pose.csv").write_bytes(content)
    (folder / "cam" / "timeStamps.csv").write_text("Frame Number,Time Stamp (ms)\n0,0\n1,50\n")
    found = read_pose(folder, {"cameras": ["cam"]})
    assert found.signals or found.warnings


# -- the acquisition box of Inscopix ----------------------------------------------------------------------
HEADER = "Time (s), Channel Name, Value"
ROWS = ((0.0, "GPIO-1", 0), (0.25, "GPIO-1", 65532), (0.5, "GPIO-1", 0), (0.0, "BNC Sync Output", 1))


def write_gpio(path: Path, zero_s: float = 0.0) -> Path:
    path.write_text("\n".join([HEADER, *(f"{time + zero_s!r}, {name}, {value}" for time, name, value in ROWS)]) + "\n")
    return path


def check_channels(recording: Recording, shift_s: float = 0.0) -> Signal:
    first, second = recording.signals
    assert (first.name, second.name) == ("GPIO-1", "BNC Sync Output")
    np.testing.assert_allclose(first.times_s, np.array([0, 0.25, 0.5]) + shift_s, atol=1e-6)
    assert first.values.tolist() == [[0], [65532], [0]]
    assert second.values.tolist() == [[1]]
    return first


def test_channels_beside_an_isxd_count_from_their_own_start_which_is_told(tmp_path: Path) -> None:
    movie = write_isxd(tmp_path / "run.isxd", make_movie(20))
    table = write_gpio(tmp_path / "anything.csv")
    recording = open_recording(movie)
    assert check_channels(recording).uncertainty_s is None
    assert table in recording.side_files
    assert any("counts time from its own start" in warning for warning in recording.metadata.warnings)


def test_channels_in_unix_time_are_placed_by_the_start_of_the_movie(tmp_path: Path) -> None:
    movie = write_isxd(tmp_path / "run.isxd", make_movie(20))
    write_gpio(tmp_path / "run-gpio.csv", zero_s=START_UNIX + 0.1)
    recording = open_recording(movie)
    assert check_channels(recording, shift_s=0.1).uncertainty_s == 0
    assert not any("gpio" in warning for warning in recording.metadata.warnings)


def test_channels_in_unix_time_beside_an_export_are_placed_by_its_table(tmp_path: Path) -> None:
    movie = write_tiff(tmp_path / "run.tif", make_movie(4))
    write_inscopix_times(
        tmp_path / "run.csv", [START_UNIX, None, START_UNIX + 0.1, START_UNIX + 0.15, START_UNIX + 0.2]
    )
    write_gpio(tmp_path / "run-gpio.csv", zero_s=START_UNIX)
    check_channels(open_recording(movie))


def test_channels_in_unix_time_are_left_out_where_nobody_knows_when_the_movie_began(tmp_path: Path) -> None:
    footer = isxd_footer(movie := make_movie(4), start={})
    write_gpio(tmp_path / "gpio.csv", zero_s=START_UNIX)
    recording = open_recording(write_isxd(tmp_path / "run.isxd", movie, footer))
    assert recording.signals == ()
    assert any("when the movie began is not known" in warning for warning in recording.metadata.warnings)


def test_channels_of_a_session_lie_in_its_folders(tmp_path: Path) -> None:
    session = write_inscopix_session(tmp_path, make_movie(10))
    write_gpio(session / "recording_1" / "gpio.csv")
    check_channels(open_recording(session))


def test_of_several_movies_a_table_is_the_one_it_is_named_after(tmp_path: Path) -> None:
    for name in ("run1", "run2"):
        write_isxd(tmp_path / f"{name}.isxd", make_movie(4))
    write_gpio(tmp_path / "run1_gpio.csv")
    (tmp_path / "run1.gpio").write_bytes(b"raw")
    check_channels(one := open_recording(tmp_path / "run1.isxd"))
    assert any("run1.gpio is not read: export it as CSV" in warning for warning in one.metadata.warnings)
    other = open_recording(tmp_path / "run2.isxd")
    assert other.signals == ()
    assert any("run1_gpio.csv is not read" in warning for warning in other.metadata.warnings)


def test_name_of_one_movie_may_begin_that_of_another(tmp_path: Path) -> None:
    for name in ("run1", "run10"):
        write_isxd(tmp_path / f"{name}.isxd", make_movie(4))
    write_gpio(tmp_path / "run10_gpio.csv")
    check_channels(open_recording(tmp_path / "run10.isxd"))
    assert open_recording(tmp_path / "run1.isxd").signals == ()


def test_session_of_several_files_has_its_channels(tmp_path: Path) -> None:
    session = write_inscopix_session(tmp_path, make_movie(10), frames_per_file=4)
    write_gpio(session / "recording_1" / "gpio.csv")
    check_channels(open_recording(session))


def test_damaged_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    movie = write_isxd(tmp_path / "run.isxd", make_movie(4))
    path = write_gpio(tmp_path / "gpio.csv")
    path.write_text(
        path.read_text() + "later, GPIO-1, 3\n1e99, GPIO-1, 3\n0.7, GPIO-1, nan\n0.75, GPIO, 1, 3, 4\n0.8, GPIO"
    )
    recording = open_recording(movie)
    check_channels(recording)
    assert any("5 rows of gpio.csv cannot be read" in warning for warning in recording.metadata.warnings)


@given(content=st.one_of(st.binary(max_size=300), st.text('0123456789., -e\nnaGPIO"', max_size=300).map(str.encode)))
def test_any_table_of_channels_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("gpio")
    (folder / "gpio.csv").write_bytes(f"{HEADER}\n".encode() + content)
    found = read_gpio([folder / "run.isxd"], [folder], None)
    assert found.files == (folder / "gpio.csv",)
    for signal in found.signals:
        assert signal.values.shape == (len(signal.times_s), 1)
        assert np.isfinite(signal.values).all()


# -- triggers ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cells", "levels"), [(["False", "True"], [0, 1]), (["0", "2.5"], [0, 2.5]), (["a", "b"], None)]
)
def test_trigger_of_a_table_is_a_signal_where_it_is_a_number_or_true_or_false(
    tmp_path: Path, cells: list[str], levels: list[float] | None
) -> None:
    lines = [f"2024-05-17T10:23:45.{frame * 500_000:06d}+02:00,{frame},{cells[frame]}" for frame in range(2)]
    path = write_bonsai(tmp_path / "a.avi", make_movie(2, 8, 10), lines)
    recording = open_recording(path, columns="time=0,unit=iso,frame=1,trigger=2")
    if levels is None:
        assert recording.signals == ()
    else:
        (trigger,) = recording.signals
        assert trigger.values[:, 0].tolist() == levels
        np.testing.assert_allclose(trigger.times_s, [0, 0.5])
    assert [note.time_s for note in recording.notes] == [0.5]


# -- joined -----------------------------------------------------------------------------------------------
def signal(name: str, uncertainty_s: float | None = 0.0, **changes: Any) -> Signal:
    facts: dict[str, Any] = {
        "channels": ("value",),
        "units": ("",),
        "times_s": np.array([0.5, 1.0]),
        "values": np.array([[1.0], [2.0]]),
        "source": "a.csv",
        "rule": "as told",
    }
    return Signal(name=name, uncertainty_s=uncertainty_s, **facts | changes)


def test_signals_of_joined_recordings_are_one_on_the_joined_clock() -> None:
    first = replace(one(1, START), signals=(signal("trigger"), signal("pose")))
    second = replace(one(2, START + timedelta(minutes=1)), signals=(signal("trigger", None),))
    trigger, pose = join_recordings([first, second]).signals
    assert trigger.times_s.tolist() == [0.5, 1.0, 60.5, 61.0]
    assert trigger.values[:, 0].tolist() == [1, 2, 1, 2]
    assert trigger.uncertainty_s is None
    assert pose.times_s.tolist() == [0.5, 1.0]


def test_metadata_of_the_tracker_is_in_the_configuration_of_the_session(session: Path) -> None:
    facts = json.loads((session / "metaData.json").read_text())
    (session / "metaData.json").write_text(json.dumps(facts | {"behaviorTracker": {"modelPath": "x"}}))
    assert open_recording(session).metadata.config["../metaData.json"]["behaviorTracker"] == {"modelPath": "x"}
