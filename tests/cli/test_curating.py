"""``miniscope curate``: decisions by options are versions; what makes no sense is refused before anything is done."""

import pytest

from miniscope_core.cli.curating import unit_list
from miniscope_core.curation.policies import Manual
from miniscope_core.errors import ParameterError
from miniscope_core.models import ReviewState, TaskKey
from miniscope_core.pipeline import engines
from miniscope_core.pipeline.curate import curate_processing
from miniscope_core.pipeline.ingest import ingest_recording
from miniscope_core.pipeline.process import add_parameter_set, add_task, process_recording
from miniscope_core.pipeline.reviews import request_review, review_status
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import StandIn, snapshot, write_session
from tests.cli.conftest import MiniscopeProgram


@pytest.fixture
def task(home: object, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> TaskKey:
    """Process a recording by the stand-in engine: six units, all but number 1 accepted."""
    monkeypatch.setitem(engines.ENGINES, "cnmfe", lambda settings: StandIn())
    with Archive.open(Settings()) as archive:
        recording = ingest_recording(archive, write_session(tmp_path_factory.mktemp("raw"))).key
        key = add_task(archive, recording, add_parameter_set(archive, "cnmfe", {}))
        process_recording(archive, key)
        curate_processing(archive, key)
    return key


def accepted(key: str) -> list[int]:
    with Workspace() as workspace:
        masks = workspace.masks(key)
    return list(masks.mask_id[masks.accepted])


def test_decisions_are_applied_and_extracted(miniscope: MiniscopeProgram, task: TaskKey) -> None:
    options = ("--reject", "3-4", "--accept", "1", "--type", "soma:0,1", "--merge", "0,2", "--note", "as seen")
    done = miniscope("curate", task, *options, "--by", "a curator")
    assert done.status == 0, done.err
    assert f"Curated {task}/1 by a curator: 3 of 5 units accepted" in done.out
    assert "Extracted" in done.out
    assert accepted(f"{task}/1") == [1, 5, 6]
    with Workspace() as workspace:
        row = workspace.fetch1("Curation", f"{task}/1")
        assert (row["curation_note"], row["parent_curation"]) == ("as seen", 0)
        assert workspace.masks(f"{task}/1").set_index("mask_id").mask_type[1] == "soma"
    again = miniscope("curate", f"{task}/1", "--split", "6")
    assert again.status == 0, again.err
    assert accepted(f"{task}/2") == [0, 1, 2, 5]


def test_bounds_and_rejecting_all_are_decisions_too(miniscope: MiniscopeProgram, task: TaskKey) -> None:
    assert miniscope("curate", task, "--min-npix", 100, "--accept", 3).status == 0
    assert accepted(f"{task}/1") == [0, 1, 2, 3, 5]
    assert miniscope("curate", task, "--reject-all").status == 0
    assert accepted(f"{task}/2") == []


def test_a_decision_answers_a_review(miniscope: MiniscopeProgram, task: TaskKey) -> None:
    with Archive.open(Settings()) as archive:
        review = request_review(archive, task, Manual())
    assert "review" in miniscope("status").out
    assert miniscope("curate", task, "--as-is").status == 0
    with Archive.open(Settings()) as archive:
        status = review_status(archive, task, review.review_id)
    assert (status.state, str(status.answer)) == (ReviewState.ANSWERED, f"{task}/1")
    assert "review" not in miniscope("status").out


def test_two_curations_are_compared(miniscope: MiniscopeProgram, task: TaskKey) -> None:
    assert miniscope("curate", task, "--reject", "0", "--merge", "2,3").status == 0
    shown = miniscope("curate", f"{task}/0", "--diff", f"{task}/1")
    assert shown.out.splitlines() == [
        "unit 0: accepted → rejected",
        "unit 2: accepted → part of 6",
        "unit 3: accepted → part of 6",
        "unit 6: not there → accepted, merged from 2+3",
        "4 units differ",
    ]
    assert "No unit differs" in miniscope("curate", f"{task}/0", "--diff", f"{task}/0").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reject", "9"), "No unit 9"),
        (("--reject", "x"), "expected numbers and ranges"),
        (("--type", "cell:1"), "expected one of soma"),
        (("--merge", "3"), "at least two"),
        (("--split", "0"), "was not merged"),
        (("--as-is", "--reject-all"), "contradict"),
        (("--accept-engine", "--reject", "0"), "contradict"),
        (("--min-npix", "9", "--max-npix", "3"), "no unit fits both"),
        (("--min-cnn-pred", "0.5"), "no cnn_pred"),
        (("--reject", "0", "--by", " "), "--by"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_no_version(
    miniscope: MiniscopeProgram, task: TaskKey, options: tuple[str, ...], message: str
) -> None:
    with Archive.open(Settings()) as archive:
        before = snapshot(archive)
    refused = miniscope("curate", task, *options)
    assert refused.status == 1
    assert message in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    with Archive.open(Settings()) as archive:
        assert snapshot(archive) == before


def test_a_decision_without_a_key_is_refused(miniscope: MiniscopeProgram, home: object) -> None:
    assert "needs the key" in miniscope("curate", "--reject", "0").err


def test_units_are_numbers_and_ranges() -> None:
    assert unit_list("--accept", "3, 7,10-12") == (3, 7, 10, 11, 12)
    for wrong in ("", "3,,4", "5-3", "-1", "1-99999999", "²"):
        with pytest.raises(ParameterError, match="--accept"):
            unit_list("--accept", wrong)
