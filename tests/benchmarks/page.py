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
import scipy.ndimage
import scipy.signal
import scipy.sparse as sp
import sqlalchemy as sa
from numpy.typing import NDArray

from miniscope_core import models as m
from miniscope_core.models import RecordingKey, TaskKey
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.models.processing import TaskMode
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameters, add_task, process_recording
from miniscope_core.result import ResultInfo, ResultWriter, write_step
from miniscope_core.storage.archive import Archive
from tests.archives import settings_for, write_session
from tests.web.server import serving

FPS = 20.0
COLUMNS = 1200
"""Width of the traces on a usual screen, px."""
_SIGMA_PX = 4.0


def make_archive(home: Path, units: int, frames: int, size_px: int) -> TaskKey:
    """Make an archive with one curated processing of simulated units."""
    with Archive.open(settings_for(home)) as archive:
        recording = ingest_recording(archive, write_session(home / "raw")).key
        _pretend(archive, recording, frames, size_px)
        output = home / "raw" / "large"
        if not output.exists():
            write_large_result(output, units, frames, size_px)
        paramset = add_parameters(archive, CnmfeParameters())
        task = add_task(archive, recording, paramset, TaskMode.LOAD, "large")
        process_recording(archive, task)
        curate_processing(archive, task)
        return task


def _pretend(archive: Archive, recording: RecordingKey, frames: int, size_px: int) -> None:
    """Say that the recording has as many frames as the result: no video of that length is needed here."""
    with archive.database.session() as session:
        info = m.get(session, m.RecordingInfo, **recording.columns)
        info.nframes, info.px_height, info.px_width = frames, size_px, size_px


def write_large_result(folder: Path, units: int, frames: int, size_px: int, seed: int = 0) -> None:
    """Write a result of round cells with calcium transients in noise."""
    rng = np.random.default_rng(seed)
    writer = ResultWriter(folder)
    centers = rng.uniform(8, size_px - 8, (units, 2))
    footprints, picture = _footprints(centers, size_px)
    writer.write_footprints(footprints)
    rate = rng.uniform(0.01, 0.15, units)
    strength = rng.uniform(4, 40, units)
    _write_traces(writer, rng, rate, strength, frames)
    background = 200 + 60 * scipy.ndimage.gaussian_filter(rng.standard_normal((size_px, size_px)), 12) * 12
    noise = rng.standard_normal((size_px, size_px))
    for name, image in {
        "template": background + 25 * picture,
        "average": background + 30 * picture + noise,
        "max": background + 120 * picture + 6 * noise,
        "correlation": np.clip(0.35 + 0.6 * picture / picture.max() + 0.03 * noise, 0, 1),
        "pnr": 4 + 14 * picture + noise,
    }.items():
        writer.write(f"image_{name}", image)
    writer.write("shifts_px", rng.normal(size=(frames, 2)))
    writer.write("accepted", strength > 10)
    writer.write("snr", strength / 4 + rng.uniform(0, 1, units))
    writer.write("r_value", np.clip(0.4 + strength / 60 + rng.normal(0, 0.1, units), -1, 1))
    writer.write("noise", np.full(units, 4.0))
    writer.write("timestamps_s", np.arange(frames) / FPS)
    writer.finish(
        ResultInfo(
            method="cnmfe",
            package="miniscope_core",
            package_version="0.0",
            shape=(size_px, size_px),
            frame_count=frames,
            unit_count=units,
            fps=FPS,
            parameters=CnmfeParameters().model_dump(mode="json"),
            versions={"numpy": np.__version__},
            timings={},
            peak_memory_bytes=0,
            activity_method="cnmfe_deconvolution",
            cell_diameter_px=2.355 * _SIGMA_PX,
            notes=("simulated for a benchmark",),
        )
    )


def _footprints(centers: NDArray[np.float64], size_px: int) -> tuple[sp.csr_array, NDArray[np.float64]]:
    y, x = np.mgrid[:size_px, :size_px]
    rows, picture = [], np.zeros((size_px, size_px))
    for center in centers:
        weights = np.exp(-((y - center[0]) ** 2 + (x - center[1]) ** 2) / (2 * _SIGMA_PX**2))
        weights[weights < 0.1] = 0
        picture += weights
        rows.append(sp.csr_array(weights.reshape(1, -1).astype(np.float32)))
    return sp.csr_array(sp.vstack(rows)), picture


