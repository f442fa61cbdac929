"""Commands about recordings: ``inspect`` and ``ingest``."""

import os
from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.markup import escape
from rich.table import Table

from miniscope_core.cli.app import Common, app, common
from miniscope_core.cli.console import out, pairs_table
from miniscope_core.cli.parameters import Clean, Set, parameters_from
from miniscope_core.errors import ParameterError, ResultError
from miniscope_core.pipeline.requests import IngestOptions, checked_options
from miniscope_core.settings import plain_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from miniscope_core.io import Recording, Signal
    from miniscope_core.io.speed import Timed
    from miniscope_core.models.cleaning import Cleaning
    from miniscope_core.models.parameters import Parameters
    from miniscope_core.progress import Progress

Folder = Annotated[
    str,
    typer.Argument(
        metavar="DIR", help="Folder or file of one recording, or folder of a session with one; or an address, s3://…"
    ),
]
Clock = Literal["strict", "report", "interpolate"]
ClockOption = Annotated[
    Clock,
    typer.Option(
        help="strict: refuse a clock that does not fit the video; report: go on, and record it; interpolate: also "
        "invent the times that are missing or wrong, and mark them."
    ),
]
FpsOption = Annotated[
    float | None, typer.Option(min=0.001, help="Frame rate, Hz, for a recording without a frame clock.")
]
DatasetOption = Annotated[str | None, typer.Option(help="Movie in an HDF5 or NWB file that holds several.")]
FilesOption = Annotated[
    str | None, typer.Option(help="Files of DIR that are one movie, as a pattern in quotes: 'run_*.tif'.")
]
ColumnsOption = Annotated[
    str | None, typer.Option(help="Columns of a table of times, as in Bonsai: time=0,unit=iso,frame=1.")
]
SubjectOption = Annotated[str | None, typer.Option(help="Name of the animal; default: as in the metadata.")]
TimeOption = Annotated[
    datetime | None, typer.Option(help="Start of the session, local time at the rig; default: as in the metadata.")
]
IdOption = Annotated[int | None, typer.Option(min=0, help="Number of the recording in its session; default: the next.")]
LocationOption = Annotated[str | None, typer.Option(help="Anatomical location, e.g. CA1.")]
ProjectOption = Annotated[str | None, typer.Option(help="Project the session belongs to.")]
JoinOption = Annotated[
    bool, typer.Option("--join", help="DIR holds several recordings: take them as one movie with their true times.")
]
NotesOption = Annotated[str, typer.Option(help="Remark on the recording.")]


def reading_options(join: bool, dataset: str | None, files: str | None, columns: str | None) -> dict[str, Any]:
    """Return the options of a command that only some recordings take, after refusing those that exclude each other.

    Raises
    ------
    ParameterError
        When recordings are to be joined that are said to be one movie of a file, or of files.
    """
    single = {"--dataset": dataset, "--files": files}
    given = {name: value for name, value in single.items() if value is not None}
    if join and given:
        names = " and ".join(given)
        raise ParameterError(
            f"--join with {names}: got {', '.join(map(repr, given.values()))}, expected --join alone: it takes every "
            f"recording of DIR as it finds it, and {names} {'mean' if len(given) > 1 else 'means'} one movie. Leave "
            f"out {names} to join recordings, or --join to read one."
        )
    return {"join": join, "dataset": dataset, "files": files, "columns": columns}


_FATES: Final = {"accepted": "accepted units", "rejected": "rejected units", "no unit": "no unit"}


@app.command()
def inspect(
    context: typer.Context,
    folder: Folder,
    fps: FpsOption = None,
    clock: ClockOption = "report",
    picture: Annotated[
        Path | None,
        typer.Option(help="Write frames, brightness and clock, or the seeds, or the cleaning, to this PNG."),
    ] = None,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Show where units are tried, in a sample of DIR or in a result of process.")
    ] = False,
    assignments: Set = None,
    clean: Clean = None,
    dataset: DatasetOption = None,
    files: FilesOption = None,
    columns: ColumnsOption = None,
    join: JoinOption = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Also read it all three times, to tell how fast, beside plain decoding.")
    ] = False,
) -> None:
    """Show what the reader sees in a folder, with the report on its frame clock. Writes nothing to the database."""
    from miniscope_core.figures import recording_figure
    from miniscope_core.io import open_joined, open_recording
    from miniscope_core.io.speed import time_reading
    from miniscope_core.models.cleaning import Cleaning
    from miniscope_core.plots import save_png

    reading = reading_options(join, dataset, files, columns)
    if seeds:
        _inspect_seeds(common(context), folder, fps, picture, parameters_from("cnmfe", assignments, clean))
        return
    if assignments:
        raise ParameterError("inspect takes --set only with --seeds: a reader has no engine parameters.")
    opener = open_joined if reading.pop("join") else open_recording
    opened = partial(opener, folder, clock=clock, fps=fps, **reading)
    with common(context).progress() as progress:
        recording = opened(progress=progress)
    out.print(_facts(recording))
    out.print(_clock(recording))
    for warning in recording.metadata.warnings:
        out.print(f"[yellow]odd:[/] {escape(warning)}", soft_wrap=True)
    for problem in recording.clock.problems:
        out.print(f"[red]a strict reader refuses:[/] {escape(problem)}", soft_wrap=True)
    if speed:
        with common(context).progress() as progress:
            ways = time_reading(opened, common(context).settings.workers, progress)
        out.print(_speed(ways))
    steps = Cleaning.parse(clean or [])
    figure = None
    if steps is not None:
        with common(context).progress() as progress:
            figure = _clean(common(context), recording, steps, progress)
    if picture is not None:
        figure = figure or recording_figure(recording)
        out.print(f"picture: {save_png(figure, picture)}", highlight=False, soft_wrap=True)


