"""A bounded folder of copies of remote files, shared by the processes of a machine.

Readers want files with their names and their neighbours, and video decoders want to seek in them: so whole files are
copied, below the path that their address has, and none is removed while somebody reads it. What fsspec caches by itself
has other names, no bound and no notion of who reads.

Below the folder lie ``files`` (the copies), ``index.json`` (what each is a copy of, and its digest), ``partial`` (what
is on its way), ``leases`` (who reads what: a lock that the system lets go when its process dies, and a list) and
``lock``, which whoever changes the index holds.
"""

import contextlib
import os
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from miniscope_core.errors import RecordingError
from miniscope_core.models.hashing import file_sha256
from miniscope_core.progress import Progress, silent

_THREADS: Final = 4
"""Files copied, or digested, at the same time."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the listing of its file system tells it."""

    name: str
    """Its path below the cache, with ``/``."""
    source: str
    """Its path in its file system."""
    nbytes: int
    version: str | None
    """What changes when its content does (ETag, digest, time of change); None where nothing tells."""


@dataclass(frozen=True)
class Copy:
    """A file that is in the cache."""

    nbytes: int
    version: str | None
    sha256: str
    used: float
    """When it was last wanted, seconds since 1970."""


Fetch = Callable[[RemoteFile, Path, Callable[[int], None]], None]
"""Copies a file to a path, and tells the bytes as they come."""
_Value = TypeVar("_Value")
_INDEX: Final = TypeAdapter(dict[str, Copy])
_NOTE: Final = TypeAdapter(dict[str, int])


class Lease:
    """The right to read some copies: while it is held they stay. It ends with :meth:`release`, or when it is lost.

    What it is sent to by pickle, a worker process, gets None in its stead: its sender holds it.
    """

    def __init__(self, note: Path, lock: FileLock) -> None:
        self._end = weakref.finalize(self, _end, note, lock, os.getpid())

    def release(self) -> None:
        """End it; once is enough."""
        self._end()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


def _end(note: Path, lock: FileLock, owner: int) -> None:
    # Called by the garbage collector too, at any time: it must not wait for the index.
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        os.utime(note)  # when the copies were last used
    lock.release()


