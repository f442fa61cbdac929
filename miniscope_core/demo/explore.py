"""A walk through a workspace: browse the tables, fetch by natural key, draw masks and traces.

Run it on the demo (``miniscope demo`` first), or read it for what a session of your own would type::

    python -m miniscope_core.demo.explore --home miniscope-demo --output explored
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from miniscope_core import Workspace, plots
from miniscope_core.settings import Settings


def explore(workspace: Workspace, output: Path, min_npix: int = 130) -> str:
    """Browse a workspace as an analysis would, and draw what it finds.

    Parameters
    ----------
    workspace
        One with at least one extracted curation.
    output
        Folder for the pictures.
    min_npix
        Masks with more pixels than this are drawn.

    Returns
    -------
    str
        Key of the curation that was explored.
    """
    with pd.option_context("display.width", None, "display.max_columns", None, "display.max_rows", None):
        return _walk(workspace, output, min_npix)


def _walk(workspace: Workspace, output: Path, min_npix: int) -> str:
    # Subjects, sessions and recordings with their facts and files.
    print(workspace.subjects()[["subject", "sex", "subject_birth_date"]])
    print(workspace.sessions()[["subject", "session_datetime", "session_note"]])
    recordings = workspace.recordings()
    print(recordings[["recording_id", "device", "nframes", "px_height", "px_width", "fps", "recording_duration"]])
    print(workspace.files()[["file_id", "file_path", "role", "nframes"]])

    # Parameter sets, tasks, processings, curations.
    print(workspace.parameter_sets()[["paramset_id", "processing_method", "param_set_hash"]])
    print(workspace.tasks()[["recording_id", "paramset_id", "task_mode", "attempts"]])
    print(workspace.processings()[["paramset_id", "package", "package_version", "unit_count", "accepted_count"]])
    curation = workspace.curations().iloc[-1]
    print(curation[["curation_id", "curation_time", "manual_curation", "curator"]])

    # Everything has a natural key, typed as it is printed.
    session = f"{curation.subject}/{pd.Timestamp(curation.session_datetime).isoformat()}"
    key = f"{session}/{curation.recording_id}/{curation.paramset_id}/{curation.curation_id}"
    print(workspace.fetch1("RecordingInfo", f"{session}/{curation.recording_id}")["fps"])

    # The average image, and on it the contours of the large masks: one query, no array is read for it.
    average = workspace.image(key, "average")
    plots.save_png(plots.plot_average_image(average), output / "average.png")
    masks = workspace.masks(key)
    large = masks[masks.mask_npix > min_npix]
    print(large[["mask_id", "mask_npix", "mask_center_y", "mask_center_x", "accepted", "snr", "r_value"]])
    contours = plots.plot_contours(
        average,
        workspace.footprints(key, large.mask_id),
        large.mask_id.to_numpy(),
        large.accepted.to_numpy(bool),
        title=f"More than {min_npix} pixels",
    )
    plots.save_png(contours, output / "contours.png")

    # One mask: what it is taken for, its fluorescence and its deconvolved activity against time in seconds.
    if not masks.empty:
        best = int(masks.sort_values("snr").mask_id.iloc[-1])
        print(workspace.classification(key, best)[["mask_id", "mask_classification_method", "mask_type", "confidence"]])
        fluorescence, activity = workspace.fluorescence(key, best), workspace.activity(key, best)
        figure = plots.plot_mask_activity(
            workspace.footprint(key, best),
            fluorescence.values,
            activity.values,
            fluorescence.time_s,
            mask_id=best,
            activity_unit=activity.unit,
        )
        plots.save_png(figure, output / "mask.png")
    return key


def main(arguments: Sequence[str] | None = None) -> None:
    """Explore the workspace that the command line names."""
    parser = argparse.ArgumentParser(description="Browse a workspace and draw what it finds.")
    parser.add_argument("--home", type=Path, help="folder with database and store; default: from the settings")
    parser.add_argument("--output", type=Path, default=Path("explored"), help="folder for the pictures")
    chosen = parser.parse_args(arguments)
    settings = Settings() if chosen.home is None else Settings(home=chosen.home)
    with Workspace(settings) as workspace:
        print(f"explored {explore(workspace, chosen.output)}; pictures in {chosen.output}")


if __name__ == "__main__":
    main()
