"""The units that a curation leaves, wherever their arrays lie: the engine's own in a result, merged ones beside it."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.curation.decisions import Decisions, live_units
from miniscope_core.curation.merging import MergedArrays
from miniscope_core.errors import CurationError
from miniscope_core.models import MaskKind
from miniscope_core.quality.masks import MaskGeometry, measure_masks
from miniscope_core.result import ProcessingResult

TraceName: TypeAlias = Literal["fluorescence", "traces", "activity"]
_MERGED_NAME: Final[dict[str, str]] = {"fluorescence": "fluorescence", "traces": "trace", "activity": "activity"}


class CuratedUnits:
    """The units of a processing as one curation, or a draft of one, has them; those merged away are not among them.

    Parameters
    ----------
    result
        The processing's result; its traces are read when they are asked for.
    decisions
        On every unit.
    merged
        Gives the arrays of a merged unit by its number and its members.
    """

    def __init__(
        self,
        result: ProcessingResult,
        decisions: Decisions,
        merged: Callable[[int, tuple[int, ...]], MergedArrays],
    ) -> None:
        self.result = result
        self.decisions = decisions
        self._merged = merged

    @cached_property
    def unit_ids(self) -> NDArray[np.int64]:
        """(unit,): numbers, ascending; they have gaps where units were merged."""
        return np.array(live_units(self.decisions), np.int64)

    @cached_property
    def accepted(self) -> NDArray[np.bool_]:
        """(unit,): whether each is taken for a cell."""
        return np.array([self.decisions[unit].accepted for unit in self.unit_ids.tolist()], bool)

    @cached_property
    def mask_types(self) -> list[MaskKind | None]:
        """What a person takes each unit for; None where nobody said."""
        return [self.decisions[unit].mask_type for unit in self.unit_ids.tolist()]

    @cached_property
    def footprints(self) -> "sp.csr_array":
        """Sparse (unit, height·width), C order, in the order of ``unit_ids``."""
        own = self.unit_ids[self.unit_ids < self.result.unit_count]
        merged = self.unit_ids[len(own) :].tolist()
        parts = [self.result.footprints[own], *(self._arrays(unit).footprint for unit in merged)]
        return sp.csr_array(sp.vstack(parts, format="csr")) if merged else parts[0]

    @cached_property
    def geometry(self) -> MaskGeometry:
        """Size, place and shape of the units, in the order of ``unit_ids``."""
        return measure_masks(self.footprints, self.result.shape)

    def metric(self, name: str) -> NDArray[np.float64] | None:
        """Return an engine's quality number of every unit; NaN where it was not measured, as for merged units.

        Parameters
        ----------
        name
            ``snr``, ``r_value``, ``cnn_pred``, ``noise`` …; None where the engine did not measure it.
        """
        values = self.result.optional(name)
        if values is None:
            return None
        known = np.full(len(self.unit_ids), np.nan)
        own = self.unit_ids < self.result.unit_count
        known[own] = values[self.unit_ids[own]]
        return known

    def rows(self, name: TraceName, unit_ids: Iterable[int]) -> NDArray[np.float32]:
        """Read traces of some units, (unit, frame), in the order given.

        Parameters
        ----------
        name
            ``fluorescence`` as extracted, denoised ``traces``, or ``activity``.
        unit_ids
            Numbers of units that are not merged away.

        Raises
        ------
        CurationError
            When one is not there.
        """
        wanted = [int(unit) for unit in unit_ids]
        unknown = sorted(set(wanted) - set(self.unit_ids.tolist()))
        if unknown:
            raise CurationError(f"No unit {unknown[0]} in this curation: it has {len(self.unit_ids)} units.")
        found = np.zeros((len(wanted), self.result.frame_count), np.float32)
        own = [(row, unit) for row, unit in enumerate(wanted) if unit < self.result.unit_count]
        if own:
            order, units = np.array(own).T
            distinct, where = np.unique(units, return_inverse=True)
            found[order] = np.asarray(self.result.array(name).oindex[distinct, :])[where]
        for row, unit in enumerate(wanted):
            if unit >= self.result.unit_count:
                found[row] = getattr(self._arrays(unit), _MERGED_NAME[name])
        return found

    def _arrays(self, unit: int) -> MergedArrays:
        return self._merged(unit, self.decisions[unit].members)


def unit_of(units: CuratedUnits, unit_id: Any) -> int:
    """Return the row of a unit in the order of ``unit_ids``.

    Raises
    ------
    CurationError
        When it is not there.
    """
    row = int(np.searchsorted(units.unit_ids, unit_id))
    if row == len(units.unit_ids) or units.unit_ids[row] != unit_id:
        raise CurationError(f"No unit {unit_id} in this curation: it has {len(units.unit_ids)} units.")
    return row
