"""What a run is said to cost: its own memory, not that of what was there before."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from miniscope_core.engines.measure import Measure

MIB = 2**20
HOLD = "import sys; held = b'x' * (200 * 2**20); print('ready', flush=True); sys.stdin.read()"


@contextmanager
def child_holding_200_mib() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()


def peak(measure: Measure) -> float:
    return measure.peak_memory_bytes / MIB


def test_children_of_the_run_count_and_those_from_before_do_not() -> None:
    with child_holding_200_mib():
        with Measure() as alone:
            alone._stop.wait(0.2)
        with Measure() as with_child, child_holding_200_mib():
            with_child._stop.wait(0.2)
    assert 180 < peak(with_child) - peak(alone) < 260


def test_stages_add_up_by_name() -> None:
    with Measure() as measure:
        for _ in range(2):
            with measure.stage("a"):
                pass
        with measure.stage("b"):
            pass
    assert list(measure.timings) == ["a", "b"]
    assert all(seconds >= 0 for seconds in measure.timings.values())
