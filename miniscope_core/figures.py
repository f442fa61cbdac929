"""The figures of a recording and of a curation: what is read from the workspace meets what plots can draw."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from miniscope_core import plots
from miniscope_core.curation.units import CuratedUnits
from miniscope_core.io.recording import Recording
from miniscope_core.models import CurationKey, as_key
from miniscope_core.quality.agreement import Agreement
from miniscope_core.quality.scoring import moved
from miniscope_core.quality.seeds import seed_fates
from miniscope_core.result import ProcessingResult
from miniscope_core.workspace import Workspace

_TRACES: Final = 20
_PREVIEWED: Final = 12
_SAMPLED_FRAMES: Final = 60
_CLEANING: Final = "cleaning_"


def recording_figure(recording: Recording) -> Figure:
    """Draw what a reader sees: frames, brightness over time, the intervals of the clock and what else is on it.

    Frames are sampled over the recording, so it costs the same for a long one as the decoder allows.

    Parameters
    ----------
    recording
        Opened recording.
    """
    step = max(1, recording.frame_count // _SAMPLED_FRAMES)
    indices = np.arange(0, recording.frame_count, step)
    brightness, shown, kept = [], [], []
    keep = set(np.linspace(0, len(indices) - 1, min(4, len(indices))).round().astype(int).tolist())
    for position, index in enumerate(indices):
        frame = recording.frames(int(index), int(index) + 1)[0]
        brightness.append(float(frame.mean()))
        if position in keep:
            shown.append(frame)
            kept.append(int(index))
    return plots.plot_recording(
        np.stack(shown),
        np.array(kept),
        recording.timestamps_s,
        np.array(brightness),
        brightness_indices=indices,
        dropped=recording.clock.dropped,
        corrupt_frames=np.array(recording.corrupt_frames, int),
        invented_times=recording.invented_times,
        signals=recording.signals,
        title=recording.directory.name,
    )


def curation_figures(
    workspace: Workspace, curation: CurationKey | str, *, min_npix: int = 0, mask_ids: Sequence[int] = ()
) -> dict[str, Figure]:
    """Draw a curation: overview, average image, summary images, contours, traces, shifts and single masks.

    Parameters
    ----------
    workspace
        Where it is.
    curation
        Key of an extracted curation.
    min_npix
        Draw the contours of masks with more pixels than this.
    mask_ids
        Masks to draw alone, with fluorescence and activity against time; default: the accepted one of highest SNR.

    Returns
    -------
    dict of str to Figure
        By file name without suffix.
    """
    key = as_key(curation, CurationKey)
    masks = workspace.masks(key)
    units = workspace.units(key)
    result = units.result
    large = masks[masks["mask_npix"] > min_npix]
    accepted = large["accepted"].to_numpy(bool)
    ids = large["mask_id"].to_numpy(int)
    average = workspace.image(key, "average")
    times = workspace.timestamps_s(key.task.recording)
    outliers = result.optional("outlier_frames")
    best = best_masks(workspace, key, _TRACES)
    figures = {
        "overview": overview_figure(workspace, key),
        "average_image": plots.plot_average_image(average),
        "summary_images": plots.plot_summary_images(result.images, seeds_px=result.optional("seeds_px")),
        "contours": plots.plot_contours(
            average,
            units.footprints[np.searchsorted(units.unit_ids, ids)],
            ids,
            accepted,
            title=f"Masks with more than {min_npix} px" if min_npix else "",
        ),
        "traces": plots.plot_traces(
            units.rows("fluorescence", best),
            times,
            denoised=units.rows("traces", best),
            activity=units.rows("activity", best),
            mask_ids=best,
        ),
        "shifts": plots.plot_shifts(result.shifts_px, times, outlier_frames=outliers),
    }
    cleaned = cleaning_figure(result)
    if cleaned is not None:
        figures["cleaning"] = cleaned
    found = seed_map(result, units)
    if found is not None:
        figures["seeds"] = plots.plot_seeds(found)
    for mask_id in mask_ids or best[:1].tolist():
        figures[f"mask_{mask_id:04d}"] = mask_figure(workspace, key, int(mask_id))
    return figures


def overview_figure(workspace: Workspace, curation: CurationKey | str) -> Figure:
    """Draw a curation on one page: contours on the correlation image, the best traces, quality, motion."""
    key = as_key(curation, CurationKey)
    units = workspace.units(key)
    result = units.result
    best = best_masks(workspace, key, _TRACES)
    return plots.plot_overview(
        result.images.get("correlation", result.images["average"]),
        units.footprints,
        units.rows("fluorescence", best),
        workspace.timestamps_s(key.task.recording),
        trace_units=np.searchsorted(units.unit_ids, best),
        accepted=units.accepted,
        denoised=units.rows("traces", best),
        activity=units.rows("activity", best),
        shifts_px=result.shifts_px,
        snr=units.metric("snr"),
        r_value=units.metric("r_value"),
        mask_ids=units.unit_ids,
        title=str(key),
    )


def cleaning_figure(result: ProcessingResult) -> Figure | None:
    """Draw what was cleaned from the movie of a result, before and after; None where nothing was."""
    names = {name: name.removeprefix(_CLEANING) for name in result.array_names if name.startswith(_CLEANING)}
    if not names:
        return None
    steps = ", ".join(result.parameters.get("cleaning") or {})
    return plots.plot_cleaning({short: result.read(name) for name, short in names.items()}, title=f"Cleaned: {steps}")


def seed_map(result: ProcessingResult, units: CuratedUnits | None = None) -> plots.SeedMap | None:
    """Return what :func:`miniscope_core.plots.plot_seeds` draws, or None for an engine that keeps no such images.

    Parameters
    ----------
    result
        Of any engine.
    units
        As a curation has them; by default the engine's own, as it accepted them.
    """
    images, seeds = result.images, result.optional("seeds_px")
    if seeds is None or not {"correlation", "pnr"} <= images.keys():
        return None
    judged = result if units is None else units
    return plots.SeedMap(
        images["correlation"],
        images["pnr"],
        seeds,
        seed_fates(judged.footprints, judged.accepted, seeds, result.shape),
        result.parameters.get("min_corr"),
        result.parameters.get("min_pnr"),
    )


def result_figure(result: ProcessingResult, *, joins_s: Sequence[float] = (), title: str = "") -> Figure:
    """Draw a result that is in no database: seeds, outlines and the accepted traces of the highest SNR.

    Parameters
    ----------
    result
        Of any engine; of one without seeds, outlines, traces, quality and motion are drawn.
    joins_s
        Times at which frames follow each other that did not in the recording, s.
    title
        Above all of it.
    """
    units = np.flatnonzero(result.accepted)
    snr = result.optional("snr")
    if snr is not None:
        units = units[np.argsort(-np.nan_to_num(snr[units], nan=-np.inf), kind="stable")]
    best = units[:_PREVIEWED].astype(np.int64)
    found = seed_map(result)
    if found is None:
        image = result.images.get("correlation", result.images["average"])
        return plots.plot_overview(
            image,
            result.footprints,
            _rows(result, "fluorescence", best),
            _times(result),
            trace_units=best,
            accepted=result.accepted,
            shifts_px=result.shifts_px,
            snr=snr,
            title=title,
        )
    return plots.plot_preview(
        found,
        result.footprints,
        _rows(result, "fluorescence", best),
        _times(result),
        accepted=result.accepted,
        denoised=_rows(result, "traces", best),
        activity=_rows(result, "activity", best),
        mask_ids=best,
        joins_s=joins_s,
        title=title,
    )


def agreement_figure(
    first: ProcessingResult,
    second: ProcessingResult,
    agreement: Agreement,
    *,
    names: tuple[str, str] = ("first", "second"),
    title: str = "",
) -> Figure:
    """Draw how far two results of one recording agree, on the first's correlation image.

    Parameters
    ----------
    first, second
        Of any engine.
    agreement
        As :func:`miniscope_core.quality.agreement.compare_results` returned it.
    names
        Of the two results.
    title
        Above all of it.
    """
    # Where the first keeps no image, the second's serves: the two lie apart by a pixel or so.
    images = second.images | {name: image for name, image in first.images.items() if np.isfinite(image).any()}
    compared = (agreement.first_units, agreement.second_units)
    positions = [np.searchsorted(units, agreement.pairs[:, side]) for side, units in enumerate(compared)]
    return plots.plot_agreement(
        images.get("correlation", images["average"]),
        first.footprints[agreement.first_units],
        moved(second.footprints[agreement.second_units], first.shape, agreement.offset_px),
        np.stack(positions, axis=1),
        agreement.trace_r,
        agreement.activity_r,
        names=names,
        title=title,
    )


def mask_figure(workspace: Workspace, curation: CurationKey | str, mask_id: int) -> Figure:
    """Draw one mask: footprint, fluorescence and deconvolved activity against time in seconds."""
    fluorescence = workspace.fluorescence(curation, mask_id)
    activity = workspace.activity(curation, mask_id)
    kinds = workspace.classification(curation, mask_id)["mask_type"]
    return plots.plot_mask_activity(
        workspace.footprint(curation, mask_id),
        fluorescence.values,
        activity.values,
        fluorescence.time_s,
        mask_id=mask_id,
        denoised=workspace.denoised(curation, mask_id).values,
        activity_unit=activity.unit,
        title=", ".join(kinds),
    )


def best_masks(workspace: Workspace, curation: CurationKey | str, count: int) -> NDArray[np.int64]:
    """Return the ids of the accepted masks with the highest SNR, best first."""
    masks = workspace.masks(curation)
    ranked = masks[masks["accepted"]].sort_values("snr", ascending=False, kind="stable", na_position="last")
    return ranked["mask_id"].to_numpy(np.int64)[:count]


def _rows(result: ProcessingResult, name: str, ids: NDArray[np.int64]) -> NDArray[Any]:
    if not len(ids):
        return np.zeros((0, result.frame_count), np.float32)
    # Storage order is what a sharded array reads fast; the order asked for is restored after.
    order = np.argsort(ids)
    return np.asarray(result.array(name).oindex[ids[order], :])[np.argsort(order)]


def _times(result: ProcessingResult) -> NDArray[np.float64]:
    times = result.optional("timestamps_s")
    return np.arange(result.frame_count) / result.fps if times is None else times
