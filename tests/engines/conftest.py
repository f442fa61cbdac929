"""One simulated movie and its result, shared by the tests that only read it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from miniscope_core.engines.base import Resources
from miniscope_core.engines.cnmfe import CnmfeEngine
from miniscope_core.engines.cnmfe.parallel import Context
from miniscope_core.io.recording import Recording
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.progress import Progress, silent
from miniscope_core.result import ProcessingResult
from tests.simulation import Simulated, simulate

Run = Callable[..., ProcessingResult]


@pytest.fixture(scope="session")
def context() -> Iterator[Context]:
    """Two workers, for the parts of the engine by themselves."""
    with ThreadPoolExecutor(2) as pool:
        yield Context(pool, 2, silent)


@pytest.fixture(scope="session")
def run_engine(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs the engine on a recording in fresh folders."""

    def run(
        recording: Recording, *, workers: int = 1, progress: Progress = silent, **parameters: float | str
    ) -> ProcessingResult:
        folder: Path = tmp_path_factory.mktemp("engine")
        (folder / "scratch").mkdir()
        given = CnmfeParameters.model_validate({"cell_diameter_px": 10.0, **parameters})
        resources = Resources(folder / "scratch", workers)
        return CnmfeEngine().run(recording, given, folder / "out", progress, resources)

    return run


@pytest.fixture(scope="session")
def scene() -> Simulated:
    """Return twelve cells in a field that is wider than high."""
    return simulate(seed=3)


@pytest.fixture(scope="session")
def found(scene: Simulated, run_engine: Run) -> ProcessingResult:
    """Return the engine's result on the scene."""
    return run_engine(scene.recording(), workers=2)
