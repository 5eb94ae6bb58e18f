"""Random scenarios in which proxies ask by long polls, by a seed: as `fleet_scenarios`.

Waits are short, so holds end, meet publications, warming clusters and each other, and a server that is too
small. In some of them clusters and their endpoints change all the time, so that a new loop of a cluster asks
while those before it are still held. In half of them pods come and go, and proxies or istiods restart or are
cut off; in half of them services send requests.
"""

from __future__ import annotations

import random
from typing import Any

import simulator as xs
from tests import fleet_scenarios


def scenario(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(f"long-poll/{seed}")
    one = of.choice
    keys: dict[str, Any] = {
        "propagation.strategy": "long-poll",
        "propagation.wait": one(["100ms", "400ms", "1s", "1s", "3s", "60s"]),
        "propagation.request_timeout": one(["1s", "1s", "3s", "200ms"]),
        "propagation.server.concurrency": one([1, 2, 100, 100]),
        "propagation.server.service_time": one([None, None, "1ms", {"uniform": ["50us", "2ms"]}, "0s"]),
        "network.loss": 0,
    }
    keys["workload"] = fleet_scenarios.edits(of, crowd=of.random() < 0.5)
    if of.random() < 0.4:
        keys["workload"] = [
            {"edit": "WorkloadEntry", "every": f"{one([31, 97])}ms", "from": "1s", "until": "3s"},
            {"edit": "DestinationRule", "every": f"{one([101, 333])}ms", "from": "1s", "until": "3s"},
            {"edit": "ServiceEntry", "at": ["1500ms", "2s"]},
        ]
        keys["network.latency"] = one(["20ms", {"uniform": ["1ms", "100ms"]}])
    replicas = keys["control_plane.replicas"] = one([1, 1, 2, 3])
    keys["workload"] += fleet_scenarios.incidents(of, replicas) + fleet_scenarios.requests(of)
    return fleet_scenarios.scenario(seed).with_(**keys)
