"""What every reader is, and what the caller can ask of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.recording import Recording
from miniscope_core.progress import Progress, silent


@dataclass(frozen=True)
class ReadOptions:
    """How a recording is to be read; see :func:`miniscope_core.io.open_recording`."""

    clock: ClockPolicy = "strict"
    fps: float | None = None
    frame_counts: Mapping[str, int] | None = None
    progress: Progress = silent
    workers: int = 1
    trust_containers: bool = False


class Reader(Protocol):
    """Reads the folders of one acquisition program."""

    name: str
    """As in the AcquisitionSoftware lookup."""
    looks_for: str
    """What makes a folder this program's, for the message when nothing does."""

    def recognise(self, folder: Path) -> str | None:
        """Return why the folder is this program's, or None; opens no video and raises nothing."""

    def set_aside(self, folder: Path) -> str | None:
        """Return why a folder of this program is not a miniscope's recording (a behaviour camera's), or None."""

    def read(self, folder: Path, options: ReadOptions) -> Recording:
        """Read a folder that :meth:`recognise` took.

        Raises
        ------
        RecordingError
            When something is missing or broken, with file, problem and remedy.
        """
