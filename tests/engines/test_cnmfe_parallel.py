"""Ordered maps and sweeps: every item once, errors at once, no thread left behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.progress import silent


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_a_sweep_gives_every_output_once_and_reports_each(workers: int) -> None:
    steps: list[tuple[str, int, int]] = []
    with ThreadPoolExecutor(workers) as pool:
        context = Context(pool, workers, lambda *step: steps.append(step))
        outputs = list(context.sweep("stage", lambda item: item * item, range(5)))
    assert sorted(outputs) == [0, 1, 4, 9, 16]
    assert steps == [("stage", done, 5) for done in range(1, 6)]


def test_a_worker_keeps_to_a_stretch_of_its_own() -> None:
    seen: dict[int, list[int]] = {}
    together = threading.Barrier(2, timeout=10)

    def note(item: int) -> None:
        if item in (0, 4):
            together.wait()  # both workers have begun
        seen.setdefault(threading.get_ident(), []).append(item)

    with ThreadPoolExecutor(2) as pool:
        list(Context(pool, 2, silent).sweep("stage", note, range(8)))
    assert sorted(seen.values()) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_an_error_ends_a_sweep_and_leaves_no_worker_waiting() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("item 3")
        return item

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="item 3"):
        list(Context(pool, 2, silent).sweep("stage", work, range(100)))


def test_a_sweep_that_is_given_up_ends_its_workers() -> None:
    done: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        outputs = Context(pool, 2, silent).sweep("stage", lambda item: done.append(item), range(1000))
        next(outputs)
        outputs.close()  # type: ignore[attr-defined]
    assert len(done) < 1000
