"""The results under a curation: motion correction, masks, classification, fluorescence, activity, quality.

Rows hold scalars and the address of their array; per-unit rows name the row of the (unit, …) array too.
Deleting a curation deletes these rows; nothing else cascades, and no array goes with them.
"""

from enum import StrEnum
from typing import ClassVar

from sqlmodel import Field

from miniscope_core.models.base import Entity, foreign_key, primary_key
from miniscope_core.models.types import Count, Measure, MeasureColumn, Name, RowId


# -- motion correction ------------------------------------------------------------------------------------
class MotionCorrectionBase(Entity):
    """Motion correction of a recording, as the curated processing did it."""

    natural_key: ClassVar[tuple[str, ...]] = ("curation_pk",)


class MotionCorrection(MotionCorrectionBase, table=True):
    """Motion correction of a recording, as the curated processing did it."""

    id: RowId = primary_key()
    curation_pk: int = foreign_key("curation", "The curation", on_delete="CASCADE")
    motion_correct_channel_pk: int = foreign_key("channel", "Channel the shifts were estimated on")


class RigidMotionCorrectionBase(Entity):
    """One shift per frame."""

    natural_key: ClassVar[tuple[str, ...]] = ("motion_correction_pk",)
    y_std: Measure = Field(sa_type=MeasureColumn, description="Standard deviation of the shifts along y, px")
    x_std: Measure = Field(sa_type=MeasureColumn, description="Standard deviation of the shifts along x, px")


class RigidMotionCorrection(RigidMotionCorrectionBase, table=True):
    """One shift per frame."""

    id: RowId = primary_key()
    motion_correction_pk: int = foreign_key("motion_correction", "Whose shifts these are", on_delete="CASCADE")
    shifts_pk: int = foreign_key("stored_array", "(frame, 2): (dy, dx), the correction applied, px")
    outlier_frames_pk: int | None = foreign_key("stored_array", "Frames whose shift was replaced", optional=True)


class NonRigidMotionCorrectionBase(Entity):
    """One shift per frame and block of the image."""

    natural_key: ClassVar[tuple[str, ...]] = ("motion_correction_pk",)
    block_height: Count = Field(ge=1, description="Height of a block, px")
    block_width: Count = Field(ge=1, description="Width of a block, px")
    block_count_y: Count = Field(ge=1, description="Blocks along y")
    block_count_x: Count = Field(ge=1, description="Blocks along x")


class NonRigidMotionCorrection(NonRigidMotionCorrectionBase, table=True):
    """One shift per frame and block of the image."""

    id: RowId = primary_key()
    motion_correction_pk: int = foreign_key("motion_correction", "Whose shifts these are", on_delete="CASCADE")
    outlier_frames_pk: int | None = foreign_key("stored_array", "Frames whose shift was replaced", optional=True)


class BlockBase(Entity):
    """One block of a piece-wise motion correction."""

    natural_key: ClassVar[tuple[str, ...]] = ("non_rigid_motion_correction_pk", "block_id")
    checks: ClassVar[dict[str, str]] = {
        "range_y": "block_y_start < block_y_stop",
        "range_x": "block_x_start < block_x_stop",
    }
    block_id: Count = Field(description="Number of the block, from 0")
    block_y_start: Count = Field(description="First row, px")
    block_y_stop: Count = Field(description="Row after the last, px")
    block_x_start: Count = Field(description="First column, px")
    block_x_stop: Count = Field(description="Column after the last, px")
    array_index: Count = Field(description="Index of the block in the (block, frame, 2) array")
    y_std: Measure = Field(sa_type=MeasureColumn, description="Standard deviation of the shifts along y, px")
    x_std: Measure = Field(sa_type=MeasureColumn, description="Standard deviation of the shifts along x, px")


class Block(BlockBase, table=True):
    """One block of a piece-wise motion correction."""

    id: RowId = primary_key()
    non_rigid_motion_correction_pk: int = foreign_key(
        "non_rigid_motion_correction", "The piece-wise correction", on_delete="CASCADE"
    )
    shifts_pk: int = foreign_key("stored_array", "(block, frame, 2): (dy, dx), the correction applied, px")


class MotionCorrectionSummaryBase(Entity):
    """Images that summarise the corrected movie, each (height, width)."""

    natural_key: ClassVar[tuple[str, ...]] = ("motion_correction_pk",)


