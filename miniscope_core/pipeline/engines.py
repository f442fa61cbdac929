"""Which engine computes which method: the one place that joins parameters to engines."""

import difflib
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
        problems = "; ".join(_problem(method, dict(one)) for one in error.errors())
        raise ParameterError(f"Parameters of {method} are not valid: {problems}.") from error


def _problem(method: str, error: dict[str, Any]) -> str:
    name = str(error["loc"][-1])
    if error["type"] != "extra_forbidden":
        return f"{name}: got {error['input']!r}, {error['msg']}"
    near = difflib.get_close_matches(name, [row["name"] for row in describe_parameters(method)], n=1)
    return f"there is no {name!r}" + (f", did you mean {near[0]!r}?" if near else "")


def describe_parameters(method: str) -> list[dict[str, str]]:
    """Describe the parameters of a method for people.

    Returns
    -------
    list of dict
        ``name``, ``default``, ``bounds`` and ``meaning`` of each, in the order of their declaration.

    Raises
    ------
    ParameterError
        When no engine computes the method.
    """
    engine_for(method)
    model = type(_ADAPTER.validate_python({"method": method}))
    schema = model.model_json_schema()["properties"]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [
        {
            "name": name,
            "default": str(field.default),
            "bounds": ", ".join(f"{sign} {schema[name][key]:g}" for key, sign in signs.items() if key in schema[name]),
            "meaning": field.description or "",
        }
        for name, field in model.model_fields.items()
        if name != "method"
    ]
