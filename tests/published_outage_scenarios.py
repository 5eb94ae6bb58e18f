"""Random outages and upgrades of istiod for proxies that poll or read files, by a seed.

As `fleet_poll_scenarios`, with istiods that end and start while polls are on their way, wait, or are answered
with clusters that warm; outages are short or long, one or two; changes happen before, during and after.
"""

from __future__ import annotations

import random
from typing import Any

import simulator as xs
from tests import fleet_poll_scenarios
from tests.fleet_scenarios import KINDS


def by_polls(seed: int) -> xs.Scenario:
    """The scenario of that seed, with one istiod at a time."""
    of = random.Random(f"published/{seed}")
    return _scenario(of, seed, {"control_plane.replicas": 1})


def by_files(seed: int) -> xs.Scenario:
    """The same for files, sometimes with several istiods."""
    of = random.Random(f"published/{seed}")
    return _scenario(
        of,
        seed,
        {
            "control_plane.replicas": of.choice([1, 1, 2, 3]),
            "propagation.strategy": "file",
            "propagation.sync_period": of.choice(["100ms", "700ms", "2s"]),
        },
    )


def _scenario(of: random.Random, seed: int, keys: dict[str, Any]) -> xs.Scenario:
    one = of.choice
    # Meshes of these seeds are small.
    base = fleet_poll_scenarios.scenario(1000 + seed)
    others = [entry for entry in base.workload if not _is_of_istiod(entry)]
    keys |= {
        "duration": one(["7s", "7s", "9s", "5s"]),
        "mesh.proxies.sidecars": of.randint(3, 12),
        "control_plane.readiness": one([{}, {"initial_delay": "100ms", "period": "200ms"}]),
        "workload": [*others, *_changes(of), *_ends(of)],
    }
    cache_sync = one([None, "100ms", "1s", {"uniform": ["1ms", "2s"]}])
    if cache_sync is not None and not base.control_plane.costs.zero:
        keys["control_plane.costs.cache_sync"] = cache_sync
    return base.with_(**keys)


def _is_of_istiod(entry: Any) -> bool:
    return entry.KIND in ("restart_istiod", "add_istiod", "rollout_istiod")


def _ends(of: random.Random) -> list[dict[str, Any]]:
    """Of istiods."""
    at = of.randint(500, 3500)
    again = [f"{at + of.choice([300, 1500, 4000])}ms"] if of.random() < 0.4 else []
    when = [f"{at}ms", *again]
    if of.random() < 0.35:
        how = of.choice([{}, {}, {"max_surge": 0, "max_unavailable": 1}])
        entries: list[dict[str, Any]] = [{"rollout_istiod": how, "at": when}]
    else:
        down_for = of.choice(["0s", "200ms", "1s", "3s"])
        entries = [{"restart_istiod": 0, "at": when, "down_for": down_for}]
    if of.random() < 0.15:
        entries.append({"add_istiod": 1, "at": f"{at + of.choice([-400, 300, 2500])}ms"})
    return entries


def _changes(of: random.Random) -> list[dict[str, Any]]:
    """All the time, at some places."""
    entries: list[dict[str, Any]] = []
    for _ in range(of.randint(0, 3)):
        edit: dict[str, Any] = {"edit": of.choice(["DestinationRule", "WorkloadEntry", *KINDS])}
        if of.random() < 0.4:
            edit["name"] = of.choice(["one", "two"])
        if of.random() < 0.15:
            edit["rejected_by_envoy"] = True
        entries.append(edit | {"every": f"{of.choice([97, 400, 1300])}ms", "from": "500ms", "until": "6s"})
    if of.random() < 0.5:
        entries.append({"endpoints": "any", "poisson": of.choice(["1/s", "4/s", "20/s"]), "until": "6s"})
    return entries
