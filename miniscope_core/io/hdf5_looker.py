"""The program that looks into HDF5 files; run by its path, so it imports h5py and the standard library alone.

Reads one file's path a line, as hexadecimal digits, and answers each with ``looked`` or ``greedy``. That it ends tells
over which file the library crashed.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import h5py

if sys.platform != "win32":
    import resource

_COMPLAINTS: Final = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError),
    *(ArithmeticError, AttributeError, MemoryError),
)
"""What h5py raises over a damaged file; RuntimeError is also what is not implemented or goes too deep."""
_MOST_NODES: Final = 10_000
_MOST_ATTRIBUTES: Final = 1000
_SMALL: Final = 1000
"""Values up to which a dataset is read whole."""
_LARGEST_READ_BYTES: Final = 2**29
_GREEDY_BYTES: Final = 2**28
"""Memory that nothing small can need."""
_GROWN_BYTES: Final = 2**26


def peak_bytes() -> int:
    """Return the most memory this process has held."""
    try:
        with open("/proc/self/status") as status:  # what getrusage tells on Linux begins with the parent's peak
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    if sys.platform == "win32":
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def attempt(what: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Do something over which the library may complain, and return None then."""
    try:
        return what(*given, **named)
    except _COMPLAINTS:
        return None


def nodes(file: h5py.File) -> Iterator[Any]:
    """Give the groups and datasets of a file, also behind what cannot be reached, at which the library's walk ends."""
    waiting: list[Any] = [file]
    seen: set[Any] = set()
    while waiting and len(seen) < _MOST_NODES:
        node = waiting.pop(0)
        place = attempt(_address, node)
        if place in seen:
            continue
        seen.add(place)
        yield node
        if isinstance(node, h5py.Group):
            waiting.extend(_members(node))


def _address(node: Any) -> Any:
    return h5py.h5o.get_info(node.id).addr


def _members(group: h5py.Group) -> Iterator[Any]:
    for name in attempt(list, group) or ():
        if isinstance(attempt(group.get, name, getlink=True), h5py.HardLink | h5py.SoftLink):
            yield attempt(group.__getitem__, name)


def look_at_small(node: Any) -> None:
    """Read the attributes, and what is small enough to be read whole."""
    for key in (attempt(list, node.attrs) or ())[:_MOST_ATTRIBUTES]:
        attempt(node.attrs.__getitem__, key)
    if isinstance(node, h5py.Dataset) and node.size is not None and node.size <= _SMALL:
        node[()]


def look_at_large(data: h5py.Dataset) -> None:
    """Read where a dataset lies, and both its ends."""
    if data.external or data.is_virtual or data.size is None or data.size <= _SMALL:
        return
    data.id.get_storage_size()
    chunk = data.dtype.itemsize
    for length in data.chunks or ():
        chunk *= length
    if data.chunks:
        data.id.get_num_chunks()
    if max(data.size // data.shape[0] * data.dtype.itemsize, chunk) <= _LARGEST_READ_BYTES:
        data[0]
        data[-1]


def look_into(path: str) -> str:
    """Look into a file and say what it was like."""
    with h5py.File(path, "r", locking="best-effort") as file:
        before = peak_bytes()
        for node in nodes(file):
            attempt(look_at_small, node)
        if peak_bytes() - before > _GREEDY_BYTES:
            return "greedy"
        for node in nodes(file):
            if isinstance(node, h5py.Dataset):
                attempt(look_at_large, node)
    return "looked"


def main(idle_s: float) -> None:
    """Look into one file after the other, until there is none for a while."""
    print("ready", flush=True)
    begun = peak_bytes()
    while peak_bytes() - begun < _GROWN_BYTES:  # a peak cannot be set back: another process goes on
        idle = threading.Timer(idle_s, os._exit, (0,))
        idle.daemon = True
        idle.start()
        asked = sys.stdin.readline()
        idle.cancel()
        if not asked:
            break
        print(attempt(look_into, os.fsdecode(bytes.fromhex(asked))) or "looked", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
