"""Simulate a recording with minisim; runs in a Python that has minisim==1.0.3, numpy, opencv-python-headless, scipy.

::

    python simulate_minisim.py FOLDER '{"region": "ca1", "size_px": 256, "seconds": 150, "seed": 21}'

writes ``session/`` in the form of Miniscope-DAQ-QT (FFV1 videos of 1000 frames, timeStamps.csv, metaData.json), and
then ``truth.npz`` in the form that ``miniscope_core.quality.truth`` reads. Everything random comes from the seed.

minisim pins zarr 2, so it can never share an environment with us: nothing of ours is imported here.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import minisim
import numpy as np
import scipy.sparse
from minisim.presets import ca1, cortex_l23, miniscope_v4

REGIONS = {"ca1": ca1, "l23": cortex_l23}
FPS = 20.0
FRAMES_PER_FILE = 1000
CLOCK_JITTER_MS = 1.0
# The optics give each footprint a tail over the whole field. Below this fraction of its peak there is less than 0.1 %
# of its weight, in many times the pixels.
LEAST_WEIGHT = 5e-4


def main(folder: Path, region: str, size_px: int, seconds: float, seed: int) -> None:
    """Simulate and write; the truth comes last, so where there is a truth there is all of it."""
    recorded = simulate(region, size_px, seconds, seed)
    movie = np.asarray(recorded.observed).astype(np.uint8)
    session = folder / "session"
    session.mkdir(parents=True, exist_ok=True)
    write_video(session, movie)
    write_clock(session, len(movie), seed)
    write_metadata(session, size_px)
    write_truth(folder / "truth.npz", recorded.ground_truth)


def simulate(region: str, size_px: int, seconds: float, seed: int) -> Any:
    """Simulate a Miniscope V4 over a region, its sensor cropped to a square, with brain motion."""
    scope = miniscope_v4()
    sensor = scope.image_sensor.model_copy(update={"n_px_height": size_px, "n_px_width": size_px})
    spec = minisim.build_spec(
        scope.model_copy(update={"image_sensor": sensor}),
        REGIONS[region](),
        duration_s=seconds,
        fps=FPS,
        seed=seed,
        extra_steps=[minisim.BrainMotion()],
    )
    return minisim.simulate(spec)


def write_video(session: Path, movie: Any) -> None:
    """Write gray frames (frame, height, width) as numbered FFV1 files."""
    height, width = movie.shape[1:]
    for number, first in enumerate(range(0, len(movie), FRAMES_PER_FILE)):
        path = session / f"{number}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), FPS, (width, height), isColor=False)
        if not writer.isOpened():
            raise OSError(f"OpenCV cannot write FFV1 video at {path}.")
        for frame in movie[first : first + FRAMES_PER_FILE]:
            writer.write(frame)
        writer.release()


def write_clock(session: Path, frame_count: int, seed: int) -> None:
    """Write the frame clock, in whole milliseconds, with the jitter that computers have."""
    jitter_ms = np.random.default_rng(seed).normal(0, CLOCK_JITTER_MS, frame_count)
    times_ms = np.rint(np.arange(frame_count) * 1000 / FPS + jitter_ms).astype(int)
    rows = [f"{number},{time},0\n" for number, time in enumerate(times_ms)]
    (session / "timeStamps.csv").write_text("Frame Number,Time Stamp (ms),Buffer Index\n" + "".join(rows))


def write_metadata(session: Path, size_px: int) -> None:
    """Write what Miniscope-DAQ-QT says about the device."""
    metadata = {
        "ROI": {"height": size_px, "leftEdge": 0, "topEdge": 0, "width": size_px},
        "compression": "FFV1",
        "deviceDirectory": "",
        "deviceID": 1,
        "deviceName": "My_V4_Miniscope",
        "deviceType": "Miniscope_V4_BNO",
        "ewl": 0,
        "frameRate": f"{FPS:.0f}FPS",
        "framesPerFile": FRAMES_PER_FILE,
        "gain": "Medium",
        "led0": 17,
    }
    (session / "metaData.json").write_text(json.dumps(metadata, indent=4))


def write_truth(path: Path, truth: Any) -> None:
    """Write the ground truth: footprints as the optics show them, peak 1, and how far the scene moved."""
    stack = np.asarray(truth.A_observed, np.float32)
    count, height, width = stack.shape
    weights = stack.reshape(count, height * width)
    weights = weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-12)
    weights[weights < LEAST_WEIGHT] = 0
    footprints = scipy.sparse.csr_array(weights)
    np.savez_compressed(
        path,
        footprints_data=footprints.data,
        footprints_indices=footprints.indices.astype(np.int32),
        footprints_indptr=footprints.indptr.astype(np.int32),
        shape=np.asarray([height, width], np.int32),
        traces=np.asarray(truth.C, np.float32),
        spikes=np.asarray(truth.S, np.float32),
        detectable=np.asarray(truth.detectable, bool),
        motion_px=np.asarray(truth.shifts, np.float64),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), **json.loads(sys.argv[2]))
