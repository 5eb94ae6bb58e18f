"""Random scenarios in which proxies read files, by a seed: as `fleet_poll_scenarios`, synchronized often."""

from __future__ import annotations

import random

import simulator as xs
from tests import fleet_poll_scenarios


def scenario(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(f"file/{seed}")
    keys = {"propagation.strategy": "file", "propagation.sync_period": of.choice(["100ms", "700ms", "2s"])}
    return fleet_poll_scenarios.scenario(seed).with_(**keys)
