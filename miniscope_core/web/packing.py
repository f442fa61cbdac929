"""Numbers for the browser: a JSON header and the arrays behind it, and JSON in which NaN is null."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MEDIA_TYPE: Final = "application/octet-stream"
# Typed arrays of JavaScript begin at multiples of their item's size.
_ALIGNMENT: Final = 8


def pack(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Put arrays behind a header that tells their names, types and places.

    The first four bytes are the length of the header, little-endian; the header is JSON with ``arrays`` (name, dtype,
    shape, and offset from the header's end) beside what ``meta`` says. Every array begins at a multiple of 8 bytes.
    """
    described, parts, offset = [], [], 0
    for name, values in arrays.items():
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        described.append({"name": name, "dtype": values.dtype.name, "shape": values.shape, "offset": offset})
        padding = -little.nbytes % _ALIGNMENT
        parts += [little.tobytes(), b"\0" * padding]
        offset += little.nbytes + padding
    header = json.dumps({**meta, "arrays": described}, separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-(len(header) + 4) % _ALIGNMENT)
    return b"".join([len(header).to_bytes(4, "little"), header, *parts])


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Undo :func:`pack`."""
    begin = 4 + int.from_bytes(body[:4], "little")
    header = json.loads(body[4:begin])
    arrays = {}
    for item in header.pop("arrays"):
        count = math.prod(item["shape"])
        dtype = np.dtype(item["dtype"]).newbyteorder("<")
        arrays[item["name"]] = np.frombuffer(body, dtype, count, begin + item["offset"]).reshape(item["shape"])
    return header, arrays


def number(value: float) -> float | None:
    """Return a number as JSON has it: None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def column(values: NDArray[Any], digits: int = 5) -> list[float | int | bool | None]:
    """Return a column as JSON has it: integers and booleans as they are, others rounded to significant digits."""
    if values.dtype.kind in "biu":
        listed: list[float | int | bool | None] = values.tolist()
        return listed
    return [None if not math.isfinite(value) else float(f"{value:.{digits}g}") for value in values.tolist()]
