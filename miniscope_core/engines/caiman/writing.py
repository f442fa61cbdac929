"""CaImAn's result as one of ours: in a folder, or in memory."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

import miniscope_core
from miniscope_core.engines.caiman.reading import CaimanResult, read_caiman
from miniscope_core.errors import ResultError
from miniscope_core.models.caiman import SIGMA_OF_DIAMETER
from miniscope_core.result import GroupWriter, ProcessingResult, ResultInfo, ResultWriter

METHOD: Final = "caiman"
ACTIVITY_METHOD: Final = "caiman_deconvolution"
_OPTIONAL: Final = (
    *("snr", "r_value", "cnn_pred", "dff", "detrended", "background", "background_activity", "background_constant"),
    *("baseline", "noise", "block_shifts_px", "block_ranges_px"),
)


def write_result(
    read: CaimanResult,
    output_dir: str | os.PathLike[str],
    *,
    fps: float,
    timestamps_s: ArrayLike | None = None,
    parameters: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    timings: Mapping[str, float] | None = None,
    cell_diameter_px: float | None = None,
    cpu_seconds: float = 0.0,
    peak_memory_bytes: int = 0,
    notes: Sequence[str] = (),
) -> ProcessingResult:
    """Write what was read from CaImAn as a result folder.

    Shifts and images that nobody knows are NaN, and a note says so: zero would claim that nothing moved.

    Parameters
    ----------
    read
        As :func:`miniscope_core.engines.caiman.read_caiman` returned it.
    output_dir
        Empty or absent.
    fps
        Frame rate of the recording, Hz.
    timestamps_s
        (frame,), the recording's frame clock, s; left out where nobody knows it.
    parameters
        As used; by default the file's own, by group.
    cell_diameter_px
        Width of a cell; by default the one for which ``gSig`` is the engine's default.
    versions, timings, cpu_seconds, peak_memory_bytes
        Of the computation, where they were measured.
    notes
        Further notes, after those of reading.

    Raises
    ------
    ResultError
        When the folder holds something, or the clock is of another number of frames.
    """
    writer = ResultWriter(output_dir)
    _fill(writer, read, fps, timestamps_s)
    info = _info(read, fps, notes).model_copy(
        update={
            "parameters": dict(read.parameters if parameters is None else parameters),
            "versions": {**_versions(read), **(versions or {})},
            "timings": dict(timings or {}),
            "cell_diameter_px": cell_diameter_px or _cell_diameter_px(read.parameters),
            "cpu_seconds": cpu_seconds,
            "peak_memory_bytes": peak_memory_bytes,
        }
    )
    return writer.finish(info)


def load_caiman(
    path: str | os.PathLike[str], *, fps: float | None = None, timestamps_s: ArrayLike | None = None
) -> ProcessingResult:
    """Load a CaImAn result as one of ours; CaImAn need not be installed.

    Parameters
    ----------
    path
        The HDF5 file that CaImAn saved, or a folder that holds exactly one.
    fps
        Frame rate, Hz; by default the one that CaImAn was given.
    timestamps_s
        (frame,), the recording's frame clock, s, which CaImAn keeps nowhere: ``open_recording(FOLDER).timestamps_s``.

    Returns
    -------
    ProcessingResult
        The same kind of object as :func:`miniscope_core.load_result` gives, held in memory. Footprints have Euclidean
        length 1, as CaImAn scales them. Shifts and images that the file lacks are NaN; ``info.notes`` says which.

    Raises
    ------
    ResultError
        When there is no such result or more than one, it is damaged, of a volume, says no frame rate, or the clock
        is of another number of frames.
    """
    read = read_caiman(path)
    rate = read.fps if fps is None else fps
    if rate is None:
        raise ResultError(f"Frame rate missing at {read.path}: its parameters have no fr. Pass fps=")
    writer = GroupWriter()
    _fill(writer, read, rate, timestamps_s)
    return writer.finish(_info(read, rate, ()))


def _fill(writer: GroupWriter, read: CaimanResult, fps: float, timestamps_s: ArrayLike | None) -> None:
    writer.write_footprints(read.footprints)
    arrays: dict[str, NDArray[Any] | None] = {
        **{name: getattr(read, name) for name in ("fluorescence", "traces", "activity", "accepted", *_OPTIONAL)},
        "neuropil": _neuropil(read),
        "decay_time_s": None if read.decay_frames is None else read.decay_frames / np.float32(fps),
        "shifts_px": _or_unknown(read.shifts_px, (read.frame_count, 2)),
        **{f"image_{name}": image for name, image in read.images.items()},
        "image_template": _or_unknown(read.images.get("template"), read.shape),
        "image_average": _or_unknown(read.images.get("average"), read.shape),
        "timestamps_s": None if timestamps_s is None else _clock(timestamps_s, read),
    }
    for name, values in arrays.items():
        if values is not None:
            writer.write(name, values)
    if read.ring_weights is not None:
        writer.write_sparse("ring_weights", read.ring_weights)


def _or_unknown(values: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.full(shape, np.nan, np.float32) if values is None else values


def _neuropil(read: CaimanResult) -> NDArray[np.float32] | None:
    """Return the background under each footprint, as CaImAn weighs it for ΔF/F; None without a background."""
    if read.background is None or read.background_activity is None:
        return None
    weights = read.footprints @ read.background.reshape(len(read.background), -1).T
    return np.asarray(weights @ read.background_activity, np.float32)


def _clock(timestamps_s: ArrayLike, read: CaimanResult) -> NDArray[np.float64]:
    times = np.asarray(timestamps_s, np.float64)
    if times.shape != (read.frame_count,):
        raise ResultError(
            f"CaImAn result at {read.path}: got {read.frame_count} frames, expected {times.size} as the recording has. "
            "Is it of this recording?"
        )
    return times


def _info(read: CaimanResult, fps: float, notes: Sequence[str]) -> ResultInfo:
    missing = [name for name in ("template", "average") if name not in read.images]
    unknown = [f"Images not known: {', '.join(missing)}"] if missing else []
    return ResultInfo(
        method=METHOD,
        package="caiman",
        package_version=read.caiman_version,
        shape=read.shape,
        frame_count=read.frame_count,
        unit_count=read.unit_count,
        fps=fps,
        parameters=read.parameters,
        versions=_versions(read),
        timings={},
        peak_memory_bytes=0,
        cell_diameter_px=_cell_diameter_px(read.parameters),
        activity_method=ACTIVITY_METHOD,
        notes=(*read.notes, *unknown, *notes),
    )


def _versions(read: CaimanResult) -> dict[str, str]:
    return {"caiman": read.caiman_version, "miniscope_core": miniscope_core.__version__}


def _cell_diameter_px(parameters: Mapping[str, Any]) -> float | None:
    group = parameters.get("init")
    sigma = group.get("gSig") if isinstance(group, Mapping) else None
    if not isinstance(sigma, list) or not sigma or not all(isinstance(one, int | float) and one > 0 for one in sigma):
        return None
    return sum(sigma) / len(sigma) / SIGMA_OF_DIAMETER
