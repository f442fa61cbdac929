"""The frame clock: rows of times joined with decoded frames, by a rule that is told and never by a repair.

A strict reader refuses whatever :attr:`ClockReport.problems` lists. A reporting one goes on where a frame and its
time still belong together beyond doubt, and says what it left out.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, VideoError
from miniscope_core.io.recording import ClockReport, VideoFile

ClockPolicy = Literal["strict", "report", "interpolate"]

_COUNTER: Final = 2**16
"""The hardware counts frames in an unsigned 16-bit number."""
_BUFFER: Final = 128
"""Frames the acquisition program can hold back, so frames can come this much late and in a burst."""
_GAP: Final = 1.5
"""An interval longer than this many usual ones has room for a missing frame."""
_SHORTEST_MS: Final = 1e-3
"""No camera is faster than a million frames per second; a shorter median interval is a clock that stands still."""
_MAX_FPS: Final = 1000 / _SHORTEST_MS
_REMEDY: Final = (
    "Copy the recording again; to go on with the frames that have a time pass clock='report' (--clock report)."
)
_BACKWARD_REMEDY: Final = (
    "The clock itself was set back while it recorded, so a copy will be no better. Pass clock='interpolate' (--clock "
    "interpolate) to replace times that cannot be right, or clock='report' (--clock report) to keep them as they are."
)
_LEAST_ROOM: Final = 0.5
"""Part of a usual interval that every invented time must have to itself: with less the clock itself went back."""
_CATCH_UP: Final = 0.75
"""An interval shorter than this many usual ones makes up for a delay before it."""


@dataclass(frozen=True)
class ClockRows:
    """What a clock file says, before it is compared with the video."""

    source: str
    times_ms: NDArray[np.float64]
    """Milliseconds, as every program writes them: dividing late keeps 50 ms at 20 Hz to the last digit."""
    buffer: NDArray[np.int64] | None = None
    """Frames waiting in the acquisition buffer when the row was written."""
    hardware: NDArray[np.int64] | None = None
    """Frame number by the hardware's own 16-bit counter; -1 where it could not be read."""
    remarks: tuple[str, ...] = ()
    """How the rows were selected; told in the rule."""
    problems: tuple[str, ...] = ()
    lines: NDArray[np.int64] | None = field(default=None, repr=False)
    """Line of each row in the file."""
    frames: NDArray[np.int64] | None = None
    """Which frame each row is the time of, rising, where rows say so; else they follow each other."""
    frame_total: int | None = None
    """Frames that the rows tell of, those without a time included."""
    lost: int | None = None
    """Frames missing, where the format itself says so; else they are counted here."""
    lost_from: str = ""
    """What says so."""


@dataclass(frozen=True)
class Clock:
    """Times of the frames that have both picture and time."""

    timestamps_s: NDArray[np.float64]
    report: ClockReport
    frames: NDArray[np.int64] | None = None
    """Which frames those are; None where they are the first ones, without a gap."""


def regular_clock(
    place: Path,
    fps: float,
    frame_count: int,
    policy: ClockPolicy,
    *,
    source: str,
    rule: str,
    start_s: float = 0.0,
    nominal_fps: float | None = None,
    problems: Sequence[str] = (),
) -> Clock:
    """Make times from a rate, where the format or the caller gives nothing else.

    Parameters
    ----------
    place
        The recording's folder or file, for messages.
    fps
        Frame rate, Hz.
    frame_count
        Frames that decode.
    policy
        ``"strict"`` refuses every problem, ``"report"`` lists them and goes on.
    source, rule
        Who vouches for the rate, as the report names it.
    start_s
        Time of the first frame, s.
    nominal_fps
        Rate the acquisition program was set to, Hz.
    problems
        What is doubtful about the files.

    Raises
    ------
    ClockError
        When the rate is not a positive number.
    VideoError
        If strict, when the video has a problem.
    """
    if not (math.isfinite(fps) and 0 < fps < _MAX_FPS and math.isfinite(start_s)):
        raise ClockError(
            f"fps= of {source} for {place.name}: got {fps}, expected a positive number of frames per second."
        )
    if policy == "strict" and problems:
        raise VideoError(f"Doubtful recording at {place}: {'; '.join(problems)}. {_REMEDY}")
    interval = 1000 / fps
    report = ClockReport(
        source=source,
        rows=0,
        frames=frame_count,
        used=frame_count,
        rule=rule,
        nominal_fps=nominal_fps,
        measured_fps=fps,
        median_interval_ms=interval,
        jitter_ms=0.0,
        longest_interval_ms=interval,
        dropped=0,
        dropped_from="nothing: there are no times, only a rate",
        repeated=0,
        backward=0,
        problems=tuple(problems),
    )
    return Clock(start_s + np.arange(frame_count) / fps, report)


