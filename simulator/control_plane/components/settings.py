"""Settings of the components beside Pilot, with what their version decides filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Delay
from simulator.mesh.kinds import KINDS

AT_ONCE: Delay = Constant(0)
_NOT_OVER_MCP = ("Secret", "ConfigMap", "MeshConfig")
COLLECTIONS = tuple(
    kind.name for kind in KINDS.values() if not kind.is_registry and kind.name not in _NOT_OVER_MCP
)
"""Kinds that Galley hands to Pilot. Secrets and ConfigMaps are read where they are needed, mesh configuration
from a mounted file."""


@dataclass(frozen=True, slots=True)
class McpSettings:
    """The Mesh Configuration Protocol between Galley and Pilot.

    Attributes:
        max_message_bytes: A message beyond it ends the stream (pilot/pkg/bootstrap/
            server.go at 1.4.10: 4 MiB).
        retry_ns: Until the sink opens a new stream (pkg/mcp/sink/client_sink.go:reestablishStreamDelay).
        sizes: Encoded size of a collection from an instant on, in order of time; kinds that are absent are as
            large as `size_otherwise` says.
        size_otherwise: Bytes of the collections that `sizes` does not name.
        latency: One way between the two.
    """

    max_message_bytes: int = 4 * 2**20
    retry_ns: int = S
    sizes: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=lambda: MappingProxyType({}))
    size_otherwise: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    latency: Delay = AT_ONCE

    def size(self, collection: str, now_ns: int) -> int:
        """Encoded bytes of a collection at an instant."""
        steps = self.sizes.get(collection)
        if steps is None:
            return self.size_otherwise.get(collection, 0)
        return next((size for since_ns, size in reversed(steps) if since_ns <= max(0, now_ns)), 0)


@dataclass(frozen=True, slots=True)
class GalleySettings:
    """Galley.

    Attributes:
        quiesce_ns: Quiet time after which a snapshot is published.
        max_ns: Age of the oldest unpublished event at which it is published in any case.
        mcp: The protocol towards Pilot.
    """

    quiesce_ns: int = 500 * MS
    max_ns: int = S
    mcp: McpSettings = field(default_factory=McpSettings)


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """How the components start.

    Attributes:
        start: From the start of a process until it has read what it needs (assumption).
        initial_delay_ns: ``readinessProbe.initialDelaySeconds`` of Galley and the injector, as Pilot's.
        period_ns: ``readinessProbe.periodSeconds``.
        needs_citadel: At an installation the others wait for the Secrets with their certificates
            (``global.controlPlaneSecurityEnabled``).
    """

    start: Delay
    initial_delay_ns: int
    period_ns: int
    needs_citadel: bool
