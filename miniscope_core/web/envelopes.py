"""Envelopes: the least and greatest value of every bin of a trace, so that a screen shows every peak of any length.

A screen has some thousand columns, a recording hundreds of thousands of frames. What is sent for a window is one exact
minimum and maximum per bin of frames. Fine bins of the whole result are computed once, in the background, and kept in
bounded memory; coarser bins are put together of them, and windows so narrow that bins would be finer are read from the
store, chunk by chunk, with the chunks kept while they are of use.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.result import ProcessingResult

COURSES: Final = ("fluorescence", "traces", "residual", "activity")
"""What is drawn of a unit; the residual is the fluorescence less the denoised trace."""
STORED: Final = ("fluorescence", "traces", "activity")
_FINEST: Final = 32
"""Frames in the finest bin that is kept."""
_KEPT_BYTES: Final = 160 * 2**20
"""Of the kept bins of one result."""
_BLOCK_BYTES: Final = 96 * 2**20
"""Of the chunks of one result that are kept after they were read."""
_MEAN_STEP_S: Final = 0.4
"""Traces are correlated in steps of about this length, below the decay of any indicator; in longer ones where a result
is so large that its means would not fit."""
_MEAN_ENTRIES: Final = 2**23
_PAGE_BYTES: Final = 16 * 2**20


def envelope(values: NDArray[Any], step: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the minimum and the maximum of every ``step`` values along the last axis; the last bin may be shorter."""
    starts = np.arange(0, values.shape[-1], step)
    return np.minimum.reduceat(values, starts, axis=-1), np.maximum.reduceat(values, starts, axis=-1)