def given_clock(
    place: Path,
    fps: float | None,
    frame_count: int,
    policy: ClockPolicy,
    *,
    nominal_fps: float | None = None,
    unused: str | None = None,
    problems: Sequence[str] = (),
) -> Clock:
    """Make times from a rate that the caller vouches for, in place of a clock.

    Parameters
    ----------
    place, fps, frame_count, policy, nominal_fps, problems
        As for :func:`regular_clock`; no rate is refused.
    unused
        Name of the clock file that is there and is not used.

    Raises
    ------
    ClockError
        When the rate is missing or not a positive number.
    VideoError
        If strict, when the video has a problem.
    """
    if fps is None:
        hint = f"; its metadata say {nominal_fps:g} Hz: pass that if it is true" if nominal_fps else ""
        raise ClockError(
            f"Frame rate unknown at {place}: there is no frame clock, and rates in such files are not to be "
            f"trusted{hint}. Pass fps= (--fps)."
        )
    rule = "Frame i is at i / fps, with the rate the caller gave"
    if unused:
        rule += f"; {unused} is there and was not used"
    return regular_clock(
        place, fps, frame_count, policy, source="given", rule=rule, nominal_fps=nominal_fps, problems=problems
    )


def join_clock(
    folder: Path,
    rows: ClockRows,
    files: Sequence[VideoFile],
    policy: ClockPolicy,
    nominal_fps: float | None = None,
    frames_per_file: int | None = None,
    video_problems: Sequence[str] = (),
) -> Clock:
    """Join the rows of a clock with the frames that decode.

    Parameters
    ----------
    folder
        The recording folder, for messages.
    rows
        What the clock says.
    files
        The video files with their decoded frames.
    policy
        ``"strict"`` refuses every problem, ``"report"`` lists them and goes on with the frames that have a time,
        ``"interpolate"`` lists them and invents the times that are missing or cannot be right.
    nominal_fps
        Rate the acquisition program was set to, Hz.
    frames_per_file
        Frames after which the program began a new file; places the frames of a file cut short in the middle.
    video_problems
        What is doubtful about the files.

    Raises
    ------
    ClockError
        When there is no usable time; if strict, when the clock has a problem; if to be interpolated, when it went
        back for good.
    VideoError
        If strict, when only the video has one.
    """
    intervals_ms = _intervals(folder, rows)
    index, rule, mismatch = _match(rows, [file.frame_count for file in files], frames_per_file)
    if mismatch:
        mismatch += _suspects(files, frames_per_file, None if rows.frames is not None else len(rows.times_ms))
    backward = _backward(rows)
    problems = [problem for problem in (mismatch, *rows.problems, backward) if problem]
    if policy == "strict" and (problems or video_problems):
        kind = ClockError if problems else VideoError
        remedy = _BACKWARD_REMEDY if problems == [backward] and not video_problems else _REMEDY
        raise kind(
            f"{'Clock and video disagree' if mismatch else 'Doubtful recording'} at {folder}: "
            f"{'; '.join([*problems, *video_problems])}. {remedy}"
        )
    if not len(index):
        raise ClockError(
            f"{rows.source} in {folder}: got no time for any frame. To go on without it pass fps= (--fps)."
        )
    median = float(np.median(intervals_ms))
    dropped, dropped_from, restarts = _dropped(rows, intervals_ms, median)
    remarks = [rule, *rows.remarks]
    if restarts:
        remarks.append(
            f"the hardware's frame counter began anew {restarts} times, and times count the frames lost there"
        )
    frame_count = sum(file.frame_count for file in files)
    frames = rows.frames[index] if rows.frames is not None else None
    times_ms, invented = rows.times_ms[index], np.zeros(0, np.int64)
    if policy == "interpolate":
        numbers = np.arange(len(index)) if frames is None else frames
        times_ms, invented = _interpolated(folder, rows, index, numbers, frame_count, median)
        frames = None
    if len(invented):
        remarks.append(f"the times of {len(invented)} frames are invented, between those that can be trusted")
    report = ClockReport(
        source=rows.source,
        rows=len(rows.times_ms),
        frames=frame_count,
        used=len(times_ms),
        rule="; ".join(remarks),
        nominal_fps=nominal_fps,
        measured_fps=1000 / median,
        median_interval_ms=median,
        jitter_ms=float(np.median(np.abs(intervals_ms - median))),
        longest_interval_ms=float(intervals_ms.max()),
        dropped=dropped,
        dropped_from=dropped_from,
        repeated=int((intervals_ms == 0).sum()),
        backward=int((intervals_ms < 0).sum()),
        buffer_peak=int(rows.buffer.max()) if rows.buffer is not None else None,
        problems=(*problems, *video_problems),
        invented=runs(invented.tolist()),
    )
    if frames is not None and (frames == np.arange(len(frames))).all():
        frames = None
    return Clock(times_ms / 1000, report, frames)


