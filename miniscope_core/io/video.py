"""Numbered AVI files as one exact gray movie: counted by decoding, read from any frame on.

What the container says is believed only where decoding confirmed it. Three things that were measured with
OpenCV 4.10, 4.13 and 5.0 (FFmpeg backend) decide how this module works:

* Unconverted retrieval (``CAP_PROP_CONVERT_RGB`` 0) is exact for 8 and 16 bit gray and spares a conversion; for
  every other pixel format it returns planes or wrong values, so those are converted to BGR first.
* ``cv2.cvtColor`` to gray returns v for a pixel (v, v, v), so gray video stored as colour (the DIB files of
  Miniscope-DAQ V3) stays exact.
* ``CAP_PROP_POS_MSEC`` after a frame tells which packet it came from (except with codecs that reorder frames), so
  a lost frame and a wrong seek show.
"""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.recording import VideoFile
from miniscope_core.progress import Progress, silent

_GRAY8: Final = b"Y800"
_GRAY16: Final = b"Y1\x00\x10"
"""Codec tags FFmpeg gives the pixel formats gray and gray16le."""

_RAW: Final = "raw"
_INTRA: Final = frozenset({_RAW, "FFV1", "MJPG"})
"""Codecs in which every frame tells its place in the file, and key frames are close enough for a seek."""
_LOSSY: Final = frozenset({"MJPG", "FMP4", "XVID", "DX50", "H264", "AVC1", "MJP2", "MP4V"})

_SEEK_GAIN: Final = 32
"""Frames to skip from which a seek is cheaper than decoding on: OpenCV itself starts 16 frames or more before."""
_IDLE_CURSORS: Final = 4
_UNFINISHED: Final = (0, 0xFFFFFFFF)
"""What a writer puts where the size of a RIFF belongs until it closes the file."""


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that orders ``2.avi`` before ``10.avi``."""
    return tuple((int(part), "") if part.isdigit() else (-1, part.casefold()) for part in re.split(r"([0-9]+)", name))


# -- one file -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class VideoFacts:
    """What opening a file tells before any frame but the first is decoded."""

    shape: tuple[int, int]
    """Height and width, px."""
    dtype: np.dtype[Any]
    codec: str
    claimed: int
    """Frames by the container's own count; not to be trusted."""
    container_fps: float
    coloured: bool
    """True when the channels of the first frame differ."""


class Cursor:
    """One open video file and the place in it; used by one thread at a time.

    Frames are gray and exact. A colour picture becomes its luminance (ITU-R BT.601, as OpenCV computes it): the one
    rule under which gray video in a colour container stays as it is. :attr:`VideoFacts.coloured` tells true colour.

    Parameters
    ----------
    path
        An AVI file.

    Raises
    ------
    VideoError
        When the file cannot be opened as video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self._capture = _open(path)
        tag = _tag(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
        if tag[:2] == _GRAY16[:2] and tag != _GRAY16:
            self.close()
            raise VideoError(f"Pixel format of {path}: got {tag!r}, expected 8 bit, or 16 bit little-endian gray.")
        self._unconverted = tag in (_GRAY8, _GRAY16)
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if tag == _GRAY16 else np.uint8)
        if self._unconverted:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self.shape = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        self.codec = _codec(self._capture.get(cv2.CAP_PROP_FOURCC))
        self.claimed = max(0, int(min(self._capture.get(cv2.CAP_PROP_FRAME_COUNT), 2**31)))
        self.container_fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._first_packet: int | None = None

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def skip(self) -> bool:
        """Decode the next frame without fetching it; False at the end, or where a frame does not decode."""
        if not self._capture.grab():
            return False
        if self.codec in _INTRA:  # of others the last frames come without a place
            packet = self._packet()
            if self._first_packet is None:
                self._first_packet = packet - self.position
            if packet - self._first_packet != self.position:
                return False  # the decoder dropped a damaged frame and went on: what follows has lost its number
        self.position += 1
        return True

    def seek(self, index: int) -> None:
        """Go to a frame by the container's index; the next :meth:`skip` is False if that led somewhere else."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        self.position = index
        self._first_packet = 0

    def fetch(self) -> NDArray[Any]:
        """Return the frame that was decoded last, (height, width)."""
        ok, picture = self._capture.retrieve()
        if not ok or picture is None:
            raise VideoError(f"Frame {self.position - 1} of {self.path} decodes but cannot be fetched.")
        if picture.ndim == 3 and not self._unconverted:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        if picture.shape != self.shape or picture.dtype != self.dtype:
            raise VideoError(
                f"Frame {self.position - 1} of {self.path}: got {picture.dtype} {picture.shape}, "
                f"expected {self.dtype} {self.shape}. The size changes within the file."
            )
        return np.asarray(picture)

    def facts(self) -> VideoFacts:
        """Decode the first frame, if there is one, and tell what the file is."""
        coloured = False
        if not self._unconverted and self.skip():
            ok, picture = self._capture.retrieve()
            coloured = bool(ok and picture.ndim == 3 and (picture != picture[..., :1]).any())
        return VideoFacts(self.shape, self.dtype, self.codec, self.claimed, self.container_fps, coloured)

    def _packet(self) -> int:
        return round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * self.container_fps / 1000)


