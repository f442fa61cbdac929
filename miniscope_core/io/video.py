"""Numbered AVI files as one movie: counted by decoding, read from any frame on, in several threads."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.avi import FrameIndex, complete_frames, cut_short, frame_index, in_pieces, never_closed
from miniscope_core.io.decoding import LOSSY, Cursor, VideoFacts, probe
from miniscope_core.io.options import ReadOptions
from miniscope_core.io.pictures import Pictures
from miniscope_core.io.recording import VideoFile
from miniscope_core.io.stacks import MAX_PIXELS, names_in
from miniscope_core.progress import Progress, silent

_SEEK_GAIN: Final = 32
"""Frames to skip from which a seek is cheaper than decoding on: OpenCV itself starts 16 frames or more before."""
_EXCERPT_FRAMES: Final = 64
"""Frames up to which they are read through a copy: it spares the sixteen and more that a seek decodes before them."""
_OF_ONE_PROCESS: Final = ("_idle", "_lock", "_indices", "_ends")
_REMEMBERED: Final = 16
"""Ends of copies, to tell who reads on from there: for him one seek is cheaper than a copy for each piece."""
_IDLE_CURSORS: Final = 4
_RANGE_FRAMES: Final = 400
"""Frames from which a part of a file is worth a decoder of its own; a seek costs some 30."""
_WHOLE: Final = range(2**62)
_DECODE: Final = ReadOptions()


# -- counting -------------------------------------------------------------------------------------------
def count_frames(
    paths: Sequence[Path], claimed: Sequence[int], workers: int = 1, progress: Progress = silent
) -> list[int]:
    """Count the frames of each file by decoding it: several files at once, or several ranges of a file.

    Parameters
    ----------
    paths
        Video files.
    claimed
        What their containers claim; used for the progress, and to cut files into ranges.
    workers
        Files, or ranges, decoded at the same time.
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
    total = sum(claimed)
    pieces = [_ranges(path, count, workers, total) for path, count in zip(paths, claimed, strict=True)]
    tasks = [(path, one) for path, ranges in zip(paths, pieces, strict=True) for one in ranges]
    ends = iter(_decode(tasks, total, workers, progress))
    counts = [
        _joined(ranges, [next(ends) for _ in ranges], count) for ranges, count in zip(pieces, claimed, strict=True)
    ]
    # Where a range fell short, only decoding on from the beginning tells where the file ends.
    doubtful = [(path, _WHOLE) for path, count in zip(paths, counts, strict=True) if count is None]
    again = iter(_decode(doubtful, total, workers, progress)) if doubtful else iter(())
    return [next(again) if count is None else count for count in counts]


def _joined(ranges: Sequence[range], ends: Sequence[int], claimed: int) -> int | None:
    """Return the frames of a file from where its ranges ended; None where one of them did not end as it should."""
    if len(ranges) == 1:
        return ends[0]
    return claimed if list(ends) == [*(one.stop for one in ranges[:-1]), claimed] else None


def _ranges(path: Path, claimed: int, workers: int, total: int) -> list[range]:
    """Cut a file into ranges of frames to decode at the same time; one, without end, where that cannot be or not pay.

    The container's claim is only where to cut: its frames have to turn up, all of them and no more.
    """
    wanted = min(claimed // _RANGE_FRAMES, round(workers * claimed / max(1, total)))
    if wanted < 2 or not _may_cut(path, claimed):
        return [_WHOLE]
    edges = [round(claimed * number / wanted) for number in range(wanted)]
    return [*map(range, edges, edges[1:]), range(edges[-1], _WHOLE.stop)]


def _may_cut(path: Path, claimed: int) -> bool:
    if cut_short(path) or never_closed(path) or complete_frames(path) != claimed or not _finds(path, claimed):
        return False
    with Cursor(path) as cursor:
        return cursor.seekable


def _finds(path: Path, frame_count: int) -> bool:
    """Say whether a file's index leads to every frame: where an entry is damaged, a seek leads to the next frame."""
    table = frame_index(path)
    return in_pieces(path) if table is None else len(table.starts) == frame_count


def _decode(pieces: Sequence[tuple[Path, range]], total: int, workers: int, progress: Progress) -> list[int]:
    """Decode ranges of files and return at which frame each ended: its stop, or the first that does not decode."""
    total = max(1, total)
    done = [0] * len(pieces)
    stop = threading.Event()

    def decode(index: int) -> int:
        path, piece = pieces[index]
        with Cursor(path) as cursor:
            if piece.start:
                cursor.seek(piece.start)
            while cursor.position < piece.stop and not stop.is_set() and cursor.skip():
                done[index] = cursor.position - piece.start
            return cursor.position

    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(pieces)))) as pool:
        futures = [pool.submit(decode, index) for index in range(len(pieces))]
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
        self._indices: dict[int, FrameIndex | None] = {}
        self._ends: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _OF_ONE_PROCESS}

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
            if not self._read_excerpt(cursor, index, wanted, frames):
                for row, frame in enumerate(wanted):
                    cursor = self._advance(cursor, index, frame)
                    frames[row] = cursor.fetch()
        except BaseException:
            cursor.close()
            raise
        self._give_back(index, cursor)

    def _read_excerpt(self, cursor: Cursor, index: int, wanted: range, frames: NDArray[Any]) -> bool:
        """Read a few frames that lie elsewhere through a copy of them alone; False where that cannot be."""
        span = wanted[-1] + 1 - wanted.start
        away = wanted.start - cursor.position
        with self._lock:
            reads_on = (index, wanted.start) in self._ends
        if reads_on or span > _EXCERPT_FRAMES or 0 <= away <= _SEEK_GAIN or not self._may_seek(cursor, index):
            return False
        table = self._index_of(index)
        if table is None:
            return False
        try:
            with Cursor.excerpt(self._files[index].path, table, wanted.start, wanted[-1] + 1) as copy:
                for row, frame in enumerate(wanted):
                    while copy.position <= frame:
                        if not copy.skip():
                            return False
                    frames[row] = copy.fetch()
        except OSError:
            return False  # no room for the copy: a seek needs none
        with self._lock:
            self._ends.append((index, wanted[-1] + 1))
        return True

    def _index_of(self, index: int) -> FrameIndex | None:
        """Return the index of a file, where it has one and that tells of as many frames as decode."""
        if index not in self._indices:
            table = frame_index(self._files[index].path)
            whole = table is not None and len(table.starts) == self._files[index].frame_count
            self._indices[index] = table if whole else None
        return self._indices[index]

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
        if not (complete and cursor.seekable) or index in self._unseekable:
            return False
        if self._index_of(index) is None and not in_pieces(self._files[index].path):
            self._unseekable.add(index)
        return index not in self._unseekable

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
    lossy: bool = False
    """Whether the codec of a file loses something."""

    def source(self) -> VideoSource:
        """Return a source of all frames."""
        return VideoSource(self.files, self.shape, self.dtype)


