"""The costs a scenario may set, in the JSON Schema: each with the calibration's value and its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import JsonSchemaValue

from simulator.calibration.costs import PROSE, SHIPPED, shipped_data
from simulator.calibration.istiod_costs import ISTIOD_SHIPPED, shipped_istiod_data
from simulator.scenario.costs import SCRIPTED_COST
from simulator.scenario.durations import DURATION_PATTERN

__all__ = ["describe_costs"]

_DELAY: Final[JsonSchemaValue] = {"$ref": "#/$defs/Delay"}


def describe_costs(definitions: Mapping[str, JsonSchemaValue]) -> None:
    """Put the costs of both calibration files under `envoy.costs` and `control_plane.costs`."""
    envoy, istiod = shipped_data(), shipped_istiod_data()["costs"]
    answer = {SCRIPTED_COST: _cost(SCRIPTED_COST, envoy["control_plane"]["answer"], SHIPPED)}
    answer[SCRIPTED_COST]["description"] += "; scripted control planes only"
    _fill(definitions["Envoy"], {name: _cost(name, entry, SHIPPED) for name, entry in envoy["costs"].items()})
    of_istiod = {name: _cost(name, entry, ISTIOD_SHIPPED) for name, entry in istiod.items()}
    _fill(definitions["ControlPlane"], {**of_istiod, **answer})


def _fill(section: JsonSchemaValue, costs: dict[str, JsonSchemaValue]) -> None:
    shown = section["properties"]["costs"]
    place = next(number for number, one in enumerate(shown["anyOf"]) if one.get("type") == "object")
    # A calibration file has these costs, no more and no less.
    shown["anyOf"][place] = {"type": "object", "additionalProperties": False, "properties": costs}


def _cost(name: str, entry: Mapping[str, Any], file: str) -> JsonSchemaValue:
    where = {key: " ".join(str(entry[key]).split()) for key in PROSE if key in entry}
    told: JsonSchemaValue = {"description": f"Cost {name} of the calibration {file}", **where}
    if "value" in entry:
        return {**told, **_DELAY, "default": entry["value"]}
    coefficients = {key: value for key, value in entry.items() if key not in PROSE}
    formula: JsonSchemaValue = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {
            key: {"type": "string", "pattern": DURATION_PATTERN, "default": value}
            for key, value in coefficients.items()
        },
    }
    told["description"] += ": coefficients of a formula, or one delay in its place"
    return {**told, "anyOf": [_DELAY, formula], "default": coefficients}
