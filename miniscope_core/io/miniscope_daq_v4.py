"""Reader of Miniscope-DAQ-QT folders, which everybody calls Miniscope-DAQ V4, of all its versions.

A session as the program writes it, and the plain layout with everything in one folder::

    2021_01_01/00_00_01/              session/
      metaData.json    session          0.avi, 1.avi …
      notes.csv                         metaData.json    device
      experiment/                       timeStamps.csv
      behaviorTracker/  optional: see :mod:`miniscope_core.io.pose`
      My_V4_Miniscope/                  headOrientation.csv, notes.csv    optional
        0.avi, 1.avi …
        metaData.json  device
        timeStamps.csv
        headOrientation.csv   optional
      BehavCam/                         a camera's folder looks the same and is told by its metadata

References
----------
Miniscope-DAQ-QT 7e644bf, source/datasaver.cpp: startRecording (files and headers), writeBufferedFrame (rows),
constructBaseDirectoryMetaData and constructDeviceMetaData (JSON); v1.02 of the same file for the flat start time.
"""

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, MetadataError
from miniscope_core.io.clock import Clock, ClockRows, given_clock, join_clock
from miniscope_core.io.folders import find_file, first_line, numbered_videos, other_videos, require_row, shorten
from miniscope_core.io.metadata import (
    LED_STEPS,
    SIZES,
    NamedStart,
    cleaned,
    load_json,
    number,
    parse_gain,
    parse_rate,
    parse_start_time,
    parse_start_unix_ms,
    start_named_by_folders,
    text,
)
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.pose import read_pose
from miniscope_core.io.recording import Note, Recording, RecordingMetadata
from miniscope_core.io.signals import Signal
from miniscope_core.io.staleness import START_TOLERANCE_S, kept_from_before
from miniscope_core.io.tables import read_head_orientation, read_notes, read_table
from miniscope_core.io.video import Video, open_video

CLOCK_FILE: Final = "timeStamps.csv"
METADATA_FILE: Final = "metaData.json"
NOTES_FILE: Final = "notes.csv"
HEAD_FILE: Final = "headOrientation.csv"

_FRAME: Final = "Frame Number"
_TIME: Final = "Time Stamp (ms)"
_BUFFER: Final = "Buffer Index"
_HARDWARE: Final = "DAQ Frame Number"
_NOTES_HEADER: Final = _TIME.casefold()
_SESSION_KEYS: Final = frozenset({"miniscopes", "cameras", "recordingStartTime", "msecSinceEpoch", "baseDirectory"})
_TEXTS: Final = ("deviceName", "deviceType", "animalName", "researcherName", "experimentName")
_LOSSLESS: Final = frozenset({"FFV1", "GREY", "DIB"})
_BUFFER_FRAMES: Final = 128
_NEARLY_FULL: Final = 120
"""Frames waiting from which the buffer may have been full between two rows."""
_RATE_TOLERANCE: Final = 0.1
"""Relative difference of set and measured rate from which something was wrong at the rig."""


@dataclass
class _Facts:
    """The metadata of a device and its session as read, and what was odd about them."""

    device: dict[str, Any]
    session: dict[str, Any]
    config: dict[str, Any]
    files: list[Path]
    session_folder: Path | None = None
    """Where the session's metadata lie."""
    warnings: list[str] = field(default_factory=list)

    def first(self, name: str) -> Any:
        """Return a session's value from the session's file, or from the device's where they share one."""
        return self.session.get(name, self.device.get(name))

    def warn(self, name: str, value: object, expected: str) -> None:
        self.warnings.append(f"{name} in {METADATA_FILE}: got {value!r}, expected {expected}; left out")


