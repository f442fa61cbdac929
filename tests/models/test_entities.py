"""Every entity keeps the conventions, and no row is made that is not valid."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from miniscope_core import models as m
from miniscope_core.errors import EntityError
from miniscope_core.models import Entity, entities, make
from miniscope_core.models.base import table_of

ENTITIES = entities()


def test_every_entity_of_the_data_model_is_here() -> None:
    names = """
        Lab Location User Project Protocol Source Device AnatomicalLocation Species Strain Line Subject
        Session SessionExperimenter SessionDirectory AcquisitionSoftware Channel Recording RecordingLocation
        RecordingInfo RecordingFile RecordingTimestamps RecordingConfig HeadOrientation Note RecordingPart
        RecordingSignal
        ProcessingMethod ProcessingParamSet ProcessingTask Processing Curation CurationUnit
        CurationDraft MergedUnit Review
        MotionCorrection RigidMotionCorrection NonRigidMotionCorrection Block MotionCorrectionSummary
        Segmentation Mask MaskType MaskClassificationMethod MaskClassification MaskClassificationType
        Fluorescence FluorescenceTrace ActivityExtractionMethod Activity ActivityTrace QualityMetrics
        DatabaseIdentity Publication StoredArray
    """
    assert sorted(entity.__name__ for entity in ENTITIES) == sorted(names.split())


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.__name__)
def test_the_conventions_hold(entity: type[Entity]) -> None:
    table = table_of(entity)
    base: Any = getattr(m, f"{entity.__name__}Base")
    assert issubclass(entity, base)
    assert getattr(m, entity.__name__) is entity
    assert entity.__doc__
    assert entity.__doc__ == base.__doc__
    assert entity.natural_key
    unique = [
        tuple(c.name for c in rule.columns) for rule in table.constraints if isinstance(rule, sa.UniqueConstraint)
    ]
    assert entity.natural_key in unique
    for name in entity.natural_key:
        assert not table.c[name].nullable
    for name, field in entity.model_fields.items():
        assert field.description, f"{entity.__name__}.{name} has no description"
        assert name.endswith("_pk") == bool(table.c[name].foreign_keys)
        assert name not in base.model_fields or not name.endswith("_pk")
    for rule in table.constraints | table.indexes:
        assert len(str(rule.name)) <= 63  # of PostgreSQL; longer ones it cuts


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.__name__)
def test_only_what_hangs_on_a_curation_cascades(entity: type[Entity]) -> None:
    results = {"results", "curation"}
    for key in table_of(entity).foreign_keys:
        target = next(other for other in ENTITIES if table_of(other) is key.column.table)
        owned = (
            entity.__module__.rpartition(".")[2] in results
            and target.__module__.rpartition(".")[2] in results
            and not target.natural_key[0].endswith(("_type", "_method"))
            and key.parent.name not in ("parent_curation_pk", "answer_curation_pk")
        )
        assert key.ondelete == ("CASCADE" if owned else "RESTRICT"), f"{entity.__name__}.{key.parent.name}"


def test_an_unknown_field_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        EntityError, match=r"Subject is not valid: unknown field 'name', expected one of subject, nickname"
    ):
        make(m.Subject, subject="subject1", name="x")


def test_every_problem_is_told_in_one_line() -> None:
    with pytest.raises(EntityError) as caught:
        make(m.RecordingInfo, recording_pk=1, nframes=-1, px_height=10, fps=0)
    message = str(caught.value)
    assert "\n" not in message
    assert "nframes: got -1" in message
    assert "px_width is missing" in message
    assert "fps: got 0" in message
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", ["", " a", "a\n", "a/b", "a\tb", "x" * 256, 5, None])
def test_a_subject_is_named_by_one_plain_word_or_line(name: Any) -> None:
    with pytest.raises(EntityError, match="subject: got"):
        make(m.Subject, subject=name)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_a_database_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(EntityError, match="NUL"):
        make(m.Subject, subject="subject1", subject_description=text)


@pytest.mark.parametrize("path", ["a\\b", "../a", "a/../b"])
def test_a_stored_path_goes_forward_and_down(path: str) -> None:
    with pytest.raises(EntityError, match="session_dir"):
        make(m.SessionDirectory, session_pk=1, session_dir=path)


def test_a_path_is_stored_with_forward_slashes() -> None:
    assert make(m.SessionDirectory, session_pk=1, session_dir=Path("a") / "b").session_dir == "a/b"


def test_numpy_scalars_become_plain_numbers() -> None:
    values = {"mask_id": np.int64(3), "mask_npix": np.uint16(9), "array_row": np.int32(3)}
    centres = {"mask_center_y": np.float32(0.5), "mask_center_x": np.float64(1.5)}
    mask = make(m.Mask, segmentation_pk=1, segmentation_channel_pk=1, array_pk=1, **values, **centres)
    assert [type(getattr(mask, name)) for name in (*values, *centres)] == [int, int, int, float, float]


def test_what_is_not_a_number_is_none_and_infinity_stays() -> None:
    metrics = make(m.QualityMetrics, mask_pk=1, npix=1, snr=np.float32("inf"), r_value=np.float32("nan"))
    assert (metrics.snr, metrics.r_value) == (math.inf, None)


def test_a_number_beyond_its_column_is_refused() -> None:
    with pytest.raises(EntityError, match="mask_id"):
        make(m.CurationUnit, curation_pk=1, unit_id=0, accepted=True, mask_id=1)
    with pytest.raises(EntityError, match="unit_id: got 2147483648"):
        make(m.CurationUnit, curation_pk=1, unit_id=2**31, accepted=True)


def test_a_session_time_with_zone_is_refused_with_a_remedy() -> None:
    with pytest.raises(EntityError, match=r"without zone. Leave the zone out"):
        make(m.Session, subject_pk=1, session_datetime=datetime(2021, 1, 1, tzinfo=UTC))


def test_a_machine_time_needs_a_zone_and_becomes_utc() -> None:
    values = {"processing_pk": 1, "curation_id": 0, "curation_output_dir": "x", "manual_curation": False}
    with pytest.raises(EntityError, match=r"curation_time.*with its zone"):
        make(m.Curation, curation_time=datetime(2021, 1, 1), **values)
    moment = datetime(2021, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert make(m.Curation, curation_time=moment, **values).curation_time.isoformat() == "2021-01-01T00:00:00+00:00"


def test_text_of_a_csv_file_is_read_as_what_it_means() -> None:
    subject = make(m.Subject, subject="subject1", sex="F", subject_birth_date="2021-01-01")
    assert (subject.sex, subject.subject_birth_date) == (m.Sex.F, date(2021, 1, 1))
    with pytest.raises(EntityError, match=r"sex: got 'female'.*'M', 'F' or 'U'"):
        make(m.Subject, subject="subject1", sex="female")


def test_a_video_without_frame_count_is_refused_and_a_clock_is_not() -> None:
    values = {"recording_info_pk": 1, "file_id": 0, "file_path": "0.avi", "sha256": "0" * 64, "nbytes": 1}
    with pytest.raises(EntityError, match=r"nframes of the video 0.avi is missing"):
        make(m.RecordingFile, **values)
    assert make(m.RecordingFile, role="clock", **values).nframes is None


def test_more_accepted_than_found_is_refused() -> None:
    values = {"task_pk": 1, "publication_pk": 1, "package": "p", "method": "cnmfe"}
    with pytest.raises(EntityError, match="accepted_count: got 3, expected at most 2"):
        make(m.Processing, processing_time=datetime.now(UTC), unit_count=2, accepted_count=3, **values)


def test_half_a_claim_is_refused() -> None:
    with pytest.raises(EntityError, match="both claimed_by and claim_expires_at"):
        make(m.ProcessingTask, recording_info_pk=1, paramset_pk=1, claimed_by="run-1")


def test_an_array_in_json_is_refused() -> None:
    with pytest.raises(EntityError, match=r"content.*got ndarray"):
        make(m.RecordingConfig, recording_pk=1, name="metaData.json", content={"a": np.zeros(3)})


def test_what_the_caller_changes_later_is_not_in_the_row() -> None:
    content = {"a": [1]}
    row = make(m.RecordingConfig, recording_pk=1, name="metaData.json", content=content)
    content["a"].append(2)
    assert row.content == {"a": [1]}


def test_a_class_without_table_is_told() -> None:
    with pytest.raises(EntityError, match="SubjectBase has no table"):
        table_of(m.SubjectBase)
