"""What a run will need in memory, before it begins, and how many workers fit into what it may have."""

from typing import Final

from miniscope_core.engines.base import Resources
from miniscope_core.engines.cnmfe.background import ring_bytes
from miniscope_core.engines.cnmfe.correct import fit_frames, sample_bytes, spatial_bin
from miniscope_core.engines.cnmfe.movie import CHUNK_BYTES
from miniscope_core.errors import EngineError
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters

_PROCESS_BYTES: Final = 340 * 2**20
"""The interpreter, the libraries, open videos and what belongs to single units; measured."""
_SAMPLE_COPIES: Final = 3
"""Of the sample while it is aligned: as decoded, moved, and parts of it."""
_CHUNK_COPIES: Final = 3
"""Of a chunk: as read, without its units, and its background."""
_UNITS_PER_DISC: Final = 0.5
"""Units expected for each disc of a cell's diameter that fits into the field: crowded CA1 has a third."""
_TRACE_COPIES: Final = 4


def needed_bytes(recording: Recording, parameters: CnmfeParameters, workers: int) -> int:
    """Estimate the peak of resident memory of a run, bytes; on the safe side.

    Length counts only through the frames of the fit, which are bounded.
    """
    factor = spatial_bin(parameters.cell_diameter_px)
    height, width = (size // factor for size in recording.shape)
    frames = fit_frames(recording.frame_count, recording.fps, parameters.decay_time_s)
    units = _UNITS_PER_DISC * height * width / (parameters.cell_diameter_px / factor) ** 2
    fitting = (
        (workers + 1) * _CHUNK_COPIES * max(CHUNK_BYTES, 8 * 4 * height * width)
        + ring_bytes((height, width), frames)
        + round(_TRACE_COPIES * 4 * units * frames)
    )
    # Frames as decoded and as float32, sums and maxima of a chunk, for each worker and in the queue behind it.
    correcting = (workers + 1) * (2**26 + 16 * recording.shape[0] * recording.shape[1])
    aligning = _SAMPLE_COPIES * sample_bytes(recording.frame_count, (height, width))
    return _PROCESS_BYTES + max(fitting, correcting, aligning)


def plan_workers(recording: Recording, parameters: CnmfeParameters, resources: Resources) -> int:
    """Return how many of the workers fit into the memory limit.

    Fewer workers take longer and change no number.

    Raises
    ------
    EngineError
        When not even one fits.
    """
    for workers in range(resources.workers, 0, -1):
        if needed_bytes(recording, parameters, workers) <= resources.memory_limit_bytes:
            return workers
    height, width = recording.shape
    raise EngineError(
        f"Recording at {recording.directory}: {height}×{width} px with cells of {parameters.cell_diameter_px:g} px "
        f"need {needed_bytes(recording, parameters, 1) / 2**20:,.0f} MiB with one worker, and may have "
        f"{resources.memory_limit_bytes / 2**20:,.0f} MiB. Raise MINISCOPE_MEMORY_LIMIT."
    )
