"""Typed parameters: one model per engine, one union with ``method`` as the discriminator."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineParameters(BaseModel):
    """What every engine's parameters have in common: immutable, complete, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CnmfeParameters(EngineParameters):
    """Parameters of the built-in one-photon engine; the defaults need no choice but the cell size."""

    method: Literal["cnmfe"] = "cnmfe"
    cell_diameter_px: float = Field(
        default=13.0,
        ge=4,
        le=100,
        description="Diameter of a cell body as it appears (width at half height), px",
    )
    rise_time_s: float = Field(default=0.05, gt=0, le=5, description="Rise time of the indicator, s")
    decay_time_s: float = Field(default=0.4, gt=0, le=10, description="Decay time of the indicator, s")
    max_shift_px: int = Field(default=20, ge=0, le=200, description="Largest brain motion expected, px; 0: none")
    min_corr: float = Field(default=0.55, gt=0, lt=1, description="Least local correlation of a seed")
    min_pnr: float = Field(default=6.0, gt=0, description="Least peak-to-noise ratio of a seed")
    min_snr: float = Field(default=2.5, ge=0, description="Least signal-to-noise ratio of an accepted unit")
    min_r_value: float = Field(default=0.65, ge=-1, le=1, description="Least spatial consistency of an accepted unit")
    max_area: float = Field(
        default=4.0,
        gt=0,
        description="Largest area of an accepted unit (convex hull of what is above half its peak), in areas of a disc "
        "of cell_diameter_px: light from far out of focus is large and ragged",
    )
    max_elongation: float = Field(
        default=5.0,
        ge=1,
        description="Largest ratio of length to width of an accepted unit: strips along the frame's edge are no cells",
    )
    max_halo_corr: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Trace correlation with an overlapping, brighter unit above which a unit is rejected as its halo",
    )
    merge_corr: float = Field(
        default=0.8, gt=0, le=1, description="Trace correlation above which overlapping units merge"
    )


Parameters = Annotated[CnmfeParameters, Field(discriminator="method")]
"""Any engine's parameters."""
