"""Typed parameters: one model per engine, one union with ``method`` as the discriminator.

The built-in engine's are in units of biology or of the hardware, CaImAn's have CaImAn's names and units.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from miniscope_core.errors import ParameterError
from miniscope_core.models.caiman import CaimanParameters
from miniscope_core.models.parameter_base import DEFAULT_DIAMETER_PX, EngineParameters, expert

_SAME_DIAMETER: Final = 1e-6


class CnmfeParameters(EngineParameters):
    """Parameters of the built-in one-photon engine; the defaults need no choice but the cell size.

    The cell size is given in px, or in µm with the size of a pixel: from ``pixel_size_um``, or from the recording's
    metadata where its reader knows it.
    """

    method: Literal["cnmfe"] = "cnmfe"
    given_diameter_px: float | None = Field(
        default=None,
        alias="cell_diameter_px",
        ge=4,
        le=100,
        description="Diameter of a cell body as it appears (width at half height), px; 13 unless cell_diameter_um is "
        "given",
    )
    cell_diameter_um: float | None = Field(
        default=None,
        gt=0,
        le=200,
        description="The same in µm, with cell_diameter_px left empty; needs the size of a pixel, from "
        "pixel_size_um or the recording's metadata",
    )
    pixel_size_um: float | None = Field(
        default=None,
        gt=0,
        le=50,
        description="Width of a pixel in the tissue, µm, for cell_diameter_um; default: as the metadata tells",
    )
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

    @model_validator(mode="before")
    @classmethod
    def _fill_diameter(cls, values: Any) -> Any:
        """Fill in the default here and not in the field: it holds only where no diameter is given in µm."""
        if not isinstance(values, Mapping):
            return values
        given = [values.get(name) for name in ("cell_diameter_px", "cell_diameter_um")]
        return {**values, "cell_diameter_px": DEFAULT_DIAMETER_PX} if given == [None, None] else values

    @model_validator(mode="after")
    def _refuse_two_diameters(self) -> Self:
        px, um, size = self.given_diameter_px, self.cell_diameter_um, self.pixel_size_um
        if px is None or um is None or (size is not None and math.isclose(px * size, um, rel_tol=_SAME_DIAMETER)):
            return self
        tail = "" if size is None else f" at {size:g} µm per px"
        raise ValueError(
            f"cell_diameter_px and cell_diameter_um: got {px:g} px and {um:g} µm{tail}, expected one of them. "
            "Leave the other out"
        )

    @model_validator(mode="after")
    def _refuse_what_changes_nothing(self) -> Self:
        if self.pixel_size_um is not None and self.cell_diameter_um is None:
            raise ValueError(
                f"pixel_size_um: got {self.pixel_size_um:g} µm without cell_diameter_um, expected both. "
                "Give the cell's diameter in µm, or leave the size of a pixel out"
            )
        return self

    @model_validator(mode="after")
    def _refuse_rise_slower_than_decay(self) -> Self:
        if self.rise_time_s >= self.decay_time_s:
            raise ValueError(
                f"rise_time_s: got {self.rise_time_s:g} s, expected less than decay_time_s, {self.decay_time_s:g} s. "
                "Are they swapped?"
            )
        return self

    @property
    def cell_diameter_px(self) -> float:
        """Diameter of a cell body, px.

        Raises
        ------
        ParameterError
            While it is known only in µm: :func:`miniscope_core.engines.resolve.resolve` determines it.
        """
        if self.given_diameter_px is None:
            raise ParameterError(
                f"cell_diameter_px of parameters in µm: got cell_diameter_um={self.cell_diameter_um}, expected px. "
                "Resolve the parameters for a recording first."
            )
        return self.given_diameter_px


Parameters = Annotated[CnmfeParameters | CaimanParameters, Field(discriminator="method")]
"""Any engine's parameters."""
