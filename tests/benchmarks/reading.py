"""Measure how fast video is opened and read, beside OpenCV's own loop over the same files, in one run.

``python -m tests.benchmarks.reading`` writes 608×608 px in each codec, as one file and as several, and prints medians
of ratios to the plain loop: below 1 is faster than it. Wall time and, in brackets, CPU time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from miniscope_core.io import open_recording
from miniscope_core.io.speed import read_all, read_plainly
from tests.builders import Movie, write_video

CODECS = ("FFV1", "GREY", "MJPG")


def noisy_movie(frames: int, size: int) -> Movie:
    """Make a movie as hard to compress as a miniscope's: a smooth field, and noise of a few counts."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    field = 90 + 40 * np.sin(6 * x) * np.cos(5 * y)
    movie = np.empty((frames, size, size), np.uint8)
    for frame in movie:
        frame[...] = np.clip(field + rng.normal(0, 3, (size, size)), 0, 255)
    return movie


def timed(way: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and the CPU seconds of one way."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(folder: Path, repeats: int, workers: Sequence[int]) -> None:
    """Print the ratios of one folder of numbered AVIs."""
    paths = sorted(folder.glob("*.avi"))
    plain, ours = [], {(what, count): [] for what in ("open", "read") for count in workers}
    for _ in range(repeats):
        plain.append(timed(lambda: read_plainly(paths, videos=True)))
        for count in workers:
            opening = timed(lambda count=count: open_recording(folder, fps=20, workers=count))  # type: ignore[misc]
            recording = open_recording(folder, fps=20, trust_containers=True)
            reading = timed(lambda recording=recording, count=count: read_all(recording, count))  # type: ignore[misc]
            ours["open", count].append(opening)
            ours["read", count].append(reading)
    frames = recording.frame_count
    wall = statistics.median(one[0] for one in plain)
    print(f"{folder.name:<14}{frames / wall:8,.0f} frames/s plain", end="")
    for (what, count), times in ours.items():
        ratios = [
            statistics.median(mine[at] / other[at] for mine, other in zip(times, plain, strict=True)) for at in (0, 1)
        ]
        print(f"   {what} by {count}: {ratios[0]:.2f} ({ratios[1]:.2f})", end="")
    print(flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reading", description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--size", type=int, default=608, metavar="PX")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args(arguments)
    movie = noisy_movie(options.frames, options.size)
    with tempfile.TemporaryDirectory() as made:
        for codec in CODECS:
            for files in (1, 4):
                folder = Path(made) / f"{codec}, {files} file{'s' if files > 1 else ''}"
                for number, part in enumerate(np.array_split(movie, files)):
                    write_video(folder / f"{number}.avi", part, codec)
                measure(folder, options.repeats, options.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
