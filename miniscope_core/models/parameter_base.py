"""What the parameters of every engine have in common.

Those that a person chooses come first; the others are marked as expert by :func:`expert`, which is the one place that
says so: forms, lists and schemas read it from there.
"""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from pydantic.config import JsonDict

DEFAULT_DIAMETER_PX: Final = 13.0
"""Width of a cell body in CA1 through a V4 scope (1.66 µm/px)."""


def expert(schema: JsonDict) -> None:
    """Mark a parameter in its JSON schema as one that the defaults serve well; for ``json_schema_extra``."""
    schema["group"] = "expert"
    schema["description"] = f"Expert: {schema['description']}"


class EngineParameters(BaseModel):
    """What every engine's parameters have in common: immutable, complete, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

    @model_serializer(mode="wrap")
    def _leave_out_what_has_no_value(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Dump only what has a value: sets of a version that did not know a parameter yet keep their hashes."""
        return {name: value for name, value in dump(self).items() if value is not None}
