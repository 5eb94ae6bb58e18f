"""A real Envoy decides by what a flip says: its own endpoint shows the value."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.lab.play import play
from tests.lab.scripts import scripts

FLAGS = [scenario for scenario in scripts() if scenario.name.startswith("feature-flags")]


@pytest.mark.parametrize("scenario", FLAGS, ids=lambda scenario: scenario.name)
def test_a_flip_is_seen_in_the_runtime_of_a_real_envoy(scenario: xs.Scenario) -> None:
    states = play(scenario.with_(**{"recording.states": True})).states

    seen = states[states.machine == "runtime_flag"]

    assert dict(zip(seen.name, seen.state, strict=True)) == {"checkout.v2": "25.0000%", "search": "100.0000%"}
