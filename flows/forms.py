"""The parameters of the flows as the forms of the UI show them, and their defaults."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from prefect.runtime import flow_run
from pydantic import Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from miniscope_core.curation.policies import AcceptEngine, CurationPolicy
from miniscope_core.models.parameters import CnmfeParameters, Parameters
from miniscope_core.pipeline.requests import IngestOptions

# The defaults are models, not None: for an optional model the UI draws an empty form that the user must switch on.
NO_OPTIONS: Final = IngestOptions()
DEFAULT_PARAMETERS: Final = CnmfeParameters()
ACCEPT_ENGINE: Final = AcceptEngine()
_NAMED_PARTS: Final = 4


class Help:
    """Text below a field of a form, and fields for each member of a union.

    Prefect reads such texts from docstrings, but not in NumPy's style, and drops the description of a pydantic
    ``Field``; what the type itself says stays. For ``oneOf``, which pydantic writes for a union told apart by a
    discriminator, the UI offers an editor of JSON; for ``anyOf`` it draws the fields.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of the type with the text, in the words that the UI knows."""
        drawn = _drawable(handler(schema))
        for member in drawn.get("anyOf", []):
            for field in handler.resolve_ref_schema(member).get("properties", {}).values():
                field.update(_drawable(field))
        return drawn | {"description": self.text}


def _drawable(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Put a union told apart by a discriminator into the words that the UI knows; it changes the schema itself."""
    members = schema.pop("oneOf", [])
    schema.pop("discriminator", None)
    if members:
        schema |= members[0] if len(members) == 1 else {"anyOf": members}
    return schema


RecordingDir: TypeAlias = Annotated[
    str | Path,
    WithJsonSchema({"type": "string"}),
    Help(
        "Folder of one recording, or of a session that holds exactly one, as seen by the machine that runs the flow: "
        "/data/mouse1/2024_05_17/10_23_45; or its address: s3://lab/mouse1/2024_05_17/10_23_45"
    ),
]
Options: TypeAlias = Annotated[
    IngestOptions, Help("What the folder does not tell, or tells wrong. All of it is optional.")
]
EngineForm: TypeAlias = Annotated[
    Parameters,
    Help("Parameters of the engine. The same parameters are recorded once, as a numbered set."),
]
ParamsetId: TypeAlias = Annotated[
    int | None,
    Field(ge=0),
    Help("Number of a recorded parameter set to use; leave the parameters as they are then."),
]
PolicyForm: TypeAlias = Annotated[CurationPolicy, Help("Rule that decides which units are cells.")]
RecordingText: TypeAlias = Annotated[str, Help("Key of an ingested recording: mouse1/2024-05-17T10:23:45/0")]
TaskText: TypeAlias = Annotated[
    str, Help("Key of a processing, the recording's and the parameter set's number: mouse1/2024-05-17T10:23:45/0/0")
]
CurationText: TypeAlias = Annotated[
    str, Help("Key of a curation, the processing's and the curation's number: mouse1/2024-05-17T10:23:45/0/0/0")
]


def chosen_parameters(parameters: Parameters, paramset_id: int | None) -> Parameters | None:
    """Return the parameters that were chosen: none where a form left them alone and gives a set's number instead."""
    return None if paramset_id is not None and parameters == DEFAULT_PARAMETERS else parameters


def name_by_folder(verb: str) -> Callable[[], str]:
    """Return what names a run by the last parts of its ``recording_dir``, which tell it from others."""

    def name() -> str:
        parts = Path(str(flow_run.parameters["recording_dir"])).parts
        return f"{verb} {Path(*parts[-_NAMED_PARTS:])}"

    return name
