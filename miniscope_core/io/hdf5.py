"""HDF5 datasets as movies, read slab by slab; errors of the library become ours.

What a dataset claims is checked before it is believed: a size without stored bytes behind it, chunks that do not fit
into memory, and data that lie in other files are refused.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import RecordingError, VideoError
from miniscope_core.io.hdf5_look import fault_in
from miniscope_core.io.stacks import MAX_FRAMES, check_frames

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_MAX_CHUNK_BYTES: Final = 2**29
_CACHE_BYTES: Final = 2**26
_ENDS_BYTES: Final = 2**25
_HEAP: Final = b"GCOL\x01\0\0\0"
_HEAP_BYTES: Final = 2**22
_FAULTS: Final = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises on damaged files, by experience of mutated ones."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever goes wrong inside is a :class:`VideoError` that names the file."""
    file = None
    try:
        file = _open(path)
        yield file
    except _FAULTS as error:
        if isinstance(error, RecordingError):
            raise
        raise _broken(path, error) from error
    finally:
        if file is not None:
            with contextlib.suppress(*_FAULTS):
                file.close()


def _open(path: Path) -> h5py.File:
    _refuse_endless_heaps(path)
    if fault := fault_in(path):
        raise OSError(fault)
    return h5py.File(path, "r", locking="best-effort", rdcc_nbytes=_CACHE_BYTES)


def _refuse_endless_heaps(path: Path) -> None:
    """Refuse a file whose heaps of texts are damaged: the library would walk some of them for ever.

    A heap is a row of objects; one of size zero leads to itself. Looked at are both ends of the file, where the
    description lies.

    References
    ----------
    HDF5 File Format Specification 3.0, III.E (global heap); H5HGcache.c walks without a check of the step.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        for start in dict.fromkeys((0, max(0, size - _ENDS_BYTES))):
            stream.seek(start)
            data = stream.read(_ENDS_BYTES)
            place = data.find(_HEAP)
            while place >= 0:
                stream.seek(start + place)
                if not _ends(stream.read(_HEAP_BYTES)):
                    raise OSError(f"the heap of texts at byte {start + place:,} is damaged")
                place = data.find(_HEAP, place + 1)


def _ends(heap: bytes) -> bool:
    """Say whether walking a heap comes to its end."""
    length = int.from_bytes(heap[8:16], "little")
    if len(heap) < min(length, _HEAP_BYTES):
        return False  # the library reads zeros where the file has ended
    place = 16
    while place + 16 <= min(length, len(heap)):
        number = int.from_bytes(heap[place : place + 2], "little")
        size = int.from_bytes(heap[place + 8 : place + 16], "little")
        step = 16 + (size + 7) // 8 * 8 if number else size
        if not 0 < step <= length - place:
            return False
        place += step
    return True


def _broken(path: Path, error: Exception) -> VideoError:
    reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    return VideoError(f"HDF5 file {path} cannot be read ({reason}). Is the copy complete?")


def is_hdf5(path: Path) -> bool:
    """Say whether a file begins as HDF5 does."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def datasets(group: h5py.Group, limit: int = 10_000) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the datasets of a file with their names; links to other files are not followed, each object comes once."""
    seen: set[Any] = set()
    waiting: list[tuple[str, h5py.Group]] = [("", group)]
    while waiting and len(seen) < limit:
        prefix, one = waiting.pop(0)
        for name in one:
            if not isinstance(one.get(name, getlink=True), h5py.HardLink):
                continue
            found = one[name]
            where = h5py.h5o.get_info(found.id)
            if (place := (where.fileno, where.addr)) in seen:
                continue
            seen.add(place)
            if isinstance(found, h5py.Dataset):
                yield f"{prefix}/{name}", found
            elif isinstance(found, h5py.Group):
                waiting.append((f"{prefix}/{name}", found))


def check_dataset(path: Path, name: str, data: h5py.Dataset) -> tuple[np.dtype[Any], list[str]]:
    """Return the native type of a movie's pixels and what is doubtful, or refuse it.

    Raises
    ------
    VideoError
        When it is no movie that can be read lazily.
    """
    if data.ndim != 3:
        raise VideoError(
            f"Dataset {name} of {path}: got the shape {data.shape}, expected (frame, height, width). "
            "Name another by dataset= (--dataset)."
        )
    dtype = check_frames(path, (data.shape[1], data.shape[2]), data.dtype)
    if not 0 < data.shape[0] <= MAX_FRAMES:
        raise VideoError(f"Dataset {name} of {path}: got {data.shape[0]:,} frames, expected 1 to {MAX_FRAMES:,}.")
    if data.external or data.is_virtual:
        raise VideoError(f"Dataset {name} of {path} lies in other files, expected this one. Copy it into one file.")
    stored = data.id.get_storage_size()
    if stored == 0:
        raise VideoError(f"Dataset {name} of {path} was never written: 0 bytes are stored. Is the copy complete?")
    if data.chunks is None:
        return dtype, []
    chunk = int(np.prod(data.chunks, dtype=object)) * dtype.itemsize
    if chunk > _MAX_CHUNK_BYTES:
        raise VideoError(
            f"Dataset {name} of {path}: got chunks of {chunk:,} bytes, expected at most {_MAX_CHUNK_BYTES:,}. "
            "Write it again with a chunk of some frames (h5repack -l CHUNK=10x600x600)."
        )
    expected = int(
        np.prod([-(-size // part) for size, part in zip(data.shape, data.chunks, strict=True)], dtype=object)
    )
    written = data.id.get_num_chunks()
    if written < expected:
        return dtype, [f"{path.name} {name} has {written} of {expected} chunks: some frames were never written"]
    return dtype, []


class Hdf5Part:
    """Frames of a dataset; safe to share between threads, and to pickle.

    Parameters
    ----------
    path
        An HDF5 file.
    name
        Of a dataset that :func:`check_dataset` took.
    frame_count
        Its frames.
    transposed
        True where frames lie as (width, height), as NWB has them.
    """

    def __init__(self, path: Path, name: str, frame_count: int, transposed: bool = False) -> None:
        self._path = path
        self._name = name
        self._count = frame_count
        self._transposed = transposed
        self._reset()

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self._count

    def _reset(self) -> None:
        # Kept open between reads: the library's cache then spares decompressing a chunk twice.
        self._file: h5py.File | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_file", "_lock")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._reset()

    def read(self, wanted: range, frames: NDArray[Any]) -> None:
        """Read frames of the dataset."""
        with self._lock:
            try:
                if self._file is None:
                    self._file = _open(self._path)
                data = self._file[self._name]
                if len(data) < self._count:
                    raise VideoError(
                        f"Dataset {self._name} of {self._path} changed: got {len(data)} frames, expected "
                        f"{self._count}. Open the recording anew."
                    )
                # Straight into the caller's array, in its type: a copy costs as much as the reading.
                shape = (len(wanted), *frames.shape[:0:-1]) if self._transposed else frames.shape
                block = np.empty(shape, frames.dtype) if self._transposed else frames
                data.read_direct(block, np.s_[wanted.start : wanted.stop : wanted.step])
            except _FAULTS as error:
                if isinstance(error, RecordingError):
                    raise
                raise _broken(self._path, error) from error
        if self._transposed:
            for frame, stored in zip(frames, block, strict=True):
                cv2.transpose(stored, frame)  # in blocks: some times faster than a strided copy
