"""Decisions on units, and the edits that change them: what a curator does, as values.

A curation is a mapping from unit to :class:`Decision`. Edits are typed and small, so that a list of them is a draft
that can be stored, undone and played again; none of them loses anything, a merge can be split into what it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from miniscope_core.errors import CurationError
from miniscope_core.models import MaskKind

UnitId = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one curation says of one unit."""

    accepted: bool
    mask_type: MaskKind | None = None
    """What a person takes it for; None where nobody said."""
    merged_into: int | None = None
    """The unit that it is part of; it is then not accepted itself."""
    members: tuple[int, ...] = ()
    """Of a merged unit, the engine's units it is made of, ascending; empty for the engine's own."""


Decisions: TypeAlias = Mapping[int, Decision]
"""The decision on every unit, by its number."""


# -- edits ------------------------------------------------------------------------------------------------
class _Edit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Accept(_Edit):
    """Take units for cells."""

    kind: Literal["accept"] = "accept"
    unit_ids: tuple[UnitId, ...] = Field(min_length=1)


class Reject(_Edit):
    """Do not take units for cells."""

    kind: Literal["reject"] = "reject"
    unit_ids: tuple[UnitId, ...] = Field(min_length=1)


class SetType(_Edit):
    """Say what masks are; None takes back what was said."""

    kind: Literal["set_type"] = "set_type"
    unit_ids: tuple[UnitId, ...] = Field(min_length=1)
    mask_type: MaskKind | None


class Merge(_Edit):
    """Make one unit of several."""

    kind: Literal["merge"] = "merge"
    unit_ids: tuple[UnitId, ...] = Field(min_length=2)
    into: UnitId | None = Field(
        default=None, description="Number of the new unit, given where it is kept: the same members have the same one"
    )


class Split(_Edit):
    """Take a merged unit apart into the engine's units."""

    kind: Literal["split"] = "split"
    unit_id: UnitId


Edit = Annotated[Accept | Reject | SetType | Merge | Split, Field(discriminator="kind")]
"""Any edit, told apart by ``kind``."""
_EDITS: Final[TypeAdapter[list[Edit]]] = TypeAdapter(list[Edit])


