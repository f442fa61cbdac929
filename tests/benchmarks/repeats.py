"""A short recording played many times over, to see what length costs without making a long one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.io.recording import Recording
from miniscope_core.quality import GroundTruth

LONG_SHAPE: Final = (600, 600)
LONG_FRAMES: Final = 111_770
"""Size of a usual long session, about an hour and a half: what per-frame costs are extrapolated to."""


@dataclass(frozen=True)
class RepeatedSource:
    """A frame source that begins the recording anew when it ends; every pass decodes the files again."""

    recording: Recording

    def read(self, start: int, stop: int, step: int) -> NDArray[Any]:
        """Decode frames ``start, start + step, … < stop``, (n, height, width)."""
        length = self.recording.frame_count
        wanted = range(start, stop, step)
        parts = []
        while wanted:
            offset = wanted[0] // length * length
            now = wanted[: len(range(wanted[0], min(offset + length, stop), step))]
            parts.append(self.recording.frames(now[0] - offset, now[-1] - offset + 1, step))
            wanted = wanted[len(now) :]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def repeat_recording(recording: Recording, times: int) -> Recording:
    """Return a recording that plays another one several times; its frame clock goes on."""
    once = recording.timestamps_s
    period_s = once[-1] - once[0] + 1 / recording.fps
    clock = recording.clock
    counts = {name: getattr(clock, name) * times for name in ("rows", "frames", "used", "dropped", "repeated")}
    return replace(
        recording,
        timestamps_s=np.concatenate([once + turn * period_s for turn in range(times)]),
        clock=clock.model_copy(update=counts),
        source=RepeatedSource(recording),
    )


def repeat_truth(truth: GroundTruth, times: int) -> GroundTruth:
    """Return the truth about a recording that is played several times."""
    return replace(
        truth,
        traces=np.tile(truth.traces, times),
        spikes=np.tile(truth.spikes, times),
        motion_px=None if truth.motion_px is None else np.tile(truth.motion_px, (times, 1)),
    )


@dataclass(frozen=True)
class Cost:
    """What a run of some length took."""

    shape: tuple[int, int]
    frame_count: int
    fps: float
    seconds: Mapping[str, float]
    """By what was counted: ``"wall"``, ``"CPU"``."""
    peak_memory_bytes: int


def extrapolate(short: Cost, long: Cost, shape: tuple[int, int], frame_count: int) -> dict[str, float]:
    """Extrapolate hours to another length and size, from two lengths of one recording.

    What does not depend on the length (a fit of bounded size) is told from what each frame costs by the line through
    both; both parts are taken to grow with the number of pixels.

    Returns
    -------
    dict of str to float
        Hours by what was counted.

    Raises
    ------
    ValueError
        When both are equally long.
    """
    if long.frame_count <= short.frame_count:
        raise ValueError(f"Extrapolating from {short.frame_count} and {long.frame_count} frames: expected two lengths.")
    pixels = np.prod(shape) / np.prod(long.shape)
    hours = {}
    for name, seconds in long.seconds.items():
        per_frame = max(0.0, (seconds - short.seconds[name]) / (long.frame_count - short.frame_count))
        once = max(0.0, short.seconds[name] - per_frame * short.frame_count)
        hours[name] = float(once + per_frame * frame_count) * float(pixels) / 3600
    return hours


def tell(name: str, short: Cost, long: Cost) -> str:
    """Say in one line how memory and time grow with length."""
    mib = [cost.peak_memory_bytes / 2**20 for cost in (short, long)]
    hours = extrapolate(short, long, LONG_SHAPE, LONG_FRAMES)
    recorded = LONG_FRAMES / long.fps / 3600
    told = ", ".join(f"{value:.2f} h {what}" for what, value in hours.items())
    return (
        f"{name}: peak {mib[0]:.0f} MiB at {short.frame_count} frames, {mib[1]:.0f} MiB at {long.frame_count}; "
        f"extrapolated to {LONG_SHAPE[0]}×{LONG_SHAPE[1]}×{LONG_FRAMES}: {told} for {recorded:.2f} h of recording"
    )
