"""The command ``preview``: what parameters would find, in seconds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from miniscope_core.cli.app import Common, app, common
from miniscope_core.cli.console import out, pairs_table
from miniscope_core.cli.interrupts import SCRATCH_GRACE_S, ends_on_interrupt
from miniscope_core.cli.parameters import Clean, Method, Set, parameters_from
from miniscope_core.cli.recordings import ColumnsOption, DatasetOption, FilesOption, Folder, FpsOption, place_name

if TYPE_CHECKING:
    from miniscope_core.models.parameters import Parameters
    from miniscope_core.pipeline.preview import Preview

Frames = Annotated[
    int | None, typer.Option(min=1, help="Frames to sample, in runs spread over the recording; default 600.")
]


@app.command()
def preview(
    context: typer.Context,
    folder: Folder,
    method: Method = "cnmfe",
    assignments: Set = None,
    clean: Clean = None,
    frames: Frames = None,
    picture: Annotated[Path | None, typer.Option(help="Write seeds, outlines and traces to this PNG.")] = None,
    fps: FpsOption = None,
    dataset: DatasetOption = None,
    files: FilesOption = None,
    columns: ColumnsOption = None,
) -> None:
    """Show in seconds what parameters would find, on a sample of the recording. Writes nothing to the database."""
    from miniscope_core.figures import result_figure
    from miniscope_core.plots import save_png

    shared = common(context)
    parameters = parameters_from(method, assignments, clean)
    seen = look(shared, folder, parameters, frames, fps, dataset=dataset, files=files, columns=columns)
    out.print(pairs_table(f"{folder}", preview_facts(seen)))
    for note in seen.result.info.notes:
        out.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if picture is not None:
        title = f"{place_name(folder)}: {sampled(seen)}"
        figure = result_figure(seen.result, joins_s=seen.joins_s, title=title)
        out.print(f"picture: {save_png(figure, picture)}", highlight=False, soft_wrap=True)


def look(
    shared: Common,
    folder: str,
    parameters: "Parameters",
    frames: int | None = None,
    fps: float | None = None,
    *,
    dataset: str | None = None,
    files: str | None = None,
    columns: str | None = None,
) -> "Preview":
    """Run an engine on a sample of the recording in a folder.

    The frames are not counted: decoding an hour of video would take longer than the look itself.
    """
    from miniscope_core.io import open_recording
    from miniscope_core.pipeline.preview import SAMPLE_FRAMES, preview_recording

    with ends_on_interrupt(SCRATCH_GRACE_S), shared.progress() as progress:
        recording = open_recording(
            folder,
            clock="report",
            fps=fps,
            dataset=dataset,
            files=files,
            columns=columns,
            progress=progress,
            trust_containers=True,
        )
        return preview_recording(
            recording,
            parameters,
            shared.settings,
            frames=SAMPLE_FRAMES if frames is None else frames,
            progress=progress,
        )


def preview_facts(seen: "Preview") -> dict[str, str | None]:
    """Return what a preview found, for a table of two columns."""
    result, workers = seen.result, f"{seen.workers} worker{'s' if seen.workers > 1 else ''}"
    rejected = ", ".join(f"{count} by {name}" for name, count in seen.rejections.items())
    return {
        "sample": sampled(seen),
        "cell diameter": _diameter(seen),
        "seeds": None if seen.seed_count is None else f"{seen.seed_count}",
        "units": f"{result.unit_count}",
        "accepted": f"{int(result.accepted.sum())}",
        "rejected": f"{int((~result.accepted).sum())}" + (f": {rejected}" if rejected else ""),
        "time taken": f"{seen.seconds:.1f} s with {workers}",
        "whole recording": f"about {_duration(seen.whole_seconds)} with {workers}, at this cost per frame",
    }


def sampled(seen: "Preview") -> str:
    """Return how much of the recording was looked at."""
    frames = seen.result.frame_count
    if frames == seen.frame_count:
        return f"all {frames:,} frames"
    return f"{frames:,} of {seen.frame_count:,} frames, spread over the recording"


def _diameter(seen: "Preview") -> str | None:
    info = seen.result.info
    if info.cell_diameter_px is None:
        return None
    um, size = (info.parameters.get(name) for name in ("cell_diameter_um", "pixel_size_um"))
    return f"{info.cell_diameter_px:.3g} px" + (f" ({um:g} µm at {size:.3g} µm per px)" if um and size else "")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
