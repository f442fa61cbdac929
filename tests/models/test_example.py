"""The workflow's own example goes in and comes back exactly, on both databases."""

from datetime import date
from typing import Any

import pytest
from sqlmodel import select

from miniscope_core import models as m
from miniscope_core.errors import ConflictError, EntityError, NotFoundError
from miniscope_core.models import describe_key, find, get, make, natural_select, param_set_hash, parse_key
from miniscope_core.storage.database import Database
from tests.models.example import DONE, HASH, OUTPUT, PARAMETERS, START, Example, add, insert_example

RECORDING = {"subject": "subject1", "session_datetime": START, "recording_id": 0}
CURATION = {**RECORDING, "paramset_id": 0, "curation_id": 0}


@pytest.fixture
def example(database: Database) -> Example:
    with database.session() as session:
        return insert_example(session)


def rows(database: Database, entity: type[m.Entity], **equal: Any) -> list[dict[str, Any]]:
    with database.session() as session:
        return [dict(row) for row in session.connection().execute(natural_select(entity, **equal)).mappings()]


ROWS: list[tuple[type[m.Entity], dict[str, Any]]] = [
    (m.Subject, {"subject": "subject1", "sex": "M", "subject_birth_date": date(2021, 1, 1), "species": None}),
    (m.Session, {"subject": "subject1", "session_datetime": START}),
    (m.SessionDirectory, {"session_dir": "subject1/session1"}),
    (
        m.Recording,
        {
            **RECORDING,
            "device": "UCLA Miniscope",
            "acquisition_software": "Miniscope-DAQ-V4",
            "recording_directory": "subject1/session1",
        },
    ),
    (
        m.RecordingInfo,
        {
            **RECORDING,
            "nchannels": 1,
            "nframes": 111_770,
            "px_height": 600,
            "px_width": 600,
            "um_height": None,
            "fps": 20.0,
            "gain": 2.0,
            "spatial_downsample": 1,
            "led_power": 5.0,
            "recording_datetime": None,
            "recording_duration": 5588.5,
        },
    ),
    (m.RecordingFile, {"file_id": 0, "file_path": "subject1/session1/0.avi", "nbytes": 40_000_000_000}),
    (
        m.ProcessingParamSet,
        {
            "paramset_id": 0,
            "processing_method": "caiman",
            "paramset_desc": "Calcium imaging analysis with CaImAn using default parameters",
            "param_set_hash": HASH,
            "params": PARAMETERS,
        },
    ),
    (m.ProcessingTask, {**RECORDING, "paramset_id": 0, "task_mode": "load", "processing_output_dir": OUTPUT}),
    (m.Processing, {"paramset_id": 0, "package": "caiman", "processing_time": DONE, "prefix": "processing/0"}),
    (
        m.Curation,
        {**CURATION, "manual_curation": False, "curation_output_dir": OUTPUT, "curation_time": DONE},
    ),
    (
        m.RigidMotionCorrection,
        {**CURATION, "y_std": 0.056, "x_std": 0.057, "shifts_name": "shifts_px", "outlier_frames_name": None},
    ),
    (
        m.MaskClassificationType,
        {
            **CURATION,
            "mask_id": 13,
            "mask_classification_method": "caiman_default_classifier",
            "mask_type": "soma",
            "confidence": None,
        },
    ),
    (m.QualityMetrics, {"mask_id": 13, "snr": float("inf"), "r_value": 0.9, "cnn_pred": None}),
    (m.FluorescenceTrace, {**CURATION, "mask_id": 13, "fluorescence_channel": 0, "array_prefix": "processing/0"}),
    (
        m.ActivityTrace,
        {**CURATION, "mask_id": 13, "extraction_method": "caiman_deconvolution", "array_name": "activity"},
    ),
]


def test_the_rows_of_the_example_come_back(database: Database, example: Example) -> None:
    for entity, expected in ROWS:
        (row,) = rows(database, entity)
        assert {name: row[name] for name in expected} == expected, entity


def test_the_hash_reproduces_from_what_the_database_gives_back(database: Database, example: Example) -> None:
    with database.session() as session:
        row = get(session, m.ProcessingParamSet, paramset_id=0)
    assert param_set_hash(row.params) == row.param_set_hash == HASH
    assert list(row.params) == list(PARAMETERS)


def test_masks_with_more_than_130_pixels_are_one_query_over_names(database: Database, example: Example) -> None:
    statement = natural_select(m.Mask, subject="subject1", curation_id=0)
    statement = statement.where(statement.selected_columns["mask_npix"] > 130)
    with database.session() as session:
        found = session.connection().execute(statement).mappings().all()
    assert [row["mask_id"] for row in found] == [13]


def test_rows_come_in_the_order_of_their_keys(database: Database, example: Example) -> None:
    assert [row["mask_id"] for row in rows(database, m.Mask)] == [2, 13]


def test_every_entity_can_be_selected_by_its_natural_key(database: Database, example: Example) -> None:
    for entity in m.entities():
        table = rows(database, entity)
        with database.session() as session:
            count = len(session.exec(select(entity)).all())
        assert len(table) == count, entity


