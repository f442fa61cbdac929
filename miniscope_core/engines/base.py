"""What an engine is: movie and parameters in, a result folder out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from miniscope_core.io.recording import Recording
from miniscope_core.models.parameter_base import EngineParameters
from miniscope_core.progress import Progress
from miniscope_core.result import ProcessingResult

P = TypeVar("P", bound=EngineParameters, contravariant=True)


@dataclass(frozen=True)
class Resources:
    """What an engine may use; none of it may change a number of the result."""

    scratch_dir: Path
    """An existing folder of this job alone; its owner removes it."""
    workers: int = 1
    memory_limit_bytes: int = 4 * 2**30


class Engine(Protocol[P]):
    """Turns a recording into a result. Knows arrays and parameters; no database, no store, no Prefect."""

    def run(
        self, recording: Recording, parameters: P, output_dir: Path, progress: Progress, resources: Resources
    ) -> ProcessingResult:
        """Process a recording.

        Parameters
        ----------
        recording
            Read in order and as often as needed; never loaded whole.
        parameters
            Of this engine's own type.
        output_dir
            Empty or absent; holds the finished result afterwards.
        progress
            Told where the work is.
        resources
            Processes, memory and scratch space.

        Raises
        ------
        EngineError
            When the recording cannot be processed, with the reason and a remedy.
        ParameterError
            When the parameters contradict the recording.
        """