def _clean(shared: Common, recording: "Recording", steps: "Cleaning", progress: "Progress") -> "Figure | None":
    """Say what a cleaning would do, and draw it where it changes what frames look like."""
    from miniscope_core.cleaning import clean
    from miniscope_core.plots import plot_cleaning

    cleaned = clean(recording, steps, shared.settings.workers, progress)
    for note in cleaned.notes or ("No frame is broken.",):
        out.print(escape(note), soft_wrap=True, highlight=False)
    title = f"{recording.directory.name}, cleaned: {', '.join(steps.steps)}"
    return plot_cleaning(cleaned.images, title=title) if cleaned.images else None


def _inspect_seeds(
    shared: Common, folder: str, fps: float | None, picture: Path | None, parameters: "Parameters"
) -> None:
    """Show the seeds of a result, or of a sample of a recording, and what became of them."""
    from miniscope_core.cli.previewing import look, sampled
    from miniscope_core.figures import seed_map
    from miniscope_core.plots import plot_seeds, save_png
    from miniscope_core.result import RESULT_FILE, load_result

    if (Path(folder) / RESULT_FILE).is_file():
        if parameters != parameters_from("cnmfe", None):
            raise ParameterError(
                f"--set or --clean with the result in {folder}: its parameters are fixed. Name the recording."
            )
        result, seen = load_result(Path(folder)), "the whole recording"
    else:
        preview = look(shared, folder, parameters, fps=fps)
        result, seen = preview.result, sampled(preview)
    found = seed_map(result)
    if found is None:
        raise ResultError(f"No seeds in the result of {folder}: the engine {result.info.method} does not keep them.")
    fates = Counter(found.fates)
    facts = {"frames": seen, "seeds": f"{len(found.fates)}"}
    facts |= {f"in {_FATES[fate]}": f"{fates[fate]}" for fate in _FATES}
    facts |= {name: f"{result.parameters[name]:g}" for name in ("min_corr", "min_pnr") if name in result.parameters}
    out.print(pairs_table(f"{folder}", facts))
    if picture is not None:
        figure = plot_seeds(found, title=f"{place_name(folder)}: {seen}")
        out.print(f"picture: {save_png(figure, picture)}", highlight=False, soft_wrap=True)


def _facts(recording: "Recording") -> Table:
    meta = recording.metadata
    height, width = recording.shape
    return pairs_table(
        f"{recording.directory}",
        {
            "copied from": recording.address,
            "read as": f"{meta.acquisition_software} ({recording.evidence})",
            "subject": meta.animal_name,
            "device": " · ".join(filter(None, (meta.device_name, meta.device_type))),
            "started": meta.recording_datetime,
            "frames": f"{recording.frame_count:,} of {height}×{width} px (height×width), {recording.dtype}",
            "rate": f"{recording.fps:.4g} Hz {'measured' if recording.clock.rows else 'as told, not measured'}"
            + (f", {meta.nominal_fps:g} Hz nominal" if meta.nominal_fps else ""),
            "duration": f"{recording.duration_s:,.1f} s",
            "gain, LED": f"{_or_dash(meta.gain)}, {_or_dash(meta.led_power)}",
            "video files": ", ".join(f"{file.path.name} ({file.frame_count})" for file in recording.files[:8])
            + (f" … {len(recording.files)} files" if len(recording.files) > 8 else ""),
            "joined": ", ".join(
                f"{part.directory.name} from frame {part.start_frame:,}, {part.start_s:,.1f} s"
                for part in recording.parts
            )
            or None,
            "notes": f"{len(recording.notes)}" if recording.notes else None,
            "head orientation": f"{len(recording.head_orientation):,} samples"
            if recording.head_orientation is not None
            else None,
            "signals": "\n".join(_signal(one) for one in recording.signals) or None,
        },
    )


