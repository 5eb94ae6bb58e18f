"""What the processes of a control plane keep in memory: an account, not a simulation.

Each process has a runtime of its own, and a cache of every kind of object that it watches. Where one process
does what four did, a kind that two of them watched is kept once, and three runtimes go. How many objects
there are comes from the scenario; what an object and a runtime take are assumptions, and nothing here depends
on time. What is left out: generated configuration on its way, XDS caches, garbage not yet collected.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.scenario.schema import Scenario

RUNTIME_BYTES = 40 * 2**20
"""A Go process with the Kubernetes client before it has any object (assumption)."""
OBJECT_BYTES = 3 * 1024
"""An object of Kubernetes or Istio as a Go structure in an informer's cache (assumption: some three times its
encoded size)."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one process keeps of one kind.

    Attributes:
        process: Its name.
        replicas: How many of it there are.
        kind: The kind of object, or ``runtime``.
        objects: How many, in each replica.
        size_bytes: What they take, in all replicas.
    """

    process: str
    replicas: int
    kind: str
    objects: int
    size_bytes: int


_WATCHED: dict[str, dict[str, tuple[str, ...]]] = {
    "rest-v1": {"pilot": ("registry", "configuration"), "ca": ("accounts", "secrets")},
    "components": {
        "pilot": ("registry", "configuration"),
        "galley": ("configuration", "snapshot"),
        "citadel": ("accounts", "secrets"),
        "injector": (),
    },
    "istiod": {"istiod": ("registry", "configuration", "accounts")},
}
"""Kind of control plane -> process -> what it keeps. Of 1.4, Galley decodes every object and keeps the
encoded snapshot beside it; Citadel keeps a Secret for each service account, which istiod writes no more."""


def footprint(scenario: Scenario) -> list[Held]:
    """What each process of the scenario's control plane keeps; empty where there is none of Istio's."""
    counts = _objects(scenario)
    found: list[Held] = []
    for process, kinds in _WATCHED.get(scenario.control_plane.kind, {}).items():
        replicas = scenario.control_plane.replicas if process in ("pilot", "istiod") else 1
        found.append(Held(process, replicas, "runtime", 1, replicas * RUNTIME_BYTES))
        for kind in kinds:
            objects = counts[kind]
            found.append(Held(process, replicas, kind, objects, replicas * objects * OBJECT_BYTES))
    return found


def _objects(scenario: Scenario) -> dict[str, int]:
    services = scenario.mesh.named_services()
    pods = max(sum(service.endpoints for service in services), scenario.mesh.proxies.total)
    configuration = 2 * len(services)
    return {
        "registry": 2 * len(services) + pods,  # Services, EndpointSlices, Pods
        "configuration": configuration,  # a VirtualService and a DestinationRule each
        "snapshot": -(-configuration // 3),  # encoded: a third of an object
        "accounts": len(services),
        "secrets": len(services),
    }