def probe(path: Path) -> VideoFacts:
    """Open a video file and tell what it is.

    Raises
    ------
    VideoError
        When the file is empty, no AVI, or cannot be opened.
    """
    with Cursor(path) as cursor:
        return cursor.facts()


def container_problem(path: Path) -> str | None:
    """Say whether an AVI holds fewer bytes than its headers announce.

    The RIFF chunks at the top level are walked; files above 1 GB have several. A file whose last byte is missing
    can still decode to its full number of frames, the last of them damaged.

    Returns
    -------
    str or None
        What is wrong, without the remedy.
    """
    size = path.stat().st_size
    end = 0
    with path.open("rb") as stream:
        while end + 8 <= size:
            stream.seek(end)
            header = stream.read(8)
            length = int.from_bytes(header[4:], "little")
            if header[:4] != b"RIFF":
                return None
            if length in _UNFINISHED:
                return f"{path.name} was never closed by the acquisition program"
            end += 8 + length
    if end > size:
        return f"{path.name} is cut short: its header announces {end:,} bytes, {size:,} are there"
    return None


def _open(path: Path) -> cv2.VideoCapture:
    try:
        with path.open("rb") as stream:
            magic = stream.read(12)
    except OSError as error:
        raise VideoError(f"Video {path} cannot be read: {error.strerror}. Is the copy complete?") from error
    if not magic:
        raise VideoError(f"Video {path} is empty (0 bytes). Copy it again from the acquisition computer.")
    if magic[:4] != b"RIFF" or magic[8:] != b"AVI ":
        raise VideoError(f"Video {path} is no AVI file: it begins with {magic[:12]!r}, expected b'RIFF....AVI '.")
    _silence_ffmpeg()
    # One decoding thread: files are decoded in parallel instead, which costs less processor time in all.
    capture = _quietly(path, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise VideoError(f"Video {path} cannot be opened: its headers are damaged, or OpenCV lacks its codec.")
    return capture


_open_lock = threading.Lock()


def _quietly(path: Path, options: list[int]) -> cv2.VideoCapture:
    """Open a video without OpenCV's own remark on standard error: a failure is told as our error."""
    # OpenCV 4.10 has the function at its top, later versions have moved it.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    with _open_lock:
        level = set_level(0)
        try:
            return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, options)
        finally:
            set_level(level)


