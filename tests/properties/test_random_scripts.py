"""Whatever a control plane does, these hold. The scenarios are random, the rules are read off the tables of each run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings

import simulator as xs
from simulator.scenario.schema import Scenario
from tests.properties import invariants
from tests.properties.scripts import scenarios

CHECKS: tuple[Callable[[Scenario, xs.Result], None], ...] = invariants.ALL


def plays(scenario: Scenario) -> None:
    result = xs.run(scenario)
    for check in CHECKS:
        check(scenario, result)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
@pytest.mark.slow
def test_a_few_random_scripts(scenario: Scenario) -> None:
    plays(scenario)
