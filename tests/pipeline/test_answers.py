"""Reviews that are answered by a form, closed by their time limit, or waited for in a process."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from miniscope_core import models as m
from miniscope_core.curation.decisions import Reject, accepted_units
from miniscope_core.curation.policies import Manual, Thresholds, decide
from miniscope_core.errors import CurationError, DatabaseError
from miniscope_core.models import CurationKey, ReviewState, TaskKey
from miniscope_core.pipeline import reviews
from miniscope_core.pipeline.answers import Answer, Verdict, answer_review, settle_review
from miniscope_core.pipeline.curate import decisions_of, submit_curation
from miniscope_core.pipeline.process import process_recording
from miniscope_core.pipeline.published import published_result
from miniscope_core.pipeline.reviews import (
    ReviewStatus,
    answer_of,
    close_overdue,
    close_reviews,
    request_review,
    review_of_policy,
    review_status,
    wait_for_answer,
    waiting_reviews,
)
from miniscope_core.storage.archive import Archive
from tests.archives import rows, snapshot

ANNA = "first curator"


@pytest.fixture
def asked(lite: Archive, lite_task: TaskKey) -> ReviewStatus:
    """Process a recording and let a run ask for a person's decision on it."""
    process_recording(lite, lite_task)
    return request_review(lite, lite_task, Manual(), run="a run")


def accepted(archive: Archive, curation: CurationKey | None) -> list[int]:
    assert curation is not None
    return accepted_units(decisions_of(archive, curation.task, curation))


def let_time_pass(archive: Archive, status: ReviewStatus) -> None:
    with archive.database.session() as session:
        row = m.get(session, m.Review, **status.task.columns, review_id=status.review_id)
        row.deadline = datetime.now(UTC) - timedelta(seconds=1)


# -- forms --------------------------------------------------------------------------------------------------
def test_what_decides_has_no_default() -> None:
    schema = Answer.model_json_schema()
    assert set(schema["required"]) == {"decision", "curator"}
    assert not {"default", "anyOf"} & schema["properties"]["decision"].keys()
    with pytest.raises(ValidationError):
        Answer()  # type: ignore[call-arg]


def test_accepting_as_is_keeps_what_the_review_starts_from_under_the_persons_name(
    lite: Archive, asked: ReviewStatus
) -> None:
    settled = settle_review(lite, asked, {"decision": "accept as is", "curator": f" {ANNA} ", "note": "fine"})
    assert (settled.status.state, settled.refusal, settled.runs) == (ReviewState.ANSWERED, "", ("a run",))
    assert accepted(lite, settled.status.answer) == accepted(lite, asked.start) != []
    *_, row = rows(lite, m.Curation)
    assert (row["curator"], row["curation_note"], row["manual_curation"]) == (ANNA, "fine", True)
    assert settled.status.answer != asked.start


def test_thresholds_of_a_form_accept_what_the_policy_of_that_name_accepts(lite: Archive, asked: ReviewStatus) -> None:
    settled = settle_review(lite, asked, {"decision": "thresholds", "curator": ANNA, "min_npix": 110})
    expected = decide(Thresholds(min_npix=110), published_result(lite, asked.task)).nonzero()[0].tolist()
    assert accepted(lite, settled.status.answer) == expected
    assert expected != accepted(lite, asked.start)


def test_rejecting_leaves_no_cell(lite: Archive, asked: ReviewStatus) -> None:
    settled = settle_review(lite, asked, {"decision": "reject all", "curator": ANNA})
    assert settled.status.state is ReviewState.ANSWERED
    assert accepted(lite, settled.status.answer) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "decision: Field required; curator: Field required"),
        ({"curator": ANNA}, "decision: Field required"),
        ({"decision": None, "curator": ANNA}, "decision: "),
        ({"decision": "perhaps", "curator": ANNA}, "decision: Input should be 'accept as is'"),
        ({"decision": "accept as is"}, "curator: Field required"),
        ({"decision": "accept as is", "curator": "  "}, "curator: "),
        ({"decision": "accept as is", "curator": ANNA, "min_snr": 3}, "min_snr given with"),
        ({"decision": "reject all", "curator": ANNA, "only_engine_accepted": True}, "only_engine_accepted given"),
        ({"decision": "thresholds", "curator": ANNA}, "expected at least one bound"),
        ({"decision": "thresholds", "curator": ANNA, "min_npix": 9, "max_npix": 8}, "no unit fits both"),
        ({"decision": "thresholds", "curator": ANNA, "min_snr": -1}, "min_snr: "),
        ({"decision": "thresholds", "curator": ANNA, "min_cnn_pred": 0.5}, "the result has no cnn_pred"),
        ({"decision": "as decided on the curation page", "curator": ANNA}, "Nobody submitted a decision"),
        ({"decision": "accept as is", "curator": ANNA, "more": 1}, "more: "),
    ],
    ids=str,
)
def test_form_that_cannot_be_taken_decides_nothing_and_says_why(
    lite: Archive, asked: ReviewStatus, given: dict[str, Any], reason: str
) -> None:
    before = snapshot(lite)
    settled = settle_review(lite, asked, given)
    assert reason in settled.refusal
    assert "\n" not in settled.refusal
    assert settled.status == asked
    assert snapshot(lite) == before


