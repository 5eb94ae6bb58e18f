"""Pilot of Istio 1.0 to 1.4: istiod's discovery server before it was called so.

Its registry, endpoint index, debounce, PushContext and connections are those of istiod (of the version that
the settings say); configuration comes from Galley, and how connections come to be pushed to depends on the
version.
Source: pilot/pkg/proxy/envoy/v2 at 1.0.9, 1.1.17 and 1.4.10; pilot/pkg/config/coredatamodel/controller.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.calibration.istiod_costs import marshal_cost_ns
from simulator.control_plane.components.push_loops import PATIENT_LOOP, RATED_LOOP, PushLoops
from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.replica import Replica
from simulator.control_plane.istiod.throttle import Sender
from simulator.mesh.content import ConfigChange
from simulator.xds.resources import Names

if TYPE_CHECKING:
    from simulator.control_plane.components.mcp import McpStream
    from simulator.control_plane.istiod.deployment import Deployment


class Pilot(Replica):
    """One Pilot that has synced.

    Args:
        number: Which replica.
        deployment: What all replicas share.
        engine: How connections come to be pushed to (istiod/versions.py: push_engine).
        mcp: Its stream from Galley; None where it reads configuration itself.
    """

    def __init__(self, number: int, deployment: Deployment, engine: str, mcp: McpStream | None) -> None:
        self._engine = engine
        self._mcp = mcp
        super().__init__(number, deployment, is_synced=True)
        if mcp is not None:
            mcp.receive = self._receive

    def _make_sender(self) -> Sender[Connection]:
        loop = {"rated loop": RATED_LOOP, "patient loop": PATIENT_LOOP}.get(self._engine)
        if loop is None:
            return super()._make_sender()
        throttle = self.shared.settings.push_throttle
        return PushLoops(self.clock, loop, throttle, self._start_push, on_depth=self._depth("push"))

    def _written(self) -> list[ConfigChange]:
        """Of configuration it knows what Galley has given it."""
        way = self.shared.ingestion
        if way is None or self._mcp is None:
            return super()._written()
        given = self._mcp.given
        return [
            change
            for change in super()._written()
            if not way.takes(change.kind, "config") or change.number in given
        ]

    def _receive(self, collection: str, changes: list[ConfigChange], size: int) -> None:
        """A collection arrived: it is decoded, takes the place of the old one, and everything is pushed."""

        def cost_ns() -> int:
            return self.costs.ns("marshal", lambda c: marshal_cost_ns(c, size_bytes=size))

        self.submit_own(cost_ns, lambda: self._apply(changes))

    def _apply(self, changes: list[ConfigChange]) -> None:
        if not self.is_serving:
            return
        now_ns = self.clock.now_ns
        for change in changes:
            self.shared.recorder.heard(change.number, self.number, "mcp", now_ns)
            self.pushes.batch.add(change.key, (change,))
        self._observe(tuple(changes))
        keys = Names(dict.fromkeys(change.key for change in changes))
        self._config_update(PushRequest(keys, {"config": 1}, forced=True))