def read_edits(values: Iterable[Any]) -> list[Edit]:
    """Read edits from what JSON has.

    Raises
    ------
    CurationError
        When one is not an edit; all problems in one line.
    """
    try:
        return _EDITS.validate_python(list(values))
    except ValidationError as error:
        problems = (f"edit {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise CurationError(f"Edits cannot be read: {'; '.join(problems)}.") from error


def write_edits(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """Turn edits into what JSON has."""
    written: list[dict[str, Any]] = _EDITS.dump_python(list(edits), mode="json")
    return written


# -- decisions ----------------------------------------------------------------------------------------------
def engine_decisions(accepted: Iterable[bool]) -> Decisions:
    """Return the decisions that say what an engine's acceptance, unit by unit, says."""
    return {unit: Decision(bool(is_accepted)) for unit, is_accepted in enumerate(accepted)}


def replay(parent: Decisions, edits: Iterable[Edit]) -> Decisions:
    """Apply edits to the decisions of the curation they started from.

    Parameters
    ----------
    parent
        Where the edits started; a unit that is split gets back what it was there.
    edits
        In the order made.

    Raises
    ------
    CurationError
        When an edit names a unit that is not there, or is part of another one.
    """
    decisions = dict(parent)
    for edit in edits:
        match edit:
            case Accept():
                _set(decisions, edit.unit_ids, accepted=True)
            case Reject():
                _set(decisions, edit.unit_ids, accepted=False)
            case SetType():
                _set(decisions, edit.unit_ids, mask_type=edit.mask_type)
            case Merge():
                _merge(decisions, edit)
            case Split():
                _split(decisions, edit.unit_id, parent)
    return MappingProxyType(decisions)


def check_edit(decisions: Decisions, edit: Edit) -> None:
    """Check that an edit can be applied.

    Raises
    ------
    CurationError
        As :func:`replay` does.
    """
    replay(decisions, [edit])


def members_of(decisions: Decisions, unit_ids: Iterable[int]) -> tuple[int, ...]:
    """Return the engine's units that a merge of units is made of, ascending.

    Raises
    ------
    CurationError
        When a unit is not there, or is part of another one.
    """
    return tuple(sorted({member for unit in unit_ids for member in _live(decisions, unit).members or (unit,)}))


def live_units(decisions: Decisions) -> list[int]:
    """Return the units that are not part of another one, ascending."""
    return sorted(unit for unit, decision in decisions.items() if decision.merged_into is None)


def accepted_units(decisions: Decisions) -> list[int]:
    """Return the units taken for cells, ascending."""
    return sorted(unit for unit, decision in decisions.items() if decision.accepted)


def _live(decisions: Decisions, unit: int) -> Decision:
    decision = decisions.get(unit)
    if decision is None:
        raise CurationError(f"No unit {unit} in this curation: it has {len(decisions)} units.")
    if decision.merged_into is not None:
        raise CurationError(
            f"Unit {unit} is part of unit {decision.merged_into}: decide on that one, or split it first."
        )
    return decision


def _set(decisions: dict[int, Decision], unit_ids: Iterable[int], **changes: Any) -> None:
    changed = {unit: replace(_live(decisions, unit), **changes) for unit in unit_ids}
    decisions.update(changed)


def _merge(decisions: dict[int, Decision], edit: Merge) -> None:
    members = members_of(decisions, edit.unit_ids)
    if len(set(edit.unit_ids)) < 2:
        raise CurationError(f"Cannot merge unit {edit.unit_ids[0]} with itself: name at least two units.")
    if edit.into is None:
        raise CurationError(f"The merge of units {', '.join(map(str, members))} was given no number.")
    if edit.into in decisions:
        raise CurationError(f"Cannot merge into unit {edit.into}: it is there already.")
    kinds = {decisions[unit].mask_type for unit in edit.unit_ids} - {None}
    for unit in set(edit.unit_ids) - set(members):
        del decisions[unit]  # a merged unit whose members are part of a larger one now
    for member in members:
        decisions[member] = Decision(accepted=False, merged_into=edit.into)
    # Who merges takes the whole for a cell; what it is only where the parts agree.
    decisions[edit.into] = Decision(True, kinds.pop() if len(kinds) == 1 else None, members=members)


def _split(decisions: dict[int, Decision], unit: int, parent: Decisions) -> None:
    whole = _live(decisions, unit)
    if not whole.members:
        raise CurationError(f"Unit {unit} was not merged: there is nothing to split.")
    del decisions[unit]
    for member in whole.members:
        before = parent.get(member)
        known = before is not None and before.merged_into is None
        decisions[member] = before if known and before is not None else Decision(whole.accepted, whole.mask_type)


# -- differences ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Change:
    """What two curations of one processing say differently of one unit; None where it is not there."""

    unit_id: int
    before: Decision | None
    after: Decision | None

    def __str__(self) -> str:
        return f"unit {self.unit_id}: {describe(self.before)} → {describe(self.after)}"


def differences(before: Decisions, after: Decisions) -> list[Change]:
    """Return every unit that two curations decide on differently, ascending by number."""
    return [
        Change(unit, before.get(unit), after.get(unit))
        for unit in sorted(before.keys() | after.keys())
        if before.get(unit) != after.get(unit)
    ]


def describe(decision: Decision | None) -> str:
    """Put a decision into words."""
    if decision is None:
        return "not there"
    if decision.merged_into is not None:
        return f"part of {decision.merged_into}"
    words = ["accepted" if decision.accepted else "rejected"]
    if decision.mask_type is not None:
        words.append(decision.mask_type.value)
    if decision.members:
        words.append(f"merged from {'+'.join(map(str, decision.members))}")
    return ", ".join(words)