def coarser(low: NDArray[Any], high: NDArray[Any], factor: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Put every ``factor`` bins together; exact, for the minimum of minima is the minimum."""
    starts = np.arange(0, low.shape[-1], factor)
    return np.minimum.reduceat(low, starts, axis=-1), np.maximum.reduceat(high, starts, axis=-1)


def bin_means(values: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Return the mean of every ``step`` values along the last axis; the last bin may be shorter."""
    starts = np.arange(0, values.shape[-1], step)
    counts = np.diff([*starts, values.shape[-1]])
    return np.asarray(np.add.reduceat(values, starts, axis=-1, dtype=np.float64) / counts, np.float32)


@dataclass(frozen=True)
class Window:
    """Envelopes of one unit's courses between two frames."""

    start: int
    """First frame; a multiple of ``step``."""
    stop: int
    """Frame after the last."""
    step: int
    """Frames in a bin."""
    low: dict[str, NDArray[np.float32]]
    """(bin,), minimum by course."""
    high: dict[str, NDArray[np.float32]]
    """(bin,), maximum by course."""


def plan_window(begin: int, end: int, columns: int, frame_count: int) -> tuple[int, int, int]:
    """Return (start, stop, step) of the bins that show the frames ``begin`` to ``end`` in at most so many columns.

    Steps are powers of two and bins begin at multiples of them, so that what is seen does not flicker while a person
    moves the window.
    """
    begin = min(max(0, begin), frame_count - 1)
    end = min(max(begin + 1, end), frame_count)
    step = 1
    while (end - begin) > step * columns:
        step *= 2
    return begin // step * step, min(-(-end // step) * step, frame_count), step


class Moments:
    """Variance and skewness of rows that come in slabs of frames; sums about a value near the mean lose nothing."""

    def __init__(self, rows: int) -> None:
        self._about: NDArray[np.float64] | None = None
        self._sums = np.zeros((3, rows))
        self._count = 0

    def add(self, slab: NDArray[Any]) -> None:
        """Add (row, frame) values."""
        if self._about is None:
            self._about = slab.mean(axis=1, dtype=np.float64)
        apart = slab - self._about[:, None]
        power = apart.copy()
        for degree in range(3):
            self._sums[degree] += power.sum(axis=1)
            power *= apart
        self._count += slab.shape[1]

    def skewness(self) -> NDArray[np.float64]:
        """Return the skewness of each row; NaN where a row is constant."""
        first, second, third = self._sums / max(1, self._count)
        variance = second - first**2
        skewness = np.full(len(first), np.nan)
        varies = variance > 0
        third_moment = third - 3 * first * second + 2 * first**3
        skewness[varies] = third_moment[varies] / variance[varies] ** 1.5
        return skewness


class Courses:
    """The courses of a result's own units: kept bins, means and skewness of all, and chunks read of late.

    Parameters
    ----------
    result
        A published result.
    """

    def __init__(self, result: ProcessingResult) -> None:
        self._result = result
        units, frames = result.unit_count, result.frame_count
        self.step = _FINEST
        while units * -(-frames // self.step) * 8 * len(COURSES) > _KEPT_BYTES and self.step < frames:
            self.step *= 2
        self.mean_step = 1
        while self.mean_step * 2 <= _MEAN_STEP_S * result.fps or units * -(-frames // self.mean_step) > _MEAN_ENTRIES:
            self.mean_step *= 2
        bins = -(-frames // self.step)
        self._low = {name: np.zeros((units, bins), np.float32) for name in COURSES}
        self._high = {name: np.zeros((units, bins), np.float32) for name in COURSES}
        self.means = np.zeros((units, -(-frames // self.mean_step)), np.float32)
        """(unit, step), of the denoised traces, each of mean 0 and length 1 so that products are correlations."""
        self.skewness = np.full(units, np.nan)
        """(unit,), of the fluorescence."""
        self._chunk = tuple(int(n) for n in result.array("fluorescence").chunks)
        self._filled = np.zeros(-(-units // self._chunk[0]) if units else 0, bool)
        self._wanted = 0
        self._blocks: OrderedDict[tuple[str, int, int], NDArray[np.float32]] = OrderedDict()
        self._block_bytes = 0
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether the bins of all units are there."""
        return bool(self._filled.all())

    @property
    def filled_units(self) -> int:
        """Units whose bins are there."""
        return min(int(self._filled.sum()) * self._chunk[0], self._result.unit_count)

    def is_filled(self, unit: int) -> bool:
        """Whether the bins of a unit are there."""
        return bool(self._filled[unit // self._chunk[0]])

    def fill_next(self) -> bool:
        """Compute the bins of the next units that have none; return False when there are none left."""
        left = np.flatnonzero(~self._filled)
        if not len(left):
            return False
        # Where a person is looking comes first.
        group = int(left[0]) if self._filled[self._wanted] else self._wanted
        units = slice(group * self._chunk[0], min((group + 1) * self._chunk[0], self._result.unit_count))
        rows = units.stop - units.start
        moments = Moments(rows)
        # A multiple of every step, so that no bin is cut by a slab's end.
        slab = max(self.step, self.mean_step, self._chunk[1])
        slab *= max(1, _PAGE_BYTES // (4 * rows * slab))
        for start in range(0, self._result.frame_count, slab):
            stop = min(start + slab, self._result.frame_count)
            values = {name: np.asarray(self._result.array(name)[units, start:stop]) for name in STORED}
            values["residual"] = values["fluorescence"] - values["traces"]
            for name in COURSES:
                into = slice(start // self.step, -(-stop // self.step))
                low, high = envelope(values[name], self.step)
                self._low[name][units, into], self._high[name][units, into] = low, high
            means = slice(start // self.mean_step, -(-stop // self.mean_step))
            self.means[units, means] = bin_means(values["traces"], self.mean_step)
            moments.add(values["fluorescence"])
        self.means[units] = standardised(self.means[units])
        self.skewness[units] = moments.skewness()
        self._filled[group] = True
        return True

    def window(self, unit: int, begin: int, end: int, columns: int) -> Window:
        """Return the envelopes of one unit between two frames, in at most so many columns (and one more)."""
        start, stop, step = plan_window(begin, end, columns, self._result.frame_count)
        self._wanted = unit // self._chunk[0]
        if step >= self.step and self.is_filled(unit):
            bins = slice(start // self.step, -(-stop // self.step))
            both = {
                name: coarser(self._low[name][unit, bins], self._high[name][unit, bins], step // self.step)
                for name in COURSES
            }
        elif stop - start > 8 * self._chunk[1]:
            # Of so long a window one row is decoded at half the cost of its neighbours too.
            both = _both({name: np.asarray(self._result.array(name)[unit, start:stop]) for name in STORED}, step)
        else:
            both = _both({name: self._read(name, unit, start, stop) for name in STORED}, step)
        low, high = ({name: pair[side] for name, pair in both.items()} for side in (0, 1))
        return Window(start, stop, step, low, high)

    def _read(self, name: str, unit: int, start: int, stop: int) -> NDArray[np.float32]:
        """Read a row between two frames by whole chunks, which hold its neighbours too and are kept."""
        rows, frames = self._chunk
        parts = []
        for block in range(start // frames, -(-stop // frames)):
            values = self._block(name, unit // rows, block)[unit % rows]
            parts.append(values[max(0, start - block * frames) : stop - block * frames])
        return np.concatenate(parts)

    def _block(self, name: str, group: int, block: int) -> NDArray[np.float32]:
        key = (name, group, block)
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
        rows, frames = self._chunk
        array = self._result.array(name)
        values = np.asarray(array[group * rows : (group + 1) * rows, block * frames : (block + 1) * frames])
        with self._lock:
            if key not in self._blocks:
                self._blocks[key] = values
                self._block_bytes += values.nbytes
            while self._block_bytes > _BLOCK_BYTES and len(self._blocks) > 1:
                _, oldest = self._blocks.popitem(last=False)
                self._block_bytes -= oldest.nbytes
        return values


def window_of(stored: dict[str, NDArray[np.float32]], begin: int, end: int, columns: int) -> Window:
    """Return the envelopes of courses that are in memory whole, as those of a merged unit are."""
    start, stop, step = plan_window(begin, end, columns, len(stored["traces"]))
    both = _both({name: values[start:stop] for name, values in stored.items()}, step)
    low, high = ({name: pair[side] for name, pair in both.items()} for side in (0, 1))
    return Window(start, stop, step, low, high)


def standardised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of mean 0 and length 1: their products are correlations; a constant row is 0."""
    apart = rows - rows.mean(axis=-1, keepdims=True, dtype=np.float64)
    length = np.sqrt((apart**2).sum(axis=-1, keepdims=True))
    return np.asarray(np.divide(apart, length, out=np.zeros_like(apart), where=length > 0), np.float32)


def _both(
    stored: dict[str, NDArray[np.float32]], step: int
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    values = stored | {"residual": stored["fluorescence"] - stored["traces"]}
    return {name: envelope(values[name], step) for name in COURSES}
