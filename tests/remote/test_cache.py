"""The cache of remote files: bounded, digested, shared by processes, and never emptied under a reader."""

import gc
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miniscope_core.errors import RecordingError
from miniscope_core.remote.cache import FileCache, Lease, RemoteFile

HOUR = 3600.0


class Origin:
    """Files somewhere else; counts what is fetched of them."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = {name: contents[name] for name in contents}
        self.fetched: list[str] = []

    def listed(self, *names: str) -> list[RemoteFile]:
        """List files as a file system does; the version changes with the content."""
        return [
            RemoteFile(f"s3/lab/{name}", name, len(self.contents[name]), str(hash(self.contents[name])))
            for name in names or self.contents
        ]

    def fetch(self, file: RemoteFile, path: Path, tell: Callable[[int], None]) -> None:
        self.fetched.append(file.source)
        path.write_bytes(self.contents[file.source])
        tell(file.nbytes)


@pytest.fixture
def origin() -> Origin:
    return Origin(a=b"a" * 400, b=b"b" * 300, c=b"c" * 200)


def cache_in(tmp_path: Path, limit: int = 1000, keep_s: float = HOUR) -> FileCache:
    return FileCache(tmp_path / "cache", limit, keep_s)


def there(cache: FileCache) -> list[str]:
    return sorted(path.name for path in cache.files_dir.rglob("*") if path.is_file())


def lease(cache: FileCache, origin: Origin, *names: str) -> Lease:
    return cache.lease(origin.listed(*names), origin.fetch)


def test_files_lie_under_their_names_and_are_fetched_once(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    told: list[tuple[str, int, int]] = []
    cache.lease(origin.listed(), origin.fetch, lambda *one: told.append(one)).release()
    assert (cache.files_dir / "s3" / "lab" / "b").read_bytes() == origin.contents["b"]
    assert told[-1] == ("fetching", 900, 900)
    lease(cache, origin).release()
    assert sorted(origin.fetched) == ["a", "b", "c"]


def test_file_that_changed_there_is_fetched_again(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    lease(cache, origin).release()
    origin.contents["b"] = b"B" * 300
    lease(cache, origin).release()
    assert (cache.files_dir / "s3" / "lab" / "b").read_bytes() == b"B" * 300
    assert sorted(origin.fetched) == ["a", "b", "b", "c"]


def test_copy_that_was_changed_here_is_fetched_again(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    lease(cache, origin).release()
    for name, damage in (("a", b"A" * 400), ("c", b"short")):
        (cache.files_dir / "s3" / "lab" / name).write_bytes(damage)
    lease(cache, origin).release()
    assert {name: (cache.files_dir / "s3" / "lab" / name).read_bytes() for name in "abc"} == origin.contents


def test_file_without_a_version_is_fetched_every_time(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    files = [RemoteFile("http/x/a", "a", 400, None)]
    for _ in range(2):
        cache.lease(files, origin.fetch).release()
    assert origin.fetched == ["a", "a"]


def test_what_was_unused_for_longest_makes_room(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path, limit=750)
    for name in ("a", "b", "a"):
        lease(cache, origin, name).release()
        time.sleep(0.02)
    lease(cache, origin, "c").release()
    assert there(cache) == ["a", "c"]


def test_what_somebody_reads_makes_no_room(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path, limit=750)
    held = lease(cache, origin, "a")
    lease(cache, origin, "b").release()
    lease(cache, origin, "c").release()
    assert there(cache) == ["a", "c"]
    with pytest.raises(RecordingError, match=r"being read by others.*MINISCOPE_CACHE_LIMIT"):
        lease(cache, origin, "b", "c")
    held.release()
    lease(cache, origin, "b", "c").release()
    assert there(cache) == ["b", "c"]


def test_more_than_the_limit_is_refused_before_anything_is_fetched(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path, limit=899)
    lease(cache, origin, "c").release()
    with pytest.raises(RecordingError, match=r"Nothing was fetched: raise MINISCOPE_CACHE_LIMIT"):
        lease(cache, origin)
    assert origin.fetched == ["c"]
    assert there(cache) == ["c"]


def test_more_than_is_free_on_the_disk_is_refused(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: _Usage(899))
    with pytest.raises(RecordingError, match="MINISCOPE_CACHE_DIR"):
        lease(cache_in(tmp_path), origin)
    assert origin.fetched == []


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_copies_go_when_they_were_unused_for_long_enough(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path, keep_s=0)
    held = lease(cache, origin, "a", "b")
    lease(cache, origin, "c").release()
    assert list(cache.sweep(dry_run=True)) == ["s3/lab/c"]
    assert there(cache) == ["a", "b", "c"]
    cache.sweep()
    assert there(cache) == ["a", "b"]
    held.release()
    assert sorted(cache.sweep()) == ["s3/lab/a", "s3/lab/b"]
    assert list(cache.files_dir.iterdir()) == []
    assert list((cache.folder / "leases").iterdir()) == []


def test_lease_that_is_lost_ends(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path, keep_s=0)
    held = lease(cache, origin, "a")
    cache.sweep()
    assert there(cache) == ["a"]
    del held
    gc.collect()
    cache.sweep()
    assert there(cache) == []


def test_lease_stays_with_who_took_it(tmp_path: Path, origin: Origin) -> None:
    held = lease(cache_in(tmp_path), origin, "a")
    assert pickle.loads(pickle.dumps(held)) is None  # noqa: S301


def test_time_of_the_last_use_is_when_a_lease_ended(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    held = lease(cache, origin, "a")
    time.sleep(0.1)
    ended = time.time()
    held.release()
    assert cache.copies()["s3/lab/a"].used >= ended - 0.05


def test_file_that_comes_with_another_size_is_refused(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    files = origin.listed()
    origin.contents["b"] = b"b" * 100
    with pytest.raises(RecordingError, match=r"got 100 bytes, expected the 300"):
        cache.lease(files, origin.fetch)
    assert "b" not in there(cache)
    assert list((cache.folder / "partial").iterdir()) == []


def test_what_came_whole_before_a_failure_is_not_fetched_again(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)

    def failing(file: RemoteFile, path: Path, tell: Callable[[int], None]) -> None:
        if file.source == "c":
            time.sleep(0.3)
            raise ConnectionError("the line is dead")
        origin.fetch(file, path, tell)

    with pytest.raises(ConnectionError):
        cache.lease(origin.listed(), failing)
    lease(cache, origin).release()
    assert sorted(origin.fetched) == ["a", "b", "c"]


def test_damaged_index_costs_the_copies_and_nothing_else(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    lease(cache, origin).release()
    for damage in ("{", "[]", '{"s3/lab/a": 3}', '{"s3/lab/a": {"nbytes": "x"}}', ""):
        (cache.folder / "index.json").write_text(damage)
        lease(cache, origin).release()
        assert there(cache) == ["a", "b", "c"]
    assert len(origin.fetched) == 18


def test_threads_that_want_the_same_all_get_it(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    leases: list[Lease] = []
    threads = [threading.Thread(target=lambda: leases.append(lease(cache, origin))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(leases) == 6
    assert {name: (cache.files_dir / "s3" / "lab" / name).read_bytes() for name in "abc"} == origin.contents


READER = """
import sys, time
from pathlib import Path
from tests.remote.test_cache import Origin, cache_in, lease
held = lease(cache_in(Path(sys.argv[1])), Origin(a=b"a" * 400), "a")
print("held", flush=True)
time.sleep(60)
"""


def test_process_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, keep_s=0)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "held\n"
        cache.sweep()
        assert there(cache) == ["a"]
        reader.send_signal(signal.SIGKILL)
    cache.sweep()
    assert there(cache) == []


def test_what_a_killed_process_was_fetching_goes(tmp_path: Path, origin: Origin) -> None:
    cache = cache_in(tmp_path)
    lease(cache, origin, "a").release()
    (cache.folder / "partial" / "0123.0").write_bytes(b"half")
    (cache.files_dir / "s3" / "lab" / "stray").write_bytes(b"moved, not written down")
    cache.sweep()
    assert there(cache) == ["a"]
    assert list((cache.folder / "partial").iterdir()) == []


def test_folder_that_cannot_be_written_is_named(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(RecordingError, match=r"Cache .*cache cannot be used.*MINISCOPE_CACHE_DIR"):
        lease(cache_in(tmp_path), origin)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.booleans()), max_size=8),
    st.integers(100, 900),
)
def test_copies_are_never_more_than_the_limit_and_never_less_than_what_is_held(
    tmp_path_factory: pytest.TempPathFactory, wishes: Sequence[tuple[list[str], bool]], limit: int
) -> None:
    cache = cache_in(tmp_path_factory.mktemp("cache"), limit=limit)
    origin = Origin(**{name: name.encode() * (60 * number + 10) for number, name in enumerate("abcdef")})
    held: list[tuple[list[str], Lease]] = []
    for names, keep in wishes:
        try:
            one = lease(cache, origin, *names)
        except RecordingError:
            wanted = {name for taken, _ in held for name in taken} | set(names)
            assert sum(len(origin.contents[name]) for name in wanted) > limit
            continue
        assert set(names) <= set(there(cache))
        if keep:
            held.append((names, one))
        else:
            one.release()
        assert sum(len(origin.contents[name]) for name in there(cache)) <= limit
        assert {name for taken, _ in held for name in taken} <= set(there(cache))
