"""Random starts of whole meshes, by a seed.

All at once or over some time, with whatever else happens to small meshes: outages, upgrades, connections that
are old, requests between services (outage_scenarios.py), refused changes, lost messages.
"""

from __future__ import annotations

import random
from typing import Any

import simulator as xs
from tests.outage_scenarios import ages, any_protocol, outage, upgrade


def start(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(f"start/{seed}")
    one = of.choice
    form = one([outage, outage, upgrade, ages])
    scenario = any_protocol(seed, form) if of.random() < 0.6 else form(seed)
    left_out = ["restart_istiod"] if form is outage and of.random() < 0.5 else []
    entries: list[Any] = [entry for entry in scenario.workload if entry.KIND not in left_out]
    if of.random() < 0.3:
        entries.append({"edit": "VirtualService", "at": ["0s", "62ms", "1s"]})
    if of.random() < 0.2:
        entries.append({"restart": {"proxies": one([2, "20%"])}, "at": one(["0s", "1s", "5s"])})
    if of.random() < 0.2:
        entries.append(_traffic(of))
    keys: dict[str, Any] = {
        "mesh.start": one(["cold", "cold", {"over": "3s"}, {"over": "12s"}, {"over": "1ms"}]),
        **_keys(of),
    }
    return scenario.with_(**keys, workload=entries)


def _traffic(of: random.Random) -> dict[str, Any]:
    """Requests of some time only, or of one service, some of which try again."""
    one = of.choice
    sent = {"from": one(["any", "s0"]), "to": one(["s0", "s0"]), "rate": "7/s"}
    return {"traffic": sent, "from": one(["0s", "700ms"]), "until": one(["2s", "9s"])}


def _keys(of: random.Random) -> dict[str, Any]:
    """How many are let in when, what else an Envoy waits for, and what takes how long."""
    one, keys = of.choice, dict[str, Any]()
    if of.random() < 0.25:
        keys["recording.deliveries"] = "histogram"
    if of.random() < 0.3:
        keys["control_plane.max_requests_per_second"] = one([1, 3, 10])
    if of.random() < 0.25:
        keys["control_plane.start"] = "cold"
    if of.random() < 0.3:
        keys["control_plane.replicas"] = one([2, 3])
    if of.random() < 0.2:
        keys |= {"agent.certificates.provider": "istiod", "agent.certificates.ttl": one(["24h", "30s"])}
    elif of.random() < 0.1:
        keys["envoy.initial_fetch_timeout.cds"] = one(["300ms", "5s"])
    if of.random() < 0.2:
        keys["envoy.costs"] = {
            "server_construction": {"uniform": ["10ms", "900ms"]},
            "stream_open": {"uniform": ["1ms", "9ms"]},
            "stats_flush_per_cluster": one(["0s", "2ms", {"uniform": ["10us", "3ms"]}]),
        }
        keys["envoy.stats_flush_interval"] = one(["5s", "700ms"])
    return keys


def growing(seed: int) -> xs.Scenario:
    """A mesh that is there from the start and gets pods, by scale-ups and rollouts, some of which another
    rollout deletes, or whom somebody may restart."""
    of = random.Random(f"growing/{seed}")
    one = of.choice
    form = one([outage, upgrade, ages, ages])
    scenario = any_protocol(seed, form) if of.random() < 0.5 else form(seed)
    streams_last = of.random() < 0.4
    left_out = ["restart_istiod", "rollout_istiod", "add_istiod"] if streams_last else []
    left_out += ["restart", "partition"] if of.random() < 0.8 else []
    entries: list[Any] = [entry for entry in scenario.workload if entry.KIND not in left_out]
    for _ in range(of.randint(1, 3)):
        at = f"{of.randint(5, 120) * 100}ms"
        entries.append(one([_scale_up(of, at), _scale_up(of, at), _rollout(of, at)]))
    if of.random() < 0.4:
        entries.append({"traffic": {"from": "any", "to": "s0", "rate": "3/s"}})
    keys: dict[str, Any] = {"mesh.proxies.sidecars": of.randint(8, 30)}
    if streams_last:
        keys["control_plane.max_connection_age"] = "none"
    if of.random() < 0.2:
        keys |= {"agent.certificates.provider": "istiod", "agent.certificates.ttl": one(["24h", "30s"])}
    if of.random() < 0.2:
        keys["recording.deliveries"] = "histogram"
    return scenario.with_(**keys, workload=entries)


def _scale_up(of: random.Random, at: str) -> dict[str, Any]:
    more: dict[str, Any] = of.choice([{}, {"ready_after": "2s"}, {"service": "s0"}])
    return {"scale_up": {"pods": of.randint(1, 6)}, "at": at, **more}


def _rollout(of: random.Random, at: str) -> dict[str, Any]:
    one = of.choice
    more: dict[str, Any] = one([{}, {"max_surge": "100%"}, {"max_unavailable": "50%"}, {"ready_after": "1s"}])
    return {"rollout": one(["any", "s0"]), "at": at, "termination_drain": one(["0s", "1s"]), **more}
