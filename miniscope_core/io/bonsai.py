"""Reader of what OpenEphys.Miniscope records in Bonsai: a video, and a table of times without a header.

::

    anywhere/
      name.avi              one recording
      name.csv              2024-05-17T10:23:45.1234567+02:00,17,False,0.7,0.1,…   columns as the workflow has them

The workflow's author chooses the columns, so the caller says which is what: ``columns="time=0,unit=iso,frame=1"``.

References
----------
open-ephys/OpenEphys.Miniscope, workflows of the UCLA Miniscope V3 and V4: time stamp, FrameNumber, Trigger, quaternion.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from miniscope_core.errors import ClockError
from miniscope_core.io.column_table import parse_iso
from miniscope_core.io.folders import beside, first_line
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.plain_movie import kind_of, read_movie
from miniscope_core.io.recording import Recording

_EXAMPLE_SIZE: Final = (768, 1024)
"""To which the example workflow of the V4 stretches its 608×608 px."""


class Bonsai:
    """Reader of videos with a table whose first cell is a time; see the module's text."""

    name = "Bonsai"
    looks_for = "a video with a CSV of the same name, without a header, whose first cell is an ISO time"
    place: Literal["folder", "file"] = "file"
    plain = False
    takes = frozenset({"columns"})

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the names of video and table."""
        table = _table_of(place) if kind_of(place) else None
        return f"{place.name} with {table.name}, whose first cell is a time" if table else None

    def set_aside(self, place: Path) -> str | None:
        """Return None: nothing tells a behaviour camera."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a video by the caller's column map, or at the caller's rate.

        Raises
        ------
        VideoError, ClockError
            When video or table is broken, or neither map nor rate is given.
        """
        table, kind = _table_of(place), kind_of(place)
        if kind is None or (table is None and options.fps is None and options.columns is None):
            raise ClockError(f"{place.stem}.csv missing in {place.parent}. To go on without it pass fps= (--fps).")
        if options.columns is None and options.fps is None and table is not None:
            raise ClockError(
                f"Columns of {table.name} in {table.parent} are the workflow's own: got {first_line(table)[:80]!r}, "
                "expected a map of them. Pass columns='time=0,unit=iso,frame=1' (--columns), as the workflow has them."
            )
        recording = read_movie(kind, place, [place], options, self.recognise(place) or "", self.name)
        if recording.shape != _EXAMPLE_SIZE:
            return recording
        warning = (
            "1024×768 px is what Bonsai's example workflow stretches the V4's 608×608 px to: pixels are not square"
        )
        metadata = recording.metadata
        metadata = metadata.model_copy(update={"warnings": (*metadata.warnings, warning)})
        return replace(recording, metadata=metadata)


def _table_of(video: Path) -> Path | None:
    found = beside(video, [f"{video.stem}.csv"])
    return next((path for path in found if parse_iso(first_line(path).split(",")[0]) is not None), None)
