"""Reader of Miniscope-DAQ V3 folders, the program before Miniscope-DAQ-QT.

Everything lies flat, and only the folder's name tells when it was recorded::

    5_28_2019/H15_M45_S12/
      msCam1.avi, msCam2.avi …     1000 frames each; the next file is opened ahead, so the last can hold none
      behavCam1.avi …              the behaviour camera, never read
      timestamp.dat                rows of both cameras, interleaved
      settings_and_notes.dat

The camera numbers of ``timestamp.dat`` are the operating system's, so the scope is the one whose rows agree with the
frames that decode.
"""

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError
from miniscope_core.io.clock import ClockRows, given_clock, join_clock
from miniscope_core.io.folders import find_file, numbered_videos, other_videos, require_row, shorten
from miniscope_core.io.metadata import cleaned, number, start_time_from_v3_folders, text
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.recording import Note, Recording, RecordingMetadata
from miniscope_core.io.tables import Table, read_notes, read_table, read_text
from miniscope_core.io.video import open_video

CLOCK_FILE: Final = "timestamp.dat"
SETTINGS_FILE: Final = "settings_and_notes.dat"
FRAMES_PER_FILE: Final = 1000

_SCOPE: Final = "msCam"
_BEHAVIOUR: Final = "behavCam"
_NOTES_BEGIN: Final = 4
"""Lines of settings and of the header before the first note."""


