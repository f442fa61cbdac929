"""Recordings at addresses: on a real S3 service, the same as the folders that they were copied from."""

import gc
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniscope_core.errors import ParameterError, RecordingError, RecordingFormatError, RecordingNotFoundError
from miniscope_core.io import find_recordings, open_joined, open_recording
from miniscope_core.remote import FileCache, RemoteFiles
from miniscope_core.storage.faults import is_transient
from tests.archives import write_session
from tests.builders import SCOPE, make_movie, write_v3_recording, write_v4_session
from tests.formats import write_mio
from tests.services import S3Service, s3_service, upload
from tests.simulation import simulate


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Service]:
    with s3_service() as service:
        yield service


@pytest.fixture
def remote(tmp_path: Path, s3: S3Service) -> RemoteFiles:
    return remote_in(tmp_path, {"s3": s3.options})


def remote_in(tmp_path: Path, options: dict[str, Any] | None = None, limit: int = 2**30) -> RemoteFiles:
    return RemoteFiles(FileCache(tmp_path / "cache", limit, 3600), options or {})


def copies(remote: RemoteFiles) -> list[str]:
    top = remote.cache.files_dir
    return sorted("/".join(path.relative_to(top).parts[1:]) for path in top.rglob("*") if path.is_file())


def somewhere() -> str:
    return f"lab/{uuid.uuid4().hex}"


def test_recording_at_an_address_is_the_one_that_was_put_there(
    tmp_path: Path, s3: S3Service, remote: RemoteFiles
) -> None:
    device = write_session(tmp_path / "raw")
    address = upload(s3, device.parent, somewhere())
    local = open_recording(device)
    for place in (address, f"{address}/", f"{address}/{SCOPE}"):
        there = open_recording(place, remote=remote)
        assert there.address == place.rstrip("/")
        assert remote.where(there.directory) == f"{address}/{SCOPE}"
        np.testing.assert_array_equal(there.frames(), local.frames())
        np.testing.assert_array_equal(there.timestamps_s, local.timestamps_s)
        assert there.metadata == local.metadata
        assert there.notes == local.notes
        assert there.clock == local.clock


def test_formats_that_read_names_and_neighbours_find_them(tmp_path: Path, s3: S3Service, remote: RemoteFiles) -> None:
    write_v3_recording(tmp_path / "raw", make_movie())
    write_mio(tmp_path / "raw" / "wireless.avi", make_movie(12))
    (tmp_path / "raw" / "unrelated.bin").write_bytes(b"x" * 100)
    address = upload(s3, tmp_path / "raw", somewhere())
    old = open_recording(f"{address}/5_28_2019/H15_M45_S12", remote=remote)
    assert f"{old.metadata.recording_datetime:%Y-%m-%d %H:%M:%S}" == "2019-05-28 15:45:12"
    wireless = open_recording(f"{address}/wireless.avi", remote=remote)
    assert wireless.frame_count == 12
    assert not any(name.endswith("unrelated.bin") for name in copies(remote))


def test_of_a_session_only_what_tells_about_the_device_is_copied_too(
    tmp_path: Path, s3: S3Service, remote: RemoteFiles
) -> None:
    movie = make_movie()
    session = write_v4_session(tmp_path / "raw", {SCOPE: movie, "Other": movie})
    (session / ".DS_Store").write_bytes(b"x")
    (session / SCOPE / "._0.avi").write_bytes(b"x")
    address = upload(s3, session, somewhere())
    open_recording(f"{address}/{SCOPE}", remote=remote)
    names = {name.partition(address.rpartition("/")[2])[2].lstrip("/") for name in copies(remote)}
    assert {"metaData.json", "notes.csv", f"{SCOPE}/0.avi", "Other/timeStamps.csv"} <= names
    assert "Other/0.avi" not in names
    assert not any("/." in f"/{name}" for name in names)


def test_copies_stay_while_a_recording_is_used(tmp_path: Path, s3: S3Service, remote: RemoteFiles) -> None:
    address = upload(s3, write_session(tmp_path / "raw").parent, somewhere())
    recording = open_recording(address, remote=remote)
    remote.cache.sweep(0)
    before = recording.frames()
    recording.source.close()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(recording.frames(), before)
    del recording
    gc.collect()
    remote.cache.sweep(0)
    assert copies(remote) == []


def test_joined_recordings_at_an_address(tmp_path: Path, s3: S3Service, remote: RemoteFiles) -> None:
    scene = simulate(shape=(40, 48), frame_count=30, cell_count=2, seed=3)
    scene.write_v4(tmp_path / "day" / "a", start=datetime(2024, 3, 5, 14, 30, 15))
    scene.write_v4(tmp_path / "day" / "b", start=datetime(2024, 3, 5, 14, 40, 15))
    address = upload(s3, tmp_path / "day", somewhere())
    joined = open_joined(address, remote=remote)
    remote.cache.sweep(0)
    assert joined.frame_count == 60
    assert joined.address == address
    np.testing.assert_array_equal(joined.frames(30, 60), open_joined(tmp_path / "day").frames(30, 60))


def test_held_copy_of_a_folder_here_is_the_folder(tmp_path: Path) -> None:
    with remote_in(tmp_path).held(tmp_path) as place:
        assert place == tmp_path
    assert not (tmp_path / "cache").exists()


