"""What may be cleaned from a movie before an engine sees it: each step off unless asked for, and part of the set."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from miniscope_core.errors import ParameterError

_CROP: Final = ("top", "left", "height", "width")
_BINNING: Final = "binning"


class Crop(BaseModel):
    """The part of the field that is kept, in px of the recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: int = Field(ge=0, description="First row, px")
    left: int = Field(ge=0, description="First column, px")
    height: int = Field(ge=1, description="Rows, px")
    width: int = Field(ge=1, description="Columns, px")


class Cleaning(BaseModel):
    """Steps that make a movie fit for analysis, in the order in which they are done; none is done unless asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    find_broken: bool = Field(
        default=False,
        description="Look for black and torn frames, in a pass of its own over the recording, and fill them from their "
        "neighbours, as frames that the format itself marks always are",
    )
    crop: Crop | None = Field(default=None, description="Part of the field to keep")
    hot_pixels: bool = Field(
        default=False, description="Replace pixels that stand out of their surround in every frame by its median"
    )
    stripes: bool = Field(
        default=False, description="Take off what a whole row of a frame has more or less than the rows around it"
    )
    flicker: bool = Field(
        default=False,
        description="Scale every frame to the same mean brightness; bleaching, and what all pixels share, go with it",
    )
    glow: bool = Field(
        default=False, description="Take off the broad light that is there in every frame, down to its darkest place"
    )
    binning: int = Field(default=1, ge=1, le=8, description="Pixels averaged along each axis")

    @model_serializer(mode="wrap")
    def _leave_out_what_is_off(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Dump only what is asked for: sets of a version that did not know a step yet keep their hashes."""
        off = {name: field.default for name, field in type(self).model_fields.items()}
        return {name: value for name, value in dump(self).items() if value != off[name]}

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps asked for, in order."""
        return tuple(self.model_dump())

    def shape_of(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of the cleaned movie of a recording, px.

        Raises
        ------
        ParameterError
            When the part to keep does not lie within the field, or nothing is left of it.
        """
        height, width = shape
        if self.crop is not None:
            crop = self.crop
            if crop.top + crop.height > height or crop.left + crop.width > width:
                raise ParameterError(
                    f"crop: got rows {crop.top}:{crop.top + crop.height} and columns "
                    f"{crop.left}:{crop.left + crop.width}, expected them within {height}×{width} px (height×width)."
                )
            height, width = crop.height, crop.width
        if min(height, width) < self.binning:
            raise ParameterError(
                f"binning: got {self.binning} for a field of {height}×{width} px, expected at least one pixel after it."
            )
        return height // self.binning, width // self.binning

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self | None:
        """Make a cleaning of texts, as the command line has them; None where they are empty.

        Parameters
        ----------
        texts
            Each a step's name, ``binning=N`` or ``crop=TOP,LEFT,HEIGHT,WIDTH``, or several of them joined by ``+``.

        Raises
        ------
        ParameterError
            When a step is unknown or a number is none.
        """
        values: dict[str, Any] = {}
        for text in (part.strip() for one in texts for part in one.split("+")):
            name, _, given = text.partition("=")
            if name in values:
                raise ParameterError(f"Cleaning {text!r}: got {name} twice, expected it once.")
            values[name] = cls._value(name, given, text)
        return cls.of({"cleaning": values}) if values else None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Return the cleaning of a set of parameters as the database keeps it; one without steps where it has none.

        Raises
        ------
        ParameterError
            When it is no cleaning.
        """
        try:
            return cls.model_validate(params.get("cleaning") or {})
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in ("cleaning", *problem["loc"]))
            raise ParameterError(f"{where}: got {problem['input']!r}, {problem['msg']}.") from error

    @classmethod
    def _value(cls, name: str, given: str, text: str) -> Any:
        numbers = given.split(",") if given else []
        if name not in cls.model_fields or not all(part.strip().isdecimal() for part in numbers):
            raise _unknown(text)
        if name == "crop" and len(numbers) == len(_CROP):
            return dict(zip(_CROP, map(int, numbers), strict=True))
        if name == _BINNING and len(numbers) == 1:
            return int(given)
        if name in ("crop", _BINNING) or given:
            raise _unknown(text)
        return True


def _unknown(text: str) -> ParameterError:
    return ParameterError(f"Cleaning: got {text!r}, expected one of {', '.join(_written())}.")


def _written() -> Iterator[str]:
    """Give the steps as they are written on the command line."""
    for name in Cleaning.model_fields:
        yield {"crop": f"crop={','.join(part.upper() for part in _CROP)}", _BINNING: "binning=N"}.get(name, name)
