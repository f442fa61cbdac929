"""The forms that the UI draws from the flows' parameters, and what is refused before a run begins."""

from typing import Any

import pytest
from prefect import Flow
from prefect.exceptions import ParameterTypeError

import flows
from flows import run_pipeline
from flows.forms import DEFAULT_PARAMETERS, chosen_parameters
from miniscope_core.models.parameters import CnmfeParameters

FLOWS = [one for name in flows.__all__ if isinstance(one := getattr(flows, name), Flow)]


def schema(flow: Any) -> dict[str, Any]:
    return dict(flow.parameters.model_dump())


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_field_says_what_it_is(flow: Any) -> None:
    form = schema(flow)
    fields = dict(form["properties"])
    for model in form["definitions"].values():
        fields |= {name: field for name, field in model["properties"].items() if "const" not in field}
    missing = [name for name, field in fields.items() if not field.get("description")]
    assert missing == []
    assert flow.description


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_models_are_drawn_as_fields_not_as_json(flow: Any) -> None:
    form = schema(flow)
    for name, field in form["properties"].items():
        assert "oneOf" not in field, name
        members = [member.get("type", "model") for member in field.get("anyOf", [])]
        assert members in ([], ["integer", "null"], ["model"] * 2, ["model"] * 3), name
    for model in form["definitions"].values():
        assert not any("oneOf" in field for field in model.get("properties", {}).values()), model["title"]
    # What has a default is filled in, so that a model is never an empty box to be switched on.
    for name in {"options", "parameters", "policy"} & form["properties"].keys():
        assert isinstance(form["properties"][name]["default"], dict)
        field = form["properties"][name]
        assert all(one["$ref"].startswith("#/definitions/") for one in field.get("anyOf", [field]))


def test_bounds_are_part_of_the_form() -> None:
    fields = schema(run_pipeline)["definitions"]["CnmfeParameters"]["properties"]
    diameter, nothing = fields["cell_diameter_px"]["anyOf"]
    assert (diameter["minimum"], diameter["maximum"], nothing["type"]) == (4, 100, "null")
    assert (fields["min_corr"]["exclusiveMinimum"], fields["min_corr"]["exclusiveMaximum"]) == (0, 1)
    assert schema(run_pipeline)["properties"]["paramset_id"]["anyOf"][0]["minimum"] == 0
    assert schema(run_pipeline)["required"] == ["recording_dir"]


@pytest.mark.parametrize("model", ["CnmfeParameters", "CaimanParameters"])
def test_expert_parameters_say_so_and_come_last(model: str) -> None:
    fields = schema(run_pipeline)["definitions"][model]["properties"]
    expert = [field["description"].startswith("Expert: ") for field in fields.values() if "description" in field]
    assert 0 < sum(expert) < len(expert)
    assert expert == sorted(expert)
    assert schema(run_pipeline)["properties"]["parameters"]["default"]["cell_diameter_px"] == 13


@pytest.mark.parametrize(
    "wrong",
    [
        {"parameters": {"method": "cnmfe", "cell_diameter_px": 1}},
        {"parameters": {"method": "cnmfe", "cell_diameter_px": 10, "cell_diameter_um": 15}},
        {"parameters": {"method": "cnmfe", "cell_diametre_px": 10}},
        {"parameters": {"method": "magic"}},
        {"options": {"clock": "whatever"}},
        {"paramset_id": -1},
    ],
    ids=str,
)
@pytest.mark.flow
@pytest.mark.usefixtures("prefect_server")
def test_wrong_parameters_are_refused_before_anything_is_done(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterTypeError):
        run_pipeline("nowhere", **wrong)


def test_number_of_a_set_wins_over_parameters_that_nobody_touched() -> None:
    other = CnmfeParameters(cell_diameter_px=20)
    assert chosen_parameters(CnmfeParameters(), 3) is None
    assert chosen_parameters(DEFAULT_PARAMETERS, None) == DEFAULT_PARAMETERS
    # Set parameters beside a number are passed on, to be refused.
    assert chosen_parameters(other, 3) == other


def test_policy_that_waits_for_a_person_is_drawn_with_its_start_and_its_limits() -> None:
    fields = schema(run_pipeline)["definitions"]["Manual"]["properties"]
    assert [one["$ref"].rpartition("/")[2] for one in fields["start"]["anyOf"]] == ["AcceptEngine", "Thresholds"]
    assert fields["start"]["default"] == {"kind": "accept_engine"}
    assert fields["at_time_limit"]["enum"] == ["fail", "accept_start", "reject_all"]
    assert fields["time_limit_h"]["anyOf"][0]["exclusiveMinimum"] == 0
