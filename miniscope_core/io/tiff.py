"""TIFF stacks as movies: pages are found by walking the directories, and read lazily.

Uncompressed pages are read by their place in the file, bit for bit. Compressed ones (LZW, deflate, PackBits) and tiles
are decoded by OpenCV's libtiff, a few pages at a time. Written to be safe with any bytes: every place and size is
checked against the file before it is used.

References
----------
TIFF 6.0 (Adobe, 1992), sections 2 and 8; BigTIFF: libtiff.gitlab.io/libtiff/specification/bigtiff.html. ImageJ writes
stacks above 4 GB with one directory and ``images=N`` in its description (imagej/ImageJ, ij/io/TiffEncoder.java).
"""

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.decoding import quietly
from miniscope_core.io.metadata import number
from miniscope_core.io.options import ReadOptions
from miniscope_core.io.pictures import Pictures
from miniscope_core.io.recording import VideoFile
from miniscope_core.io.stacks import MAX_FRAMES, Part, RawPart, StackSource, check_frames, known_counts

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_DESCRIPTION, _STRIPS, _SAMPLES, _STRIP_BYTES = 270, 273, 277, 279
_RESOLUTION_X, _RESOLUTION_Y, _RESOLUTION_UNIT, _TILES, _SAMPLE_FORMAT = 282, 283, 296, 322, 339
_NAMES: Final = {1: "none", 5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits"}
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MAX_TAGS: Final = 1024
_MAX_VALUES: Final = 2**20
_MAX_TEXT: Final = 2**20
_INTERVAL: Final = re.compile(r"^finterval=([0-9.eE+-]+)\s*$", re.MULTILINE)
_IMAGES: Final = re.compile(r"^images=([0-9]{1,9})\s*$", re.MULTILINE)
_UNIT: Final = re.compile(r"^unit=(.+)$", re.MULTILINE)
_MICROMETRES: Final = frozenset({"micron", "microns", "um", "µm", "μm", "\\u00b5m"})


@dataclass(frozen=True)
class Page:
    """What a page of a TIFF says of itself."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    compression: int
    place: int | None
    """Byte at which its pixels begin; None where they are compressed, in tiles or in scattered strips."""


@dataclass(frozen=True)
class Stack:
    """The pages of one TIFF."""

    path: Path
    first: Page
    places: NDArray[np.int64] | None
    """Byte at which each page's pixels begin; None where they have to be decoded."""
    frame_count: int
    description: str
    um_per_px: tuple[float, float] | None
    """Height and width of a pixel."""
    problem: str = ""


class _File:
    """Bounded reading of a TIFF's structures."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self._stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        self._left = 2 * self.size
        """Bytes of values that may still be read: honest directories do not share theirs a thousand times."""
        magic = self.at(0, 16)
        if magic[:2] not in (b"II", b"MM") or len(magic) < 8:
            raise self.broken(f"got {magic[:4]!r} at its beginning, expected b'II*\\x00' or b'MM\\x00*'")
        self.order = "<" if magic[:2] == b"II" else ">"
        version = struct.unpack(self.order + "H", magic[2:4])[0]
        if version not in (42, 43) or len(magic) < (16 if version == 43 else 8):
            raise self.broken(f"got version {version}, expected 42 or 43")
        self.big = version == 43
        self.first = struct.unpack(self.order + ("Q" if self.big else "I"), magic[8:16] if self.big else magic[4:8])[0]

    def at(self, place: int, count: int) -> bytes:
        self._stream.seek(place)
        return self._stream.read(count)

    def broken(self, problem: str) -> VideoError:
        return VideoError(f"TIFF {self.path} is damaged: {problem}. Copy it again.")

    def directory(self, place: int) -> tuple[dict[int, tuple[int, int, bytes]], int]:
        """Return the tags of a directory (type, count, value or place of it), and where the next one is."""
        head, entry, value = (8, 20, 8) if self.big else (2, 12, 4)
        if not 8 <= place <= self.size - head:
            raise self.broken(f"a directory at byte {place:,} of {self.size:,}")
        count = int.from_bytes(self.at(place, head), "little" if self.order == "<" else "big")
        if not 0 < count <= _MAX_TAGS:
            raise self.broken(f"a directory of {count:,} tags at byte {place:,}")
        data = self.at(place + head, count * entry + value)
        if len(data) < count * entry + value:
            raise self.broken(f"it ends within the directory at byte {place:,}")
        form = self.order + ("HHQ8s" if self.big else "HHI4s")
        tags = {tag: (kind, n, raw) for tag, kind, n, raw in struct.iter_unpack(form, data[: count * entry])}
        following = struct.unpack(self.order + ("Q" if self.big else "I"), data[count * entry :])[0]
        return tags, following

    def raw(self, kind: int, count: int, inline: bytes, limit: int) -> bytes:
        length = count * _SIZES.get(kind, 1)
        if length <= len(inline):
            return inline[:length]
        place = struct.unpack(self.order + ("Q" if self.big else "I"), inline)[0]
        self._left -= length
        if count > limit or place + length > self.size or self._left < 0:
            raise self.broken(f"a tag of {count:,} values at byte {place:,} of {self.size:,}")
        return self.at(place, length)

    def numbers(self, tags: dict[int, tuple[int, int, bytes]], tag: int, default: int | None = None) -> list[int]:
        """Return a tag's whole numbers."""
        if tag not in tags:
            if default is None:
                raise self.broken(f"tag {tag} is missing")
            return [default]
        kind, count, inline = tags[tag]
        code = _CODES.get(kind)
        if code is None or count < 1:
            raise self.broken(f"tag {tag} is of type {kind} with {count} values")
        data = self.raw(kind, count, inline, _MAX_VALUES)
        return list(struct.unpack(f"{self.order}{count}{code}", data))

    def text(self, tags: dict[int, tuple[int, int, bytes]], tag: int) -> str:
        if tag not in tags or tags[tag][0] != 2:
            return ""
        return self.raw(*tags[tag], _MAX_TEXT).split(b"\0")[0].decode("utf-8", "replace")

    def ratio(self, tags: dict[int, tuple[int, int, bytes]], tag: int) -> float | None:
        if tag not in tags or tags[tag][:2] != (5, 1):
            return None
        above, below = struct.unpack(self.order + "II", self.raw(*tags[tag], 1))
        return above / below if above and below else None


# -- structure ------------------------------------------------------------------------------------------
def read_stack(path: Path) -> Stack:
    """Walk the pages of a TIFF without reading a pixel.

    Raises
    ------
    VideoError
        When it is no TIFF, damaged, or not gray of 8 or 16 bit.
    """
    try:
        with path.open("rb") as stream:
            return _walk(_File(path, stream))
    except OSError as error:
        raise VideoError(f"TIFF {path} cannot be read: {error.strerror}. Is the copy complete?") from error


def _walk(file: _File) -> Stack:
    if file.size == 0:
        raise VideoError(f"TIFF {file.path} is empty (0 bytes). Copy it again from the acquisition computer.")
    first: Page | None = None
    tags_of_first: dict[int, tuple[int, int, bytes]] = {}
    places: list[int | None] = []
    problem = ""
    for tags in _directories(file):
        if isinstance(tags, str):
            problem = tags
            break
        page = _page(file, tags)
        if first is None:
            first, tags_of_first = page, tags
        elif (page.shape, page.dtype, page.compression) != (first.shape, first.dtype, first.compression):
            raise VideoError(
                f"Page {len(places)} of {file.path}: got {page.shape[1]}×{page.shape[0]} px {page.dtype}, expected "
                f"{first.shape[1]}×{first.shape[0]} px {first.dtype} as the first. Export the movie alone."
            )
        places.append(page.place)
    if first is None:
        raise file.broken(problem or "it holds no page")
    description = file.text(tags_of_first, _DESCRIPTION)
    together = _one_directory(file, first, description) if len(places) == 1 else None
    raw = together if together is not None else _all_there(places)
    if raw is not None:
        length = first.shape[0] * first.shape[1] * first.dtype.itemsize
        there = int((raw + length <= file.size).sum())
        if there < len(raw):
            problem = f"{file.path.name} is cut short: {len(raw)} pages are announced, {there} are there"
            raw = raw[:there]
    count = len(places) if raw is None else len(raw)
    if count == 0:
        raise VideoError(f"TIFF {file.path} holds no page that is there to its end. Copy it again.")
    return Stack(file.path, first, raw, count, description, _pixel_size(file, tags_of_first, description), problem)


def _directories(file: _File) -> Iterator[dict[int, tuple[int, int, bytes]] | str]:
    """Yield the directories; a chain that breaks off after the first page ends with what is wrong."""
    place, seen = file.first, set[int]()
    while place:
        if place in seen:
            raise file.broken(f"its directories go in a circle at byte {place:,}")
        seen.add(place)
        if len(seen) > MAX_FRAMES:
            raise file.broken("too many pages")
        try:
            tags, place = file.directory(place)
        except VideoError as error:
            if len(seen) == 1:
                raise
            yield f"{file.path.name} is cut short after page {len(seen) - 2}: {error}".split(". Copy")[0]
            return
        yield tags


def _page(file: _File, tags: dict[int, tuple[int, int, bytes]]) -> Page:
    shape = (file.numbers(tags, _HEIGHT)[0], file.numbers(tags, _WIDTH)[0])
    bits, form = file.numbers(tags, _BITS, 1)[0], file.numbers(tags, _SAMPLE_FORMAT, 1)[0]
    samples, compression = file.numbers(tags, _SAMPLES, 1)[0], file.numbers(tags, _COMPRESSION, 1)[0]
    if samples != 1:
        raise VideoError(f"Pixels of {file.path}: got {samples} colours, expected gray. Export one channel.")
    kind = {(8, 1): "u1", (16, 1): "u2", (16, 2): "i2", (32, 3): "f4", (32, 1): "u4", (8, 2): "i1"}.get((bits, form))
    if kind is None:
        raise VideoError(f"Pixels of {file.path}: got {bits} bit of form {form}, expected 8 or 16 bit without a sign.")
    check_frames(file.path, shape, np.dtype(kind))
    if compression not in _NAMES:
        raise VideoError(
            f"Compression of {file.path}: got number {compression}, expected none, LZW, deflate or PackBits. "
            "Save it without compression."
        )
    dtype = np.dtype(file.order + kind)
    place = None
    if compression == 1 and _TILES not in tags:
        place = _contiguous(file, tags, shape[0] * shape[1] * dtype.itemsize)
    elif file.numbers(tags, _PHOTOMETRIC, 1)[0] != 1:
        raise VideoError(f"Pixels of {file.path}: got white as zero, expected black. Save it without compression.")
    return Page(shape, dtype, compression, place)


def _contiguous(file: _File, tags: dict[int, tuple[int, int, bytes]], length: int) -> int | None:
    """Return where a page's strips begin if they follow each other without a gap."""
    strips = file.numbers(tags, _STRIPS)
    sizes = file.numbers(tags, _STRIP_BYTES, length)
    if len(strips) == 1:
        return strips[0]
    expected = strips[0] + np.concatenate([[0], np.cumsum(sizes, dtype=np.uint64)[:-1]]).astype(object)
    return strips[0] if len(sizes) == len(strips) and list(expected) == strips and sum(sizes) >= length else None


def _one_directory(file: _File, first: Page, description: str) -> NDArray[np.int64] | None:
    """Return the places of an ImageJ stack whose pages follow the only directory's."""
    found = _IMAGES.search(description)
    if found is None or first.place is None or not description.startswith("ImageJ="):
        return None
    length = first.shape[0] * first.shape[1] * first.dtype.itemsize
    count = min(int(found[1]), file.size // length + 1, MAX_FRAMES)
    return first.place + np.arange(count, dtype=np.int64) * length if count > 1 else None


def _all_there(places: Sequence[int | None]) -> NDArray[np.int64] | None:
    there = [place for place in places if place is not None and place < 2**62]
    return np.array(there, np.int64) if len(there) == len(places) else None


def _pixel_size(file: _File, tags: dict[int, tuple[int, int, bytes]], description: str) -> tuple[float, float] | None:
    """Return a pixel's height and width in µm where the file names the unit."""
    across, down = file.ratio(tags, _RESOLUTION_X), file.ratio(tags, _RESOLUTION_Y)
    if not across or not down:
        return None
    unit = _UNIT.search(description)
    if unit and unit[1].strip() in _MICROMETRES:
        return 1 / down, 1 / across
    return None  # inches and centimetres are what printers are told


# -- frames ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class DecodedPart:
    """Pages that OpenCV decodes."""

    path: Path
    frame_count: int
    step: int = field(default=16)
    """Pages decoded at once."""

    def read(self, wanted: range, frames: NDArray[Any]) -> None:
        """Decode pages; the pages between those wanted are skipped."""
        size = self.step if wanted.step == 1 else 1
        for first in range(0, len(wanted), size):
            some = wanted[first : first + size]
            pages = _decode(self.path, some.start, len(some))
            for row, page in enumerate(pages):
                if page.shape != frames.shape[1:] or page.dtype != frames.dtype:
                    raise VideoError(
                        f"Page {some.start + row} of {self.path}: got {page.dtype} {page.shape}, expected "
                        f"{frames.dtype} {frames.shape[1:]}. Save it without compression."
                    )
                frames[first + row] = page


def _decode(path: Path, start: int, count: int) -> Sequence[NDArray[Any]]:
    with quietly():
        try:
            good, pages = cv2.imreadmulti(str(path), start=start, count=count, flags=cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise VideoError(f"Page {start} of {path} cannot be decoded ({error.code}). Copy it again.") from error
    if not good or len(pages) != count:
        raise VideoError(
            f"Page {start + len(pages)} of {path} cannot be decoded: it is damaged. Copy it again, or save it "
            "without compression."
        )
    return [np.asarray(page) for page in pages]


def open_tiffs(place: Path, paths: Sequence[Path], options: ReadOptions) -> Pictures:
    """Open TIFFs that are one movie.

    Parameters
    ----------
    place
        The recording's folder or file.
    paths
        Its files, in order.
    options
        Known frame counts are compared.

    Raises
    ------
    VideoError
        When one is missing, damaged, or of another size or type than the first.
    """
    stacks = []
    for path in paths:
        stacks.append(read_stack(path))
        options.progress("decoding", len(stacks), len(paths))
    first = stacks[0]
    dtype = first.first.dtype.newbyteorder("=")
    for stack in stacks:
        if (stack.first.shape, stack.first.dtype.newbyteorder("=")) != (first.first.shape, dtype):
            raise VideoError(
                f"TIFF {stack.path} is of another recording: got {stack.first.shape[1]}×{stack.first.shape[0]} px "
                f"{stack.first.dtype}, expected {first.first.shape[1]}×{first.first.shape[0]} px {dtype} as in "
                f"{first.path.name}. Move it out of the folder."
            )
    counts = [stack.frame_count for stack in stacks]
    known_counts(place, paths, counts, options.frame_counts)
    parts: list[Part] = [
        DecodedPart(stack.path, stack.frame_count)
        if stack.places is None
        else RawPart(stack.path, stack.places, stack.first.dtype)
        for stack in stacks
    ]
    interval = number(found[1]) if (found := _INTERVAL.search(first.description)) else None
    height, width = first.first.shape
    return Pictures(
        files=tuple(VideoFile(path=path, frame_count=count) for path, count in zip(paths, counts, strict=True)),
        shape=first.first.shape,
        dtype=dtype,
        source=StackSource(parts, first.first.shape, dtype),
        problems=tuple(stack.problem for stack in stacks if stack.problem),
        warnings=(),
        nominal_fps=1 / interval if interval and 1e-6 < interval < 1e6 else None,
        um_size=(first.um_per_px[0] * height, first.um_per_px[1] * width) if first.um_per_px else None,
        config={f"{first.path.name} description": {"text": first.description}} if first.description else {},
    )
