"""Paths as the database names them, and digests that tell one content from another."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniscope_core.errors import RecordingError, RecordingNotFoundError
from miniscope_core.pipeline.files import (
    FileDigest,
    RawFiles,
    Where,
    content_digest,
    digest_files,
)
from miniscope_core.remote import FileCache, RemoteFiles


def raw(roots: Sequence[Where]) -> RawFiles:
    return RawFiles(tuple(roots), RemoteFiles(FileCache(Path("/nowhere/cache"), 2**20, 0), {}))


def test_path_below_a_root_is_relative_and_found_again(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    folder = roots[1] / "mouse 1" / "session"
    folder.mkdir(parents=True)
    assert raw(roots).name(folder) == "mouse 1/session"
    assert raw(roots).find("mouse 1/session") == folder


def test_path_below_no_root_is_absolute(tmp_path: Path) -> None:
    assert raw([tmp_path / "a"]).name(tmp_path) == tmp_path.as_posix()
    assert raw([tmp_path / "a"]).find(tmp_path.as_posix()) == tmp_path


def test_path_that_an_earlier_root_hides_is_absolute(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        (root / "session").mkdir(parents=True)
    assert raw(roots).name(roots[0] / "session") == "session"
    assert raw(roots).name(roots[1] / "session") == (roots[1] / "session").as_posix()


def test_relative_paths_are_those_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "session").mkdir()
    monkeypatch.chdir(tmp_path)
    assert raw([tmp_path]).name(Path("session")) == "session"
    assert raw([tmp_path]).name(Path("other/../session")) == "session"


def test_every_name_a_path_may_have_is_told_once(tmp_path: Path) -> None:
    roots = [tmp_path, tmp_path / "a", tmp_path / "elsewhere", tmp_path]
    assert raw(roots).names(tmp_path / "a" / "s") == ["a/s", "s", (tmp_path / "a" / "s").as_posix()]


def test_missing_path_names_everywhere_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RecordingNotFoundError, match=rf"{tmp_path}/a/s, {tmp_path}/b/s.*MINISCOPE_RAW_ROOTS"):
        raw([tmp_path / "a", tmp_path / "b"]).find("s")


def test_digests_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}" for number in range(5)]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
    digests = digest_files(paths, workers=3)
    assert [digest.path for digest in digests] == paths
    assert [digest.sha256 for digest in digests] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert [digest.nbytes for digest in digests] == [1000] * 5


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"gone\.avi cannot be read: No such file"):
        digest_files([tmp_path / "gone.avi"])


FILES = st.dictionaries(
    st.text("abc/.", min_size=1).filter(lambda name: name.strip("/.")),
    st.sampled_from(["0" * 64, "1" * 64]),
    min_size=1,
)


@given(FILES)
def test_content_digest_does_not_depend_on_order_or_place(files: dict[str, str]) -> None:
    def digests(folder: Path, names: list[str]) -> list[FileDigest]:
        return [FileDigest(folder / name, 1, files[name]) for name in names]

    forward, backward = list(files), list(reversed(files))
    one, other = Path("/data/one"), Path("/mnt/other")
    assert content_digest(one, digests(one, forward)) == content_digest(other, digests(other, backward))


def test_content_digest_tells_names_and_contents_apart() -> None:
    folder = Path("/data")

    def digest(*files: tuple[str, str]) -> str:
        return content_digest(folder, [FileDigest(folder / name, 1, letter * 64) for name, letter in files])

    different = [
        digest(("0.avi", "a")),
        digest(("1.avi", "a")),
        digest(("0.avi", "b")),
        digest(("0.avi", "a"), ("1.avi", "a")),
        digest(("0.avi", "a"), ("1.avi", "b")),
        digest(("0.avi", "b"), ("1.avi", "a")),
        digest(("../0.avi", "a")),
    ]
    assert len(set(different)) == len(different)
