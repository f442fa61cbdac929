"""How fast a recording is read on this machine, beside what plainly decoding its files takes in the same run."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2

from miniscope_core.errors import RecordingError
from miniscope_core.io.plain_movie import VIDEO, kind_of
from miniscope_core.io.recording import Recording
from miniscope_core.progress import Progress, silent

_CHUNK: Final = 64
_BLOCK: Final = 2**22
PLAIN_VIDEO: Final = "plain OpenCV, frame by frame"
PLAIN_BYTES: Final = "reading the files' bytes alone"
OPENING: Final = "opening: counting and checks"
READING: Final = "reading every frame"


@dataclass(frozen=True)
class Timed:
    """What one way through all frames took."""

    what: str
    frame_count: int
    wall_s: float
    cpu_s: float
    """Of all threads."""

    @property
    def fps(self) -> float:
        """Frames per second of wall time."""
        return self.frame_count / max(self.wall_s, 1e-9)


def time_reading(
    reopen: Callable[[], Recording], workers: int = 1, progress: Progress = silent
) -> tuple[Timed, Timed, Timed]:
    """Read a recording in three ways, one after the other.

    Parameters
    ----------
    reopen
        Opens it anew, with nothing known of it.
    workers
        Stretches of the recording read at the same time, as an engine does.
    progress
        Told ``"timing"`` in ways done.

    Returns
    -------
    tuple of Timed
        Plainly (OpenCV's own loop with its defaults where that decodes the files, else their bytes), opening, and
        reading every frame.

    Raises
    ------
    RecordingError
        As ``reopen`` and its recording do; when a file cannot be read plainly.
    """
    progress("timing", 0, 4)
    recording = reopen()  # the files are in memory from here on, as far as they fit, for each way alike
    progress("timing", 1, 4)
    paths = [file.path for file in recording.files]
    videos = all(kind_of(path) is VIDEO for path in paths)
    plain = _timed(PLAIN_VIDEO if videos else PLAIN_BYTES, recording, lambda: read_plainly(paths, videos))
    progress("timing", 2, 4)
    opening = _timed(OPENING, recording, reopen)
    progress("timing", 3, 4)
    reading = _timed(READING, recording, lambda: read_all(recording, workers))
    progress("timing", 4, 4)
    return plain, opening, reading


def read_all(recording: Recording, workers: int) -> None:
    """Read every frame once, in some stretches at the same time."""
    edges = [recording.frame_count * number // workers for number in range(workers + 1)]

    def stretch(begin: int, end: int) -> None:
        for start in range(begin, end, _CHUNK):
            recording.frames(start, min(start + _CHUNK, end))

    with ThreadPoolExecutor(max_workers=workers) as pool:
        for one in [pool.submit(stretch, begin, end) for begin, end in pairwise(edges)]:
            one.result()


def _timed(what: str, recording: Recording, way: Callable[[], object]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return Timed(what, recording.frame_count, time.perf_counter() - wall, time.process_time() - cpu)


def read_plainly(paths: Sequence[Path], videos: bool) -> None:
    """Decode files by OpenCV's own loop, or read their bytes."""
    for path in paths:
        if videos:
            capture = cv2.VideoCapture(str(path))
            while capture.read()[0]:
                pass
            capture.release()
            continue
        try:
            with path.open("rb", buffering=0) as stream:
                while stream.read(_BLOCK):
                    pass
        except OSError as error:
            raise RecordingError(f"File {path} cannot be read: {error.strerror}. Check the disk.") from error
