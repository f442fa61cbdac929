"""Working files of one run: a movie of small integers frame by frame, and rows of traces; and ordered parallelism.

Files are read and written by offset, never mapped: mapped pages would count as resident memory and grow with the
length of the recording.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import EngineError

Item = TypeVar("Item")
Output = TypeVar("Output")

CHUNK_BYTES: Final = 32 * 2**20
"""A chunk as float32: large enough for fast products, small enough that a few of them are nothing."""

_MOST_FRAMES: Final = 128
"""Of a chunk: what is cut out of more of them at a time is larger than a core's own cache, and there are too few chunks
to share out."""


class ScratchMovie:
    """A movie on disk as 16-bit integers in steps of ``1 / scale``; safe to read and write from many threads.

    Parameters
    ----------
    path
        Where to create the file.
    shape
        (frames, height, width).
    scale
        Steps per count, a power of two: what is stored is then exact as float32.
    signed
        Whether values may be below zero.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], scale: float, signed: bool) -> None:
        self.shape = shape
        self.scale = scale
        self._dtype = np.dtype(np.int16 if signed else np.uint16)
        self._frame_bytes = shape[1] * shape[2] * self._dtype.itemsize
        require_space(path.parent, shape[0] * self._frame_bytes)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    @property
    def chunk_frames(self) -> int:
        """Frames worked on at a time; a property of the frame size alone, so that results do not hang on workers."""
        return int(np.clip(CHUNK_BYTES // (4 * self.shape[1] * self.shape[2]), 8, _MOST_FRAMES))

    @property
    def chunks(self) -> list[slice]:
        """The frames in consecutive pieces."""
        return [
            slice(start, min(start + self.chunk_frames, self.shape[0]))
            for start in range(0, self.shape[0], self.chunk_frames)
        ]

    def write(self, start: int, frames: NDArray[np.float32]) -> None:
        """Store frames from index ``start`` on, rounded to the step and clipped to the range."""
        kind = cv2.CV_16S if self._dtype == np.int16 else cv2.CV_16U
        flat = frames.reshape(len(frames), -1)
        steps = cv2.addWeighted(flat, self.scale, flat, 0.0, 0.0, dtype=kind)  # rounds and clips in one pass
        _write_all(self._file, np.asarray(steps).data, start * self._frame_bytes)

    def read(self, frames: slice, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Read consecutive frames as (n, height, width), into an array where one is given."""
        steps, size = self.read_steps(frames), np.float32(1 / self.scale)
        values: NDArray[np.float32] = np.multiply(steps, size, out=out, dtype=np.float32)
        return values

    def read_steps(self, frames: slice) -> NDArray[np.integer]:
        """Read consecutive frames as they are stored, whole numbers of steps, (n, height, width), read-only.

        For those who copy parts of them anyway: converted part by part, they need not be converted as a whole.
        """
        count = frames.stop - frames.start
        data = os.pread(self._file, count * self._frame_bytes, frames.start * self._frame_bytes)
        return np.frombuffer(data, self._dtype).reshape(count, *self.shape[1:])

    def close(self) -> None:
        """Close the file; its folder's owner removes it."""
        os.close(self._file)


class ScratchRows:
    """Rows of float32 on disk, (rows, columns), written and read by pieces of rows."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.shape = shape
        require_space(path.parent, shape[0] * shape[1] * 4)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def write(self, row: int, start: int, values: NDArray[np.float32]) -> None:
        """Store part of a row from column ``start`` on."""
        _write_all(self._file, values.astype(np.float32).tobytes(), 4 * (row * self.shape[1] + start))

    def read(self, row: int, columns: slice | None = None) -> NDArray[np.float32]:
        """Read a row, or consecutive columns of it."""
        columns = columns or slice(0, self.shape[1])
        count = columns.stop - columns.start
        data = os.pread(self._file, 4 * count, 4 * (row * self.shape[1] + columns.start))
        return np.frombuffer(data, np.float32)

    def close(self) -> None:
        """Close the file; its folder's owner removes it."""
        os.close(self._file)


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises
    ------
    EngineError
        When the folder's disk has less than ``needed`` bytes free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EngineError(
            f"Working files in {folder}: got {free:,} bytes free, expected at least {needed:,}. "
            "Free space there or set MINISCOPE_SCRATCH_DIR to a larger disk."
        )


def ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[Item], Output], items: Iterable[Item], ahead: int
) -> Iterator[Output]:
    """Apply a function in parallel and give the outputs in order, never more than ``ahead`` items at a time.

    Order makes sums over chunks the same bit for bit whatever the number of workers.
    """
    waiting: deque[Future[Output]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _write_all(file: int, data: bytes | memoryview, offset: int) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written
