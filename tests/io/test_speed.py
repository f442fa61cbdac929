"""The report on reading speed reads what it says it reads, as often as it says."""

from pathlib import Path

import pytest

from miniscope_core.io import Recording, open_recording
from miniscope_core.io.speed import PLAIN_BYTES, PLAIN_VIDEO, read_all, time_reading
from tests.builders import make_movie, write_video
from tests.formats import write_tiff


@pytest.mark.parametrize(("kind", "plain"), [("0.avi", PLAIN_VIDEO), ("0.tif", PLAIN_BYTES)])
def test_each_way_goes_through_all_frames(tmp_path: Path, kind: str, plain: str) -> None:
    movie = make_movie(30)
    path = write_video(tmp_path / kind, movie) if kind == "0.avi" else write_tiff(tmp_path / kind, movie)
    opened: list[Recording] = []

    def reopen() -> Recording:
        opened.append(open_recording(path, fps=20))
        return opened[-1]

    told: list[tuple[str, int, int]] = []
    ways = time_reading(reopen, 2, lambda *one: told.append(one))
    assert ways[0].what == plain
    assert [way.frame_count for way in ways] == [30, 30, 30]
    assert all(way.wall_s > 0 and way.fps > 0 for way in ways)
    assert len(opened) == 2
    assert told[-1] == ("timing", 4, 4)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_stretches_cover_every_frame_once(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = open_recording(write_video(tmp_path / "0.avi", make_movie(150)), fps=20)
    seen: list[int] = []
    frames = Recording.frames

    def counted(self: Recording, start: int = 0, stop: int | None = None, step: int = 1) -> object:
        seen.extend(range(start, stop or 0))
        return frames(self, start, stop, step)

    monkeypatch.setattr(Recording, "frames", counted)
    read_all(recording, workers)
    assert sorted(seen) == list(range(150))
