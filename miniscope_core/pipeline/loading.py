"""Results that are there already: a folder of ours, or a file that CaImAn saved, checked against what was asked for."""

import json
import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from miniscope_core import models as m
from miniscope_core.engines.caiman import CaimanResult, find_caiman_file, read_caiman, write_result
from miniscope_core.errors import ResultError
from miniscope_core.models import RecordingKey, TaskKey, get
from miniscope_core.pipeline.files import RawFiles
from miniscope_core.pipeline.published import open_published
from miniscope_core.result import RESULT_FILE, ProcessingResult, load_result
from miniscope_core.storage.archive import Archive

_log = logging.getLogger(__name__)
_CAIMAN: Final = "caiman"
_NAMED_DIFFERENCES: Final = 10


@dataclass(frozen=True)
class Wanted:
    """What a task asks a loaded result to be."""

    key: TaskKey
    method: str
    params: Mapping[str, Any]
    frame_count: int
    shape: tuple[int, int]

    def wrong(self, source: Path, got: str, expected: str, remedy: str) -> ResultError:
        """Return the error of a result that is something else."""
        return ResultError(
            f"Result in {source} is not what {self.key} asks for: got {got}, expected {expected}. {remedy}"
        )


@contextmanager
def loaded(archive: Archive, wanted: Wanted, name: str) -> Iterator[tuple[Path, ProcessingResult]]:
    """Give the result folder that a task loads; what had to be converted is removed afterwards.

    Parameters
    ----------
    archive
        Whose raw roots are looked below, and whose scratch folder is converted in.
    wanted
        What the result has to be.
    name
        Folder or address of a result of ours, of a CaImAn file, or of a folder that holds exactly one.

    Raises
    ------
    ResultError
        When there is no result, or it is not the one asked for.
    """
    raw = RawFiles.of(archive.settings)
    with raw.remote.held(raw.find(name)) as source, _loaded(archive, wanted, source) as found:
        yield found


