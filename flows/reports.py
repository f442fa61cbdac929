"""What a run's page shows: reports with facts and pictures, and tables of the units, as artifacts.

A report is part of its run: a store that is away for a moment is tried again like everywhere else, and a report that
cannot be made fails the run after the science was committed, so that running again makes only the report.
"""

import os
import shlex
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.logs import forward_logs
from flows.markdown import artifact_key, bullets, escaped, facts, picture, table
from flows.retries import RETRY_TRANSIENT
from miniscope_core.curation.policies import Manual
from miniscope_core.curation.units import CuratedUnits
from miniscope_core.figures import cleaning_figure, recording_figure, seed_map
from miniscope_core.io import open_recording
from miniscope_core.models import CurationKey, RecordingKey, TaskKey, as_key
from miniscope_core.pipeline.files import RawFiles
from miniscope_core.pipeline.originals import GIVEN, READING, recorded_clock
from miniscope_core.pipeline.reviews import ReviewStatus
from miniscope_core.plots import (
    plot_contours,
    plot_seeds,
    plot_shifts,
    plot_summary_images,
    plot_traces,
    png_bytes,
)
from miniscope_core.quality.masks import measure_masks
from miniscope_core.result import ProcessingResult
from miniscope_core.settings import Settings
from miniscope_core.workspace import Workspace

_LIMIT: Final = timedelta(hours=1).total_seconds()
_TRACES: Final = 16
_FILES: Final = 20
_SEEDS: Final = (
    "A cell is found where both images are above their thresholds, in colour. Where one is grey, lower its threshold "
    "(min_corr, min_pnr); a seed in a rejected unit was found, and judged by the unit's quality."
)
# The page of a run is narrow: eight columns fit with names as short as these.
_COLUMNS: Final = {
    "mask_id": "mask_id",
    "mask_npix": "npix",
    "mask_center_y": "y_px",
    "mask_center_x": "x_px",
    "snr": "snr",
    "r_value": "r_value",
    "accepted": "accepted",
    "mask_type": "type",
}


# -- tasks ----------------------------------------------------------------------------------------------
@task(name="report-recording", task_run_name="report {key}", timeout_seconds=_LIMIT, **RETRY_TRANSIENT)
def report_recording(key: str) -> None:
    """Show a recording's facts, files, clock and a few frames on the run's page."""
    forward_logs()
    with Workspace() as workspace:
        recording = as_key(key, RecordingKey)
        row = workspace.fetch1("Recording", recording) | workspace.fetch1("RecordingInfo", recording)
        files = workspace.files(recording)
        joined = workspace.parts(recording)
        # Of a joined one the pages of its parts have the pictures and the files.
        shown = (
            [picture("Frames, brightness and frame clock", png_bytes(_frames_figure(row, files)))]
            if joined.empty
            else [_parts_table(joined)]
        )
        parts = [
            f"# Recording {escaped(key)}",
            *shown,
            clock_section(row),
            "## Facts",
            _recording_facts(row),
            *(["## Files", _files_table(files, row["recording_directory"])] if joined.empty else []),
        ]
    _show("recording", key, parts)


@task(
    name="report-processing",
    task_run_name="report {task_key}",
    timeout_seconds=_LIMIT,
    **RETRY_TRANSIENT,
)
def report_processing(task_key: str) -> None:
    """Show a result on the run's page, with the engine's own acceptance: pictures, facts and a table of the units."""
    forward_logs()
    key = as_key(task_key, TaskKey)
    with Workspace() as workspace:
        result = workspace.result(key)
        units = workspace.engine_units(key)
        parts = [
            f"# Result {escaped(key)}",
            f"**{int(result.accepted.sum())} of {result.unit_count} units** pass the engine's own criteria.",
            *_result_sections(units, workspace.timestamps_s(key.recording)),
            *_about(workspace, key, result),
        ]
        rows = _units_of_result(result)
    _show("result", key, parts)
    _show_units(key, rows, "before curation")


