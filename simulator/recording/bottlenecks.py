"""The names of bottlenecks: what can own the delay of a change, and which of the instants it lies between.

Every stage of a delivery (`simulator.recording.instants.STAGES`) has a name for what waits there. The first
has two: an event on its way to the control plane, and its task in the queue of istiod's service registry,
which has one worker. Where content travels by polls, by files or over a new stream, the same instants hold
other waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = [
    "BOTTLENECK",
    "ENDED_OTHERWISE",
    "KNOBS",
    "NAMES",
    "NOT_SENT",
    "OF_CARRIERS",
    "OF_PUSHES",
    "QUANTILES",
    "REGISTRY_QUEUE",
]

BOTTLENECK: Final = "bottleneck"
"""What expectations and columns call it."""

REGISTRY_QUEUE: Final = "registry queue"

OF_PUSHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "watch_delay": "watch",
        "debounce_delay": "debounce",
        "context_delay": "PushContext",
        "queue_delay": "push queue",
        "generate_delay": "generation",
        "network_delay": "network",
        "main_thread_delay": "main thread",
        "warming_time": "warming",
    }
)
"""Stage -> what owns it where content travels in pushes; `REGISTRY_QUEUE` takes its part of the first."""

OF_CARRIERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "poll": MappingProxyType(
            {
                "context_delay": "poll interval",
                "queue_delay": "poll queue",
                "generate_delay": "poll answer",
            }
        ),
        "file": MappingProxyType(
            {"context_delay": "kubelet sync", "queue_delay": "rename", "generate_delay": "file event"}
        ),
        "reconnect": MappingProxyType(
            {"context_delay": "reconnect", "queue_delay": "reconnect", "generate_delay": "reconnect"}
        ),
    }
)
"""How content travelled -> stage -> what owns it instead. A stream that is down owns all until it is up."""

ENDED_OTHERWISE: Final = ("rejected", "disconnected")
"""Outcomes of a delivery that own the whole of it: it waits for nothing any more."""

NOT_SENT: Final = "not sent"
"""Owns a delivery that a control plane had heard of and that nothing had carried when the run ended."""

NAMES: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        (
            "watch",
            REGISTRY_QUEUE,
            *OF_PUSHES.values(),
            *(name for names in OF_CARRIERS.values() for name in names.values()),
            NOT_SENT,
            *ENDED_OTHERWISE,
        )
    )
)
"""Every name a bottleneck can have, in order of time."""

QUANTILES: Final = ("p50", "p99")
"""The quantiles of the delay whose owner is asked for; the last is meant where none is named."""

KNOBS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "watch": ("control_plane.costs.watch_delay", "control_plane.costs.endpoint_slice_delay"),
        REGISTRY_QUEUE: ("control_plane.costs.registry_task",),
        "debounce": ("control_plane.debounce.after", "control_plane.debounce.max"),
        "PushContext": ("control_plane.costs.push_context", "control_plane.cpu"),
        "push queue": ("control_plane.push_throttle", "control_plane.cpu", "control_plane.replicas"),
        "generation": ("control_plane.cpu", "control_plane.replicas", "mesh.scope"),
        "network": ("network.latency", "network.bandwidth", "agent.hop"),
        "main thread": ("envoy.costs", "mesh.scope"),
        "warming": ("envoy.initial_fetch_timeout", "network.latency"),
        "poll interval": ("propagation.refresh_delay",),
        "poll queue": (
            "propagation.server.concurrency",
            "propagation.server.service_time",
            "control_plane.cpu",
        ),
        "poll answer": ("propagation.server.service_time", "control_plane.cpu", "mesh.scope"),
        "kubelet sync": ("propagation.sync_period",),
        "reconnect": ("control_plane.max_requests_per_second", "propagation.backoff.base"),
    }
)
"""Bottleneck -> the keys of a scenario that may move it, the most direct first; nothing where none does."""
