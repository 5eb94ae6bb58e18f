"""Whatever happens in a mesh under istiod, these hold. The scenarios are random; the rules are read off the
tables (simulator/experiment/checkers.py) and off what the Envoys hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

import simulator as xs
from simulator.engine.clock import S
from simulator.experiment.checkers import unconverged, violations
from simulator.scenario.sections.workload import EditEntry
from tests.properties.meshes import SETTLED_S, scenarios
from tests.properties.watched import Play, play

ALLOWED = [HealthCheck.too_slow, HealthCheck.data_too_large]
NEW_PROXIES = ("scale_up", "rollout", "restart")


def refuses_anything(scenario: xs.Scenario) -> bool:
    return any(isinstance(entry, EditEntry) and entry.rejected_by_envoy for entry in scenario.workload)


def settles(scenario: xs.Scenario) -> bool:
    """Whether everything arrives in the end. A link that goes on losing messages keeps nothing; an Envoy that
    starts with a resource it refuses has no older one to go on with, nor what hangs on it."""
    starts_anew = scenario.mesh.start.kind != "connected" or any(
        entry.KIND in NEW_PROXIES for entry in scenario.workload
    )
    return scenario.network.loss == 0 and not (refuses_anything(scenario) and starts_anew)


def uncounted(played: Play) -> Iterator[str]:
    """Content that went backwards without a row in the table of regressions."""
    propagation, rows = played.scenario.propagation, played.result.regressions
    is_ads = propagation.strategy == "push" and propagation.streams == "ads"
    for step in played.backwards:
        if step.is_replaced and not is_ads:
            # The new object of a cluster has a subscription, or a stream, of its own, which the old one's may
            # have overtaken.
            continue
        if step.type != "eds" and played.mesh._deployment.accounts:
            # The first endpoints that a new replica sees renew the service's clusters there, with no change.
            continue
        own = (rows.proxy_id == step.proxy) & (rows.type == step.type) & (rows.t_ns <= step.t_ns)
        if not own.any():
            yield str(step)


def keeps_every_rule(scenario: xs.Scenario) -> None:
    played = play(scenario)
    assert violations(played.result) == []
    assert list(uncounted(played)) == []
    if settles(scenario):
        assert list(unconverged(played.result, SETTLED_S * S)) == []
        if not refuses_anything(scenario):
            assert list(played.differences()) == []


@settings(max_examples=3, suppress_health_check=ALLOWED)
@given(scenarios())
def test_a_few_random_meshes_keep_every_rule(scenario: xs.Scenario) -> None:
    keeps_every_rule(scenario)


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=ALLOWED)
@given(scenarios(("push",)))
def test_many_random_meshes_that_are_pushed_to_keep_every_rule(scenario: xs.Scenario) -> None:
    keeps_every_rule(scenario)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=ALLOWED)
@given(scenarios(("poll", "long-poll", "file")))
def test_many_random_meshes_that_ask_keep_every_rule(scenario: xs.Scenario) -> None:
    keeps_every_rule(scenario)
