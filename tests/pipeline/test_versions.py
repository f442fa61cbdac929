"""Curations by people: versions, drafts, merged units and their rows, reviews."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from miniscope_core import models as m
from miniscope_core.curation.decisions import Accept, Edit, Merge, Reject, SetType, Split, differences
from miniscope_core.curation.merging import merge_units
from miniscope_core.curation.policies import Manual, Thresholds
from miniscope_core.errors import CurationError, DraftError, NotFoundError, StoreError
from miniscope_core.models import CurationKey, MaskKind, ReviewState, TaskKey
from miniscope_core.pipeline import merges
from miniscope_core.pipeline.curate import curate_processing, decisions_of, submit_curation
from miniscope_core.pipeline.drafts import (
    discard_draft,
    edit_draft,
    find_draft,
    open_draft,
    redo_draft,
    submit_draft,
    undo_draft,
)
from miniscope_core.pipeline.extract import extract_traces
from miniscope_core.pipeline.merges import number_of_merge, publish_merges
from miniscope_core.pipeline.process import process_recording
from miniscope_core.pipeline.reviews import (
    answer_of,
    close_overdue,
    request_review,
    review_of_run,
    review_status,
    waiting_reviews,
)
from miniscope_core.storage.archive import Archive
from miniscope_core.workspace import Workspace
from tests.archives import rows, snapshot

ANNA, BORIS = "first curator", "second curator"


# -- versions -----------------------------------------------------------------------------------------------
def test_a_persons_curation_is_the_next_version_and_names_its_parent(archive: Archive, curation: CurationKey) -> None:
    before = rows(archive, m.CurationUnit)
    done = submit_curation(
        archive,
        curation.task,
        [Reject(unit_ids=(0,)), SetType(unit_ids=(2,), mask_type=MaskKind.DENDRITE)],
        curator=ANNA,
        parent=curation,
        note="first is a vessel",
    )
    assert (done.key.curation_id, done.unit_count, done.accepted_count, done.newer) == (1, 6, 4, ())
    _, row = rows(archive, m.Curation)
    assert (row["manual_curation"], row["curator"], row["curation_note"]) == (True, ANNA, "first is a vessel")
    assert row["parent_curation"] == 0
    changed = differences(*(decisions_of(archive, curation.task, key) for key in (curation, done.key)))
    assert [change.unit_id for change in changed] == [0, 2]
    assert rows(archive, m.CurationUnit)[:6] == before


def test_two_people_who_save_at_once_get_two_versions_and_the_second_is_told(
    archive: Archive, curation: CurationKey
) -> None:
    first = submit_curation(archive, curation.task, [Reject(unit_ids=(0,))], curator=ANNA, parent=curation)
    second = submit_curation(archive, curation.task, [Reject(unit_ids=(2,))], curator=BORIS, parent=curation)
    assert first.newer == ()
    assert second.newer == (f"{first.key} by {ANNA}",)
    assert str(first.key) in second.message
    assert decisions_of(archive, curation.task, first.key)[2].accepted


def test_a_parent_of_another_processing_is_refused(lite: Archive, lite_curation: CurationKey) -> None:
    other = lite_curation.task.model_copy(update={"paramset_id": 7})
    with pytest.raises(CurationError, match="is not of"):
        submit_curation(lite, other, curator=ANNA, parent=lite_curation)


def test_automatic_policies_are_versions_beside_each_other(lite: Archive, lite_curation: CurationKey) -> None:
    by_size = curate_processing(lite, lite_curation.task, Thresholds(min_npix=100))
    assert (by_size.key.curation_id, by_size.accepted_count) == (1, 4)
    assert not curate_processing(lite, lite_curation.task, Thresholds(min_npix=100)).changed
    assert not curate_processing(lite, lite_curation.task).changed


def test_manual_policy_is_refused_where_nobody_can_wait(lite: Archive, lite_curation: CurationKey) -> None:
    with pytest.raises(CurationError, match="miniscope curate"):
        curate_processing(lite, lite_curation.task, Manual())


# -- merged units -------------------------------------------------------------------------------------------
def test_the_same_members_have_one_number_and_one_publication(archive: Archive, curation: CurationKey) -> None:
    task = curation.task
    assert number_of_merge(archive, task, (3, 0)) == 6
    assert number_of_merge(archive, task, (1, 2)) == 7
    merge = Merge(unit_ids=(3, 0), into=4)  # what it says is not believed
    first = submit_curation(archive, task, [merge], curator=ANNA, parent=curation)
    published = rows(archive, m.Publication)
    second = submit_curation(archive, task, [Merge(unit_ids=(0, 3))], curator=BORIS, parent=curation)
    assert rows(archive, m.Publication) == published
    assert decisions_of(archive, task, first.key) == decisions_of(archive, task, second.key)
    larger = submit_curation(archive, task, [Merge(unit_ids=(6, 1))], curator=BORIS, parent=second.key)
    assert decisions_of(archive, task, larger.key)[8].members == (0, 1, 3)


def test_merged_units_are_masks_with_arrays_of_their_own(archive: Archive, curation: CurationKey) -> None:
    task = curation.task
    edits: list[Edit] = [Merge(unit_ids=(0, 2)), SetType(unit_ids=(6,), mask_type=MaskKind.AXON)]
    key = submit_curation(archive, task, edits, curator=ANNA, parent=curation).key
    assert extract_traces(archive, key).mask_count == 5
    with Workspace(archive.settings) as workspace:
        masks = workspace.masks(key).set_index("mask_id")
        assert masks.index.tolist() == [1, 3, 4, 5, 6]
        expected = merge_units(workspace.result(key), (0, 2))
        assert masks.mask_npix[6] == expected.footprint.nnz
        assert (masks.accepted[6], masks.mask_type[6], masks.mask_type[1]) == (True, "axon", "unknown")
        assert np.isnan(masks.snr[6])
        assert masks.skewness.notna()[6]
        assert np.array_equal(workspace.footprints(key, [6]).toarray(), expected.footprint.toarray())
        assert np.array_equal(workspace.fluorescence(key, 6).values, expected.fluorescence)
        assert np.array_equal(workspace.denoised(key, 6).values, expected.trace)
        assert np.array_equal(workspace.activity(key, 6).values, expected.activity)
        assert np.array_equal(workspace.fluorescence(key, 3).values, workspace.result(key).fluorescence[3])
        with pytest.raises(NotFoundError, match="mask_id 0"):
            workspace.footprints(key, [0])
        assert workspace.units(key).unit_ids.tolist() == [1, 3, 4, 5, 6]


def test_merge_that_cannot_be_published_makes_no_curation(
    lite: Archive, lite_curation: CurationKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = Merge(unit_ids=(0, 2))
    number_of_merge(lite, lite_curation.task, (0, 2))
    before = snapshot(lite)

    def fail(*_: object, **__: object) -> None:
        raise StoreError("The store is away.")

    monkeypatch.setattr(lite.store, "upload", fail)
    with pytest.raises(StoreError):
        submit_curation(lite, lite_curation.task, [merge], curator=ANNA, parent=lite_curation)
    assert snapshot(lite) == before
    assert list(lite.settings.scratch_dir.glob("merge-*")) == []


def test_somebody_elses_publication_of_a_merged_unit_is_kept(
    lite: Archive, lite_curation: CurationKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = lite_curation.task
    unit = number_of_merge(lite, task, (0, 2))
    compute = merge_units

    def late(*arguments: object) -> object:
        monkeypatch.setattr(merges, "merge_units", compute)
        publish_merges(lite, task, [unit])
        return compute(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(merges, "merge_units", late)
    publish_merges(lite, task, [unit])
    (published,) = [row["prefix"] for row in rows(lite, m.Publication) if row["kind"] == "merge"]
    assert [prefix for prefix in lite.store.prefixes() if "/merge/" in prefix] == [published]
    (row,) = rows(lite, m.MergedUnit)
    assert (row["array_row"], row["prefix"]) == (0, published)


@pytest.mark.parametrize("members", [(0,), (0, 6), tuple(range(200))])
def test_numbers_for_what_is_no_merge_are_refused(
    lite: Archive, lite_curation: CurationKey, members: tuple[int, ...]
) -> None:
    with pytest.raises(CurationError, match="Cannot merge"):
        number_of_merge(lite, lite_curation.task, members)


# -- drafts -------------------------------------------------------------------------------------------------
def test_a_draft_is_there_again_after_everything_was_closed(archive: Archive, curation: CurationKey) -> None:
    task = curation.task
    draft = open_draft(archive, task, ANNA)
    assert (draft.parent, draft.revision, draft.can_undo, draft.can_redo) == (curation, 0, False, False)
    draft = edit_draft(archive, task, ANNA, 0, Reject(unit_ids=(0,)))
    draft = edit_draft(archive, task, ANNA, 1, Merge(unit_ids=(2, 3), into=0))
    assert draft.decisions[6].members == (2, 3)
    draft = undo_draft(archive, task, ANNA, 2)
    with Archive.open(archive.settings) as again:
        found = find_draft(again, task, ANNA)
    assert found == draft
    assert 6 not in draft.decisions
    assert redo_draft(archive, task, ANNA, 3).decisions[6].members == (2, 3)


def test_undo_and_redo_reach_every_edit_and_an_edit_forgets_what_was_undone(
    lite: Archive, lite_curation: CurationKey
) -> None:
    task = lite_curation.task
    states = [open_draft(lite, task, ANNA)]
    for unit in (0, 2, 3):
        states.append(edit_draft(lite, task, ANNA, states[-1].revision, Reject(unit_ids=(unit,))))
    now = states[-1]
    for earlier in reversed(states[:-1]):
        now = undo_draft(lite, task, ANNA, now.revision)
        assert now.decisions == earlier.decisions
    assert undo_draft(lite, task, ANNA, now.revision).position == 0
    now = redo_draft(lite, task, ANNA, now.revision + 1)
    now = edit_draft(lite, task, ANNA, now.revision, Accept(unit_ids=(1,)))
    assert len(now.edits) == 2
    assert not now.can_redo


def test_an_edit_of_what_was_changed_elsewhere_is_told_and_loses_nothing(
    lite: Archive, lite_curation: CurationKey
) -> None:
    task = lite_curation.task
    open_draft(lite, task, ANNA)
    edit_draft(lite, task, ANNA, 0, Reject(unit_ids=(0,)))
    for change in (
        lambda: edit_draft(lite, task, ANNA, 0, Reject(unit_ids=(2,))),
        lambda: undo_draft(lite, task, ANNA, 0),
        lambda: submit_draft(lite, task, ANNA, 0),
    ):
        with pytest.raises(DraftError, match="got revision 0, expected 1"):
            change()
    draft = find_draft(lite, task, ANNA)
    assert draft is not None
    assert draft.edits == (Reject(unit_ids=(0,)),)


def test_an_edit_that_cannot_be_made_is_not_kept(lite: Archive, lite_curation: CurationKey) -> None:
    open_draft(lite, lite_curation.task, ANNA)
    with pytest.raises(CurationError):
        edit_draft(lite, lite_curation.task, ANNA, 0, Split(unit_id=0))
    assert open_draft(lite, lite_curation.task, ANNA).revision == 0


def test_submitting_makes_a_version_and_ends_the_draft(archive: Archive, curation: CurationKey) -> None:
    task = curation.task
    open_draft(archive, task, ANNA)
    open_draft(archive, task, BORIS)
    edit_draft(archive, task, ANNA, 0, Reject(unit_ids=(0, 2)))
    undone = edit_draft(archive, task, ANNA, 1, Reject(unit_ids=(3,)))
    undo_draft(archive, task, ANNA, undone.revision)
    done = submit_draft(archive, task, ANNA, undone.revision + 1, "fewer")
    assert done.accepted_count == 3
    assert find_draft(archive, task, ANNA) is None
    other = submit_draft(archive, task, BORIS, 0)
    assert other.newer == (f"{done.key} by {ANNA}",)
    with pytest.raises(NotFoundError, match="No draft"):
        submit_draft(archive, task, ANNA, 0)


def test_a_discarded_draft_is_gone_and_a_new_one_starts_from_the_newest_version(
    lite: Archive, lite_curation: CurationKey
) -> None:
    task = lite_curation.task
    newest = submit_curation(lite, task, [Reject(unit_ids=(0,))], curator=BORIS, parent=lite_curation).key
    open_draft(lite, task, ANNA, parent=lite_curation)
    discard_draft(lite, task, ANNA)
    assert open_draft(lite, task, ANNA).parent == newest


# -- reviews ------------------------------------------------------------------------------------------------
def test_a_run_that_starts_again_finds_the_review_it_asked_for(archive: Archive, task: TaskKey) -> None:
    process_recording(archive, task)
    asked = request_review(archive, task, Manual(start=Thresholds(min_npix=100)), run="a run")
    assert (asked.state, asked.deadline, str(asked.start)) == (ReviewState.WAITING, None, f"{task}/0")
    before = snapshot(archive)
    assert request_review(archive, task, Manual(start=Thresholds(min_npix=100)), run="a run") == asked
    assert review_of_run(archive, "a run") == asked
    assert review_of_run(archive, "another run") is None
    assert waiting_reviews(archive) == [asked]
    assert snapshot(archive) == before
    assert open_draft(archive, task, ANNA).parent == asked.start


def test_a_persons_curation_answers_every_review_and_names_the_runs_to_wake(archive: Archive, task: TaskKey) -> None:
    process_recording(archive, task)
    asked = [request_review(archive, task, Manual(), run=run) for run in ("one", "two", None)]
    assert answer_of(asked[0]) is None
    open_draft(archive, task, ANNA)
    done = submit_draft(archive, task, ANNA, 0)
    assert done.runs == ("one", "two")
    for review in asked:
        status = review_status(archive, task, review.review_id)
        assert (status.state, answer_of(status)) == (ReviewState.ANSWERED, done.key)
    assert waiting_reviews(archive) == []


@pytest.mark.parametrize("outcome", ["fail", "accept_start", "reject_all"])
def test_a_review_that_nobody_answers_in_time_ends_as_its_policy_says(
    lite: Archive, lite_task: TaskKey, outcome: str
) -> None:
    process_recording(lite, lite_task)
    policy = Manual.model_validate({"time_limit_h": 1, "at_time_limit": outcome})
    asked = request_review(lite, lite_task, policy, run="a run")
    assert close_overdue(lite, asked) == asked  # it still has time
    with lite.database.session() as session:
        row = session.get_one(m.Review, 1)
        row.deadline = datetime.now(UTC) - timedelta(seconds=1)
    (overdue,) = waiting_reviews(lite)
    closed = close_overdue(lite, overdue)
    if outcome == "fail":
        with pytest.raises(CurationError, match="Nobody decided"):
            answer_of(closed)
    elif outcome == "accept_start":
        assert answer_of(closed) == asked.start
    else:
        answer = answer_of(closed)
        assert answer is not None
        assert not any(d.accepted for d in decisions_of(lite, lite_task, answer).values())
    before = snapshot(lite)
    assert close_overdue(lite, overdue).state == closed.state
    assert snapshot(lite) == before
