"""The object store: immutable prefixes below one fsspec address, a folder as well as ``s3://``.

A publication is written under a prefix that nobody knows yet, checked object by object, and becomes real only when
the database commit that names it succeeds. Nothing published is changed. What a crash leaves behind has no row and
is found by :func:`unreferenced`.
"""

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import fsspec
import zarr

from miniscope_core.errors import MiniscopeError, StoreError
from miniscope_core.models.hashing import file_sha256
from miniscope_core.progress import Progress, silent

MANIFEST: Final = "manifest.json"
_OBJECTS: Final = "objects"
_WRITE: Final = "write to"
_PREFIX: Final = re.compile(r"((?:[^/]+/)+?[0-9a-f]{32})/")
"""A prefix ends with the UUID that upload() gave it; those of databases are written with hyphens."""


@dataclass(frozen=True)
class Upload:
    """Objects that are in the store under a prefix of their own and that no row names yet."""

    prefix: str
    kind: str
    object_count: int
    nbytes: int
    manifest_sha256: str


class Store:
    """Immutable objects below one address.

    Parameters
    ----------
    url
        fsspec address: a folder, ``s3://bucket/path``, ``memory://path``.
    options
        Options of its file system, as fsspec takes them.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        self.url = url.rstrip("/")
        self.options = dict(options or {})
        with self._explained("open"):
            # Only folders are made on demand: a mistyped bucket is an error, not a new bucket.
            local = {"auto_mkdir": True} if fsspec.utils.get_protocol(self.url) in ("file", "local") else {}
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **self.options, **local)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @contextlib.contextmanager
    def _explained(self, doing: str, where: str = "") -> Iterator[None]:
        """Turn what a file system raises into one line that names the store; the cause stays attached."""
        try:
            yield
        except MiniscopeError:
            raise
        # A file system raises its service's own errors: botocore's are no OSErrors and have no common base with them.
        except Exception as error:
            place = f"{self.url}/{where}" if where else self.url
            reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
            space = " and the free space; nothing was published" if doing == _WRITE else ""
            raise StoreError(
                f"Cannot {doing} the object store at {place}: {reason}. "
                f"Check MINISCOPE_STORE_URL, the service, the permissions{space}."
            ) from error

    def reading(self, prefix: str) -> contextlib.AbstractContextManager[None]:
        """Explain what goes wrong while arrays of an opened group are read, as :class:`StoreError`.

        Zarr fetches when values are asked for, long after :meth:`open_group` returned.
        """
        return self._explained("read", prefix)

    def _path(self, *parts: str) -> str:
        return "/".join((self._root.rstrip("/"), *parts))

    def address(self, prefix: str, *parts: str) -> str:
        """Return the full address of something below a published prefix, for people and for other programs."""
        return "/".join((self.url, _OBJECTS, prefix, *parts))

    def check(self) -> None:
        """Write, read and remove one small object.

        Raises
        ------
        StoreError
            When any of it fails.
        """
        path = self._path(_OBJECTS, f"check-{uuid.uuid4().hex}")
        with self._explained(_WRITE):
            self._fs.pipe_file(path, b"miniscope")
            self._fs.invalidate_cache()
            found = self._fs.cat_file(path)
            self._fs.rm_file(path)
        if found != b"miniscope":
            raise StoreError(f"The object store at {self.url} returned other bytes than were written.")

    def upload(
        self,
        folder: Path,
        kind: str,
        progress: Progress = silent,
        *,
        below: str = "",
        names: Iterable[str] | None = None,
    ) -> Upload:
        """Copy a folder's files under a new prefix and check that each arrived whole.

        Parameters
        ----------
        folder
            A finished folder.
        kind
            Part of the prefix, e.g. ``"processing"``.
        progress
            Told the bytes copied.
        below
            First part of the prefix: whose it is, where several databases share the store.
        names
            Paths of the files in ``folder`` to copy, with ``/``; default: all.

        Returns
        -------
        Upload
            To be named by a row in the same commit as the results; until then it does not exist for anybody.

        Raises
        ------
        StoreError
            When a file is missing, is a link or lies elsewhere; when an object could not be written or has another
            size in the store. What was written is removed as far as the store lets us; nothing refers to it.
        """
        files = _files_of(folder, names)
        prefix = "/".join(part for part in (below, kind, uuid.uuid4().hex) if part)
        keys = {path: path.relative_to(folder).as_posix() for path in files}
        total = max(1, sum(path.stat().st_size for path in files))
        manifest: dict[str, dict[str, Any]] = {}
        done = 0
        try:
            with self._explained(_WRITE, prefix):
                for path in files:
                    manifest[keys[path]] = {"nbytes": path.stat().st_size, "sha256": file_sha256(path)}
                    self._put(path, self._path(_OBJECTS, prefix, keys[path]))
                    done += manifest[keys[path]]["nbytes"]
                    progress("publishing", done, total)
                text = json.dumps(manifest, indent=1, sort_keys=True).encode()
                self._fs.pipe_file(self._path(_OBJECTS, prefix, MANIFEST), text)
            self._verify(prefix, {name: entry["nbytes"] for name, entry in manifest.items()} | {MANIFEST: len(text)})
        except BaseException:
            with contextlib.suppress(StoreError):
                self.remove(prefix)
            raise
        return Upload(
            prefix=prefix,
            kind=kind,
            object_count=len(manifest) + 1,
            nbytes=done + len(text),
            manifest_sha256=hashlib.sha256(text).hexdigest(),
        )

    def _put(self, source: Path, target: str) -> None:
        self._fs.put_file(str(source), target)

    def _verify(self, prefix: str, expected: dict[str, int]) -> None:
        found = self.objects(prefix)
        if found != expected:
            wrong = sorted(name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name))
            raise StoreError(
                f"The object store at {self.url} holds other sizes than were written under {prefix}: "
                f"{', '.join(wrong[:5])}. Is the disk full? Nothing was published."
            )

    def objects(self, prefix: str) -> dict[str, int]:
        """List what lies under a prefix: names below it and their sizes in bytes."""
        base = self._path(_OBJECTS, prefix)
        with self._explained("list", prefix):
            self._fs.invalidate_cache()
            found = self._fs.find(base, detail=True)
        strip = len(self._fs._strip_protocol(base)) + 1
        return {name[strip:]: int(entry["size"]) for name, entry in found.items()}

    def prefixes(self, below: str = "") -> dict[str, datetime]:
        """List every prefix, published or not, with the time of its newest object (UTC).

        Parameters
        ----------
        below
            Only those that :meth:`upload` was given the same for.
        """
        base = self._path(_OBJECTS, *([below] if below else []))
        with self._explained("list"):
            self._fs.invalidate_cache()
            found = self._fs.find(base, detail=True) if self._fs.exists(base) else {}
        strip = len(self._fs._strip_protocol(base)) + 1
        newest: dict[str, datetime] = {}
        for name, entry in found.items():
            match = _PREFIX.match(name[strip:])
            if match is None:
                continue
            when = _modified(entry)
            prefix = f"{below}/{match[1]}" if below else match[1]
            newest[prefix] = max(when, newest.get(prefix, when))
        return newest

    def remove(self, prefix: str) -> None:
        """Remove everything under a prefix. Only for what no row names."""
        path = self._path(_OBJECTS, prefix)
        with self._explained("remove from", prefix):
            self._fs.invalidate_cache()
            if self._fs.exists(path):
                self._fs.rm(path, recursive=True)

    def read_bytes(self, prefix: str, name: str) -> bytes:
        """Read one object whole.

        Raises
        ------
        StoreError
            When it is not there or cannot be read.
        """
        with self._explained("read", f"{prefix}/{name}"):
            return bytes(self._fs.cat_file(self._path(_OBJECTS, prefix, name)))

    def open_group(self, prefix: str, name: str) -> zarr.Group:
        """Open a Zarr group below a published prefix, read-only.

        Raises
        ------
        StoreError
            When there is no such group.
        """
        address = self.address(prefix, name)
        with self._explained("read", f"{prefix}/{name}"):
            if "file" in self._fs.protocol:
                return zarr.open_group(self._path(_OBJECTS, prefix, name), mode="r")
            return zarr.open_group(address, mode="r", storage_options=self.options or None)


def _files_of(folder: Path, names: Iterable[str] | None) -> list[Path]:
    """Return what to publish of a folder; a link could lead to anything, so none is followed."""
    if names is None:
        files = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    else:
        files = [folder / name for name in sorted(set(names))]
    if not files:
        raise StoreError(f"Nothing to publish in {folder}: it holds no file.")
    for path in files:
        parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ("..",)
        steps = [folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]
        if ".." in parts or any(step.is_symlink() for step in steps) or not path.is_file():
            raise StoreError(
                f"Cannot publish {path}: expected a regular file in {folder}, no link and nothing outside. "
                "Nothing was published."
            )
    return files


def _modified(entry: dict[str, Any]) -> datetime:
    """Return when an object was last written: file systems name and type this differently."""
    for key in ("LastModified", "mtime", "created"):
        value = entry.get(key)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
    return datetime.now(UTC)
