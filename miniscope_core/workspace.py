"""The workspace: tables as pandas DataFrames and arrays as NumPy, by the natural keys people type."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sqlalchemy as sa
import zarr
from numpy.typing import NDArray
from sqlalchemy import Boolean, Float, Integer
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from miniscope_core import models as m
from miniscope_core.curation.decisions import Decisions
from miniscope_core.curation.units import CuratedUnits
from miniscope_core.errors import EntityError, NotFoundError, StoreError
from miniscope_core.io import Signal
from miniscope_core.models import (
    CurationKey,
    Entity,
    NaturalKey,
    RecordingKey,
    TaskKey,
    as_key,
    entities,
    get,
    natural_columns,
    natural_select,
    parse_key,
)
from miniscope_core.models.types import LocalTimeColumn, MeasureColumn, UtcTimeColumn
from miniscope_core.pipeline.curate import curated_units, decisions_of, read_decisions
from miniscope_core.pipeline.published import open_published, published_result, reading
from miniscope_core.result import ProcessingResult
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive

_CURATOR: Final = "curator"
_IMAGES: Final = {
    "template": "ref_image_pk",
    "average": "average_image_pk",
    "correlation": "correlation_image_pk",
    "max": "max_proj_image_pk",
    "pnr": "pnr_image_pk",
}


@dataclass(frozen=True)
class Trace:
    """One unit's trace against the frame clock."""

    time_s: NDArray[np.float64]
    """(frame,), seconds from the start of the recording."""
    values: NDArray[np.float32]
    """(frame,)."""
    unit: str
    """Unit of the values."""

    def __repr__(self) -> str:
        return f"Trace({len(self.values)} frames, {self.unit})"


