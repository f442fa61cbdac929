"""From parameters as a person gives them to what they mean for one recording."""

from typing import TypeVar

from pydantic import ValidationError

from miniscope_core.errors import ParameterError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameter_base import EngineParameters

P = TypeVar("P", bound=EngineParameters)


def resolve(parameters: P, recording: Recording) -> P:
    """Determine every parameter for a recording: a cell diameter in µm becomes one in px.

    Diameter in µm and size of a pixel stay beside it, so that the result says where its number comes from.

    Parameters
    ----------
    parameters
        As given; resolved ones come back as they are.
    recording
        As the engine sees it; asked for the size of its pixels where the parameters do not tell it.

    Raises
    ------
    ParameterError
        When the size of a pixel is not known, or the diameter in px is out of bounds or contradicts other parameters.
    """
    diameter_um = parameters.cell_diameter_um
    if diameter_um is None:
        return parameters
    binning = parameters.binning
    given_um = parameters.pixel_size_um
    size_um = recording.pixel_size_um if given_um is None else given_um * binning
    if size_um is None:
        raise ParameterError(
            f"cell_diameter_um at {recording.directory}: got {diameter_um:g} µm and metadata without the size of the "
            "field, expected the size of a pixel. Give pixel_size_um as well, or cell_diameter_px instead."
        )
    found = {"cell_diameter_px": diameter_um / size_um, "pixel_size_um": size_um / binning}
    try:
        return type(parameters).model_validate(parameters.model_dump() | found)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ParameterError(
            f"cell_diameter_um at {recording.directory}: got {diameter_um:g} µm at {size_um:g} µm per px, "
            f"{diameter_um / size_um:.3g} px: {problem}. Check both, and which is which."
        ) from error
