"""Reader of Inscopix ``.isxd`` movies, by their layout alone: the maker's package is not needed.

One file is one recording::

    recording.isxd
      frames          from byte 0, row by row; each between 2560 words before and after where hasFrameHeaderFooter
      JSON, NUL       type, dataType, timingInfo, spacingInfo, extraProperties
      uint64          bytes of that JSON

``numTimes`` counts frames that were dropped, cropped away or blank too; they have a time and no picture. Where frames
have headers, each holds the hardware's own time stamp, and that is the clock; else times are the period's multiples.

References
----------
inscopix/isxcore b8116a3: src/isxJsonUtils.cpp:626 (readJsonHeaderAtEnd), :76 (timing), :182 (spacing),
src/isxIndexRange.cpp:30 (cropped ranges as "3 - 7"), src/isxTimingInfo.cpp (timeIdxToRecordedIdx: frames that are not
stored), src/isxMosaicMovieFile.h:227-251 (words of a frame's header), api/isxSpacingInfo.h:32 (default pixel size),
api/isxMetadata.h:1445-1476 (colours).
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import MetadataError, RecordingFormatError, VideoError
from miniscope_core.io.clock import ClockRows, given_clock, join_clock
from miniscope_core.io.gpio import read_gpio
from miniscope_core.io.metadata import number, text
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.recording import Recording, RecordingMetadata, VideoFile
from miniscope_core.io.stacks import MAX_FRAMES, RawPart, StackSource, check_frames, known_counts

_SUFFIX: Final = ".isxd"
_MAX_FOOTER: Final = 2**26
_HEADER_WORDS: Final = 2560
_STAMP_WORD: Final = 1272
"""First of eight words of a frame's header that hold the time stamp, µs: a byte in bits 4 to 11 of each."""
_STAMP_BYTES: Final = 8
_SHIFT: Final = 4
_TYPES: Final = {0: "<u2", 1: "<f4", 2: "<u1"}
_KINDS: Final = {0: "movie", 1: "cell set", 2: "behaviour movie", 3: "GPIO", 4: "image", 5: "vessel set"}
_MOVIES: Final = (0, 4)
_RANGE: Final = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")
_DEFAULT_UM: Final = 3
"""What the program writes for a pixel's size when nobody told it."""


@dataclass(frozen=True)
class _Layout:
    """Where the frames of a file are, and which times they have."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    headers: bool
    places: NDArray[np.int64]
    times: NDArray[np.int64]
    """Which of the period's multiples each stored frame is."""
    rows: int
    lost: int
    told: str
    problems: tuple[str, ...]


class InscopixIsxd:
    """Reader of ``.isxd`` movies; see the module's text."""

    name = "Inscopix"
    looks_for = "a file .isxd that holds a movie"
    place: Literal["folder", "file"] = "file"
    plain = False
    takes: frozenset[str] = frozenset()

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the file's name; cell sets and other results that bear the same suffix are none."""
        if place.suffix.casefold() != _SUFFIX:
            return None
        kind = _type_of(place)
        if kind is None:
            return f"{place.name}"  # reading will tell what is broken
        return f"{place.name} with type {_KINDS[kind]}" if kind in _MOVIES else None

    def set_aside(self, place: Path) -> str | None:
        """Return what an ``.isxd`` file holds that is no movie of a microscope."""
        kind = _type_of(place) if place.suffix.casefold() == _SUFFIX and place.is_file() else None
        return (
            None if kind is None or kind in _MOVIES else f"it holds a {_KINDS.get(kind, 'kind of data unknown here')}"
        )

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a file.

        Raises
        ------
        VideoError, ClockError, MetadataError
            When it is damaged or holds no movie of a camera.
        """
        footer, end = _footer(place)
        if reason := self.set_aside(place):
            raise RecordingFormatError(f"No movie in {place}: {reason}. Pass the movie's own file.")
        layout = _layout(place, footer, end)
        count = len(layout.places)
        known_counts(place, [place], [count], options.frame_counts)
        files = (VideoFile(path=place, frame_count=count),)
        period_ms = _period_ms(place, footer)
        if options.fps is not None:
            clock = given_clock(
                place,
                options.fps,
                count,
                options.clock,
                nominal_fps=1000 / period_ms,
                unused="the file's clock",
                problems=layout.problems,
            )
        else:
            rows = _rows(place, layout, period_ms)
            clock = join_clock(place, rows, files, options.clock, 1000 / period_ms, video_problems=layout.problems)
        skip = _HEADER_WORDS * 2 if layout.headers else 0
        side = read_gpio([place], [place.parent], _started_unix_s(footer))
        metadata = _metadata(self.name, footer, layout.shape, 1000 / period_ms)
        return Recording(
            directory=place,
            files=files,
            shape=layout.shape,
            dtype=layout.dtype.newbyteorder("="),
            timestamps_s=clock.timestamps_s,
            clock=clock.report,
            metadata=metadata.model_copy(update={"warnings": (*metadata.warnings, *side.warnings)}),
            source=StackSource(
                [RawPart(place, layout.places + skip, layout.dtype)], layout.shape, layout.dtype.newbyteorder("=")
            ),
            signals=side.signals,
            side_files=side.files,
            evidence=self.recognise(place, options) or "",
        )


def _type_of(path: Path) -> int | None:
    """Return the number of the kind of data in a file; None where it is damaged, -1 where it names none."""
    try:
        return _whole(_footer(path)[0].get("type"), -1)
    except (VideoError, MetadataError):
        return None


# -- layout -----------------------------------------------------------------------------------------------
def _footer(path: Path) -> tuple[dict[str, Any], int]:
    """Return the JSON at the end of a file and where it begins."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size == 0:
                raise VideoError(f"Video {path} is empty (0 bytes). Copy it again from the acquisition computer.")
            if size < _STAMP_BYTES + 1:
                raise _cut(path, f"{size} bytes")
            stream.seek(size - 8)
            length = struct.unpack("<Q", stream.read(8))[0]
            start = size - 8 - 1 - length
            if not 0 < length <= _MAX_FOOTER or start < 0:
                raise _cut(path, f"a length of {length:,} for the description at its end")
            stream.seek(start)
            data = stream.read(length)
    except OSError as error:
        raise VideoError(f"Video {path} cannot be read: {error.strerror}. Is the copy complete?") from error
    try:
        value = json.loads(data.decode("utf-8"))
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise _cut(path, f"no JSON as the description at its end ({str(error)[:80]})") from error
    if not isinstance(value, dict):
        raise _cut(path, f"a JSON {type(value).__name__} as the description at its end")
    return value, start


