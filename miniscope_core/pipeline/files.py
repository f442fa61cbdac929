"""Where the files of a recording lie, and what exactly is in them."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from miniscope_core.errors import RecordingError, RecordingNotFoundError
from miniscope_core.progress import Progress, silent
from miniscope_core.storage.store import file_sha256


@dataclass(frozen=True)
class FileDigest:
    """A file and the SHA-256 of its bytes."""

    path: Path
    nbytes: int
    sha256: str


def path_below_roots(path: Path, roots: Sequence[Path]) -> str:
    """Return how the database names a path: relative to the first root that holds it, else absolute.

    A name that an earlier root holds too would be found there, so such a path is absolute as well.

    Parameters
    ----------
    path
        An existing folder or file.
    roots
        ``MINISCOPE_RAW_ROOTS``, in order.
    """
    path = Path(os.path.abspath(path))
    root = root_of(path, roots)
    return path.as_posix() if root is None else path.relative_to(root).as_posix()


def root_of(path: Path, roots: Sequence[Path]) -> Path | None:
    """Return the first root below which a path is found again by its relative name, or None."""
    path = Path(os.path.abspath(path))
    for root in roots:
        if path.is_relative_to(root):
            name = path.relative_to(root)
            if next((one / name for one in roots if (one / name).exists()), path) == path:
                return root
    return None


def names_below_roots(path: Path, roots: Sequence[Path]) -> list[str]:
    """Return every name that the database may have for a path: relative to a root, or absolute.

    Which of them it has depends on the roots that were set when it was recorded.
    """
    path = Path(os.path.abspath(path))
    relative = [path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root)]
    return [*dict.fromkeys(relative), path.as_posix()]


def find_below_roots(name: str, roots: Sequence[Path]) -> Path:
    """Return where a path of the database lies on this machine.

    An absolute path that is gone is looked for below the roots by its ends, the longest first; that it is the same
    recording the digests prove.

    Raises
    ------
    RecordingNotFoundError
        When no root holds it.
    """
    path = Path(name).expanduser()
    candidates = [path] if path.is_absolute() else [root / path for root in roots] or [Path.cwd() / path]
    ends = [Path(*path.parts[first:]) for first in range(1, len(path.parts))] if path.is_absolute() else []
    for candidate in (*candidates, *(root / end for end in ends for root in roots)):
        if candidate.exists():
            return candidate
    looked = ", ".join(map(str, candidates))
    looked += f", and for the ends of this path below {', '.join(map(str, roots))}" if ends and roots else ""
    raise RecordingNotFoundError(
        f"Recording files {name} not found: looked at {looked}. "
        "If the data moved, name the folder that holds it in MINISCOPE_RAW_ROOTS."
    )


def digest_files(paths: Iterable[Path], workers: int = 1, progress: Progress = silent) -> list[FileDigest]:
    """Compute the SHA-256 of files, several at once.

    Parameters
    ----------
    paths
        Existing files.
    workers
        Threads; hashing and reading release the interpreter.
    progress
        Told the files finished.

    Returns
    -------
    list of FileDigest
        In the order of ``paths``.

    Raises
    ------
    RecordingError
        When a file cannot be read.
    """
    paths = list(paths)
    digests: list[FileDigest] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for digest in pool.map(_digest, paths):
            digests.append(digest)
            progress("checksums", len(digests), len(paths))
    return digests


def _digest(path: Path) -> FileDigest:
    try:
        return FileDigest(path, path.stat().st_size, file_sha256(path))
    except OSError as error:
        raise RecordingError(f"File {path} cannot be read: {error.strerror}. Check the disk and the rights.") from error


def name_from(folder: Path, path: Path) -> str:
    """Return a file's path from the recording's folder, the same whichever way, or link, led to the folder.

    The session's files lie beside the folder, and through a link to it far away: of them the name counts alone.
    """
    name = Path(os.path.relpath(path, folder))
    return f"../{name.name}" if name.parts[:1] == ("..",) else name.as_posix()


def content_digest(folder: Path, digests: Iterable[FileDigest]) -> str:
    """Return one SHA-256 over the names (by :func:`name_from`) and the contents of files, whatever their order."""
    lines = sorted(f"{name_from(folder, d.path)}\t{d.sha256}\n" for d in digests)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
