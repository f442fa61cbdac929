"""Several recordings as one movie: true times, no frame moved, and the places where one ends and the next begins."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import ClockError, RecordingFormatError
from miniscope_core.io.readers import find_recordings, open_recording
from miniscope_core.io.recording import ClockReport, JoinedPart, Note, Recording, RecordingMetadata
from miniscope_core.io.signals import Signal
from miniscope_core.io.stacks import StackSource
from miniscope_core.progress import silent
from miniscope_core.remote import RemoteFiles
from miniscope_core.settings import is_address

_SAME_RATE: Final = 0.02
"""Part by which frame rates may differ: an engine knows one, and a clock measures it better than that."""


@dataclass(frozen=True)
class _Frames:
    """A recording as a part of a stack."""

    recording: Recording

    @property
    def frame_count(self) -> int:
        return self.recording.frame_count

    def read(self, wanted: range, frames: NDArray[Any]) -> None:
        frames[...] = self.recording.frames(wanted.start, wanted.stop, wanted.step)


def open_joined(path: str | os.PathLike[str], **how: Any) -> Recording:
    """Open every recording that a folder holds and join them: see :func:`join_recordings`.

    Parameters
    ----------
    path
        Holds at least two recordings of one device.
    **how
        As for :func:`miniscope_core.io.open_recording`, for each of them.

    Raises
    ------
    RecordingError
        When one is broken, or they do not belong together.
    """
    if not (isinstance(path, str) and is_address(path)):
        return join_recordings([open_recording(place, **how) for place in find_recordings(path)])
    remote = how.get("remote") or RemoteFiles.of()
    lease = remote.lease(path, how.get("progress", silent))
    with remote.named():
        return replace(open_joined(remote.path(path), **how), address=path.rstrip("/"), lease=lease)


def join_recordings(recordings: Sequence[Recording]) -> Recording:
    """Join recordings of one device into one movie, in the order in which they began.

    Each keeps its own clock, placed by the time at which it began: the pause between two is there, never closed up.
    :attr:`Recording.parts` tells where they lie; what does not belong together across a pause (a decaying transient, a
    drifting baseline) engines treat part by part.

    Parameters
    ----------
    recordings
        Opened, of one field of view, in any order.

    Returns
    -------
    Recording
        Its times count from the beginning of the earliest; files, notes, signals and head orientation are those of all.

    Raises
    ------
    RecordingFormatError
        When they differ in size, type or device, or are fewer than two.
    ClockError
        When one does not tell when it began, two overlap, or their rates differ.
    """
    if len(recordings) < 2:
        raise RecordingFormatError(
            f"Recordings to join: got {len(recordings)}, expected at least 2. Name a folder that holds more."
        )
    began_s = _beginnings(recordings)
    ordered = [recordings[at] for at in sorted(range(len(recordings)), key=began_s.__getitem__)]
    starts_s = sorted(began_s)
    _refuse_others(ordered)
    _refuse_overlaps(ordered, starts_s)
    counts = [one.frame_count for one in ordered]
    first = [int(start) for start in np.cumsum([0, *counts[:-1]])]
    heads = [
        np.column_stack([one.head_orientation[:, 0] + start_s, one.head_orientation[:, 1:]])
        for one, start_s in zip(ordered, starts_s, strict=True)
        if one.head_orientation is not None
    ]
    lead = ordered[0]
    return replace(
        lead,
        directory=Path(os.path.commonpath([one.folder for one in ordered])),
        files=tuple(file for one in ordered for file in one.files),
        timestamps_s=np.concatenate(
            [one.timestamps_s + start_s for one, start_s in zip(ordered, starts_s, strict=True)]
        ),
        clock=_clock(ordered, starts_s, first),
        metadata=_metadata(ordered),
        source=StackSource([_Frames(one) for one in ordered], lead.shape, lead.dtype),
        head_orientation=np.concatenate(heads) if heads else None,
        notes=tuple(
            Note(time_s=note.time_s + start_s, text=note.text)
            for one, start_s in zip(ordered, starts_s, strict=True)
            for note in one.notes
        ),
        signals=_signals(ordered, starts_s),
        evidence=f"{len(ordered)} recordings joined: {lead.evidence}",
        side_files=tuple(dict.fromkeys(file for one in ordered for file in one.side_files)),
        corrupt_frames=tuple(
            frame + start for one, start in zip(ordered, first, strict=True) for frame in one.corrupt_frames
        ),
        parts=tuple(
            JoinedPart(directory=one.directory, start_frame=start, frame_count=one.frame_count, start_s=start_s)
            for one, start, start_s in zip(ordered, first, starts_s, strict=True)
        ),
    )


def _beginnings(recordings: Sequence[Recording]) -> list[float]:
    """Return when each began, s after the earliest.

    By the time since 1970 where all tell it, because a night with a change of summer time has an hour twice.
    """
    local = [_begun(one) for one in recordings]
    moments = [one.metadata.started_unix_ms for one in recordings]
    known = [moment for moment in moments if moment is not None]
    if len(known) == len(recordings):
        return [(moment - min(known)) / 1000 for moment in known]
    return [(begun - min(local)).total_seconds() for begun in local]


def _signals(recordings: Sequence[Recording], starts_s: Sequence[float]) -> tuple[Signal, ...]:
    """Return the signals of all, those of the same name and channels as one."""
    found: dict[tuple[str, tuple[str, ...]], list[Signal]] = {}
    for one, start_s in zip(recordings, starts_s, strict=True):
        for signal in one.signals:
            moved = replace(signal, times_s=signal.times_s + start_s)
            found.setdefault((signal.name, signal.channels), []).append(moved)
    return tuple(
        replace(
            same[0],
            times_s=np.concatenate([one.times_s for one in same]),
            values=np.concatenate([one.values for one in same]),
            source="; ".join(dict.fromkeys(one.source for one in same)),
            rule="; ".join(dict.fromkeys(one.rule for one in same)),
            uncertainty_s=None
            if any(one.uncertainty_s is None for one in same)
            else max(one.uncertainty_s or 0.0 for one in same),
        )
        for same in found.values()
    )


def _begun(recording: Recording) -> datetime:
    begun = recording.metadata.recording_datetime
    if begun is None:
        raise ClockError(
            f"Start of {recording.directory}: got metadata without one, expected the time at which it began, which "
            "joined recordings are placed by. Process it alone."
        )
    return begun


def _refuse_others(recordings: Sequence[Recording]) -> None:
    """Refuse recordings that cannot be of one field of view."""
    lead = recordings[0]
    for one in recordings[1:]:
        for what, got, expected in (
            ("size", one.shape, lead.shape),
            ("type", one.dtype, lead.dtype),
            ("device", one.metadata.device_name, lead.metadata.device_name),
            ("animal", one.metadata.animal_name, lead.metadata.animal_name),
        ):
            if got != expected:
                raise RecordingFormatError(
                    f"Recording {one.directory} cannot be joined to {lead.directory}: got {what} {got}, expected "
                    f"{expected}. Name a folder with recordings of one device and animal."
                )
        if abs(one.fps / lead.fps - 1) > _SAME_RATE:
            raise ClockError(
                f"Recording {one.directory} cannot be joined to {lead.directory}: got {one.fps:.4g} Hz, expected "
                f"{lead.fps:.4g} Hz. Process it alone."
            )


def _refuse_overlaps(recordings: Sequence[Recording], starts_s: Sequence[float]) -> None:
    """Refuse recordings that began before the one before them ended."""
    for index in range(1, len(recordings)):
        one, before = recordings[index], recordings[index - 1]
        begins = starts_s[index] + float(one.timestamps_s[0])
        ended = starts_s[index - 1] + float(before.timestamps_s[-1])
        if begins <= ended:
            raise ClockError(
                f"Recording {one.directory} cannot be joined to {before.directory}: it begins {ended - begins:.3f} s "
                "before that one ends, expected one after the other. Are the start times right?"
            )


def _clock(recordings: Sequence[Recording], starts_s: Sequence[float], first: Sequence[int]) -> ClockReport:
    """Return the reports as one; intervals are those within recordings."""
    clocks = [one.clock for one in recordings]
    intervals = np.concatenate([np.diff(one.timestamps_s) * 1000 for one in recordings])
    median = float(np.median(intervals)) if len(intervals) else 1000 / clocks[0].measured_fps
    peaks = [clock.buffer_peak for clock in clocks if clock.buffer_peak is not None]
    pauses = [
        start_s + float(one.timestamps_s[0]) - starts_s[index] - float(recordings[index].timestamps_s[-1])
        for index, (one, start_s) in enumerate(zip(recordings[1:], starts_s[1:], strict=True))
    ]
    return ClockReport(
        source="; ".join(dict.fromkeys(clock.source for clock in clocks)),
        rows=sum(clock.rows for clock in clocks),
        frames=sum(clock.frames for clock in clocks),
        used=sum(clock.used for clock in clocks),
        rule=f"{len(clocks)} recordings, each with its own clock, placed by the time at which it began; pauses of "
        + ", ".join(f"{pause:.1f} s" for pause in pauses),
        nominal_fps=clocks[0].nominal_fps,
        measured_fps=1000 / median,
        median_interval_ms=median,
        jitter_ms=float(np.median(np.abs(intervals - median))) if len(intervals) else 0.0,
        longest_interval_ms=float(intervals.max()) if len(intervals) else median,
        dropped=sum(clock.dropped for clock in clocks),
        dropped_from="; ".join(dict.fromkeys(clock.dropped_from for clock in clocks)),
        repeated=sum(clock.repeated for clock in clocks),
        backward=sum(clock.backward for clock in clocks),
        buffer_peak=max(peaks) if peaks else None,
        problems=tuple(f"{one.directory.name}: {problem}" for one in recordings for problem in one.clock.problems),
        invented=tuple(
            (begin + start, end + start)
            for clock, start in zip(clocks, first, strict=True)
            for begin, end in clock.invented
        ),
    )


def _metadata(recordings: Sequence[Recording]) -> RecordingMetadata:
    """Return the metadata of the first, with the files and the oddities of all."""
    common = os.path.commonpath([one.folder for one in recordings])
    config: dict[str, Any] = {}
    warnings: list[str] = []
    for one in recordings:
        name = os.path.relpath(one.folder, common)
        config |= {f"{name}/{file}": content for file, content in one.metadata.config.items()}
        warnings += [f"{name}: {warning}" for warning in one.metadata.warnings]
    return recordings[0].metadata.model_copy(update={"config": config, "warnings": tuple(warnings)})