def _write_traces(
    writer: ResultWriter,
    rng: np.random.Generator,
    rate_hz: NDArray[np.float64],
    strength: NDArray[np.float64],
    frames: int,
) -> None:
    arrays = {name: writer.create(name, (len(rate_hz), frames)) for name in ("fluorescence", "traces", "activity")}
    kernel = np.exp(-np.arange(int(5 * FPS)) / (0.8 * FPS))
    for start in range(0, frames, write_step()):
        stop = min(start + write_step(), frames)
        events = rng.random((len(rate_hz), stop - start)) < rate_hz[:, None] / FPS
        activity = (events * strength[:, None] * rng.uniform(0.5, 1.5, events.shape)).astype(np.float32)
        traces = scipy.signal.oaconvolve(activity, kernel[None].astype(np.float32), axes=1)[:, : stop - start]
        arrays["activity"][:, start:stop] = activity
        arrays["traces"][:, start:stop] = np.round(traces, 1)
        noise = rng.normal(0, 4, traces.shape)
        arrays["fluorescence"][:, start:stop] = np.round(traces + noise, 1)


def _timed(ask: Callable[[], object]) -> float:
    begin = time.perf_counter()
    ask()
    return (time.perf_counter() - begin) * 1e3


def measure(address: str, task: TaskKey, selections: int) -> None:
    """Print how long the server takes to answer what the page asks for."""
    query = {"task": str(task)}
    with httpx.Client(base_url=address, timeout=120, headers={"X-Miniscope": "1"}) as client:

        def get(path: str, **more: object) -> httpx.Response:
            answer = client.get(path, params=query | {name: str(value) for name, value in more.items()})
            return answer.raise_for_status()

        def first_view() -> None:
            client.post("/api/draft/open", json=query).raise_for_status()
            get("/api/field")
            get("/api/units")
            get("/api/contours")
            get("/api/image", name="correlation")

        def select(unit: int, begin: float = 0, end: float = 1e9) -> None:
            get("/api/traces", unit=unit, begin_s=begin, end_s=end, columns=COLUMNS)
            get("/api/unit", unit=unit)

        rng = np.random.default_rng(1)
        units = rng.permutation(get("/api/field").json()["unit_count"])[:selections].tolist()
        print(f"first view, server just started    {_timed(first_view):8.0f} ms")
        cold = [_timed(lambda unit=unit: select(unit)) for unit in units[:10]]
        print(f"selection, while it is filled      {statistics.median(cold):8.0f} ms median, {max(cold):.0f} ms worst")
        begin = time.perf_counter()
        while not get("/api/progress").json()["ready"]:
            time.sleep(0.1)
        print(f"overview of all traces filled after{time.perf_counter() - begin:8.1f} s more")
        for name, window in {"whole recording": (0, 1e9), "ten minutes": (600, 1200), "one minute": (900, 960)}.items():
            times = [_timed(lambda unit=unit, window=window: select(unit, *window)) for unit in units]
            print(f"selection, {name:<24}{statistics.median(times):8.0f} ms median, {max(times):.0f} ms worst")
        print(f"first view, again                  {_timed(first_view):8.0f} ms")
        draft = client.post("/api/draft/open", json=query).json()
        times = []
        for unit in units[:20]:
            edit = {"kind": "reject", "unit_ids": [unit]}
            body = query | {"revision": draft["revision"], "edit": edit}
            begin = time.perf_counter()
            draft = client.post("/api/draft/edit", json=body).raise_for_status().json()
            times.append((time.perf_counter() - begin) * 1e3)
        print(f"an edit saved                      {statistics.median(times):8.0f} ms median, {max(times):.0f} ms worst")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the archive where it is missing, start the page, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="where the archive is or is made")
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=608, help="height and width of the field, px")
    parser.add_argument("--selections", type=int, default=60)
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
            measure(address, task, options.selections)
            print(f"peak memory of the server          {_peak_mib(process.pid):8.0f} MiB")
    return 0


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
