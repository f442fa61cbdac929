"""The chunks of an AVI file, walked to tell a file that was cut short; frames are decoded elsewhere.

An AVI is a row of RIFF chunks (files above 1 GB have several), each with a list ``movi`` of frame chunks. Sizes come
before the data, so a cut shows without decoding.

References
----------
Microsoft, "AVI RIFF File Reference"; OpenDML AVI File Format Extensions 1.02, for files of several RIFF chunks.
"""

import bisect
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_UNFINISHED: Final = (0, 0xFFFFFFFF)
"""What a writer puts where the size of a RIFF chunk belongs until it closes the file."""
_FRAME: Final = re.compile(rb"[0-9]{2}d[bc]")
_HEADER_BYTES: Final = 8
_KEY_FRAME: Final = 0x10
"""AVIIF_KEYFRAME, in the entries of an index."""
_MAX_HEAD: Final = 2**20
_MAX_INDEX: Final = 2**26
"""Bytes of an index: of four million frames."""
_LIST_BYTES: Final = 12
"""Bytes of a list's own header: RIFF or LIST, its size, its kind."""


def is_avi(magic: bytes) -> bool:
    """Say whether a file that begins with these 12 bytes is an AVI."""
    return magic[:4] == b"RIFF" and magic[8:12] == b"AVI "


def cut_short(path: Path) -> str | None:
    """Say whether an AVI holds fewer bytes than its headers announce.

    A file whose last bytes are missing can still decode to its full number of frames, the last of them damaged.

    Returns
    -------
    str or None
        What is wrong, without a remedy.
    """
    size, end = path.stat().st_size, 0
    with path.open("rb") as stream:
        while end + _HEADER_BYTES <= size:
            kind, length = _header(stream, end)
            if kind != b"RIFF" or length in _UNFINISHED:
                return None
            end += _HEADER_BYTES + length
    if end > size:
        return f"{path.name} is cut short: its header announces {end:,} bytes, {size:,} are there"
    return None


def never_closed(path: Path) -> bool:
    """Say whether the program that wrote an AVI ended before it wrote the file's size."""
    with path.open("rb") as stream:
        return _header(stream, 0)[1] in _UNFINISHED


def complete_frames(path: Path) -> int:
    """Count the frame chunks that are there to their last byte: an upper bound of the frames that are sound."""
    size, count = path.stat().st_size, 0
    with path.open("rb") as stream:
        for kind, start, length in _chunks(stream, 0, size):
            count += bool(_FRAME.fullmatch(kind)) and start + length <= size and length > 0
    return count


@dataclass(frozen=True)
class FrameIndex:
    """Where the frames of an AVI lie, as its own index tells it: enough to make a short AVI of a few of them."""

    head: bytes
    """The file up to its first frame."""
    movi_at: int
    """Where in the head the list of frames begins."""
    starts: tuple[int, ...]
    """Of each frame's chunk in the file."""
    ends: tuple[int, ...]
    keys: tuple[int, ...]
    """Numbers, rising, of the frames that can be decoded without those before."""

    def excerpt(self, path: Path, first: int, stop: int) -> tuple[bytes, int]:
        """Return an AVI of the frames from the last key frame up to ``first`` on, and the number of its first frame."""
        key = self.keys[bisect.bisect_right(self.keys, first) - 1]
        with path.open("rb") as stream:
            stream.seek(self.starts[key])
            frames = stream.read(self.ends[stop - 1] - self.starts[key])
        content = bytearray(self.head + frames)
        content[4:8] = (len(content) - _HEADER_BYTES).to_bytes(4, "little")
        at = self.movi_at + 4
        content[at : at + 4] = (len(content) - self.movi_at - _HEADER_BYTES).to_bytes(4, "little")
        return bytes(content), key


def frame_index(path: Path) -> FrameIndex | None:
    """Read the index of an AVI that holds one stream in one RIFF chunk, or return None.

    The index is believed only as far as each of its entries points at a chunk of that name and size.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        places = list(_lists(stream, size))
        movi = next((place for kind, place, _ in places if kind == b"movi"), None)
        table = next(((place, length) for kind, place, length in places if kind == b"idx1"), None)
        if movi is None or table is None or sum(kind == b"movi" for kind, _, _ in places) != 1:
            return None
        if table[1] > _MAX_INDEX or table[0] + table[1] > size:
            return None
        stream.seek(table[0])
        entries = list(struct.iter_unpack("<4sIII", stream.read(table[1] - table[1] % 16)))
        if not entries or len({entry[0] for entry in entries}) != 1 or not _FRAME.fullmatch(entries[0][0]):
            return None
        # Offsets count from the list's name, or, as some programs write them, from the beginning of the file.
        names = movi + _HEADER_BYTES
        base = names if _header(stream, names + entries[0][2])[0] == entries[0][0] else 0
        starts: list[int] = []
        ends: list[int] = []
        keys: list[int] = []
        for number, (name, flags, offset, length) in enumerate(entries):
            start = base + offset
            if _header(stream, start) != (name, length) or length == 0 or (ends and start < ends[-1]):
                return None
            starts.append(start)
            ends.append(min(start + _HEADER_BYTES + length + length % 2, size))
            if flags & _KEY_FRAME:
                keys.append(number)
        if not keys or keys[0] != 0 or starts[0] > _MAX_HEAD:
            return None
        stream.seek(0)
        return FrameIndex(stream.read(starts[0]), movi, tuple(starts), tuple(ends), tuple(keys))


def in_pieces(path: Path) -> bool:
    """Say whether an AVI is so large that it has several RIFF chunks, each with an index of its own (OpenDML)."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        return sum(kind == b"movi" for kind, _, _ in _lists(stream, size)) > 1


def _lists(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, place and length of the parts of the RIFF chunks of an AVI: of lists their own beginning."""
    riff = 0
    while riff + _LIST_BYTES <= size:
        kind, length = _header(stream, riff)
        if kind != b"RIFF" or length in _UNFINISHED:
            return
        place, stop = riff + _LIST_BYTES, min(size, riff + _HEADER_BYTES + length)
        while place + _HEADER_BYTES <= stop:
            name, inside = _header(stream, place)
            if name == b"LIST":
                yield stream.read(4), place, inside
            else:
                yield name, place + _HEADER_BYTES, inside
            place += _HEADER_BYTES + inside + inside % 2
        riff += _HEADER_BYTES + length + length % 2


def _chunks(stream: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, place of the data and size of every chunk that is no list, into lists that hold frames."""
    while start + _HEADER_BYTES <= stop:
        kind, length = _header(stream, start)
        if kind in (b"RIFF", b"LIST"):
            held = stream.read(4)
            inside = stop if length in _UNFINISHED else min(stop, start + _HEADER_BYTES + length)
            if held in (b"AVI ", b"AVIX", b"movi", b"rec "):
                yield from _chunks(stream, start + _LIST_BYTES, inside)
            start = inside + inside % 2
        else:
            yield kind, start + _HEADER_BYTES, length
            start += _HEADER_BYTES + length + length % 2


def _header(stream: BinaryIO, place: int) -> tuple[bytes, int]:
    stream.seek(place)
    header = stream.read(_HEADER_BYTES)
    return header[:4], int.from_bytes(header[4:], "little")