@task(
    name="report-curation",
    task_run_name="report {curation_key}",
    timeout_seconds=_LIMIT,
    **RETRY_TRANSIENT,
)
def report_curation(curation_key: str) -> None:
    """Show a curation's cells on the run's page: pictures, facts and a table of the units."""
    forward_logs()
    key = as_key(curation_key, CurationKey)
    with Workspace() as workspace:
        masks = workspace.masks(key).sort_values("mask_id")
        curator = workspace.fetch1("Curation", key)["curator"]
        units = workspace.units(key)
        parts = [
            f"# Cells of {escaped(key.task.recording)}",
            f"**{int(units.accepted.sum())} of {len(units.unit_ids)} units accepted** by {escaped(curator)}. "
            f"Their key is {escaped(key)}: `Workspace().masks(key)`, `Workspace().fluorescence(key, mask_id)`.",
            *_result_sections(units, workspace.timestamps_s(key.task.recording)),
            *_about(workspace, key.task, units.result),
        ]
    _show("cells", key, parts)
    _show_units(key, masks[list(_COLUMNS)], f"curated by {curator}")


@task(name="report-review", task_run_name="report {curation_key}", timeout_seconds=_LIMIT, **RETRY_TRANSIENT)
def report_review(curation_key: str, policy: Manual) -> None:
    """Show on the run's page what a person is asked to decide on, what they start from, and how to answer."""
    forward_logs()
    key = as_key(curation_key, CurationKey)
    with Workspace() as workspace:
        units = workspace.units(key)
        parts = [
            f"# A person is asked: which units of {escaped(key.task)} are cells?",
            _review_counts(units, policy),
            *_how_to_answer(key.task, policy),
            *_result_sections(units, workspace.timestamps_s(key.task.recording)),
            *_about(workspace, key.task, units.result),
        ]
        rows = _units_of_result(units.result)
    _show("review", key.task, parts)
    _show_units(key.task, rows, "waits for a person")


@task(name="describe-review", task_run_name="describe {status.task}", timeout_seconds=_LIMIT, **RETRY_TRANSIENT)
def describe_review(status: ReviewStatus, refusal: str) -> str:
    """Return the Markdown within the form that answers a review: the counts, the outlines, why one was refused."""
    with Workspace() as workspace:
        units = workspace.units(status.start)
        images = units.result.images
        behind = "correlation" if "correlation" in images else "average"
        contours = plot_contours(images[behind], units.footprints, units.unit_ids, units.accepted)
    return "\n\n".join(
        [
            *([f"**The last answer was not taken.** {escaped(refusal)}"] if refusal else []),
            f"Which units of {escaped(status.task)} are cells?",
            _review_counts(units, status.policy),
            picture("Outlines of the units", png_bytes(contours)),
        ]
    )


# -- sections ---------------------------------------------------------------------------------------------
def _show(kind: str, key: object, parts: Iterable[str]) -> None:
    text = "\n\n".join(part for part in parts if part)
    create_markdown_artifact(text, key=artifact_key(kind, key), description=f"{kind.capitalize()} {escaped(key)}")


def _show_units(key: object, units: pd.DataFrame, remark: str) -> None:
    named = units.rename(columns=_COLUMNS)
    rows = [{str(name): _cell(value) for name, value in row.items()} for row in named.to_dict("records")]
    create_table_artifact(
        rows,
        key=artifact_key("units", key),
        description=f"{len(rows)} units of {escaped(key)}, {escaped(remark)}.",
    )


