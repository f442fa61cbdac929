"""Broken frames: found, and filled from their neighbours so that nothing takes them for data."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.recording import FrameSource, Recording
from miniscope_core.progress import Progress, silent

_STAGE: Final = "broken frames"
_BLOCKS: Final = 12
"""A frame is looked at as so many blocks along each side."""
_CHUNK_BYTES: Final = 2**24
_WINDOW_FRAMES: Final = 31
"""Frames that tell how bright a block is at the time; broken ones are fewer than half of them."""
_DEVIATIONS: Final = 7.0
"""Deviations from its neighbours in time that nothing in a brain explains, whichever part is taken."""
_CHANGE: Final = 0.25
"""Part of a block's brightness that has to change besides: noise alone may be next to nothing."""
_BAND_SHARE: Final = 0.5
"""Part of a band of blocks across the field that has to change at once. Sensors and links send a frame row by row, so
what is lost is a band; a cell, or many at once, fill less of any."""
_STRIPS: Final = 24
"""Strips across the field, thin enough for a lost packet, of which the roughness is looked at."""
_ROUGHNESS: Final = 0.5
"""Part by which the roughness of a strip has to change: pure noise is far rougher, and padding has none."""
_BLACK: Final = 0.3
"""Part of the usual brightness below which a frame counts as black: the light was off, or nothing arrived."""
_TO_DEVIATION: Final = 1.4826


@dataclass(frozen=True)
class FilledSource:
    """A source whose broken frames are blends of the nearest sound ones before and after them."""

    source: FrameSource
    broken: NDArray[np.int64]
    """Rising."""
    frame_count: int

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Read frames ``start, start + step, … < stop`` as (n, height, width)."""
        frames = self.source.read(start, stop, step)
        first, last = np.searchsorted(self.broken, (start, stop))
        for frame in self.broken[first:last].tolist():
            if (frame - start) % step == 0:
                frames[(frame - start) // step] = self._blend(frame, range(start, stop, step), frames)
        return frames

    def _blend(self, frame: int, wanted: range, frames: NDArray[Any]) -> NDArray[Any]:
        before, after = self._neighbour(frame, -1), self._neighbour(frame, 1)
        pictures = [self._sound(one, wanted, frames) for one in (before, after) if one is not None]
        if before is None or after is None:
            return pictures[0]
        weight = np.float32((frame - before) / (after - before))
        blend: NDArray[Any] = pictures[0] * (1 - weight) + pictures[1] * weight
        return np.rint(blend) if np.issubdtype(frames.dtype, np.integer) else blend

    def _sound(self, frame: int, wanted: range, frames: NDArray[Any]) -> NDArray[Any]:
        """Return a sound frame, from those just read where it is among them."""
        read = frames[wanted.index(frame)] if frame in wanted else self.source.read(frame, frame + 1, 1)[0]
        return np.asarray(read)

    def _neighbour(self, frame: int, direction: int) -> int | None:
        """Return the nearest sound frame in a direction, or None where there is none."""
        place = int(np.searchsorted(self.broken, frame))
        while 0 <= place < len(self.broken) and self.broken[place] == frame:
            frame, place = frame + direction, place + direction
        return frame if 0 <= frame < self.frame_count else None


def mend(recording: Recording, broken: Sequence[int] | NDArray[np.int64]) -> Recording:
    """Fill broken frames from their neighbours; the recording itself stays as it is.

    A broken frame is a linear blend, in frame number, of the nearest sound frames before and after it; at an end it is
    the nearest one. So neither alignment nor factorisation sees what no camera saw.

    Parameters
    ----------
    recording
        Opened recording.
    broken
        Indices of frames, in any order.

    Raises
    ------
    VideoError
        When no sound frame is left.
    """
    frames = np.unique(np.asarray(broken, np.int64))
    if not len(frames):
        return recording
    if len(frames) >= recording.frame_count:
        raise VideoError(
            f"Frames of {recording.directory}: got {len(frames):,} broken ones of {recording.frame_count:,}, expected "
            "at least one that is whole. Is it the right file?"
        )
    return replace(recording, source=FilledSource(recording.source, frames, recording.frame_count))


def find_broken(recording: Recording, workers: int = 1, progress: Progress = silent) -> NDArray[np.int64]:
    """Find black and torn frames, in one pass over the recording.

    A frame is black where it has less than 0.3 of the recording's usual brightness. It is torn, or partly lost, where

    * half of a band of blocks across the field, of twelve bands with twelve blocks, differs in brightness from its
      median over 31 frames by more than seven of its own deviations, and by a quarter; or
    * one of 24 strips differs so in its roughness (how much neighbours in a row differ), and by half: noise is rougher
      than any picture, padding has no noise.

    The brightness is that relative to the whole frame: flicker breaks none.

    Parameters
    ----------
    recording
        Opened recording.
    workers
        Stretches read at the same time.
    progress
        Told ``"broken frames"`` in frames.

    Returns
    -------
    ndarray
        Their indices, rising.
    """
    blocks, roughness = _looks(recording, workers, progress)
    level = blocks.mean((1, 2))
    usual = float(np.median(level))
    black = level < _BLACK * usual
    relative = blocks / np.maximum(level, 1e-3)[:, None, None]
    bands = _changed(relative, black, _CHANGE).mean(2) >= _BAND_SHARE
    strips = _changed(roughness[:, :, None], black, _ROUGHNESS)
    return np.flatnonzero(black | bands.any(1) | strips.any((1, 2)))


def _changed(looks: NDArray[np.float32], black: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Say which parts of which frames look like none of the frames around them, (frame, row, column)."""
    # So that a run of black frames does not become what its neighbours are compared with.
    looks[black] = np.median(looks[~black], axis=0) if (~black).any() else 1.0
    change = np.abs(looks - ndi.median_filter(looks, (_WINDOW_FRAMES, 1, 1), mode="mirror"))
    usual = np.median(looks, axis=0)
    # What is large for its own part and for the field: dark corners change by much of next to nothing.
    least = share * np.maximum(usual, share * usual.mean())
    return np.asarray(change > np.maximum(_DEVIATIONS * _TO_DEVIATION * np.median(change, axis=0), least))


