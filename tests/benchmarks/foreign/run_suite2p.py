"""Run suite2p on a recording; runs in a Python that has suite2p, as ``python run_suite2p.py JOB.json``.

Written against suite2p 1.1.0. The settings are those that its own descriptions advise for one-photon movies (a wider
smoothing and taper in registration, a short running mean in detection), rigid registration, because the motion of our
recordings is rigid, and the cell size and decay of the recordings.

Reads the videos itself, as suite2p's own movie reader takes one file only in the order it sorts; nothing of ours is
imported here.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.sparse
import suite2p
from suite2p.run_s2p import run_plane

BATCH = 500


def main(job: dict[str, Any]) -> None:
    """Run every step and write one npz of what was found."""
    timings: dict[str, float] = {}
    start = time.perf_counter()
    plane = Path(job["scratch"]) / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    frame_count, height, width = write_binary(job["files"], plane / "data.bin")
    timings["reading"] = time.perf_counter() - start
    outputs = run_plane(plane_of(plane, frame_count, height, width, job["fps"]), settings(job))
    registration, _, cells, fluorescence, neuropil, _, _, spikes, iscell, _, _, stages = outputs
    timings |= {name: float(seconds) for name, seconds in stages.items() if not name.startswith("total")}
    coefficient = settings(job)["extraction"]["neuropil_coefficient"]
    footprints = footprints_of(cells, height, width)
    # suite2p tells how far a frame moved: register.py rolls it back by (-yoff, -xoff).
    shifts = -np.stack([registration["yoff"], registration["xoff"]], axis=1)
    np.savez(
        job["output"],
        footprints_data=footprints.data,
        footprints_indices=footprints.indices,
        footprints_indptr=footprints.indptr,
        shape=np.asarray([height, width]),
        traces=fluorescence - coefficient * neuropil,
        activity=spikes,
        shifts_px=shifts.astype(np.float64),
        accepted=iscell[:, 0].astype(bool),
        timings=json.dumps(timings),
        version=suite2p.version,
    )


def settings(job: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from suite2p's defaults, within all of them."""
    chosen: dict[str, Any] = suite2p.default_settings()
    chosen.update(torch_device="cpu", fs=job["fps"], tau=job["decay_s"], diameter=[job["cell_diameter_px"]] * 2)
    chosen["run"]["do_regmetrics"] = False
    chosen["registration"].update(nonrigid=False, smooth_sigma=4.0, spatial_taper=40.0)
    # Spatial scale 2 is a width of 12 px.
    chosen["detection"].update(highpass_time=20)
    chosen["detection"]["sparsery_settings"].update(spatial_scale=2)
    chosen["classification"]["use_builtin_classifier"] = True
    return chosen


def plane_of(folder: Path, frame_count: int, height: int, width: int, fps: float) -> dict[str, Any]:
    """Describe the movie as suite2p's own readers do."""
    described: dict[str, Any] = suite2p.default_db()
    described.update(
        data_path=[str(folder)],
        save_path0=str(folder.parent.parent),
        save_path=str(folder),
        fast_disk=str(folder),
        reg_file=str(folder / "data.bin"),
        nframes=frame_count,
        Ly=height,
        Lx=width,
        fs=fps,
    )
    return described


def write_binary(files: list[str], path: Path) -> tuple[int, int, int]:
    """Write all frames as int16 and return their number, height and width."""
    count, height, width = 0, 0, 0
    with path.open("wb") as binary:
        for file in files:
            video = cv2.VideoCapture(file)
            while True:
                ok, picture = video.read()
                if not ok:
                    break
                height, width = picture.shape[:2]
                binary.write(np.ascontiguousarray(picture[..., 0], np.int16).tobytes())
                count += 1
            video.release()
    return count, height, width


def footprints_of(cells: Any, height: int, width: int) -> "scipy.sparse.csr_array":
    """Return sparse rows (unit, height·width), C-ordered pixels."""
    rows = np.concatenate([np.full(len(cell["lam"]), number) for number, cell in enumerate(cells)])
    pixels = np.concatenate([cell["ypix"].astype(np.int64) * width + cell["xpix"] for cell in cells])
    weights = np.concatenate([cell["lam"] for cell in cells]).astype(np.float32)
    return scipy.sparse.csr_array((weights, (rows, pixels)), shape=(len(cells), height * width))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
