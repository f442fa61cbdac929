"""What the acquisition programs write about a recording, in the types and units of our own vocabulary.

A file that is no JSON is an error. A value that makes no sense is left out with a warning: the rate comes from the
clock and the size from the video, so a recording does not hang on them. Nothing is filled in from elsewhere.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from miniscope_core.errors import MetadataError
from miniscope_core.io.tables import read_text

_V4_GAIN: Final = {"low": 1.0, "medium": 2.0, "high": 3.5}
_TIMES_GAIN: Final = {"1x": 1.0, "8x": 8.0, "16x": 16.0, "32x": 32.0}
GAINS: Final[Mapping[str, Mapping[str, float]]] = {
    "Miniscope_V4_BNO": _V4_GAIN,
    "Miniscope_V4": _V4_GAIN,
    "Miniscope_V4_2C_Manual": _V4_GAIN,
    "Miniscope_V3": {"low": 1.0, "medium": 2.0, "high": 4.0},
    "Minicam-Mono-XGA": _TIMES_GAIN,
    "Siminiscope_1024X768": _TIMES_GAIN,
}
"""Gain that each word stands for, by device type (Miniscope-DAQ-QT 7e644bf, deviceConfigs/videoDevices.json)."""

SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "Miniscope_V4_BNO": (608, 608),
    "Miniscope_V4": (608, 608),
    "Miniscope_V4_2C_Manual": (608, 608),
    "Miniscope_V3": (480, 752),
    "Minicam-Mono-XGA": (768, 1024),
    "Siminiscope_1024X768": (768, 1024),
}
"""Height and width of a device's frames where no part of them was chosen, px (same file, since v0.142)."""
LED_STEPS: Final[Mapping[str, int]] = {"Miniscope_V4_BNO": 100, "Miniscope_V4": 100, "Miniscope_V4_2C_Manual": 100}
"""Brightest value of an LED; of these devices 255 where the experimenter asked for fine steps, which no file tells."""

_MAX_TEXT: Final = 255
"""Longest name that the database takes."""
_RATE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*(?:fps|hz)?\s*", re.IGNORECASE)
_MAX_UNIX_MS: Final = 1e13
_WIDEST_ZONE_MS: Final = 14 * 3_600_000
_ZONE_STEP_MS: Final = 15 * 60_000
"""Zones differ by quarters of an hour."""
_SAME_MS: Final = 1000
"""Other programs that write such files round."""
_START_FIELDS: Final = ("year", "month", "day", "hour", "minute", "second")
_DATE_FOLDER: Final = re.compile(r"[0-9]{4}_[0-9]{2}_[0-9]{2}")
_TIME_FOLDER: Final = re.compile(r"[0-9]{2}_[0-9]{2}_[0-9]{2}")
_FOLDERS: Final = 7
"""How far up a date is looked for: the device, and the researcher, experiment, animal, date and time of a session."""
_V3_DATE_FOLDER: Final = re.compile(r"([0-9]{1,2})_([0-9]{1,2})_([0-9]{4})")
_V3_TIME_FOLDER: Final = re.compile(r"H([0-9]{1,2})_M([0-9]{1,2})_S([0-9]{1,2})", re.IGNORECASE)


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that a program wrote.

    Raises
    ------
    MetadataError
        When the file is no JSON object; with the place where reading failed.
    """
    try:
        value = json.loads(read_text(path))
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could not be stored
    except (ValueError, RecursionError) as error:
        raise MetadataError(
            f"{path.name} in {path.parent} is no readable JSON ({error}). Copy it again, or correct it by hand."
        ) from error
    if not isinstance(value, dict):
        raise MetadataError(
            f"{path.name} in {path.parent}: got a JSON {type(value).__name__}, expected an object. Copy it again."
        )
    return value


def number(value: object) -> float | None:
    """Return a finite number that was written as one, or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None


def text(value: object) -> str | None:
    """Return a text that says something, on one line without surrounding blanks; None for anything else.

    White space of every kind becomes a blank, and what does not print is left out: it names a thing, and a name is
    typed again.
    """
    if not isinstance(value, str):
        return None
    line = "".join(" " if one.isspace() else one for one in value if one.isspace() or one.isprintable())
    return line.strip()[:_MAX_TEXT].rstrip() or None


def cleaned(name: str, value: object, file: str) -> str | None:
    """Return a warning where :func:`text` gives another text than was written, or None."""
    if not isinstance(value, str) or value.strip() == (text(value) or ""):
        return None
    shown = repr(value) if len(value) <= 80 else f"{value[:77]!r}…"
    return f"{name} in {file}: got {shown}, expected one line of at most {_MAX_TEXT} characters; cleaned"


