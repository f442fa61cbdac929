"""The chunks of an AVI file, walked to tell a file that was cut short; frames are decoded elsewhere.

An AVI is a row of RIFF chunks (files above 1 GB have several), each with a list ``movi`` of frame chunks. Sizes come
before the data, so a cut shows without decoding.

References
----------
Microsoft, "AVI RIFF File Reference"; OpenDML AVI File Format Extensions 1.02, for files of several RIFF chunks.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_UNFINISHED: Final = (0, 0xFFFFFFFF)
"""What a writer puts where the size of a RIFF chunk belongs until it closes the file."""
_FRAME: Final = re.compile(rb"[0-9]{2}d[bc]")
_HEADER_BYTES: Final = 8
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