class FileCache:
    """Copies of remote files, never more than a limit.

    Parameters
    ----------
    folder
        Where they lie; made when it is needed.
    limit
        Bytes that they may take together. Those unused for longest make room.
    keep_s
        Seconds for which they stay after their last use.
    """

    def __init__(self, folder: Path, limit: int, keep_s: float) -> None:
        self.folder: Final = folder
        self.files_dir: Final = folder / "files"
        self._limit = limit
        self._keep_s = keep_s
        self._index = folder / "index.json"
        self._leases = folder / "leases"
        self._partial = folder / "partial"

    def lease(self, wanted: Sequence[RemoteFile], fetch: Fetch, progress: Progress = silent) -> Lease:
        """Copy the files that are not there, or not as they are now, and hold all of them.

        Parameters
        ----------
        wanted
            Files as they are listed now.
        fetch
            Copies one.
        progress
            Told ``"fetching"`` in bytes.

        Raises
        ------
        RecordingError
            When they, with what others read, take more than the limit; when the disk is full or the folder cannot be
            written; when a file came with another size than it was listed with. What came whole stays, so that the
            next attempt need not fetch it. Whatever ``fetch`` raises passes through.
        """
        ident = uuid.uuid4().hex
        with self._explained():
            with self._mutex():
                lease, copies = self._reserve(ident, {file.name: file for file in wanted})
            try:
                missing = self._without_intact(wanted, copies)
                self._fetch_all(ident, missing, fetch, progress)
            except BaseException:
                lease.release()
                raise
        return lease

    def sweep(self, keep_s: float | None = None, dry_run: bool = False) -> dict[str, Copy]:
        """Remove copies that nobody reads and that were not used for a while, and what crashes left.

        Parameters
        ----------
        keep_s
            Seconds since their last use; default: the cache's own.
        dry_run
            Only find them.

        Returns
        -------
        dict of str to Copy
            What was removed, or would be, by its path below ``files_dir``.

        Raises
        ------
        RecordingError
            When something cannot be removed.
        """
        if not self.folder.is_dir():
            return {}
        with self._explained(), self._mutex():
            index, held = self._settled()
            limit = time.time() - (self._keep_s if keep_s is None else keep_s)
            old = {name: copy for name, copy in index.items() if name not in held and copy.used <= limit}
            if not dry_run:
                self._evict(index, old)
        return old

    def copies(self) -> dict[str, Copy]:
        """Return what is in the cache, by its path below ``files_dir``."""
        if not self.folder.is_dir():
            return {}
        with self._explained(), self._mutex():
            return self._settled()[0]

    # -- under the lock ---------------------------------------------------------------------------------
    @contextlib.contextmanager
    def _mutex(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock", thread_local=False):
            yield

    def _reserve(self, ident: str, wanted: Mapping[str, RemoteFile]) -> tuple[Lease, dict[str, Copy]]:
        """Make room and take a lease; returns it, with the copies there are of what is wanted."""
        index, held = self._settled()
        limit = time.time() - self._keep_s
        self._evict(index, [n for n, copy in index.items() if n not in held and n not in wanted and copy.used <= limit])
        planned = held | {file.name: file.nbytes for file in wanted.values()}
        mine, all_of_it = sum(file.nbytes for file in wanted.values()), sum(planned.values())
        if all_of_it > self._limit:
            others = f", and {_gib(all_of_it - mine)} are being read by others" if all_of_it > mine else ""
            raise RecordingError(
                f"Remote files for the cache {self.folder}: got {_gib(mine)}{others}, expected at most "
                f"{_gib(self._limit)} in all. Nothing was fetched: raise MINISCOPE_CACHE_LIMIT (bytes), or name less."
            )
        spare = sorted((name for name in index if name not in planned), key=lambda name: index[name].used)
        room = self._limit - all_of_it - sum(index[name].nbytes for name in spare)
        while room < 0:
            room += index[spare[0]].nbytes
            self._evict(index, [spare.pop(0)])
        copies = {name: index[name] for name, file in wanted.items() if _is_current(index.get(name), file)}
        lacking = mine - sum(copy.nbytes for copy in copies.values())
        if lacking > (free := shutil.disk_usage(self.folder).free):
            raise RecordingError(
                f"Remote files for the cache {self.folder}: got {_gib(lacking)} to fetch, expected at most the "
                f"{_gib(free)} that are free there. Free some space or set MINISCOPE_CACHE_DIR."
            )
        self._leases.mkdir(exist_ok=True)
        note = self._leases / f"{ident}.json"
        lock = FileLock(note.with_suffix(".lock"), thread_local=False)
        lock.acquire(timeout=0)
        _write(note, _NOTE, {file.name: file.nbytes for file in wanted.values()})
        return Lease(note, lock), copies

    def _settled(self) -> tuple[dict[str, Copy], dict[str, int]]:
        """Return the copies that are there, and the sizes of the files that leases hold, once ended ones are gone."""
        index = _read(self._index, _INDEX)
        held: dict[str, int] = {}
        live = set()
        for note in self._leases.glob("*.json"):
            lock = FileLock(note.with_suffix(".lock"), thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                held |= _read(note, _NOTE)
                live.add(note.stem)
                continue
            used = note.stat().st_mtime
            for name in _read(note, _NOTE).keys() & index.keys():
                index[name] = replace(index[name], used=max(used, index[name].used))
            note.unlink()
            lock.release()
            note.with_suffix(".lock").unlink(missing_ok=True)
        there = {path.relative_to(self.files_dir).as_posix(): path for path in _files_below(self.files_dir)}
        index = {
            name: copy for name, copy in index.items() if name in there and there[name].stat().st_size == copy.nbytes
        }
        for name in there.keys() - index.keys() - held.keys():
            _remove(there[name], self.files_dir)
        for path in _files_below(self._partial):
            if path.name.partition(".")[0] not in live:
                path.unlink(missing_ok=True)
        _write(self._index, _INDEX, index)
        return index, held

    def _evict(self, index: dict[str, Copy], names: Sequence[str] | Mapping[str, Any]) -> None:
        for name in names:
            index.pop(name)
            _remove(self.files_dir / name, self.files_dir)
        _write(self._index, _INDEX, index)

    # -- copying ----------------------------------------------------------------------------------------
    def _without_intact(self, wanted: Sequence[RemoteFile], copies: Mapping[str, Copy]) -> list[RemoteFile]:
        """Return the files of which there is no copy that still has its digest."""
        names = list(copies)
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            digests = dict(zip(names, pool.map(file_sha256, [self.files_dir / name for name in names]), strict=True))
        return [file for file in wanted if file.name not in copies or copies[file.name].sha256 != digests[file.name]]

    def _fetch_all(self, ident: str, missing: Sequence[RemoteFile], fetch: Fetch, progress: Progress) -> None:
        total = max(1, sum(file.nbytes for file in missing))
        done, guard, stop = 0, threading.Lock(), threading.Event()

        def tell(nbytes: int) -> None:
            nonlocal done
            if stop.is_set():
                raise InterruptedError("another file could not be fetched")
            with guard:
                done += nbytes

        def copy(number: int) -> None:
            self._fetch_one(missing[number], self._partial / f"{ident}.{number}", fetch, tell)

        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            running = {pool.submit(copy, number) for number in range(len(missing))}
            try:
                while running:
                    finished, running = wait(running, timeout=0.2)
                    for one in finished:
                        one.result()  # the first that fails ends the others
                    progress("fetching", min(done, total - bool(running)), total)
            finally:
                stop.set()
                for one in running:
                    one.cancel()

    def _fetch_one(self, file: RemoteFile, partial: Path, fetch: Fetch, tell: Callable[[int], None]) -> None:
        partial.parent.mkdir(exist_ok=True)
        place = self.files_dir / file.name
        try:
            fetch(file, partial, tell)
            got = partial.stat().st_size
            if got != file.nbytes:
                raise RecordingError(
                    f"Remote file {file.source}: got {got} bytes, expected the {file.nbytes} it was listed with. Is it "
                    "being written? Try again when it is done."
                )
            copy = Copy(got, file.version, file_sha256(partial), time.time())
            with self._mutex():
                place.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(place)
                _write(self._index, _INDEX, _read(self._index, _INDEX) | {file.name: copy})
        finally:
            partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except RecordingError:
            raise
        except OSError as error:
            # What a file system raised for itself names no path of ours.
            if error.filename is None or not str(error.filename).startswith(str(self.folder)):
                raise
            raise RecordingError(
                f"Cache {self.folder} cannot be used: {error.strerror} at {error.filename}. Free some space, check the "
                "rights, or set MINISCOPE_CACHE_DIR."
            ) from error


def _is_current(copy: Copy | None, file: RemoteFile) -> bool:
    """Tell whether a copy is of the file as it is now; one without a version may be of any."""
    if copy is None or file.version is None:
        return False
    return (copy.nbytes, copy.version) == (file.nbytes, file.version)


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _remove(path: Path, top: Path) -> None:
    """Remove a file, and the folders that it leaves empty."""
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == top or not folder.is_relative_to(top):
            return
        with contextlib.suppress(OSError):
            folder.rmdir()


def _read(path: Path, form: TypeAdapter[dict[str, _Value]]) -> dict[str, _Value]:
    """Return what a file of ours holds; nothing where it is not there or was damaged: copies are then made anew."""
    try:
        return form.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}


def _write(path: Path, form: TypeAdapter[dict[str, _Value]], content: dict[str, _Value]) -> None:
    partial = path.with_suffix(".new")
    partial.write_bytes(form.dump_json(content))
    partial.replace(path)


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.2f} GiB"