def _cut(path: Path, got: str) -> VideoError:
    return VideoError(f"Video {path} is damaged or cut short: got {got}, expected an .isxd file. Copy it again.")


def _layout(path: Path, footer: Mapping[str, Any], end: int) -> _Layout:
    spacing, timing = _object(footer, "spacingInfo"), _object(footer, "timingInfo")
    pixels = _object(spacing, "numPixels")
    shape = (_whole(pixels.get("y"), 0), _whole(pixels.get("x"), 0))
    kind = _TYPES.get(_whole(footer.get("dataType"), -1))
    if kind is None:
        raise VideoError(
            f"Pixels of {path}: got dataType {footer.get('dataType')!r}, expected 0 (uint16) or 2 (uint8)."
        )
    dtype = np.dtype(kind)
    check_frames(path, shape, dtype)
    rows = _whole(timing.get("numTimes"), 0)
    if not 0 < rows <= MAX_FRAMES:
        raise VideoError(f"Video {path}: got {rows:,} times, expected 1 to {MAX_FRAMES:,}. Is the file damaged?")
    headers = _whole(footer.get("fileVersion"), 0) > 0 and footer.get("hasFrameHeaderFooter") is True
    absent = np.zeros(rows, bool)
    counts = []
    dropped = _indices(path, timing, "dropped", rows)
    for name, indices in (("dropped", dropped), ("blank", _indices(path, timing, "blank", rows))):
        absent[indices] = True
        counts.append(f"{len(indices)} {name}")
    cropped = 0
    for first, last in _ranges(path, timing, rows):
        absent[first : last + 1] = True
        cropped += last + 1 - first
    stored = np.flatnonzero(~absent)
    stride = shape[0] * shape[1] * dtype.itemsize + (4 * _HEADER_WORDS if headers else 0)
    there = end // stride
    problems: tuple[str, ...] = ()
    if there != len(stored) or end % stride:
        problems = (f"{path.name} has bytes for {end / stride:.6g} frames, its description tells of {len(stored)}",)
        stored = stored[:there]
    if not len(stored):
        raise VideoError(f"Video {path} holds no frame: {rows} times, {', '.join(counts)}, {cropped} cropped.")
    told = f"{', '.join(counts)} and {cropped} cropped of {rows} times have no frame"
    return _Layout(
        shape=shape,
        dtype=dtype,
        headers=headers,
        places=np.arange(len(stored), dtype=np.int64) * stride,
        times=stored,
        rows=rows,
        lost=len(dropped),
        told=told,
        problems=problems,
    )


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62 else default


def _indices(path: Path, timing: Mapping[str, Any], name: str, rows: int) -> NDArray[np.int64]:
    values = timing.get(name) or []
    good = isinstance(values, list) and all(0 <= _whole(one, -1) < rows for one in values)
    if not good:
        raise MetadataError(f"{name} frames of {path}: got {str(values)[:60]}, expected numbers below {rows}.")
    return np.unique(np.array(values, np.int64))


def _ranges(path: Path, timing: Mapping[str, Any], rows: int) -> Sequence[tuple[int, int]]:
    found = []
    values = timing.get("cropped") or []
    for one in values if isinstance(values, list) else [values]:
        match = _RANGE.fullmatch(one) if isinstance(one, str) else None
        pair = (int(match[1]), int(match[2] or match[1])) if match else one
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and 0 <= _whole(pair[0], -1) <= _whole(pair[1], -1)):
            raise MetadataError(f"Cropped frames of {path}: got {str(one)[:60]!r}, expected a range such as '3 - 7'.")
        if pair[1] >= rows:
            raise MetadataError(f"Cropped frames of {path}: got {pair[0]} - {pair[1]}, expected them below {rows}.")
        found.append((pair[0], pair[1]))
    # Ranges are sorted and joined, so that many of them cost no more than one.
    joined: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