class MotionCorrectionSummary(MotionCorrectionSummaryBase, table=True):
    """Images that summarise the corrected movie, each (height, width)."""

    id: RowId = primary_key()
    motion_correction_pk: int = foreign_key("motion_correction", "Whose images these are", on_delete="CASCADE")
    ref_image_pk: int = foreign_key("stored_array", "Template frames were aligned to")
    average_image_pk: int = foreign_key("stored_array", "Mean over time")
    correlation_image_pk: int | None = foreign_key("stored_array", "Local correlation", optional=True)
    max_proj_image_pk: int | None = foreign_key("stored_array", "Maximum over time", optional=True)
    pnr_image_pk: int | None = foreign_key("stored_array", "Peak-to-noise ratio", optional=True)


# -- segmentation and classification ----------------------------------------------------------------------
class SegmentationBase(Entity):
    """The masks of a curation, together."""

    natural_key: ClassVar[tuple[str, ...]] = ("curation_pk",)


class Segmentation(SegmentationBase, table=True):
    """The masks of a curation, together."""

    id: RowId = primary_key()
    curation_pk: int = foreign_key("curation", "The curation", on_delete="CASCADE")


class MaskBase(Entity):
    """The footprint of one unit."""

    natural_key: ClassVar[tuple[str, ...]] = ("segmentation_pk", "mask_id")
    mask_id: Count = Field(description="Number of the unit in the processing, from 0")
    mask_npix: Count = Field(description="Pixels with weight")
    mask_center_y: Measure = Field(sa_type=MeasureColumn, description="Centre of mass, row, px")
    mask_center_x: Measure = Field(sa_type=MeasureColumn, description="Centre of mass, column, px")
    mask_center_z: Measure = Field(default=None, sa_type=MeasureColumn, description="Focal plane, where there are many")
    array_row: Count = Field(description="Row of the footprint in the (unit, pixel) array")


class Mask(MaskBase, table=True):
    """The footprint of one unit."""

    id: RowId = primary_key()
    segmentation_pk: int = foreign_key("segmentation", "The masks it belongs to", on_delete="CASCADE")
    segmentation_channel_pk: int = foreign_key("channel", "Channel it was found on")
    array_pk: int = foreign_key("stored_array", "Footprints, sparse (unit, height·width), C order")


class MaskKind(StrEnum):
    """What a mask can be; the lookup table :class:`MaskType` has a row for each."""

    SOMA = "soma"
    AXON = "axon"
    DENDRITE = "dendrite"
    NEUROPIL = "neuropil"
    ARTEFACT = "artefact"
    UNKNOWN = "unknown"


class MaskTypeBase(Entity):
    """What a mask can be."""

    natural_key: ClassVar[tuple[str, ...]] = ("mask_type",)
    mask_type: Name = Field(description="soma, axon, dendrite, neuropil, artefact or unknown")


class MaskType(MaskTypeBase, table=True):
    """What a mask can be."""

    id: RowId = primary_key()


class MaskClassificationMethodBase(Entity):
    """A way to tell what a mask is."""

    natural_key: ClassVar[tuple[str, ...]] = ("mask_classification_method",)
    mask_classification_method: Name = Field(description="Name of the method")
    description: str = Field(default="", description="What it goes by")


class MaskClassificationMethod(MaskClassificationMethodBase, table=True):
    """A way to tell what a mask is."""

    id: RowId = primary_key()


class MaskClassificationBase(Entity):
    """The masks of a curation, classified by one method."""

    natural_key: ClassVar[tuple[str, ...]] = ("segmentation_pk", "mask_classification_method_pk")


class MaskClassification(MaskClassificationBase, table=True):
    """The masks of a curation, classified by one method."""

    id: RowId = primary_key()
    segmentation_pk: int = foreign_key("segmentation", "The masks", on_delete="CASCADE")
    mask_classification_method_pk: int = foreign_key("mask_classification_method", "The method")


class MaskClassificationTypeBase(Entity):
    """What one mask is, by one method (DataJoint: MaskClassification.MaskType)."""

    natural_key: ClassVar[tuple[str, ...]] = ("mask_classification_pk", "mask_pk")
    confidence: Measure = Field(default=None, sa_type=MeasureColumn, description="Of the method; none if it gives none")


class MaskClassificationType(MaskClassificationTypeBase, table=True):
    """What one mask is, by one method (DataJoint: MaskClassification.MaskType)."""

    id: RowId = primary_key()
    mask_classification_pk: int = foreign_key("mask_classification", "The classification", on_delete="CASCADE")
    mask_pk: int = foreign_key("mask", "The mask", on_delete="CASCADE", index=True)
    mask_type_pk: int = foreign_key("mask_type", "What it is")


# -- traces -----------------------------------------------------------------------------------------------
class FluorescenceBase(Entity):
    """The fluorescence traces of a curation, together."""

    natural_key: ClassVar[tuple[str, ...]] = ("curation_pk",)