def _cell(value: Any) -> Any:
    """Return a value as JSON takes it, numbers with the digits that matter, what was not measured as nothing."""
    if pd.isna(value):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _about(workspace: Workspace, key: TaskKey, result: ProcessingResult) -> list[str]:
    """Return what a result was computed from and how."""
    recording = workspace.fetch1("Recording", key.recording) | workspace.fetch1("RecordingInfo", key.recording)
    row = workspace.fetch1("Processing", key)
    # As the engine resolved them: a cell diameter in µm is one in px here.
    used = {name: value for name, value in result.parameters.items() if name != "method"}
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in row["timings"].items())
    return [
        clock_section(recording),
        "## Recording",
        _recording_facts(recording),
        "## Processing",
        facts(
            {
                "Engine": f"{row['method']}, {row['package']} {row['package_version']}",
                "Finished": f"{row['processing_time']:%Y-%m-%d %H:%M} UTC",
                "Stages": stages,
                "Peak memory": f"{row['peak_memory_bytes'] / 2**20:,.0f} MiB",
                "Parameter set": key.paramset_id,
                "Notes": "; ".join(row["notes"]),
            }
        ),
        table(("Parameter", "Value"), used.items()),
    ]


def _result_sections(units: CuratedUnits, times: NDArray[np.float64]) -> list[str]:
    """Return the pictures of a result; reads only the traces that are drawn."""
    result, accepted = units.result, units.accepted
    images = result.images
    behind = "correlation" if "correlation" in images else "average"
    best = _best(units)
    traces = plot_traces(
        units.rows("fluorescence", best),
        times,
        denoised=units.rows("traces", best),
        activity=units.rows("activity", best),
        mask_ids=best,
        title=f"Best of {int(accepted.sum())} accepted",
    )
    contours = plot_contours(images[behind], units.footprints, units.unit_ids, accepted, title=f"Units on {behind}")
    found = seed_map(result, units)
    seeds = None if found is None else png_bytes(plot_seeds(found))
    # Seeds are drawn on the images that they are chosen by; no need to show those twice.
    shown = images if seeds is None else {name: images[name] for name in images.keys() - {"correlation", "pnr"}}
    shifts = plot_shifts(result.shifts_px, times, outlier_frames=result.optional("outlier_frames"))
    cleaned = cleaning_figure(result)
    before = [] if cleaned is None else ["## Cleaning", picture("Before and after cleaning", png_bytes(cleaned))]
    return [
        picture("Outlines of the units", png_bytes(contours)),
        "## Traces",
        picture("Traces of accepted units", png_bytes(traces)),
        *([] if seeds is None else ["## Seeds", _SEEDS, picture("Seeds on the images they are chosen by", seeds)]),
        "## Summary images",
        picture("Summary images", png_bytes(plot_summary_images(shown))),
        "## Motion",
        picture("Shifts applied to the frames", png_bytes(shifts)),
        *before,
    ]


def _review_counts(units: CuratedUnits, policy: Manual) -> str:
    return (
        f"**{int(units.accepted.sum())} of {len(units.unit_ids)} units** are accepted by {escaped(policy.start.kind)}, "
        "which the person starts from."
    )


def _how_to_answer(task_key: TaskKey, policy: Manual) -> list[str]:
    link = page_link(task_key)
    ways = [
        *([f"On the [curation page]({link})."] if link else []),
        f"In a terminal: `miniscope curate` {escaped(shlex.quote(str(task_key)))}",
        "By this run's **Resume** button, which asks for a decision on all units at once.",
    ]
    outcomes = {
        "fail": "the run fails",
        "accept_start": "the run goes on with what is accepted now",
        "reject_all": "the run goes on without any cell",
    }
    limit = (
        "Without a time limit."
        if policy.time_limit_h is None
        else f"Within {policy.time_limit_h:g} h; when nobody decided by then, {outcomes[policy.at_time_limit]}."
    )
    return ["## How to answer", "\n".join(f"- {way}" for way in ways), limit]


def page_link(task_key: TaskKey) -> str:
    """Return the address of a processing on the curation page, or nothing where no page is set."""
    page = Settings().page_url
    return f"{page.rstrip('/')}/#/{quote(str(task_key), safe='/:')}" if page else ""


def _best(units: CuratedUnits) -> NDArray[np.int64]:
    """Return the accepted units of the highest SNR, in the order of their numbers."""
    rows = np.flatnonzero(units.accepted)
    snr = units.metric("snr")
    if snr is not None:
        rows = rows[np.argsort(-np.nan_to_num(snr[rows], nan=-np.inf), kind="stable")]
    return np.sort(units.unit_ids[rows[:_TRACES]])


