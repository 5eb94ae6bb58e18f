"""Random scenarios in which proxies poll, by a seed: as `fleet_scenarios`, with loops that are crowded.

Delays between polls are short, so that polls meet publications, warming clusters, each other and a server
that is too small; some requests time out or are lost. In some of them clusters and their endpoints change
all the time, so that both loops of a warming cluster bring something. In half of them pods come and go, and
proxies or istiods restart or are cut off; in half of them services send requests.
"""

from __future__ import annotations

import random
from typing import Any

import simulator as xs
from tests import fleet_scenarios


def scenario(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(f"poll/{seed}")
    one = of.choice
    service_time = one([None, None, "2ms", {"uniform": ["100us", "3ms"]}, "0s"])
    keys: dict[str, Any] = {
        "propagation.strategy": "poll",
        "propagation.refresh_delay": one(["100ms", "400ms", "1s", "1s", "3s"]),
        "propagation.request_timeout": one(["1s", "1s", "1s", "200ms"]),
        "propagation.server.concurrency": one([1, 2, 100, 100]),
        "propagation.server.service_time": service_time,
    }
    keys["workload"] = fleet_scenarios.edits(of, crowd=of.random() < 0.5)
    if of.random() < 0.4:
        keys["workload"] = [
            {"edit": "WorkloadEntry", "every": f"{one([31, 97])}ms", "from": "1s", "until": "3s"},
            {"edit": "DestinationRule", "every": f"{one([101, 333])}ms", "from": "1s", "until": "3s"},
            {"edit": "ServiceEntry", "at": ["1500ms", "2s"]},
        ]
        keys["network.latency"] = one(["20ms", {"uniform": ["1ms", "100ms"]}])
    keys["network.loss"] = one([0, 0, 0.01, 0.2])
    replicas = keys["control_plane.replicas"] = one([1, 1, 2, 3])
    keys["workload"] += fleet_scenarios.incidents(of, replicas) + fleet_scenarios.requests(of)
    return fleet_scenarios.scenario(seed).with_(**keys)


def edited_mesh(propagation: dict[str, Any], **keys: Any) -> xs.Scenario:
    """Thirty sidecars and a gateway; rules and routes are edited, some faster than they are asked for."""
    whole = xs.Scenario(
        name="edited-mesh",
        duration="6s",
        mesh={"proxies": {"sidecars": 30, "gateways": 1}, "services": 3, "endpoints": 3},
        control_plane={"kind": "istiod"},
        propagation=propagation,
        recording={"messages": False, "states": False, "queues": False},
        workload=[
            {"edit": "DestinationRule", "name": "one", "at": ["1s", "2s", "2500ms"]},
            {"edit": "VirtualService", "every": "300ms", "from": "1s", "until": "3s"},
        ],
    )
    return whole.with_(**keys)
