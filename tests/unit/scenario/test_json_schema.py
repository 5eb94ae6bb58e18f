"""The JSON Schema of scenario files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulator.calibration.costs import load_calibration
from simulator.calibration.istiod_costs import load_istiod_calibration
from simulator.scenario.json_schema import DIALECT, json_schema, settings_classes
from simulator.scenario.schema import Scenario


def properties(definition: dict[str, Any]) -> dict[str, Any]:
    mapping = next((one for one in definition.get("anyOf", []) if "properties" in one), definition)
    found: dict[str, Any] = mapping["properties"]
    return found


def test_the_schema_is_json_of_draft_2020_12_and_closed() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == DIALECT
    assert schema["additionalProperties"] is False
    assert "extends" in schema["properties"]


def test_every_key_shows_its_default_and_where_that_comes_from() -> None:
    schema = json_schema()
    definitions = {**schema["$defs"], "Scenario": schema}
    for settings in settings_classes():
        shown = properties(definitions[settings.__name__])
        for name, field in settings.model_fields.items():
            key = shown[field.alias or name]
            assert key["description"], (settings, name)
            assert key["stands_for"], (settings, name)
            assert key.get("source") or key.get("assumption"), (settings, name)
            assert field.is_required() or "default" in key, (settings, name)


@pytest.mark.parametrize(
    ("section", "laws"), [("Envoy", load_calibration()), ("ControlPlane", load_istiod_calibration())]
)
def test_every_cost_shows_the_calibrations_value_and_where_that_comes_from(section: str, laws: Any) -> None:
    zero, given = properties(json_schema()["$defs"][section])["costs"]["anyOf"]
    assert zero == {"const": "zero"}
    assert given["additionalProperties"] is False
    for name, law in laws.costs.items():
        shown = given["properties"][name]
        assert shown.get("source") or shown.get("assumption"), name
        read = Scenario(
            control_plane={
                "kind": "istiod",
                **({"costs": {name: shown["default"]}} if section != "Envoy" else {}),
            },
            envoy={"costs": {name: shown["default"]}} if section == "Envoy" else {},
        )
        costs = read.envoy.costs if section == "Envoy" else read.control_plane.costs
        assert costs.given[name] == law


def test_a_typo_in_a_cost_is_no_member_of_the_schema() -> None:
    shown = properties(json_schema()["$defs"]["ControlPlane"])["costs"]["anyOf"][1]["properties"]
    assert "watch_dely" not in shown
    assert shown["answer"]["default"] == "300us"
    assert shown["registry_task"]["anyOf"][1]["properties"]["per_endpoint"]["default"] == "5us"


def test_defaults_are_shown_as_a_file_would_hold_them() -> None:
    schema = json_schema()
    assert schema["properties"]["duration"]["default"] == "1m0s"
    assert properties(schema["$defs"]["Propagation"])["refresh_delay"]["default"] == "30s"
    assert properties(schema["$defs"]["RateLimit"])["fill_rate"]["default"] == "10/s"
    presets = properties(schema["$defs"]["Envoy"])["initial_fetch_timeout"]["presets"]
    assert (presets["istio"]["default"], presets["envoy"]["default"]) == ("0s", "15s")


def test_every_reference_leads_to_a_definition() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    for part in text.split('"#/$defs/')[1:]:
        assert part.split('"')[0] in schema["$defs"]


def test_all_sections_are_described() -> None:
    names = [settings.__name__ for settings in settings_classes()]
    assert names[0] == Scenario.__name__
    assert {"Envoy", "Push", "HealthCheck", "RateLimit", "Answer", "ClusterMapping", "Traffic"} <= set(names)