def test_looking_without_a_form_decides_nothing(lite: Archive, asked: ReviewStatus) -> None:
    before = snapshot(lite)
    assert settle_review(lite, asked).status == asked
    assert snapshot(lite) == before


def test_form_that_comes_after_a_persons_decision_changes_nothing(lite: Archive, asked: ReviewStatus) -> None:
    done = submit_curation(lite, asked.task, [Reject(unit_ids=(0,))], curator=ANNA, parent=asked.start)
    before = snapshot(lite)
    settled = settle_review(lite, asked, {"decision": "accept as is", "curator": "another"})
    assert (settled.status.answer, settled.refusal, settled.runs) == (done.key, "", ())
    assert snapshot(lite) == before


def test_answer_that_points_elsewhere_says_what_to_do(lite: Archive, asked: ReviewStatus) -> None:
    with pytest.raises(CurationError, match="submit it on the curation page first"):
        answer_review(lite, asked, Answer(decision=Verdict.SUBMITTED, curator=ANNA))


# -- time limits --------------------------------------------------------------------------------------------
def test_time_limit_of_one_review_answers_no_other(lite: Archive, asked: ReviewStatus) -> None:
    policy = Manual(time_limit_h=1, at_time_limit="reject_all")
    hurried = request_review(lite, asked.task, policy, run="hurried")
    let_time_pass(lite, hurried)
    [closed] = close_reviews(lite)
    assert (closed.run, closed.state, accepted(lite, closed.answer)) == ("hurried", ReviewState.ANSWERED, [])
    assert waiting_reviews(lite) == [asked]
    assert close_reviews(lite) == []


def test_review_that_cannot_be_closed_does_not_keep_the_others(
    lite: Archive, asked: ReviewStatus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for run in ("one", "two"):
        let_time_pass(lite, request_review(lite, asked.task, Manual(time_limit_h=1), run=run))

    def close(archive: Archive, status: ReviewStatus) -> ReviewStatus:
        if status.run == "one":
            raise CurationError("never thought of")
        return close_overdue(archive, status)

    monkeypatch.setattr(reviews, "close_overdue", close)
    assert [status.run for status in close_reviews(lite)] == ["two"]
    assert "never thought of" in caplog.text


def test_decision_that_comes_too_late_is_what_a_run_tried_again_finds(lite: Archive, asked: ReviewStatus) -> None:
    hurried = request_review(lite, asked.task, Manual(time_limit_h=1), run="hurried")
    let_time_pass(lite, hurried)
    [closed] = close_reviews(lite)
    with pytest.raises(CurationError, match=r"Nobody decided.*try the run again"):
        answer_of(closed)
    done = submit_curation(lite, asked.task, curator=ANNA, parent=asked.start)
    assert done.runs == ("a run", "hurried")
    assert answer_of(review_status(lite, asked.task, hurried.review_id)) == done.key


# -- without a run ------------------------------------------------------------------------------------------
def test_without_a_run_a_policy_asks_once_whatever_became_of_it(lite: Archive, asked: ReviewStatus) -> None:
    assert review_of_policy(lite, asked.task, Manual()) is None
    first = request_review(lite, asked.task, Manual())
    assert first.review_id != asked.review_id
    assert request_review(lite, asked.task, Manual()) == first == review_of_policy(lite, asked.task, Manual())
    done = submit_curation(lite, asked.task, curator=ANNA, parent=asked.start)
    again = request_review(lite, asked.task, Manual())
    assert (again.review_id, again.answer) == (first.review_id, done.key)
    other = request_review(lite, asked.task, Manual(time_limit_h=5))
    assert other.state is ReviewState.WAITING
    assert other.review_id != first.review_id


# -- waiting in the process ---------------------------------------------------------------------------------
def test_process_that_waits_goes_on_when_a_person_decided(lite: Archive, asked: ReviewStatus) -> None:
    looked = threading.Event()
    decided: list[CurationKey] = []

    def person() -> None:
        assert looked.wait(30)
        decided.append(submit_curation(lite, asked.task, curator=ANNA, parent=asked.start).key)

    thread = threading.Thread(target=person)
    thread.start()
    answer = wait_for_answer(lite, asked, poll_s=0.01, waiting=lambda _: looked.set())
    thread.join()
    assert [answer] == decided


def test_process_that_waits_ends_with_the_time_limit(lite: Archive, asked: ReviewStatus) -> None:
    hurried = request_review(lite, asked.task, Manual(time_limit_h=1))
    with pytest.raises(CurationError, match="Nobody decided"):
        wait_for_answer(lite, hurried, poll_s=0, waiting=lambda status: let_time_pass(lite, status))


def test_process_that_waits_outlives_a_database_that_is_away(
    lite: Archive, asked: ReviewStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [DatabaseError("busy")]
    errors[0].__cause__ = OperationalError("", {}, Exception("database is locked"))

    def close(archive: Archive, status: ReviewStatus) -> ReviewStatus:
        if errors:
            raise errors.pop()
        return close_overdue(archive, status)

    monkeypatch.setattr(reviews, "close_overdue", close)
    done = submit_curation(lite, asked.task, curator=ANNA, parent=asked.start)
    assert wait_for_answer(lite, asked, poll_s=0) == done.key
    errors.append(DatabaseError("another schema"))
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="another schema"):
        wait_for_answer(lite, asked)
    assert time.monotonic() - began < 30
