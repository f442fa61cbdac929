"""Which reader a folder belongs to, and the one way to open it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from miniscope_core.errors import ParameterError, RecordingFormatError, RecordingNotFoundError
from miniscope_core.io.bonsai import Bonsai
from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.folders import natural_key
from miniscope_core.io.hdf5_movie import Hdf5Movie
from miniscope_core.io.inscopix_exports import InscopixExport, InscopixSession
from miniscope_core.io.inscopix_isxd import InscopixIsxd
from miniscope_core.io.miniscope_daq_v3 import MiniscopeDaqV3
from miniscope_core.io.miniscope_daq_v4 import MiniscopeDaqV4
from miniscope_core.io.mio import Mio
from miniscope_core.io.nwb_movie import NwbMovie
from miniscope_core.io.options import DEFAULTS, ClockColumns, Reader, ReadOptions
from miniscope_core.io.plain_movie import TIFF, VIDEO, MovieSeries, PlainMovie
from miniscope_core.io.recording import Recording
from miniscope_core.progress import Progress, silent
from miniscope_core.remote import RemoteFiles
from miniscope_core.settings import is_address, plain_place

READERS: Final[tuple[Reader, ...]] = (
    MiniscopeDaqV4(),
    MiniscopeDaqV3(),
    InscopixIsxd(),
    InscopixSession(),
    InscopixExport(),
    Mio(),
    Bonsai(),
    MovieSeries(VIDEO),
    MovieSeries(TIFF),
    PlainMovie(VIDEO),
    PlainMovie(TIFF),
    NwbMovie(),
    Hdf5Movie(),
)
"""Every acquisition format that can be read; a new one is added here."""

_MAX_WORKERS: Final = 8
"""Beyond this many files at once a disk, not the processor, is what counting waits for."""


def open_recording(
    path: str | os.PathLike[str],
    *,
    clock: ClockPolicy = "strict",
    fps: float | None = None,
    dataset: str | None = None,
    files: str | None = None,
    columns: ClockColumns | str | None = None,
    frame_counts: Mapping[str, int] | None = None,
    progress: Progress = silent,
    workers: int | None = None,
    trust_containers: bool = False,
    remote: RemoteFiles | None = None,
) -> Recording:
    """Open the recording in a folder or file, or at an address: frames on demand, frame clock, metadata.

    Frames are counted by decoding them once, because containers lie; pass ``frame_counts`` where that was done.

    Parameters
    ----------
    path
        A recording's folder or file, or a folder, a session's say, that holds exactly one miniscope recording. Of an
        address (``s3://…``) the files are copied to a cache, where they stay at least until the recording is no
        longer used.
    clock
        ``"strict"`` refuses a clock that disagrees with the decoded frames or goes back; ``"report"`` goes on with
        the frames that have a time and lists what is wrong in ``Recording.clock.problems``; ``"interpolate"`` does so
        too, keeps every frame, and invents the times that are missing or cannot be right: they are named in
        ``Recording.invented_times``.
    fps
        Frame rate in Hz to use instead of the clock file, which may then be missing.
    dataset
        Name of the movie in a file that can hold several (HDF5, NWB).
    files
        Pattern, such as ``"movie_*.tif"``, of the files of a folder that are one movie, in natural order.
    columns
        Which column of a table of times is what, such as ``"time=0,unit=iso"``; see :class:`ClockColumns`.
    frame_counts
        Frames that decode per file, by path relative to the recording's folder or file, as known from an earlier
        reading.
    progress
        Told ``"decoding"`` in frames while they are counted.
    workers
        Files decoded at the same time; default one per processor.
    trust_containers
        Take the frame counts that the containers claim, for a quick look at a long recording: frames that do not
        decode are then missed only where they are read.
    remote
        How addresses are read; default: as the environment says (``MINISCOPE_CACHE_DIR``, ``MINISCOPE_RAW_OPTIONS``).

    Returns
    -------
    Recording
        Open files are closed when it is no longer used.

    Raises
    ------
    RecordingNotFoundError
        When there is no such folder or file.
    RecordingFormatError
        When no reader, or more than one, recognises it, or it holds several recordings.
    VideoError
        When a video file is missing, empty, cut short, unreadable or of another size.
    ClockError
        When the clock is missing, unreadable or (strict) disagrees with the video.
    MetadataError
        When a metadata file is no JSON.
    ParameterError
        When an option is unknown, or means nothing for this format.
    """
    if clock not in get_args(ClockPolicy):
        raise ParameterError(f"clock= of open_recording: got {clock!r}, expected one of {get_args(ClockPolicy)}.")
    count = workers if workers is not None else min(_MAX_WORKERS, os.cpu_count() or 1)
    options = ReadOptions(
        clock=clock,
        fps=fps,
        frame_counts=frame_counts,
        progress=progress,
        workers=max(1, count),
        trust_containers=trust_containers,
        dataset=dataset,
        files=files,
        columns=ClockColumns.parse(columns) if isinstance(columns, str) else columns,
    )
    if isinstance(path, str) and is_address(path):
        remote = remote or RemoteFiles.of()
        lease = remote.lease(path, progress)
        with remote.named():
            return replace(_open(remote.path(path), options), address=path.rstrip("/"), lease=lease)
    return _open(path, options)


def _open(path: str | os.PathLike[str], options: ReadOptions) -> Recording:
    place = find_recording(path, files=options.files)
    reader, evidence = _reader_of(place, options) or _refuse(place)
    if meaningless := options.special().keys() - reader.takes:
        raise ParameterError(
            f"{', '.join(sorted(meaningless))}= for {place}: got {_values(options, meaningless)}, expected nothing, "
            f"because it is read as {reader.name} ({evidence}). Leave it out."
        )
    return reader.read(place, options)


def find_recording(path: str | os.PathLike[str], *, files: str | None = None) -> Path:
    """Return the one recording that a path means: itself, or the only one below it.

    Parameters
    ----------
    path
        A folder or file.
    files
        Pattern of the files of that folder that are one movie; then it is the recording.

    Raises
    ------
    RecordingNotFoundError
        When there is no such folder or file.
    RecordingFormatError
        When it holds no recording, or several.
    """
    folder = _place(path)
    if files is not None or not folder.is_dir():
        return folder
    found = find_recordings(path)
    if not found:
        _refuse(folder)
    if len(found) > 1:
        names = ", ".join(str(one.relative_to(folder)) for one in found[:8])
        parts = all(one.is_file() and one.parent == folder for one in found)
        raise RecordingFormatError(
            f"{len(found)} recordings in {folder}: {names}{' …' if len(found) > 8 else ''}. Name one of them"
            + (f", or, if they are parts of one movie, pass files='*{found[0].suffix}' (--files)." if parts else ".")
        )
    return found[0]


def find_recordings(path: str | os.PathLike[str]) -> list[Path]:
    """Find the recordings at or below a path; behaviour cameras are none.

    Plain movies (a TIFF stack, an MP4) count only where no acquisition program's recording is found: beside one they
    are what somebody made of it.

    Parameters
    ----------
    path
        A recording's folder or file, a session's folder, or one with many sessions. Links are followed.

    Returns
    -------
    list of Path
        Folders and files in natural order; each below ``path`` as it was given, made absolute.

    Raises
    ------
    RecordingNotFoundError
        When there is no such folder or file.
    RecordingFormatError
        When more than one reader recognises one of them.
    """
    place = _place(path)
    if not place.is_dir():
        return [place] if _reader_of(place) else []
    taken = [(one, found[0]) for one in _walk(place) if (found := _reader_of(one))]
    programs = any(not reader.plain for _, reader in taken)
    kept = [one for one, reader in taken if not (reader.plain and programs) and not reader.set_aside(one)]
    return sorted(kept, key=lambda one: [natural_key(part) for part in one.parts])


def _place(path: str | os.PathLike[str]) -> Path:
    place = plain_place(path)
    if isinstance(place, str):
        raise ParameterError(
            f"Recordings at {place}: got an address, expected a folder or file. Give it to open_recording, or its "
            "copies from RemoteFiles.held."
        )
    _refuse_undecodable(place)
    if not place.exists():
        raise RecordingNotFoundError(f"No folder at {place}. Is the path right, and the disk mounted?")
    if not place.is_dir() and (owner := _reader_of(place.parent)):
        raise RecordingFormatError(
            f"{place} is a file of the recording in its folder ({owner[0].name}), expected that. Pass {place.parent}"
        )
    return place


def _refuse_undecodable(place: Path) -> None:
    try:
        str(place).encode()
    except UnicodeEncodeError as error:
        raise RecordingFormatError(
            f"The name of the folder {os.fsencode(place)!r} is not UTF-8 and cannot be recorded. Rename it."
        ) from error


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder, its files and what is below it, each place on disk once, not looking into recordings."""
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        one = waiting.pop()
        real = os.path.realpath(one)
        if real in seen:
            continue
        seen.add(real)
        yield one
        if _reader_of(one):
            continue
        try:
            entries = [entry for entry in os.scandir(one) if not entry.name.startswith(".")]
        except OSError as error:
            raise RecordingFormatError(f"Folder {one} cannot be read: {error.strerror}.") from error
        folders = [entry for entry in entries if entry.is_dir()]
        # Taken from the end: a place that is also linked to is found under its own name.
        for entry in folders:
            _refuse_undecodable(one / entry.name)
        folders.sort(key=lambda entry: (entry.is_symlink(), natural_key(entry.name)), reverse=True)
        waiting += [one / entry.name for entry in folders]
        for entry in sorted(entries, key=lambda entry: (entry.is_symlink(), natural_key(entry.name))):
            path = one / entry.name
            if entry.is_file() and _encodes(path) and (real := os.path.realpath(path)) not in seen:
                seen.add(real)
                yield path


def _encodes(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reader_of(place: Path, options: ReadOptions = DEFAULTS) -> tuple[Reader, str] | None:
    """Return the reader that recognises a folder or file and why, or None."""
    kind = "folder" if place.is_dir() else "file"
    for plain in (False, True):
        mine = [reader for reader in READERS if reader.place == kind and reader.plain is plain]
        taken = [(reader, evidence) for reader in mine if (evidence := reader.recognise(place, options))]
        if len(taken) > 1:
            claims = "; ".join(f"{reader.name} by {evidence}" for reader, evidence in taken)
            raise RecordingFormatError(
                f"Two recordings in {place}, of different programs: {claims}. "
                "Move one of them into a folder of its own."
            )
        if taken:
            return taken[0]
    return None


def _values(options: ReadOptions, names: Iterable[str]) -> str:
    return ", ".join(repr(options.special()[name]) for name in sorted(names))


def _refuse(place: Path) -> tuple[Reader, str]:
    """Say why a place holds no recording: what is in it instead, or what was looked for."""
    kind = "folder" if place.is_dir() else "file"
    mine = [reader for reader in READERS if reader.place == kind]
    if reason := next((reason for reader in mine if (reason := reader.set_aside(place))), None):
        raise RecordingFormatError(
            f"No miniscope recording in {place}: {reason}. Pass the miniscope's own folder or file; if this is one, "
            "correct what tells otherwise."
        )
    aside = []
    for one in _walk(place) if place.is_dir() else ():
        taken = _reader_of(one)
        if taken and (reason := taken[0].set_aside(one)):
            aside.append(f"{os.path.relpath(one, place)} is set aside: {reason}")
    if aside:
        more = f" and {len(aside) - 4} more" if len(aside) > 4 else ""
        raise RecordingFormatError(
            f"No miniscope recording in {place}: got {'; '.join(aside[:4])}{more}. Pass the folder of a miniscope; if "
            "one of these is one, correct what tells otherwise."
        )
    looked_for = "; ".join(f"{reader.name}: {reader.looks_for}" for reader in (READERS if kind == "folder" else mine))
    raise RecordingFormatError(
        f"No miniscope recording in {place}. Looked for {looked_for}. Pass the folder that holds the videos."
    )
