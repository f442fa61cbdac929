"""The command ``curate``: decide on units here, compare two curations, or open the page where one decides by eye."""

import getpass
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from miniscope_core.cli.app import Common, app, common
from miniscope_core.cli.console import out
from miniscope_core.errors import ParameterError
from miniscope_core.settings import Settings

if TYPE_CHECKING:
    from miniscope_core.curation.decisions import Edit
    from miniscope_core.curation.policies import Thresholds
    from miniscope_core.models import CurationKey, MaskKind, TaskKey
    from miniscope_core.pipeline.curate import Curated

_DECIDE: Final = "Decide here, instead of opening the page"
_RULE: Final = "Decide by bounds on quality numbers"
_PAGE: Final = "The page"
_RANGE: Final = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_MOST: Final = 1_000_000

Units = Annotated[str, typer.Option(metavar="UNITS", help="Units, e.g. 3,7,10-15.", rich_help_panel=_DECIDE)]


@app.command()
def curate(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="A processing, or the curation of one to start from."),
    ] = None,
    accept_engine: Annotated[
        bool, typer.Option("--accept-engine", help="Record the engine's own acceptance, once.", rich_help_panel=_DECIDE)
    ] = False,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="Submit what it starts from, unchanged.", rich_help_panel=_DECIDE)
    ] = False,
    reject_all: Annotated[
        bool, typer.Option("--reject-all", help="Take no unit for a cell.", rich_help_panel=_DECIDE)
    ] = False,
    accept: Units = "",
    reject: Units = "",
    mask_type: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="KIND:UNITS", help="E.g. soma:3,7; may be repeated.", rich_help_panel=_DECIDE),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="UNITS", help="Merged units to take apart.", rich_help_panel=_DECIDE)
    ] = "",
    merge: Annotated[
        list[str] | None,
        typer.Option(metavar="UNITS", help="Units that are one, e.g. 3,7; may be repeated.", rich_help_panel=_DECIDE),
    ] = None,
    min_snr: Annotated[float | None, typer.Option(help="Lowest SNR of the trace.", rich_help_panel=_RULE)] = None,
    min_r_value: Annotated[float | None, typer.Option(help="Lowest r_value.", rich_help_panel=_RULE)] = None,
    min_cnn_pred: Annotated[float | None, typer.Option(help="Lowest cnn_pred.", rich_help_panel=_RULE)] = None,
    min_npix: Annotated[int | None, typer.Option(help="Fewest pixels.", rich_help_panel=_RULE)] = None,
    max_npix: Annotated[int | None, typer.Option(help="Most pixels.", rich_help_panel=_RULE)] = None,
    only_engine_accepted: Annotated[
        bool, typer.Option("--only-engine-accepted", help="And only what the engine accepted.", rich_help_panel=_RULE)
    ] = False,
    note: Annotated[str, typer.Option(help="Remark, kept with the curation.")] = "",
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; default: the user's name.")] = None,
    diff: Annotated[str | None, typer.Option(metavar="KEY", help="Print what this curation says differently.")] = None,
    host: Annotated[str, typer.Option(help="Address the page listens on.", rich_help_panel=_PAGE)] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port.", rich_help_panel=_PAGE)] = 8711,
    token: Annotated[
        str | None, typer.Option(help="What a visitor must know; needed off loopback.", rich_help_panel=_PAGE)
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.", rich_help_panel=_PAGE)] = True,
) -> None:
    """Decide which units are cells: on a web page, or here by options. Every decision is a new version.

    Options are applied in this order: bounds or --reject-all, --accept, --reject, --type, --split, --merge.
    """
    shared = common(context)
    given = {
        "min_snr": min_snr,
        "min_r_value": min_r_value,
        "min_cnn_pred": min_cnn_pred,
        "min_npix": min_npix,
        "max_npix": max_npix,
    }
    bounds: dict[str, float] = {name: value for name, value in given.items() if value is not None}
    if only_engine_accepted:
        bounds["only_engine_accepted"] = True
    changes = _changes(accept, reject, mask_type or (), split, merge or ())
    chosen = sum((accept_engine, as_is, reject_all, bool(bounds), diff is not None))
    if chosen > 1 or (changes and (accept_engine or as_is or diff is not None)):
        raise ParameterError(
            "Got options that contradict each other: expected one of --accept-engine, --as-is, --diff, or decisions "
            "(--reject-all or bounds, with --accept, --reject, --type, --split, --merge)."
        )
    if not chosen and not changes:
        _open_page(shared, key, by, host, port, token, browser)
    elif key is None:
        raise ParameterError("A decision needs the key of its processing: miniscope status shows them.")
    elif diff is not None:
        _print_differences(shared, key, diff)
    else:
        _decide(shared, key, accept_engine, reject_all, bounds, changes, curator_name(by), note)