def _block_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the blocks along height and width."""
    return min(shape[0], _BLOCKS), min(shape[1], _BLOCKS)


def _looks(recording: Recording, workers: int, progress: Progress) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of each block, (frame, row, column), and the roughness of each strip, (frame, strip)."""
    height, width = recording.shape
    rows, columns = _block_shape(recording.shape)
    step = max(1, _CHUNK_BYTES // (height * width * 4))
    total = recording.frame_count
    strips = np.unique(np.linspace(0, height, _STRIPS + 1).astype(int)[:-1])
    thickness = np.diff([*strips, height])
    blocks = np.empty((total, rows, columns), np.float32)
    roughness = np.zeros((total, len(strips)), np.float32)

    def stretch(edges: tuple[int, int]) -> None:
        for start in range(*edges, step):
            stop = min(start + step, edges[1])
            for index, frame in enumerate(recording.frames(start, stop), start):
                blocks[index] = cv2.resize(frame.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
                if width > 1:
                    rough = cv2.absdiff(frame[:, 1:], frame[:, :-1]).mean(1)
                    roughness[index] = np.add.reduceat(rough, strips) / thickness
            done[edges[0]] = stop - edges[0]
            progress(_STAGE, sum(done.values()), total)

    # Each worker a stretch of its own: one that goes on where it stopped decodes no frame twice.
    edges = np.linspace(0, total, max(1, min(workers, total // step)) + 1).astype(int).tolist()
    done = dict.fromkeys(edges[:-1], 0)
    with ThreadPoolExecutor(max_workers=len(edges) - 1) as pool:
        list(pool.map(stretch, pairwise(edges)))
    return blocks, roughness
