"""What Pilot of Istio 0.2 to 0.7 is told."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.control_plane.istiod.versions import Dated
from simulator.engine.clock import S

SUPPORTED = tuple(f"0.{minor}" for minor in range(2, 8))
"""Istio versions whose Envoys poll."""

EVENTS_PER_SECOND = Dated(
    ((2, 10), (6, 100)),
    "istio/istio#3508, #3359: 10 a second, raised to 100 for 200 services; that it came with 0.6 is assumed",
)


@dataclass(frozen=True, slots=True)
class RestV1Settings:
    """Pilot's caches and its queue of events.

    Attributes:
        squash_ns: PILOT_CACHE_SQUASH: the caches are cleared at most once in this time.
        events_per_second: Rate limit of the queue of Kubernetes events.
    """

    squash_ns: int = S
    events_per_second: int = 100