def _silence_ffmpeg() -> None:
    """Tell FFmpeg inside OpenCV to be quiet about damaged frames, unless the user wants to hear it.

    OpenCV reads the variable when the first video is opened; -8 is FFmpeg's AV_LOG_QUIET.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _tag(value: float) -> bytes:
    return (int(value) & 0xFFFFFFFF).to_bytes(4, "little")


def _codec(value: float) -> str:
    tag = _tag(value).rstrip(b"\0 ")
    return tag.decode("latin-1").upper() if tag not in (b"", b"DIB") else _RAW


# -- counting -------------------------------------------------------------------------------------------
def count_frames(
    paths: Sequence[Path], claimed: Sequence[int], workers: int = 1, progress: Progress = silent
) -> list[int]:
    """Count the frames of each file by decoding it, several files at once.

    Parameters
    ----------
    paths
        Video files.
    claimed
        What their containers claim; used for nothing but the progress.
    workers
        Files decoded at the same time.
    progress
        Told ``"decoding"`` in frames.

    Returns
    -------
    list of int
        Frames up to the first that does not decode, per file.

    Raises
    ------
    VideoError
        When a file cannot be opened.
    """
    total = max(1, sum(claimed))
    done = [0] * len(paths)
    stop = threading.Event()

    def count(index: int) -> int:
        with Cursor(paths[index]) as cursor:
            while not stop.is_set() and cursor.skip():
                done[index] = cursor.position
            return cursor.position

    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(paths)))) as pool:
        futures = [pool.submit(count, index) for index in range(len(paths))]
        try:
            running = set(futures)
            while running:
                finished, running = wait(running, timeout=0.2, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()  # a broken file ends the counting at once
                if running:
                    progress("decoding", min(sum(done), total - 1), total)
        finally:
            stop.set()
    progress("decoding", total, total)
    return [future.result() for future in futures]


# -- many files as one movie ----------------------------------------------------------------------------
class VideoSource:
    """Frames of several files in a row, decoded on demand; safe to share between threads, and to pickle.

    Some open files are kept between reads, so that reading on costs no second decoding, and several threads can
    decode at once. Going back or far ahead is a seek where the codec allows it and the file proved complete, and
    decoding from the beginning of the file otherwise.

    Parameters
    ----------
    files
        In order, with the number of frames that decode.
    shape
        Height and width, px.
    dtype
        Type of a pixel.
    """

    def __init__(self, files: Sequence[VideoFile], shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._files = tuple(files)
        self._shape = shape
        self._dtype = dtype
        self._starts = np.concatenate([[0], np.cumsum([file.frame_count for file in files])]).tolist()
        self._reset()

    def _reset(self) -> None:
        self._idle: list[tuple[int, Cursor]] = []
        self._unseekable: set[int] = set()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_idle", "_lock")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._reset()

    def close(self) -> None:
        """Close the files that are open between reads; the next read opens what it needs."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, cursor in idle:
            cursor.close()

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Decode frames ``start, start + step, … < stop``.

        Returns
        -------
        ndarray
            (n, height, width), gray.

        Raises
        ------
        VideoError
            When a file gives fewer frames than it did when it was counted.
        """
        wanted = range(start, stop, step)
        frames = np.empty((len(wanted), *self._shape), self._dtype)
        for index, first, last in self._parts(wanted):
            offset = self._starts[index]
            local = range(wanted[first] - offset, wanted[last - 1] - offset + 1, step)
            self._read_file(index, local, frames[first:last])
        return frames

    def _parts(self, wanted: range) -> Iterator[tuple[int, int, int]]:
        """Cut a range into one piece per file: file index, first and last position within the range."""
        for index, (start, stop) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            first, last = (max(0, min(len(wanted), -(-(edge - wanted.start) // wanted.step))) for edge in (start, stop))
            if first < last:
                yield index, first, last

    def _read_file(self, index: int, wanted: range, frames: NDArray[Any]) -> None:
        cursor = self._take(index, wanted.start)
        try:
            for row, frame in enumerate(wanted):
                cursor = self._advance(cursor, index, frame)
                frames[row] = cursor.fetch()
        except BaseException:
            cursor.close()
            raise
        self._give_back(index, cursor)

    def _advance(self, cursor: Cursor, index: int, frame: int) -> Cursor:
        """Decode up to and including a frame; returns the cursor to go on with."""
        file = self._files[index]
        ahead = frame - cursor.position
        if (ahead > _SEEK_GAIN or (ahead < 0 and frame > _SEEK_GAIN)) and self._may_seek(cursor, index):
            cursor.seek(frame)
            if cursor.skip():
                return cursor
            self._unseekable.add(index)
            ahead = -1
        if ahead < 0:
            cursor.close()
            cursor = Cursor(file.path)
        while cursor.position <= frame:
            if not cursor.skip():
                raise VideoError(
                    f"Video {file.path} changed or cannot be read: got {cursor.position} frames, "
                    f"expected {file.frame_count}. Copy it again, then open the recording anew."
                )
        return cursor

    def _may_seek(self, cursor: Cursor, index: int) -> bool:
        # Only where every packet gave a frame does the container's numbering agree with ours.
        complete = cursor.claimed == self._files[index].frame_count
        return complete and cursor.codec in _INTRA and index not in self._unseekable

    def _take(self, index: int, frame: int) -> Cursor:
        """Return the idle cursor of a file that is nearest before a frame, or a new one."""
        with self._lock:
            mine = [item for item in self._idle if item[0] == index]
            if mine:
                before = [item for item in mine if item[1].position <= frame]
                best = max(before or mine, key=lambda item: item[1].position)
                self._idle.remove(best)
                return best[1]
        return Cursor(self._files[index].path)

    def _give_back(self, index: int, cursor: Cursor) -> None:
        if cursor.position >= self._files[index].frame_count:
            cursor.close()  # read to its end: the next pass begins anew
            return
        with self._lock:
            self._idle.append((index, cursor))
            surplus = [self._idle.pop(0)] if len(self._idle) > _IDLE_CURSORS else []
        for _, old in surplus:
            old.close()


@dataclass(frozen=True)
class Video:
    """The video of a recording: its files, what they have in common, and what is odd about them."""

    files: tuple[VideoFile, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    problems: tuple[str, ...]
    """What makes the last frame of a file doubtful."""
    warnings: tuple[str, ...]

    def source(self) -> VideoSource:
        """Return a source of all frames."""
        return VideoSource(self.files, self.shape, self.dtype)


def open_video(
    folder: Path,
    paths: Sequence[Path],
    known_counts: Mapping[str, int] | None = None,
    workers: int = 1,
    progress: Progress = silent,
    empty_last: bool = False,
) -> Video:
    """Check the files of a recording against each other and count their frames.

    Parameters
    ----------
    folder
        The recording folder.
    paths
        Its video files, in order.
    known_counts
        Frames per file, by path relative to the folder, where they were counted before; spares the decoding.
    workers
        Files decoded at the same time.
    progress
        Told ``"decoding"`` in frames.
    empty_last
        Whether the last file may hold no frame (Miniscope-DAQ V3 opens the next file ahead).

    Raises
    ------
    VideoError
        When a file is missing, empty, unreadable, or of another size or type than the first.
    """
    known = dict(known_counts or {})
    names = [path.relative_to(folder).as_posix() for path in paths]
    for name in known.keys() - set(names):
        raise VideoError(f"Video {name} missing in {folder}: it was there before. Is the copy complete?")
    facts = [probe(path) for path in paths]
    _refuse_differences(paths, facts)
    counts = _counts(paths, names, facts, known, workers, progress)
    for position, (path, count) in enumerate(zip(paths, counts, strict=True)):
        if count == 0 and not (empty_last and position == len(paths) - 1 and position > 0):
            raise VideoError(f"Video {path} holds no frame that decodes. Copy it again from the acquisition computer.")
    remarks = [remark for path in paths if (remark := container_problem(path))]
    problems = [remark for remark in remarks if "cut short" in remark]
    return Video(
        files=tuple(VideoFile(path=path, frame_count=count) for path, count in zip(paths, counts, strict=True)),
        shape=facts[0].shape,
        dtype=facts[0].dtype,
        problems=tuple(problems),
        warnings=tuple([remark for remark in remarks if remark not in problems] + _quality(facts)),
    )


def _refuse_differences(paths: Sequence[Path], facts: Sequence[VideoFacts]) -> None:
    first = facts[0]
    if min(first.shape) < 1:
        raise VideoError(f"Video {paths[0]}: got a size of {first.shape}. Its headers are damaged.")
    for path, one in zip(paths, facts, strict=True):
        if (one.shape, one.dtype) != (first.shape, first.dtype):
            raise VideoError(
                f"Video {path} is of another recording: got {_size(one)}, expected {_size(first)} as in "
                f"{paths[0].name}. Move it out of the folder."
            )


def _size(facts: VideoFacts) -> str:
    return f"{facts.shape[1]}×{facts.shape[0]} px {facts.dtype}"


def _counts(
    paths: Sequence[Path],
    names: Sequence[str],
    facts: Sequence[VideoFacts],
    known: Mapping[str, int],
    workers: int,
    progress: Progress,
) -> list[int]:
    unknown = [index for index, name in enumerate(names) if name not in known]
    counts = [known.get(name, 0) for name in names]
    if unknown:
        claimed = [facts[index].claimed for index in unknown]
        decoded = count_frames([paths[index] for index in unknown], claimed, workers, progress)
        for index, count in zip(unknown, decoded, strict=True):
            counts[index] = count
    return counts


def _quality(facts: Sequence[VideoFacts]) -> list[str]:
    warnings = []
    if lossy := sorted({one.codec for one in facts} & _LOSSY):
        warnings.append(f"The video is compressed with loss ({', '.join(lossy)}): weak signals may have suffered")
    if any(one.coloured for one in facts):
        warnings.append("The video holds colour: its luminance (BT.601) is used")
    return warnings
