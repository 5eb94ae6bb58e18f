"""Whatever a control plane does, these hold. The scenarios are random, the rules are read off the tables."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

import simulator as xs
from simulator.scenario.schema import Scenario
from tests.properties.invariants import ALL
from tests.properties.scripts import scenarios

ALLOWED = [HealthCheck.too_slow, HealthCheck.data_too_large]


def keeps_every_rule(scenario: Scenario) -> None:
    result = xs.run(scenario)
    for check in ALL:
        check(scenario, result)


@settings(max_examples=4, suppress_health_check=ALLOWED)
@given(scenarios())
def test_a_few_random_scripts_keep_every_rule(scenario: Scenario) -> None:
    keeps_every_rule(scenario)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=ALLOWED)
@given(scenarios())
def test_many_random_scripts_keep_every_rule(scenario: Scenario) -> None:
    keeps_every_rule(scenario)