# -- deciding here ------------------------------------------------------------------------------------------
def _changes(accept: str, reject: str, mask_types: Sequence[str], split: str, merge: Sequence[str]) -> "list[Edit]":
    """Return the edits that options ask for."""
    from miniscope_core.curation.decisions import Accept, Merge, Reject, SetType, Split

    edits: list[Edit] = []
    if accept:
        edits.append(Accept(unit_ids=unit_list("--accept", accept)))
    if reject:
        edits.append(Reject(unit_ids=unit_list("--reject", reject)))
    for text in mask_types:
        kind, _, numbers = text.partition(":")
        edits.append(SetType(unit_ids=unit_list("--type", numbers), mask_type=_kind(kind)))
    edits += [Split(unit_id=unit) for unit in (unit_list("--split", split) if split else ())]
    for text in merge:
        units = unit_list("--merge", text)
        if len(set(units)) < 2:
            raise ParameterError(f"--merge: got {text!r}, expected at least two units, e.g. 3,7.")
        edits.append(Merge(unit_ids=units))
    return edits


def _kind(text: str) -> "MaskKind | None":
    from miniscope_core.models import MaskKind

    kinds = [kind.value for kind in MaskKind]
    if text not in kinds:
        raise ParameterError(f"--type: got {text!r}, expected one of {', '.join(kinds)}, then : and units.")
    return MaskKind(text)


def unit_list(option: str, text: str) -> tuple[int, ...]:
    """Read numbers and ranges, ``3,7,10-15``.

    Raises
    ------
    ParameterError
        When a part is neither, or a range runs backwards or beyond all reason.
    """
    units: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < _MOST:
            raise ParameterError(
                f"{option}: got {part.strip()!r}, expected numbers and ranges of units, e.g. 3,7,10-15."
            )
        units += range(first, last + 1)
    return tuple(units)


def _decide(
    shared: Common,
    key: str,
    accept_engine: bool,
    reject_all: bool,
    bounds: dict[str, float],
    changes: "list[Edit]",
    curator: str,
    note: str,
) -> None:
    from miniscope_core.pipeline.curate import (
        curate_processing,
        edits_by_policy,
        edits_that_reject_all,
        submit_curation,
    )
    from miniscope_core.pipeline.drafts import starting_point
    from miniscope_core.storage.archive import Archive

    task, parent = _task_and_parent(key)
    with Archive.open(shared.settings) as archive:
        if accept_engine:
            curated = curate_processing(archive, task)
        else:
            parent = parent or starting_point(archive, task)
            edits: list[Edit] = []
            if bounds:
                edits += edits_by_policy(archive, task, _thresholds(bounds), parent)
            elif reject_all:
                edits += edits_that_reject_all(archive, task, parent)
            curated = submit_curation(archive, task, [*edits, *changes], curator=curator, parent=parent, note=note)
    shared.say(escape(curated.message))
    for line in finish(shared.settings, curated, shared):
        shared.say(escape(line))


