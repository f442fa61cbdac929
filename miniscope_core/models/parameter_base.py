"""What the parameters of every engine have in common.

Those that a person chooses come first; the others are marked as expert by :func:`expert`, which is the one place that
says so: forms, lists and schemas read it from there.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.config import JsonDict

from miniscope_core.errors import ParameterError
from miniscope_core.models.cleaning import Cleaning

DEFAULT_DIAMETER_PX: Final = 13.0
"""Width of a cell body in CA1 through a V4 scope (1.66 µm/px)."""
_SAME_DIAMETER: Final = 1e-6


def expert(schema: JsonDict) -> None:
    """Mark a parameter in its JSON schema as one that the defaults serve well; for ``json_schema_extra``."""
    schema["group"] = "expert"
    schema["description"] = f"Expert: {schema['description']}"


class EngineParameters(BaseModel):
    """What every engine's parameters have in common: immutable, complete, no unknown names, and the size of a cell.

    The cell size is given in px, or in µm with the size of a pixel: from ``pixel_size_um``, or from the recording's
    metadata where its reader knows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

    given_diameter_px: float | None = Field(
        default=None,
        alias="cell_diameter_px",
        ge=4,
        le=100,
        description="Diameter of a cell body as it appears (width at half height), px of the movie that is analysed; "
        "13, divided by the binning of cleaning, unless cell_diameter_um is given",
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
        description="Width of a pixel of the recording in the tissue, µm, for cell_diameter_um; default: as the "
        "metadata tells",
    )
    cleaning: Cleaning | None = Field(
        default=None, description="What to clean from the movie before anything else; default: nothing"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_diameter(cls, values: Any) -> Any:
        """Fill in the default here and not in the field: it holds only where no diameter is given in µm."""
        if not isinstance(values, Mapping):
            return values
        given = [values.get(name) for name in ("cell_diameter_px", "cell_diameter_um")]
        if given != [None, None]:
            return values
        cleaning = values.get("cleaning")
        binning = cleaning.get("binning", 1) if isinstance(cleaning, Mapping) else getattr(cleaning, "binning", 1)
        # What cannot be a binning is refused where it is validated.
        factor = binning if isinstance(binning, int) and binning > 1 else 1
        return {**values, "cell_diameter_px": DEFAULT_DIAMETER_PX / factor}

    @field_validator("cleaning", mode="after")
    @classmethod
    def _none_for_nothing(cls, cleaning: Cleaning | None) -> Cleaning | None:
        """Take a cleaning without a step for none: both are one set of parameters."""
        return cleaning if cleaning is not None and cleaning.steps else None

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        problems = [*self._contradicting_sizes(), *self._contradictions()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _contradicting_sizes(self) -> Iterator[str]:
        px, um, size = self.given_diameter_px, self.cell_diameter_um, self.pixel_size_um
        alike = px and um and size and math.isclose(px * size * self.binning, um, rel_tol=_SAME_DIAMETER)
        if px is not None and um is not None and not alike:
            tail = "" if size is None else f" at {size * self.binning:g} µm per px"
            yield (
                f"cell_diameter_px and cell_diameter_um: got {px:g} px and {um:g} µm{tail}, expected one of them. "
                "Leave the other out"
            )
        if size is not None and um is None:
            yield (
                f"pixel_size_um: got {size:g} µm without cell_diameter_um, expected both. "
                "Give the cell's diameter in µm, or leave the size of a pixel out"
            )

    def _contradictions(self) -> Iterator[str]:
        """Give what an engine's own parameters contradict in each other, each a sentence without its full stop."""
        yield from ()

    @property
    def binning(self) -> int:
        """Pixels of the recording along a side of one of the movie that is analysed."""
        return 1 if self.cleaning is None else self.cleaning.binning

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

    @model_serializer(mode="wrap")
    def _leave_out_what_has_no_value(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Dump only what has a value: sets of a version that did not know a parameter yet keep their hashes."""
        return {name: value for name, value in dump(self).items() if value is not None}
