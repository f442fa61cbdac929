"""Joined recordings: true times, every frame where it was, and nothing joined that does not belong together."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from miniscope_core.errors import ClockError, RecordingFormatError
from miniscope_core.io import Note, Recording, join_recordings, open_joined
from tests.builders import SCOPE, make_movie, write_v4_session
from tests.simulation import ArraySource, simulate

START = datetime(2024, 3, 5, 14, 30, 15, 250_000)
FRAMES = 40


def one(seed: int, start: datetime | None, frames: int = FRAMES) -> Recording:
    """Return a recording whose pixels all hold its seed."""
    scene = simulate(shape=(24, 32), frame_count=frames, cell_count=1, seed=0)
    recording = scene.recording()
    told = recording.metadata.model_copy(update={"recording_datetime": start, "config": {"metaData.json": {"n": seed}}})
    movie = np.full_like(scene.movie, seed)
    return replace(
        recording,
        directory=Path(f"/data/day/t{seed}"),
        source=ArraySource(movie),
        metadata=told,
        notes=(Note(time_s=1.0, text=f"note {seed}"),),
        head_orientation=np.array([[0.5, 1, 0, 0, seed]]),
        corrupt_frames=(3,),
    )


def test_each_keeps_its_own_clock_and_the_pause_is_there() -> None:
    first, second = one(1, START), one(2, START + timedelta(minutes=10), frames=30)
    joined = join_recordings([second, first])
    assert joined.frame_count == 70
    np.testing.assert_allclose(joined.timestamps_s[:40], first.timestamps_s)
    np.testing.assert_allclose(joined.timestamps_s[40:], second.timestamps_s + 600)
    assert joined.fps == pytest.approx(first.fps)
    assert [(part.directory.name, part.start_frame, part.frame_count, part.start_s) for part in joined.parts] == [
        ("t1", 0, 40, 0.0),
        ("t2", 40, 30, 600.0),
    ]
    assert joined.part_starts == (0, 40)
    assert "pauses of 598.0 s" in joined.clock.rule
    assert joined.clock.longest_interval_ms < 100


def test_a_night_in_which_summer_time_ends_is_placed_by_the_time_since_1970() -> None:
    """Half past two comes twice; by the rig's date the second recording would be the first."""
    night = datetime(2024, 10, 27, 2, 50)
    pair = [one(1, night), one(2, night - timedelta(minutes=45))]
    told = [
        replace(part, metadata=part.metadata.model_copy(update={"started_unix_ms": 1_729_990_200_000 + later}))
        for part, later in zip(pair, (0, 900_125), strict=True)
    ]
    joined = join_recordings(told[::-1])
    assert [(part.directory.name, part.start_s) for part in joined.parts] == [("t1", 0.0), ("t2", 900.125)]
    assert [part.directory.name for part in join_recordings([told[0], pair[1]]).parts] == ["t2", "t1"]


def test_frames_come_from_the_recording_that_they_are_of_whatever_range_is_read() -> None:
    joined = join_recordings([one(number, START + timedelta(minutes=number)) for number in (3, 1, 2)])
    order = joined.frames()[:, 0, 0]
    assert order.tolist() == [1] * 40 + [2] * 40 + [3] * 40
    for start, stop, step in ((39, 41, 1), (0, 120, 7), (85, 120, 3)):
        np.testing.assert_array_equal(joined.frames(start, stop, step)[:, 0, 0], order[start:stop:step])


def test_what_rides_along_moves_with_its_recording() -> None:
    joined = join_recordings([one(1, START), one(2, START + timedelta(minutes=1))])
    assert [(note.time_s, note.text) for note in joined.notes] == [(1.0, "note 1"), (61.0, "note 2")]
    assert joined.head_orientation is not None
    assert joined.head_orientation[:, 0].tolist() == [0.5, 60.5]
    assert joined.corrupt_frames == (3, 43)
    assert joined.metadata.config == {"t1/metaData.json": {"n": 1}, "t2/metaData.json": {"n": 2}}
    assert joined.directory == Path("/data/day")


@pytest.mark.parametrize(
    ("second", "kind", "message"),
    [
        (one(2, None), ClockError, "expected the time at which it began"),
        (one(2, START + timedelta(seconds=1)), ClockError, "before that one ends"),
        (
            replace(one(2, START + timedelta(hours=1)), shape=(24, 31)),
            RecordingFormatError,
            r"got size \(24, 31\), expected \(24, 32\)",
        ),
        (
            replace(
                one(2, START + timedelta(hours=1)),
                metadata=one(2, START + timedelta(hours=1)).metadata.model_copy(update={"animal_name": "another"}),
            ),
            RecordingFormatError,
            "got animal another",
        ),
        (
            replace(
                one(2, START + timedelta(hours=1)),
                clock=one(2, START).clock.model_copy(update={"measured_fps": 30.0}),
            ),
            ClockError,
            "got 30 Hz, expected 20 Hz",
        ),
    ],
    ids=["no start", "overlap", "size", "animal", "rate"],
)
def test_what_does_not_belong_together_is_not_joined(second: Recording, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        join_recordings([one(1, START), second])


def test_one_recording_is_nothing_to_join() -> None:
    with pytest.raises(RecordingFormatError, match="got 1, expected at least 2"):
        join_recordings([one(1, START)])


def test_two_scopes_of_one_session_recorded_at_the_same_time_and_are_not_joined(tmp_path: Path) -> None:
    write_v4_session(tmp_path, {SCOPE: make_movie(20, seed=1), "Other": make_movie(20, seed=2)})
    with pytest.raises((RecordingFormatError, ClockError), match="cannot be joined"):
        open_joined(tmp_path)