def _thresholds(bounds: dict[str, float]) -> "Thresholds":
    from pydantic import ValidationError

    from miniscope_core.curation.policies import Thresholds

    try:
        return Thresholds.model_validate(bounds)
    except ValidationError as error:
        problems = "; ".join(
            f"--{'-'.join(map(str, e['loc'])).replace('_', '-')}: {e['msg']}" if e["loc"] else e["msg"]
            for e in error.errors()
        )
        raise ParameterError(f"Bounds are not valid: {problems}.") from error


def _task_and_parent(key: str) -> "tuple[TaskKey, CurationKey | None]":
    from miniscope_core.models import CurationKey, TaskKey, as_key, parse_key

    typed = parse_key(key.rstrip("/"))
    return (typed.task, typed) if isinstance(typed, CurationKey) else (as_key(typed, TaskKey), None)


def finish(settings: Settings, curated: "Curated", shared: Common | None = None) -> list[str]:
    """Extract the traces of a curation and wake the flow runs that waited for it.

    Returns
    -------
    list of str
        What was done. Prefect that cannot be reached is told here and loses nothing: the scheduled flow
        ``close-reviews`` wakes the runs later.
    """
    from miniscope_core.pipeline.extract import extract_traces
    from miniscope_core.storage.archive import Archive

    with Archive.open(settings) as archive:
        if shared is None:
            lines = [extract_traces(archive, curated.key).message]
        else:
            with shared.progress() as progress:
                lines = [extract_traces(archive, curated.key, progress).message]
    if curated.runs:
        from flows import wake_runs

        lines += wake_runs(curated.runs)
    return lines


def _print_differences(shared: Common, before: str, after: str) -> None:
    from miniscope_core.curation.decisions import differences
    from miniscope_core.models import CurationKey, as_key
    from miniscope_core.workspace import Workspace

    keys = [as_key(text.rstrip("/"), CurationKey) for text in (before, after)]
    if keys[0].task != keys[1].task:
        raise ParameterError(f"{before} and {after} are of different processings: their units are not the same.")
    with Workspace(shared.settings) as workspace:
        changes = differences(*(workspace.decisions(key) for key in keys))
    for change in changes:
        out.print(str(change), highlight=False, soft_wrap=True)
    shared.say(f"{len(changes)} units differ" if changes else "No unit differs")


# -- the page -----------------------------------------------------------------------------------------------
def _open_page(
    shared: Common, key: str | None, by: str | None, host: str, port: int, token: str | None, browser: bool
) -> None:
    from miniscope_core.web import serve

    task = None if key is None else _task_and_parent(key)[0]
    settings = shared.settings

    def tell(address: str) -> None:
        out.print(f"Curation page: {address}", highlight=False, soft_wrap=True, markup=False)
        out.print("It ends with Ctrl-C; what was decided is kept.", highlight=False)

    serve(
        settings,
        host=host,
        port=port,
        token=token,
        curator=curator_name(by),
        on_submit=lambda curated: follow(settings, curated),
        open_browser=browser,
        task=task,
        on_ready=tell,
    )


def follow(settings: Settings, curated: "Curated") -> None:
    """Do what follows a submission of the page, and tell it in the terminal."""
    out.print(escape(curated.message), highlight=False, soft_wrap=True)
    for line in finish(settings, curated):
        out.print(escape(line), highlight=False, soft_wrap=True)


def curator_name(by: str | None) -> str:
    """Return who decides: the name given, else the user's."""
    from pydantic import TypeAdapter, ValidationError

    from miniscope_core.models.types import Name

    try:
        name = getpass.getuser() if by is None else by
    except (OSError, KeyError) as error:  # no user of this number, as in some containers
        raise ParameterError("Nobody knows who decides: give your name by --by.") from error
    try:
        return TypeAdapter[str](Name).validate_python(name)
    except ValidationError as error:
        raise ParameterError(f"--by: got {name!r}, {error.errors()[0]['msg']}.") from error
