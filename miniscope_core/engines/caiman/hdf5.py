"""Values out of an HDF5 file that somebody else wrote: None, texts, sparse matrices, and no trust in their sizes.

How CaImAn writes them (1.12.1, ``utils/utils.py:453-540``): None is the byte string ``NoneType``; a sparse matrix is a
group of ``data, indices, indptr, shape``, compressed by column whatever it was; texts are attributes, and before
1.9.9 datasets; what HDF5 has no type for became an array of fixed strings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import h5py
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.errors import ResultError
from miniscope_core.io.hdf5_look import fault_in

Node: TypeAlias = "h5py.Group | h5py.Dataset"

_NONE: Final = (b"NoneType", "NoneType", b"None", "None")
# Deflate packs at most about 1,030 to 1: what claims to hold more is not in the file.
_MOST_PACKED: Final = 1_100
_ALWAYS_READ_BYTES: Final = 2**24
_DEEPEST: Final = 4
_LONGEST_LIST: Final = 1_000
_BROKEN: Final = (
    *(OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError),
    *(AttributeError, MemoryError, RecursionError, NotImplementedError),
)
"""What h5py and NumPy raise over a file that is damaged or was made to do damage."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one :class:`ResultError` that names it."""
    try:
        yield
    except ResultError:
        raise
    except _BROKEN as error:
        reason = str(error).strip("'\" \n").split("\n")[0] or type(error).__name__
        raise ResultError(f"Unreadable CaImAn result at {path}: {reason}. Is the copy complete?") from error


@contextmanager
def opened(path: Path) -> Iterator["Reader"]:
    """Open a file whose text and structure proved readable, and explain what goes wrong inside."""
    if fault := fault_in(path):
        raise ResultError(f"Unreadable CaImAn result at {path}: {fault}. Is the copy complete?")
    with explained(path), h5py.File(path, "r") as file:
        yield Reader(file, path)


class Reader:
    """Reads named values of one open file or group; None where there is none.

    Parameters
    ----------
    root
        Open file or group.
    path
        The file, for messages.
    """

    def __init__(self, root: "h5py.Group", path: Path) -> None:
        self.root = root
        self.path = path
        self._most_bytes = max(_ALWAYS_READ_BYTES, _MOST_PACKED * path.stat().st_size)

    def group(self, name: str) -> "Reader | None":
        """Return a group, or None."""
        node = self.node(name)
        return Reader(node, self.path) if isinstance(node, h5py.Group) else None

    def node(self, name: str) -> "Node | None":
        """Return what has a name, or None. A name that leads into another file is refused."""
        at = self.root
        for part in name.split("/"):
            link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
            if link is None:
                return None
            if isinstance(link, h5py.ExternalLink):
                raise self.wrong(name, "a link to another file", "values of its own")
            at = at.get(part)
        return at

    def value(self, name: str) -> Any:
        """Return a dataset's or attribute's plain value (array, number or text), or None."""
        node = self.node(name)
        if isinstance(node, h5py.Dataset):
            return self._plain(node)
        group, _, last = name.rpartition("/")
        holder = self.node(group) if group else self.root
        return _decoded(holder.attrs[last]) if isinstance(holder, h5py.Group) and last in holder.attrs else None

    def numbers(self, name: str, *, ndim: int | None = None) -> NDArray[Any] | None:
        """Return an array of numbers, or None; an array of fixed strings is taken by what it says.

        Raises
        ------
        ResultError
            When there is something else under this name, or it has another number of axes.
        """
        value = self.value(name)
        if value is None:
            return None
        values = np.asarray(value)
        if values.dtype.kind in "SUO":
            values = _from_texts(values)
        if values.dtype.kind not in "fiub":
            raise self.wrong(name, f"values of type {values.dtype}", "numbers")
        if ndim is not None and values.ndim != ndim:
            raise self.wrong(name, f"shape {values.shape}", f"{ndim} axes")
        return values

    def matrix(self, name: str) -> "sp.csc_array | None":
        """Return a matrix that was written sparse or dense, or None.

        Raises
        ------
        ResultError
            When its parts contradict each other.
        """
        group = self.group(name)
        if group is None:
            dense = self.numbers(name, ndim=2)
            return None if dense is None else sp.csc_array(dense)
        parts = {part: group.numbers(part, ndim=1) for part in ("data", "indices", "indptr", "shape")}
        missing = [part for part, values in parts.items() if values is None]
        if missing:
            raise self.wrong(name, f"a sparse matrix without {', '.join(missing)}", "data, indices, indptr and shape")
        data, indices, bounds, shape = (np.asarray(values) for values in parts.values())
        if not _hangs_together(data, indices, bounds, shape):
            raise self.wrong(
                name,
                f"{len(data)} values, {len(indices)} indices and {len(bounds)} bounds for shape {shape.tolist()}",
                "a sparse matrix whose parts agree",
            )
        columns = (data, indices.astype(np.int64), bounds.astype(np.int64))
        return sp.csc_array(columns, shape=(int(shape[0]), int(shape[1])))

    def tree(self, depth: int = 0) -> dict[str, Any]:
        """Return everything below as nested dictionaries of what JSON has; long arrays as their shape."""
        found = {name: _json(_decoded(value)) for name, value in self.root.attrs.items()}
        for name in self.root:
            node = self.node(name)
            if isinstance(node, h5py.Group) and depth < _DEEPEST:
                found[name] = Reader(node, self.path).tree(depth + 1)
            elif isinstance(node, h5py.Dataset):
                long = node.size is not None and node.size > _LONGEST_LIST
                found[name] = f"array of shape {node.shape}" if long else _json(self._plain(node))
        return found

    def wrong(self, name: str, got: str, expected: str) -> ResultError:
        """Return the error of a value that is not what CaImAn writes."""
        where = f"{self.root.name.rstrip('/')}/{name}"
        return ResultError(f"{where} at {self.path}: got {got}, expected {expected}. Was this file written by CaImAn?")

    def _plain(self, node: "h5py.Dataset") -> Any:
        if node.external or node.is_virtual:
            raise self.wrong(str(node.name), "values that lie in another file", "values of its own")
        nbytes = (node.size or 0) * node.dtype.itemsize
        if nbytes > self._most_bytes:
            raise self.wrong(
                str(node.name), f"{nbytes:,} bytes", f"at most {self._most_bytes:,} in a file of this size"
            )
        return _decoded(node[()])


def _decoded(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return None if isinstance(value, str) and value in _NONE else value


def _from_texts(values: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers that an array of strings spells; NaN for the others, such as ``None``."""
    numbers = np.full(values.shape, np.nan)
    for position, text in np.ndenumerate(values):
        # CaImAn spells an array of one number "[1.5]".
        spelled = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
        try:
            numbers[position] = float(spelled.strip("[] "))
        except ValueError:
            continue
    return numbers


def _hangs_together(data: NDArray[Any], indices: NDArray[Any], bounds: NDArray[Any], shape: NDArray[Any]) -> bool:
    """Ask of a matrix compressed by column what SciPy takes on trust."""
    whole = all(part.dtype.kind in "iu" for part in (indices, bounds, shape))
    if not whole or shape.shape != (2,) or (shape < 0).any() or len(data) != len(indices):
        return False
    if len(bounds) != shape[1] + 1 or bounds[0] != 0 or bounds[-1] != len(data) or (np.diff(bounds) < 0).any():
        return False
    return len(indices) == 0 or bool(indices.min() >= 0 and indices.max() < shape[0])


def _json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_json(one) for one in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    value = _decoded(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