def _signal(signal: "Signal") -> str:
    times = f", {signal.times_s[0]:,.1f} to {signal.times_s[-1]:,.1f} s" if len(signal.times_s) else ""
    sure = "" if signal.uncertainty_s == 0 else ", times as told below"
    channels = f" of {len(signal.channels)} values" if len(signal.channels) > 1 else ""
    return f"{signal.name}: {len(signal.times_s):,} samples{channels}{times}{sure}"


def _clock(recording: "Recording") -> Table:
    clock = recording.clock
    return pairs_table(
        f"Frame clock: {clock.source}",
        {
            "rows, frames, used": f"{clock.rows:,}, {clock.frames:,}, {clock.used:,}",
            "joined": clock.rule,
            "interval": f"{clock.median_interval_ms:.2f} ms median, ± {clock.jitter_ms:.2f} ms, "
            f"longest {clock.longest_interval_ms:.1f} ms",
            "dropped frames": f"{clock.dropped:,} (from {clock.dropped_from})",
            "repeated, backward": f"{clock.repeated:,}, {clock.backward:,}",
            "fullest buffer": clock.buffer_peak,
            "invented times": f"{clock.invented_count:,}: {_told(clock.invented)}" if clock.invented else None,
            "corrupt frames": f"{len(recording.corrupt_frames):,}" if recording.corrupt_frames else None,
        },
    )


def _speed(ways: "Sequence[Timed]") -> Table:
    plain = ways[0]
    return pairs_table(
        "Speed, here and now",
        {
            way.what: f"{way.fps:,.0f} frames/s, {way.wall_s:.2f} s"
            + ("" if way is plain else f" ({way.wall_s / max(plain.wall_s, 1e-9):.2f} × plain)")
            + f", {way.cpu_s:.2f} s of CPU"
            for way in ways
        },
    )


def _told(runs: tuple[tuple[int, int], ...], most: int = 6) -> str:
    """Return runs of frames for people."""
    told = ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in runs[:most])
    return told + (f" and {len(runs) - most} more" if len(runs) > most else "")


def place_name(place: str) -> str:
    """Return the last part of a folder or an address, for a title."""
    return str(plain_place(place)).rpartition(os.sep)[2]


def _or_dash(value: Any) -> str:
    return "–" if value is None else f"{value:g}"


@app.command()
def ingest(
    context: typer.Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help="Folder of one recording, or its address.")
    ] = None,
    subject: SubjectOption = None,
    session_datetime: TimeOption = None,
    recording_id: IdOption = None,
    location: LocationOption = None,
    project: ProjectOption = None,
    notes: NotesOption = "",
    clock: ClockOption = "strict",
    fps: FpsOption = None,
    subjects: Annotated[Path | None, typer.Option(help="CSV of subjects, instead of DIR.")] = None,
    sessions: Annotated[Path | None, typer.Option(help="CSV of sessions, instead of DIR.")] = None,
    dataset: DatasetOption = None,
    files: FilesOption = None,
    columns: ColumnsOption = None,
    join: JoinOption = False,
) -> None:
    """Record a folder's subject, session, recording, files and clock in the database; again changes nothing."""
    from miniscope_core.pipeline.ingest_csv import ingest_sessions, ingest_subjects
    from miniscope_core.pipeline.join import ingest_folder
    from miniscope_core.storage.archive import Archive

    if (folder is None) == (subjects is None and sessions is None):
        raise ParameterError("ingest takes a folder, or --subjects and --sessions with CSV files: give one of them.")
    shared = common(context)
    with Archive.open(shared.settings) as archive, shared.progress() as progress:
        if folder is not None:
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
            messages = [ingest_folder(archive, folder, options, progress).message]
        else:
            rows = [*(ingest_subjects(archive, subjects) if subjects else [])]
            rows += ingest_sessions(archive, sessions, progress) if sessions else []
            messages = [row.message for row in rows]
    for message in messages:
        shared.say(escape(message))


def ingest_options(
    subject: str | None,
    session_datetime: datetime | None,
    recording_id: int | None,
    location: str | None,
    project: str | None,
    notes: str,
    clock: Clock,
    fps: float | None,
    *,
    join: bool = False,
    **reading: str | None,
) -> IngestOptions:
    """Make the options of ingestion from those of a command; ``reading`` are those that only some formats take."""
    return checked_options(
        subject=subject,
        session_datetime=session_datetime,
        recording_id=recording_id,
        location=location,
        project=project,
        recording_notes=notes,
        clock=clock,
        fps=fps,
        join=join,
        **reading,
    )
