"""Decisions and edits: what is changed, what is left, and that nothing is ever lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniscope_core.curation.decisions import (
    Accept,
    Decision,
    Decisions,
    Edit,
    Merge,
    Reject,
    SetType,
    Split,
    accepted_units,
    describe,
    differences,
    engine_decisions,
    live_units,
    members_of,
    read_edits,
    replay,
    write_edits,
)
from miniscope_core.errors import CurationError
from miniscope_core.models import MaskKind

ENGINE = engine_decisions([True, False, True, True])


def test_accepting_and_rejecting_change_the_named_units_only() -> None:
    after = replay(ENGINE, [Reject(unit_ids=(0, 2)), Accept(unit_ids=(1,))])
    assert accepted_units(after) == [1, 3]
    assert accepted_units(ENGINE) == [0, 2, 3]


def test_a_type_is_said_and_taken_back() -> None:
    said = replay(ENGINE, [SetType(unit_ids=(1,), mask_type=MaskKind.DENDRITE)])
    assert said[1] == Decision(False, MaskKind.DENDRITE)
    assert replay(said, [SetType(unit_ids=(1,), mask_type=None)]) == ENGINE


def test_merged_units_are_one_accepted_unit_and_its_members_are_none() -> None:
    after = replay(ENGINE, [Merge(unit_ids=(3, 1), into=4)])
    assert live_units(after) == [0, 2, 4]
    assert after[4] == Decision(True, members=(1, 3))
    assert after[1] == after[3] == Decision(False, merged_into=4)
    assert accepted_units(after) == [0, 2, 4]


def test_merging_a_merged_unit_takes_its_members_along() -> None:
    after = replay(ENGINE, [Merge(unit_ids=(0, 1), into=4), Merge(unit_ids=(4, 3), into=5)])
    assert after[5].members == (0, 1, 3)
    assert 4 not in after
    assert live_units(after) == [2, 5]


def test_a_merged_unit_keeps_a_type_that_its_parts_agree_on() -> None:
    soma = SetType(unit_ids=(0, 1), mask_type=MaskKind.SOMA)
    other = SetType(unit_ids=(1,), mask_type=MaskKind.AXON)
    assert replay(ENGINE, [soma, Merge(unit_ids=(0, 1), into=4)])[4].mask_type is MaskKind.SOMA
    assert replay(ENGINE, [soma, other, Merge(unit_ids=(0, 1), into=4)])[4].mask_type is None


def test_splitting_gives_the_members_what_they_were_in_the_parent() -> None:
    assert replay(ENGINE, [Merge(unit_ids=(0, 1), into=4), Split(unit_id=4)]) == ENGINE
    # Where the parent had them merged already, they are what the whole was.
    merged = replay(ENGINE, [Merge(unit_ids=(0, 1), into=4), Reject(unit_ids=(4,))])
    assert replay(merged, [Split(unit_id=4)])[0] == Decision(False)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Accept(unit_ids=(9,)), "No unit 9"),
        (Split(unit_id=1), "Unit 1 was not merged"),
        (Merge(unit_ids=(1, 1), into=4), "with itself"),
        (Merge(unit_ids=(0, 1), into=2), "there already"),
        (Merge(unit_ids=(0, 7), into=4), "No unit 7"),
    ],
)
def test_what_cannot_be_done_is_refused(edit: Edit, message: str) -> None:
    with pytest.raises(CurationError, match=message):
        replay(ENGINE, [edit])


def test_a_part_of_a_merged_unit_is_not_decided_on_by_itself() -> None:
    with pytest.raises(CurationError, match="Unit 1 is part of unit 4"):
        replay(ENGINE, [Merge(unit_ids=(0, 1), into=4), Accept(unit_ids=(1,))])


def test_an_edit_that_fails_leaves_no_part_of_itself() -> None:
    decisions: Decisions = ENGINE
    with pytest.raises(CurationError):
        replay(decisions, [Reject(unit_ids=(0, 9))])
    assert decisions == engine_decisions([True, False, True, True])


def test_edits_that_cannot_be_read_are_refused_in_one_line() -> None:
    with pytest.raises(CurationError, match="edit 0") as caught:
        read_edits([{"kind": "accept", "unit_ids": ["x"]}, {"kind": "burn"}])
    assert "\n" not in str(caught.value)


def test_differences_name_every_unit_that_changed_and_no_other() -> None:
    after = replay(ENGINE, [Merge(unit_ids=(0, 1), into=4), Reject(unit_ids=(3,))])
    changes = differences(ENGINE, after)
    assert [change.unit_id for change in changes] == [0, 1, 3, 4]
    assert str(changes[-1]) == "unit 4: not there → accepted, merged from 0+1"
    assert str(changes[0]) == "unit 0: accepted → part of 4"
    assert describe(Decision(False, MaskKind.AXON)) == "rejected, axon"


UNITS = 6


@st.composite
def edit_lists(draw: st.DrawFn) -> list[Edit]:
    """Draw edits that can be made one after another; numbers of merged units come from their members."""
    decisions = engine_decisions([True] * UNITS)
    numbers: dict[tuple[int, ...], int] = {}
    edits: list[Edit] = []
    for _ in range(draw(st.integers(0, 12))):
        live = live_units(decisions)
        chosen = tuple(draw(st.lists(st.sampled_from(live), min_size=1, max_size=3, unique=True)))
        kind = draw(st.sampled_from(["accept", "reject", "type", "merge", "split"]))
        edit: Edit
        if kind == "merge" and len(chosen) > 1:
            into = numbers.setdefault(members_of(decisions, chosen), UNITS + len(numbers))
            edit = Merge(unit_ids=chosen, into=into)
        elif kind == "split" and decisions[chosen[0]].members:
            edit = Split(unit_id=chosen[0])
        elif kind == "type":
            edit = SetType(unit_ids=chosen, mask_type=draw(st.sampled_from([None, *MaskKind])))
        else:
            edit = Accept(unit_ids=chosen) if kind == "accept" else Reject(unit_ids=chosen)
        edits.append(edit)
        decisions = replay(decisions, [edit])
    return edits


@given(edit_lists())
def test_every_unit_of_the_engine_is_in_exactly_one_unit_whatever_is_done(edits: list[Edit]) -> None:
    decisions = replay(engine_decisions([True] * UNITS), edits)
    parts = [member for unit in live_units(decisions) for member in decisions[unit].members or (unit,)]
    assert sorted(parts) == list(range(UNITS))
    for unit, decision in decisions.items():
        if decision.merged_into is not None:
            assert not decision.accepted
            assert unit in decisions[decision.merged_into].members


@given(edit_lists())
def test_edits_survive_the_database(edits: list[Edit]) -> None:
    assert read_edits(write_edits(edits)) == edits
