"""Measure the curation page's server on a large result: first view and selections, as a browser asks for them.

``python -m tests.benchmarks.page`` makes 1000 units of 100 000 frames below ``--home`` (default: a temporary folder;
one that is there already is taken), starts the page in a process of its own and prints the medians.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
import psutil
from playwright.sync_api import expect, sync_playwright

from miniscope_core.models import TaskKey
from tests.web.archives import make_archive
from tests.web.browsing import Curator, launch
from tests.web.server import serving

COLUMNS = 1200
"""Width of the traces on a usual screen, px."""


class Stopwatch:
    """Times what is asked of a server: until the answer is there, and the CPU time that the server took."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._wall: list[float] = []
        self._cpu: list[float] = []

    def time(self, ask: Callable[[], object]) -> None:
        """Time one question."""
        before, begin = self._process.cpu_times(), time.perf_counter()
        ask()
        after = self._process.cpu_times()
        self._wall.append(1e3 * (time.perf_counter() - begin))
        self._cpu.append(1e3 * (after.user + after.system - before.user - before.system))

    def tell(self, name: str) -> None:
        """Print the medians, and forget them."""
        # The clock of CPU time has steps of 10 ms: the mean of many is finer than their median.
        wall, worst, cpu = statistics.median(self._wall), max(self._wall), statistics.mean(self._cpu)
        print(f"{name:<36}{wall:8.0f} ms median {worst:8.0f} ms worst {cpu:8.0f} ms CPU", flush=True)
        self._wall, self._cpu = [], []


def measure(address: str, pid: int, task: TaskKey, selections: int) -> None:
    """Print how long the server takes to answer what the page asks for."""
    query = {"task": str(task)}
    watch = Stopwatch(pid)
    with httpx.Client(base_url=address, timeout=120, headers={"X-Miniscope": "1"}) as client:

        def get(path: str, **more: object) -> httpx.Response:
            answer = client.get(path, params=query | {name: str(value) for name, value in more.items()})
            return answer.raise_for_status()

        def first_view() -> None:
            client.post("/api/draft/open", json=query).raise_for_status()
            for path in ("/api/field", "/api/units", "/api/contours"):
                get(path)
            get("/api/image", name="pnr")

        def select(unit: int, begin: float = 0, end: float = 1e9) -> None:
            get("/api/traces", unit=unit, begin_s=begin, end_s=end, columns=COLUMNS)
            get("/api/unit", unit=unit)

        def edit(unit: int, revision: int) -> None:
            body = query | {"revision": revision, "edit": {"kind": "reject", "unit_ids": [unit]}}
            client.post("/api/draft/edit", json=body).raise_for_status()

        watch.time(first_view)
        watch.tell("first view, server just started")
        count = get("/api/field").json()["unit_count"]
        units = [int(unit) for unit in np.random.default_rng(1).permutation(count)[:selections]]
        for unit in units[:10]:
            watch.time(lambda unit=unit: select(unit))
        watch.tell("selection, traces not summed up yet")
        begin = time.perf_counter()
        while not get("/api/progress").json()["ready"]:
            time.sleep(0.1)
        print(f"all traces summed up after{time.perf_counter() - begin:8.1f} s more")
        for name, window in {"whole recording": (0, 1e9), "ten minutes": (600, 1200), "one minute": (900, 960)}.items():
            for unit in units:
                watch.time(lambda unit=unit, window=window: select(unit, *window))
            watch.tell(f"selection, {name}")
        watch.time(first_view)
        watch.tell("first view, again")
        revision = client.post("/api/draft/open", json=query).json()["revision"]
        for number, unit in enumerate(units):
            watch.time(lambda unit=unit, revision=revision + number: edit(unit, revision))
        watch.tell("an edit saved")


def measure_browser(address: str, task: TaskKey, selections: int) -> None:
    """Print how long a person waits, in a browser on the same machine: from a key to the new unit's traces drawn."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        ada = Curator(browser)
        for name in ("browser, first view", "browser, first view again"):
            ada.page.goto("about:blank")
            begin = time.perf_counter()
            ada.open_task(address, task)
            print(f"{name:<36}{1e3 * (time.perf_counter() - begin):8.0f} ms")
        expect(ada.page.locator(".numbers")).to_contain_text("skew", timeout=120_000)
        times = ada.page.evaluate(_NEXT_UNITS, selections)
        print(
            f"browser, next unit                  {statistics.median(times):8.0f} ms median {max(times):8.0f} ms worst"
        )
        ada.page.locator("#traces").focus()
        ada.press(*"++++++")
        times = ada.page.evaluate(_NEXT_UNITS, selections)
        print(
            f"browser, next unit, zoomed in       {statistics.median(times):8.0f} ms median {max(times):8.0f} ms worst"
        )
        browser.close()


_NEXT_UNITS = """async (count) => {
    const traces = document.getElementById("traces"), times = [];
    for (let k = 0; k < count; k += 1) {
        const begin = performance.now(), before = traces.dataset.unit;
        document.dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
        while (traces.dataset.unit === before) await new Promise((later) => requestAnimationFrame(later));
        times.push(performance.now() - begin);
    }
    return times;
}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the archive where it is missing, start the page, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="where the archive is or is made")
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=608, help="height and width of the field, px")
    parser.add_argument("--selections", type=int, default=60)
    parser.add_argument("--browser", action="store_true", help="measure in Chromium, not the server alone")
    parser.add_argument("--make-only", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        home.mkdir(parents=True, exist_ok=True)
        task = make_archive(home, options.units, options.frames, options.size)
        if options.make_only:
            print(task)
            return 0
        with serving(home) as (address, process):
            if options.browser:
                measure_browser(address, task, options.selections)
                return 0
            measure(address, process.pid, task, options.selections)
            print(f"peak memory of the server           {_peak_mib(process.pid):8.0f} MiB")
    return 0


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