def runs(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return rising numbers as runs, first and last."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def _interpolated(
    folder: Path,
    rows: ClockRows,
    index: NDArray[np.intp],
    numbers: NDArray[np.int64],
    frame_count: int,
    median_ms: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a time for every frame, ms, and the frames whose times are invented.

    The most rows that never go back are trusted. A frame without one gets its time on the line between the trusted ones
    before and after it, at an end at the usual interval. A gap stays a gap.
    """
    known = rows.times_ms[index]
    trusted = _most_in_order(known)
    at, times = numbers[trusted], known[trusted]
    room = np.diff(times) / np.diff(at)
    # Frames that follow each other keep what the clock says, however little that is.
    narrow = np.flatnonzero((np.diff(at) > 1) & (room < _LEAST_ROOM * median_ms))
    if narrow.size:
        first, last = trusted[narrow[0]], trusted[narrow[0] + 1]
        lines = [f"line {rows.lines[index[one]]}" if rows.lines is not None else f"row {one}" for one in (first, last)]
        raise ClockError(
            f"{rows.source} in {folder}: got {at[narrow[0] + 1] - at[narrow[0]] - 1} frames with {room[narrow[0]]:.3g} "
            f"ms for each between {lines[0]} and {lines[1]}, expected {median_ms:.3g} ms: the clock went back for "
            "good, and nothing tells by how much. Take clock='report' (--clock report), or pass fps= (--fps)."
        )
    frames = np.arange(frame_count)
    filled = np.interp(frames, at, times)
    before, after = frames < at[0], frames > at[-1]
    filled[before] = times[0] - (at[0] - frames[before]) * median_ms
    filled[after] = times[-1] + (frames[after] - at[-1]) * median_ms
    return filled, np.setdiff1d(frames, at)


def _most_in_order(times: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the places of the longest choice of values that never falls (patience sorting)."""
    if (np.diff(times) >= 0).all():
        return np.arange(len(times))
    tails: list[float] = []
    places: list[int] = []
    previous = np.full(len(times), -1)
    for place, time in enumerate(times.tolist()):
        length = bisect_right(tails, time)
        previous[place] = places[length - 1] if length else -1
        tails[length : length + 1] = [time]
        places[length : length + 1] = [place]
    chosen = [places[-1]]
    while previous[chosen[-1]] >= 0:
        chosen.append(int(previous[chosen[-1]]))
    return np.array(chosen[::-1], np.intp)


def _intervals(folder: Path, rows: ClockRows) -> NDArray[np.float64]:
    """Return the intervals between rows in ms, or refuse a clock that gives no rate."""
    if len(rows.times_ms) < 2:
        raise ClockError(
            f"{rows.source} in {folder}: got {len(rows.times_ms)} rows, expected at least 2 to give a frame rate. "
            "Is the copy complete? To go on without it pass fps= (--fps)."
        )
    intervals = np.diff(rows.times_ms)
    if np.median(intervals) < _SHORTEST_MS:
        raise ClockError(
            f"{rows.source} in {folder}: got a median interval of {np.median(intervals):g} ms, expected a positive "
            "one: the clock stood still. To go on without it pass fps= (--fps)."
        )
    return intervals


def _match(rows: ClockRows, counts: Sequence[int], frames_per_file: int | None) -> tuple[NDArray[np.intp], str, str]:
    """Return the row of each frame used, the rule, and the disagreement if there is one."""
    row_count, frame_count = len(rows.times_ms), sum(counts)
    if rows.frames is not None:
        return _match_by_number(rows, rows.frames, frame_count)
    if row_count == frame_count:
        return np.arange(frame_count), "Row i is the time of frame i", ""
    told = f"{rows.source} has {row_count} rows, {frame_count} frames decode"
    if row_count < frame_count:
        left_out = frame_count - row_count
        rule = f"Row i is the time of frame i; the last {left_out} frames have no row and are left out"
        return np.arange(row_count), rule, told
    if frames_per_file and _cut_inside(counts, row_count, frames_per_file):
        index = np.concatenate([number * frames_per_file + np.arange(count) for number, count in enumerate(counts)])
        rule = f"Frame j of the k-th file takes row {frames_per_file} k + j; rows of lost frames are left out"
        return index, rule, told
    rule = f"Row i is the time of frame i; the last {row_count - frame_count} rows are left out"
    return np.arange(frame_count), rule, told


def _match_by_number(rows: ClockRows, frames: NDArray[np.int64], frame_count: int) -> tuple[NDArray[np.intp], str, str]:
    """Match rows that name their frames; frames without a row are left out."""
    index = np.flatnonzero(frames < frame_count)
    told_of = rows.frame_total if rows.frame_total is not None else len(frames)
    rule = "Each row names its frame"
    if len(index) < frame_count:
        rule += f"; {frame_count - len(index)} frames without a time are left out"
    if told_of == frame_count:
        return index, rule, ""
    if len(index) < len(frames):
        rule += f"; the last {len(frames) - len(index)} rows are left out"
    return index, rule, f"{rows.source} tells of {told_of} frames, {frame_count} decode"


def _cut_inside(counts: Sequence[int], row_count: int, frames_per_file: int) -> bool:
    """Say whether a file before the last lost its end, and the rows show that the program itself filled it."""
    *before, last = counts
    if not before or max(before) > frames_per_file or min(before) == frames_per_file:
        return False
    return frames_per_file * len(before) + last <= row_count <= frames_per_file * len(counts)


def _suspects(files: Sequence[VideoFile], frames_per_file: int | None, row_count: int | None) -> str:
    """Name the files whose count stands out, or that nothing tells of, in the words of a message."""
    ends = [sum(file.frame_count for file in files[:count]) for count in range(1, len(files))]
    if row_count in ends:
        last, *others = files[ends.index(row_count) :]
        names = " … ".join(dict.fromkeys(file.path.name for file in (others[0], others[-1])))
        return (
            f" (the rows end with {last.path.name}: if {names} are left from an earlier recording in this folder, "
            "move them away)"
        )
    usual = frames_per_file or max(file.frame_count for file in files)
    short = [file for file in files[:-1] if file.frame_count != usual] or [files[-1]]
    named = ", ".join(f"{file.path.name} gives {file.frame_count}" for file in short[:3])
    return f" ({named}{' …' if len(short) > 3 else ''})"


def _backward(rows: ClockRows) -> str:
    back = np.flatnonzero(np.diff(rows.times_ms) < 0)
    if not back.size:
        return ""
    first = int(back[0]) + 1
    line = f"line {rows.lines[first]}" if rows.lines is not None else f"row {first}"
    before, after = rows.times_ms[first - 1 : first + 1].tolist()
    return f"{rows.source} goes back {back.size} times, first at {line} from {before:.0f} to {after:.0f} ms"


# -- dropped frames -------------------------------------------------------------------------------------
def _dropped(rows: ClockRows, intervals_ms: NDArray[np.float64], median_ms: float) -> tuple[int, str, int]:
    """Return frames dropped, what that is based on, and how often the hardware's counter began anew."""
    if rows.lost is not None:
        return rows.lost, rows.lost_from, 0
    hardware = rows.hardware
    if hardware is not None and (hardware >= 0).sum() >= 2:
        dropped, restarts = _dropped_by_counter(hardware, rows.times_ms, median_ms)
        return dropped, "hardware frame number", restarts
    return _dropped_by_gaps(intervals_ms, median_ms), "gaps in time", 0


def _dropped_by_counter(
    hardware: NDArray[np.int64], times_ms: NDArray[np.float64], median_ms: float
) -> tuple[int, int]:
    """Count the numbers the counter passed over; failed reads (-1) lie between good ones and cost nothing.

    The counter wraps at 2^16. A step that would have needed more time than passed (up to what the buffer can make
    up for) is a restart after a reconnection; how many frames went missing there only the time tells.
    """
    good = np.flatnonzero(hardware >= 0)
    steps = np.diff(hardware[good]) % _COUNTER
    taken = np.diff(good)
    passed = np.diff(times_ms[good]) / median_ms
    believed = steps <= np.maximum(passed, 0) + _BUFFER
    lost = np.where(believed, steps - taken, np.rint(passed) - taken)
    return int(np.maximum(lost, 0).sum()), int((~believed).sum())


def _dropped_by_gaps(intervals_ms: NDArray[np.float64], median_ms: float) -> int:
    """Count the frames missing in gaps, less those that came late, in a burst after the gap."""
    dropped = 0
    units = intervals_ms / median_ms
    gaps = np.flatnonzero(units > _GAP).tolist()
    for gap, following in pairwise([*gaps, len(units)]):
        stop = gap + 1
        while stop < following and units[stop] < _CATCH_UP:
            stop += 1
        dropped += max(0, round(float(units[gap:stop].sum())) - (stop - gap))
    return dropped
