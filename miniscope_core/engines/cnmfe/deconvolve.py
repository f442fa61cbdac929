"""Activity from fluorescence: sparse non-negative deconvolution with a rise and a decay, unit by unit.

CaLab's solver (``calab``: FISTA with an L1 penalty, compiled, MIT licence, wheels for every Python from 3.11, needs
only NumPy and pydantic) was compared with OASIS (``oasis-deconv``: GPL-3.0, pulls in Matplotlib) on raw traces demixed
from two simulated recordings (20 Hz), both with a rise of 0.05 s and a decay of 0.4 s. Median correlation with the true
activity, frame by frame: CaLab 0.82 and 0.78, OASIS 0.62 and 0.55. Nearly all of that is a convention: CaLab's kernel
is zero in the frame of the event, OASIS's is not, and with its activity moved one frame earlier OASIS gives 0.82 and
0.73. Denoised traces are as good (0.98 and 0.93, 0.98 and 0.92), and so is the speed (7 and 10 ms for 3000 frames). The
licence and the lighter install decide.

References
----------
Beck & Teboulle 2009, FISTA, doi:10.1137/080716542.
Friedrich et al. 2017, OASIS, doi:10.1371/journal.pcbi.1005423.
"""

from dataclasses import dataclass
from typing import Final

import calab
import numpy as np
from numpy.typing import NDArray

METHOD: Final = "cnmfe_deconvolution"
"""Name of this way to infer activity; its unit is that of the traces: the rise that an event adds at its peak."""

_PENALTY: Final = 2.0
"""Of the L1 norm, on traces divided by their noise. Calibrated on simulated recordings."""
_ITERATIONS: Final = 300
_LOW: Final = 20.0


@dataclass(frozen=True)
class Deconvolved:
    """One unit's trace taken apart."""

    trace: NDArray[np.float32]
    """Denoised, baseline included, (frame,)."""
    activity: NDArray[np.float32]
    """Never below zero, in the unit of the trace, (frame,)."""
    baseline: float
    noise: float


def deconvolve(fluorescence: NDArray[np.float32], fps: float, rise_time_s: float, decay_time_s: float) -> Deconvolved:
    """Infer one unit's activity and denoise its trace.

    Parameters
    ----------
    fluorescence
        (frame,), trace plus residual.
    fps
        Frame rate, Hz.
    rise_time_s, decay_time_s
        Of the indicator.

    Returns
    -------
    Deconvolved
        All zeros where the trace does not change.
    """
    values = fluorescence.astype(np.float64)
    noise = noise_of(values)
    baseline = float(np.percentile(values, _LOW))
    if noise <= 0 or len(values) < 3:
        flat = np.zeros(len(values), np.float32)
        return Deconvolved(flat + np.float32(baseline), flat, baseline, noise)
    solved = calab.run_deconvolution_full(
        (values - baseline) / noise,
        fps,
        rise_time_s,
        decay_time_s,
        _PENALTY,
        max_iters=_ITERATIONS,
        conv_mode="banded",
    )
    fitted = np.asarray(solved.reconvolution, np.float64)  # its own baseline included
    return Deconvolved(
        trace=(fitted * noise + baseline).astype(np.float32),
        activity=(np.asarray(solved.activity, np.float64) * noise).astype(np.float32),
        baseline=baseline + noise * float(np.asarray(solved.baseline)),
        noise=noise,
    )


def noise_of(trace: NDArray[np.float64]) -> float:
    """Return the standard deviation of the noise, from differences of neighbouring frames: events are rare in them."""
    if len(trace) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(trace))) / (0.6745 * np.sqrt(2)))
