"""Scenarios played live agree with the simulator, rule by rule."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.lab.verify import verify
from tests.lab.scripts import scripts


@pytest.mark.parametrize("scenario", scripts(), ids=lambda scenario: scenario.name)
def test_a_real_envoy_does_what_the_simulator_says(scenario: xs.Scenario) -> None:
    verdict = verify(scenario)

    if not verdict.is_judged:
        pytest.skip(f"NOT JUDGED: this machine was too busy in {verdict.disturbed} plays, n=0 runs count")
    told = "\n".join(str(row) for row in verdict.differing)
    assert verdict.agrees, f"{told}\n{verdict.explained()}"
