"""Typed parameters: one model per engine, one union with ``method`` as the discriminator.

The built-in engine's are in units of biology or of the hardware, CaImAn's have CaImAn's names and units.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from miniscope_core.models.caiman import CaimanParameters
from miniscope_core.models.parameter_base import EngineParameters, expert


class CnmfeParameters(EngineParameters):
    """Parameters of the built-in one-photon engine; the defaults need no choice but the cell size."""

    method: Literal["cnmfe"] = "cnmfe"
    decay_time_s: float = Field(default=0.4, gt=0, le=10, description="Decay time of the indicator, s")
    max_shift_px: int = Field(default=20, ge=0, le=200, description="Largest brain motion expected, px; 0: none")
    motion: Literal["rigid", "piecewise"] = Field(
        default="rigid",
        description="rigid: one shift a frame; piecewise: also what patches of the field move beyond it",
    )
    min_corr: float = Field(default=0.55, gt=0, lt=1, description="Least local correlation of a seed")
    min_pnr: float = Field(default=6.0, gt=0, description="Least peak-to-noise ratio of a seed")
    min_snr: float = Field(default=2.5, ge=0, description="Least signal-to-noise ratio of an accepted unit")
    min_r_value: float = Field(default=0.65, ge=-1, le=1, description="Least spatial consistency of an accepted unit")
    patch_px: float = Field(
        default=96.0,
        ge=32,
        description="Side of a patch that moves by itself, px, where motion is piecewise",
        json_schema_extra=expert,
    )
    max_deviation_px: float = Field(
        default=5.0,
        gt=0,
        le=50,
        description="Largest difference of a patch's shift from the frame's, px, where motion is piecewise",
        json_schema_extra=expert,
    )
    rise_time_s: float = Field(
        default=0.05, gt=0, le=5, description="Rise time of the indicator, s", json_schema_extra=expert
    )
    max_area: float = Field(
        default=4.0,
        gt=0,
        description="Largest area of an accepted unit (convex hull of what is above half its peak), in areas of a disc "
        "of cell_diameter_px: light from far out of focus is large and ragged",
        json_schema_extra=expert,
    )
    max_elongation: float = Field(
        default=5.0,
        ge=1,
        description="Largest ratio of length to width of an accepted unit: strips along the frame's edge are no cells",
        json_schema_extra=expert,
    )
    max_halo_corr: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Trace correlation with an overlapping, brighter unit above which a unit is rejected as its halo",
        json_schema_extra=expert,
    )
    merge_corr: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Trace correlation above which overlapping units merge",
        json_schema_extra=expert,
    )

    def _contradictions(self) -> Iterator[str]:
        if self.rise_time_s >= self.decay_time_s:
            yield (
                f"rise_time_s: got {self.rise_time_s:g} s, expected less than decay_time_s, {self.decay_time_s:g} s. "
                "Are they swapped?"
            )


Parameters = Annotated[CnmfeParameters | CaimanParameters, Field(discriminator="method")]
"""Any engine's parameters."""
