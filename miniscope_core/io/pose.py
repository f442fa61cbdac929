"""The pose that Miniscope-DAQ-QT tracks in the behaviour camera while it records (DeepLabCut-Live).

::

    session/
      metaData.json
      behaviorTracker/pose.csv      DLC-Live Pose Data.
                                    812,301,12.4,…,0.98,
      BehavCam/timeStamps.csv

A row is a frame's number and the points' x, y and likelihood: by point, or all x, then all y, then all likelihoods, as
the array lay in memory; which, the likelihoods tell. The number counts the camera's frames since it was switched on,
the camera's own table counts from the start of the recording, and nobody wrote down the difference: the first row is
taken for the recording's first frame, and how far that may be wrong is told.

References
----------
Miniscope-DAQ-QT 7e644bf, source/datasaver.cpp:184-198 and 401-414 (the file), source/behaviortrackerworker.cpp:251-266
(the numbers), source/behaviortracker.cpp:407-412 (points by coordinate).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.errors import RecordingError
from miniscope_core.io.folders import find_file, visible_folders
from miniscope_core.io.signals import SideSignals, Signal
from miniscope_core.io.tables import read_table, read_text

_FOLDER: Final = "behaviorTracker"
_POSE: Final = "pose.csv"
_CLOCK: Final = "timeStamps.csv"
_METADATA: Final = "metaData.json"
_TIME: Final = "Time Stamp (ms)"
_MAX_POINTS: Final = 1000


def read_pose(session: Path, facts: Mapping[str, Any]) -> SideSignals:
    """Read the pose of a session, on the session's clock.

    Parameters
    ----------
    session
        The session's folder.
    facts
        Its metadata, which list the cameras.

    Returns
    -------
    SideSignals
        One signal with three channels a point, or none: what is missing or damaged is told in the warnings.
    """
    folder = next((one for one in visible_folders(session) if one.name.casefold() == _FOLDER.casefold()), None)
    path = find_file(folder, _POSE) if folder else None
    if folder is None or path is None:
        return SideSignals()
    try:
        signal, camera, warnings = _pose(path, session, facts)
    except RecordingError as error:
        return SideSignals((), (path,), (f"{_POSE} is left out: {error}",))
    return SideSignals((signal,), (path, camera), tuple(warnings))


def _pose(path: Path, session: Path, facts: Mapping[str, Any]) -> tuple[Signal, Path, list[str]]:
    frames, values, warnings = _rows(path)
    camera = _camera(session, facts)
    times = read_table(camera, ",", [_TIME]).columns[_TIME] / 1000
    if (np.diff(frames) <= 0).any():
        raise RecordingError("its frame numbers go back, as when several cameras are tracked, which no row tells apart")
    spare = len(times) - int(frames[-1] - frames[0] + 1)
    if spare < 0:
        raise RecordingError(
            f"it spans {frames[-1] - frames[0] + 1} frames, the table of {camera.parent.name} has {len(times)}"
        )
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    placed = times[frames - frames[0]]
    by_point, told = _layout(values)
    points = values.shape[1] // 3
    warnings.append(
        f"{_POSE} counts frames from when {camera.parent.name} was switched on: its first row is taken for the first "
        f"frame of the recording, which may be early by {spare} frames, and late by the tracker's own delay"
    )
    return (
        Signal(
            name="pose",
            channels=tuple(f"{point} {one}" for point in range(points) for one in ("x", "y", "likelihood")),
            units=("px", "px", "1") * points,
            times_s=placed,
            values=by_point,
            source=f"{_FOLDER}/{_POSE}",
            rule=f"frames of {camera.parent.name}, the first row at the first of the recording; {told}",
            uncertainty_s=max(spare, 1) * interval,
        ),
        camera,
        warnings,
    )


def _rows(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64], list[str]]:
    """Return the frame numbers and the values of the rows that hold a pose."""
    rows: list[list[float]] = []
    left_out = 0
    for line in read_text(path).split("\n")[1:]:
        cells = [cell for cell in line.strip().split(",") if cell]
        if len(cells) < 2:
            continue  # the tracker's first frame has no pose
        try:
            row = [float(cell) for cell in cells]
        except ValueError:
            row = []
        fits = len(row) == (len(rows[0]) if rows else len(row)) and 4 <= len(row) <= 1 + 3 * _MAX_POINTS
        if fits and len(row) % 3 == 1 and 0 <= row[0] < 2**31 and row[0] == int(row[0]):
            rows.append(row)
        else:
            left_out += 1
    if not rows:
        raise RecordingError("it holds no row of a frame's number and three values a point")
    table = np.array(rows, np.float64)
    warnings = [f"{left_out} rows of {_POSE} cannot be read and are left out"] if left_out else []
    return table[:, 0].astype(np.int64), table[:, 1:], warnings


def _camera(session: Path, facts: Mapping[str, Any]) -> Path:
    """Return the clock of the only behaviour camera."""
    listed = facts.get("cameras")
    names = [one.replace(" ", "_") for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    clocks = [path for name in names if (session / name).is_dir() and (path := find_file(session / name, _CLOCK))]
    if len(names) != 1 or not clocks:
        raise RecordingError(
            f"got {len(names)} cameras in the session's {_METADATA} and {len(clocks)} with a {_CLOCK}, expected one"
        )
    return clocks[0]


def _layout(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Return the values by point, and how they lay."""
    points = values.shape[1] // 3
    if points == 1:
        return values, "one point"
    shaped: Sequence[tuple[str, NDArray[np.float64]]] = (
        ("values by coordinate", values.reshape(-1, 3, points).transpose(0, 2, 1)),
        ("values by point", values.reshape(-1, points, 3)),
    )
    fits = [(told, one) for told, one in shaped if ((one[..., 2] >= 0) & (one[..., 2] <= 1)).all()]
    if len(fits) != 1:
        raise RecordingError("its likelihoods do not tell whether values are ordered by point or by coordinate")
    told, one = fits[0]
    return np.ascontiguousarray(one).reshape(len(values), -1), told
