"""Random outages of the only istiod, by a seed.

Meshes are small; outages are short or long, one or two, the second sometimes while most still dial; changes
happen before, during and after; istiod has few or many slots and cores and lets few or many in.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import simulator as xs
from simulator.scenario.sections.workload import RestartIstiodEntry
from tests.fleet_scenarios import KINDS

_LATENCIES: tuple[Any, ...] = (
    "0s",
    "1ms",
    {"uniform": ["100us", "30ms"]},
    {"lognormal": {"median": "2ms", "p99": "20ms"}},
    {"exponential": {"mean": "5ms"}},
)


def outage(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(seed)
    one = of.choice
    most = 400 if seed % 20 == 0 else one([30, 30, 50, 90])
    return xs.Scenario(
        name="outage-random",
        seed=seed,
        duration=one(["25s", "30s", "40s", "17s"]),
        mesh={
            "proxies": {"sidecars": of.randint(20, most), "gateways": one([0, 0, 2]), "vms": one([0, 0, 2])},
            "services": of.randint(1, 6),
            "namespaces": of.randint(1, 2),
            "endpoints": of.randint(1, 4),
            "scope": one(["all", "all", "50%", {"namespaces": "own"}]),
            "zones": one([1, 2]),
        },
        control_plane={
            "kind": "istiod",
            "version": one(["1.22", "1.24", "1.27", "1.30", "1.32", "1.32"]),
            "cpu": one(["500m", 1, 2, 4]),
            "debounce": {
                "after": one(["100ms", "10ms", "0s"]),
                "max": one(["10s", "500ms"]),
                "endpoints": one([True, True, False]),
            },
            "push_throttle": one(["auto", "auto", 1, 3]),
            "max_connection_age": one(["30m", "40s", "15s", "none"]),
            "max_connection_age_grace": "1s",
            **one([{}, {}, {"max_requests_per_second": one([3, 20, 200])}]),
            **one([{}, {}, {"readiness": {"initial_delay": "100ms", "period": "200ms"}}]),
            **one([{}, {}, {}, {"cache": {"cds": False, "eds": False, "rds": False, "sds": False}}]),
            **one(
                [
                    {},
                    {},
                    {},
                    {"costs": "zero"},
                    {"costs": {"cache_sync": "100ms"}},
                    {"costs": {"generate": "3ms"}},
                    {"costs": {"token_review": "0s", "tls_handshake": "0s"}},
                ]
            ),
        },
        propagation={
            "strategy": "push",
            "protocol": "delta",
            **one([{}, {}, {"backoff": {"base": one(["10ms", "100ms", "2s"]), "max": one(["2s", "5s"])}}]),
        },
        network={"latency": one(_LATENCIES), "bandwidth": one([None, None, "1Mi"])},
        agent={
            "hop": one(["50us", {"exponential": {"mean": "200us"}}]),
            "proxy_config_xds_agent": one([False, False, True]),
        },
        envoy=one([{}, {}, {"costs": "zero"}, {"costs": {"stream_open": {"uniform": ["1ms", "9ms"]}}}]),
        recording={"messages": False, "states": False, "queues": False},
        workload=_outages(of) + _changes(of) + _others(of),
    )


def _outages(of: random.Random) -> list[dict[str, Any]]:
    at = of.randint(2, 8)
    again = [f"{at + of.choice([1, 4, 12, 15])}s"] if of.random() < 0.4 else []
    down_for = of.choice(["0s", "500ms", "3s", "10s"])
    return [{"restart_istiod": 0, "at": [f"{at}s", *again], "down_for": down_for}]


def _changes(of: random.Random) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for _ in range(of.randint(0, 4)):
        edit: dict[str, Any] = {"edit": of.choice(KINDS)}
        if of.random() < 0.4:
            edit["name"] = of.choice(["one", "two"])
        if of.random() < 0.5:
            edit["at"] = sorted({f"{of.randint(10, 250) * 100}ms" for _ in range(of.randint(1, 5))})
        else:
            often = of.choice([300, 900, 2700])
            begin, end = of.randint(0, 15), of.randint(16, 25)
            edit |= {"every": f"{often}ms", "from": f"{begin}s", "until": f"{end}s"}
        entries.append(edit)
    if of.random() < 0.5:
        rate = of.choice(["1/s", "0.3/s", "4/s"])
        churn = {"endpoints": "any", "poisson": rate, "from": f"{of.randint(0, 10)}s", "until": "25s"}
        entries.append(churn)
    return entries


def _others(of: random.Random) -> list[dict[str, Any]]:
    """What touches some of the proxies, and requests of all."""
    entries: list[dict[str, Any]] = []
    if of.random() < 0.25:
        entries.append(
            of.choice(
                [
                    {"rollout": "any", "at": "3s", "termination_drain": "1s"},
                    {"scale_up": {"pods": 2}, "at": "12s"},
                    {"restart": {"proxies": "10%"}, "at": "6s"},
                    {"partition": {"proxies": 2}, "at": "3s", "until": "20s"},
                ]
            )
        )
    if of.random() < 0.3:
        entries.append({"traffic": {"from": "any", "to": "s0", "rate": "3/s"}})
    return entries


def upgrade(seed: int) -> xs.Scenario:
    """Istiods that are replaced, one by one or all at once, and ended or added beside that."""
    of, scenario = random.Random(seed), outage(seed)
    at = of.randint(2, 6)
    portion = {
        "max_surge": of.choice(["0", "100%", "50%"]),
        "max_unavailable": of.choice(["0", "100%", "50%"]),
    }
    entries: list[dict[str, Any]] = [
        {"rollout_istiod": {key: int(p) if p == "0" else p for key, p in portion.items()}, "at": f"{at}s"}
    ]
    if of.random() < 0.25:
        entries = [{"restart_istiod": of.choice([0, 1]), "at": [f"{at}s"], "down_for": "2s"}]
    if of.random() < 0.3:
        entries.append({"restart_istiod": 0, "at": f"{of.choice([1, at + 3])}s", "down_for": "1s"})
    if of.random() < 0.3:
        entries.append({"rollout_istiod": {"max_surge": "100%"}, "at": f"{at + of.choice([1, 9])}s"})
    if of.random() < 0.2:
        entries.append({"add_istiod": 1, "at": f"{of.choice([1, 7])}s"})
    replicas = of.choice([2, 3]) if entries[0].get("restart_istiod") else of.choice([1, 1, 2, 3])
    return scenario.with_(**{"control_plane.replicas": replicas}, workload=[*entries, *scenario.workload[1:]])


def ages(seed: int) -> xs.Scenario:
    """No istiod ends: connections are old enough to end, some of them several times."""
    of, scenario = random.Random(seed), outage(seed)
    one = of.choice
    changes = {
        "mesh.proxies.sidecars": of.randint(8, 30),
        "duration": one(["9s", "14s", "21s"]),
        "control_plane.replicas": one([1, 1, 2, 3]),
        "control_plane.max_connection_age": one(["3s", "6s", "10s", "20s", "60s"]),
        "control_plane.max_connection_age_grace": one(["0s", "10ms", "1s", "5s"]),
        "agent.certificates.ttl": one(["24h", "24h", "24h", "60s"]),
    }
    entries: list[dict[str, Any]] = []
    if of.random() < 0.3:
        entries.append({"add_istiod": 1, "at": f"{one([1, 5, 9])}s"})
    if of.random() < 0.3:
        entries.append(one([{"scale_up": {"pods": 2}, "at": "8s"}, {"rollout": "any", "at": "4s"}]))
    if of.random() < 0.15:
        entries.append(
            one([{"root_rotation": True, "at": "5s"}, {"ca_outage": True, "at": "3s", "until": "9s"}])
        )
    if of.random() < 0.15:
        changes["recording.deliveries"] = "histogram"
    return scenario.with_(**changes, workload=[*entries, *_changes(of), *scenario.workload[1:]])


def any_protocol(seed: int, of_kind: Callable[[int], xs.Scenario]) -> xs.Scenario:
    """One of these, in most cases with state of the world, refused changes, lost messages, or all of them."""
    of, scenario = random.Random(f"any {seed}"), of_kind(seed)
    changes = {
        "propagation.protocol": of.choice(["sotw", "sotw", "delta"]),
        "network.loss": of.choice([0, 0, 0.0003, 0.003]),
    }
    return scenario.with_(**changes, workload=[*scenario.workload, *_refusals(of)])


def _refusals(of: random.Random) -> list[dict[str, Any]]:
    """Edits that Envoy refuses, some of them put right, of objects that others edit as well."""
    entries: list[dict[str, Any]] = []
    for _ in range(of.choice([0, 1, 1, 3])):
        edit: dict[str, Any] = {"edit": of.choice(KINDS)}
        if of.random() < 0.6:
            edit["name"] = of.choice(["one", "two"])
        at = of.randint(5, 200)
        entries.append({**edit, "at": f"{at * 100}ms", "rejected_by_envoy": True})
        if of.random() < 0.5:
            entries.append({**edit, "at": f"{at * 100 + of.choice([30, 700, 4000])}ms"})
    return entries


def migration(seed: int) -> xs.Scenario:
    """Proxies move to another control plane, some namespaces of them within the run; istiods end, or
    connections are old enough, in some beside that."""
    of = random.Random(f"migration {seed}")
    one, scenario = of.choice, any_protocol(seed, ages if of.random() < 0.3 else outage)
    every, at = one(["10s", "20s", "30s"]), of.randint(0, 15)
    moves: list[dict[str, Any]] = [
        {
            "migrate_revision": {"to": "canary", "every": every, "replicas": one([1, 1, 2])},
            "at": f"{at}s",
            "pre_stop": one(["0s", "1s"]),
        }
    ]
    if of.random() < 0.3:
        moves.append({"migrate_revision": {"to": "default", "every": every}, "at": f"{at + one([4, 12])}s"})
    ends = [entry for entry in scenario.workload if isinstance(entry, RestartIstiodEntry)]
    others = [entry for entry in scenario.workload if entry not in ends]
    if of.random() < 0.5:
        ends = one([[], [], [{"rollout_istiod": {"max_surge": "100%"}, "at": f"{at + one([1, 9])}s"}]])
    if of.random() < 0.2:
        ends = [*ends, {"add_istiod": 1, "at": f"{one([1, 7])}s"}, {"restart_istiod": 1, "at": f"{at + 10}s"}]
    return scenario.with_(
        **{"mesh.namespaces": of.randint(3, 5), "mesh.services": of.randint(4, 8)},
        workload=[*moves, *ends, *others],
    )