def _units_of_result(result: ProcessingResult) -> pd.DataFrame:
    geometry = measure_masks(result.footprints, result.shape)
    columns = {
        "mask_id": np.arange(result.unit_count),
        "mask_npix": geometry.npix,
        "mask_center_y": geometry.center_px[:, 0],
        "mask_center_x": geometry.center_px[:, 1],
        "snr": result.optional("snr"),
        "r_value": result.optional("r_value"),
        "accepted": result.accepted,
    }
    return pd.DataFrame({name: values for name, values in columns.items() if values is not None})


def _recording_facts(row: dict[str, Any]) -> str:
    clock = row["clock_report"]
    minutes, seconds = divmod(row["recording_duration"], 60)
    return facts(
        {
            "Frames": f"{row['nframes']:,}",
            "Size": f"{row['px_height']} × {row['px_width']} px (height × width)",
            "Rate": f"{row['fps']:.4g} Hz, from the clock",
            "Duration": f"{row['recording_duration']:.1f} s ({minutes:.0f} min {seconds:.0f} s)",
            "Dropped frames": f"{row['dropped_frames']:,}, by {clock.get('dropped_from', 'the clock')}",
            "Recorded": f"{row['recording_datetime']:%Y-%m-%d %H:%M:%S}" if row["recording_datetime"] else None,
            "Device": row["device"],
            "Program": row["acquisition_software"],
            "Gain": row["gain"] if pd.notna(row["gain"]) else None,
            "LED": row["led_power"] if pd.notna(row["led_power"]) else None,
            "Folder": row["recording_directory"],
            "Remarks": row["recording_notes"],
        }
    )


def clock_section(row: dict[str, Any]) -> str:
    """Return what is odd about the clock and the metadata, or nothing."""
    report = row["clock_report"]
    odd = [*report.get("problems", ()), *report.get("metadata_warnings", ())]
    counts = {"repeated times": report.get("repeated"), "times that go back": report.get("backward")}
    if report.get("invented"):
        count = sum(last - first + 1 for first, last in report["invented"])
        odd.append(f"The times of {count:,} frames are invented, between those that can be trusted")
    odd += [f"The clock has {count} {what}" for what, count in counts.items() if count]
    return f"## Odd about this recording\n\n{bullets(odd)}" if odd else ""


def _files_table(files: pd.DataFrame, folder: str) -> str:
    rows = [
        (
            os.path.relpath(row["file_path"], folder),
            row["role"],
            "" if pd.isna(row["nframes"]) else f"{row['nframes']:,}",
            f"{row['nbytes']:,}",
        )
        for row in files.head(_FILES).to_dict("records")
    ]
    more = len(files) - len(rows)
    return table(("File", "Role", "Frames", "Bytes"), rows) + (f"\n\nand {more} more files" if more else "")


def _parts_table(joined: pd.DataFrame) -> str:
    columns = ("joined_recording", "start_frame", "nframes", "start_s")
    rows = zip(*(joined[name].tolist() for name in columns), strict=True)
    return table(("Recording of the session", "First frame", "Frames", "Began at, s"), rows)


def _frames_figure(row: dict[str, Any], files: pd.DataFrame) -> Figure:
    """Draw a few frames, decoded from the files, with the brightness over time and the clock."""
    settings = Settings()
    raw = RawFiles.of(settings)
    videos = files[files["role"] == "video"]
    recording = open_recording(
        raw.find(row["recording_directory"]),
        clock=recorded_clock(row["clock_report"]),
        fps=row["fps"] if row["clock_report"].get("source") == GIVEN else None,
        frame_counts={
            os.path.relpath(path, row["recording_directory"]): int(count)
            for path, count in zip(videos["file_path"], videos["nframes"], strict=True)
        },
        workers=settings.workers,
        remote=raw.remote,
        **row["clock_report"].get(READING, {}),
    )
    return recording_figure(recording)
