"""Random scenarios of the class that both engines play, by a seed.

They are small but crowded: pushes overtake debounces, merge, wait for one slot or one core, meet full links
and stats flushes; some connections reach their age; some runs end in the middle of a push.
"""

from __future__ import annotations

import random
from typing import Any

import simulator as xs

KINDS = (
    "VirtualService",
    "DestinationRule",
    "ServiceEntry",
    "AuthorizationPolicy",
    "PeerAuthentication",
    "RequestAuthentication",
    "EnvoyFilter",
    "Sidecar",
    "Telemetry",
    "TrafficExtension",
    "Gateway",
    "Secret",
    "ConfigMap",
    "MeshConfig",
    "WorkloadEntry",
    "ProxyConfig",
)


SMALL_FROM = 130
"""From this seed on meshes are small, so that very many can be compared."""


def scenario(seed: int) -> xs.Scenario:
    """The scenario of that seed."""
    of = random.Random(seed)
    one = of.choice
    namespaces = of.randint(1, 3)
    crowd = of.random() < 0.5
    is_small = seed >= SMALL_FROM
    replicas = one([1, 1, 2, 3])
    return xs.Scenario(
        name="fleet-random",
        seed=seed,
        duration=one(["6s", "6s", "12s", "3107300us"] if is_small else ["6s", "12s", "12s", "3107300us"]),
        mesh={
            "proxies": {
                "sidecars": of.randint(2, 12 if is_small else 60),
                "gateways": one([0, 0, 2]),
                "vms": one([0, 0, 3]),
            },
            "services": _services(of, of.randint(1, 4 if is_small else 8), namespaces),
            "namespaces": namespaces,
            "endpoints": of.randint(1, 6),
            "scope": one(["all", "all", "50%", {"services": 2}, {"namespaces": "own"}]),
            "zones": one([1, 1, 2]),
        },
        control_plane={
            "kind": "istiod",
            "version": one(["1.20", "1.24", "1.27", "1.30", "1.32", "1.32"]),
            "replicas": replicas,
            "cpu": one(["500m", 1, 2, 4]),
            "debounce": {
                "after": one(["100ms", "100ms", "10ms", "0s"]),
                "max": one(["10s", "500ms"]),
                "endpoints": one([True, True, False]),
            },
            "push_throttle": one(["auto", "auto", 1, 3]),
            "max_connection_age": one(["30m", "30m", "9s", "none"]),
            "max_connection_age_grace": "1s",
            **one([{}, {}, {"cache": {"cds": False, "eds": False, "rds": False, "sds": False}}]),
            **one([{}, {}, {}, {"costs": "zero"}]),
        },
        propagation={"strategy": "push", "protocol": one(["delta", "sotw"])},
        network={
            "latency": one(["0s", "1ms", {"uniform": ["100us", "30ms"]}, {"lognormal": _LOGNORMAL}]),
            "bandwidth": one([None, None, "1Mi"]),
            "loss": one([0, 0, 0, 0.01]),
        },
        agent={
            "certificates": {"ttl": one(["24h", "24h", "30s"])},
            "hop": one(["50us", {"exponential": {"mean": "200us"}}]),
            "proxy_config_xds_agent": one([False, False, True]),
        },
        envoy={
            **one([{}, {}, {"costs": "zero"}]),
            **one([{}, {}, {}, {"initial_fetch_timeout": "20ms"}]),
        },
        recording={"messages": False, "states": False, "queues": False},
        workload=edits(of, crowd) + incidents(of, replicas) + requests(of),
    )


_LOGNORMAL = {"median": "2ms", "p99": "20ms"}


def _services(of: random.Random, count: int, namespaces: int) -> int | list[dict[str, Any]]:
    if of.random() < 0.7:
        return count
    return [
        {"name": f"s{n}", "namespace": f"ns{n % namespaces}", "headless": of.random() < 0.5}
        for n in range(count)
    ]


def edits(of: random.Random, crowd: bool) -> list[dict[str, Any]]:
    """Edits of every kind and endpoint churn."""
    entries: list[dict[str, Any]] = []
    for _ in range(of.randint(1, 4)):
        edit: dict[str, Any] = {"edit": of.choice(KINDS)}
        if of.random() < 0.4:
            edit["name"] = of.choice(["one", "two"])
        if of.random() < 0.2:
            edit["namespace"] = of.choice(["ns0", "istio-system"])
        if of.random() < 0.2:
            edit["rejected_by_envoy"] = True
        if crowd and of.random() < 0.5:
            edit |= {"every": f"{of.choice([3, 20, 111])}ms", "from": "1s", "until": "1400ms"}
        else:
            edit["at"] = sorted({f"{of.randint(10, 100) * 30}ms" for _ in range(of.randint(1, 4))})
        entries.append(edit)
    if of.random() < 0.6:
        rate = of.choice(["2/s", "50/s"]) if crowd else "1/s"
        entries.append({"endpoints": "any", "poisson": rate, "until": "4s"})
    return entries


def incidents(of: random.Random, replicas: int) -> list[dict[str, Any]]:
    """What touches some of the proxies: most stay rows."""
    entries: list[dict[str, Any]] = []
    for _ in range(of.choice([0, 0, 1, 1, 3])):
        at = f"{of.randint(10, 40) * 50}ms"
        some = of.choice([1, "10%", "30%"])
        entries.append(
            of.choice(
                [
                    {
                        "rollout": of.choice(["any", "s0"]),
                        "at": at,
                        "pre_stop": of.choice(["0s", "1s"]),
                        "termination_drain": of.choice(["1s", "5s"]),
                        "max_surge": of.choice(["25%", "100%"]),
                        "new_service_account": of.random() < 0.3,
                    },
                    {"scale_up": {"pods": of.randint(1, 3)}, "at": at},
                    {"restart": {"proxies": some}, "at": at},
                    {"partition": {"proxies": some}, "at": at, "until": "3500ms"},
                    {"slow_reader": {"proxies": some}, "at": at, "until": "2900ms"},
                    {"ca_outage": True, "at": at, "until": "3s"},
                    {"root_rotation": True, "at": at},
                    {"add_istiod": 1, "at": at},
                    *([{"restart_istiod": 0, "at": at, "down_for": "500ms"}] if replicas > 1 else []),
                ]
            )
        )
    return entries


def requests(of: random.Random) -> list[dict[str, Any]]:
    """Requests between services."""
    entries: list[dict[str, Any]] = []
    for _ in range(of.choice([0, 0, 1, 2])):
        entries.append(
            {
                "traffic": {
                    "from": of.choice(["any", "s0"]),
                    "to": "s0",
                    "rate": of.choice(["7/s", "100/s"]),
                    "retries": of.choice([0, 2]),
                    "dead_endpoint": of.choice(["reset", "blackhole"]),
                },
                **of.choice([{}, {"from": "1500ms", "until": "3s"}]),
            }
        )
    return entries
