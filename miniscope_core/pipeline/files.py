"""Where the files of a recording lie, and what exactly is in them."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from miniscope_core.errors import RecordingError, RecordingNotFoundError
from miniscope_core.models.hashing import file_sha256
from miniscope_core.progress import Progress, silent
from miniscope_core.remote import RemoteFiles
from miniscope_core.settings import Settings, is_address


@dataclass(frozen=True)
class FileDigest:
    """A file and the SHA-256 of its bytes."""

    path: Path
    nbytes: int
    sha256: str


Where = Path | str
"""Where something lies: an absolute path, or an address."""


@dataclass(frozen=True)
class RawFiles:
    """The places below which recordings lie, and how the database names what is there.

    Paths in the cache stand for the addresses that they are copies of.
    """

    roots: tuple[Where, ...]
    """``MINISCOPE_RAW_ROOTS``, in order."""
    remote: RemoteFiles

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make them as the settings say."""
        return cls(tuple(settings.raw_roots), RemoteFiles.of(settings))

    def name(self, path: Path) -> str:
        """Return how the database names a path: relative to the first root that holds it, else whole.

        A name that an earlier root holds too would be found there, so such a path is named whole as well.
        """
        root = self.root_of(path)
        where = self.remote.where(path)
        return _text(where) if root is None else _below(where, root) or ""

    def root_of(self, path: Path) -> Where | None:
        """Return the first root below which a path is found again by its relative name, or None."""
        where = self.remote.where(path)
        for root in self.roots:
            name = _below(where, root)
            if name is not None:
                places = (_join(one, name) for one in self.roots)
                if next((place for place in places if place == where or self.remote.exists(place)), where) == where:
                    return root
        return None

    def names(self, path: Path) -> list[str]:
        """Return every name that the database may have for a path: relative to a root, or whole.

        Which of them it has depends on the roots that were set when it was recorded.
        """
        where = self.remote.where(path)
        relative = [name for root in self.roots if (name := _below(where, root)) is not None]
        return [*dict.fromkeys(relative), _text(where)]

    def find(self, name: str) -> Where:
        """Return where a name of the database lies now; what is at an address is not fetched.

        A whole path or address that is gone is looked for below the roots by its ends, the longest first; that it is
        the same recording the digests prove.

        Raises
        ------
        RecordingNotFoundError
            When no root holds it.
        RecordingError
            When an address cannot be reached.
        """
        whole = is_address(name) or Path(name).expanduser().is_absolute()
        candidates: list[Where]
        if whole:
            candidates = [name if is_address(name) else Path(name).expanduser()]
        else:
            candidates = [_join(root, name) for root in self.roots] or [Path.cwd() / name]
        parts = [part for part in name.partition("://")[2].split("/") if part] if is_address(name) else Path(name).parts
        ends = ["/".join(parts[first:]) for first in range(1, len(parts))] if whole else []
        for candidate in (*candidates, *(_join(root, end) for end in ends for root in self.roots)):
            if self.remote.exists(candidate):
                return candidate
        looked = ", ".join(map(str, candidates))
        if ends and self.roots:
            looked += f", and for the ends of this path below {', '.join(map(str, self.roots))}"
        raise RecordingNotFoundError(
            f"Recording files {name} not found: looked at {looked}. "
            "If the data moved, name the folder or address that holds it in MINISCOPE_RAW_ROOTS."
        )

    def is_at(self, where: Where, path: Path) -> bool:
        """Tell whether a path, or what it is a copy of, is what lies somewhere; it is there."""
        here = self.remote.where(path)
        if isinstance(where, Path) and isinstance(here, Path):
            return os.path.samefile(where, here)
        return where == here


def _below(where: Where, root: Where) -> str | None:
    """Return the name of a place relative to a root, with ``/``; None where it lies elsewhere."""
    if isinstance(where, Path) and isinstance(root, Path):
        return where.relative_to(root).as_posix() if where.is_relative_to(root) else None
    if isinstance(where, Path) or isinstance(root, Path):
        return None
    return "." if where == root else where.removeprefix(f"{root}/") if where.startswith(f"{root}/") else None


def _join(root: Where, name: str) -> Where:
    return root / name if isinstance(root, Path) else root if name == "." else f"{root}/{name}"


def _text(where: Where) -> str:
    return where.as_posix() if isinstance(where, Path) else where


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
