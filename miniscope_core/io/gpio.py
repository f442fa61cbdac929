"""The channels that Inscopix' acquisition box records beside the movie, as its programs export them.

::

    movie.isxd                     or an exported movie
    movie-gpio.csv                 any name: the header tells it

    Time (s), Channel Name, Value
    0, GPIO-1, 0
    12.5, GPIO-1, 65532

A channel lists its changes, or its samples, one after the other. Times count from the first of the box, or, where that
was asked for when exporting, from 1970.

References
----------
inscopix/isxcore b8116a3, src/isxExport.cpp:149-224, src/isxGpioExporter.cpp:67-80.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from miniscope_core.errors import RecordingError
from miniscope_core.io.folders import first_line, visible_files
from miniscope_core.io.plain_movie import kind_of
from miniscope_core.io.signals import SideSignals, Signal
from miniscope_core.io.tables import check_size

_HEADER: Final = ("time (s)", "channel name", "value")
_RAW_ENDINGS: Final = (".gpio", ".imu")
_MOVIE_ENDINGS: Final = (".isxd",)
_UNIX_S: Final = 5e8
"""From 1985 on; longer than any recording."""
_LARGEST_S: Final = 1e10
_MAX_CHANNELS: Final = 256
_NAME: Final = 100


def read_gpio(movie: Sequence[Path], folders: Sequence[Path], started_unix_s: float | None = None) -> SideSignals:
    """Read the exported channels that lie beside a movie.

    Where there are other movies too, a table is the one's whose name its own begins with, the longest that does.

    Parameters
    ----------
    movie
        The movie's files.
    folders
        Where to look.
    started_unix_s
        When the movie's clock was zero, seconds since 1970; None where nobody knows.

    Returns
    -------
    SideSignals
        One signal a channel, in the order of the file. A table that cannot be placed or read is told in the warnings.
    """
    signals: list[Signal] = []
    files, warnings = [], []
    found = [path for folder in dict.fromkeys(folders) for path in visible_files(folder)]
    movies = [path for path in found if kind_of(path) or path.suffix.casefold() in _MOVIE_ENDINGS]
    others = [path for path in movies if path not in movie]
    for path in found:
        owner = max(
            (one for one in movies if path.stem.startswith(one.stem)), key=lambda one: len(one.stem), default=None
        )
        mine = not others or owner in movie
        if path.suffix.casefold() in _RAW_ENDINGS and mine:
            warnings.append(f"{path.name} is not read: export it as CSV with Inscopix' software")
        if path.suffix.casefold() != ".csv" or _names(first_line(path)) != _HEADER:
            continue
        if not mine:
            warnings.append(f"{path.name} is not read: its name is not this movie's, and others lie there too")
            continue
        files.append(path)
        try:
            channels, odd = _channels(path, started_unix_s)
        except RecordingError as error:
            channels, odd = [], [f"{path.name} is left out: {error}"]
        signals += channels
        warnings += odd
    return SideSignals(tuple(signals), tuple(files), tuple(warnings))


def _names(line: str) -> tuple[str, ...]:
    return tuple(cell.strip().casefold() for cell in line.split(","))


def _channels(path: Path, started_unix_s: float | None) -> tuple[list[Signal], list[str]]:
    """Return the channels of a table, and what was odd."""
    check_size(path)
    try:
        with path.open("rb") as stream:
            rows = sum(1 for line in stream if line.strip()) - 1
        table = pd.read_csv(
            path,
            header=0,
            names=["time", "channel", "value"],
            skipinitialspace=True,
            dtype={"time": "str", "channel": "category", "value": "str"},
            on_bad_lines="skip",
            encoding="utf-8-sig",
            encoding_errors="replace",
            quoting=3,
        )
    except (ValueError, OSError) as error:
        raise RecordingError(f"{path.name} in {path.parent} cannot be read as a table: {error}.") from error
    for name in ("time", "value"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    good = table["time"].abs().lt(_LARGEST_S) & table["value"].notna() & table["channel"].notna()
    # Rows with too many cells are not even in the table.
    left_out = max(int((~good).sum()), rows - int(good.sum()))
    warnings = [f"{left_out} rows of {path.name} cannot be read and are left out"] if left_out else []
    table = table[good]
    names = list(dict.fromkeys(table["channel"]))
    if len(names) > _MAX_CHANNELS:
        raise RecordingError(
            f"{path.name} in {path.parent}: got {len(names)} channels, expected at most {_MAX_CHANNELS}."
        )
    zero, rule, uncertainty = 0.0, "times count from the first of the acquisition box, taken for the movie's", None
    if len(table) and float(table["time"].iloc[0]) > _UNIX_S:
        if started_unix_s is None:
            raise RecordingError("its times count from 1970, and when the movie began is not known")
        zero, rule, uncertainty = started_unix_s, "times count from 1970, as the movie's own start does", 0.0
    elif names:
        warnings.append(f"{path.name} counts time from its own start, which is taken for the movie's")
    return [
        Signal(
            name=" ".join(str(name).split())[:_NAME] or "channel",
            channels=("value",),
            units=("",),
            times_s=samples["time"].to_numpy(np.float64) - zero,
            values=samples[["value"]].to_numpy(np.float64),
            source=path.name,
            rule=rule,
            uncertainty_s=uncertainty,
        )
        for name, samples in table.groupby("channel", sort=False, observed=True)
    ], warnings
