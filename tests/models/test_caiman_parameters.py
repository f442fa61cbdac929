"""CaImAn's parameters: its own names, DataJoint's flat dictionary, defaults by the cell's width, contradictions."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from miniscope_core.errors import ParameterError
from miniscope_core.models import param_set_hash
from miniscope_core.models.caiman import GROUPS, CaimanParameters
from miniscope_core.models.parameter_base import EngineParameters
from miniscope_core.models.parameters import CnmfeParameters, Parameters
from tests.models.example import HASH, PARAMETERS

TWO_PHOTON: dict[str, Any] = {"method_init": "greedy_roi", "K": 4, "rf": 20, "stride": 6}


def test_every_parameter_of_caiman_has_its_group() -> None:
    ours = {"method", "refit", "extra", *EngineParameters.model_fields}
    assert {name for names in GROUPS.values() for name in names} == CaimanParameters.model_fields.keys() - ours


def test_defaults_follow_from_the_width_of_a_cell() -> None:
    usual, wide = CaimanParameters().complete(), CaimanParameters(cell_diameter_px=26).complete()
    assert (usual.gSig, usual.gSiz, usual.gSig_filt, usual.rf, usual.stride) == ((4, 4), (17, 17), (5, 5), 40, 20)
    assert (wide.gSig, wide.gSiz, wide.gSig_filt, wide.rf, wide.stride) == ((8, 8), (33, 33), (10, 10), 79, 39)
    given = CaimanParameters(cell_diameter_px=26, gSig=(3, 5)).complete()
    assert (given.gSig, given.gSiz) == ((3, 5), (13, 21))


def test_width_in_micrometres_leaves_what_follows_open_until_it_is_resolved() -> None:
    parameters = CaimanParameters(cell_diameter_um=20, pixel_size_um=1.6)
    with pytest.raises(ParameterError, match=r"cell_diameter_um=20.*Resolve the parameters"):
        parameters.complete()
    assert "cell_diameter_px" not in parameters.model_dump()
    CaimanParameters.model_validate({"cell_diameter_um": 20, **TWO_PHOTON})
    with pytest.raises(ValidationError, match="got 13 px and 20 µm, expected one of them"):
        CaimanParameters.model_validate({"cell_diameter_um": 20, "cell_diameter_px": 13})


def test_everything_that_contradicts_is_told_at_once() -> None:
    with pytest.raises(ValidationError, match=r"pixel_size_um: .*; rf: got 15, .*; SNR_lowest: got 3"):
        CaimanParameters(pixel_size_um=1.6, rf=15, SNR_lowest=3)


def test_flat_dictionary_of_datajoint_is_valid_and_keeps_its_hash() -> None:
    parameters = CaimanParameters.model_validate(PARAMETERS)
    used = {name: getattr(parameters.complete(), name) for name in PARAMETERS}
    assert used == PARAMETERS
    assert param_set_hash(PARAMETERS) == HASH


def test_groups_of_caiman_are_taken_apart_and_put_together_again() -> None:
    given = {"motion": {"pw_rigid": True, "max_shifts": [9, 9]}, "preprocess": {"p": 2}, "temporal": {"p": 2}}
    grouped = CaimanParameters.model_validate(given).complete().groups()
    assert grouped["motion"]["max_shifts"] == (9, 9)
    assert grouped["preprocess"]["p"] == grouped["temporal"]["p"] == 2
    with pytest.raises(ValidationError, match="p: got 1 and 2 in preprocess"):
        CaimanParameters.model_validate({"p": 1, **given})


def test_no_patches_are_zero_or_none() -> None:
    for rf in (0, None):
        assert CaimanParameters.model_validate({"rf": rf}).complete().groups()["patch"]["rf"] is None


def test_two_photon_defaults_have_a_background_and_no_ring() -> None:
    grouped = CaimanParameters.model_validate(TWO_PHOTON).complete().groups()
    assert grouped["motion"]["gSig_filt"] is None
    assert (grouped["init"]["nb"], grouped["init"]["center_psf"], grouped["patch"]["only_init"]) == (2, False, False)


def test_dumped_parameters_are_valid_again() -> None:
    for parameters in (CaimanParameters(), CaimanParameters().complete(), CaimanParameters.model_validate(PARAMETERS)):
        assert CaimanParameters.model_validate(parameters.model_dump()) == parameters
        assert CaimanParameters.model_validate_json(parameters.model_dump_json()) == parameters


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gSig": 6, "gSiz": 6}, r"gSiz: got \(6, 6\), expected more than gSig, \(6, 6\)"),
        ({"rf": 15}, "rf: got 15, expected more than gSiz, 17"),
        ({"rf": 30, "stride": 30}, "stride: got 30, expected less than rf, 30"),
        ({"method_init": "greedy_roi"}, "K: got none, expected a number for greedy_roi"),
        ({**TWO_PHOTON, "nb": 0}, "nb: got 0, expected at least 1 for greedy_roi"),
        ({"SNR_lowest": 3}, "SNR_lowest: got 3, expected no more than min_SNR, 2.5"),
        ({"extra": {"magic": {}}}, "extra: got the group 'magic', expected one of data, motion"),
        ({"extra": {"init": {"gSig": 3}}}, "extra: got 'gSig' in init, .* Give gSig="),
        ({"extra": {"data": {"fnames": "a.avi"}}}, "extra: got 'fnames' in data, which the engine sets itself"),
    ],
    ids=str,
)
def test_parameters_that_contradict_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CaimanParameters.model_validate(values)


@pytest.mark.parametrize(
    "wrong",
    [{"gSig": 0}, {"gSig": (4,)}, {"max_shifts": (4, -1)}, {"min_corr": 1.5}, {"p": 3}, {"fr": 0}, {"gsig": 4}],
    ids=str,
)
def test_values_out_of_bounds_and_unknown_names_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CaimanParameters.model_validate(wrong)


def test_extras_reach_caiman_and_are_recorded() -> None:
    parameters = CaimanParameters(extra={"init": {"nIter": 10}})
    assert parameters.complete().groups()["init"]["nIter"] == 10
    assert parameters.model_dump()["extra"] == {"init": {"nIter": 10}}


def test_method_tells_whose_parameters_they_are() -> None:
    adapter: TypeAdapter[Parameters] = TypeAdapter(Parameters)
    assert isinstance(adapter.validate_python({"method": "caiman"}), CaimanParameters)
    assert isinstance(adapter.validate_python({"method": "cnmfe"}), CnmfeParameters)