def test_keys_are_printed_as_people_type_them(database: Database, example: Example) -> None:
    with database.session() as session:
        curation = session.get_one(m.Curation, example.curation)
        printed = describe_key(curation, session)
        assert printed == "subject1/2021-01-01T00:00:01/0/0/0"
        assert find(session, m.Curation, **parse_key(printed).columns) is curation
        assert describe_key(session.get_one(m.Mask, example.mask), session) == f"{printed}/13"
        assert describe_key(session.get_one(m.RecordingInfo, example.info), session) == "subject1/2021-01-01T00:00:01/0"
        pending = make(m.Curation, processing_pk=example.processing, curation_id=7, **_decision())
        assert describe_key(pending, session) == "subject1/2021-01-01T00:00:01/0/0/7"


def _decision() -> dict[str, Any]:
    return {"curation_time": DONE, "curation_output_dir": OUTPUT, "manual_curation": True}


def test_a_parent_curation_is_named_by_its_number(database: Database, example: Example) -> None:
    values = {"processing_pk": example.processing, "parent_curation_pk": example.curation, **_decision()}
    with database.session() as session:
        add(session, m.Curation, curation_id=1, **values)
    assert [row["parent_curation"] for row in rows(database, m.Curation)] == [None, 0]


def test_what_is_not_there_is_told_by_its_key(database: Database, example: Example) -> None:
    with database.session() as session:
        assert find(session, m.Recording, **{**RECORDING, "recording_id": 1}) is None
        with pytest.raises(
            NotFoundError, match=r"subject subject1, session_datetime 2021-01-01T00:00:01, recording_id 1"
        ):
            get(session, m.Recording, **{**RECORDING, "recording_id": 1})


def test_half_a_key_that_fits_several_rows_is_refused(database: Database, example: Example) -> None:
    with database.session() as session, pytest.raises(EntityError, match="got several"):
        get(session, m.Mask, subject="subject1")


def test_a_column_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(EntityError, match=r"no column 'npix'.*mask_npix"):
        natural_select(m.Mask, npix=3)


def test_a_value_of_none_selects_what_is_absent(database: Database, example: Example) -> None:
    assert len(rows(database, m.QualityMetrics, cnn_pred=None)) == 1
    assert rows(database, m.QualityMetrics, r_value=None) == []


@pytest.mark.parametrize("content", [{"ROI": {"width": 608}}, [1, "a", None], "animal\tmouse", 3.5])
def test_a_metadata_file_of_any_form_is_kept_whole(sqlite_database: Database, content: Any) -> None:
    with sqlite_database.session() as session:
        recording = insert_example(session).recording
        add(session, m.RecordingConfig, recording_pk=recording, name="metaData.json", content=content)
    assert [row["content"] for row in rows(sqlite_database, m.RecordingConfig)] == [content]


def test_ids_are_given_on_request(database: Database, example: Example) -> None:
    with database.session() as session:
        (row,) = session.connection().execute(natural_select(m.Segmentation, with_ids=True)).mappings()
    assert (row["id"], row["curation_pk"]) == (example.segmentation, example.curation)


def test_a_parameter_set_is_there_once_per_method(database: Database, example: Example) -> None:
    def again(method: str) -> None:
        with database.session() as session:
            method_pk = get(session, m.ProcessingMethod, processing_method=method).id
            values = {"paramset_id": 1, "param_set_hash": HASH, "params": PARAMETERS}
            add(session, m.ProcessingParamSet, processing_method_pk=method_pk, **values)

    with pytest.raises(ConflictError):
        again("caiman")
    again("cnmfe")


def test_deleting_a_curation_takes_its_results_and_nothing_else(database: Database, example: Example) -> None:
    with database.session() as session:
        add(session, m.CurationUnit, curation_pk=example.curation, unit_id=13, accepted=True)
        session.delete(session.get_one(m.Curation, example.curation))
    for entity in (m.CurationUnit, m.Mask, m.MaskClassificationType, m.ActivityTrace, m.QualityMetrics):
        assert rows(database, entity) == []
    assert len(rows(database, m.Processing)) == 1
    assert len(rows(database, m.StoredArray)) == 4


@pytest.mark.parametrize("entity", [m.Processing, m.Recording, m.Publication, m.StoredArray])
def test_what_others_refer_to_cannot_be_deleted(database: Database, example: Example, entity: type[m.Entity]) -> None:
    def delete() -> None:
        with database.session() as session:
            session.delete(session.exec(select(entity)).first())

    with pytest.raises(ConflictError):
        delete()


def test_numbers_that_are_not_numbers_do_not_pass_a_threshold(database: Database, example: Example) -> None:
    # PostgreSQL has NaN above every number; stored as such, an unmeasured unit would be the best one.
    with database.session() as session:
        metrics = session.exec(select(m.QualityMetrics)).one()
        metrics.snr = float("nan")  # by assignment, which does not validate
    with database.session() as session:
        assert session.exec(select(m.QualityMetrics).where(m.QualityMetrics.snr > 3)).all() == []  # type: ignore[operator]
        assert session.exec(select(m.QualityMetrics)).one().snr is None


def test_a_claim_without_an_end_is_refused_by_the_database_too(database: Database, example: Example) -> None:
    def claim() -> None:
        with database.session() as session:
            session.get_one(m.ProcessingTask, example.task).claimed_by = "run-1"

    with pytest.raises(ConflictError):
        claim()
