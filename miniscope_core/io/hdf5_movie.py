"""Reader of HDF5 movies: one dataset (frame, height, width), whose rate the caller gives.

::

    movie.h5               or .hdf5
      /mov                 the only three-dimensional dataset of 8 or 16 bit, or the one that dataset= names
"""

from pathlib import Path
from typing import Final, Literal

import h5py

from miniscope_core.errors import RecordingFormatError, VideoError
from miniscope_core.io.clock import given_clock
from miniscope_core.io.hdf5 import Hdf5Part, check_dataset, datasets, is_hdf5, opened
from miniscope_core.io.options import DEFAULTS, ReadOptions
from miniscope_core.io.recording import Recording, RecordingMetadata, VideoFile
from miniscope_core.io.stacks import FRAME_TYPES, StackSource, known_counts

_SUFFIXES: Final = (".h5", ".hdf5", ".hdf")
_FEWEST_FRAMES: Final = 2


class Hdf5Movie:
    """Reader of movies in HDF5 files; see the module's text."""

    name = "HDF5"
    looks_for = "a file .h5 or .hdf5 with a dataset (frame, height, width) of 8 or 16 bit"
    place: Literal["folder", "file"] = "file"
    plain = True
    takes = frozenset({"dataset"})

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return the names of the datasets that can be movies; of another's results there are none."""
        if place.suffix.casefold() not in _SUFFIXES or not is_hdf5(place):
            return None
        try:
            with opened(place) as file:
                found = _movies(file)
        except VideoError:
            return f"{place.name}, which begins as HDF5 does"  # reading will tell what is broken
        if options.dataset is None and not found:
            return None
        return f"{place.name} with {', '.join(found[:3]) or options.dataset}{' …' if len(found) > 3 else ''}"

    def set_aside(self, place: Path) -> str | None:
        """Return None: nothing tells a behaviour camera."""
        return None

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a file.

        Raises
        ------
        VideoError, ClockError, RecordingFormatError
            When it is damaged, holds several movies and none is named, or its rate is not given.
        """
        if options.fps is None:
            given_clock(place, None, 0, options.clock)
        with opened(place) as file:
            name = _choose(place, file, options)
            data = file[name]
            dtype, problems = check_dataset(place, name, data)
            count, height, width = data.shape
        known_counts(place, [place], [count], options.frame_counts)
        clock = given_clock(place, options.fps, count, options.clock, problems=problems)
        return Recording(
            directory=place,
            files=(VideoFile(path=place, frame_count=count),),
            shape=(height, width),
            dtype=dtype,
            timestamps_s=clock.timestamps_s,
            clock=clock.report,
            metadata=RecordingMetadata(
                acquisition_software=self.name,
                warnings=("Nothing tells when it was recorded, of which animal and by which device",),
                config={"dataset": {"name": name}},
            ),
            source=StackSource([Hdf5Part(place, name, count)], (height, width), dtype),
            evidence=self.recognise(place, options) or "",
        )


def _movies(file: h5py.File) -> list[str]:
    return [
        name
        for name, data in datasets(file)
        if data.ndim == 3 and data.shape[0] >= _FEWEST_FRAMES and data.dtype.newbyteorder("=") in FRAME_TYPES
    ]


def _choose(place: Path, file: h5py.File, options: ReadOptions) -> str:
    found = _movies(file)
    names = ", ".join(found[:8]) or "none of 8 or 16 bit"
    if options.dataset is not None:
        name = f"/{options.dataset.strip('/')}"
        if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
            raise VideoError(f"Dataset {name} of {place} lies in another file, expected this one. Name that file.")
        if not isinstance(file.get(name), h5py.Dataset):
            raise RecordingFormatError(f"dataset= for {place}: got {options.dataset!r}, expected one of {names}.")
        return name
    if len(found) != 1:
        raise RecordingFormatError(
            f"{len(found)} movies in {place}: {names}. Name one of them by dataset= (--dataset)."
        )
    return found[0]
