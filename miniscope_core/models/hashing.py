"""Hashes: of parameters that which the DataJoint workflow computes, so that a lab keeps its own; of files SHA-256."""

import hashlib
import os
import uuid
from collections.abc import Mapping
from typing import Any

from miniscope_core.errors import ParameterError


def param_set_hash(parameters: Mapping[str, Any]) -> uuid.UUID:
    """Hash parameters: the MD5, as a UUID, over ``str(key)`` then ``str(value)`` of each in key order.

    The hash tells types apart that print differently (``(3, 3)`` and ``[3, 3]``, ``3`` and ``3.0``) and does not
    depend on the order of the keys. It ignores the method: the database holds it unique per method.

    Parameters
    ----------
    parameters
        Name and value of every parameter.

    Raises
    ------
    ParameterError
        When a name is not text.

    References
    ----------
    datajoint/element-interface, ``element_interface/utils.py``, ``dict_to_uuid``.
    """
    odd = [key for key in parameters if not isinstance(key, str)]
    if odd:
        raise ParameterError(f"Parameter names: got {odd[0]!r}, expected text. Name every parameter by a string.")
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(parameters):
        digest.update(name.encode())
        digest.update(str(parameters[name]).encode())
    return uuid.UUID(hex=digest.hexdigest())


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, as lower-case hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
