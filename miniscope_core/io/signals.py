"""What is recorded beside the movie on the same clock, whatever format it lies in."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Signal:
    """Something else that was recorded on the same clock: a pose, a trigger, the channels of an acquisition box."""

    name: str
    channels: tuple[str, ...]
    """Names of the values of a sample."""
    units: tuple[str, ...]
    """Of the channels; empty where nobody tells."""
    times_s: NDArray[np.float64] = field(repr=False)
    """(sample,), seconds from the start of the recording; samples need not match frames."""
    values: NDArray[np.float64] = field(repr=False)
    """(sample, channel)."""
    source: str
    """File that it comes from."""
    rule: str
    """How its times were placed on the clock of the recording."""
    uncertainty_s: float | None = None
    """How far they may be wrong by that, s; None where nobody knows."""


@dataclass(frozen=True)
class SideSignals:
    """Signals from files beside a movie, those files, and what was odd about them."""

    signals: tuple[Signal, ...] = ()
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
