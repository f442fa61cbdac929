"""What the tests of the pipeline share: settings of a test's own, a stand-in engine, a recording, snapshots."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import sqlalchemy as sa
from numpy.typing import NDArray

from miniscope_core.engines.base import Resources
from miniscope_core.io.recording import Recording
from miniscope_core.models import Entity, entities, natural_select, table_of
from miniscope_core.models.parameters import CnmfeParameters
from miniscope_core.progress import Progress
from miniscope_core.result import ProcessingResult, ResultInfo, ResultWriter
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from tests.builders import SCOPE, Movie, make_movie, write_v4_session

HEIGHT, WIDTH, FRAMES = 40, 56, 30
"""No two of these are equal, so that exchanged axes are seen."""
BOXES = ((3, 5, 12, 12), (20, 5, 10, 10), (5, 30, 14, 11), (36, 20, 3, 20), (30, 50, 1, 1), (22, 30, 11, 11))
"""(y, x, height, width) of the stand-in engine's footprints: 144, 100, 154, 60, 1 and 121 px."""


def settings_for(home: Path, **changes: Any) -> Settings:
    """Make settings that lie below one folder and take nothing from the environment."""
    values: dict[str, Any] = {
        "home": home,
        "database_url": f"sqlite:///{home / 'miniscope.db'}",
        "store_url": str(home / "store"),
        "store_options": {},
        "raw_roots": [home / "raw"],
        "scratch_dir": home / "scratch",
        "workers": 1,
    }
    return Settings(**values | changes)


def write_session(root: Path, subject: str = "subject1", seed: int = 0, **session: Any) -> Path:
    """Write a session of one miniscope below ``root / subject`` and return the device's folder."""
    movie: Movie = make_movie(FRAMES, HEIGHT, WIDTH, seed)
    return write_v4_session(root / subject, {SCOPE: movie}, **session) / SCOPE


def boxes(entries: tuple[tuple[int, int, int, int], ...] = BOXES) -> sp.csr_array:
    """Make footprints of even boxes."""
    footprints = np.zeros((len(entries), HEIGHT, WIDTH), np.float32)
    for unit, (y, x, height, width) in enumerate(entries):
        footprints[unit, y : y + height, x : x + width] = 1
    return sp.csr_array(footprints.reshape(len(entries), -1))


def stand_in_arrays(frames: int = FRAMES, units: int = len(BOXES)) -> dict[str, NDArray[Any]]:
    """Make the arrays of the stand-in engine but its footprints; every one differs from the others."""
    rng = np.random.default_rng(units + 1)
    height, width = HEIGHT, WIDTH
    snr = np.linspace(2, 9, units)
    snr[units // 2 :][-1:] = np.nan
    return {
        "fluorescence": 100 + 10 * rng.random((units, frames)),
        "traces": 50 + rng.random((units, frames)),
        "activity": rng.random((units, frames)),
        "shifts_px": rng.normal(size=(frames, 2)) * (2, 0.5),
        "accepted": np.arange(units) != 1,
        "snr": snr,
        "r_value": np.linspace(0.5, 1, units),
        "noise": np.linspace(1, 2, units),
        "timestamps_s": np.arange(frames) / 20,
        **{
            f"image_{name}": number + rng.random((height, width))
            for number, name in enumerate(("template", "average", "max", "correlation", "pnr"))
        },
    }


@dataclass
class StandIn:
    """An engine that needs no movie: it writes known arrays, and fails or waits on demand."""

    runs: int = 0
    error: BaseException | None = None
    footprints: sp.csr_array = field(default_factory=boxes)
    changes: Mapping[str, NDArray[Any] | None] = field(default_factory=dict)
    """Further arrays; None leaves one out."""
    info: Mapping[str, Any] = field(default_factory=dict)
    started: threading.Event = field(default_factory=threading.Event)
    may_finish: threading.Event | None = None
    meanwhile: Any = None
    """Called while it computes."""

    def arrays(self, frames: int = FRAMES) -> dict[str, NDArray[Any]]:
        """Return what a run writes besides footprints."""
        arrays = stand_in_arrays(frames, self.footprints.shape[0]) | dict(self.changes)
        return {name: values for name, values in arrays.items() if values is not None}

    def run(
        self,
        recording: Recording,
        parameters: CnmfeParameters,
        output_dir: Path,
        progress: Progress,
        resources: Resources,
    ) -> ProcessingResult:
        """Write the arrays; the frames are as many as the recording's."""
        self.runs += 1
        self.started.set()
        (resources.scratch_dir / "large.tmp").write_text("working")
        writer = ResultWriter(output_dir)
        if self.meanwhile is not None:
            self.meanwhile()
        if self.may_finish is not None and not self.may_finish.wait(30):
            raise TimeoutError("the test forgot the engine")
        if self.error is not None:
            raise self.error
        progress("computing", 1, 1)
        return write_result(writer, self.footprints, self.arrays(recording.frame_count), parameters, self.info)


def write_result(
    writer: ResultWriter,
    footprints: sp.csr_array,
    arrays: Mapping[str, NDArray[Any]],
    parameters: CnmfeParameters | None = None,
    info: Mapping[str, Any] | None = None,
) -> ProcessingResult:
    """Write a result of the built-in method."""
    parameters = parameters or CnmfeParameters()
    writer.write_footprints(footprints)
    for name, values in arrays.items():
        writer.write(name, values)
    facts: dict[str, Any] = {
        "method": "cnmfe",
        "package": "miniscope_core",
        "package_version": "0.0",
        "shape": (HEIGHT, WIDTH),
        "frame_count": FRAMES,
        "unit_count": footprints.shape[0],
        "fps": 20.0,
        "parameters": parameters.model_dump(mode="json"),
        "versions": {"numpy": "2"},
        "timings": {"motion correction": 1.5, "factorisation": 2.5},
        "cpu_seconds": 7.5,
        "peak_memory_bytes": 2**33,
        "activity_method": "cnmfe_deconvolution",
        "cell_diameter_px": 13.0,
        "notes": ("made by a stand-in",),
    }
    return writer.finish(ResultInfo(**facts | dict(info or {})))


def rows(archive: Archive, entity: type[Entity], **equal: Any) -> list[dict[str, Any]]:
    """Read the rows of an entity with the natural keys of their ancestors, in the order of their keys."""
    with archive.database.session() as session:
        return [dict(row) for row in session.execute(natural_select(entity, **equal)).mappings()]


def snapshot(archive: Archive) -> dict[str, Any]:
    """Return every row of every table, and the size of every object of the store."""
    with archive.database.session() as session:
        tables: dict[str, Any] = {
            entity.__name__: [tuple(row) for row in session.execute(sa.select(table_of(entity)).order_by("id"))]
            for entity in entities()
        }
    return tables | {"objects": {prefix: archive.store.objects(prefix) for prefix in archive.store.prefixes()}}


def jobs(archive: Archive) -> list[str]:
    """List everything in the scratch folder."""
    folder = archive.settings.jobs_dir
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.exists() else []