# -- what goes wrong --------------------------------------------------------------------------------------
def test_errors_name_the_address_and_not_the_copy(tmp_path: Path, s3: S3Service, remote: RemoteFiles) -> None:
    session = write_session(tmp_path / "raw").parent
    (session / SCOPE / "timeStamps.csv").unlink()
    address = upload(s3, session, somewhere())
    with pytest.raises(RecordingError, match=rf"{address}/{SCOPE}") as caught:
        open_recording(address, remote=remote)
    assert str(remote.cache.folder) not in str(caught.value)


@pytest.mark.parametrize("place", ["s3://miniscope/nothing/here", "s3://no-such-bucket/x"])
def test_what_is_not_there_is_not_found(place: str, remote: RemoteFiles) -> None:
    with pytest.raises(RecordingNotFoundError, match=place) as caught:
        open_recording(place, remote=remote)
    assert not is_transient(caught.value)


def test_service_that_is_away_may_be_tried_again(tmp_path: Path) -> None:
    with s3_service() as service:
        gone = service.options | {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 2}}
    with pytest.raises(RecordingError, match=r"Cannot read s3://miniscope/x.*MINISCOPE_RAW_OPTIONS") as caught:
        open_recording("s3://miniscope/x", remote=remote_in(tmp_path, {"s3": gone}))
    assert is_transient(caught.value)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nowhere://lab/x", "protocol"),
        ("s3://", "no path"),
        ("s3://lab/../x", "'..'"),
        ("s3://lab/a\\b", "plain names"),
        ("sftp://me:secret@host/x", "MINISCOPE_RAW_OPTIONS"),
        ("zip://x::s3://lab/y.zip", "'::'"),
    ],
)
def test_address_that_makes_no_sense_is_refused(place: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=told) as caught:
        open_recording(place, remote=remote_in(tmp_path))
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "cache" / "files").exists()


def test_object_whose_name_leads_elsewhere_is_refused(tmp_path: Path, s3: S3Service, remote: RemoteFiles) -> None:
    address = upload(s3, write_session(tmp_path / "raw").parent, prefix := somewhere())
    s3.client().put_object(Bucket=s3.bucket, Key=f"{prefix}/x/../../../../../evil.txt", Body=b"evil")
    with pytest.raises(ParameterError, match=r"'\.\.'"):
        open_recording(address, remote=remote)
    assert not list(tmp_path.rglob("evil.txt"))


def test_more_than_the_cache_may_hold_is_refused(tmp_path: Path, s3: S3Service) -> None:
    address = upload(s3, write_session(tmp_path / "raw").parent, somewhere())
    small = remote_in(tmp_path, {"s3": s3.options}, limit=1000)
    with pytest.raises(RecordingError, match="MINISCOPE_CACHE_LIMIT"):
        open_recording(address, remote=small)
    assert copies(small) == []


def test_folder_without_a_recording_says_what_was_looked_for(s3: S3Service, remote: RemoteFiles) -> None:
    s3.client().put_object(Bucket=s3.bucket, Key="notes/readme.txt", Body=b"nothing here")
    with pytest.raises(RecordingFormatError, match=r"No miniscope recording in s3://miniscope/notes"):
        open_recording("s3://miniscope/notes", remote=remote)


def test_search_for_recordings_wants_a_folder() -> None:
    with pytest.raises(ParameterError, match="open_recording"):
        find_recordings("s3://lab/mouse1")


# -- addresses and paths ----------------------------------------------------------------------------------
PARTS = st.lists(
    st.text("ab c.ä@-_é1", min_size=1).filter(lambda part: part not in (".", "..")), min_size=1, max_size=4
)


@given(PARTS, st.sampled_from(["s3", "memory", "gs", "abc+d.e-f"]), st.booleans())
def test_path_of_a_copy_tells_its_address(parts: list[str], protocol: str, optioned: bool) -> None:
    remote = remote_in(Path("/somewhere"), {protocol: {"endpoint_url": "http://x"}} if optioned else None)
    address = f"{protocol}://{'/'.join(parts)}"
    assert remote.where(remote.path(address)) == address
    assert remote.where(address) == address


def test_same_bucket_at_another_endpoint_has_copies_of_its_own(tmp_path: Path) -> None:
    one, other = (remote_in(tmp_path, {"s3": {"endpoint_url": f"http://{name}"}}) for name in ("a", "b"))
    assert one.path("s3://lab/x") != other.path("s3://lab/x")
    assert one.where(other.path("s3://lab/x")) == "s3://lab/x"


def test_any_file_system_of_fsspec_will_do(tmp_path: Path) -> None:
    device = write_session(tmp_path / "raw")
    place = f"/{uuid.uuid4().hex}"
    fsspec.filesystem("memory").put(str(device.parent), place, recursive=True)
    remote = remote_in(tmp_path)
    recording = open_recording(f"memory:/{place}", remote=remote)
    assert recording.frame_count == 30
    fsspec.filesystem("memory").rm(place, recursive=True)
    with pytest.raises(RecordingNotFoundError):
        open_recording(f"memory:/{place}", remote=remote)
