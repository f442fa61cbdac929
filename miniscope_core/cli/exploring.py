"""Commands to look at what is there: ``status`` and ``plot``."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from miniscope_core.cli.app import app, common
from miniscope_core.cli.console import out, print_frame
from miniscope_core.errors import NotFoundError

if TYPE_CHECKING:
    import pandas as pd

    from miniscope_core.workspace import Workspace

_KEY = ["subject", "session_datetime", "recording_id"]


@app.command()
def status(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Only what is below this key.")] = None,
) -> None:
    """Show every recording, and how far each of its processing tasks got."""
    from miniscope_core.workspace import Workspace

    shared = common(context)
    with Workspace(shared.settings) as workspace:
        key = None if key is None else key.rstrip("/")
        recordings = workspace.recordings(key)
        rows = status_rows(workspace, recordings)
        failed = workspace.tasks(key).dropna(subset=["error"])
        where = f"database {workspace.database_url}, store {workspace.store_url}"
    if recordings.empty and key is not None:
        raise NotFoundError(f"No recording below {key!r}: `miniscope status` without a key shows what is there.")
    if recordings.empty:
        out.print("No recording yet: miniscope ingest DIR", highlight=False)
    else:
        print_frame(rows)
    shared.say(escape(where))
    for row in failed.to_dict("records"):
        out.print(f"[red]failed[/] {escape(_text(row))}/{row['paramset_id']}: {escape(row['error'])}", soft_wrap=True)


def _text(row: Mapping[Hashable, Any]) -> str:
    import pandas as pd

    return f"{row['subject']}/{pd.Timestamp(str(row['session_datetime'])).isoformat()}/{row['recording_id']}"


def status_rows(workspace: "Workspace", recordings: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row a recording and parameter set: facts, state, units, curations."""
    import pandas as pd

    processings = workspace.processings()[[*_KEY, "paramset_id", "unit_count", "accepted_count"]]
    curations = (
        workspace.curations().groupby([*_KEY, "paramset_id"], as_index=False).agg(curations=("curation_id", "size"))
    )
    reviews = workspace.table("Review", state="waiting").groupby([*_KEY, "paramset_id"], as_index=False)
    extracted = workspace.table("Segmentation").groupby([*_KEY, "paramset_id"], as_index=False)
    tasks = workspace.tasks()[[*_KEY, "paramset_id", "task_mode", "claimed_by", "claim_expires_at", "error"]]
    joined = (
        recordings.merge(tasks, on=_KEY, how="left")
        .merge(processings, on=[*_KEY, "paramset_id"], how="left")
        .merge(curations, on=[*_KEY, "paramset_id"], how="left")
        .merge(extracted.agg(extracted=("curation_id", "size")), on=[*_KEY, "paramset_id"], how="left")
        .merge(reviews.agg(reviews=("review_id", "size")), on=[*_KEY, "paramset_id"], how="left")
    )
    return pd.DataFrame(
        {
            "recording": [_text(row) for row in joined.to_dict("records")],
            "frames": joined["nframes"],
            "set": joined["paramset_id"],
            "state": [_state(row) for row in joined.to_dict("records")],
            "units": joined["unit_count"],
            "accepted": joined["accepted_count"],
            "curations": joined["curations"].astype("Int64"),
        }
    )


def _state(row: Mapping[Hashable, Any]) -> str:
    import pandas as pd

    if pd.isna(row["paramset_id"]):
        return "ingested"
    if not pd.isna(row["reviews"]):
        return "waits for a review"
    if not pd.isna(row["extracted"]):
        return "extracted"
    if not pd.isna(row["unit_count"]):
        return "processed" if pd.isna(row["curations"]) else "curated"
    if not pd.isna(row["claimed_by"]):
        # A claim outlives the process that died with it; nobody computes once it lapsed.
        lapsed = pd.Timestamp(str(row["claim_expires_at"])) <= pd.Timestamp.now("UTC")
        return "interrupted" if lapsed else "running"
    return "waiting" if pd.isna(row["error"]) else "failed"


@app.command()
def plot(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="A curation, or what it lies below; the newest one is drawn."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("miniscope-pictures"),
    min_npix: Annotated[int, typer.Option(min=0, help="Draw the contours of masks with more pixels than this.")] = 0,
    mask: Annotated[list[int] | None, typer.Option(help="Draw this mask alone; may be repeated.")] = None,
) -> None:
    """Draw a curation as PNG files: overview, images, contours, traces, shifts, single masks."""
    from miniscope_core.figures import curation_figures
    from miniscope_core.plots import save_png
    from miniscope_core.workspace import Workspace

    shared = common(context)
    with Workspace(shared.settings) as workspace:
        key = newest_curation(workspace, key)
        for name, figure in curation_figures(workspace, key, min_npix=min_npix, mask_ids=mask or ()).items():
            out.print(str(save_png(figure, output / f"{name}.png")), highlight=False, soft_wrap=True)


def newest_curation(workspace: "Workspace", key: str | None = None) -> str:
    """Return the key of the newest curation, below a key or of all, whose traces were extracted.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    key = None if key is None else key.rstrip("/")
    curations = workspace.curations(key).merge(
        workspace.table("Segmentation"), on=[*_KEY, "paramset_id", "curation_id"], how="inner"
    )
    if curations.empty:
        where = "yet" if key is None else f"below {key!r}"
        raise NotFoundError(f"No curation with extracted traces {where}: miniscope status shows what is there.")
    row = curations.sort_values("curation_time").to_dict("records")[-1]
    return f"{_text(row)}/{row['paramset_id']}/{row['curation_id']}"
