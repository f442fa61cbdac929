"""What CaImAn is asked to do: parameters for one recording, its frames in a file, and a place of its own to work in."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from miniscope_core.engines.resolve import resolve
from miniscope_core.errors import EngineError, ParameterError
from miniscope_core.io.recording import Recording
from miniscope_core.models.caiman import CaimanParameters
from miniscope_core.progress import Progress

MOVIE_NAME: Final = "mov"
"""The data set that CaImAn looks for in an HDF5 movie."""
_CHUNK_BYTES: Final = 2**26
_CORRECTED_COPIES: Final = 2
"""Corrected movies in 32 bit that lie in the scratch folder at once: by frame, and by pixel."""
_FR_TOLERANCE: Final = 0.05
_THREADS: Final = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)


def determine(parameters: CaimanParameters, recording: Recording, workers: int) -> CaimanParameters:
    """Determine every parameter for a recording, and refuse what contradicts it before CaImAn starts.

    Parameters
    ----------
    parameters
        As given. A cell diameter in µm becomes one in px, a missing ``fr`` is the frame clock's; a field smaller than
        a patch that nobody asked for is fitted as a whole.
    recording
        Asked for its frame rate and the size of its field and of its pixels.
    workers
        Processes, where the parameters do not tell.

    Raises
    ------
    ParameterError
        When patches are larger than the field, or the size of a pixel is needed and not known.
    """
    parameters = resolve(parameters, recording)
    least = min(recording.shape)
    whole = parameters.complete()
    if parameters.rf is None and whole.rf and 2 * whole.rf + 1 > least:
        whole = parameters.model_copy(update={"rf": 0}).complete()
    found = {"fr": whole.fr or recording.fps, "n_processes": whole.n_processes or workers}
    determined = whole.model_copy(update=found)
    problems = list(_contradictions(determined, recording.shape))
    if problems:
        raise ParameterError(f"Parameters of caiman for {recording.directory}: {'; '.join(problems)}.")
    return determined


def _contradictions(parameters: CaimanParameters, shape: tuple[int, int]) -> Iterator[str]:
    field = f"a field of {shape[0]}×{shape[1]} px"
    if parameters.rf and 2 * parameters.rf + 1 > min(shape):
        yield f"rf: got {parameters.rf}, patches of {2 * parameters.rf + 1} px, expected them within {field}. Give rf=0"
    sides = [one + other for one, other in zip(parameters.strides, parameters.overlaps, strict=True)]
    if parameters.pw_rigid and any(side > length for side, length in zip(sides, shape, strict=True)):
        yield f"strides and overlaps: got patches of {sides[0]}×{sides[1]} px, expected them within {field}"
    if any(2 * shift >= length for shift, length in zip(parameters.max_shifts, shape, strict=True)):
        yield f"max_shifts: got {parameters.max_shifts}, expected less than half of {field}"
    if parameters.gSiz and any(size > length for size, length in zip(parameters.gSiz, shape, strict=True)):
        yield f"gSiz: got {parameters.gSiz}, expected it within {field}"


def notes_on(parameters: CaimanParameters, recording: Recording) -> tuple[str, ...]:
    """Return what a reader of the result should know of its parameters."""
    notes = []
    if parameters.fr and abs(parameters.fr / recording.fps - 1) > _FR_TOLERANCE:
        notes.append(f"CaImAn was told fr={parameters.fr:g} Hz; the frame clock says {recording.fps:g} Hz.")
    if recording.parts:
        notes.append(
            f"CaImAn takes the {len(recording.parts)} joined recordings for one without a pause: what it says of the "
            "frames just after one begins may come from before."
        )
    extra = [
        f"{group}.{name}={value!r}" for group, values in parameters.extra.items() for name, value in values.items()
    ]
    if extra:
        notes.append(f"Passed on to CaImAn unchecked: {', '.join(extra)}.")
    return tuple(notes)


def refuse_little_space(recording: Recording, scratch: Path) -> None:
    """Refuse a scratch folder that the movie's copies do not fit into.

    Raises
    ------
    EngineError
        When there is too little space.
    """
    values = recording.frame_count * recording.shape[0] * recording.shape[1]
    needed = values * (recording.dtype.itemsize + 4 * _CORRECTED_COPIES)
    free = shutil.disk_usage(scratch).free
    if free < needed:
        raise EngineError(
            f"Scratch space in {scratch}: got {free / 2**30:.1f} GiB free, expected {needed / 2**30:.1f} GiB for "
            "CaImAn's copies of the movie. Free some, or set MINISCOPE_SCRATCH_DIR."
        )


def write_movie(recording: Recording, path: Path, progress: Progress) -> None:
    """Write all frames of a recording, in order, as one movie that CaImAn reads: HDF5, (frame, height, width)."""
    height, width = recording.shape
    step = max(1, _CHUNK_BYTES // (height * width * recording.dtype.itemsize))
    total = recording.frame_count
    with h5py.File(path, "w") as file:
        movie = file.create_dataset(MOVIE_NAME, (total, height, width), recording.dtype)
        for start, frames in recording.chunks(step):
            movie[start : start + len(frames)] = frames
            progress("frames for CaImAn", start + len(frames), total)


def write_job(parameters: CaimanParameters, movie: Path, output: Path, work: Path, path: Path) -> None:
    """Write what the worker is to do."""
    job = {
        "movie": str(movie),
        "output": str(output),
        "scratch": str(work),
        "processes": parameters.n_processes,
        "refit": parameters.refit,
        "groups": parameters.groups(),
    }
    path.write_text(json.dumps(job, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python; an ``extra`` may hold some."""
    if isinstance(value, np.generic):
        return value.item()
    raise ParameterError(f"extra: got {value!r}, expected what JSON can say.")


def make_environment(work: Path, use_cnn: bool) -> dict[str, str]:
    """Return the worker's environment: one thread a process, and nothing of the user's home is written to.

    CaImAn names its files by the movie alone, so that two jobs in one folder overwrite each other: each has its own.

    Parameters
    ----------
    work
        Folder of this job alone; ``home`` is made in it.
    use_cnn
        Whether the classifier's model must be found.

    Raises
    ------
    EngineError
        When it must be and is not.
    """
    home, data = work / "home", work / "data"
    for folder in (home, data):
        folder.mkdir()
    models = Path(os.environ.get("CAIMAN_DATA") or Path.home() / "caiman_data") / "model"
    if use_cnn:
        if not models.is_dir():
            raise EngineError(
                f"CaImAn's classifier at {models}: got no such folder, expected its model for use_cnn=True. "
                "Run caimanmanager install in CaImAn's environment, or set use_cnn=False."
            )
        (data / "model").symlink_to(models.resolve(), target_is_directory=True)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return {
        **kept,
        **dict.fromkeys(_THREADS, "1"),
        "CAIMAN_TEMP": str(work),
        "CAIMAN_DATA": str(data),
        "HOME": str(home),
        "PYTHONUSERBASE": os.environ.get("PYTHONUSERBASE") or str(Path.home() / ".local"),
        "XDG_CACHE_HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "MPLCONFIGDIR": str(home),
        "MPLBACKEND": "agg",
        "KERAS_HOME": str(home),
        "TMPDIR": str(work),
        "PYTHONUNBUFFERED": "1",
        # Nobody reads them, and among an error's last lines they would take the place of what says why.
        "PYTHONWARNINGS": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HDF5_USE_FILE_LOCKING": "FALSE",
    }
