"""Random scenarios in which proxies poll, by a seed: as `fleet_scenarios`, with loops that are crowded.

Delays between polls are short, so that polls meet publications, warming clusters, each other and a server
that is too small; some requests time out.
"""

from __future__ import annotations

import random

import simulator as xs
from tests import fleet_scenarios


def scenario(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(f"poll/{seed}")
    one = of.choice
    service_time = one([None, None, "2ms", {"uniform": ["100us", "3ms"]}, "0s"])
    return fleet_scenarios.scenario(seed).with_(
        **{
            "propagation.strategy": "poll",
            "propagation.refresh_delay": one(["100ms", "400ms", "1s", "1s", "3s"]),
            "propagation.request_timeout": one(["1s", "1s", "1s", "200ms"]),
            "propagation.server.concurrency": one([1, 2, 100, 100]),
            "propagation.server.service_time": service_time,
        }
    )
