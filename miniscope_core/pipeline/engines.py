"""Which engine computes which method: the one place that joins parameters to engines."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from miniscope_core.engines.base import Engine
from miniscope_core.engines.cnmfe import CnmfeEngine
from miniscope_core.errors import ParameterError
from miniscope_core.models.parameters import Parameters

ENGINES: Final[Mapping[str, Engine[Any]]] = {"cnmfe": CnmfeEngine()}
_ADAPTER: Final[TypeAdapter[Parameters]] = TypeAdapter(Parameters)


def engine_for(method: str) -> Engine[Any]:
    """Return the engine of a method.

    Raises
    ------
    ParameterError
        When no engine computes it.
    """
    if method not in ENGINES:
        raise ParameterError(f"Method {method!r} has no engine here: expected one of {', '.join(ENGINES)}.")
    return ENGINES[method]


def validate_parameters(method: str, values: Mapping[str, Any]) -> Parameters:
    """Make typed parameters from plain values.

    Parameters
    ----------
    method
        Key of the method; ``values`` need not repeat it.
    values
        Names and values; defaults fill the rest.

    Raises
    ------
    ParameterError
        When the method has no engine, a name is unknown or a value is out of bounds; all of them in one line.
    """
    engine_for(method)
    try:
        return _ADAPTER.validate_python({**values, "method": method})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'][-1:]))}: got {e['input']!r}, {e['msg']}" for e in error.errors()
        )
        raise ParameterError(f"Parameters of {method} are not valid: {problems}.") from error
