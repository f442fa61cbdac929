"""Reader of wire-free recordings that mio received: one AVI, and a table with a row a buffer.

::

    anywhere/
      name.avi              raw gray; one recording
      name.csv              frame_num, buffer_count, timestamp, black_padding_px, reconstructed_frame_index …

A frame is sent in several buffers. ``reconstructed_frame_index`` is the frame's number in the AVI, −1 for a buffer that
is in no frame of it. A buffer that came too short is padded with black, and one that did not come leaves its
part black: frames with either are marked as corrupt.

References
----------
Aharoni-Lab/mio 338e847, mio/models/stream.py:75-100 and mio/models/buffer.py (columns), mio/stream_daq.py:180-192
(padding), :395-520 (how frames are put together).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError
from miniscope_core.io.clock import ClockRows, given_clock, join_clock
from miniscope_core.io.folders import beside, first_line
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.recording import Recording, RecordingMetadata
from miniscope_core.io.stacks import MAX_FRAMES, picked
from miniscope_core.io.tables import Table, read_table
from miniscope_core.io.video import open_videos

_FRAME: Final = "reconstructed_frame_index"
_NUMBER: Final = "frame_num"
_TIME: Final = "timestamp"
_IN_FRAME: Final = "frame_buffer_count"
_PADDING: Final = "black_padding_px"
_RECEIVED: Final = "buffer_recv_unix_time"
_LOST_BUFFERS: Final = "dropped_buffer_count"


@dataclass(frozen=True)
class BufferTable:
    """What the table of buffers tells of the frames."""

    rows: ClockRows
    corrupt: NDArray[np.int64]
    """Frames of the AVI that miss a part."""
    facts: dict[str, Any]


class Mio:
    """Reader of mio's wire-free recordings; see the module's text."""

    name = "mio"
    looks_for = f"an AVI with a CSV of the same name and a column {_FRAME}"
    place: Literal["folder", "file"] = "file"
    plain = False
    takes: frozenset[str] = frozenset()

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the names of video and table."""
        table = _table_of(place)
        return f"{place.name} with {table.name}, by its column {_FRAME}" if table else None

    def set_aside(self, place: Path) -> str | None:
        """Return None: mio records no behaviour."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a recording.

        Raises
        ------
        VideoError, ClockError
            When video or table is broken.
        """
        path = _table_of(place)
        if path is None:
            raise ClockError(f"{place.stem}.csv missing in {place.parent}. To go on without it pass fps= (--fps).")
        table = read_buffers(path)
        pictures = open_videos(place, [place], options)
        warnings = [*pictures.warnings, "Neither animal nor start time is told"]
        if options.fps is None:
            clock = join_clock(place, table.rows, pictures.files, options.clock, video_problems=pictures.problems)
        else:
            clock = given_clock(
                place,
                options.fps,
                pictures.frame_count,
                options.clock,
                unused=path.name,
                problems=pictures.problems,
            )
        used = clock.frames if clock.frames is not None else np.arange(len(clock.timestamps_s))
        corrupt = np.flatnonzero(np.isin(used, table.corrupt))
        if corrupt.size:
            warnings.append(f"{corrupt.size} of {len(used)} frames miss a part and are marked as corrupt")
        return Recording(
            directory=place,
            files=pictures.files,
            shape=pictures.shape,
            dtype=pictures.dtype,
            timestamps_s=clock.timestamps_s,
            clock=clock.report,
            metadata=RecordingMetadata(
                acquisition_software=self.name,
                device_type="wire-free",
                warnings=tuple(warnings),
                config={path.name: table.facts},
            ),
            source=picked(pictures.source, clock.frames),
            evidence=self.recognise(place) or "",
            side_files=(path,),
            corrupt_frames=tuple(corrupt.tolist()),
        )


def _table_of(video: Path) -> Path | None:
    if video.suffix.casefold() != ".avi":
        return None
    found = beside(video, [f"{video.stem}.csv"])
    return next((path for path in found if _FRAME in [cell.strip() for cell in first_line(path).split(",")]), None)


