"""One open video file: gray frames, decoded exactly, by OpenCV.

What the container says is believed only where decoding confirmed it. Three things that were measured with
OpenCV 4.10, 4.13 or 4.14, and 5.0 (FFmpeg backend) decide how this module works:

* Unconverted retrieval (``CAP_PROP_CONVERT_RGB`` 0) is exact for 8 and 16 bit gray and spares a conversion. Of
  Motion JPEG it returns the plane Y, which is the luminance (JFIF 1.02) unless the pictures say that they leave out
  the ends of the range. For every other pixel format it returns planes or wrong values, so those are converted to BGR
  first.
* ``cv2.cvtColor`` to gray returns v for a pixel (v, v, v), so gray video stored as colour (the DIB files of
  Miniscope-DAQ V3) stays exact.
* ``CAP_PROP_POS_MSEC`` after a frame tells which packet it came from (except with codecs that reorder frames), so
  a lost frame and a wrong seek show.
"""

import contextlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import VideoError
from miniscope_core.io.avi import FrameIndex, is_avi

_GRAY8: Final = b"Y800"
_GRAY16: Final = b"Y1\x00\x10"
"""Codec tags FFmpeg gives the pixel formats gray and gray16le."""
_PLANAR: Final = frozenset({b"I420", b"Y42B", b"444P"})
"""Codec tags of the pixel formats whose first plane is Y."""
_JPEG: Final = "MJPG"
_NARROW: Final = b"CS=ITU601"
"""What FFmpeg writes into pictures whose Y goes from 16 to 235, and goes by when it decodes them."""
_HEAD_BYTES: Final = 2**18

_QUICKTIME: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
"""Boxes that an MP4 or QuickTime file can begin with (ISO/IEC 14496-12)."""
_MATROSKA: Final = b"\x1a\x45\xdf\xa3"
_RAW: Final = "raw"
_SEEKABLE: Final = frozenset({_RAW, "FFV1", "MJPG"})
"""Codecs in which every frame tells its place in the file, and key frames are close enough for a seek."""
LOSSY: Final = frozenset(
    {"MJPG", "FMP4", "XVID", "DX50", "H264", "AVC1", "MJP2", "MP4V", "HEVC", "HVC1", "HEV1", "VP80", "VP90", "AV01"}
)


@dataclass(frozen=True)
class VideoFacts:
    """What opening a file tells before any frame but the first is decoded."""

    shape: tuple[int, int]
    """Height and width, px."""
    dtype: np.dtype[Any]
    codec: str
    claimed: int
    """Frames by the container's own count; not to be trusted."""
    container_fps: float
    coloured: bool
    """True when the channels of the first frame differ."""


class Cursor:
    """One open video file and the place in it; used by one thread at a time.

    Frames are gray and exact. A colour picture becomes its luminance (ITU-R BT.601, as OpenCV computes it): the one
    rule under which gray video in a colour container stays as it is. :attr:`VideoFacts.coloured` tells true colour.

    Parameters
    ----------
    path
        An AVI, MP4, QuickTime or Matroska file.

    Raises
    ------
    VideoError
        When the file cannot be opened as video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self._copy: Path | None = None
        self._capture = _open(path)
        tag = _tag(self._capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
        if tag[:2] == _GRAY16[:2] and tag != _GRAY16:
            self.close()
            raise VideoError(f"Pixel format of {path}: got {tag!r}, expected 8 bit, or 16 bit little-endian gray.")
        self.codec = _codec(self._capture.get(cv2.CAP_PROP_FOURCC))
        self._luminance = self.codec == _JPEG and tag in _PLANAR and _NARROW not in _head(path, _HEAD_BYTES)
        self._unconverted = self._luminance or tag in (_GRAY8, _GRAY16)
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if tag == _GRAY16 else np.uint8)
        if self._unconverted:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self.shape = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        self.claimed = max(0, int(min(self._capture.get(cv2.CAP_PROP_FRAME_COUNT), 2**31)))
        self.container_fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        regular = path.suffix.casefold() == ".avi"  # of others the frames need not lie evenly in time
        self.seekable = regular and self.codec in _SEEKABLE and 0 < self.container_fps < 1e6
        """Whether frames tell their place in the file; a damaged header can make that impossible."""
        self._first_packet: int | None = None

    @classmethod
    def excerpt(cls, path: Path, index: FrameIndex, first: int, stop: int) -> Self:
        """Open a copy of a few frames of an AVI, at ``first`` or the key frame before it.

        For OpenCV a seek is to decode sixteen frames and more before the one wanted.
        """
        content, key = index.excerpt(path, first, stop)
        with tempfile.NamedTemporaryFile(prefix="frames-", suffix=".avi", delete=False) as copy:
            copy.write(content)
        try:
            cursor = cls(Path(copy.name))
        except BaseException:
            os.unlink(copy.name)
            raise
        cursor.path, cursor.position, cursor._first_packet = path, key, -key
        cursor._copy = Path(copy.name)
        return cursor

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
        if self._copy is not None:
            self._copy.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def skip(self) -> bool:
        """Decode the next frame without fetching it; False at the end, or where a frame does not decode."""
        if not self._capture.grab():
            return False
        if self.seekable:  # of others the last frames come without a place
            packet = self._packet()
            if self._first_packet is None:
                self._first_packet = packet - self.position
            if packet - self._first_packet != self.position:
                return False  # the decoder dropped a damaged frame and went on: what follows has lost its number
        self.position += 1
        return True

    def seek(self, index: int) -> None:
        """Go to a frame by the container's index; the next :meth:`skip` is False if that led somewhere else."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        self.position = index
        self._first_packet = 0

    def fetch(self) -> NDArray[Any]:
        """Return the frame that was decoded last, (height, width)."""
        with quietly() if self._luminance else contextlib.nullcontext():  # OpenCV has a remark for each plane
            ok, picture = self._capture.retrieve()
        if not ok or picture is None:
            raise VideoError(f"Frame {self.position - 1} of {self.path} decodes but cannot be fetched.")
        if picture.ndim == 3 and not self._unconverted:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        if picture.shape != self.shape or picture.dtype != self.dtype:
            raise VideoError(
                f"Frame {self.position - 1} of {self.path}: got {picture.dtype} {picture.shape}, "
                f"expected {self.dtype} {self.shape}. The size changes within the file."
            )
        return np.asarray(picture)

    def facts(self) -> VideoFacts:
        """Tell what the file is, by its first frame if there is one."""
        return VideoFacts(self.shape, self.dtype, self.codec, self.claimed, self.container_fps, self._is_coloured())

    def _is_coloured(self) -> bool:
        if self._unconverted and not self._luminance:
            return False
        capture = _open(self.path)
        ok, picture = capture.read()
        capture.release()
        return bool(ok and picture.ndim == 3 and (picture != picture[..., :1]).any())

    def _packet(self) -> int:
        return round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * self.container_fps / 1000)


