"""Makes a scenario that disagrees small, as long as it disagrees in the same rules."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simulator.scenario.problems import ScenarioError
from simulator.scenario.schema import Scenario

Mapping = dict[str, Any]

Differing = Callable[[Sequence[Mapping]], list[list[str] | None]]
"""Plays scenarios; for each the rules that are not met, or None where the machine was too busy to tell."""

_PLAIN: dict[tuple[str, ...], Any] = {
    ("envoy", "drain_time"): "1s",
    ("envoy", "initial_fetch_timeout"): "1150ms",
}
"""What is most ordinary, where leaving a key out would make the scenario slow or different in kind."""


def shrunk(
    mapping: Mapping,
    rules: Sequence[str],
    differing: Differing,
    *,
    most: int,
    at_once: int = 1,
    is_over: Callable[[], bool] = lambda: False,
) -> Mapping:
    """The smallest scenario found that does not meet one of `rules` either.

    Args:
        mapping: A scenario that disagrees.
        rules: The rules it does not meet.
        differing: Plays simpler ones.
        most: How many of them are played.
        at_once: How many are handed over together.
        is_over: Whether time is up.
    """
    smallest, tried = mapping, 0
    judged = [mapping]
    is_worth_another_round = True
    while is_worth_another_round:
        is_worth_another_round = False
        untried = (one for one in simpler(smallest) if one not in judged)
        while not is_over() and tried < most and (batch := list(itertools.islice(untried, at_once))):
            tried += len(batch)
            missed = differing(batch)
            told = [
                (one, rules_of) for one, rules_of in zip(batch, missed, strict=True) if rules_of is not None
            ]
            judged += [one for one, _ in told]
            # One that the machine was too busy for may still be what leads on.
            is_worth_another_round |= len(told) < len(batch)
            found = next((one for one, rules_of in told if any(rule in rules for rule in rules_of)), None)
            if found is not None:
                smallest, is_worth_another_round = found, True
                break
    return smallest


def simpler(mapping: Mapping) -> Iterator[Mapping]:
    """Valid scenarios with one thing less, those that leave out most first."""
    for change in _changes(mapping):
        candidate = copy.deepcopy(mapping)
        change(candidate)
        if candidate != mapping and _is_valid(candidate):
            yield candidate


def _is_valid(mapping: Mapping) -> bool:
    try:
        Scenario(**mapping)
    except ScenarioError:
        return False
    return True


Change = Callable[[Mapping], None]


def _changes(mapping: Mapping) -> Iterator[Change]:
    control_plane = mapping["control_plane"]
    pushes = control_plane.get("pushes", [])
    if len(pushes) > 1:
        yield lambda m: m["control_plane"].update(pushes=[])
    for key in ("answers", "connect"):
        if control_plane.get(key):
            yield lambda m, key=key: m["control_plane"].pop(key)  # type: ignore[misc]
    yield lambda m: m.pop("workload", None)
    for key in ("static", "runtime_layers"):
        yield lambda m, key=key: m["envoy"].pop(key, None)  # type: ignore[misc]
    for position in reversed(range(len(pushes))):
        yield lambda m, position=position: m["control_plane"]["pushes"].pop(position)  # type: ignore[misc]
    yield lambda m: m["control_plane"]["resources"].pop("health_check", None)
    for kind in control_plane.get("answers", {}):
        yield lambda m, kind=kind: m["control_plane"]["answers"].pop(kind)  # type: ignore[misc]
    yield from _fewer_resources(control_plane["resources"])
    for kind, turns in control_plane.get("answers", {}).items():
        for position in reversed(range(len(turns) if len(turns) > 1 else 0)):
            yield _without_turn(kind, position)
        for position, turn in enumerate(turns):
            for key in turn:
                yield _plain_turn(kind, position, key)
    for path, value in _PLAIN.items():
        yield _set_to(path, value)


def _fewer_resources(resources: Mapping) -> Iterator[Change]:
    for kind in ("clusters", "listeners"):
        for position in reversed(range(len(resources[kind]) if len(resources[kind]) > 1 else 0)):
            yield _without_resource(kind, position)
    for kind in ("clusters", "listeners"):
        for position, one in enumerate(resources[kind]):
            for key in [key for key in one if key in ("resolver", "secret", "filters")]:
                yield _plain_resource(kind, position, key)


def _without_resource(kind: str, position: int) -> Change:
    return lambda m: m["control_plane"]["resources"][kind].pop(position)


def _plain_resource(kind: str, position: int, key: str) -> Change:
    return lambda m: m["control_plane"]["resources"][kind][position].pop(key)


def _without_turn(kind: str, position: int) -> Change:
    return lambda m: m["control_plane"]["answers"][kind].pop(position)


def _plain_turn(kind: str, position: int, key: str) -> Change:
    return lambda m: m["control_plane"]["answers"][kind][position].pop(key)


def _set_to(path: tuple[str, ...], value: Any) -> Change:
    def change(mapping: Mapping) -> None:
        within = mapping
        for part in path[:-1]:
            within = within[part]
        within[path[-1]] = value

    return change
