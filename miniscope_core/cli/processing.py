"""Commands that compute: ``run``, ``process`` and ``demo``."""

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from miniscope_core.cli.app import Common, app, common, use_home
from miniscope_core.cli.console import err, out
from miniscope_core.cli.interrupts import SCRATCH_GRACE_S, ends_on_interrupt
from miniscope_core.cli.parameters import Clean, Method, Set, parameters_from
from miniscope_core.cli.recordings import (
    ClockOption,
    ColumnsOption,
    DatasetOption,
    FilesOption,
    Folder,
    FpsOption,
    IdOption,
    JoinOption,
    LocationOption,
    NotesOption,
    ProjectOption,
    SubjectOption,
    TimeOption,
    ingest_options,
    reading_options,
)
from miniscope_core.errors import ParameterError
from miniscope_core.pipeline.requests import IngestOptions
from miniscope_core.settings import plain_place

if TYPE_CHECKING:
    from miniscope_core.models.parameters import Parameters

Paramset = Annotated[int | None, typer.Option(min=0, help="Number of a recorded parameter set, instead of --set.")]


@contextlib.contextmanager
def flow_output(shared: Common) -> Iterator[None]:
    """Show a flow's progress as bars in this terminal; its log goes to its run's page, and here only if verbose."""
    if not shared.verbose:
        # The run's page keeps the whole log; here it would only tear the bars apart.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    with err.status("Starting Prefect …") if not shared.quiet else contextlib.nullcontext():
        from flows.progress import listen, stop_listening
    with shared.progress() as bars:
        listen(bars)
        try:
            yield
        finally:
            stop_listening(bars)


@app.command()
def run(
    context: typer.Context,
    folder: Folder,
    subject: SubjectOption = None,
    session_datetime: TimeOption = None,
    recording_id: IdOption = None,
    location: LocationOption = None,
    project: ProjectOption = None,
    notes: NotesOption = "",
    clock: ClockOption = "strict",
    fps: FpsOption = None,
    dataset: DatasetOption = None,
    files: FilesOption = None,
    columns: ColumnsOption = None,
    method: Method = "cnmfe",
    assignments: Set = None,
    clean: Clean = None,
    paramset: Paramset = None,
    join: JoinOption = False,
) -> None:
    """Do it all, as one Prefect flow: ingest, process, curate and extract. What is done already is kept."""
    shared = common(context)
    if paramset is not None and (assignments or clean):
        raise ParameterError("run takes --paramset, or --set and --clean, not both.")
    parameters = None if paramset is not None else parameters_from(method, assignments, clean)
    options = ingest_options(
        subject,
        session_datetime,
        recording_id,
        location,
        project,
        notes,
        clock,
        fps,
        **reading_options(join, dataset, files, columns),
    )
    shared.settings  # noqa: B018 - refuse bad settings before Prefect starts
    started = datetime.now(UTC)
    key = run_flow(shared, folder, options, parameters, paramset)
    shared.say(_summary(shared, key, started))
    shared.say(escape(f"Next: miniscope{_home()} plot {shlex.quote(key)}"))
    shared.say(escape(f"      miniscope{_home()} curate {shlex.quote(key)}"))


def run_flow(
    shared: Common, folder: str, options: IngestOptions, parameters: "Parameters | None", paramset: int | None
) -> str:
    """Run the whole pipeline as a flow and return the curation's key."""
    _refuse_early(shared, folder, options, paramset)
    with ends_on_interrupt(), flow_output(shared):
        from flows import run_pipeline
        from flows.forms import DEFAULT_PARAMETERS
        from flows.health import describe_server

        describe_server()  # one line now instead of Prefect's hundred later
        key = run_pipeline(plain_place(folder), options, parameters or DEFAULT_PARAMETERS, paramset)
    return str(key)


def _refuse_early(shared: Common, folder: str, options: IngestOptions, paramset: int | None) -> None:
    """Refuse what would fail anyway before Prefect starts, and before it tries again what is away."""
    from miniscope_core.io import find_recording, find_recordings
    from miniscope_core.pipeline.process import choose_parameter_set
    from miniscope_core.remote import RemoteFiles
    from miniscope_core.storage.archive import Archive

    remote = RemoteFiles.of(shared.settings)
    with shared.progress() as progress, remote.held(folder, progress) as place:
        if options.join:
            find_recordings(place)
        else:
            find_recording(place, files=options.files)
    with Archive.open(shared.settings) as archive:
        archive.store.check()
        if paramset is not None:
            choose_parameter_set(archive, None, paramset)


