"""Knobs: the keys of a scenario that may move a bottleneck, and one turn of each.

A turn is half the time of what takes time, and twice of what there is more or less of, so that turns of
different knobs can be held against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simulator.calibration.costs import Law
from simulator.engine.clock import DurationError, format_duration, parse_duration
from simulator.experiment.errors import ExperimentError
from simulator.experiment.values import value_text
from simulator.recording.bottlenecks import KNOBS
from simulator.results.explanation import Turn
from simulator.scenario.costs import read_calibration
from simulator.scenario.delay_values import written_delay
from simulator.scenario.istiod import istiod_laws, istiod_settings
from simulator.scenario.schema import Scenario

__all__ = ["KEYS", "turn"]

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    key: tuple(stage for stage, keys in KNOBS.items() if key in keys)
    for key in dict.fromkeys(key for keys in KNOBS.values() for key in keys)
}
"""Every knob -> the bottlenecks it may move."""

_DOUBLED: Final = (
    "control_plane.cpu",
    "control_plane.replicas",
    "control_plane.push_throttle",
    "control_plane.max_requests_per_second",
    "network.bandwidth",
    "propagation.server.concurrency",
)
_ISTIOD_COSTS: Final = "control_plane.costs."
_SCOPE: Final = "mesh.scope"
_LONGEST: Final = 44
"""Letters of a value that a table has room for."""


def turn(scenario: Scenario, key: str) -> tuple[Turn, Scenario] | None:
    """One turn of a knob, and the scenario with it turned; None where there is none to turn: no such cost, no
    limit, nothing to halve.

    Raises ExperimentError for a key that is no knob, ScenarioError for a value that cannot be had.
    """
    if key not in KEYS:
        raise ExperimentError(f"{key} is no knob of any bottleneck; there are {', '.join(KEYS)}")
    before = _value(scenario, key)
    after = _doubled(before) if key in _DOUBLED else _half_scope(before) if key == _SCOPE else _halved(before)
    if before is None or after is None or after == before:
        return None
    written = "auto" if _written(scenario, key) == "auto" else ""
    told = _text(before, "as calibrated")
    turned = Turn(key, f"{written} ({told})" if written else told, _text(after, "half of it"))
    return turned, scenario.with_(**{key: after})


def _value(scenario: Scenario, key: str) -> Any:
    """What a scenario has there, as a file would hold it, whatever decides it; None where it has none."""
    plane = scenario.control_plane
    if plane.kind != "istiod" and key.startswith("control_plane."):
        return None
    match key:
        case "control_plane.push_throttle":
            return istiod_settings(scenario).push_throttle
        case "control_plane.max_requests_per_second":
            return istiod_settings(scenario).requests_per_second
        case "control_plane.cpu":
            return int(plane.cpu) if plane.cpu.is_integer() else plane.cpu
        case "network.bandwidth":
            return scenario.network.bandwidth
        case "network.latency":
            calibration = read_calibration(scenario.envoy.calibration, scenario.directory)
            return written_delay(scenario.network.latency or calibration.loopback)
        case "envoy.costs":
            return _envoy_costs(scenario)
    if key.startswith(_ISTIOD_COSTS):
        if plane.costs.zero:
            return None
        law = istiod_laws(scenario).get(key.removeprefix(_ISTIOD_COSTS))
        return None if law is None else _written_law(law)
    return _written(scenario, key)


def _envoy_costs(scenario: Scenario) -> Any:
    costs = scenario.envoy.costs
    if costs.zero:
        return None
    laws = {**read_calibration(scenario.envoy.calibration, scenario.directory).costs, **costs.given}
    return {name: _written_law(law) for name, law in laws.items()}


def _written(scenario: Scenario, key: str) -> Any:
    """The value of a key as a file would hold it; None where there is no such key."""
    value: Any = scenario.resolved()
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _written_law(law: Law) -> Any:
    if isinstance(law, Mapping):
        return {term: format_duration(round(value)) for term, value in law.items()}
    return written_delay(law)


def _doubled(value: Any) -> Any:
    """Twice of it; None where it is no number: nothing limits it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    twice = 2 * value
    return int(twice) if float(twice).is_integer() else twice


def _halved(value: Any) -> Any:
    """Half of every duration in it; equal where there is none to halve."""
    if isinstance(value, Mapping):
        return {name: _halved(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_halved(part) for part in value]
    if not isinstance(value, str):
        return value
    try:
        return format_duration(parse_duration(value) // 2)
    except DurationError:
        return value


def _half_scope(scope: Any) -> Any:
    """Half of what a sidecar sees; None where that is a namespace, or too little to halve."""
    if scope == "all":
        return "50%"
    if isinstance(scope, str):
        return f"{float(scope.removesuffix('%')) / 2:g}%"
    services = scope.get("services", 0) if isinstance(scope, Mapping) else 0
    return {"services": services // 2} if services > 1 else None


def _text(value: Any, else_: str) -> str:
    text = value_text(value)
    return text if len(text) <= _LONGEST else else_
