"""Recordings at an address that fsspec reads (``s3://lab/mouse1``): copied to a bounded cache, then read as any other.

A copy lies below the cache under the path of its address, so that a reader sees the names and the neighbours that it
looks for, and so that a path in the cache tells its address. Besides what an address holds, the text files of the
folder above are copied, where acquisition programs keep the facts of a session.
"""

import atexit
import contextlib
import hashlib
import json
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import fsspec
from fsspec.callbacks import Callback

from miniscope_core.errors import MiniscopeError, ParameterError, RecordingError, RecordingNotFoundError
from miniscope_core.progress import Progress, silent
from miniscope_core.remote.cache import FileCache, Lease, RemoteFile
from miniscope_core.settings import Settings, plain_place

_TEXT: Final = (".json", ".csv", ".dat", ".txt")
"""Endings of the files in which acquisition programs keep facts and times."""
_VERSIONS: Final = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "LastModified", "last_modified", "mtime")
"""What file systems call that which changes when a file does, the surest first."""
_log = logging.getLogger(__name__)
_leases: weakref.WeakSet[Lease] = weakref.WeakSet()
_cleaned_up: set[Path] = set()
"""Folders of caches that are swept when this process ends."""


class RemoteFiles:
    """Addresses, and the copies of what they hold.

    Parameters
    ----------
    cache
        Where copies lie.
    options
        Options of fsspec's file systems, by protocol.
    """

    def __init__(self, cache: FileCache, options: Mapping[str, Mapping[str, Any]]) -> None:
        self.cache: Final = cache
        self._options = {protocol: dict(values) for protocol, values in options.items()}

    @classmethod
    def of(cls, settings: Settings | None = None) -> Self:
        """Make them as the settings say; default: those of the environment."""
        known = settings or Settings()
        return cls(FileCache(known.cache_dir, known.cache_limit, known.cache_hours * 3600), known.raw_options)

    # -- addresses and paths ----------------------------------------------------------------------------
    def where(self, place: str | os.PathLike[str]) -> Path | str:
        """Return where something really lies: the address of a copy in the cache, else the absolute path."""
        plain = plain_place(place)
        if isinstance(plain, str) or not plain.is_relative_to(self.cache.files_dir):
            return plain
        top, *parts = plain.relative_to(self.cache.files_dir).parts or ("",)
        return f"{top.partition('@')[0]}://{'/'.join(parts)}"

    def path(self, address: str) -> Path:
        """Return where the copy of what an address holds lies, or would."""
        return self.cache.files_dir.joinpath(*self._parts(address))

    def _parts(self, address: str) -> tuple[str, ...]:
        """Return the parts of the path that an address has in the cache, all of them harmless."""
        protocol, _, rest = address.partition("://")
        if "::" in rest or urlsplit(address).password is not None:
            raise ParameterError(
                f"Address {_without_password(address)}: got one with '::' or a password, expected a plain one. Put "
                "credentials into MINISCOPE_RAW_OPTIONS."
            )
        parts = [part for part in rest.split("/") if part]
        if not parts or (odd := [part for part in parts if not _harmless(part)]):
            named = f"a part {odd[0]!r}" if parts else "no path"
            raise ParameterError(f"Address {address}: got {named}, expected protocol://folder/… of plain names.")
        options = self._options.get(protocol)
        # The same bucket at another endpoint is another bucket.
        told = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:8]
        return (f"{protocol}@{told}" if options else protocol, *parts)

    def exists(self, place: Path | str) -> bool:
        """Tell whether something lies at a path or an address.

        Raises
        ------
        RecordingError
            When its file system cannot be reached.
        """
        if isinstance(place, Path):
            return place.exists()
        with _explained(place):
            return bool(self._open(place)[0].exists(place))

    # -- copies -----------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def held(self, place: str | os.PathLike[str], progress: Progress = silent) -> Iterator[Path]:
        """Give the path of a folder or file, copied first where it lies at an address, and kept for as long.

        Raises
        ------
        RecordingError
            As :meth:`lease`; and those of the block, which then name the address.
        """
        plain = plain_place(place)
        if isinstance(plain, Path):
            yield plain
            return
        lease = self.lease(plain, progress)
        try:
            with self.named():
                yield self.path(plain)
        finally:
            lease.release()
            self.cache.sweep()

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Let an error of ours name the address that a person knows, not the copy."""
        try:
            yield
        except MiniscopeError as error:
            told = str(error)
            for top in self.cache.files_dir.glob("*"):
                told = told.replace(f"{top}/", f"{top.name.partition('@')[0]}://")
            if told == str(error):
                raise
            raise type(error)(told) from error

    def lease(self, address: str, progress: Progress = silent) -> Lease:
        """Copy what an address holds, as far as it is not there, and keep it until the lease ends.

        Parameters
        ----------
        address
            Of a folder or a file.
        progress
            Told ``"fetching"`` in bytes.

        Raises
        ------
        ParameterError
            When the address makes no sense, or its protocol needs a package that is not there.
        RecordingNotFoundError
            When it holds nothing.
        RecordingError
            When it cannot be read, or the cache cannot take it.
        """
        address = address.rstrip("/")
        with _explained(address):
            fs, base = self._open(address)
            wanted = [
                RemoteFile("/".join(self._parts(place)), source, int(entry["size"]), _version(entry))
                for place, (source, entry) in self._listed(fs, address, base).items()
            ]

            def fetch(file: RemoteFile, path: Path, tell: Callable[[int], None]) -> None:
                fs.get_file(file.source, str(path), callback=_Telling(tell))

            lease = self.cache.lease(wanted, fetch, progress)
        _leases.add(lease)
        if self.cache.folder not in _cleaned_up:
            _cleaned_up.add(self.cache.folder)
            atexit.register(_clean_up, self.cache)
        return lease

    def _open(self, address: str) -> tuple[Any, str]:
        self._parts(address)  # refuses what makes no sense before it is asked for
        protocol = address.partition("://")[0]
        try:
            fs, base = fsspec.core.url_to_fs(address, **self._options.get(protocol, {}))
        except (ImportError, ValueError) as error:
            raise ParameterError(
                f"Address {address} cannot be read: {error}. Expected a protocol of fsspec whose package is installed."
            ) from error
        fs.invalidate_cache()  # what it listed a while ago may be gone
        return fs, base

    def _listed(self, fs: Any, address: str, base: str) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return the files to copy, by their addresses: their paths in the file system, and what it tells of them."""
        info = fs.info(base)
        found = {} if info["type"] == "directory" else {address: (base, info)}
        if not found:
            for source, entry in fs.find(base, detail=True).items():
                name = source[len(base) :].lstrip("/")
                if not any(part.startswith(".") and _harmless(part) for part in name.split("/")):
                    found[f"{address}/{name}"] = (source, entry)
        if not found:
            raise RecordingNotFoundError(f"No files at {address}. Is the address right?")
        above, _, last = address.rpartition("/")
        if above.endswith(":/"):
            return found
        beside = _text_files(fs, base.rpartition("/")[0], above)
        # A folder with a JSON file of its own is a session's: the clocks of its other devices are wanted too.
        if info["type"] == "directory" and any(place.lower().endswith(".json") for place in beside):
            for entry in fs.ls(base.rpartition("/")[0], detail=True):
                name = entry["name"].rstrip("/").rpartition("/")[2]
                if entry["type"] == "directory" and name != last:
                    beside |= _text_files(fs, entry["name"], f"{above}/{name}")
        return beside | found


