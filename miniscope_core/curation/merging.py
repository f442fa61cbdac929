"""What a merged unit looks like: the one unit that says what its members said together.

The members' part of the movie is the sum of their footprints times their traces. The merged footprint is the sum of
theirs, each weighted by how much its trace varies: where the members did the same, that is their movie exactly, and
where they did not, each still has its place, because a person said that they are one. The merged trace is the least
squares fit of that footprint to the members' movie. What they left over, the residual, goes along as its projection
onto the new footprint, which is exact for such a sum. No pixel and no frame of the movie is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.errors import CurationError
from miniscope_core.result import ProcessingResult


@dataclass(frozen=True)
class MergedArrays:
    """The arrays of one merged unit, in the units of the result's."""

    footprint: "sp.csr_array"
    """(1, height·width), C order; its highest weight is that of the members' highest."""
    fluorescence: NDArray[np.float32]
    """(frame,), trace plus residual."""
    trace: NDArray[np.float32]
    """(frame,), denoised."""
    activity: NDArray[np.float32]
    """(frame,), the members' deconvolved activity in the same mixture as their traces."""


def merge_units(result: ProcessingResult, members: Sequence[int]) -> MergedArrays:
    """Merge units of a result.

    Parameters
    ----------
    result
        A finished result; only the members' rows are read.
    members
        Numbers of at least two units.

    Raises
    ------
    CurationError
        When a unit is not there.
    """
    units = sorted(set(members))
    if len(units) < 2 or units[-1] >= result.unit_count:
        raise CurationError(
            f"Cannot merge units {', '.join(map(str, units))}: expected at least two of 0 to {result.unit_count - 1}."
        )
    footprints = result.footprints[units]
    traces, fluorescence, activity = (
        np.asarray(result.array(name).oindex[np.array(units), :], np.float64)
        for name in ("traces", "fluorescence", "activity")
    )
    overlap = np.asarray((footprints @ footprints.T).toarray(), np.float64)
    mixture = _mixture(traces)
    footprint = sp.csr_array(mixture[None, :] @ footprints)
    # Whose trace is what part of the merged one: projections of the members' footprints on the new one.
    share = overlap @ mixture / (mixture @ overlap @ mixture)
    left = mixture * np.diag(overlap) / (mixture @ overlap @ mixture)
    scale = float(footprints.data.max()) / float(footprint.data.max())
    return MergedArrays(
        footprint=(footprint * scale).astype(np.float32),
        fluorescence=((share @ traces + left @ (fluorescence - traces)) / scale).astype(np.float32),
        trace=(share @ traces / scale).astype(np.float32),
        activity=(share @ activity / scale).astype(np.float32),
    )


def _mixture(traces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of the members' footprints, (member,), summing to 1: how much each trace varies."""
    size = traces.std(axis=1)
    return size / size.sum() if size.sum() > 0 else np.full(len(size), 1 / len(size))