def read_buffers(path: Path) -> BufferTable:
    """Read the table of buffers and put it together by frame.

    Raises
    ------
    ClockError
        When a row cannot be read, with its line, or none is of a frame.
    """
    table = read_table(path, ",", [_FRAME, _TIME], [_NUMBER, _IN_FRAME, _PADDING, _RECEIVED, _LOST_BUFFERS])
    frame = table.whole(_FRAME)
    if len(frame) and frame.max(initial=0) > MAX_FRAMES:
        raise ClockError(
            f"{path.name} in {path.parent}: got frame {frame.max()}, expected at most {MAX_FRAMES:,}. "
            "To go on without it pass fps= (--fps)."
        )
    inside = np.flatnonzero(frame >= 0)
    if not inside.size:
        raise ClockError(
            f"{path.name} in {path.parent}: got {len(frame)} buffers, none of a frame of the video. "
            "To go on without it pass fps= (--fps)."
        )
    # A frame's time is that of its first buffer; rows come as the buffers came.
    frames, first, size = np.unique(frame[inside], return_index=True, return_counts=True)
    first = inside[first]
    problems = list(table.problems)
    # By count, not by listing them: one damaged number can stand for millions of frames.
    if gone := int(frames[-1]) + 1 - len(frames):
        first_gone = int(np.argmax(np.append(frames, -1) != np.arange(len(frames) + 1)))
        problems.append(f"{path.name} has no buffer of {gone} frames, first of frame {first_gone}")
    lost, remark = _lost(table, first)
    facts: dict[str, Any] = {
        "buffers": len(frame),
        "buffers_of_no_frame": int((frame < 0).sum()),
        "buffers_a_frame": int(size.max()),
    }
    if _LOST_BUFFERS in table.columns:
        facts["dropped_buffer_count"] = int(table.columns[_LOST_BUFFERS].max())
    if _RECEIVED in table.columns:
        facts["first_buffer_received_unix_s"] = float(table.columns[_RECEIVED][first[0]])
    rows = ClockRows(
        source=path.name,
        times_ms=table.columns[_TIME][first] - table.columns[_TIME][first[0]],
        frames=frames,
        frame_total=int(frames[-1]) + 1,
        remarks=(
            "a frame's time is the device's time stamp of its first buffer, counted from the first frame",
            *([remark] if remark else []),
        ),
        problems=tuple(problems),
        lines=table.lines[first],
        lost=lost,
        lost_from=f"the device's {_NUMBER}" if lost is not None else "",
    )
    return BufferTable(rows, _corrupt(table, inside, frames, size), facts)


def _lost(table: Table, first: NDArray[np.intp]) -> tuple[int | None, str]:
    """Count the frames between those in the video, by the device's own number of each."""
    if _NUMBER not in table.columns:
        return None, ""
    steps = np.diff(table.columns[_NUMBER][first])
    restarts = int((steps < 1).sum())
    remark = f"the device's {_NUMBER} began anew {restarts} times, and what was lost there is not counted"
    return int(np.maximum(steps - 1, 0).sum()), remark if restarts else ""


def _corrupt(
    table: Table, inside: NDArray[np.intp], frames: NDArray[np.int64], size: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Return the frames with a padded buffer, or fewer buffers than the others."""
    position = np.searchsorted(frames, table.columns[_FRAME][inside].astype(np.int64))
    broken = np.zeros(len(frames), bool)
    if _PADDING in table.columns:
        np.logical_or.at(broken, position, table.columns[_PADDING][inside] > 0)
    if _IN_FRAME in table.columns:
        numbers = table.columns[_IN_FRAME][inside]
        pairs = np.unique(np.stack([position.astype(np.float64), numbers], axis=1), axis=0)
        distinct = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(frames))
        broken |= distinct < numbers.max() + 1
    else:
        broken |= size < np.median(size)
    return frames[broken]
