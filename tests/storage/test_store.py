"""Every store keeps the same promises: a folder, memory, and S3 over HTTP."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miniscope_core.errors import StoreError
from miniscope_core.models.hashing import file_sha256
from miniscope_core.result import ARRAYS_GROUP, ArrayWriter
from miniscope_core.storage.store import MANIFEST, Store
from tests.services import S3Service, s3_service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = ArrayWriter(tmp_path / "result")
    writer.write("traces", np.arange(12, dtype=float).reshape(3, 4))
    (writer.folder / "result.json").write_text("{}")
    return writer.folder


class StoreContract:
    """What publishing and reading rely on, whatever the address."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError

    def test_uploaded_arrays_read_back_equal(self, store: Store, folder: Path) -> None:
        upload = store.upload(folder, "processing")
        group = store.open_group(upload.prefix, ARRAYS_GROUP)
        assert np.array_equal(group["traces"][...], np.arange(12).reshape(3, 4))
        assert store.read_bytes(upload.prefix, "result.json") == b"{}"

    def test_objects_are_the_files_and_the_manifest_with_their_sizes(self, store: Store, folder: Path) -> None:
        upload = store.upload(folder, "processing")
        found = store.objects(upload.prefix)
        files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
        assert {name: size for name, size in found.items() if name != MANIFEST} == files
        assert upload.object_count == len(found)
        assert upload.nbytes == sum(found.values())

    def test_the_same_folder_twice_gives_two_prefixes(self, store: Store, folder: Path) -> None:
        first, second = store.upload(folder, "processing"), store.upload(folder, "processing")
        assert first.prefix != second.prefix
        assert {first.prefix, second.prefix} <= set(store.prefixes())

    def test_removed_prefix_is_gone_and_its_neighbour_stays(self, store: Store, folder: Path) -> None:
        first, second = store.upload(folder, "processing"), store.upload(folder, "processing")
        store.remove(first.prefix)
        assert first.prefix not in store.prefixes()
        assert store.objects(second.prefix)

    def test_missing_object_is_a_store_error_with_its_address(self, store: Store) -> None:
        with pytest.raises(StoreError, match=r"processing/none/result\.json"):
            store.read_bytes("processing/none", "result.json")

    def test_upload_that_fails_half_way_leaves_nothing(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, calls = store._put, []

        def fail_on_the_second(source: Path, target: str) -> None:
            calls.append(target)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            put(source, target)

        monkeypatch.setattr(store, "_put", fail_on_the_second)
        with pytest.raises(StoreError, match="No space left on device"):
            store.upload(folder, "processing")
        assert len(calls) == 2
        assert store.prefixes() == {}

    def test_object_cut_short_by_the_store_is_noticed(
        self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cut(source: Path, target: str) -> None:
            store._fs.pipe_file(target, source.read_bytes()[:-1])

        monkeypatch.setattr(store, "_put", cut)
        with pytest.raises(StoreError, match="other sizes than were written"):
            store.upload(folder, "processing")
        assert store.prefixes() == {}

    def test_a_working_store_checks_clean(self, store: Store) -> None:
        store.check()
        assert store.prefixes() == {}


class TestFolder(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(str(tmp_path / "a store with spaces"))

    def test_a_file_where_the_store_should_be_is_one_clear_line(self, tmp_path: Path, folder: Path) -> None:
        (tmp_path / "taken").write_text("")
        with pytest.raises(StoreError, match="taken") as caught:
            Store(str(tmp_path / "taken")).check()
        assert "\n" not in str(caught.value)


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return Store(f"memory://{uuid.uuid4().hex}")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Service]:
    with s3_service() as service:
        yield service


class TestS3(StoreContract):
    @pytest.fixture
    def store(self, s3: S3Service) -> Store:
        return Store(f"s3://{s3.bucket}/{uuid.uuid4().hex}", s3.options)

    def test_a_bucket_that_is_not_there_is_one_clear_line(self, s3: S3Service) -> None:
        with pytest.raises(StoreError, match="no-such-bucket"):
            Store("s3://no-such-bucket/x", s3.options).check()


def test_a_service_that_is_away_is_a_store_error_with_its_cause(unused_endpoint: dict[str, Any]) -> None:
    with pytest.raises(StoreError) as caught:
        Store("s3://miniscope/x", unused_endpoint).check()
    assert caught.value.__cause__ is not None


@pytest.fixture
def unused_endpoint() -> dict[str, Any]:
    with s3_service() as service:
        options = service.options
    return options | {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 2}}


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_upload_takes_what_is_named_and_leaves_the_rest(folder: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    upload = store.upload(folder, "processing", names=["result.json", "arrays.zarr/zarr.json"])
    assert store.objects(upload.prefix).keys() == {"result.json", "arrays.zarr/zarr.json", MANIFEST}


@pytest.mark.parametrize(
    "name", ["link", "linked/secret", "../secret", "arrays.zarr/../../secret", "/etc/hostname", "no"]
)
def test_named_file_that_is_a_link_or_elsewhere_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("password")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    store = Store(str(tmp_path / "store"))
    with pytest.raises(StoreError, match="expected a regular file"):
        store.upload(folder, "processing", names=["result.json", name])
    assert store.prefixes() == {}


def test_link_in_a_folder_that_is_published_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="link: expected a regular file"):
        Store(str(tmp_path / "store")).upload(folder, "processing")


def test_unpublishable_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no file"):
        Store(str(tmp_path / "store")).upload(tmp_path / "empty", "processing")
    shutil.rmtree(tmp_path / "empty")