def parse_rate(value: object) -> float | None:
    """Return a frame rate in Hz from ``20``, ``20.0``, ``"20"`` or ``"20FPS"``; None when it is none."""
    if isinstance(value, str):
        found = _RATE.fullmatch(value)
        value = found[1] if found else None
    rate = number(value)
    return rate if rate is not None and 0 < rate < 1e6 else None


def parse_gain(value: object, device_type: str | None) -> float | None:
    """Return a gain from a number, or from the word that the device type's own menu has for it; None otherwise."""
    words = GAINS.get(device_type or "", {})
    if isinstance(value, str) and value.strip().casefold() in words:
        return words[value.strip().casefold()]
    return number(value)


def parse_start_time(config: Mapping[str, Any]) -> datetime | None:
    """Return the local start time that a session's metadata tells, nested (since v1.10) or flat (before).

    Raises
    ------
    ValueError
        When there is one and it is no date.
    """
    fields = config.get("recordingStartTime", config)
    if not isinstance(fields, Mapping) or (fields is not config and not fields):
        raise ValueError("it is no object with year, month, day")
    if fields is config and not any(name in fields for name in _START_FIELDS):
        return None
    parts = [number(fields.get(name)) for name in _START_FIELDS]
    if None in parts:
        raise ValueError(f"{_START_FIELDS[parts.index(None)]} is missing or no number")
    milliseconds = number(fields.get("msec")) or 0.0
    whole = [int(part) for part in parts if part is not None]
    year, month, day, hour, minute, second = whole
    return datetime(year, month, day, hour, minute, second, min(999_999, max(0, int(milliseconds * 1000))))


def parse_start_unix_ms(config: Mapping[str, Any], started: datetime) -> int | None:
    """Return the moment since 1970 that a session's metadata tell beside its local date.

    Raises
    ------
    ValueError
        When the two are no time zone apart: one of them was changed.
    """
    fields = config.get("recordingStartTime", config)
    value = number(fields.get("msecSinceEpoch")) if isinstance(fields, Mapping) else None
    if value is None or abs(value) > _MAX_UNIX_MS:
        return None
    zone_ms = round((started - datetime(1970, 1, 1)) / timedelta(milliseconds=1)) - int(value)
    off_ms = abs(zone_ms - round(zone_ms / _ZONE_STEP_MS) * _ZONE_STEP_MS)
    if abs(zone_ms) > _WIDEST_ZONE_MS or off_ms > _SAME_MS:
        raise ValueError(f"msecSinceEpoch is {value:.0f}, which is no time zone from {started:%Y-%m-%d %H:%M:%S}")
    return int(value)


@dataclass(frozen=True)
class NamedStart:
    """When a recording began, as the names of its folders tell."""

    date: date
    time: time | None
    """None where only the date is told: which folders there are is the lab's choice."""
    place: str
    """From the date's folder down to the time's."""

    @property
    def moment(self) -> datetime | None:
        """Date and time, where both are told."""
        return None if self.time is None else datetime.combine(self.date, self.time)


def start_named_by_folders(folder: Path) -> NamedStart | None:
    """Return the local start that Miniscope-DAQ-QT's folders tell: ``yyyy_MM_dd/…/HH_mm_ss/device``; None if not so."""
    places = [folder, *folder.parents][:_FOLDERS]
    times = [_parsed("%H_%M_%S", place.name) if _TIME_FOLDER.fullmatch(place.name) else None for place in places]
    for level, place in enumerate(places):
        day = _parsed("%Y_%m_%d", place.name) if _DATE_FOLDER.fullmatch(place.name) else None
        if day is None:
            continue
        below = next((index for index in range(level) if times[index]), None)
        found = times[below] if below is not None else None
        inner = places[below] if below is not None else place
        return NamedStart(day.date(), found.time() if found else None, inner.relative_to(place.parent).as_posix())
    return None


def _parsed(form: str, name: str) -> datetime | None:
    try:
        return datetime.strptime(name, form)
    except ValueError:  # 2021_13_45 is a name, no date
        return None


def start_time_from_v3_folders(folder: Path) -> datetime | None:
    """Return the local start time that Miniscope-DAQ V3's folders tell: ``M_D_YYYY/H15_M45_S12``; None if not so."""
    day_of, time_of = _V3_DATE_FOLDER.fullmatch(folder.parent.name), _V3_TIME_FOLDER.fullmatch(folder.name)
    if day_of is None or time_of is None:
        return None
    month, day, year = (int(part) for part in day_of.groups())
    hour, minute, second = (int(part) for part in time_of.groups())
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:  # 13_45_2021 is a name, no date
        return None
