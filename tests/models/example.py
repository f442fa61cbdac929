"""The example of the DataJoint workflow for miniscopes, as its tables showed it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session

from miniscope_core import models as m
from miniscope_core.models import get, make, param_set_hash

PARAMETERS: Final[dict[str, Any]] = {
    "decay_time": 0.4,
    "pw_rigid": False,
    "max_shifts": (5, 5),
    "gSig_filt": (3, 3),
    "strides": (48, 48),
    "overlaps": (24, 24),
    "max_deviation_rigid": 3,
    "border_nan": "copy",
    "method_init": "corr_pnr",
    "K": None,
    "gSig": (3, 3),
    "gSiz": (13, 13),
    "merge_thr": 0.7,
    "p": 1,
    "tsub": 2,
    "ssub": 1,
    "rf": 40,
    "stride": 20,
    "only_init": True,
    "nb": 0,
    "nb_patch": 0,
    "method_deconvolution": "oasis",
    "low_rank_background": None,
    "update_background_components": True,
    "min_corr": 0.8,
    "min_pnr": 10,
    "normalize_init": False,
    "center_psf": True,
    "ssub_B": 2,
    "ring_size_factor": 1.4,
    "del_duplicates": True,
    "border_pix": 0,
    "min_SNR": 3,
    "rval_thr": 0.85,
    "use_cnn": False,
}
HASH: Final = UUID("7ebfca75-7997-82ce-c46b-f0cc28f69308")
START: Final = datetime(2021, 1, 1, 0, 0, 1)
DONE: Final = datetime(2021, 6, 1, 12, 0, 0, 250, tzinfo=UTC)
OUTPUT: Final = "subject1/session1/caiman"


@dataclass(frozen=True)
class Example:
    """Primary keys of the rows that the example consists of."""

    session: int
    recording: int
    info: int
    task: int
    processing: int
    curation: int
    segmentation: int
    mask: int
    traces: int
    activity: int


def add(session: Session, entity: type[m.Entity], **values: Any) -> int:
    """Insert a row and return its primary key."""
    row: Any = make(entity, **values)
    session.add(row)
    session.flush()
    return int(row.id)


def insert_example(session: Session) -> Example:
    """Insert subject1, its session, recording 0, parameter set 0, task, processing, curation 0 and mask 13."""
    subject = add(session, m.Subject, subject="subject1", sex="M", subject_birth_date=date(2021, 1, 1))
    at = add(session, m.Session, subject_pk=subject, session_datetime=START)
    add(session, m.SessionDirectory, session_pk=at, session_dir="subject1/session1")
    recording = add(
        session,
        m.Recording,
        session_pk=at,
        recording_id=0,
        device_pk=add(session, m.Device, device="UCLA Miniscope", modality="Calcium imaging"),
        acquisition_software_pk=get(session, m.AcquisitionSoftware, acquisition_software="Miniscope-DAQ-V4").id,
        recording_directory="subject1/session1",
    )
    info = _insert_info(session, recording)
    task, processing = _insert_processing(session, info)
    curation = add(
        session,
        m.Curation,
        processing_pk=processing,
        curation_id=0,
        curation_time=DONE,
        curation_output_dir=OUTPUT,
        manual_curation=False,
    )
    return Example(at, recording, info, task, processing, curation, *_insert_results(session, curation))


def _insert_info(session: Session, recording: int) -> int:
    info = add(
        session,
        m.RecordingInfo,
        recording_pk=recording,
        nchannels=1,
        nframes=111_770,
        ndepths=1,
        px_height=600,
        px_width=600,
        fps=20.0,
        gain=2.0,
        spatial_downsample=1,
        led_power=5.0,
        recording_duration=5588.5,
    )
    add(
        session,
        m.RecordingFile,
        recording_info_pk=info,
        file_id=0,
        file_path="subject1/session1/0.avi",
        nframes=111_770,
        sha256="ab" * 32,
        nbytes=40_000_000_000,
    )
    return info


def _insert_processing(session: Session, info: int) -> tuple[int, int]:
    paramset = add(
        session,
        m.ProcessingParamSet,
        paramset_id=0,
        processing_method_pk=get(session, m.ProcessingMethod, processing_method="caiman").id,
        paramset_desc="Calcium imaging analysis with CaImAn using default parameters",
        param_set_hash=param_set_hash(PARAMETERS),
        params=PARAMETERS,
    )
    task = add(
        session,
        m.ProcessingTask,
        recording_info_pk=info,
        paramset_pk=paramset,
        processing_output_dir=OUTPUT,
        task_mode="load",
    )
    publication = add(
        session,
        m.Publication,
        prefix="processing/0",
        kind="processing",
        object_count=12,
        nbytes=3_000_000_000,
        manifest_sha256="cd" * 32,
        created_at=DONE,
    )
    processing = add(
        session,
        m.Processing,
        task_pk=task,
        publication_pk=publication,
        processing_time=DONE,
        package="caiman",
        package_version="1.12.1",
        method="caiman",
        unit_count=20,
        accepted_count=14,
    )
    return task, processing


def stored(session: Session, name: str) -> int:
    """Insert an array of the example's publication."""
    return add(
        session,
        m.StoredArray,
        publication_pk=get(session, m.Publication, prefix="processing/0").id,
        name=name,
        shape=[111_770, 2],
        dtype="float32",
        unit="px",
        axes=["frame", "yx"],
    )


def _insert_results(session: Session, curation: int) -> tuple[int, int, int, int]:
    channel = get(session, m.Channel, channel=0).id
    motion = add(session, m.MotionCorrection, curation_pk=curation, motion_correct_channel_pk=channel)
    add(
        session,
        m.RigidMotionCorrection,
        motion_correction_pk=motion,
        shifts_pk=stored(session, "shifts_px"),
        y_std=0.056,
        x_std=0.057,
    )
    segmentation = add(session, m.Segmentation, curation_pk=curation)
    footprints = stored(session, "footprints")
    masks = [
        add(
            session,
            m.Mask,
            segmentation_pk=segmentation,
            mask_id=mask_id,
            segmentation_channel_pk=channel,
            mask_npix=npix,
            mask_center_y=120.5,
            mask_center_x=33.25,
            array_pk=footprints,
            array_row=mask_id,
        )
        for mask_id, npix in ((13, 140), (2, 130))
    ]
    method = get(session, m.MaskClassificationMethod, mask_classification_method="caiman_default_classifier").id
    add(
        session,
        m.MaskClassificationType,
        mask_classification_pk=add(
            session, m.MaskClassification, segmentation_pk=segmentation, mask_classification_method_pk=method
        ),
        mask_pk=masks[0],
        mask_type_pk=get(session, m.MaskType, mask_type="soma").id,
        confidence=float("nan"),
    )
    add(session, m.QualityMetrics, mask_pk=masks[0], snr=float("inf"), r_value=0.9, npix=140)
    trace = add(
        session,
        m.FluorescenceTrace,
        fluorescence_pk=add(session, m.Fluorescence, curation_pk=curation),
        mask_pk=masks[0],
        fluorescence_channel_pk=channel,
        array_pk=stored(session, "fluorescence"),
        array_row=13,
    )
    activity = add(
        session,
        m.ActivityTrace,
        activity_pk=add(
            session,
            m.Activity,
            curation_pk=curation,
            activity_extraction_method_pk=get(
                session, m.ActivityExtractionMethod, extraction_method="caiman_deconvolution"
            ).id,
        ),
        fluorescence_trace_pk=trace,
        array_pk=stored(session, "activity"),
        array_row=13,
        unit="a.u.",
    )
    return segmentation, masks[0], trace, activity
