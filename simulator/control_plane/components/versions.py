"""What a version of the separate components does, as rows of (first version, value)."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.control_plane.istiod.versions import FIRST_ISTIOD, OLDEST, Dated
from simulator.engine.clock import MS, S

SUPPORTED = tuple(f"1.{minor}" for minor in range(OLDEST, FIRST_ISTIOD))
"""Istio versions made of components."""

HAS_GALLEY_SOURCE = Dated(
    ((OLDEST, False), (1, True)),
    "Pilot of 1.0 reads configuration from the API server itself; from 1.1 on Galley hands it over MCP",
)
GALLEY_QUIESCE = Dated(
    ((OLDEST, 0), (1, S), (4, 500 * MS)),
    "galley/pkg/runtime/publish/strategy.go (1 s, looked at every 500 ms); from 1.4 on "
    "galley/pkg/config/processing/snapshotter/strategy/debounce.go (0.5 s, set back by each event)",
)
GALLEY_MAX = Dated(((OLDEST, 0), (1, S)), "the same files (1 s at 1.1 and at 1.4.10)")
READINESS_INITIAL_DELAY = Dated(((OLDEST, 5 * S),), "install/kubernetes/helm at 1.4.10 (5 s)")
READINESS_PERIOD = Dated(
    ((OLDEST, 30 * S), (4, 5 * S)),
    "install/kubernetes/helm at 1.4.10 (5 s); 30 s before, istio/istio#16164: up after 10 s, ready at 35 s",
)

DATED: Mapping[str, Dated[int] | Dated[bool]] = {
    "galley_hands_over_configuration": HAS_GALLEY_SOURCE,
    "galley_quiesce_ns": GALLEY_QUIESCE,
    "galley_max_ns": GALLEY_MAX,
    "pilot_readiness_initial_delay_ns": READINESS_INITIAL_DELAY,
    "pilot_readiness_period_ns": READINESS_PERIOD,
}
"""Every dated behaviour by its name."""
