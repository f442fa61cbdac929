"""Miniscope calcium imaging: typed entities, readers, engines, a database, an object store, and what joins them."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miniscope_core.engines.caiman import load_caiman
    from miniscope_core.io import open_recording
    from miniscope_core.models import param_set_hash
    from miniscope_core.result import load_result
    from miniscope_core.workspace import Workspace

__version__ = version("miniscope-core")
__all__ = ["Workspace", "__version__", "load_caiman", "load_result", "open_recording", "param_set_hash"]

# Imported when first asked for: a worker that only reads a result should not pay for the database.
_HOMES = {
    "Workspace": "miniscope_core.workspace",
    "load_caiman": "miniscope_core.engines.caiman",
    "load_result": "miniscope_core.result",
    "open_recording": "miniscope_core.io",
    "param_set_hash": "miniscope_core.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