class Fluorescence(FluorescenceBase, table=True):
    """The fluorescence traces of a curation, together."""

    id: RowId = primary_key()
    curation_pk: int = foreign_key("curation", "The curation", on_delete="CASCADE")


class FluorescenceTraceBase(Entity):
    """The fluorescence of one mask as extracted, before any denoising."""

    natural_key: ClassVar[tuple[str, ...]] = ("fluorescence_pk", "mask_pk", "fluorescence_channel_pk")
    array_row: Count = Field(description="Row of the unit in the (unit, frame) arrays")


class FluorescenceTrace(FluorescenceTraceBase, table=True):
    """The fluorescence of one mask as extracted, before any denoising."""

    id: RowId = primary_key()
    fluorescence_pk: int = foreign_key("fluorescence", "The traces it belongs to", on_delete="CASCADE")
    mask_pk: int = foreign_key("mask", "The mask", on_delete="CASCADE", index=True)
    fluorescence_channel_pk: int = foreign_key("channel", "Channel of the trace")
    array_pk: int = foreign_key("stored_array", "Fluorescence as extracted: trace plus residual, (unit, frame)")
    neuropil_fluorescence_pk: int | None = foreign_key(
        "stored_array", "Background under each mask, (unit, frame)", optional=True
    )
    denoised_pk: int | None = foreign_key("stored_array", "Denoised traces, (unit, frame)", optional=True)


class ActivityExtractionMethodBase(Entity):
    """A way to infer activity from fluorescence."""

    natural_key: ClassVar[tuple[str, ...]] = ("extraction_method",)
    extraction_method: Name = Field(description="Name of the method")
    description: str = Field(default="", description="What it computes, and in which unit")


class ActivityExtractionMethod(ActivityExtractionMethodBase, table=True):
    """A way to infer activity from fluorescence."""

    id: RowId = primary_key()


class ActivityBase(Entity):
    """The activity traces of a curation by one method, together."""

    natural_key: ClassVar[tuple[str, ...]] = ("curation_pk", "activity_extraction_method_pk")


class Activity(ActivityBase, table=True):
    """The activity traces of a curation by one method, together."""

    id: RowId = primary_key()
    curation_pk: int = foreign_key("curation", "The curation", on_delete="CASCADE")
    activity_extraction_method_pk: int = foreign_key("activity_extraction_method", "The method")


class ActivityTraceBase(Entity):
    """The activity of one unit."""

    natural_key: ClassVar[tuple[str, ...]] = ("activity_pk", "fluorescence_trace_pk")
    unit: str = Field(min_length=1, description="Unit of the values; 1 if they have none")
    array_row: Count = Field(description="Row of the unit in the (unit, frame) array")


class ActivityTrace(ActivityTraceBase, table=True):
    """The activity of one unit."""

    id: RowId = primary_key()
    activity_pk: int = foreign_key("activity", "The traces it belongs to", on_delete="CASCADE")
    fluorescence_trace_pk: int = foreign_key(
        "fluorescence_trace", "The trace it was inferred from", on_delete="CASCADE", index=True
    )
    array_pk: int = foreign_key("stored_array", "Activity, (unit, frame)")


# -- quality ----------------------------------------------------------------------------------------------
class QualityMetricsBase(Entity):
    """How good one unit is. What was not measured is none."""

    natural_key: ClassVar[tuple[str, ...]] = ("mask_pk",)
    snr: Measure = Field(default=None, sa_type=MeasureColumn, description="Peak signal-to-noise ratio of the trace")
    r_value: Measure = Field(
        default=None, sa_type=MeasureColumn, description="Correlation of the footprint with the movie at its events"
    )
    cnn_pred: Measure = Field(default=None, sa_type=MeasureColumn, description="Classifier's probability of a cell")
    skewness: Measure = Field(default=None, sa_type=MeasureColumn, description="Skewness of the fluorescence")
    variance: Measure = Field(
        default=None, sa_type=MeasureColumn, description="Variance of the fluorescence, its unit squared"
    )
    npix: Count = Field(description="Pixels with weight")
    baseline: Measure = Field(default=None, sa_type=MeasureColumn, description="Fluorescence without activity")
    noise: Measure = Field(default=None, sa_type=MeasureColumn, description="Standard deviation of the noise")
    decay_time_s: Measure = Field(default=None, sa_type=MeasureColumn, description="Fitted decay of the indicator, s")


class QualityMetrics(QualityMetricsBase, table=True):
    """How good one unit is. What was not measured is none."""

    id: RowId = primary_key()
    mask_pk: int = foreign_key("mask", "The mask", on_delete="CASCADE")