def probe(path: Path) -> VideoFacts:
    """Open a video file and tell what it is.

    Raises
    ------
    VideoError
        When the file is empty, not what its name says, or cannot be opened.
    """
    with Cursor(path) as cursor:
        return cursor.facts()


def _open(path: Path) -> cv2.VideoCapture:
    magic = _head(path, 12)
    if not magic:
        raise VideoError(f"Video {path} is empty (0 bytes). Copy it again from the acquisition computer.")
    if path.suffix.casefold() in (".mp4", ".mov", ".m4v"):
        if magic[4:8] not in _QUICKTIME:
            raise VideoError(f"Video {path} is no MP4 file: it begins with {magic[:12]!r}, expected b'....ftyp'.")
    elif path.suffix.casefold() == ".mkv":
        if magic[:4] != _MATROSKA:
            raise VideoError(
                f"Video {path} is no Matroska file: it begins with {magic[:12]!r}, expected {_MATROSKA!r}."
            )
    elif not is_avi(magic):
        raise VideoError(f"Video {path} is no AVI file: it begins with {magic[:12]!r}, expected b'RIFF....AVI '.")
    _silence_ffmpeg()
    # One decoding thread: files are decoded in parallel instead, which costs less processor time in all.
    with quietly():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise VideoError(f"Video {path} cannot be opened: its headers are damaged, or OpenCV lacks its codec.")
    return capture


class _Quiet:
    """OpenCV's level of remarks, lowered as long as anybody wants it so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted_by = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._wanted_by == 0:
                self._before = _set_level(0)
            self._wanted_by += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted_by -= 1
            if self._wanted_by == 0:
                _set_level(self._before)


_quiet = _Quiet()


def quietly() -> contextlib.AbstractContextManager[None]:
    """Keep OpenCV's own remarks off standard error: a failure is told as our error."""
    return _quiet


def _set_level(level: int) -> int:
    # OpenCV 4.10 has the function at its top, later versions have moved it.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    return int(set_level(level))


def _silence_ffmpeg() -> None:
    """Tell FFmpeg inside OpenCV to be quiet about damaged frames, unless the user wants to hear it.

    OpenCV reads the variable when the first video is opened; -8 is FFmpeg's AV_LOG_QUIET.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def _tag(value: float) -> bytes:
    return (int(value) & 0xFFFFFFFF).to_bytes(4, "little")


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise VideoError(f"Video {path} cannot be read: {error.strerror}. Is the copy complete?") from error


def _codec(value: float) -> str:
    tag = _tag(value).rstrip(b"\0 ")
    return tag.decode("latin-1").upper() if tag not in (b"", b"DIB") else _RAW
