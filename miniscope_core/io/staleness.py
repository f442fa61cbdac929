"""Metadata that a folder used again kept from its first recording, told by when its files were written.

Miniscope-DAQ-QT writes its tables anew but never a ``metaData.json`` that is there, so one can tell the start, the
animal and the settings of an earlier recording. Where no folder is named by the time, only the files' own times show
that.

References
----------
Miniscope-DAQ-QT 7e644bf, source/datasaver.cpp: saveJson (only where there is none), startRecording (tables truncated).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from miniscope_core.io.recording import VideoFile

START_TOLERANCE_S: Final = 120
"""Between two tellings of one start; devices take seconds to start."""
_PACE_S: Final = 5.0
"""By how much the videos may have been written faster or slower than recorded; disks keep times to 2 s."""


def kept_from_before(
    metadata: Sequence[Path], videos: Sequence[VideoFile], timestamps_s: NDArray[np.float64]
) -> list[str]:
    """Warn of metadata that were written long before the recording began.

    Times of files mean something only where a copy kept them. It did where the videos follow each other at the pace
    of the recording, so at least two are needed; of a recording of one file nothing is said.

    Parameters
    ----------
    metadata
        Files that the program wrote when it began to record.
    videos
        In order; each was written to its end when its last frame came.
    timestamps_s
        Times of all their frames, from the beginning of the recording.

    Returns
    -------
    list of str
        One line for each file.
    """
    ends = np.cumsum([file.frame_count for file in videos]) - 1
    if len(ends) < 2 or ends[-1] + 1 != len(timestamps_s):
        return []
    written = [videos[index].path.stat().st_mtime for index in (0, -1)]
    recorded = timestamps_s[ends[[0, -1]]].tolist()
    passed = recorded[1] - recorded[0]
    if passed < 2 * _PACE_S or abs(written[1] - written[0] - passed) > _PACE_S:
        return []
    began = written[0] - recorded[0]
    earlier = [(path, began - path.stat().st_mtime) for path in metadata]
    return [
        f"{path.name} in {path.parent.name} was written {seconds / 60:.0f} min before the recording began: is it left "
        "from an earlier recording in this folder? Then start, animal and settings are of that one"
        for path, seconds in earlier
        if seconds > START_TOLERANCE_S
    ]
