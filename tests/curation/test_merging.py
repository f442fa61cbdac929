"""Merging: one cell that was found in parts comes back as one, whatever the engine's scale."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from miniscope_core.curation.decisions import Merge, Reject, engine_decisions, replay
from miniscope_core.curation.merging import MergedArrays, merge_units
from miniscope_core.curation.units import CuratedUnits
from miniscope_core.errors import CurationError
from miniscope_core.result import GroupWriter, ProcessingResult, ResultInfo

SHAPE = (12, 17)
FRAMES = 400


def cell(centre: tuple[float, float], width: float) -> NDArray[np.float64]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * width**2))
    return np.where(blob > 0.05, blob, 0).ravel()


def trace(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.convolve(rng.random(FRAMES) < 0.03, np.exp(-np.arange(30) / 8.0))[:FRAMES] * 10


def result_of(footprints: NDArray[np.float64], traces: NDArray[np.float64], noise: float = 0.0) -> ProcessingResult:
    rng = np.random.default_rng(9)
    writer = GroupWriter()
    writer.write_footprints(sp.csr_array(footprints))
    writer.write("traces", traces)
    writer.write("fluorescence", traces + noise * rng.normal(size=traces.shape))
    writer.write("activity", np.maximum(np.diff(traces, axis=1, prepend=traces[:, :1]), 0))
    writer.write("shifts_px", np.zeros((FRAMES, 2)))
    writer.write("accepted", np.ones(len(traces), bool))
    writer.write("snr", np.arange(len(traces), dtype=float))
    for image in ("image_template", "image_average"):
        writer.write(image, np.zeros(SHAPE))
    info = ResultInfo(
        method="cnmfe",
        package="test",
        package_version="0",
        shape=SHAPE,
        frame_count=FRAMES,
        unit_count=len(traces),
        fps=20.0,
        parameters={},
        versions={},
        timings={},
        peak_memory_bytes=0,
        activity_method="cnmfe_deconvolution",
    )
    return writer.finish(info)


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("scale", [1.0, 250.0])
def test_a_cell_that_was_cut_in_two_comes_back_whole(scale: float) -> None:
    whole, course = cell((6, 8), 2.0), trace(1)
    left = whole.reshape(SHAPE).copy()
    left[:, 8:] = 0
    halves = np.stack([left.ravel(), whole - left.ravel()])
    # An engine may put any scale into the trace instead of the footprint.
    result = result_of(halves / [[scale], [1.0]], np.stack([course * scale, course]))
    merged = merge_units(result, (0, 1))
    assert cosine(merged.footprint.toarray().ravel(), whole) > 0.9999
    assert np.corrcoef(merged.trace, course)[0, 1] > 0.9999
    movie = np.outer(whole, course)
    assert np.allclose(np.outer(merged.footprint.toarray().ravel(), merged.trace), movie, atol=1e-3 * movie.max())


def test_the_trace_of_a_merged_unit_is_the_best_for_its_footprint() -> None:
    footprints = np.stack([cell((5, 6), 1.8), cell((6, 8), 2.2), cell((7, 7), 1.5)])
    traces = np.stack([trace(1), 0.7 * trace(1) + 0.3 * trace(2), trace(3)])
    merged = merge_units(result_of(footprints, traces), (0, 1, 2))
    footprint = merged.footprint.toarray().ravel()
    best = np.linalg.lstsq(footprint[:, None], footprints.T @ traces, rcond=None)[0][0]
    assert np.allclose(merged.trace, best, atol=1e-3)


def test_each_part_of_a_merged_unit_has_its_place_though_they_did_not_do_the_same() -> None:
    footprints = np.stack([cell((3, 3), 1.2), cell((8, 13), 1.2)])
    merged = merge_units(result_of(footprints, np.stack([trace(1), 2 * trace(2)])), (0, 1))
    image = merged.footprint.toarray().reshape(SHAPE)
    assert image[3, 3] > 0.3 * image[8, 13] > 0


def test_residual_is_the_projection_of_what_was_left_over_onto_the_new_footprint() -> None:
    whole, course = cell((6, 8), 2.0), trace(1)
    result = result_of(np.stack([whole, whole]), np.stack([course, course]), noise=1.0)
    merged = merge_units(result, (1, 0))
    left = (result.fluorescence - result.traces).mean(axis=0)
    # Each member's residual is such a projection: twice the same footprint does not see it twice.
    assert np.allclose(merged.fluorescence - merged.trace, left, atol=1e-4)


def test_order_of_the_members_does_not_matter() -> None:
    result = result_of(np.stack([cell((5, 6), 2), cell((6, 8), 2)]), np.stack([trace(1), trace(2)]), noise=0.5)
    one, other = merge_units(result, (0, 1)), merge_units(result, (1, 0))
    assert np.array_equal(one.fluorescence, other.fluorescence)


def test_silent_units_can_be_merged() -> None:
    merged = merge_units(result_of(np.stack([cell((5, 6), 2), cell((6, 8), 2)]), np.ones((2, FRAMES))), (0, 1))
    assert np.isfinite(merged.trace).all()
    assert merged.footprint.toarray().max() > 0


@pytest.mark.parametrize("members", [(0,), (0, 5), (1, 1)])
def test_what_is_no_merge_is_refused(members: tuple[int, ...]) -> None:
    with pytest.raises(CurationError, match="Cannot merge units"):
        merge_units(result_of(np.stack([cell((5, 6), 2), cell((6, 8), 2)]), np.ones((2, FRAMES))), members)


# -- the units of a curation ---------------------------------------------------------------------------------
def curated() -> CuratedUnits:
    footprints = np.stack([cell((3, 3), 1.5), cell((5, 6), 2), cell((6, 8), 2), cell((8, 14), 1.5)])
    result = result_of(footprints, np.stack([trace(seed) for seed in range(4)]))
    decisions = replay(engine_decisions(result.accepted), [Merge(unit_ids=(1, 2), into=4), Reject(unit_ids=(0,))])
    return CuratedUnits(result, decisions, lambda unit, members: merge_units(result, members))


def test_units_of_a_curation_are_those_that_were_not_merged_away() -> None:
    units = curated()
    assert units.unit_ids.tolist() == [0, 3, 4]
    assert units.accepted.tolist() == [False, True, True]
    assert units.footprints.shape == (3, SHAPE[0] * SHAPE[1])
    merged: MergedArrays = merge_units(units.result, (1, 2))
    assert np.array_equal(units.footprints[[2]].toarray(), merged.footprint.toarray())
    assert np.array_equal(units.footprints[[1]].toarray(), units.result.footprints[[3]].toarray())


def test_rows_come_in_the_order_asked_for() -> None:
    units = curated()
    rows = units.rows("fluorescence", [4, 3, 0, 3])
    assert np.array_equal(rows[1], units.result.fluorescence[3])
    assert np.array_equal(rows[3], rows[1])
    assert np.array_equal(rows[2], units.result.fluorescence[0])
    assert np.array_equal(rows[0], merge_units(units.result, (1, 2)).fluorescence)
    assert units.rows("traces", []).shape == (0, FRAMES)


def test_numbers_that_were_not_measured_are_not_made_up() -> None:
    snr = curated().metric("snr")
    assert snr is not None
    assert snr[:2].tolist() == [0.0, 3.0]
    assert np.isnan(snr[2])
    assert curated().metric("cnn_pred") is None


@pytest.mark.parametrize("unit", [1, 9])
def test_units_that_are_not_there_have_no_rows(unit: int) -> None:
    with pytest.raises(CurationError, match=f"No unit {unit}"):
        curated().rows("traces", [0, unit])
