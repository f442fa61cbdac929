"""Movies whose frames lie in files as plain arrays: read by place, exactly, without holding more than was asked for.

A part is one file; :class:`StackSource` joins them. Parts keep no position, so threads need no lock of ours.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.recording import FrameSource

MAX_PIXELS: Final = 2**26
"""Largest frame, px: 8192×8192, far above any miniscope; more is a damaged or hostile header."""
MAX_FRAMES: Final = 2**24
"""Nine days at 20 Hz; more is a damaged or hostile header."""
FRAME_TYPES: Final = (np.dtype(np.uint8), np.dtype(np.uint16))
"""What a camera gives; anything else was computed."""


class Part(Protocol):
    """Frames of one file; must be safe to share between threads and to pickle."""

    @property
    def frame_count(self) -> int:
        """Number of frames."""

    def read(self, wanted: range, frames: NDArray[Any]) -> None:
        """Fill ``frames`` with the frames of ``wanted``."""


class StackSource:
    """Frames of several parts in a row; safe to share between threads, and to pickle.

    Parameters
    ----------
    parts
        In order.
    shape
        Height and width, px.
    dtype
        Type of a pixel.
    """

    def __init__(self, parts: Sequence[Part], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._parts = tuple(parts)
        self._shape = shape
        self._dtype = dtype
        self._starts = [0]
        for part in parts:
            self._starts.append(self._starts[-1] + part.frame_count)

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Read frames ``start, start + step, … < stop`` as (n, height, width).

        Raises
        ------
        VideoError
            When a file is not what it was when it was opened.
        """
        wanted = range(start, stop, step)
        frames = np.empty((len(wanted), *self._shape), self._dtype)
        for part, (begin, end) in zip(self._parts, pairwise(self._starts), strict=True):
            first, last = (max(0, min(len(wanted), -(-(edge - start) // step))) for edge in (begin, end))
            if first < last:
                local = range(wanted[first] - begin, wanted[last - 1] - begin + 1, step)
                part.read(local, frames[first:last])
        return frames


@dataclass(frozen=True)
class RawPart:
    """Frames that lie uncompressed in a file, each at a place of its own."""

    path: Path
    places: NDArray[np.int64]
    """Byte at which each frame begins."""
    dtype: np.dtype[Any]
    """With its byte order."""

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.places)

    def read(self, wanted: range, frames: NDArray[Any]) -> None:
        """Read frames; those that follow each other in the file at once."""
        places = self.places[wanted.start : wanted.stop : wanted.step]
        breaks = (np.flatnonzero(np.diff(places) != frames[0].nbytes) + 1).tolist()
        try:
            with self.path.open("rb", buffering=0) as stream:
                for first, last in pairwise([0, *breaks, len(places)]):
                    stream.seek(int(places[first]))
                    view = frames[first:last].data.cast("B")
                    done = 0
                    while done < len(view) and (count := stream.readinto(view[done:])):
                        done += count
                    if done < len(view):
                        frame = wanted[first] + done // frames[0].nbytes
                        raise VideoError(
                            f"Frame {frame} of {self.path}: got the end of the file, expected {frames[0].nbytes:,} "
                            "bytes: the file changed. Copy it again, then open the recording anew."
                        )
        except OSError as error:
            raise VideoError(f"Video {self.path} cannot be read: {error.strerror}. Is the copy complete?") from error
        if not self.dtype.isnative:
            frames.byteswap(inplace=True)


@dataclass(frozen=True)
class PickedSource:
    """Some frames of a source: those that have a time."""

    source: FrameSource
    frames: NDArray[np.int64]
    """Rising."""

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Read frames by their number among those picked."""
        wanted = self.frames[start:stop:step]
        breaks = (np.flatnonzero(np.diff(wanted) != 1) + 1).tolist()
        runs = [wanted[first:last] for first, last in pairwise([0, *breaks, len(wanted)])]
        parts = [self.source.read(int(run[0]), int(run[-1]) + 1, 1) for run in runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def picked(source: FrameSource, frames: NDArray[np.int64] | None) -> FrameSource:
    """Return a source of the frames that a clock has times for."""
    return source if frames is None else PickedSource(source, frames)


def check_frames(path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the native type of a movie's pixels, or refuse a size or a type that no camera has.

    Raises
    ------
    VideoError
        With what was found and what is read.
    """
    if min(shape) < 1 or shape[0] * shape[1] > MAX_PIXELS:
        raise VideoError(
            f"Frames of {path}: got {shape[1]}×{shape[0]} px, expected 1 to {MAX_PIXELS:,} px. Is the file damaged?"
        )
    native = np.dtype(dtype).newbyteorder("=")
    if native not in FRAME_TYPES:
        raise VideoError(
            f"Pixels of {path}: got {native.name}, expected uint8 or uint16, as cameras give them. "
            "Pass the raw movie, or export this one in 16 bit without a sign."
        )
    return native


def known_counts(place: Path, paths: Sequence[Path], counts: Sequence[int], known: Mapping[str, int] | None) -> None:
    """Compare the frames of files with what an earlier reading found.

    Raises
    ------
    VideoError
        When a file is gone or holds another number of frames.
    """
    known = known or {}
    names = names_in(place, paths)
    for name in known.keys() - set(names):
        raise VideoError(f"Video {name} missing in {place}: it was there before. Is the copy complete?")
    for name, path, count in zip(names, paths, counts, strict=True):
        if known.get(name, count) != count:
            raise VideoError(
                f"Video {path} is not what it was: got {count} frames, expected {known[name]}. Copy it again."
            )


def names_in(place: Path, paths: Sequence[Path]) -> list[str]:
    """Return files' paths from a recording's folder or file, with forward slashes."""
    return [Path(os.path.relpath(path, place)).as_posix() for path in paths]
