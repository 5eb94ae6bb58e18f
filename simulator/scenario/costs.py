"""Costs that a scenario sets in place of the calibration's, checked against the calibration file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from simulator.calibration.costs import SHIPPED, ZERO, Calibration, CalibrationError, Law, load_calibration
from simulator.calibration.istiod_costs import ISTIOD_SHIPPED, IstiodCalibration, load_istiod_calibration
from simulator.engine.clock import format_duration
from simulator.engine.delays import Delay
from simulator.scenario.delay_values import DISTRIBUTIONS, delay_json_schema, read_delay, written_delay
from simulator.scenario.durations import DURATION_PATTERN, duration_ns
from simulator.scenario.problems import Location, described, refusal, refusals, suggestion
from simulator.scenario.quantities import JsonSchema


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs that a scenario sets: all `zero`, or those in `given`, each a delay or coefficients in ns."""

    zero: bool = False
    given: Mapping[str, Law] = field(default_factory=dict)

    @property
    def answer(self) -> Delay | None:
        """What the scripted control plane takes to answer; None = the calibration's."""
        law = ZERO if self.zero else self.given.get(SCRIPTED_COST)
        assert not isinstance(law, Mapping), "checked when the scenario was read"
        return law


SCRIPTED_COST = "answer"
"""The only cost of a scripted control plane."""


class CostsValue:
    """Marks a field that holds costs."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _read_costs,
            serialization=core_schema.plain_serializer_function_ser_schema(_written, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        coefficients: JsonSchema = {
            "type": "object",
            "additionalProperties": {"type": "string", "pattern": DURATION_PATTERN},
            "minProperties": 1,
        }
        one: JsonSchema = {"anyOf": [*delay_json_schema()["anyOf"], coefficients]}
        return {"anyOf": [{"const": "zero"}, {"type": "object", "additionalProperties": one}]}


def is_path(calibration: str) -> bool:
    """Whether a calibration is a path, from the scenario's directory, and not the name of a shipped one."""
    return "/" in calibration or calibration.endswith((".yaml", ".yml"))


def calibration_problem(name: str, directory: Path) -> str | None:
    """What is wrong with Envoy's calibration called `name`, if anything."""
    return _problem(name, directory, SHIPPED, read_calibration)


def istiod_calibration_problem(name: str, directory: Path) -> str | None:
    """What is wrong with istiod's calibration called `name`, if anything."""
    return _problem(name, directory, ISTIOD_SHIPPED, read_istiod_calibration)


def _problem(name: str, directory: Path, shipped: str, read: Callable[[str, Path], object]) -> str | None:
    if not is_path(name):
        if name == shipped:
            return None
        return f"no calibration {name!r} is shipped; {suggestion(name, [shipped])}"
    try:
        read(name, directory)
    except (CalibrationError, OverflowError, RecursionError) as error:
        return f"{name[:200]!r} cannot be used: {' '.join(str(error).split())[:500] or type(error).__name__}"
    return None


def read_calibration(name: str, directory: Path) -> Calibration:
    """The calibration called `name`; raises CalibrationError if it cannot be used."""
    return load_calibration(str(directory / name) if is_path(name) else name)


def read_istiod_calibration(name: str, directory: Path) -> IstiodCalibration:
    """The calibration of istiod called `name`; raises CalibrationError if it cannot be used."""
    return load_istiod_calibration(str(directory / name) if is_path(name) else name)


def check_scripted_costs(costs: Costs) -> list[tuple[Location, str]]:
    """What `costs` sets that a scripted control plane does not have."""
    return check_costs(costs, {SCRIPTED_COST: ZERO}, "a scripted control plane")


def check_costs(
    costs: Costs, laws: Mapping[str, Law], whose: str = "the calibration"
) -> list[tuple[Location, str]]:
    """What `costs` sets that `laws` do not know."""
    found: list[tuple[Location, str]] = []
    for name, law in costs.given.items():
        if name not in laws:
            hint = suggestion(name, laws, shown=40)
            found.append(((name,), f"{whose} has no such cost; {hint}"))
            continue
        known = laws[name]
        if not isinstance(law, Mapping):
            continue
        if not isinstance(known, Mapping):
            found.append(((name,), "must be a duration or a distribution: this cost has no coefficients"))
            continue
        found.extend(
            ((name, term), f"this cost has no such coefficient; {suggestion(term, known, shown=40)}")
            for term in law
            if term not in known
        )
    return found


def _read_costs(value: Any, info: ValidationInfo) -> Costs:
    if isinstance(value, Costs):
        return value
    if value == "zero":
        return Costs(zero=True)
    if not isinstance(value, dict):
        raise refusal(f"must be zero, or a mapping from cost to duration, not {described(value)}")
    directory = getattr(info.context, "directory", None) or Path()
    given: dict[str, Law] = {}
    found: list[tuple[Location, str]] = []
    for name, cost in value.items():
        try:
            given[str(name)] = _law(cost, directory)
        except PydanticCustomError as error:
            found.extend(
                ((str(name), *within), message) for within, message in (error.context or {})["found"]
            )
    if found:
        raise refusals(found)
    return Costs(given=given)


def _law(cost: Any, directory: Path) -> Law:
    """A delay, or coefficients: a mapping is a distribution when it names one."""
    if not isinstance(cost, dict) or not cost or any(term in DISTRIBUTIONS for term in cost):
        return read_delay(cost, directory)
    return {str(term): duration_ns(value, str(term)) for term, value in cost.items()}


def _written(costs: Costs) -> Any:
    if costs.zero:
        return "zero"
    return {
        name: {term: format_duration(value) for term, value in law.items()}
        if isinstance(law, Mapping)
        else written_delay(law)
        for name, law in costs.given.items()
    }
