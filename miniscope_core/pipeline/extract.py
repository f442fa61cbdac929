"""Extraction: a curation into motion correction, masks, classification, fluorescence, activity and quality rows.

The arrays are those of the published result: rows name an array and the unit's row in it, nothing is copied.
"""

import logging
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from miniscope_core import models as m
from miniscope_core.models import CurationKey, StoredArray, find, get, make
from miniscope_core.pipeline.published import publication_of, published_result, reading
from miniscope_core.pipeline.rows import lock_writers, stored_arrays
from miniscope_core.progress import Progress, silent
from miniscope_core.quality.masks import MaskGeometry, classify_masks, measure_masks, skewness_and_variance
from miniscope_core.result import ProcessingResult, ResultInfo
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
        row = get(session, m.Curation, **curation.columns)
        done = _extracted(session, curation)
        accepted = _accepted(session, row)
    if done is not None:
        return done
    with reading(archive, curation.task):
        result = published_result(archive, curation.task)
        measures = _measure(result, progress)
    with archive.database.session() as session:
        lock_writers(session)
        done = _extracted(session, curation)
        if done is not None:  # by somebody else, in the meantime
            return done
        _Rows(session, curation, result.info).add_all(accepted, measures)
    message = f"Extracted {curation}: {result.unit_count} masks, {int(accepted.sum())} accepted"
    _log.info(message)
    return Extracted(curation, True, result.unit_count, message)


def _extracted(session: Session, curation: CurationKey) -> Extracted | None:
    done = find(session, m.Segmentation, **curation.columns)
    if done is None:
        return None
    masks = session.scalar(select(func.count()).where(col(m.Mask.segmentation_pk) == done.id))
    return Extracted(curation, False, masks or 0, f"Unchanged: {curation} was extracted already")


def _accepted(session: Session, curation: m.Curation) -> NDArray[np.bool_]:
    units = select(m.CurationUnit).filter_by(curation_pk=curation.id).order_by(col(m.CurationUnit.unit_id))
    return np.array([unit.accepted for unit in session.scalars(units)], bool)


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


def _measure(result: ProcessingResult, progress: Progress) -> _Measures:
    """Read and measure everything the rows need, so that none is written when the store fails."""
    metrics = {name: values for name in _METRICS if (values := result.optional(name)) is not None}
    skewness, variance = np.empty(result.unit_count), np.empty(result.unit_count)
    fluorescence = result.array("fluorescence")
    # A long recording must not need more memory than a short one.
    step = max(1, min(_UNITS_AT_ONCE, _VALUES_AT_ONCE // result.frame_count))
    for start in range(0, result.unit_count, step):
        units = slice(start, min(start + step, result.unit_count))
        skewness[units], variance[units] = skewness_and_variance(np.asarray(fluorescence[units]))
        progress("extraction", units.stop, result.unit_count)
    ranges = result.optional("block_ranges_px")
    return _Measures(
        geometry=measure_masks(result.footprints, result.shape),
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


class _Rows:
    """Adds the rows of one curation, parents before children."""

    def __init__(self, session: Session, curation: CurationKey, info: ResultInfo) -> None:
        self._session = session
        self._info = info
        self._curation = get(session, m.Curation, **curation.columns)
        self._arrays = stored_arrays(session, publication_of(session, curation.task))
        self._channel = get(session, m.Channel, channel=_CHANNEL)
        self._segmentation = self._flushed(make(m.Segmentation, curation_pk=self._curation.id))

    def add_all(self, accepted: NDArray[np.bool_], measures: _Measures) -> None:
        self._add_motion_correction(measures)
        masks = self._add_masks(measures.geometry)
        self._add_classification(masks, classify_masks(measures.geometry, accepted, self._info.cell_diameter_px))
        traces = self._add_fluorescence(masks)
        self._add_activity(traces, "activity", self._info.activity_method)
        for name in ("dff", "detrended"):
            if name in self._arrays:
                self._add_activity(traces, name, f"{self._info.method}_{name}")
        self._add_quality(masks, measures)

    def _flushed(self, row: m.Entity) -> Any:
        self._session.add(row)
        self._session.flush()
        return row

    def _array(self, name: str) -> StoredArray:
        return self._arrays[name]

    def _optional_pk(self, name: str) -> int | None:
        return self._arrays[name].id if name in self._arrays else None

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
                mask_npix=geometry.npix[unit],
                mask_center_y=geometry.center_px[unit, 0],
                mask_center_x=geometry.center_px[unit, 1],
                array_pk=self._array("footprints").id,
                array_row=unit,
            )
            for unit in range(self._info.unit_count)
        ]
        self._session.add_all(masks)
        self._session.flush()
        return masks

    def _add_classification(self, masks: list[m.Mask], types: list[str]) -> None:
        method = get(
            self._session,
            m.MaskClassificationMethod,
            mask_classification_method=f"{self._info.method}_default_classifier",
        )
        parent = self._flushed(
            make(m.MaskClassification, segmentation_pk=self._segmentation.id, mask_classification_method_pk=method.id)
        )
        type_pks = {row.mask_type: row.id for row in self._session.scalars(select(m.MaskType))}
        self._session.add_all(
            make(
                m.MaskClassificationType,
                mask_classification_pk=parent.id,
                mask_pk=mask.id,
                mask_type_pk=type_pks[mask_type],
            )
            for mask, mask_type in zip(masks, types, strict=True)
        )

    def _add_fluorescence(self, masks: list[m.Mask]) -> list[m.FluorescenceTrace]:
        parent = self._flushed(make(m.Fluorescence, curation_pk=self._curation.id))
        traces = [
            make(
                m.FluorescenceTrace,
                fluorescence_pk=parent.id,
                mask_pk=mask.id,
                fluorescence_channel_pk=self._channel.id,
                array_pk=self._array("fluorescence").id,
                array_row=mask.array_row,
                neuropil_fluorescence_pk=self._optional_pk("neuropil"),
                denoised_pk=self._optional_pk("traces"),
            )
            for mask in masks
        ]
        self._session.add_all(traces)
        self._session.flush()
        return traces

    def _add_activity(self, traces: list[m.FluorescenceTrace], array: str, method: str) -> None:
        row = get(self._session, m.ActivityExtractionMethod, extraction_method=method)
        parent = self._flushed(make(m.Activity, curation_pk=self._curation.id, activity_extraction_method_pk=row.id))
        stored = self._array(array)
        self._session.add_all(
            make(
                m.ActivityTrace,
                activity_pk=parent.id,
                fluorescence_trace_pk=trace.id,
                array_pk=stored.id,
                array_row=trace.array_row,
                unit=stored.unit,
            )
            for trace in traces
        )

    def _add_quality(self, masks: list[m.Mask], measures: _Measures) -> None:
        self._session.add_all(
            make(
                m.QualityMetrics,
                mask_pk=mask.id,
                npix=mask.mask_npix,
                **{name: values[mask.mask_id] for name, values in measures.metrics.items()},
            )
            for mask in masks
        )
