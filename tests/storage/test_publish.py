"""Publishing: objects and rows become real together, or what is left is garbage that can be told."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import sqlalchemy as sa

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, DatabaseError, StoreError
from miniscope_core.models import make
from miniscope_core.result import ArrayWriter, ResultWriter
from miniscope_core.storage.database import Database
from miniscope_core.storage.publish import publishing, unreferenced
from miniscope_core.storage.store import Store

NOW = timedelta(seconds=-60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = ResultWriter(tmp_path / "result")
    writer.write("traces", np.arange(12.0).reshape(3, 4))
    writer.write_footprints(sp.csr_array(np.eye(3, 20)))
    return writer.folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def publications(database: Database) -> list[m.Publication]:
    with database.session() as session:
        return list(session.scalars(sa.select(m.Publication)))


def test_rows_and_objects_appear_together(database: Database, store: Store, folder: Path) -> None:
    with publishing(database, store, folder, "processing") as (session, publication):
        session.add(make(m.Subject, subject="with it"))
        assert publications(database) == []
        prefix = publication.prefix
    (row,) = publications(database)
    objects = store.objects(prefix)
    assert (row.prefix, row.kind) == (prefix, "processing")
    assert (row.object_count, row.nbytes) == (len(objects), sum(objects.values()))
    assert unreferenced(database, store, NOW) == []


def test_every_array_gets_a_row_and_a_sparse_one_is_one(database: Database, store: Store, folder: Path) -> None:
    with publishing(database, store, folder, "processing"):
        pass
    with database.session() as session:
        found = {row.name: row for row in session.scalars(sa.select(m.StoredArray))}
    assert found.keys() == {"traces", "footprints"}
    traces, footprints = found["traces"], found["footprints"]
    assert (traces.layout, traces.shape, traces.dtype) == ("dense", [3, 4], "float32")
    assert (traces.unit, traces.axes) == ("a.u.", ["unit", "frame"])
    assert (footprints.layout, footprints.shape, footprints.axes) == ("csr", [3, 20], ["unit", "pixel"])


def test_only_the_files_that_are_named_are_published(database: Database, store: Store, folder: Path) -> None:
    (folder / "raw.avi").write_bytes(b"x")
    names = [path.relative_to(folder).as_posix() for path in (folder / "arrays.zarr").rglob("*") if path.is_file()]
    with publishing(database, store, folder, "processing", names=names) as (_, publication):
        prefix = publication.prefix
    assert store.objects(prefix).keys() == {*names, "manifest.json"}


def test_block_that_raises_leaves_neither_rows_nor_objects(database: Database, store: Store, folder: Path) -> None:
    def publish() -> None:
        with publishing(database, store, folder, "processing") as (session, _):
            session.add(make(m.Subject, subject="with it"))
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        publish()
    assert publications(database) == []
    assert store.prefixes() == {}


def test_row_that_contradicts_the_database_leaves_no_objects(database: Database, store: Store, folder: Path) -> None:
    with (
        pytest.raises(ConflictError),
        publishing(database, store, folder, "processing") as (session, _),
    ):
        session.add(make(m.Channel, channel=0))
    assert store.prefixes() == {}


def test_upload_that_fails_opens_no_transaction(
    sqlite_database: Database, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_put", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setattr(sqlite_database, "session", lambda: pytest.fail("a transaction"))
    with (
        pytest.raises(StoreError, match="No space left"),
        publishing(sqlite_database, store, folder, "processing"),
    ):
        pytest.fail("the block ran")
    assert store.prefixes() == {}


def test_commit_that_fails_keeps_the_objects_for_the_collector_to_judge(
    database: Database, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect: Any = database.engine.dialect

    def fail(connection: Any) -> None:
        raise dialect.dbapi.OperationalError("connection lost")

    def publish(patch: pytest.MonkeyPatch) -> None:
        with publishing(database, store, folder, "processing"):
            patch.setattr(dialect, "do_commit", fail)

    with monkeypatch.context() as patch, pytest.raises(DatabaseError, match="connection lost"):
        publish(patch)
    (garbage,) = unreferenced(database, store, NOW)
    assert list(store.prefixes()) == [garbage.prefix]
    assert garbage.nbytes == sum(store.objects(garbage.prefix).values())


def test_what_was_written_lately_is_no_garbage_yet(sqlite_database: Database, store: Store, folder: Path) -> None:
    upload = store.upload(folder, "processing", below=sqlite_database.identity)
    assert unreferenced(sqlite_database, store) == []
    assert [garbage.prefix for garbage in unreferenced(sqlite_database, store, NOW)] == [upload.prefix]


def test_published_prefixes_are_never_garbage(sqlite_database: Database, store: Store, folder: Path) -> None:
    with publishing(sqlite_database, store, folder, "processing") as (_, publication):
        kept = publication.prefix
    upload = store.upload(folder, "recording", below=sqlite_database.identity)
    assert [garbage.prefix for garbage in unreferenced(sqlite_database, store, NOW)] == [upload.prefix]
    assert kept in store.prefixes()


def test_what_another_database_has_in_the_store_is_no_garbage(
    sqlite_database: Database, store: Store, folder: Path, tmp_path: Path
) -> None:
    with publishing(sqlite_database, store, folder, "processing") as (_, publication):
        assert publication.prefix.startswith(f"{sqlite_database.identity}/processing/")
    crashed = store.upload(folder, "processing", below=sqlite_database.identity)
    store.upload(folder, "processing")
    with Database(f"sqlite:///{tmp_path / 'empty.db'}") as other:
        other.upgrade()
        assert unreferenced(other, store, NOW) == []
    assert [garbage.prefix for garbage in unreferenced(sqlite_database, store, NOW)] == [crashed.prefix]


def test_progress_counts_the_bytes_to_their_end(sqlite_database: Database, store: Store, folder: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    with publishing(sqlite_database, store, folder, "processing", lambda *call: calls.append(call)):
        pass
    assert {stage for stage, _, _ in calls} == {"publishing"}
    assert calls[-1][1] == calls[-1][2] > 0
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


def test_folder_without_arrays_leaves_nothing(sqlite_database: Database, store: Store, tmp_path: Path) -> None:
    writer = ArrayWriter(tmp_path / "empty")
    with publishing(sqlite_database, store, writer.folder, "recording"):
        pass
    (row,) = publications(sqlite_database)
    assert row.object_count == 2  # the group's description and the manifest
