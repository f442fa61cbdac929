"""Archives to curate: simulated units of any number and length, without a video of that length."""

from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.signal
import scipy.sparse as sp
import sqlalchemy as sa
from numpy.typing import NDArray

from miniscope_core import models as m
from miniscope_core.models import RecordingKey, TaskKey
from miniscope_core.models.natural import describe_key
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.models.processing import TaskMode
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameters, add_task, process_recording
from miniscope_core.result import ResultInfo, ResultWriter, write_step
from miniscope_core.storage.archive import Archive
from tests.archives import settings_for, write_session

FPS = 20.0
_SIGMA_PX = 4.0


def make_archive(home: Path, units: int, frames: int, size_px: int) -> TaskKey:
    """Make an archive with one curated processing of simulated units."""
    with Archive.open(settings_for(home)) as archive:
        with archive.database.session() as session:
            known = session.scalars(sa.select(m.Processing)).first()
            if known is not None:
                return m.as_key(describe_key(known, session), TaskKey)
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