def open_video(
    folder: Path,
    paths: Sequence[Path],
    options: ReadOptions = _DECODE,
    empty_last: bool = False,
) -> Video:
    """Check the files of a recording against each other and count their frames.

    Parameters
    ----------
    folder
        The recording's folder or file.
    paths
        Its video files, in order.
    options
        How frames are counted: known from before, claimed by the containers, or by decoding with some workers.
    empty_last
        Whether the last file may hold no frame (Miniscope-DAQ V3 opens the next file ahead).

    Raises
    ------
    VideoError
        When a file is missing, empty, unreadable, or of another size or type than the first.
    """
    known = dict(options.frame_counts or {})
    names = names_in(folder, paths)
    for name in known.keys() - set(names):
        raise VideoError(f"Video {name} missing in {folder}: it was there before. Is the copy complete?")
    facts = [probe(path) for path in paths]
    _refuse_differences(paths, facts)
    counts = _counts(paths, names, facts, options)
    cuts = {path: problem for path in paths if (problem := cut_short(path))}
    # Some decoders make a frame of the beginning of one.
    counts = [
        min(count, complete_frames(path)) if path in cuts else count for path, count in zip(paths, counts, strict=True)
    ]
    unclosed = [f"{path.name} was never closed by the acquisition program" for path in paths if never_closed(path)]
    for position, (path, count) in enumerate(zip(paths, counts, strict=True)):
        if count == 0 and not (empty_last and position == len(paths) - 1 and position > 0):
            raise VideoError(f"Video {path} holds no frame that decodes. Copy it again from the acquisition computer.")
    return Video(
        files=tuple(VideoFile(path=path, frame_count=count) for path, count in zip(paths, counts, strict=True)),
        shape=facts[0].shape,
        dtype=facts[0].dtype,
        problems=tuple(cuts.values()),
        warnings=(*unclosed, *_quality(facts)),
        lossy=any(one.codec in LOSSY for one in facts),
    )


def _refuse_differences(paths: Sequence[Path], facts: Sequence[VideoFacts]) -> None:
    first = facts[0]
    if min(first.shape) < 1 or first.shape[0] * first.shape[1] > MAX_PIXELS:
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
    options: ReadOptions,
) -> list[int]:
    known = options.frame_counts or {}
    counts = [known.get(name, one.claimed) for name, one in zip(names, facts, strict=True)]
    # An acquisition program that ended before it closed a file leaves a claim of none.
    trusted = [options.trust_containers and one.claimed > 0 for one in facts]
    unknown = [index for index, name in enumerate(names) if name not in known and not trusted[index]]
    if unknown:
        claimed = [counts[index] for index in unknown]
        decoded = count_frames([paths[index] for index in unknown], claimed, options.workers, options.progress)
        for index, count in zip(unknown, decoded, strict=True):
            counts[index] = count
    return counts


def _quality(facts: Sequence[VideoFacts]) -> list[str]:
    warnings = []
    if lossy := sorted({one.codec for one in facts} & LOSSY):
        warnings.append(f"The video is compressed with loss ({', '.join(lossy)}): weak signals may have suffered")
    if any(one.coloured for one in facts):
        warnings.append("The video holds colour: its luminance (BT.601) is used")
    return warnings


def open_videos(place: Path, paths: Sequence[Path], options: ReadOptions) -> Pictures:
    """Open video files that are one movie, where nothing but their containers tells how many frames there were.

    Raises
    ------
    VideoError
        As :func:`open_video`.
    """
    video = open_video(place, paths, options)
    warnings = list(video.warnings)
    for file in video.files:
        claimed = probe(file.path).claimed
        if claimed > file.frame_count:
            warnings.append(f"{file.path.name} claims {claimed} frames, {file.frame_count} decode")
    return Pictures(video.files, video.shape, video.dtype, video.source(), video.problems, tuple(warnings))
