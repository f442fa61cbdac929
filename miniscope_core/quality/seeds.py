"""What became of what an engine tried: seeds by the units they lie in, rejected units by the criterion they fail."""

from typing import Any, Final, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.result import ProcessingResult

Fate: TypeAlias = Literal["accepted", "rejected", "no unit"]

_INSIDE: Final = 0.4
"""Weight, in parts of the footprint's peak, from which a pixel lies in a unit: where its outline is drawn."""
_CRITERIA: Final = (("snr", "min_snr"), ("r_value", "min_r_value"))
"""Measures of a unit, and the parameters that they must reach."""


def seed_fates(
    footprints: "sp.csr_array", accepted: NDArray[np.bool_], seeds_px: NDArray[Any], shape: tuple[int, int]
) -> list[Fate]:
    """Tell for every seed whether it lies in an accepted unit, in a rejected one, or in none.

    A result does not say which seed a unit grew from, and units that merge have several. A seed belongs to the unit
    that weighs most at its pixel.

    Parameters
    ----------
    footprints
        Sparse (unit, height·width) over C-ordered pixels.
    accepted
        (unit,).
    seeds_px
        (seed, 2), (y, x).
    shape
        Height and width, px.
    """
    count = footprints.shape[0]
    if not count or not len(seeds_px):
        return ["no unit"] * len(seeds_px)
    pixels = np.ravel_multi_index((seeds_px[:, 0], seeds_px[:, 1]), shape)
    peaks = np.maximum(footprints.max(axis=1).toarray().ravel(), np.finfo(np.float32).tiny)
    weights = footprints.tocsc()[:, pixels].toarray() / peaks[:, None]
    best = weights.argmax(axis=0)
    inside = weights[best, np.arange(len(pixels))] >= _INSIDE
    return [
        ("accepted" if accepted[unit] else "rejected") if found else "no unit"
        for unit, found in zip(best, inside, strict=True)
    ]


def count_rejections(result: ProcessingResult) -> dict[str, int]:
    """Count the units that an engine rejected, by the criterion they fail; one may fail several.

    Returns
    -------
    dict of str to int
        By the name of the parameter, of those whose measure is in the result; and ``"other criteria"``, the units
        that reach all of these.
    """
    rejected = ~result.accepted
    explained = np.zeros(result.unit_count, bool)
    counts = {}
    for measure, least in _CRITERIA:
        values = result.optional(measure)
        if values is None or least not in result.parameters:
            continue
        failing = rejected & ~(values >= np.float32(result.parameters[least]))
        explained |= failing
        counts[least] = int(failing.sum())
    counts["other criteria"] = int((rejected & ~explained).sum())
    return {name: count for name, count in counts.items() if count}
