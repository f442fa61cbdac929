"""Which reader a folder belongs to, and the one way to open it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, get_args

from miniscope_core.errors import ParameterError, RecordingFormatError, RecordingNotFoundError
from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.folders import natural_key
from miniscope_core.io.miniscope_daq_v3 import MiniscopeDaqV3
from miniscope_core.io.miniscope_daq_v4 import MiniscopeDaqV4
from miniscope_core.io.options import Reader, ReadOptions
from miniscope_core.io.recording import Recording
from miniscope_core.progress import Progress, silent

READERS: Final[tuple[Reader, ...]] = (MiniscopeDaqV4(), MiniscopeDaqV3())
"""Every acquisition format that can be read; a new one is added here."""

_MAX_WORKERS: Final = 8
"""Beyond this many files at once a disk, not the processor, is what counting waits for."""


def open_recording(
    path: str | os.PathLike[str],
    *,
    clock: ClockPolicy = "strict",
    fps: float | None = None,
    frame_counts: Mapping[str, int] | None = None,
    progress: Progress = silent,
    workers: int | None = None,
    trust_containers: bool = False,
) -> Recording:
    """Open the recording in a folder: frames on demand, frame clock, metadata.

    Frames are counted by decoding them once, because containers lie; pass ``frame_counts`` where that was done.

    Parameters
    ----------
    path
        A recording folder, or a session's folder that holds exactly one miniscope recording.
    clock
        ``"strict"`` refuses a clock that disagrees with the decoded frames or goes back; ``"report"`` goes on with
        the frames that have a time and lists what is wrong in ``Recording.clock.problems``.
    fps
        Frame rate in Hz to use instead of the clock file, which may then be missing.
    frame_counts
        Frames that decode per file, by path relative to the recording folder, as known from an earlier reading.
    progress
        Told ``"decoding"`` in frames while they are counted.
    workers
        Files decoded at the same time; default one per processor.
    trust_containers
        Take the frame counts that the containers claim, for a quick look at a long recording: frames that do not
        decode are then missed only where they are read.

    Returns
    -------
    Recording
        Open files are closed when it is no longer used.

    Raises
    ------
    RecordingNotFoundError
        When there is no such folder.
    RecordingFormatError
        When no reader, or more than one, recognises the folder, or it holds several recordings.
    VideoError
        When a video file is missing, empty, cut short, unreadable or of another size.
    ClockError
        When the clock is missing, unreadable or (strict) disagrees with the video.
    MetadataError
        When a metadata file is no JSON.
    """
    if clock not in get_args(ClockPolicy):
        raise ParameterError(f"clock= of open_recording: got {clock!r}, expected one of {get_args(ClockPolicy)}.")
    folder = find_recording(path)
    reader, _ = _reader_of(folder) or _refuse(folder)
    count = workers if workers is not None else min(_MAX_WORKERS, os.cpu_count() or 1)
    return reader.read(folder, ReadOptions(clock, fps, frame_counts, progress, max(1, count), trust_containers))


def find_recording(path: str | os.PathLike[str]) -> Path:
    """Return the one recording folder that a path means: itself, or the only one below it.

    Raises
    ------
    RecordingNotFoundError
        When there is no such folder.
    RecordingFormatError
        When it holds no recording, or several.
    """
    found = find_recordings(path)
    if not found:
        _refuse(_folder(path))
    if len(found) > 1:
        folder = _folder(path)
        names = ", ".join(str(one.relative_to(folder)) for one in found[:8])
        raise RecordingFormatError(
            f"{len(found)} recordings in {folder}: {names}{' …' if len(found) > 8 else ''}. Name one of them."
        )
    return found[0]


def find_recordings(path: str | os.PathLike[str]) -> list[Path]:
    """Find the recording folders at or below a path; behaviour cameras are none.

    Parameters
    ----------
    path
        A recording folder, a session's, or one with many sessions. Links are followed.

    Returns
    -------
    list of Path
        In natural order; each below ``path`` as it was given, made absolute.

    Raises
    ------
    RecordingNotFoundError
        When there is no such folder.
    RecordingFormatError
        When more than one reader recognises one of the folders.
    """
    folder = _folder(path)
    found = [one for one in _walk(folder) if (taken := _reader_of(one)) and not taken[0].set_aside(one)]
    return sorted(found, key=lambda one: [natural_key(part) for part in one.parts])


def _folder(path: str | os.PathLike[str]) -> Path:
    # Not resolved: a link to a device folder keeps its place in the session, and its name.
    folder = Path(os.path.abspath(Path(path).expanduser()))
    _refuse_undecodable(folder)
    if not folder.exists():
        raise RecordingNotFoundError(f"No folder at {folder}. Is the path right, and the disk mounted?")
    if not folder.is_dir():
        raise RecordingFormatError(f"{folder} is a file, expected the folder of a recording. Pass {folder.parent}")
    return folder


def _refuse_undecodable(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise RecordingFormatError(
            f"The name of the folder {os.fsencode(folder)!r} is not UTF-8 and cannot be recorded. Rename it."
        ) from error


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder and those below it, each place on disk once, without looking into recordings and hidden ones."""
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
            entries = [entry for entry in os.scandir(one) if entry.is_dir() and not entry.name.startswith(".")]
        except OSError as error:
            raise RecordingFormatError(f"Folder {one} cannot be read: {error.strerror}.") from error
        # Taken from the end: a place that is also linked to is found under its own name.
        for entry in entries:
            _refuse_undecodable(one / entry.name)
        entries.sort(key=lambda entry: (entry.is_symlink(), natural_key(entry.name)), reverse=True)
        waiting += [one / entry.name for entry in entries]


def _reader_of(folder: Path) -> tuple[Reader, str] | None:
    """Return the reader that recognises a folder and why, or None."""
    taken = [(reader, evidence) for reader in READERS if (evidence := reader.recognise(folder))]
    if len(taken) > 1:
        claims = "; ".join(f"{reader.name} by {evidence}" for reader, evidence in taken)
        raise RecordingFormatError(
            f"Two recordings in {folder}, of different programs: {claims}. Move one of them into a folder of its own."
        )
    return taken[0] if taken else None


def _refuse(folder: Path) -> tuple[Reader, str]:
    """Say what was looked for in a folder that holds no recording."""
    aside = []
    for one in _walk(folder):
        taken = _reader_of(one)
        if taken and (reason := taken[0].set_aside(one)):
            aside.append(f"{os.path.relpath(one, folder)} is set aside: {reason}")
    looked_for = "; ".join(f"{reader.name}: {reader.looks_for}" for reader in READERS)
    raise RecordingFormatError(
        f"No miniscope recording in {folder}. Looked for {looked_for}."
        + (f" {'; '.join(aside[:4])}." if aside else " Pass the folder that holds the videos.")
    )
