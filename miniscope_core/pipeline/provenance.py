"""What a number came from: code, packages, interpreter and host, as they were when it was computed."""

import platform
import socket
import sys
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import miniscope_core

_PACKAGES: Final = ("numpy", "scipy", "opencv-python-headless", "zarr", "pydantic", "sqlmodel", "prefect")


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that matter to results and to how they were stored."""
    return {"miniscope-core": miniscope_core.__version__} | _versions()


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def provenance(**facts: Any) -> dict[str, Any]:
    """Return ``facts`` together with the code, the interpreter and the host of this process, as JSON values."""
    return {
        "packages": package_versions(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "host": socket.gethostname(),
        **facts,
    }
