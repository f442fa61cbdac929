"""Readers of movies without a program's mark: video files and TIFF stacks, whose rate the caller has to give.

One file is one recording, with a table of times beside it if the caller says which of its columns is what::

    anywhere/
      movie.mp4            or .avi .mov .mkv .tif .tiff
      movie.csv            with columns="time=0,unit=s"

Several files are one recording where they are called by numbers alone, or where the caller gives a pattern::

    movie/                 movie/
      0.avi, 1.avi …         run_001.tif, run_002.tif …    with files="run_*.tif"

Files called ``run_1.tif, run_2.tif`` may be one movie in parts or two recordings, so that is never guessed.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from miniscope_core.errors import VideoError
from miniscope_core.io.clock import Clock, given_clock, join_clock
from miniscope_core.io.column_table import ColumnTable, column_table
from miniscope_core.io.folders import natural_key, shorten, visible_files
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.pictures import Pictures
from miniscope_core.io.recording import Recording, RecordingMetadata
from miniscope_core.io.tiff import open_tiffs
from miniscope_core.io.video import open_videos

_NUMBER: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Kind:
    """A container of frames."""

    name: str
    """As in the AcquisitionSoftware lookup."""
    suffixes: tuple[str, ...]
    """The usual one first."""
    open: Callable[[Path, Sequence[Path], ReadOptions], Pictures]


VIDEO: Final = Kind("Video", (".avi", ".mp4", ".m4v", ".mov", ".mkv"), open_videos)
TIFF: Final = Kind("TIFF", (".tif", ".tiff", ".btf", ".tf8"), open_tiffs)


def kind_of(path: Path) -> Kind | None:
    """Return the container that a file's name tells."""
    return next((kind for kind in (VIDEO, TIFF) if path.suffix.casefold() in kind.suffixes), None)


class PlainMovie:
    """Reader of one movie file; see the module's text."""

    place: Literal["folder", "file"] = "file"
    plain = True
    takes = frozenset({"columns"})

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.name = kind.name
        self.looks_for = f"a file {', '.join(kind.suffixes)}"

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the file's name where it is one of a movie."""
        return place.name if place.suffix.casefold() in self._kind.suffixes else None

    def set_aside(self, place: Path) -> str | None:
        """Return that a file is a behaviour camera's, where its name says so."""
        if place.name.casefold().startswith("behavcam"):
            return "behavCam is the behaviour camera of Miniscope-DAQ V3"
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a file.

        Raises
        ------
        VideoError, ClockError
            When it is broken, or its rate is not given.
        """
        return read_movie(self._kind, place, [place], options, place.name)


class MovieSeries:
    """Reader of a folder whose files are one movie; see the module's text."""

    place: Literal["folder", "file"] = "folder"
    plain = True
    takes = frozenset({"columns", "files"})

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.name = kind.name
        suffix = kind.suffixes[0]
        self.looks_for = f"0{suffix}, 1{suffix} … alone, or the files of files="

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return which files are one movie, by numbers for names or by the caller's pattern."""
        paths = self._paths(place, options)
        if options.files is not None:
            return f"{', '.join(shorten([path.name for path in paths]))} of files={options.files!r}" if paths else None
        return ", ".join(shorten([path.name for path in paths])) if len(paths) > 1 else None

    def set_aside(self, place: Path) -> str | None:
        """Return None: nothing tells a behaviour camera."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a folder.

        Raises
        ------
        VideoError, ClockError
            When a file is missing or broken, or the rate is not given.
        """
        paths = self._paths(place, options)
        if options.files is None:
            _refuse_gap(place, paths)
        return read_movie(self._kind, place, paths, options, self.recognise(place, options) or "")

    def _paths(self, place: Path, options: ReadOptions) -> list[Path]:
        mine = [path for path in visible_files(place) if path.suffix.casefold() in self._kind.suffixes]
        if options.files is not None:
            mine = [path for path in mine if fnmatch.fnmatchcase(path.name, options.files)]
        elif not all(_NUMBER.fullmatch(path.stem) for path in mine):
            return []
        return sorted(mine, key=lambda path: natural_key(path.name))


def _refuse_gap(place: Path, paths: Sequence[Path]) -> None:
    numbers = [int(path.stem) for path in paths]
    first = min(numbers[0], 1)
    if numbers != list(range(first, first + len(numbers))):
        missing = next(number for number in range(first, first + len(numbers)) if number not in numbers)
        raise VideoError(
            f"Number {missing} missing in {place}: got {', '.join(path.name for path in paths[:5])}. "
            "Is the copy complete? To go on without it pass files= (--files)."
        )


def read_movie(
    kind: Kind, place: Path, paths: Sequence[Path], options: ReadOptions, evidence: str, software: str | None = None
) -> Recording:
    """Read movie files whose clock is a rate of the caller's, or a table by the caller's column map.

    Parameters
    ----------
    kind
        Their container.
    place
        The recording's folder or file.
    paths
        Its files, in order.
    options
        With ``fps`` or ``columns``.
    evidence
        Why the place was taken.
    software
        As in the AcquisitionSoftware lookup; default the container's.

    Raises
    ------
    VideoError, ClockError
        When a file is broken, or the rate is not given.
    """
    beside = place / f"{place.name}.csv" if place.is_dir() else place
    table = column_table(beside, options.columns) if options.columns and options.fps is None else None
    if table is None and options.fps is None:
        given_clock(place, None, 0, options.clock)  # before anything is decoded
    pictures = kind.open(place, paths, options)
    clock = _clock(place, table, pictures, options)
    warnings = [*pictures.warnings, "Nothing tells when it was recorded, of which animal and by which device"]
    if table:
        warnings += table.warnings
    return Recording(
        directory=place,
        files=pictures.files,
        shape=pictures.shape,
        dtype=pictures.dtype,
        timestamps_s=clock.timestamps_s,
        clock=clock.report,
        metadata=RecordingMetadata(
            acquisition_software=software or kind.name,
            nominal_fps=pictures.nominal_fps,
            recording_datetime=table.started if table else None,
            um_height=pictures.um_size[0] if pictures.um_size else None,
            um_width=pictures.um_size[1] if pictures.um_size else None,
            warnings=tuple(warnings),
            config=dict(pictures.config),
        ),
        source=pictures.source,
        head_orientation=table.head_orientation if table else None,
        notes=table.notes if table else (),
        signals=table.signals if table else (),
        evidence=evidence,
        side_files=(table.path,) if table else (),
    )


def _clock(place: Path, table: ColumnTable | None, pictures: Pictures, options: ReadOptions) -> Clock:
    if table is None:
        return given_clock(
            place,
            options.fps,
            pictures.frame_count,
            options.clock,
            nominal_fps=pictures.nominal_fps,
            problems=pictures.problems,
        )
    return join_clock(
        place,
        table.rows,
        pictures.files,
        options.clock,
        pictures.nominal_fps,
        video_problems=pictures.problems,
    )