class MiniscopeDaqV4:
    """Reader of Miniscope-DAQ-QT recordings; see the module's text for the folders."""

    name = "Miniscope-DAQ-V4"
    looks_for = f"0.avi, 1.avi … with {CLOCK_FILE} and {METADATA_FILE}"
    place: Literal["folder", "file"] = "folder"
    plain = False
    takes: frozenset[str] = frozenset()

    def recognise(self, folder: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return why the folder is a device's of Miniscope-DAQ-QT, or None."""
        found = [name for name in (CLOCK_FILE, METADATA_FILE) if find_file(folder, name)]
        videos = [path.name for path in numbered_videos(folder, "").values()]
        if CLOCK_FILE not in found and not (videos and found):
            return None  # numbered videos alone can be anybody's
        return ", ".join([*shorten(videos), *found])

    def set_aside(self, folder: Path) -> str | None:
        """Return why the folder is a behaviour camera's, or None.

        The session's own lists of devices decide, else the device type. A MiniCAM is a behaviour camera although it
        has a miniscope's electronics.
        """
        try:
            facts = _load(folder)
        except MetadataError:
            return None  # reading the folder will tell what is broken
        kind = text(facts.device.get("deviceType")) or ""
        names = {_folder_name(folder.name), _folder_name(text(facts.device.get("deviceName")) or folder.name)}
        for listed, is_camera in (("miniscopes", False), ("cameras", True)):
            devices = facts.session.get(listed)
            devices = [one for one in devices if isinstance(one, str)] if isinstance(devices, list) else []
            if names & {_folder_name(one) for one in devices}:
                return f"{METADATA_FILE} of the session lists it as a camera" if is_camera else None
        if kind.casefold().startswith(("webcam", "minicam")):
            return f"deviceType {kind} is a behaviour camera"
        return None

    def read(self, folder: Path, options: ReadOptions) -> Recording:
        """Read a device's folder.

        Raises
        ------
        VideoError, ClockError, MetadataError
            When a file is missing or broken, with file, problem and remedy.
        """
        facts = _load(folder)
        paths = require_row(folder, numbered_videos(folder, ""), 0, "")
        clock_file = find_file(folder, CLOCK_FILE)
        if clock_file is None and options.fps is None:
            raise ClockError(
                f"{CLOCK_FILE} missing in {folder}: needed for the frame clock; is the copy complete? "
                "To go on without it pass fps= (--fps)."
            )
        rows = read_clock(clock_file) if clock_file and options.fps is None else None
        video = open_video(folder, paths, options)
        frames_per_file = _frames_per_file(facts)
        nominal_fps = _nominal_fps(facts)
        clock = _clock(folder, rows, clock_file, video, options, nominal_fps, frames_per_file)
        _compare(facts, video, clock, frames_per_file, other_videos(folder, paths))
        head_orientation = _head_orientation(folder, facts)
        notes = _notes(folder, facts)
        signals = _pose(facts)
        if clock_file:
            facts.files.insert(0, clock_file)
        return Recording(
            directory=folder,
            files=video.files,
            shape=video.shape,
            dtype=video.dtype,
            timestamps_s=clock.timestamps_s,
            clock=clock.report,
            metadata=_metadata(self.name, folder, facts, nominal_fps),
            source=video.source(),
            head_orientation=head_orientation,
            notes=notes,
            signals=signals,
            evidence=self.recognise(folder) or "",
            side_files=tuple(facts.files),
        )


def _folder_name(device: str) -> str:
    """Return the name of a device's folder; computers differ in whether ä is one character or two."""
    return unicodedata.normalize("NFC", device).replace(" ", "_")


# -- clock ----------------------------------------------------------------------------------------------
def read_clock(path: Path) -> ClockRows:
    """Read ``timeStamps.csv``.

    Frame numbers run on across dropped frames; a jump in them means that rows were lost or repeated.

    Raises
    ------
    ClockError
        When a row cannot be read, with its line.
    """
    table = read_table(path, ",", [_FRAME, _TIME], [_BUFFER, _HARDWARE])
    problems = list(table.problems)
    if (jumps := np.flatnonzero(np.diff(table.whole(_FRAME)) != 1)).size:
        line = table.lines[int(jumps[0]) + 1]
        problems.append(f"{path.name} counts frames with {jumps.size} jumps, first at line {line}: rows are missing")
    return ClockRows(
        source=path.name,
        times_ms=table.columns[_TIME],
        buffer=table.whole(_BUFFER) if _BUFFER in table.columns else None,
        hardware=table.whole(_HARDWARE) if _HARDWARE in table.columns else None,
        problems=tuple(problems),
        lines=table.lines,
    )


def _clock(
    folder: Path,
    rows: ClockRows | None,
    clock_file: Path | None,
    video: Video,
    options: ReadOptions,
    nominal_fps: float | None,
    frames_per_file: int | None,
) -> Clock:
    if rows is None:
        frame_count = sum(file.frame_count for file in video.files)
        return given_clock(
            folder,
            options.fps,
            frame_count,
            options.clock,
            nominal_fps=nominal_fps,
            unused=clock_file.name if clock_file else None,
            problems=video.problems,
        )
    return join_clock(folder, rows, video.files, options.clock, nominal_fps, frames_per_file, video.problems)


# -- metadata -------------------------------------------------------------------------------------------
def _load(folder: Path) -> _Facts:
    """Read the metadata of a device and of the session above it."""
    facts = _Facts({}, {}, {}, [])
    if path := find_file(folder, METADATA_FILE):
        facts.device = load_json(path)
        facts.config[METADATA_FILE] = facts.device
        facts.files.append(path)
        if text(facts.device.get("deviceType")) is None and text(facts.device.get("deviceName")) is None:
            facts.warnings.append(f"{METADATA_FILE} names no device, and settings are unknown: is it the session's?")
    else:
        facts.warnings.append(f"{METADATA_FILE} missing in the recording folder: device and settings are unknown")
    # A link to a device folder from elsewhere still belongs to the session where the folder lies.
    for parent in dict.fromkeys((folder.parent, folder.resolve().parent)):
        path = find_file(parent, METADATA_FILE) if parent.is_dir() else None
        session = load_json(path) if path else {}
        if path and _SESSION_KEYS & session.keys() and not numbered_videos(parent, ""):
            facts.session = session
            facts.session_folder = parent
            facts.config[f"../{METADATA_FILE}"] = session
            facts.files.append(path)
            break
    return facts


def _metadata(software: str, folder: Path, facts: _Facts, nominal_fps: float | None) -> RecordingMetadata:
    device = facts.device
    device_type = text(device.get("deviceType"))
    gain = parse_gain(device.get("gain"), device_type)
    if gain is None and device.get("gain") is not None:
        facts.warn("gain", device["gain"], f"a number or a word of {device_type or 'a known device type'}")
    led_power = number(device.get("led0"))
    if led_power is None and device.get("led0") is not None:
        facts.warn("led0", device["led0"], "a number")
    steps = LED_STEPS.get(device_type or "")
    if led_power is not None and steps is not None and led_power > steps:
        facts.warnings.append(
            f"led0 is {led_power:g} of {steps}: it was set in fine steps (led0FineSteps), 0 to 255, and is kept so"
        )
    second = number(device.get("led1"))
    if second:
        facts.warnings.append(
            f"A second LED (led1) is at {second:g}: the LED power recorded is that of led0, and nothing tells which "
            "frame was lit by which"
        )
    if not facts.session and text(facts.device.get("animalName")) is None:
        facts.warnings.append(
            f"No {METADATA_FILE} of the session in the folder above: animal and experimenter are unknown"
        )
    for name in _TEXTS:
        value = device.get(name) if name.startswith("device") else facts.first(name)
        facts.warnings += filter(None, [cleaned(name, value, METADATA_FILE)])
    started, unix_ms = _start_time(folder, facts)
    return RecordingMetadata(
        acquisition_software=software,
        device_name=text(device.get("deviceName")),
        device_type=device_type,
        animal_name=text(facts.first("animalName")),
        researcher_name=text(facts.first("researcherName")),
        experiment_name=text(facts.first("experimentName")),
        recording_datetime=started,
        started_unix_ms=unix_ms,
        nominal_fps=nominal_fps,
        gain=gain,
        led_power=led_power,
        warnings=tuple(facts.warnings),
        config=facts.config,
    )


def _nominal_fps(facts: _Facts) -> float | None:
    value = facts.device.get("frameRate")
    rate = parse_rate(value)
    if rate is None and value is not None:
        facts.warn("frameRate", value, "a rate such as 20 or '20FPS'")
    return rate


def _frames_per_file(facts: _Facts) -> int | None:
    value = facts.device.get("framesPerFile")
    count = number(value)
    if count is not None and count >= 1 and count == int(count):
        return int(count)
    if value is not None:
        facts.warn("framesPerFile", value, "a whole number from 1")
    return None


def _start_time(folder: Path, facts: _Facts) -> tuple[datetime | None, int | None]:
    """Return the local start, and the same moment in ms since 1970 where it is told."""
    for config in (facts.session, facts.device):
        try:
            if (found := parse_start_time(config)) is not None:
                facts.warnings += _other_start(folder, found)
                return found, _unix_ms(config, found, facts)
        except (ValueError, OverflowError) as error:
            facts.warnings.append(f"Start time in {METADATA_FILE} cannot be used: {error}")
    named = _named(folder)
    if named is not None and named.moment is not None:
        facts.warnings.append(f"Start time is not in {METADATA_FILE}: taken from the folder names {named.place}")
        return named.moment, None
    facts.warnings.append(f"Start time is told neither by {METADATA_FILE} nor by the folder names")
    return None, None


def _unix_ms(config: dict[str, Any], started: datetime, facts: _Facts) -> int | None:
    try:
        return parse_start_unix_ms(config, started)
    except ValueError as error:
        facts.warnings.append(f"Start time in {METADATA_FILE}: {error}; the date is used")
        return None


def _named(folder: Path) -> NamedStart | None:
    return start_named_by_folders(folder) or start_named_by_folders(folder.resolve())


def _other_start(folder: Path, started: datetime) -> list[str]:
    """Warn where the folders' names tell another time than the metadata, which a folder used again keeps."""
    named = _named(folder)
    if named is None:
        return []
    if named.moment is None:
        agree = started.date() == named.date
    else:
        agree = abs((started - named.moment).total_seconds()) <= START_TOLERANCE_S
    told = f"Start time in {METADATA_FILE} is {started:%Y-%m-%d %H:%M:%S}, the folders are called {named.place}"
    return [] if agree else [f"{told}: is {METADATA_FILE} left from an earlier recording?"]


def _compare(facts: _Facts, video: Video, clock: Clock, frames_per_file: int | None, others: list[str]) -> None:
    """Warn where the metadata contradict the video; a folder used again keeps the metadata of its first recording."""
    facts.warnings += video.warnings
    stale = f"is {METADATA_FILE} left from an earlier recording in this folder?"
    height, width = video.shape
    roi = facts.device.get("ROI")
    if roi is not None:
        size = (number(roi.get("width")), number(roi.get("height"))) if isinstance(roi, dict) else None
        if size is None or None in size:
            facts.warn("ROI", roi, "width and height")
        elif size != (width, height):
            facts.warnings.append(f"ROI is {size[0]:g}×{size[1]:g} px, the video {width}×{height}: {stale}")
    device_type = text(facts.device.get("deviceType")) or ""
    if roi is None and SIZES.get(device_type, video.shape) != video.shape:
        whole = SIZES[device_type]
        facts.warnings.append(
            f"{device_type} gives {whole[1]}×{whole[0]} px and no ROI was set, the video has {width}×{height}: was it "
            f"scaled or cropped afterwards, or {stale}"
        )
    compression = text(facts.device.get("compression")) or ""
    if compression.upper() in _LOSSLESS and video.lossy:
        facts.warnings.append(f"compression is {compression}, the video is compressed with loss: {stale}")
    full = {file.frame_count for file in video.files[:-1]}
    if frames_per_file and (full - {frames_per_file} or video.files[-1].frame_count > frames_per_file):
        counts = ", ".join(map(str, sorted(full | {video.files[-1].frame_count})))
        facts.warnings.append(f"framesPerFile is {frames_per_file}, the files hold {counts} frames: {stale}")
    nominal, measured = clock.report.nominal_fps, clock.report.measured_fps
    if nominal and abs(measured / nominal - 1) > _RATE_TOLERANCE:
        facts.warnings.append(f"frameRate is {nominal:g} Hz, the clock gives {measured:.4g} Hz: the clock is used")
    peak = clock.report.buffer_peak
    if peak is not None and peak >= _NEARLY_FULL:
        facts.warnings.append(
            f"The acquisition buffer held up to {peak} of {_BUFFER_FRAMES} frames, and what comes while it is full is "
            f"lost: the clock counts {clock.report.dropped} dropped, by {clock.report.dropped_from}"
        )
    metadata = [path for path in facts.files if path.name.casefold() == METADATA_FILE.casefold()]
    facts.warnings += kept_from_before(metadata, video.files, clock.timestamps_s)
    if others:
        facts.warnings.append(f"Other videos in the folder are not read: {', '.join(others[:5])}")


# -- notes and head orientation -------------------------------------------------------------------------
def _head_orientation(folder: Path, facts: _Facts) -> NDArray[np.float64] | None:
    path = find_file(folder, HEAD_FILE)
    if path is None:
        return None
    facts.files.append(path)
    table, left_out = read_head_orientation(path)
    if left_out:
        facts.warnings.append(f"{left_out} rows of {HEAD_FILE} cannot be read and are left out")
    return table


def _notes(folder: Path, facts: _Facts) -> tuple[Note, ...]:
    """Read the notes of the folder or of its session."""
    session = [path.parent for path in facts.files if path.name.casefold() == METADATA_FILE.casefold()]
    for place in dict.fromkeys((folder, *session, folder.parent)):
        path = find_file(place, NOTES_FILE) if place.is_dir() else None
        # Without the session's metadata only their header tells whose notes they are.
        if path and (place in (folder, *session) or first_line(path).casefold().startswith(_NOTES_HEADER)):
            facts.files.append(path)
            # Before version 1.11 there is no header: the first line is a note if it has a time.
            return read_notes(path, seconds_per_unit=1e-3, separator=",", skip_lines=0)
    return ()


def _pose(facts: _Facts) -> tuple[Signal, ...]:
    """Read the pose that was tracked in the session's behaviour camera."""
    if facts.session_folder is None:
        return ()
    pose = read_pose(facts.session_folder, facts.session)
    facts.files += pose.files
    facts.warnings += pose.warnings
    return pose.signals