@contextmanager
def _loaded(archive: Archive, wanted: Wanted, source: Path) -> Iterator[tuple[Path, ProcessingResult]]:
    if source.is_dir() and ((source / RESULT_FILE).is_file() or wanted.method != _CAIMAN):
        yield source, _ours(archive, wanted, source)
        return
    refuse_other_movie(wanted, source, read := _read(wanted, source))
    folder = archive.settings.jobs_dir / f"load-{uuid.uuid4().hex}"
    try:
        yield folder, _converted(archive, wanted, read, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ours(archive: Archive, wanted: Wanted, folder: Path) -> ProcessingResult:
    result = load_result(folder)
    result.check(str(folder))
    if result.info.method != wanted.method:
        raise wanted.wrong(folder, f"method {result.info.method}", wanted.method, "Use another parameter set.")
    # As JSON has them, which tells no tuple from a list.
    used, asked = (json.loads(json.dumps(values, default=str)) for values in (result.parameters, dict(wanted.params)))
    other = [name for name in asked if name in used and used[name] != asked[name]]
    if other:
        got = ", ".join(f"{name} {used[name]!r} (expected {asked[name]!r})" for name in other)
        raise ResultError(
            f"Result in {folder} is not what {wanted.key} asks for: it was computed with {got}. "
            "Record its parameters as a set of their own."
        )
    _refuse_unknown_activity(archive, folder, result)
    return result


def _read(wanted: Wanted, source: Path) -> CaimanResult:
    file = find_caiman_file(source)
    if wanted.method != _CAIMAN:
        raise wanted.wrong(source, f"a file for method {_CAIMAN}", wanted.method, "Use another parameter set.")
    return read_caiman(file)


def _converted(archive: Archive, wanted: Wanted, read: CaimanResult, folder: Path) -> ProcessingResult:
    fps, timestamps_s = _clock(archive, wanted.key.recording)
    notes = [f"Loaded from {read.path.name}, which CaImAn {read.caiman_version} saved"]
    other = different_parameters(wanted.params, read.parameters)
    if other:
        # No refusal: CaImAn changes some itself (gSiz, nb), and flat names stand for several groups.
        notes.append(f"The parameter set differs from the file: {'; '.join(other[:_NAMED_DIFFERENCES])}")
        _log.warning("%s: %s", wanted.key, notes[-1])
    result = write_result(read, folder, fps=fps, timestamps_s=timestamps_s, notes=notes)
    result.check(str(read.path))
    _refuse_unknown_activity(archive, read.path, result)
    return result


def _clock(archive: Archive, recording: RecordingKey) -> tuple[float, NDArray[np.float64]]:
    """Return the recording's frame rate and the clock that was published when it was ingested."""
    with archive.database.session() as session:
        info = get(session, m.RecordingInfo, **recording.columns)
        row = get(session, m.RecordingTimestamps, **recording.columns)
        stored = session.get_one(m.StoredArray, row.timestamps_pk)
        publication = session.get_one(m.Publication, stored.publication_pk)
        fps, name, prefix = info.fps, stored.name, publication.prefix
        group = open_published(archive, publication)
    with archive.store.reading(prefix):
        values: Any = group[name]
        return float(fps), np.asarray(values[...], np.float64)


def different_parameters(asked: Mapping[str, Any], used: Mapping[str, Any]) -> list[str]:
    """Tell where parameters differ from those that a CaImAn file was made with.

    Parameters
    ----------
    asked
        By CaImAn's groups, or flat as older tools keep them: a flat name stands for every group that has it.
    used
        By group, from the file. Names that only one side has do not differ.

    Returns
    -------
    list of str
        ``group.name: got used, expected asked`` of each.
    """
    problems = []
    for group, values in used.items():
        own = asked.get(group)
        named = own if isinstance(own, Mapping) else asked
        for name, value in values.items() if isinstance(values, Mapping) else ():
            if name in named and name not in ("fnames", "dims") and not _same(named[name], value):
                problems.append(f"{group}.{name}: got {value!r}, expected {named[name]!r}")
    return problems


def _same(one: Any, other: Any) -> bool:
    """Compare values as people write them: 5 is 5.0 and (5, 5) is [5, 5]; one number stands for both axes."""
    if isinstance(one, list | tuple) or isinstance(other, list | tuple):
        first = list(one) if isinstance(one, list | tuple) else [one] * len(other)
        second = list(other) if isinstance(other, list | tuple) else [other] * len(first)
        return len(first) == len(second) and all(map(_same, first, second))
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    return bool(np.isclose(one, other, rtol=1e-6)) if numbers else one == other


def _refuse_unknown_activity(archive: Archive, source: Path, result: ProcessingResult) -> None:
    """Refuse what extraction could not name, before it is published."""
    info = result.info
    named = [f"{info.method}_{name}" for name in ("dff", "detrended") if name in result.array_names]
    methods = [info.activity_method, *named]
    with archive.database.session() as session:
        known = sorted(row.extraction_method for row in session.scalars(select(m.ActivityExtractionMethod)))
    unknown = [method for method in methods if method not in known]
    if unknown:
        raise ResultError(
            f"Result in {source}: got activity method {', '.join(unknown)}, expected one of {', '.join(known)}. "
            "Add it to ActivityExtractionMethod first."
        )


def refuse_other_movie(wanted: Wanted, source: Path, result: ProcessingResult | CaimanResult) -> None:
    """Refuse a result of another movie than the task's: its masks would lie elsewhere.

    Raises
    ------
    ResultError
        When it has other frames or another size.
    """
    got, expected = (result.frame_count, *result.shape), (wanted.frame_count, *wanted.shape)
    if got != expected:
        raise ResultError(
            f"Result in {source} does not belong to {wanted.key.recording}: got {got[0]} frames of "
            f"{got[1]}×{got[2]} px, expected {expected[0]} of {expected[1]}×{expected[2]} px."
        )
