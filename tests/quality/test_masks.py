"""Measures of masks: y before x, the variance a variance, somata told by size and roundness alone."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from miniscope_core.quality.masks import MaskGeometry, classify_masks, measure_masks, skewness_and_variance

SHAPE = (20, 33)


def geometry(*images: NDArray[np.float64]) -> MaskGeometry:
    return measure_masks(sp.csr_array(np.stack(images).reshape(len(images), -1)), images[0].shape)


def box(y: int, x: int, height: int, width: int, value: float = 1.0) -> NDArray[np.float64]:
    image = np.zeros(SHAPE)
    image[y : y + height, x : x + width] = value
    return image


# -- size and place --------------------------------------------------------------------------------------------------
def test_centre_is_y_then_x() -> None:
    measured = geometry(box(2, 20, 3, 5))
    assert measured.npix.tolist() == [15]
    assert measured.center_px.tolist() == [[3.0, 22.0]]


def test_centre_is_weighted_and_its_unit_is_the_pixel() -> None:
    image = np.zeros(SHAPE)
    image[4, 10], image[4, 14] = 1, 3
    assert geometry(image).center_px.tolist() == [[4.0, 13.0]]


def test_pixels_without_weight_do_not_count() -> None:
    stored = sp.csr_array((np.array([0.0, 2.0, 2.0]), np.array([1, 5, 6]), np.array([0, 3])), shape=(1, 660))
    measured = measure_masks(stored, SHAPE)
    assert (measured.npix[0], measured.center_px[0].tolist()) == (2, [0.0, 5.5])


def test_half_area_counts_above_half_of_the_peak() -> None:
    assert geometry(box(2, 2, 6, 6, 0.4) + box(4, 4, 2, 2, 0.6)).half_area_px.tolist() == [4]


def test_empty_footprint_has_no_place_and_no_shape() -> None:
    measured = geometry(np.zeros(SHAPE), box(1, 1, 2, 2))
    assert measured.npix.tolist() == [0, 4]
    assert np.isnan(measured.center_px[0]).all()
    assert np.isnan(measured.elongation[0])
    assert measured.center_px[1].tolist() == [1.5, 1.5]


def test_no_footprints_measure_to_nothing() -> None:
    measured = measure_masks(sp.csr_array((0, 660)), SHAPE)
    assert (measured.npix.shape, measured.center_px.shape) == ((0,), (0, 2))


@given(
    st.integers(0, 9), st.integers(0, 19), st.integers(1, 10), st.integers(1, 13), st.floats(0.01, 1e6, allow_nan=False)
)
def test_moving_or_scaling_a_footprint_only_moves_its_centre(
    y: int, x: int, height: int, width: int, scale: float
) -> None:
    here, there = geometry(box(0, 0, height, width)), geometry(box(y, x, height, width, scale))
    assert there.npix == here.npix
    assert there.half_area_px == here.half_area_px
    assert np.allclose(there.center_px - here.center_px, (y, x))
    assert np.allclose(there.elongation, here.elongation, rtol=1e-6)


# -- shape -----------------------------------------------------------------------------------------------------------
def test_elongation_is_the_ratio_of_the_axes_whatever_their_direction() -> None:
    standing, lying = geometry(box(2, 5, 12, 4)), geometry(box(2, 5, 4, 12))
    assert standing.elongation[0] == pytest.approx(lying.elongation[0])
    # variances of n evenly spread pixels are (n² − 1) / 12
    assert standing.elongation[0] == pytest.approx(np.sqrt((12**2 - 1) / (4**2 - 1)))
    assert geometry(box(2, 5, 7, 7)).elongation[0] == pytest.approx(1)


def test_line_is_endlessly_long_and_a_pixel_is_round() -> None:
    assert geometry(box(3, 3, 1, 9)).elongation.tolist() == [np.inf]
    assert geometry(box(3, 3, 1, 1)).elongation.tolist() == [1.0]


def test_slanted_ellipse_is_as_long_as_it_is() -> None:
    y, x = np.indices((60, 60)) - 29.5
    along, across = (y + x) / np.sqrt(2), (y - x) / np.sqrt(2)
    measured = geometry(((along / 18) ** 2 + (across / 9) ** 2 < 1).astype(float))
    assert measured.elongation[0] == pytest.approx(2, rel=0.02)


# -- classification --------------------------------------------------------------------------------------------------
def classify(image: NDArray[np.float64], accepted: bool = True, diameter: float | None = 10.0) -> str:
    (kind,) = classify_masks(geometry(image), np.array([accepted]), diameter)
    return kind


def test_accepted_unit_of_a_cells_size_and_shape_is_a_soma() -> None:
    assert classify(box(2, 2, 9, 9)) == "soma"


@pytest.mark.parametrize(
    ("image", "accepted", "diameter"),
    [
        (box(2, 2, 9, 9), False, 10.0),
        (box(2, 2, 4, 4), True, 10.0),
        (box(0, 0, 20, 20), True, 10.0),
        (box(2, 2, 4, 16), True, 10.0),
        (np.zeros(SHAPE), True, 10.0),
        (box(2, 2, 9, 9), True, None),
    ],
    ids=["not accepted", "too small", "too large", "too long", "empty", "size unknown"],
)
def test_everything_else_is_unknown(image: NDArray[np.float64], accepted: bool, diameter: float | None) -> None:
    assert classify(image, accepted, diameter) == "unknown"


def test_weak_halo_around_a_soma_does_not_make_it_too_large() -> None:
    assert classify(box(2, 2, 17, 17, 0.2) + box(6, 6, 9, 9)) == "soma"


# -- traces ----------------------------------------------------------------------------------------------------------
def test_variance_is_the_square_of_the_standard_deviation() -> None:
    traces = np.random.default_rng(0).normal(100, 3, (2, 5000))
    _, variance = skewness_and_variance(traces)
    assert variance == pytest.approx(traces.std(axis=1) ** 2)
    assert variance == pytest.approx([9, 9], rel=0.1)


def test_rare_events_skew_a_trace_to_the_right() -> None:
    trace = np.zeros(1000)
    trace[::100] = 1
    skewness, _ = skewness_and_variance(np.stack([trace, -trace]))
    # two values with probabilities p and 1 − p: (1 − 2p) / √(p (1 − p))
    assert skewness == pytest.approx([0.98 / np.sqrt(0.0099), -0.98 / np.sqrt(0.0099)])


def test_constant_trace_has_no_skewness_and_no_variance() -> None:
    skewness, variance = skewness_and_variance(np.stack([np.full(9, 7.5), np.arange(9.0)]))
    assert np.isnan(skewness[0])
    assert skewness[1] == pytest.approx(0)
    assert variance.tolist() == pytest.approx([0, 60 / 9])


def test_no_traces_measure_to_nothing() -> None:
    skewness, variance = skewness_and_variance(np.empty((0, 5), np.float32))
    assert (skewness.shape, variance.shape) == ((0,), (0,))


def test_large_numbers_of_a_16_bit_sensor_keep_their_variance() -> None:
    values = (40_000 + np.tile([0, 1], 500)).astype(np.float32)
    _, variance = skewness_and_variance(values[None])
    assert variance == pytest.approx([0.25])