class MiniscopeDaqV3:
    """Reader of Miniscope-DAQ V3 recordings; see the module's text for the folder."""

    name = "Miniscope-DAQ-V3"
    looks_for = f"msCam1.avi, msCam2.avi … with {CLOCK_FILE}"
    place: Literal["folder", "file"] = "folder"
    plain = False
    takes: frozenset[str] = frozenset()

    def recognise(self, folder: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return why the folder is one of Miniscope-DAQ V3, or None."""
        found = [name for name in (CLOCK_FILE, SETTINGS_FILE) if find_file(folder, name)]
        videos = [path.name for path in numbered_videos(folder, _SCOPE).values()]
        if not videos and CLOCK_FILE not in found:
            return None
        return ", ".join([*shorten(videos), *found])

    def set_aside(self, folder: Path) -> str | None:
        """Return that only a behaviour camera was recorded, where that is so."""
        if numbered_videos(folder, _BEHAVIOUR) and not numbered_videos(folder, _SCOPE):
            return f"it holds {_BEHAVIOUR} videos and no {_SCOPE}"
        return None

    def read(self, folder: Path, options: ReadOptions) -> Recording:
        """Read a folder.

        Raises
        ------
        VideoError, ClockError, MetadataError
            When a file is missing or broken, with file, problem and remedy.
        """
        paths = require_row(folder, numbered_videos(folder, _SCOPE), 1, _SCOPE)
        clock_file = find_file(folder, CLOCK_FILE)
        if clock_file is None and options.fps is None:
            raise ClockError(
                f"{CLOCK_FILE} missing in {folder}: needed for the frame clock; is the copy complete? "
                "To go on without it pass fps= (--fps)."
            )
        table = read_clock_table(clock_file) if clock_file and options.fps is None else None
        video = open_video(folder, paths, options, empty_last=True)
        frame_count = sum(file.frame_count for file in video.files)
        if table is None:
            unused = clock_file.name if clock_file else None
            clock = given_clock(folder, options.fps, frame_count, options.clock, unused=unused, problems=video.problems)
        else:
            rows = select_camera(folder, table, frame_count)
            clock = join_clock(folder, rows, video.files, options.clock, None, FRAMES_PER_FILE, video.problems)
        settings_file = find_file(folder, SETTINGS_FILE)
        behaviour = [path.name for path in numbered_videos(folder, _BEHAVIOUR).values()]
        others = [name for name in other_videos(folder, paths) if name not in behaviour]
        warnings = list(video.warnings)
        if others:
            warnings.append(f"Other videos in the folder are not read: {', '.join(others[:5])}")
        return Recording(
            directory=folder,
            files=video.files,
            shape=video.shape,
            dtype=video.dtype,
            timestamps_s=clock.timestamps_s,
            clock=clock.report,
            metadata=_metadata(self.name, folder, settings_file, warnings),
            source=video.source(),
            notes=_notes(settings_file),
            evidence=self.recognise(folder) or "",
            side_files=tuple(path for path in (clock_file, settings_file) if path),
        )


# -- clock ----------------------------------------------------------------------------------------------
def read_clock_table(path: Path) -> Table:
    """Read ``timestamp.dat``, rows of all cameras.

    Raises
    ------
    ClockError
        When a row cannot be read, with its line.
    """
    return read_table(path, "\t", ["camNum", "frameNum", "sysClock"], ["buffer"])


def select_camera(folder: Path, table: Table, frame_count: int) -> ClockRows:
    """Return the rows of the camera whose row count and last frame number equal the frames that decode.

    Where several cameras recorded and not exactly one agrees, the one with the nearest count is taken and that is
    a problem, which a strict reader refuses.

    Parameters
    ----------
    folder
        The recording folder, for messages.
    table
        Rows of all cameras.
    frame_count
        Frames of the scope that decode.

    Raises
    ------
    ClockError
        When there is no row at all.
    """
    cameras, frames = table.whole("camNum"), table.whole("frameNum")
    rows_of = {int(camera): np.flatnonzero(cameras == camera) for camera in np.unique(cameras)}
    if not rows_of:
        raise ClockError(
            f"{table.path.name} in {folder} has no rows. Is the copy complete? To go on without it pass fps= (--fps)."
        )
    agreeing = [camera for camera, rows in rows_of.items() if len(rows) == frame_count == int(frames[rows[-1]])]
    camera = (agreeing or sorted(rows_of, key=lambda one: abs(len(rows_of[one]) - frame_count)))[0]
    problems = list(table.problems)
    if len(agreeing) != 1 and len(rows_of) > 1:
        told = "; ".join(
            f"camera {camera} has {len(rows)} rows up to frame {frames[rows[-1]]}" for camera, rows in rows_of.items()
        )
        count = len(agreeing) or "none"
        problems.append(
            f"{count} of {len(rows_of)} cameras agree with the {frame_count} frames that decode ({told}): nothing else "
            f"tells which one is the scope, and camera {camera} would be taken"
        )
    rows = rows_of[camera]
    if (jumps := np.flatnonzero(np.diff(frames[rows]) != 1)).size:
        line = table.lines[rows[int(jumps[0]) + 1]]
        problems.append(
            f"{table.path.name} counts frames with {jumps.size} jumps, first at line {line}: rows are missing"
        )
    times_ms, remark = _believable_start(table.columns["sysClock"][rows])
    remarks = [f"camera {camera} of {', '.join(map(str, rows_of))} is the scope"] + ([remark] if remark else [])
    return ClockRows(
        source=table.path.name,
        times_ms=times_ms,
        buffer=table.whole("buffer")[rows] if "buffer" in table.columns else None,
        remarks=tuple(remarks),
        problems=tuple(problems),
        lines=table.lines[rows],
    )


def _believable_start(times_ms: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Set the first time to 0 where it lies outside of 0 and the second: the program can write anything there."""
    if len(times_ms) < 2 or 0 <= times_ms[0] <= times_ms[1]:
        return times_ms, ""
    repaired = times_ms.copy()
    repaired[0] = 0.0
    return repaired, f"the first time, {times_ms[0]:.0f} ms, is not between 0 and the second and was set to 0"


# -- settings and notes ---------------------------------------------------------------------------------
def read_settings(path: Path) -> dict[str, str]:
    """Read the settings of ``settings_and_notes.dat``: a line of names and a line of values."""
    lines = [line.rstrip("\r").split("\t") for line in read_text(path).split("\n")[:2]]
    names, values = lines if len(lines) == 2 else (lines[0], [])
    return {name.strip(): value.strip() for name, value in zip(names, values, strict=False) if name.strip()}


def _metadata(software: str, folder: Path, settings_file: Path | None, warnings: list[str]) -> RecordingMetadata:
    settings: dict[str, Any] = dict(read_settings(settings_file)) if settings_file else {}
    if not settings_file:
        warnings.append(f"{SETTINGS_FILE} missing in the recording folder: settings are unknown")
    excitation = settings.get("excitation")
    led_power = number(excitation)
    if excitation and led_power is None:
        warnings.append(f"excitation in {SETTINGS_FILE}: got {excitation!r}, expected a number; left out")
    warnings += filter(None, [cleaned("animal", settings.get("animal"), SETTINGS_FILE)])
    started = start_time_from_v3_folders(folder) or start_time_from_v3_folders(folder.resolve())
    if started is None:
        warnings.append("The folder is not called M_D_YYYY/H15_M45_S12, the only place that tells the start time")
    return RecordingMetadata(
        acquisition_software=software,
        device_type="Miniscope_V3",
        animal_name=text(settings.get("animal")),
        recording_datetime=started,
        led_power=led_power,
        warnings=tuple(warnings),
        config={SETTINGS_FILE: settings} if settings_file else {},
    )


def _notes(settings_file: Path | None) -> tuple[Note, ...]:
    if settings_file is None:
        return ()
    return read_notes(settings_file, seconds_per_unit=1.0, separator="\t", skip_lines=_NOTES_BEGIN)