def _text_files(fs: Any, folder: str, address: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the text files that lie directly in a folder; none where it may not be listed."""
    try:
        entries = fs.ls(folder, detail=True)
    except (PermissionError, FileNotFoundError) as error:
        _log.warning("%s cannot be listed, so a session's files are not looked for there: %s", address, error)
        return {}
    names = {entry["name"].rpartition("/")[2]: entry for entry in entries if entry["type"] == "file"}
    return {
        f"{address}/{name}": (entry["name"], entry)
        for name, entry in names.items()
        if name.lower().endswith(_TEXT) and not name.startswith(".")
    }


def _version(entry: Mapping[str, Any]) -> str | None:
    told = next((entry[name] for name in _VERSIONS if entry.get(name)), entry.get("created"))
    return None if told is None else str(told)


def _harmless(part: str) -> bool:
    return part not in (".", "..") and not any(sign in part for sign in ("\\", "\0", "\n"))


def _without_password(address: str) -> str:
    password = urlsplit(address).password
    return address.replace(f":{password}@", ":…@") if password else address


class _Telling(Callback):  # type: ignore[misc]
    """Tells how many bytes came since it was told last."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self._tell = tell

    def relative_update(self, inc: int = 1) -> None:
        super().relative_update(inc)
        self._tell(inc)

    def absolute_update(self, value: int) -> None:
        self._tell(value - self.value)
        super().absolute_update(value)


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what a file system raises into one line that names the address; the cause stays attached."""
    try:
        yield
    except MiniscopeError:
        raise
    except FileNotFoundError as error:
        raise RecordingNotFoundError(f"Nothing at {address}. Is the address right?") from error
    # A file system raises its service's own errors: botocore's are no OSErrors and have no common base with them.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        raise RecordingError(
            f"Cannot read {address}: {reason}. Check the service, your permissions and MINISCOPE_RAW_OPTIONS."
        ) from error


def _clean_up(cache: FileCache) -> None:
    """At the end of the process: what it read is read no more."""
    for lease in list(_leases):
        lease.release()
    with contextlib.suppress(RecordingError):
        cache.sweep()
