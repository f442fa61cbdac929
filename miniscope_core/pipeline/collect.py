"""Cleaning up: what crashes left in the store and in the scratch folder, copies of remote files, and nothing else."""

import logging
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from miniscope_core.errors import StoreError
from miniscope_core.pipeline.process import claimed_folders
from miniscope_core.remote import RemoteFiles
from miniscope_core.remote.cache import Copy
from miniscope_core.storage.archive import Archive
from miniscope_core.storage.publish import unreferenced

_log = logging.getLogger(__name__)
A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Leftover:
    """Something that nobody refers to."""

    place: str
    """Address in the store, or folder."""
    written_at: datetime
    """When something in it was last written, or a copy last used, UTC."""
    nbytes: int

    def __str__(self) -> str:
        return f"{self.place} ({self.nbytes / 2**20:.1f} MiB, written {self.written_at:%Y-%m-%d %H:%M} UTC)"


def collect_garbage(archive: Archive, older_than: timedelta = A_DAY, dry_run: bool = False) -> list[Leftover]:
    """Remove what no row names from the store, old jobs from the scratch folder, and copies of remote recordings.

    A finished result that could not be published is such a job: it is computed again when it is gone.

    Parameters
    ----------
    archive
        Database and store that belong together.
    older_than
        Spare what was written since: a run may be about to publish it. Jobs that are claimed are always spared.
    dry_run
        Only find it.

    Returns
    -------
    list of Leftover
        What was removed, or would be.

    Raises
    ------
    StoreError
        When something cannot be listed or removed.
    """
    found: list[Leftover] = []
    for garbage in unreferenced(archive.database, archive.store, older_than):
        if not dry_run:
            archive.store.remove(garbage.prefix)
        found.append(Leftover(archive.store.address(garbage.prefix), garbage.written_at, garbage.nbytes))
    limit = datetime.now(UTC) - older_than
    computing = claimed_folders(archive)
    for folder in _folders(archive.settings.jobs_dir):
        if folder in computing:
            continue
        leftover = _measure(folder)
        if leftover.written_at < limit:
            if not dry_run:
                _remove(folder)
            found.append(leftover)
    found += _copies(archive, older_than, dry_run)
    if not dry_run:
        _log.info("Cleaned up %d leftovers, %d bytes", len(found), sum(one.nbytes for one in found))
    return found


def _copies(archive: Archive, older_than: timedelta, dry_run: bool) -> list[Leftover]:
    """Remove copies of remote recordings that nobody reads; one leftover a folder."""
    cache = RemoteFiles.of(archive.settings).cache
    old: dict[Path, list[Copy]] = {}
    for name, copy in cache.sweep(older_than.total_seconds(), dry_run).items():
        old.setdefault((cache.files_dir / name).parent, []).append(copy)
    return [
        Leftover(
            str(folder),
            datetime.fromtimestamp(max(copy.used for copy in copies), UTC),
            sum(copy.nbytes for copy in copies),
        )
        for folder, copies in sorted(old.items())
    ]


def _folders(jobs: Path) -> list[Path]:
    return sorted(path for path in jobs.iterdir() if path.is_dir()) if jobs.is_dir() else []


def _measure(folder: Path) -> Leftover:
    """Return a job's size and newest change; what goes away in the meantime is a sign of life."""
    try:
        facts = [path.lstat() for path in (folder, *folder.rglob("*"))]
    except FileNotFoundError:
        return Leftover(str(folder), datetime.now(UTC), 0)
    newest = max(fact.st_mtime for fact in facts)
    return Leftover(
        str(folder), datetime.fromtimestamp(newest, UTC), sum(f.st_size for f in facts if stat.S_ISREG(f.st_mode))
    )


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"Scratch folder {folder} cannot be removed: {error.strerror}. Check the rights.") from error
