"""What is drawn on the field: outlines where the masks are, counts, axes in pixels."""

import numpy as np
import pytest
import scipy.sparse as sp
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from miniscope_core.plots import plot_average_image, plot_contours, plot_summary_images
from miniscope_core.plots.images import outline
from tests.simulation import Simulated, simulate

SHAPE = (40, 64)


@pytest.fixture(scope="module")
def made() -> Simulated:
    return simulate(SHAPE, 40, 5, seed=2)


def main_axes(figure: Figure) -> Axes:
    return figure.axes[0]


def lines_of(axes: Axes, name: str) -> list[np.ndarray]:
    (found,) = (c for c in axes.collections if isinstance(c, LineCollection) and c.get_label() == name)
    return [np.asarray(segment) for segment in found.get_segments()]


def rows(stack: np.ndarray) -> "sp.csr_array":
    return sp.csr_array(stack.reshape(len(stack), SHAPE[0] * SHAPE[1]))


def test_each_mask_gets_an_outline_in_its_group(made: Simulated) -> None:
    accepted = np.array([True, True, False, True, False])
    axes = main_axes(plot_contours(np.zeros(SHAPE), rows(made.footprints), accepted=accepted))
    assert len(lines_of(axes, "accepted")) == 3
    assert len(lines_of(axes, "rejected")) == 2


def test_outline_goes_around_the_mask_with_x_to_the_right_and_y_down(made: Simulated) -> None:
    axes = main_axes(plot_contours(np.zeros(SHAPE), rows(made.footprints)))
    centers = [np.argwhere(f > 0.5).mean(0) for f in made.footprints]
    for line, (y, x) in zip(lines_of(axes, "accepted"), centers, strict=True):
        np.testing.assert_allclose((line.min(0) + line.max(0)) / 2, (x, y), atol=1.0)
    assert axes.get_xlim() == (-0.5, 63.5)
    assert axes.get_ylim() == (39.5, -0.5)


def test_dense_and_sparse_footprints_draw_the_same(made: Simulated) -> None:
    dense = lines_of(main_axes(plot_contours(np.zeros(SHAPE), made.footprints)), "accepted")
    sparse = lines_of(main_axes(plot_contours(np.zeros(SHAPE), rows(made.footprints))), "accepted")
    for first, second in zip(dense, sparse, strict=True):
        np.testing.assert_allclose(first, second)


def test_groups_differ_in_colour_and_in_line_style(made: Simulated) -> None:
    axes = main_axes(plot_contours(np.zeros(SHAPE), made.footprints, accepted=[True] * 3 + [False] * 2))
    first, second = (c for c in axes.collections if isinstance(c, LineCollection))
    assert not np.array_equal(first.get_color(), second.get_color())
    assert first.get_linestyle() != second.get_linestyle()


def test_title_counts_and_numbers_are_the_masks_own(made: Simulated) -> None:
    figure = plot_contours(
        np.zeros(SHAPE), made.footprints, mask_ids=[3, 14, 15, 92, 65], accepted=[True] * 4 + [False], title="Here"
    )
    axes = main_axes(figure)
    assert axes.get_title("left") == "Here: 5 masks"
    assert {text.get_text() for text in axes.texts} <= {"3", "14", "15", "92", "65"}
    assert len(axes.texts) >= 3
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["accepted (4)", "rejected (1)"]


def test_numbers_that_would_lie_on_each_other_are_left_out(made: Simulated) -> None:
    stack = np.repeat(made.footprints[:1], 6, axis=0)
    assert len(main_axes(plot_contours(np.zeros(SHAPE), stack)).texts) == 1


def test_mask_at_the_edge_has_a_closed_outline() -> None:
    stack = np.zeros((1, *SHAPE))
    stack[0, :4, -5:] = 1
    (line,) = outline(rows(stack), 0, SHAPE)
    np.testing.assert_allclose(line[0], line[-1])
    assert line[:, 0].max() > SHAPE[1] - 1


@pytest.mark.parametrize("footprints", [np.zeros((0, *SHAPE)), sp.csr_array((0, SHAPE[0] * SHAPE[1]))])
def test_no_masks_is_a_picture_and_no_error(footprints: np.ndarray) -> None:
    axes = main_axes(plot_contours(np.ones(SHAPE), footprints, accepted=[]))
    assert axes.get_title("left") == "0 masks"
    assert lines_of(axes, "accepted") == []


def test_empty_footprint_has_no_outline() -> None:
    assert outline(rows(np.zeros((1, *SHAPE))), 0, SHAPE) == []


@pytest.mark.parametrize("image", [np.full(SHAPE, 7.0), np.full(SHAPE, np.nan), np.zeros(SHAPE, np.uint8)])
def test_flat_or_empty_images_draw(image: np.ndarray) -> None:
    plot_average_image(image).canvas.draw()


def test_average_image_has_axes_in_pixels_and_a_scale_bar_in_micrometres() -> None:
    figure = plot_average_image(np.random.default_rng(0).random(SHAPE), um_per_px=1.66)
    axes = main_axes(figure)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (px)", "y (px)")
    assert axes.texts[0].get_text() == "20 µm"
    xdata = np.asarray(axes.lines[0].get_xdata(), float)
    assert np.ptp(xdata) * 1.66 == pytest.approx(20)


def test_summary_shows_each_image_and_the_seeds_on_two() -> None:
    rng = np.random.default_rng(0)
    images = {name: rng.random(SHAPE) for name in ("pnr", "average", "correlation", "max")}
    figure = plot_summary_images(images, seeds_px=[[5, 50], [30, 10]])
    titled = [axes for axes in figure.axes if axes.get_title("left")]
    assert [axes.get_title("left").split(",")[0] for axes in titled] == [
        "Average",
        "Maximum over time",
        "Local correlation",
        "Peak-to-noise ratio",
    ]
    assert [len(axes.lines) for axes in titled] == [0, 0, 1, 1]
    np.testing.assert_array_equal(titled[2].lines[0].get_xdata(), [50, 10])
    np.testing.assert_array_equal(titled[2].lines[0].get_ydata(), [5, 30])


def test_summary_of_one_or_no_image_draws() -> None:
    plot_summary_images({"average": np.ones(SHAPE)}).canvas.draw()
    plot_summary_images({}).canvas.draw()
