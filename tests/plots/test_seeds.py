"""Seeds on the images they are chosen by: thresholds in the colours, fates by shape and colour."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from miniscope_core.plots import SeedMap, plot_preview, plot_seeds

SHAPE = (40, 64)
RNG = np.random.default_rng(0)
SEEDS = np.array([[5, 50], [30, 10], [20, 20], [8, 8]])
FATES = ("accepted", "rejected", "no unit", "accepted")


def seed_map(min_corr: float | None = 0.5, min_pnr: float | None = 6.0) -> SeedMap:
    return SeedMap(RNG.random(SHAPE), 20 * RNG.random(SHAPE), SEEDS, FATES, min_corr, min_pnr)


def images(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images]


def saturation(axes: Axes, value: float) -> float:
    """Return how far the colour of a value is from grey."""
    drawn = axes.images[0]
    red, green, blue, _ = drawn.cmap(drawn.norm(value))
    return float(max(red, green, blue) - min(red, green, blue))


def test_what_is_below_a_threshold_is_grey_and_what_is_above_it_is_in_colour() -> None:
    correlation, pnr = images(plot_seeds(seed_map()))
    assert saturation(correlation, 0.48) == saturation(pnr, 5.8) == 0
    assert saturation(correlation, 0.52) > 0.1
    assert saturation(pnr, 6.2) > 0.1
    assert correlation.get_title("left") == "Local correlation, in colour above 0.5"
    assert pnr.get_title("left") == "Peak-to-noise ratio, in colour above 6"


def test_threshold_that_nothing_reaches_leaves_the_image_grey() -> None:
    correlation, pnr = images(plot_seeds(seed_map(0.99999, 1e4)))
    assert saturation(pnr, 20.0) == 0
    assert saturation(correlation, 0.9) == 0


def test_seeds_lie_where_they_are_and_differ_in_shape_and_colour() -> None:
    for axes in images(plot_seeds(seed_map())):
        drawn = {line.get_label(): line for line in axes.lines}
        np.testing.assert_array_equal(drawn["accepted"].get_xdata(), [50, 8])
        np.testing.assert_array_equal(drawn["accepted"].get_ydata(), [5, 8])
        np.testing.assert_array_equal(drawn["rejected"].get_xdata(), [10])
        np.testing.assert_array_equal(drawn["no unit"].get_ydata(), [20])
        assert len({line.get_marker() for line in drawn.values()}) == 3
        assert len({line.get_color() for line in drawn.values()}) == 3


def test_legend_counts_the_seeds_of_each_fate() -> None:
    (legend,) = plot_seeds(seed_map()).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "seed in an accepted unit (2)",
        "seed in a rejected unit (1)",
        "seed in no unit (1)",
    ]


def test_many_seeds_get_smaller_marks() -> None:
    many = SeedMap(RNG.random(SHAPE), RNG.random(SHAPE), np.tile(SEEDS, (200, 1)), FATES * 200)
    few, crowded = (images(plot_seeds(one))[0].lines[0].get_markersize() for one in (seed_map(), many))
    assert crowded < 0.7 * few


@pytest.mark.parametrize("value", [0.0, np.nan, 1.0])
def test_flat_images_without_seeds_or_thresholds_draw(value: float) -> None:
    flat = np.full(SHAPE, value)
    plot_seeds(SeedMap(flat, flat, np.zeros((0, 2), int), ()), title="mouse1/0").canvas.draw()
    plot_seeds(SeedMap(flat, flat, np.zeros((0, 2), int), (), 0.5, 6)).canvas.draw()


def test_preview_shows_outlines_and_traces_and_marks_the_joins() -> None:
    stack = np.zeros((3, *SHAPE))
    stack[0, 2:9, 45:55] = stack[1, 25:35, 5:15] = stack[2, 4:12, 4:12] = 1
    times = np.arange(100) / 20
    figure = plot_preview(
        seed_map(),
        stack,
        RNG.random((1, 100)),
        times,
        accepted=[True, False, True],
        mask_ids=[2],
        joins_s=[2.5],
        title="session: 100 of 900 frames",
    )
    figure.canvas.draw()
    field, traces = figure.axes[2:4]
    assert field.get_title("left") == "On the correlation: 3 masks"
    assert traces.get_title("left") == "1 of 2 accepted"
    assert traces.get_xlabel() == "time (s), runs joined at the dotted lines"
    assert [2.5, 2.5] in [list(line.get_xdata()) for line in traces.lines]
    assert figure.get_suptitle() == "session: 100 of 900 frames"


@pytest.mark.parametrize("shape", [(160, 40), (40, 160), (40, 40)])
def test_fields_of_any_proportion_fit_on_the_page(shape: tuple[int, int]) -> None:
    image = RNG.random(shape)
    field = SeedMap(image, image, SEEDS % 40, FATES, 0.5, 0.5)
    # Drawing warns, which is an error here, where the layout finds no room.
    plot_seeds(field).canvas.draw()
    figure = plot_preview(field, np.zeros((0, *shape)), np.empty((0, 100)), np.arange(100) / 20, title="session")
    figure.canvas.draw()
    assert all(axes.get_position().width > 0.05 for axes in images(figure)[:3])


def test_preview_without_units_draws() -> None:
    none = np.empty((0, 100))
    plot_preview(seed_map(), np.zeros((0, *SHAPE)), none, np.arange(100) / 20).canvas.draw()