# -- clock ------------------------------------------------------------------------------------------------
def _ratio(value: object) -> float | None:
    if not isinstance(value, Mapping):
        return None
    above, below = number(value.get("num")), number(value.get("den"))
    return above / below if above is not None and below else None


def _period_ms(path: Path, footer: Mapping[str, Any]) -> float:
    period = _ratio(_object(footer, "timingInfo").get("period"))
    if period is None or not 1e-6 < period < 1e6:
        raise MetadataError(f"Frame period of {path}: got {str(period)[:40]}, expected seconds. Is the file damaged?")
    return period * 1000


def _rows(path: Path, layout: _Layout, period_ms: float) -> ClockRows:
    """Return the time of each stored frame: the hardware's stamps where frames have them."""
    lost_from = "frames that the file lists as dropped"
    stamps = _stamps(path, layout) if layout.headers else None
    remarks = [layout.told]
    if stamps is not None and len(stamps) > 1 and (np.diff(stamps) > 0).any():
        times = (stamps - stamps[0]) / 1000 + layout.times[0] * period_ms
        remarks.append("times are the hardware's stamps in the frames' headers")
        source = "time stamps of the frames"
    else:
        times = layout.times * period_ms
        remarks.append("times are multiples of the period that the file tells: it holds none of their own")
        source = "timingInfo"
    return ClockRows(source, times, remarks=tuple(remarks), lost=layout.lost, lost_from=lost_from)


def _stamps(path: Path, layout: _Layout) -> NDArray[np.float64]:
    """Return the hardware's time of each frame, µs."""
    words = np.empty((len(layout.places), _STAMP_BYTES), "<u2")
    with path.open("rb", buffering=0) as stream:
        for row, place in enumerate(layout.places.tolist()):
            stream.seek(place + 2 * _STAMP_WORD)
            data = stream.read(2 * _STAMP_BYTES)
            if len(data) < 2 * _STAMP_BYTES:
                raise _cut(path, f"the end of the file in the header of frame {row}")
            words[row] = np.frombuffer(data, "<u2")
    stamps: NDArray[np.uint64] = ((words >> _SHIFT) & 0xFF).astype(np.uint8).view("<u8")[:, 0]
    passed: NDArray[np.float64] = (stamps - stamps[0]).astype(np.int64).astype(np.float64)
    return passed


# -- metadata ---------------------------------------------------------------------------------------------
def _metadata(software: str, footer: dict[str, Any], shape: tuple[int, int], nominal: float) -> RecordingMetadata:
    extra = _object(footer, "extraProperties")
    scope, animal = _object(extra, "microscope"), _object(extra, "animal")
    warnings: list[str] = []
    start = _object(_object(footer, "timingInfo"), "start")
    started = _started(start)
    if started is None:
        warnings.append("The start time is missing")
    size = _object(_object(footer, "spacingInfo"), "pixelSize")
    across, down = _ratio(size.get("x")), _ratio(size.get("y"))
    # The default, times the down-sampling, is nobody's measurement.
    told = bool(across and down and across > 0 and down > 0 and across % _DEFAULT_UM)
    if across and not told:
        warnings.append(f"The pixel size, {across:g} µm, is the program's default and was not taken")
    # Split by colour, a movie keeps how it was recorded and also names its own.
    if _object(scope, "dualColor").get("mode") == "multiplexing" and _object(extra, "idps").get("channel") is None:
        warnings.append(
            "Frames of two colours alternate in this movie and are not separated: split it in Inscopix' program, and "
            "read the movie of one colour"
        )
    return RecordingMetadata(
        acquisition_software=software,
        device_name=text(scope.get("serial")),
        device_type=text(scope.get("type")),
        animal_name=text(animal.get("id")),
        researcher_name=text(_object(extra, "experimenter").get("name") or extra.get("experimenterName")),
        experiment_name=text(extra.get("name")),
        recording_datetime=started,
        started_unix_ms=round((_ratio(start.get("secsSinceEpoch")) or 0) * 1000) if started else None,
        nominal_fps=nominal,
        gain=number(scope.get("gain")),
        led_power=number(_object(scope, "led").get("exPower")),
        um_height=(down or 0) * shape[0] if told else None,
        um_width=(across or 0) * shape[1] if told else None,
        warnings=tuple(warnings),
        config={"isxd": footer},
    )


def _started_unix_s(footer: Mapping[str, Any]) -> float | None:
    """Return when the clock of the file is zero, seconds since 1970."""
    return _ratio(_object(_object(footer, "timingInfo"), "start").get("secsSinceEpoch"))


def _started(start: Mapping[str, Any]) -> datetime | None:
    """Return the local time at the rig."""
    seconds = _ratio(start.get("secsSinceEpoch"))
    offset = number(start.get("utcOffset")) or 0.0
    if not seconds or abs(offset) > 86_400:
        return None
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds + offset)).replace(tzinfo=None)
    except OverflowError:
        return None
