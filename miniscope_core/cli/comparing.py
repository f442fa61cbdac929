"""The command ``compare``: two results of one recording, side by side."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miniscope_core.cli.app import Common, app, common
from miniscope_core.cli.console import out, pairs_table

if TYPE_CHECKING:
    from miniscope_core.quality.agreement import Agreement
    from miniscope_core.result import ProcessingResult

_WHAT = "Key of a processing, folder of a result, or CaImAn file (or folder with one)."


@app.command()
def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="PROCESSING", help=_WHAT)],
    second: Annotated[str, typer.Argument(metavar="PROCESSING", help="The other one, of the same recording.")],
    every: Annotated[bool, typer.Option("--all", help="Compare rejected units too, not only accepted ones.")] = False,
    picture: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("miniscope-compare.png"),
) -> None:
    """Compare two results of one recording: cells found by both or by one only, how alike they are; and draw it."""
    from miniscope_core.figures import agreement_figure
    from miniscope_core.plots import save_png
    from miniscope_core.quality.agreement import compare_results

    shared = common(context)
    with ExitStack() as opened:
        one, other = (opened.enter_context(opened_result(shared, name)) for name in (first, second))
        names = result_names(one, other)
        agreement = compare_results(one, other, units="all" if every else "accepted")
        out.print(pairs_table(f"{first} and {second}", agreement_facts(agreement, names)))
        figure = agreement_figure(one, other, agreement, names=names, title=f"{names[0]} and {names[1]}")
        out.print(f"picture: {save_png(figure, picture)}", highlight=False, soft_wrap=True)


@contextmanager
def opened_result(shared: Common, name: str) -> Iterator["ProcessingResult"]:
    """Open a result by the key of its processing or by its path; what exists as a path is one."""
    from miniscope_core.engines.caiman import load_caiman
    from miniscope_core.result import RESULT_FILE, load_result
    from miniscope_core.workspace import Workspace

    path = Path(name).expanduser()
    if path.exists():
        yield load_result(path) if (path / RESULT_FILE).is_file() else load_caiman(path)
        return
    with Workspace(shared.settings) as workspace:
        yield workspace.result(name.rstrip("/"))


def result_names(first: "ProcessingResult", second: "ProcessingResult") -> tuple[str, str]:
    """Return what to call two results: by their methods, numbered where those are the same."""
    names = first.info.method, second.info.method
    return names if names[0] != names[1] else (f"{names[0]} 1", f"{names[1]} 2")


def agreement_facts(agreement: "Agreement", names: tuple[str, str]) -> dict[str, str]:
    """Return what two results have in common, for a table of two columns."""
    import numpy as np

    both = len(agreement.pairs)
    facts = {
        "found by both": f"{both}",
        f"only by {names[0]}": f"{len(agreement.first_only)} of {len(agreement.first_units)}",
        f"only by {names[1]}": f"{len(agreement.second_only)} of {len(agreement.second_units)}",
    }
    for name, values in (
        ("footprint cosine", agreement.similarity),
        ("trace r", agreement.trace_r),
        ("activity r", agreement.activity_r),
    ):
        known = values[np.isfinite(values)]
        facts[name] = (
            f"median {np.median(known):.2f}, {known.min():.2f} to {known.max():.2f} ({len(known)} of {both} cells)"
            if len(known)
            else "nothing to compare"
        )
    dy, dx = agreement.offset_px
    facts["shifts"] = (
        f"differ by {agreement.shift_rms_px:.2f} px (root mean square) besides a constant ({dy}, {dx}) px"
        if np.isfinite(agreement.shift_rms_px)
        else "not known on both sides"
    )
    return facts
