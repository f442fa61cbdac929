"""A processing as the page looks at it: images, contours, quality numbers, neighbours and courses, read once."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.curation.decisions import Decisions, live_units
from miniscope_core.curation.merging import MergedArrays
from miniscope_core.errors import CurationError, MiniscopeError, NotFoundError
from miniscope_core.models import TaskKey
from miniscope_core.pipeline.merges import merged_arrays, merged_rows
from miniscope_core.pipeline.published import publication_of, published_result
from miniscope_core.plots.images import footprint_crop, outline
from miniscope_core.quality.masks import measure_masks, skewness_and_variance
from miniscope_core.storage.archive import Archive
from miniscope_core.web.envelopes import Courses, Window, bin_means, standardised, window_of
from miniscope_core.workspace import Workspace

_log = logging.getLogger(__name__)
_METRICS: Final = ("snr", "r_value", "cnn_pred", "noise", "decay_time_s", "baseline")
_MERGED_BYTES: Final = 128 * 2**20
_OVERLAPPING: Final = 12
_CORRELATED: Final = 8
_LEAST_COSINE: Final = 0.02
_LEAST_R: Final = 0.3
_IMAGE_LEVELS: Final = 2**16 - 1


@dataclass(frozen=True)
class Summary:
    """What is kept of every merged unit, for others are compared with it over and over; its traces are not."""

    footprint: "sp.csr_array"
    """(1, height·width)."""
    means: NDArray[np.float32]
    """(step,), of the denoised trace, of mean 0 and length 1."""


class OpenedProcessing:
    """One processing's result, with what the page asks of it over and over kept in memory.

    Parameters
    ----------
    archive
        Where the processing is.
    workspace
        The same, to read the frame clock by.
    task
        A processed task.

    Raises
    ------
    NotFoundError
        When the task was not processed.
    StoreError
        When its result cannot be read.
    """

    def __init__(self, archive: Archive, workspace: Workspace, task: TaskKey) -> None:
        self.archive = archive
        self.task = task
        self.result = published_result(archive, task)
        with archive.database.session() as session:
            self._prefix = publication_of(session, task).prefix
        self._workspace = workspace
        self._merged: OrderedDict[tuple[int, ...], MergedArrays] = OrderedDict()
        self._summaries: dict[tuple[int, ...], Summary] = {}
        self._lock = threading.Lock()
        with self._reading():
            self.footprints = self.result.footprints
            self.engine_accepted = self.result.accepted
            self.courses = Courses(self.result)
        self._filling = threading.Thread(target=self._fill, name=f"fill {task}", daemon=True)
        self._stopped = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        self.failure: str | None = None
        """Why the bins could not be computed."""

    def _reading(self) -> AbstractContextManager[None]:
        """Explain what goes wrong while arrays are read; as ``published.reading``, without asking the database."""
        return self.archive.store.reading(self._prefix)

    # -- the work in the background -----------------------------------------------------------------------
    def start_filling(self) -> None:
        """Begin to compute the bins of all units, while nobody waits for an answer."""
        with self._lock:
            if self._filling.ident is None:
                self._filling.start()

    def close(self) -> None:
        """End the work in the background and wait for it."""
        self._stopped.set()
        with self._idle:
            self._idle.notify_all()
        if self._filling.ident is not None:
            self._filling.join()

    def __enter__(self) -> "OpenedProcessing":
        with self._idle:
            self._busy += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._idle:
            self._busy -= 1
            self._idle.notify_all()

    def _fill(self) -> None:
        try:
            with self._reading():
                while not self._stopped.is_set() and self.courses.fill_next():
                    with self._idle:
                        self._idle.wait_for(lambda: self._busy == 0 or self._stopped.is_set(), timeout=1.0)
        except MiniscopeError as error:
            self.failure = str(error)
            _log.exception("Traces of %s cannot be summed up", self.task)

    # -- the field -------------------------------------------------------------------------------------------
    @cached_property
    def clock_s(self) -> NDArray[np.float64]:
        """(frame,), seconds from the start of the recording: the frame clock, else the result's, else by the rate."""
        frames = self.result.frame_count
        try:
            clock = self._workspace.timestamps_s(self.task.recording)
        except NotFoundError:
            clock = np.empty(0)
        if len(clock) != frames:
            stored = self.result.optional("timestamps_s")
            clock = np.arange(frames) / self.result.fps if stored is None else stored
        return np.asarray(clock, np.float64)

    @property
    def image_names(self) -> list[str]:
        """Summary images that the result has."""
        return [name.removeprefix("image_") for name in self.result.array_names if name.startswith("image_")]

    def image(self, name: str) -> tuple[NDArray[np.uint16], float, float]:
        """Return a summary image in 65 535 steps (0 where it is not finite), and the values of the ends.

        Raises
        ------
        NotFoundError
            When there is none of that name.
        """
        if name not in self.image_names:
            raise NotFoundError(f"No image {name!r} of {self.task}: it has {', '.join(self.image_names)}.")
        with self._reading():
            values = self.result.read(f"image_{name}").astype(np.float64)
        finite = np.isfinite(values)
        low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 1.0)
        scaled = (np.where(finite, values, low) - low) / ((high - low) or 1.0) * _IMAGE_LEVELS
        return np.rint(scaled).astype(np.uint16), low, high

    # -- units -----------------------------------------------------------------------------------------------
    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Quality numbers of the engine's units by name, each (unit,), but the skewness."""
        with self._reading():
            found = {name: values for name in _METRICS if (values := self.result.optional(name)) is not None}
        return found | _shape_columns(self.footprints, self.result.shape)

    def merged_columns(self, unit: int, members: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        """Return the numbers of a merged unit that need no engine."""
        merged = self.merged(unit, members)
        columns = _shape_columns(merged.footprint, self.result.shape)
        return columns | {"skewness": skewness_and_variance(merged.fluorescence[None])[0]}

    def footprint(self, unit: int, decisions: Decisions) -> "sp.csr_array":
        """Return the footprint of a unit, sparse (1, height·width).

        Raises
        ------
        CurationError
            When it is not there.
        """
        if unit < self.result.unit_count:
            return sp.csr_array(self.footprints[[unit]])
        return self.summary(unit, self.members(unit, decisions)).footprint

    def members(self, unit: int, decisions: Decisions) -> tuple[int, ...]:
        """Return the engine's units that a merged unit is made of.

        Raises
        ------
        CurationError
            When it is no merged unit.
        """
        if unit in decisions and decisions[unit].members:
            return decisions[unit].members
        # Of another version, that two of them are compared.
        with self.archive.database.session() as session:
            row = merged_rows(session, self.task).get(unit)
        if row is None:
            raise CurationError(f"No unit {unit} of {self.task}.")
        return row.members

    def merged(self, unit: int, members: tuple[int, ...]) -> MergedArrays:
        """Return the arrays of a merged unit: read where it was published, else computed; those of late are kept."""
        with self._lock:
            if members in self._merged:
                self._merged.move_to_end(members)
                return self._merged[members]
        arrays = merged_arrays(self.archive, self.task, self.result)(unit, members)
        size = 3 * arrays.trace.nbytes
        means = standardised(bin_means(arrays.trace[None], self.courses.mean_step))[0]
        with self._lock:
            self._merged[members] = arrays
            self._summaries[members] = Summary(arrays.footprint, means)
            while len(self._merged) * size > _MERGED_BYTES and len(self._merged) > 1:
                self._merged.popitem(last=False)
        return arrays

    def summary(self, unit: int, members: tuple[int, ...]) -> Summary:
        """Return what is kept of a merged unit."""
        if members not in self._summaries:
            self.merged(unit, members)
        return self._summaries[members]

    def window(self, unit: int, decisions: Decisions, begin_s: float, end_s: float, columns: int) -> Window:
        """Return the envelopes of a unit's courses between two times."""
        begin, end = np.searchsorted(self.clock_s, [begin_s, end_s])
        if unit < self.result.unit_count:
            with self._reading():
                return self.courses.window(unit, int(begin), int(end), columns)
        merged = self.merged(unit, self.members(unit, decisions))
        stored = {"fluorescence": merged.fluorescence, "traces": merged.trace, "activity": merged.activity}
        return window_of(stored, int(begin), int(end), columns)

    def neighbours(self, unit: int, decisions: Decisions) -> list[dict[str, Any]]:
        """Return the units that overlap or correlate with one, nearest first.

        Returns
        -------
        list of dict
            ``unit_id``, ``cosine`` of the footprints, ``r`` of the denoised traces in steps of ``mean_step``
            frames (None until the bins are there), ``distance_px`` of the centres.
        """
        footprint = self.footprint(unit, decisions)
        others = [other for other in live_units(decisions) if other != unit]
        own = [other for other in others if other < self.result.unit_count]
        merged = [self.summary(other, decisions[other].members) for other in others[len(own) :]]
        cosine = self._cosines(footprint, own, merged)
        r = self._correlations(unit, decisions, own, merged)
        center = self._center(unit, decisions)
        chosen = _choose(cosine, r)
        rows = []
        for at in chosen:
            distance = float(np.hypot(*(self._center(others[at], decisions) - center)))
            rows.append(
                {
                    "unit_id": others[at],
                    "cosine": round(float(cosine[at]), 4),
                    "r": None if r is None or not np.isfinite(r[at]) else round(float(r[at]), 4),
                    "distance_px": round(distance, 2) if np.isfinite(distance) else None,
                }
            )
        return rows

    def _center(self, unit: int, decisions: Decisions) -> NDArray[np.float64]:
        """Return (y, x) of a unit's centre of mass, px; NaN where it is empty."""
        if unit < self.result.unit_count:
            return np.array([self.columns["y"][unit], self.columns["x"][unit]])
        footprint = self.summary(unit, self.members(unit, decisions)).footprint
        center: NDArray[np.float64] = measure_masks(footprint, self.result.shape).center_px[0]
        return center

    @cached_property
    def _lengths(self) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(self.footprints.multiply(self.footprints).sum(axis=1)), np.float64).ravel()

    def _cosines(self, footprint: "sp.csr_array", own: list[int], merged: list[Summary]) -> NDArray[np.float64]:
        dense = footprint.toarray().ravel()
        length = np.sqrt(footprint.data @ footprint.data)
        products = [np.asarray(self.footprints @ dense)[own]]
        lengths = [self._lengths[own]]
        for one in merged:
            products.append(np.asarray(one.footprint @ dense))
            lengths.append(np.array([np.sqrt(one.footprint.data @ one.footprint.data)]))
        scale = np.concatenate(lengths) * length
        product = np.concatenate(products)
        return np.asarray(np.divide(product, scale, out=np.zeros(len(scale)), where=scale > 0), np.float64)

    def _correlations(
        self, unit: int, decisions: Decisions, own: list[int], merged: list[Summary]
    ) -> NDArray[np.float64] | None:
        if not self.courses.ready:
            return None
        if unit < self.result.unit_count:
            mine = self.courses.means[unit]
        else:
            mine = self.summary(unit, self.members(unit, decisions)).means
        # Not by BLAS: its threads spin after so short a product, and a selection has two cores at most.
        r = [np.einsum("ut,t->u", self.courses.means, mine)[own], *([one.means @ mine] for one in merged)]
        return np.asarray(np.concatenate(r), np.float64)

    # -- contours --------------------------------------------------------------------------------------------
    @cached_property
    def contours(self) -> dict[str, NDArray[Any]]:
        """The outlines of the engine's units, as :meth:`outlines` gives them."""
        return self._outlines((unit, self.footprints, unit) for unit in range(self.result.unit_count))

    def outlines(self, unit_ids: Iterable[int], decisions: Decisions) -> dict[str, NDArray[Any]]:
        """Return closed outlines: ``unit`` and ``length`` of each line, and the ``points`` (x, y) of all, px."""
        return self._outlines((unit, self.footprint(unit, decisions), 0) for unit in unit_ids)

    def _outlines(self, footprints: Iterable[tuple[int, "sp.csr_array", int]]) -> dict[str, NDArray[Any]]:
        units, lines = [], []
        for unit, rows, row in footprints:
            for line in outline(rows, row, self.result.shape):
                units.append(unit)
                lines.append(line.astype(np.float32))
        return {
            "unit": np.array(units, np.int32),
            "length": np.array([len(line) for line in lines], np.int32),
            "points": np.concatenate([np.zeros((0, 2), np.float32), *lines]),
        }

    def crop(self, unit: int, decisions: Decisions, margin_px: int = 12) -> dict[str, Any]:
        """Return a footprint's part of the field: ``values`` (height, width) and where it begins."""
        values, (top, left) = footprint_crop(self.footprint(unit, decisions), 0, self.result.shape, margin_px)
        return {"values": values.astype(np.float32), "top": top, "left": left}


def _shape_columns(footprints: "sp.csr_array", shape: tuple[int, int]) -> dict[str, NDArray[Any]]:
    geometry = measure_masks(footprints, shape)
    return {
        "npix": geometry.npix,
        "half_area": geometry.half_area_px,
        "elongation": geometry.elongation,
        "y": geometry.center_px[:, 0],
        "x": geometry.center_px[:, 1],
    }


def _choose(cosine: NDArray[np.float64], r: NDArray[np.float64] | None) -> list[int]:
    """Return the places of the units that overlap most, then of those that correlate most without overlapping."""
    order = np.argsort(-cosine, kind="stable")[:_OVERLAPPING]
    chosen = [int(at) for at in order if cosine[at] >= _LEAST_COSINE]
    if r is not None:
        known = np.nan_to_num(r, nan=-1.0)
        correlated = [int(at) for at in np.argsort(-known, kind="stable")[: _CORRELATED + len(chosen)]]
        chosen += [at for at in correlated if known[at] >= _LEAST_R and at not in chosen][:_CORRELATED]
    return chosen
