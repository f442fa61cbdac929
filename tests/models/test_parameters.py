"""Engine parameters: one diameter in px or in µm, groups, and contradictions that are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from miniscope_core.errors import ParameterError
from miniscope_core.models.parameters import CnmfeParameters


def test_without_any_diameter_cells_are_thirteen_pixels_wide() -> None:
    assert CnmfeParameters().cell_diameter_px == 13
    assert CnmfeParameters() == CnmfeParameters(cell_diameter_px=13)
    assert CnmfeParameters.model_validate({"cell_diameter_px": None}) == CnmfeParameters()


def test_diameter_in_micrometres_leaves_pixels_open_until_it_is_resolved() -> None:
    parameters = CnmfeParameters(cell_diameter_um=15)
    assert "cell_diameter_px" not in parameters.model_dump()
    with pytest.raises(ParameterError, match="Resolve the parameters"):
        _ = parameters.cell_diameter_px


def test_dumped_parameters_are_valid_again() -> None:
    for parameters in (CnmfeParameters(), CnmfeParameters(cell_diameter_um=15, pixel_size_um=1.5)):
        assert CnmfeParameters.model_validate(parameters.model_dump(mode="json")) == parameters
        assert CnmfeParameters.model_validate_json(parameters.model_dump_json()) == parameters


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cell_diameter_px": 12, "cell_diameter_um": 15}, "got 12 px and 15 µm, expected one of them"),
        (
            {"cell_diameter_px": 12, "cell_diameter_um": 15, "pixel_size_um": 1.5},
            "12 px and 15 µm at 1.5 µm per px, expected one of them",
        ),
        ({"pixel_size_um": 1.5}, "got 1.5 µm without cell_diameter_um, expected both"),
        ({"cell_diameter_px": 12, "pixel_size_um": 1.5}, "without cell_diameter_um"),
        ({"rise_time_s": 0.4, "decay_time_s": 0.4}, "expected less than decay_time_s, 0.4 s. Are they swapped"),
    ],
    ids=str,
)
def test_parameters_that_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CnmfeParameters.model_validate(values)


def test_diameters_that_agree_by_the_pixel_size_may_both_be_there() -> None:
    parameters = CnmfeParameters(cell_diameter_px=10, cell_diameter_um=15, pixel_size_um=1.5)
    assert parameters.cell_diameter_px == 10
