"""Extraction: a curation into motion correction, masks, classification, fluorescence, activity and quality rows.

The arrays are those of the published result, and of a merged unit those that were published for it: rows name an array
and the unit's row in it, nothing is copied, and curations share what they have in common.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.curation.units import CuratedUnits
from miniscope_core.models import CurationKey, StoredArray, find, get, make
from miniscope_core.pipeline.curate import curated_units, read_decisions
from miniscope_core.pipeline.merges import merged_rows
from miniscope_core.pipeline.published import publication_of, reading
from miniscope_core.pipeline.rows import lock_writers, stored_arrays
from miniscope_core.progress import Progress, silent
from miniscope_core.quality.masks import MaskGeometry, classify_masks, skewness_and_variance
from miniscope_core.storage.archive import Archive

_log = logging.getLogger(__name__)
# One-photon miniscopes here record one channel; a second one would be a recording dimension of its own.
_CHANNEL: Final = 0
_VALUES_AT_ONCE: Final = 2**22
_UNITS_AT_ONCE: Final = 64
_METRICS: Final = ("snr", "r_value", "cnn_pred", "baseline", "noise", "decay_time_s")
_SUMMARY_IMAGES: Final = {
    "ref_image_pk": "image_template",
    "average_image_pk": "image_average",
    "correlation_image_pk": "image_correlation",
    "max_proj_image_pk": "image_max",
    "pnr_image_pk": "image_pnr",
}


@dataclass(frozen=True)
class Extracted:
    """What extraction did."""

    key: CurationKey
    changed: bool
    """False when the rows were there already."""
    mask_count: int
    message: str


def extract_traces(archive: Archive, curation: CurationKey, progress: Progress = silent) -> Extracted:
    """Write the rows of a curation's results, all in one transaction, once.

    Parameters
    ----------
    archive
        Where the curation is and the rows go.
    curation
        A curation.
    progress
        Told the units measured.

    Returns
    -------
    Extracted
        The number of masks.

    Raises
    ------
    NotFoundError
        When there is no such curation.
    StoreError
        When its arrays cannot be read; nothing is written.
    """
    with archive.database.session() as session:
        decisions = read_decisions(session, curation)
        done = _extracted(session, curation)
    if done is not None:
        return done
    units = curated_units(archive, curation.task, decisions)
    with reading(archive, curation.task):
        measures = _measure(units, progress)
    with archive.database.session() as session:
        lock_writers(session)
        done = _extracted(session, curation)
        if done is not None:  # by somebody else, in the meantime
            return done
        _Rows(session, curation, units).add_all(measures)
    count, accepted = len(units.unit_ids), int(units.accepted.sum())
    message = f"Extracted {curation}: {count} masks, {accepted} accepted"
    _log.info(message)
    return Extracted(curation, True, count, message)


def _extracted(session: Session, curation: CurationKey) -> Extracted | None:
    done = find(session, m.Segmentation, **curation.columns)
    if done is None:
        return None
    masks = session.scalar(select(func.count()).where(col(m.Mask.segmentation_pk) == done.id))
    return Extracted(curation, False, masks or 0, f"Unchanged: {curation} was extracted already")


@dataclass(frozen=True)
class _Measures:
    geometry: MaskGeometry
    metrics: dict[str, NDArray[Any]]
    """(unit,) by the name of its column."""
    shift_std_px: NDArray[np.float64]
    """(2,), along y and x."""
    block_ranges_px: NDArray[np.int64] | None
    """(block, 4): y start, y stop, x start, x stop; None where the correction was rigid."""
    block_std_px: NDArray[np.float64]
    """(block, 2), along y and x."""


def _measure(units: CuratedUnits, progress: Progress) -> _Measures:
    """Read and measure everything the rows need, so that none is written when the store fails."""
    result, count = units.result, len(units.unit_ids)
    metrics = {name: values for name in _METRICS if (values := units.metric(name)) is not None}
    skewness, variance = np.empty(count), np.empty(count)
    # A long recording must not need more memory than a short one.
    step = max(1, min(_UNITS_AT_ONCE, _VALUES_AT_ONCE // result.frame_count))
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        traces = units.rows("fluorescence", units.unit_ids[rows])
        skewness[rows], variance[rows] = skewness_and_variance(traces)
        progress("extraction", rows.stop, count)
    ranges = result.optional("block_ranges_px")
    return _Measures(
        geometry=units.geometry,
        metrics=metrics | {"skewness": skewness, "variance": variance},
        shift_std_px=_std(result.shifts_px),
        block_ranges_px=ranges,
        block_std_px=np.empty((0, 2)) if ranges is None else _std(result.array("block_shifts_px")),
    )


def _std(shifts_px: Any) -> NDArray[np.float64]:
    """Return the standard deviation over frames of shifts (…, frame, 2), read in slabs of all blocks.

    A block on its own is a sliver of every chunk, and would have each decoded once per block.
    """
    *blocks, frames, _ = shifts_px.shape
    chunk = getattr(shifts_px, "chunks", (1, 1))[-2]
    step = chunk * max(1, _VALUES_AT_ONCE // (2 * chunk * max(1, math.prod(blocks))))
    count, mean, squares = 0, np.zeros((*blocks, 2)), np.zeros((*blocks, 2))
    for start in range(0, frames, step):
        slab = np.asarray(shifts_px[..., start : start + step, :], np.float64)
        size, slab_mean = slab.shape[-2], slab.mean(axis=-2)
        apart = slab_mean - mean
        # Chan, Golub & LeVeque (1979): sums of squares of two samples, put together without cancellation.
        squares += slab.var(axis=-2) * size + apart**2 * count * size / (count + size)
        mean += apart * size / (count + size)
        count += size
    return np.sqrt(squares / max(1, count))


@dataclass(frozen=True)
class _Place:
    """Where the arrays of one unit lie."""

    arrays: dict[str, StoredArray]
    row: int


class _Rows:
    """Adds the rows of one curation, parents before children."""

    def __init__(self, session: Session, curation: CurationKey, units: CuratedUnits) -> None:
        self._session = session
        self._units = units
        self._info = units.result.info
        self._curation = get(session, m.Curation, **curation.columns)
        self._arrays = stored_arrays(session, publication_of(session, curation.task))
        self._places = self._find_places(curation)
        self._channel = get(session, m.Channel, channel=_CHANNEL)
        self._segmentation = self._flushed(make(m.Segmentation, curation_pk=self._curation.id))

    def _find_places(self, curation: CurationKey) -> dict[int, _Place]:
        places = {unit: _Place(self._arrays, unit) for unit in self._units.unit_ids.tolist()}
        published: dict[int, dict[str, StoredArray]] = {}
        for unit, merged in merged_rows(self._session, curation.task).items():
            if unit in places and merged.publication_pk is not None and merged.array_row is not None:
                publication = self._session.get_one(m.Publication, merged.publication_pk)
                arrays = published.setdefault(merged.publication_pk, stored_arrays(self._session, publication))
                places[unit] = _Place(arrays, merged.array_row)
        return places

    def add_all(self, measures: _Measures) -> None:
        units = self._units
        self._add_motion_correction(measures)
        masks = self._add_masks(measures.geometry)
        types = classify_masks(measures.geometry, units.accepted, self._info.cell_diameter_px)
        self._add_classification(masks, f"{self._info.method}_default_classifier", types)
        if any(kind is not None for kind in units.mask_types):
            self._add_classification(masks, "curator", units.mask_types)
        traces = self._add_fluorescence(masks)
        self._add_activity(masks, traces, "activity", self._info.activity_method)
        for name in ("dff", "detrended"):
            if name in self._arrays:
                self._add_activity(masks, traces, name, f"{self._info.method}_{name}")
        self._add_quality(masks, measures)

    def _flushed(self, row: m.Entity) -> Any:
        self._session.add(row)
        self._session.flush()
        return row

    def _array(self, name: str) -> StoredArray:
        return self._arrays[name]

    def _optional_pk(self, name: str, unit: int | None = None) -> int | None:
        """Return the array of the result, or of one unit, where it is there."""
        arrays = self._arrays if unit is None else self._places[unit].arrays
        return arrays[name].id if name in arrays else None

    def _add_motion_correction(self, measures: _Measures) -> None:
        parent = self._flushed(
            make(m.MotionCorrection, curation_pk=self._curation.id, motion_correct_channel_pk=self._channel.id)
        )
        outliers = self._optional_pk("outlier_frames")
        if measures.block_ranges_px is None:
            y_std, x_std = measures.shift_std_px
            row = make(
                m.RigidMotionCorrection,
                motion_correction_pk=parent.id,
                shifts_pk=self._array("shifts_px").id,
                outlier_frames_pk=outliers,
                y_std=y_std,
                x_std=x_std,
            )
            self._session.add(row)
        else:
            self._add_blocks(parent.id, outliers, measures.block_ranges_px, measures.block_std_px)
        images = {column: self._optional_pk(name) for column, name in _SUMMARY_IMAGES.items()}
        self._session.add(make(m.MotionCorrectionSummary, motion_correction_pk=parent.id, **images))

    def _add_blocks(
        self, parent_pk: int, outliers: int | None, ranges: NDArray[np.int64], std_px: NDArray[np.float64]
    ) -> None:
        parent = self._flushed(
            make(
                m.NonRigidMotionCorrection,
                motion_correction_pk=parent_pk,
                outlier_frames_pk=outliers,
                block_height=(ranges[:, 1] - ranges[:, 0]).max(),
                block_width=(ranges[:, 3] - ranges[:, 2]).max(),
                block_count_y=len(np.unique(ranges[:, 0])),
                block_count_x=len(np.unique(ranges[:, 2])),
            )
        )
        self._session.add_all(
            make(
                m.Block,
                non_rigid_motion_correction_pk=parent.id,
                shifts_pk=self._array("block_shifts_px").id,
                block_id=block,
                array_index=block,
                block_y_start=y_start,
                block_y_stop=y_stop,
                block_x_start=x_start,
                block_x_stop=x_stop,
                y_std=std_px[block, 0],
                x_std=std_px[block, 1],
            )
            for block, (y_start, y_stop, x_start, x_stop) in enumerate(ranges)
        )

    def _add_masks(self, geometry: MaskGeometry) -> list[m.Mask]:
        masks = [
            make(
                m.Mask,
                segmentation_pk=self._segmentation.id,
                segmentation_channel_pk=self._channel.id,
                mask_id=unit,
                mask_npix=geometry.npix[row],
                mask_center_y=geometry.center_px[row, 0],
                mask_center_x=geometry.center_px[row, 1],
                array_pk=self._places[unit].arrays["footprints"].id,
                array_row=self._places[unit].row,
            )
            for row, unit in enumerate(self._units.unit_ids.tolist())
        ]
        self._session.add_all(masks)
        self._session.flush()
        return masks

    def _add_classification(self, masks: list[m.Mask], method: str, types: Sequence[str | None]) -> None:
        row = get(self._session, m.MaskClassificationMethod, mask_classification_method=method)
        parent = self._flushed(
            make(m.MaskClassification, segmentation_pk=self._segmentation.id, mask_classification_method_pk=row.id)
        )
        type_pks = {kind.mask_type: kind.id for kind in self._session.scalars(select(m.MaskType))}
        self._session.add_all(
            make(
                m.MaskClassificationType,
                mask_classification_pk=parent.id,
                mask_pk=mask.id,
                mask_type_pk=type_pks[mask_type],
            )
            for mask, mask_type in zip(masks, types, strict=True)
            if mask_type is not None
        )

    def _add_fluorescence(self, masks: list[m.Mask]) -> list[m.FluorescenceTrace]:
        parent = self._flushed(make(m.Fluorescence, curation_pk=self._curation.id))
        traces = [
            make(
                m.FluorescenceTrace,
                fluorescence_pk=parent.id,
                mask_pk=mask.id,
                fluorescence_channel_pk=self._channel.id,
                array_pk=self._places[mask.mask_id].arrays["fluorescence"].id,
                array_row=mask.array_row,
                neuropil_fluorescence_pk=self._optional_pk("neuropil", mask.mask_id),
                denoised_pk=self._optional_pk("traces", mask.mask_id),
            )
            for mask in masks
        ]
        self._session.add_all(traces)
        self._session.flush()
        return traces

    def _add_activity(self, masks: list[m.Mask], traces: list[m.FluorescenceTrace], array: str, method: str) -> None:
        row = get(self._session, m.ActivityExtractionMethod, extraction_method=method)
        parent = self._flushed(make(m.Activity, curation_pk=self._curation.id, activity_extraction_method_pk=row.id))
        for mask, trace in zip(masks, traces, strict=True):
            stored = self._places[mask.mask_id].arrays.get(array)
            if stored is not None:  # a merged unit has no ΔF/F: what it was divided by was not kept
                self._session.add(
                    make(
                        m.ActivityTrace,
                        activity_pk=parent.id,
                        fluorescence_trace_pk=trace.id,
                        array_pk=stored.id,
                        array_row=trace.array_row,
                        unit=stored.unit,
                    )
                )

    def _add_quality(self, masks: list[m.Mask], measures: _Measures) -> None:
        self._session.add_all(
            make(
                m.QualityMetrics,
                mask_pk=mask.id,
                npix=mask.mask_npix,
                **{name: values[row] for name, values in measures.metrics.items()},
            )
            for row, mask in enumerate(masks)
        )