def _home() -> str:
    home = os.environ.get("MINISCOPE_HOME")
    if not home:
        return ""
    with contextlib.suppress(ValueError):
        home = str(Path(home).relative_to(Path.cwd()))
    return f" --home {shlex.quote(home)}"


def _summary(shared: Common, key: str, started: datetime) -> str:
    from miniscope_core.workspace import Workspace

    with Workspace(shared.settings) as workspace:
        masks = workspace.masks(key)
        result = workspace.fetch1("Processing", key.rpartition("/")[0])
    accepted = int(masks["accepted"].sum())
    seconds = sum(result["timings"].values())
    known = "" if result["processing_time"] >= started else "Unchanged, processed before: "
    return (
        f"{known}[bold green]{accepted} cells[/] accepted of {len(masks)} units in {escape(key)} "
        f"({result['method']}, {seconds:.0f} s, peak {result['peak_memory_bytes'] / 2**20:.0f} MiB)"
    )


@app.command()
def process(
    context: typer.Context,
    folder: Folder,
    output: Annotated[Path, typer.Option(metavar="OUT", help="New folder for the result.")],
    method: Method = "cnmfe",
    assignments: Set = None,
    clean: Clean = None,
    clock: ClockOption = "strict",
    fps: FpsOption = None,
    dataset: DatasetOption = None,
    files: FilesOption = None,
    columns: ColumnsOption = None,
    join: JoinOption = False,
) -> None:
    """Run one engine alone, without database and Prefect; ``load_result(OUT)`` reads what it leaves."""
    from miniscope_core.io import open_joined, open_recording
    from miniscope_core.pipeline.process import compute, refuse_occupied

    shared = common(context)
    reading = reading_options(join, dataset, files, columns)
    parameters = parameters_from(method, assignments, clean)
    settings = shared.settings
    refuse_occupied(output)
    with ends_on_interrupt(SCRATCH_GRACE_S), shared.progress() as progress:
        opener = open_joined if reading.pop("join") else open_recording
        recording = opener(folder, clock=clock, fps=fps, progress=progress, workers=settings.workers, **reading)
        result = compute(recording, parameters, output, settings, progress)
    for note in result.info.notes:
        shared.say(f"[yellow]note:[/] {escape(note)}")
    shared.say(
        f"[bold green]{int(result.accepted.sum())} cells[/] accepted of {result.unit_count} units in "
        f"{sum(result.timings.values()):.0f} s, peak {result.peak_memory_bytes / 2**20:.0f} MiB: {escape(str(output))}"
    )


@app.command()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put everything.")] = Path("miniscope-demo"),
) -> None:
    """Run the whole pipeline on a small simulated recording that ships with the package, and score it."""
    from miniscope_core.demo import copy_demo, load_truth
    from miniscope_core.figures import curation_figures
    from miniscope_core.plots import save_png
    from miniscope_core.quality import score_result
    from miniscope_core.workspace import Workspace

    shared = common(context)
    started, began = time.monotonic(), datetime.now(UTC)
    use_home(folder)
    session = copy_demo(folder / "data")
    shared.say(f"Demo recording: {escape(str(session))}")
    key = run_flow(shared, str(session), IngestOptions(location="CA1 (simulated)"), None, None)
    with Workspace(shared.settings) as workspace:
        score = score_result(workspace.result(key), load_truth())
        pictures = {
            name: save_png(figure, folder / "pictures" / f"{name}.png")
            for name, figure in curation_figures(workspace, key).items()
        }
    out.print(_summary(shared, key, began), soft_wrap=True)
    out.print(f"Against the truth of the simulation: {score.summary()}", soft_wrap=True, highlight=False)
    out.print(
        f"Pictures: {pictures['overview']} and {len(pictures) - 1} more beside it", soft_wrap=True, highlight=False
    )
    out.print(f"Done in {time.monotonic() - started:.0f} s. What you might type next:", highlight=False)
    for command in (
        f"miniscope{_home()} status",
        f"miniscope{_home()} curate {shlex.quote(key)}",
        f"miniscope{_home()} plot {shlex.quote(key)} --min-npix 500",
        "miniscope inspect YOUR_SESSION_FOLDER",
    ):
        out.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)
