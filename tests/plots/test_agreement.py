"""The picture of two results: both have outlines that tell them apart without colour, and the lone ones are marked."""

import numpy as np
import pytest
import scipy.sparse as sp
from matplotlib.collections import LineCollection

from miniscope_core.plots import plot_agreement, png_bytes
from tests.archives import HEIGHT, WIDTH, boxes

IMAGE = np.random.default_rng(0).random((HEIGHT, WIDTH))


def test_outlines_differ_in_style_and_lone_cells_carry_marks() -> None:
    pairs = [[0, 1], [1, 0]]
    figure = plot_agreement(IMAGE, boxes()[:4], boxes()[[1, 0, 5]], pairs, [0.9, 0.5], [0.3, np.nan], names=("A", "B"))
    field, traces, activity = figure.axes[:3]
    lines = [one for one in field.collections if isinstance(one, LineCollection)]
    assert len({str(one.get_linestyle()) for one in lines}) == 2
    marks = {str(line.get_marker()): line.get_xydata() for line in field.lines}
    assert {mark: len(points) for mark, points in marks.items()} == {"x": 2, "+": 1}
    assert np.allclose(marks["+"], [[35, 27]], atol=1)  # x, y of the box at (22, 30), 11×11 px
    legend = field.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"A (4)", "A only (2)", "B (3)", "B only (1)"}
    assert sum(patch.get_height() for patch in traces.patches) == 2
    assert sum(patch.get_height() for patch in activity.patches) == 1
    assert png_bytes(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_in_common_is_drawn_as_such(count: int) -> None:
    rows = sp.csr_array(boxes()[:count])
    figure = plot_agreement(np.full((HEIGHT, WIDTH), np.nan), rows, boxes()[:0], np.zeros((0, 2)), [], [])
    assert any("nothing to compare" in text.get_text() for text in figure.axes[1].texts)
    assert png_bytes(figure).startswith(b"\x89PNG")