class Workspace:
    """Everything that was ingested, processed and curated, to browse and fetch; it changes nothing.

    Parameters
    ----------
    settings
        Where the database and the store are; default: from the environment.

    Raises
    ------
    DatabaseError
        When there is no database yet, or it is away or of another version.

    Examples
    --------
    >>> workspace = Workspace()                                         # doctest: +SKIP
    >>> workspace.recordings()                                          # doctest: +SKIP
    >>> masks = workspace.masks("subject1/2021-01-01T00:00:01/0/0/0")   # doctest: +SKIP
    >>> masks[masks.mask_npix > 130]                                    # doctest: +SKIP
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._archive = Archive.open(settings, create=False)
        self._groups: dict[str, zarr.Group] = {}
        self._filled: dict[TaskKey, NDArray[np.int64]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({self._archive.database.url!r}, {self._archive.store.url!r})"

    @property
    def database_url(self) -> str:
        """Address of the database, without the password."""
        return self._archive.database.url

    @property
    def store_url(self) -> str:
        """Address of the object store."""
        return self._archive.store.url

    def close(self) -> None:
        """Close the connections of the database."""
        self._archive.close()

    # -- tables -----------------------------------------------------------------------------------------
    def table(self, entity: type[Entity] | str, key: NaturalKey | str | None = None, **equal: Any) -> pd.DataFrame:
        """Return the rows of an entity, each with the natural keys of its ancestors.

        Parameters
        ----------
        entity
            Table class or its name, e.g. ``"Mask"``.
        key
            Only rows below this key, e.g. ``"subject1"`` or ``"subject1/2021-01-01T00:00:01/0"``.
        **equal
            Further columns and the values they must have.

        Returns
        -------
        DataFrame
            One row an entity, ordered by natural key; empty with the same columns where there is none.

        Raises
        ------
        EntityError
            When there is no such entity or column.
        """
        statement = _select(entity, key, equal)
        columns = statement.selected_columns
        frame = pd.DataFrame(self._rows(statement), columns=list(columns.keys()))
        return frame.astype({column.key: dtype for column in columns if (dtype := _dtype(column.type))})

    def fetch1(self, entity: type[Entity] | str, key: NaturalKey | str, **equal: Any) -> dict[str, Any]:
        """Return the one row of an entity at a natural key, as a dictionary; what is missing is None.

        Raises
        ------
        NotFoundError
            When there is none.
        EntityError
            When there are several: give the rest of the key by ``**equal``.
        """
        rows = self._rows(_select(entity, key, equal))
        if len(rows) == 1:
            return rows[0]
        name = _entity(entity).__name__
        where = ", ".join([str(_any_key(key)), *(f"{column} {value}" for column, value in equal.items())])
        if not rows:
            raise NotFoundError(f"No {name} at {where}.")
        labels = [item.label for item in natural_columns(_entity(entity))]
        missing = [label for label in labels if len({row[label] for row in rows}) > 1]
        raise EntityError(f"{len(rows)} rows of {name} at {where}: add {', '.join(missing)}.")

    def subjects(self) -> pd.DataFrame:
        """Return the subjects."""
        return self.table(m.Subject)

    def sessions(self, key: NaturalKey | str | None = None) -> pd.DataFrame:
        """Return the sessions, of one subject or all."""
        return self.table(m.Session, key)

    def recordings(self, key: NaturalKey | str | None = None) -> pd.DataFrame:
        """Return the recordings with their facts: frames, size, rate, duration, dropped frames."""
        return _joined(self.table(m.Recording, key), self.table(m.RecordingInfo, key), m.RecordingInfo)

    def files(self, key: NaturalKey | str | None = None) -> pd.DataFrame:
        """Return the files of recordings, with their decoded frames and digests."""
        return self.table(m.RecordingFile, key)

    def parameter_sets(self) -> pd.DataFrame:
        """Return the parameter sets."""
        return self.table(m.ProcessingParamSet)

    def tasks(self, key: NaturalKey | str | None = None) -> pd.DataFrame:
        """Return the processing tasks, finished or not, with who computes them and what failed."""
        return self.table(m.ProcessingTask, key)

    def processings(self, key: NaturalKey | str | None = None) -> pd.DataFrame:
        """Return the finished processings."""
        return self.table(m.Processing, key)

    def curations(self, key: NaturalKey | str | None = None) -> pd.DataFrame:
        """Return the curations."""
        return self.table(m.Curation, key)

    def masks(self, curation: CurationKey | str) -> pd.DataFrame:
        """Return the masks of a curation with size, centre, acceptance, type and quality; reads no array.

        Parameters
        ----------
        curation
            Key of an extracted curation.

        Returns
        -------
        DataFrame
            One row a mask: ``mask_id, mask_npix, mask_center_y, mask_center_x, accepted, mask_type, snr, r_value …``.

        Raises
        ------
        NotFoundError
            When there is no such curation, or it was not extracted.
        """
        key = as_key(curation, CurationKey)
        self.fetch1(m.Segmentation, key)
        masks = self.table(m.Mask, key).drop(columns=["mask_center_z", "array_row"])
        quality = self.table(m.QualityMetrics, key)
        decisions = self.table(m.CurationUnit, key)[["unit_id", "accepted"]].rename(columns={"unit_id": "mask_id"})
        joined = _joined(masks, quality, m.QualityMetrics)
        for more in (decisions, self._mask_types(key)):
            joined = joined.merge(more, on="mask_id", validate="one_to_one")
        return joined.drop(columns=[name for name in joined.columns if str(name).startswith("array_")])

    def _mask_types(self, key: CurationKey) -> pd.DataFrame:
        """Return what each mask is: what the curator said, else the engine's classifier."""
        kinds = self.table(m.MaskClassificationType, key)
        kinds = kinds.assign(by_curator=kinds["mask_classification_method"] == _CURATOR)
        return kinds.sort_values("by_curator").drop_duplicates("mask_id", keep="last")[["mask_id", "mask_type"]]

    def classification(self, curation: CurationKey | str, mask_id: int) -> pd.DataFrame:
        """Return what each classification method takes a mask for.

        Raises
        ------
        NotFoundError
            When there is no such mask.
        """
        key = as_key(curation, CurationKey)
        self.fetch1(m.Mask, key, mask_id=mask_id)
        return self.table(m.MaskClassificationType, key, mask_id=mask_id)

    # -- arrays -----------------------------------------------------------------------------------------
    def timestamps_s(self, recording: RecordingKey | str) -> NDArray[np.float64]:
        """Read the frame clock of a recording, (frame,), seconds from its start."""
        return self._array(m.RecordingTimestamps, as_key(recording, RecordingKey), "timestamps_pk")

    def head_orientation(self, recording: RecordingKey | str) -> NDArray[np.float64]:
        """Read the head orientation of a recording, (sample, 5): time in s, then the quaternion w, x, y, z."""
        return self._array(m.HeadOrientation, as_key(recording, RecordingKey), "samples_pk")

    def signals(self, recording: RecordingKey | str) -> pd.DataFrame:
        """Return what else was recorded on the clock of a recording: pose, triggers, channels of an acquisition box."""
        return self.table(m.RecordingSignal, as_key(recording, RecordingKey))

    def signal(self, recording: RecordingKey | str, signal: str | int) -> Signal:
        """Read one of those signals, by its name or its number.

        Raises
        ------
        NotFoundError
            When there is none, or more than one of that name.
        """
        key = as_key(recording, RecordingKey)
        chosen = {"signal_id": signal} if isinstance(signal, int) else {"signal_name": signal}
        row = self.fetch1("RecordingSignal", key, **chosen)
        samples = self._array(m.RecordingSignal, key, "samples_pk", signal_id=int(row["signal_id"]))
        return Signal(
            name=row["signal_name"],
            channels=tuple(row["channels"]),
            units=tuple(row["units"]),
            times_s=samples[:, 0],
            values=samples[:, 1:],
            source=row["source"],
            rule=row["clock_rule"],
            uncertainty_s=row["uncertainty_s"],
        )

    def result(self, task: TaskKey | CurationKey | str) -> ProcessingResult:
        """Open the published result of a processing; its arrays are fetched when they are read."""
        key = _any_key(task)
        return published_result(self._archive, key.task if isinstance(key, CurationKey) else as_key(key, TaskKey))

    def units(self, curation: CurationKey | str) -> CuratedUnits:
        """Open the units of a curation: their footprints together, and traces by unit, whoever merged what.

        Raises
        ------
        NotFoundError
            When there is no such curation.
        """
        key = as_key(curation, CurationKey)
        return curated_units(self._archive, key.task, self.decisions(key))

    def engine_units(self, task: TaskKey | str) -> CuratedUnits:
        """Open the units of a processing as its engine accepted them, before any curation.

        Raises
        ------
        NotFoundError
            When there is no such processing.
        """
        key = as_key(task, TaskKey)
        return curated_units(self._archive, key, decisions_of(self._archive, key))

    def decisions(self, curation: CurationKey | str) -> Decisions:
        """Return what a curation says of every unit, also of those that are part of a merged one."""
        key = as_key(curation, CurationKey)
        with self._archive.database.session() as session:
            return read_decisions(session, key)

    def image(self, curation: CurationKey | str, name: str = "average") -> NDArray[np.float32]:
        """Read a summary image, (height, width).

        Parameters
        ----------
        curation
            Key of an extracted curation.
        name
            ``template``, ``average``, ``correlation``, ``max`` or ``pnr``.

        Raises
        ------
        EntityError
            When there is no image of that name.
        """
        if name not in _IMAGES:
            raise EntityError(f"Unknown image {name!r}: expected one of {', '.join(_IMAGES)}.")
        return self._array(m.MotionCorrectionSummary, as_key(curation, CurationKey), _IMAGES[name])

    def shifts_px(self, curation: CurationKey | str) -> NDArray[np.float32]:
        """Read the shifts of a curation's motion correction, (frame, 2) as (dy, dx): the correction applied."""
        key = as_key(curation, CurationKey)
        with reading(self._archive, key.task):
            return self.result(key).shifts_px

    def footprints(self, curation: CurationKey | str, mask_ids: Iterable[int] | None = None) -> "sp.csr_array":
        """Read footprints, sparse (mask, height·width), C order: of all masks by number, or of some in the order given.

        Raises
        ------
        NotFoundError
            When there is no such mask, or the curation was not extracted.
        """
        key = as_key(curation, CurationKey)
        self.fetch1(m.Segmentation, key)
        units = self.units(key)
        wanted = units.unit_ids.tolist() if mask_ids is None else [int(mask) for mask in mask_ids]
        unknown = sorted(set(wanted) - set(units.unit_ids.tolist()))
        if unknown:
            raise NotFoundError(f"No Mask at {key}, mask_id {unknown[0]}: it has {len(units.unit_ids)} masks.")
        with reading(self._archive, key.task):
            return units.footprints[np.searchsorted(units.unit_ids, wanted)]

    def footprint(self, curation: CurationKey | str, mask_id: int) -> NDArray[np.float32]:
        """Read the footprint of one mask, (height, width)."""
        key = as_key(curation, CurationKey)
        return np.asarray(self.footprints(key, [mask_id]).toarray()).reshape(self.result(key).shape)

    def parts(self, recording: RecordingKey | str) -> pd.DataFrame:
        """Return the recordings that one was joined from, in order, with where each lies; none of one alone."""
        return self.table(m.RecordingPart, as_key(recording, RecordingKey))

    def split(self, curation: CurationKey | str, trace: Trace) -> list[Trace]:
        """Split a trace of a joined recording into those of its parts, each on the clock of its own recording.

        Parameters
        ----------
        curation
            Key of the curation that the trace is from.
        trace
            As :meth:`fluorescence`, :meth:`denoised` or :meth:`activity` returned it.

        Returns
        -------
        list of Trace
            One a part, in order; the trace itself where nothing was joined.
        """
        parts = self.parts(as_key(curation, CurationKey).task.recording)
        if parts.empty:
            return [trace]
        places = zip(*(parts[name].tolist() for name in ("start_frame", "nframes", "start_s")), strict=True)
        return [
            Trace(
                trace.time_s[start : start + count] - start_s,
                trace.values[start : start + count],
                trace.unit,
            )
            for start, count, start_s in places
        ]

    def fluorescence(self, curation: CurationKey | str, mask_id: int) -> Trace:
        """Read a mask's fluorescence as extracted, before any denoising, against time.

        It is NaN in the frames that were broken and filled for the engine: nothing was measured there.
        """
        trace = self._trace(m.FluorescenceTrace, "array_pk", curation, mask_id=mask_id)
        trace.values[self.filled_frames(curation)] = np.nan
        return trace

    def filled_frames(self, task: TaskKey | CurationKey | str) -> NDArray[np.int64]:
        """Return the frames, rising, that were broken and filled from their neighbours, so that they are no data.

        Denoised traces and activity are a model's, and have values there that the frames around them suggest.
        """
        key = _any_key(task)
        key = key.task if isinstance(key, CurationKey) else as_key(key, TaskKey)
        if key not in self._filled:
            filled = published_result(self._archive, key).optional("filled_frames")
            self._filled[key] = np.zeros(0, np.int64) if filled is None else filled
        return self._filled[key].copy()

    def denoised(self, curation: CurationKey | str, mask_id: int) -> Trace:
        """Read a mask's denoised trace against time."""
        return self._trace(m.FluorescenceTrace, "denoised_pk", curation, mask_id=mask_id)

    def activity(self, curation: CurationKey | str, mask_id: int, method: str | None = None) -> Trace:
        """Read a mask's activity against time.

        Parameters
        ----------
        curation
            Key of an extracted curation.
        mask_id
            Number of the mask.
        method
            ``extraction_method`` of the activity, e.g. ``"cnmfe_dff"``; default: the deconvolved one.
        """
        which = {"array_name": "activity"} if method is None else {"extraction_method": method}
        return self._trace(m.ActivityTrace, "array_pk", curation, mask_id=mask_id, **which)

    # -- how rows and arrays are reached ------------------------------------------------------------------
    def _rows(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._archive.database.session() as session:
            return [dict(row) for row in session.execute(statement).mappings()]

    def _trace(self, entity: type[Entity], column: str, curation: CurationKey | str, **equal: Any) -> Trace:
        key = as_key(curation, CurationKey)
        with self._archive.database.session() as session:
            row: Any = get(session, entity, **key.columns, **equal)
            stored, publication = self._stored(session, row, column, f"{key}, mask_id {equal['mask_id']}")
        time_s = self.timestamps_s(key.task.recording)
        return Trace(time_s, self._read(publication, stored, row.array_row), stored.unit)

    def _array(self, entity: type[Entity], key: NaturalKey, column: str, **more: int) -> NDArray[Any]:
        with self._archive.database.session() as session:
            row = get(session, entity, **key.columns, **more)
            stored, publication = self._stored(session, row, column, str(key))
        return self._read(publication, stored, ...)

    def _stored(self, session: Session, row: Entity, column: str, where: str) -> tuple[m.StoredArray, m.Publication]:
        stored = session.get(m.StoredArray, getattr(row, column) or 0)
        if stored is None:
            raise NotFoundError(f"{type(row).__name__} at {where} has no {column.removesuffix('_pk')}.")
        return stored, session.get_one(m.Publication, stored.publication_pk)

    def _read(self, publication: m.Publication, stored: m.StoredArray, rows: Any) -> NDArray[Any]:
        prefix = publication.prefix
        if prefix not in self._groups:
            self._groups[prefix] = open_published(self._archive, publication)
        with self._archive.store.reading(prefix):
            array = self._groups[prefix].get(stored.name)
            if isinstance(array, zarr.Array):
                return np.asarray(array[rows])
        raise StoreError(f"Array {stored.name} is missing in {self._archive.store.address(prefix)}.")


def _select(entity: type[Entity] | str, key: NaturalKey | str | None, equal: dict[str, Any]) -> sa.Select[Any]:
    below = {} if key is None else _any_key(key).columns
    return natural_select(_entity(entity), **{**below, **equal})


def _entity(entity: type[Entity] | str) -> type[Entity]:
    if not isinstance(entity, str):
        return entity
    found = {known.__name__: known for known in entities()}
    if entity not in found:
        raise EntityError(f"Unknown entity {entity!r}: expected one of {', '.join(sorted(found))}.")
    return found[entity]


def _dtype(column_type: "TypeEngine[Any]") -> str | None:
    """Return the pandas type of a column, the same whether the table is empty or values are missing."""
    types = {
        "float64": (MeasureColumn, Float),
        "Int64": (Integer,),
        "bool": (Boolean,),
        "datetime64[us]": (LocalTimeColumn,),
        "datetime64[us, UTC]": (UtcTimeColumn,),
    }
    return next((name for name, classes in types.items() if isinstance(column_type, classes)), None)


def _any_key(key: NaturalKey | str) -> NaturalKey:
    return parse_key(key) if isinstance(key, str) else key


def _joined(left: pd.DataFrame, right: pd.DataFrame, entity: type[Entity]) -> pd.DataFrame:
    on = [item.label for item in natural_columns(entity)]
    new = [name for name in right.columns if name not in left.columns or name in on]
    return left.merge(right[new], on=on, how="left")
