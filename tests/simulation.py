"""Seeded simulator of one-photon miniscope movies, small enough to run inside a test.

The scene is what makes one-photon data hard: blurred somata of uneven brightness that may overlap, dim cells too deep
to be sharp, out-of-focus light that follows the population, dark vessels, texture, a vignette of the optics, sub-pixel
brain motion, and shot noise. It is drawn on a periodic canvas somewhat larger than the sensor, so that motion brings in
cells from outside and a Fourier shift is exact. The vignette belongs to the optics and does not move.

Conventions: axes (unit, frame) and (y, x). ``motion_px`` is how far the scene *moved*; a correction is its negative.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
from numpy.typing import DTypeLike, NDArray

from miniscope_core.io.recording import ClockReport, Recording, RecordingMetadata

MARGIN_PX = 16
"""Width of the scene around the sensor; motion must stay below it."""
FULL_SCALE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 4095}
"""Highest value of the sensor: 8 bit, or 12 bit in a 16-bit word."""
PHOTONS_AT_FULL_SCALE = 1200.0
RISE_S = 0.05
"""Rise time of the indicator, s."""
DEVICE_FOLDER = "My_V4_Miniscope"


@dataclass(frozen=True)
class ArraySource:
    """A frame source over a movie in memory."""

    movie: NDArray[Any]

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Copy frames ``start, start + step, … < stop``, (n, height, width)."""
        return self.movie[start:stop:step].copy()


@dataclass(frozen=True)
class Simulated:
    """A movie and everything that is true about it."""

    movie: NDArray[Any]
    """(frame, height, width), uint8 or uint16."""
    footprints: NDArray[np.float32]
    """(unit, height, width), peak 1 before the field cuts it, at zero motion."""
    traces: NDArray[np.float32]
    """(unit, frame), calcium above baseline, in sensor counts at the footprint's peak before the vignette."""
    spikes: NDArray[np.float32]
    """(unit, frame), spikes in each frame."""
    motion_px: NDArray[np.float64]
    """(frame, 2), how far the scene moved (dy, dx); the correction is its negative."""
    fps: float
    timestamps_s: NDArray[np.float64]
    """(frame,), seconds, with a little jitter, in whole milliseconds."""
    seed: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.movie.shape[1], self.movie.shape[2]

    def recording(self) -> Recording:
        """Return the movie as a recording whose frames come straight from memory."""
        count = len(self.movie)
        intervals_ms = np.diff(self.timestamps_s) * 1000
        median_ms = float(np.median(intervals_ms))
        clock = ClockReport(
            source="simulated",
            rows=count,
            frames=count,
            used=count,
            rule="one row per frame",
            nominal_fps=self.fps,
            measured_fps=1000 / median_ms,
            median_interval_ms=median_ms,
            jitter_ms=float(np.median(np.abs(intervals_ms - median_ms))),
            longest_interval_ms=float(intervals_ms.max()),
            dropped=0,
            dropped_from="gaps in time",
            repeated=0,
            backward=0,
        )
        return Recording(
            directory=Path(f"simulated_{self.seed}"),
            files=(),
            shape=self.shape,
            dtype=self.movie.dtype,
            timestamps_s=self.timestamps_s,
            clock=clock,
            metadata=RecordingMetadata(acquisition_software="Miniscope-DAQ-V4", nominal_fps=self.fps),
            source=ArraySource(self.movie),
        )

    def write_v4(
        self,
        folder: Path,
        frames_per_file: int = 250,
        animal: str = "mouse1",
        start: datetime = datetime(2024, 3, 5, 14, 30, 15),
    ) -> Path:
        """Write the movie as a session of Miniscope-DAQ-QT 2.0 and return its device folder.

        ::

            folder/
              metaData.json
              notes.csv
              My_V4_Miniscope/{0.avi, 1.avi, …, metaData.json, timeStamps.csv}

        The videos are FFV1, which is lossless; only uint8 movies can be written.
        """
        if self.movie.dtype != np.uint8:
            raise ValueError(f"Miniscope-DAQ writes 8-bit video: got {self.movie.dtype}, expected uint8.")
        device = folder / DEVICE_FOLDER
        device.mkdir(parents=True)
        for index, first in enumerate(range(0, len(self.movie), frames_per_file)):
            write_ffv1(device / f"{index}.avi", self.movie[first : first + frames_per_file])
        milliseconds = np.rint(self.timestamps_s * 1000).astype(int)
        rows = [f"{i},{t},{i % 3},{i + 1}\n" for i, t in enumerate(milliseconds)]
        header = "Frame Number,Time Stamp (ms),Buffer Index,DAQ Frame Number\n"
        (device / "timeStamps.csv").write_text(header + "".join(rows))
        (device / "metaData.json").write_text(json.dumps(self._device_metadata(frames_per_file), indent=4))
        (folder / "metaData.json").write_text(json.dumps(session_metadata(folder, animal, start), indent=4))
        (folder / "notes.csv").write_text("Time Stamp (ms), Note\n1000,start of the track\n")
        return device

    def _device_metadata(self, frames_per_file: int) -> dict[str, Any]:
        height, width = self.shape
        return {
            "ROI": {"height": height, "leftEdge": 0, "topEdge": 0, "width": width},
            "compression": "FFV1",
            "deviceDirectory": DEVICE_FOLDER,
            "deviceID": 0,
            "deviceName": "My V4 Miniscope",
            "deviceType": "Miniscope_V4_BNO",
            "ewl": 0,
            "frameRate": f"{self.fps:.0f}FPS",
            "framesPerFile": frames_per_file,
            "gain": "Medium",
            "led0": 17,
        }


