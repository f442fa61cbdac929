"""Cleaning as a parameter: written in a line, refused where it makes no sense, and no part of sets without it."""

from typing import Any

import pytest

from miniscope_core.errors import ParameterError
from miniscope_core.models import param_set_hash
from miniscope_core.models.cleaning import Cleaning, Crop
from miniscope_core.models.parameters import CnmfeParameters


def test_steps_are_written_alone_repeated_or_joined() -> None:
    expected = Cleaning(stripes=True, binning=2, crop=Crop(top=1, left=2, height=30, width=40))
    assert Cleaning.parse(["stripes", "binning=2", "crop=1,2,30,40"]) == expected
    assert Cleaning.parse(["crop=1,2,30,40+binning=2", "stripes"]) == expected
    assert Cleaning.parse([]) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stripe", "got 'stripe', expected one of find_broken, crop=TOP,LEFT,HEIGHT,WIDTH, hot_pixels"),
        ("stripes=yes", "got 'stripes=yes'"),
        ("binning", "got 'binning'"),
        ("binning=0", "cleaning.binning: got 0"),
        ("binning=9", "cleaning.binning: got 9"),
        ("crop=1,2,3", "got 'crop=1,2,3'"),
        ("crop=1,2,0,4", "cleaning.crop.height: got 0"),
        ("crop=-1,2,3,4", "got 'crop=-1,2,3,4'"),
        ("stripes+stripes", "got stripes twice"),
        ("", "got ''"),
    ],
)
def test_what_is_no_step_is_refused_with_the_steps_there_are(text: str, message: str) -> None:
    with pytest.raises(ParameterError) as refused:
        Cleaning.parse([text])
    assert message in str(refused.value)


@pytest.mark.parametrize("value", [None, {}, Cleaning(), {"stripes": False, "binning": 1}], ids=str)
def test_parameters_without_a_step_are_those_without_cleaning(value: Any) -> None:
    """Sets that were recorded before there was cleaning keep their hashes."""
    parameters = CnmfeParameters.model_validate({"cleaning": value})
    assert param_set_hash(parameters.model_dump()) == param_set_hash(CnmfeParameters().model_dump())


def test_only_steps_asked_for_are_dumped_and_they_are_valid_again() -> None:
    parameters = CnmfeParameters(cleaning=Cleaning(flicker=True, crop=Crop(top=0, left=0, height=50, width=50)))
    dumped = parameters.model_dump(mode="json")
    assert dumped["cleaning"] == {"flicker": True, "crop": {"top": 0, "left": 0, "height": 50, "width": 50}}
    assert CnmfeParameters.model_validate(dumped) == parameters


def test_the_default_cell_is_as_wide_in_the_tissue_whatever_the_binning() -> None:
    assert CnmfeParameters(cleaning=Cleaning(binning=2)).cell_diameter_px == 6.5
    assert CnmfeParameters.model_validate({"cleaning": {"binning": 2}}).cell_diameter_px == 6.5
    assert CnmfeParameters.model_validate({"cleaning": {"binning": 2}, "cell_diameter_px": 9}).cell_diameter_px == 9


@pytest.mark.parametrize("cleaning", [3, "stripes", {"binning": "two"}, {"binning": [2]}], ids=str)
def test_no_cleaning_at_all_is_refused_as_a_parameter(cleaning: Any) -> None:
    with pytest.raises(ValueError, match="cleaning"):
        CnmfeParameters.model_validate({"cleaning": cleaning})
    with pytest.raises(ParameterError, match="cleaning"):
        Cleaning.of({"cleaning": cleaning})


def test_shape_of_what_is_left_and_its_limits() -> None:
    cleaning = Cleaning(crop=Crop(top=10, left=20, height=51, width=40), binning=2)
    assert cleaning.shape_of((61, 60)) == (25, 20)
    assert Cleaning().shape_of((61, 60)) == (61, 60)
    with pytest.raises(ParameterError, match=r"rows 10:61 and columns 20:60, expected them within 60×60"):
        cleaning.shape_of((60, 60))
    with pytest.raises(ParameterError, match="at least one pixel"):
        Cleaning(binning=8).shape_of((7, 100))
