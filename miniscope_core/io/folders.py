"""Files of a recording folder by the names that acquisition programs give them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from miniscope_core.errors import MetadataError, VideoError

_HEADER_BYTES = 4096


def natural_key(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key that orders ``2.avi`` before ``10.avi``."""
    return tuple((int(part), "") if part.isdigit() else (-1, part.casefold()) for part in re.split(r"([0-9]+)", name))


def numbered_videos(folder: Path, prefix: str) -> dict[int, Path]:
    """Return the AVI files called ``<prefix><number>.avi``, by number, in order; nothing else gets in."""
    pattern = re.compile(re.escape(prefix) + r"(0|[1-9][0-9]*)\.avi", re.IGNORECASE)
    found = {}
    for path in _entries(folder):
        if (match := pattern.fullmatch(path.name)) and not path.is_dir():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def other_videos(folder: Path, used: Sequence[Path]) -> list[str]:
    """Return the names of the video files that are not among those used; hidden ones are a computer's own."""
    suffixes = {".avi", ".mp4", ".mkv", ".mov", ".isxd", ".tif", ".tiff"}
    others = [path for path in _entries(folder) if path.suffix.casefold() in suffixes and path not in used]
    return sorted(path.name for path in others if not path.name.startswith("."))


def find_file(folder: Path, name: str) -> Path | None:
    """Return a file of a folder by its name, in whatever case a copy has left it."""
    exact = folder / name
    if exact.is_file():
        return exact
    return next((path for path in _entries(folder) if path.name.casefold() == name.casefold() and path.is_file()), None)


def require_row(folder: Path, videos: dict[int, Path], first: int, prefix: str) -> list[Path]:
    """Return numbered videos in order, or say which one is missing.

    Raises
    ------
    VideoError
        When there is none, or the numbers do not run from ``first`` without a gap.
    """
    last = max(videos, default=first)
    if missing := [number for number in range(first, last + 1) if number not in videos][:5]:
        names = ", ".join(f"{prefix}{number}.avi" for number in missing)
        have = ", ".join(path.name for path in list(videos.values())[:5]) or "no video"
        raise VideoError(f"Video {names} missing in {folder}: got {have}. Is the copy complete?")
    return [path for number, path in videos.items() if number >= first]


def shorten(names: Sequence[str]) -> list[str]:
    """Return names as a message shows them: all of a few, else the first and the last."""
    return list(names) if len(names) < 3 else [f"{names[0]} … {names[-1]}"]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise MetadataError(f"Folder {folder} cannot be read: {error.strerror}.") from error


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are not hidden; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file())
    except OSError:
        return []
    return [folder / name for name in names]


def visible_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden, in natural order; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=natural_key)]


def beside(path: Path, names: Sequence[str]) -> list[Path]:
    """Return those of some files that lie beside a file, whatever the case of their names' endings."""
    places = [path.parent / one for name in names for one in (name, f"{name[:-4]}{name[-4:].upper()}")]
    return [place for place in dict.fromkeys(places) if place.is_file()]


def first_line(path: Path) -> str:
    """Return the first line of a text file, up to what a header can be long; empty where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.readline(_HEADER_BYTES).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    except OSError:
        return ""
