"""Which engine computes which method: the one place that joins parameters to engines."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from miniscope_core.engines.base import Engine
from miniscope_core.engines.caiman.run import CaimanEngine
from miniscope_core.engines.cnmfe import CnmfeEngine
from miniscope_core.errors import ParameterError
from miniscope_core.models.parameters import Parameters
from miniscope_core.settings import Settings

ENGINES: Final[Mapping[str, Callable[[Settings], Engine[Any]]]] = {
    "cnmfe": lambda settings: CnmfeEngine(),
    "caiman": lambda settings: CaimanEngine(settings.caiman_python, settings.time_limit),
}
_ADAPTER: Final[TypeAdapter[Parameters]] = TypeAdapter(Parameters)


def engine_for(method: str, settings: Settings) -> Engine[Any]:
    """Return the engine of a method, as it is set up here.

    Raises
    ------
    ParameterError
        When no engine computes it.
    """
    refuse_unknown(method)
    return ENGINES[method](settings)


def refuse_unknown(method: str) -> None:
    """Refuse a method that no engine computes.

    Raises
    ------
    ParameterError
        When none does.
    """
    if method not in ENGINES:
        raise ParameterError(f"Method {method!r} has no engine here: expected one of {', '.join(ENGINES)}.")


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
    refuse_unknown(method)
    try:
        return _ADAPTER.validate_python({**values, "method": method})
    except ValidationError as error:
        problems = "; ".join(_problem(method, dict(one)) for one in error.errors())
        raise ParameterError(f"Parameters of {method} are not valid: {problems}.") from error


def _problem(method: str, error: dict[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error":  # of several parameters together: it says itself which, and what it got
        return message
    name = ".".join(str(part) for part in error["loc"] if part != method)
    if error["type"] != "extra_forbidden":
        return f"{name}: got {error['input']!r}, {message}"
    names = [row["name"] for row in describe_parameters(method)]
    near = set(difflib.get_close_matches(name, names))
    # Of names that are as near, the one that is listed first.
    nearest = max(
        (one for one in names if one in near),
        key=lambda one: difflib.SequenceMatcher(None, one, name).ratio(),
        default=None,
    )
    return f"there is no {name!r}" + (f", did you mean {nearest!r}?" if nearest else "")


def describe_parameters(method: str) -> list[dict[str, str]]:
    """Describe the parameters of a method for people.

    Returns
    -------
    list of dict
        ``name``, ``default``, ``bounds``, ``meaning`` and ``group`` (everyday or expert) of each, in the order of
        their declaration.

    Raises
    ------
    ParameterError
        When no engine computes the method.
    """
    refuse_unknown(method)
    parameters = _ADAPTER.validate_python({"method": method})
    schema, defaults = type(parameters).model_json_schema()["properties"], parameters.model_dump()
    return [
        {
            "name": name,
            "default": f"{defaults.get(name, '–')}",
            "bounds": _bounds(field),
            "meaning": field["description"].removeprefix("Expert: "),
            "group": field.get("group", "everyday"),
        }
        for name, field in schema.items()
        if name != "method"
    ]


def _bounds(field: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    # One that may be left out has its bounds in the first of its alternatives.
    limits = {**field, **field.get("anyOf", [{}])[0]}
    return ", ".join(f"{sign} {limits[key]:g}" for key, sign in signs.items() if key in limits)