def write_ffv1(path: Path, frames: NDArray[np.uint8], container_fps: float = 60.0) -> None:
    """Write gray frames (n, height, width) as FFV1; like Miniscope-DAQ-QT, the container claims 60 Hz."""
    height, width = frames.shape[1:]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), container_fps, (width, height), isColor=False)
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write FFV1 video at {path}.")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame))
    writer.release()


def session_metadata(folder: Path, animal: str, start: datetime) -> dict[str, Any]:
    """Return what Miniscope-DAQ-QT 1.10 and later write into the session's own ``metaData.json``."""
    return {
        "animalName": animal,
        "baseDirectory": str(folder),
        "cameras": [],
        "experimentName": "linear_track",
        "miniscopes": ["My V4 Miniscope"],
        "recordingStartTime": {
            "year": start.year,
            "month": start.month,
            "day": start.day,
            "hour": start.hour,
            "minute": start.minute,
            "second": start.second,
            "msec": start.microsecond // 1000,
            "msecSinceEpoch": int((start - datetime(1970, 1, 1)).total_seconds() * 1000),
        },
        "researcherName": "researcher1",
    }


def simulate(
    shape: tuple[int, int] = (96, 128),
    frame_count: int = 600,
    cell_count: int = 12,
    fps: float = 20.0,
    diameter_px: float = 10.0,
    seed: int = 0,
    *,
    motion_px: float = 1.5,
    decay_s: float = 0.4,
    event_rate_hz: float = 0.12,
    brightness: float = 0.06,
    background: float = 1.0,
    centers_px: Sequence[tuple[float, float]] | None = None,
    dtype: DTypeLike = np.uint8,
) -> Simulated:
    """Simulate a one-photon movie with its ground truth; the same arguments always give the same movie.

    Parameters
    ----------
    shape
        Height and width of the sensor, px.
    frame_count, fps
        Number of frames and their rate, Hz.
    cell_count
        Cells whose centre is within the field. Cells outside it at the same density, and a third as many dim ones too
        deep to be sharp, are added and belong to no truth.
    diameter_px
        Width of a soma at half height, px.
    seed
        Everything random comes from it.
    motion_px
        Standard deviation of the brain motion along each axis, px; 0: no motion. Bounded by four of these.
    decay_s
        Decay time of the indicator, s.
    event_rate_hz
        Mean rate of events of a cell; an event is a burst of one to a few spikes.
    brightness
        Median height of a single spike's transient as a fraction of the sensor's range.
    background
        Multiplies the fluctuations of the out-of-focus light and the deep cells; 0: none.
    centers_px
        (y, x) of each cell, instead of random ones.
    dtype
        uint8 (8-bit sensor) or uint16 (12-bit sensor).
    """
    if 4 * motion_px >= MARGIN_PX:
        raise ValueError(f"Motion of {motion_px} px: expected less than {MARGIN_PX / 4}, the margin of the scene.")
    full_scale = FULL_SCALE[np.dtype(dtype)]
    rng = np.random.default_rng(seed)
    canvas = (shape[0] + 2 * MARGIN_PX, shape[1] + 2 * MARGIN_PX)
    centers = _place_cells(rng, shape, cell_count, diameter_px, centers_px)
    stack = np.stack([_soma(rng, canvas, center + MARGIN_PX, diameter_px) for center in centers])
    deep = rng.uniform(0, shape, (cell_count // 3, 2)) + MARGIN_PX
    stack = np.concatenate([stack, *(_soma(rng, canvas, center, 2.3 * diameter_px, 0.4)[None] for center in deep)])
    spikes = _spikes(rng, len(stack), frame_count, fps, event_rate_hz)
    heights = full_scale * brightness * rng.lognormal(0.0, 0.45, len(stack))
    heights[len(centers) :] *= 0.3 * background
    traces = heights[:, None] * _calcium(rng, spikes, fps, decay_s)

    still = full_scale * _still_scene(rng, canvas, diameter_px)
    glow, glow_traces = _out_of_focus(rng, canvas, frame_count, fps, diameter_px, traces.sum(0))
    movement = _motion(rng, frame_count, fps, motion_px)
    clean = np.empty((frame_count, *shape), np.float32)
    for start in range(0, frame_count, 256):
        part = slice(start, min(start + 256, frame_count))
        scene = still + np.tensordot(traces[:, part].T, stack, 1)
        scene += full_scale * 0.0035 * background * np.tensordot(glow_traces[:, part].T, glow, 1)
        clean[part] = _shifted(scene.astype(np.float32), movement[part])[(slice(None), *_inside(shape))]
    clean *= _vignette(shape)
    inside = slice(0, cell_count)
    return Simulated(
        movie=_expose(rng, clean, full_scale).astype(dtype),
        footprints=stack[inside][(slice(None), *_inside(shape))].astype(np.float32),
        traces=traces[inside].astype(np.float32),
        spikes=spikes[inside].astype(np.float32),
        motion_px=movement,
        fps=fps,
        timestamps_s=np.rint((np.arange(frame_count) / fps + rng.normal(0, 5e-4, frame_count)) * 1000) / 1000,
        seed=seed,
    )


def _inside(shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(MARGIN_PX, MARGIN_PX + shape[0]), slice(MARGIN_PX, MARGIN_PX + shape[1])


def _place_cells(
    rng: np.random.Generator,
    shape: tuple[int, int],
    cell_count: int,
    diameter_px: float,
    given: Sequence[tuple[float, float]] | None,
) -> NDArray[np.float64]:
    """Return centres (cell, 2) in sensor pixels: first those in the field, then those around it."""
    if given is not None:
        if len(given) != cell_count:
            raise ValueError(f"Got {len(given)} centres, expected one for each of {cell_count} cells.")
        return np.asarray(given, float)
    border = 0.5 * diameter_px
    low = np.array([border, border])
    high = np.array(shape) - border
    inside: list[NDArray[np.float64]] = []
    distance = 0.9 * diameter_px  # neighbours may overlap at their flanks
    for _ in range(200 * cell_count):
        center = rng.uniform(low, high)
        if all(np.hypot(*(center - other)) >= distance for other in inside):
            inside.append(center)
        if len(inside) == cell_count:
            break
    else:
        raise ValueError(f"No room for {cell_count} cells of {diameter_px} px in {shape} px: ask for fewer.")
    canvas_area = (shape[0] + 2 * MARGIN_PX) * (shape[1] + 2 * MARGIN_PX)
    outside: list[NDArray[np.float64]] = []
    for _ in range(round(cell_count * (canvas_area / (shape[0] * shape[1]) - 1))):
        center = rng.uniform(-MARGIN_PX, np.array(shape) + MARGIN_PX)
        if np.any(center < -border) or np.any(center > np.array(shape) + border):
            outside.append(center)
    return np.array([*inside, *outside])


def _soma(
    rng: np.random.Generator,
    canvas: tuple[int, int],
    center: NDArray[np.float64],
    diameter_px: float,
    softness: float = 0.25,
) -> NDArray[np.float64]:
    """Return a blurred ellipse of peak 1 on the periodic canvas, ``diameter_px`` wide at half height."""
    ratio, angle = rng.uniform(0.8, 1.25), rng.uniform(0, np.pi)
    y = (np.arange(canvas[0])[:, None] - center[0] + canvas[0] / 2) % canvas[0] - canvas[0] / 2
    x = (np.arange(canvas[1])[None, :] - center[1] + canvas[1] / 2) % canvas[1] - canvas[1] / 2
    along = (np.cos(angle) * y + np.sin(angle) * x) * np.sqrt(ratio)
    across = (-np.sin(angle) * y + np.cos(angle) * x) / np.sqrt(ratio)
    radius = np.hypot(along, across) / (diameter_px / 2)
    # A soft-edged disk: the value is one half at the radius, and the flank is as wide as optical blur makes it.
    body = 1 / (1 + np.exp((radius - 1) / softness))
    return np.asarray(body / body.max())


def _spikes(
    rng: np.random.Generator, count: int, frame_count: int, fps: float, event_rate_hz: float
) -> NDArray[np.float64]:
    """Return spike counts (unit, frame): bursts at random times, one at least in every cell."""
    events = rng.random((count, frame_count)) < event_rate_hz / fps
    events[np.arange(count), rng.integers(0, max(1, frame_count - 1), count)] = True
    return np.where(events, 1 + rng.poisson(0.8, events.shape), 0).astype(float)


def _calcium(rng: np.random.Generator, spikes: NDArray[np.float64], fps: float, decay_s: float) -> NDArray[np.float64]:
    """Return calcium (unit, frame) as a camera integrates it, one spike rising to about 1.

    A spike falls anywhere within its frame and the indicator takes time to rise, so the frame of the spike is dim and
    the peak comes one or two frames later, as in real recordings.
    """
    steps = 8  # per frame
    fine = np.zeros((spikes.shape[0], spikes.shape[1] * steps))
    units, frames = np.nonzero(spikes)
    counts = spikes[units, frames].astype(int)
    times = np.repeat(frames * steps, counts) + rng.integers(0, steps, counts.sum())
    np.add.at(fine, (np.repeat(units, counts), times), 1)
    decay, rise = (np.exp(-1 / (time_s * fps * steps)) for time_s in (decay_s, RISE_S))
    kernel = decay ** np.arange(fine.shape[1]) - rise ** np.arange(fine.shape[1])
    calcium = scipy.signal.lfilter([1.0], [1.0, -decay], fine) - scipy.signal.lfilter([1.0], [1.0, -rise], fine)
    return np.asarray(calcium.reshape(*spikes.shape, steps).mean(axis=2) / kernel.max())


def _smooth_noise(rng: np.random.Generator, canvas: tuple[int, int], sigma_px: float) -> NDArray[np.float64]:
    noise = scipy.ndimage.gaussian_filter(rng.standard_normal(canvas), sigma_px, mode="wrap")
    return np.asarray(noise / noise.std())


def _still_scene(rng: np.random.Generator, canvas: tuple[int, int], diameter_px: float) -> NDArray[np.float64]:
    """Return baseline fluorescence as a fraction of the sensor's range: haze, texture and dark vessels."""
    haze = 0.26 + 0.03 * _smooth_noise(rng, canvas, 2.5 * diameter_px)
    texture = 1 + 0.05 * _smooth_noise(rng, canvas, 0.35 * diameter_px)
    lines = np.zeros(canvas)
    for _ in range(3):
        position, heading = rng.uniform(0, canvas), rng.uniform(0, 2 * np.pi)
        for _ in range(sum(canvas)):
            heading += rng.normal(0, 0.08)
            position = position + np.array([np.sin(heading), np.cos(heading)])
            lines[int(position[0]) % canvas[0], int(position[1]) % canvas[1]] = 1
    vessels = np.exp(-1.6 * scipy.ndimage.gaussian_filter(lines, 0.2 * diameter_px, mode="wrap"))
    return np.asarray(np.clip(haze, 0.12, None) * texture * vessels)


def _out_of_focus(
    rng: np.random.Generator,
    canvas: tuple[int, int],
    frame_count: int,
    fps: float,
    diameter_px: float,
    population: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return maps (component, y, x) and courses (component, frame) of neuropil that partly follows the population."""
    # Much wider than a cell and without edges, or it would be a cell for all that anybody could tell.
    maps = np.stack([_smooth_noise(rng, canvas, 2.5 * diameter_px) for _ in range(6)])
    maps = np.concatenate([(maps - maps.min((1, 2), keepdims=True)) / 2, np.ones((1, *canvas))])
    courses = rng.standard_normal((len(maps), frame_count))
    courses = scipy.ndimage.gaussian_filter1d(courses, 0.5 * fps, axis=1, mode="wrap")
    together = scipy.ndimage.gaussian_filter1d(population, 0.25 * fps)
    return maps, _standardised(courses) + _standardised(together[None])


def _standardised(courses: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = courses - courses.mean(1, keepdims=True)
    return np.asarray(centred / np.maximum(centred.std(1, keepdims=True), 1e-12))


def _motion(rng: np.random.Generator, frame_count: int, fps: float, motion_px: float) -> NDArray[np.float64]:
    """Return (frame, 2) displacement: slow drift and faster bouts, smooth in time, bounded."""
    if motion_px == 0:
        return np.zeros((frame_count, 2))
    white = rng.standard_normal((2, frame_count))
    slow = scipy.ndimage.gaussian_filter1d(white, 2 * fps, mode="wrap")
    fast = scipy.ndimage.gaussian_filter1d(rng.standard_normal((2, frame_count)), 0.1 * fps, mode="wrap")
    moved = _standardised(_standardised(slow) + 0.7 * _standardised(fast)) * motion_px
    return np.asarray(np.clip(moved, -4 * motion_px, 4 * motion_px).T)


def _shifted(scene: NDArray[np.float32], moved_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Move periodic frames (n, y, x) by (dy, dx): content at (y, x) goes to (y + dy, x + dx)."""
    height, width = scene.shape[1:]
    phase_y = np.exp(-2j * np.pi * np.fft.fftfreq(height)[None, :, None] * moved_px[:, 0, None, None])
    phase_x = np.exp(-2j * np.pi * np.fft.rfftfreq(width)[None, None, :] * moved_px[:, 1, None, None])
    spectrum = scipy.fft.rfft2(scene) * (phase_y * phase_x).astype(np.complex64)
    return np.asarray(scipy.fft.irfft2(spectrum, s=(height, width)), np.float32)


def _vignette(shape: tuple[int, int]) -> NDArray[np.float32]:
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None, :]
    return np.asarray(1 - 0.2 * (y**2 + x**2), np.float32)


def _expose(rng: np.random.Generator, clean: NDArray[np.float32], full_scale: int) -> NDArray[np.float32]:
    """Add shot and read noise and clip. With a hundred photons and more in a pixel, so Poisson is as good as normal."""
    counts_per_photon = full_scale / PHOTONS_AT_FULL_SCALE
    read_noise = full_scale * 0.008
    sigma = np.sqrt(np.clip(clean, 0, None) * counts_per_photon + read_noise**2)
    noisy = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, full_scale), np.float32)
