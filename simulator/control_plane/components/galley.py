"""Galley: it watches configuration, makes snapshots of it, and hands whole collections to every Pilot.

A snapshot is published when its own debounce says so. Pilot's debounce comes after that, so a change passes
two of them in a row. Endpoints and Services do not come this way.
Source: galley/pkg at 1.4.10 (processing, server); pkg/mcp/source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from simulator.calibration.istiod_costs import marshal_cost_ns
from simulator.control_plane.components.mcp import McpStream
from simulator.control_plane.components.settings import COLLECTIONS, GalleySettings
from simulator.control_plane.components.snapshots import Snapshots
from simulator.control_plane.istiod.costs import IstiodCosts
from simulator.engine.events import Band
from simulator.mesh.content import ConfigChange
from simulator.mesh.services import stable_id

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.mesh.kubernetes import WatchEvent

PURPOSE = "galley"
"""Its costs are drawn apart from Pilot's."""


class Galley:
    """One Galley (an `istiod.deployment.Ingestion`, and the `McpSource` of its streams).

    Args:
        deployment: The replicas of Pilot and what they share.
        settings: Its debounce and the protocol.

    Attributes:
        is_serving: Whether it accepts streams.
        busy_ns: CPU time spent encoding.
    """

    def __init__(self, deployment: Deployment, settings: GalleySettings) -> None:
        self.shared = deployment
        self.clock = deployment.clock
        self.settings = settings
        self.is_serving = False
        self.busy_ns = 0
        self._costs = IstiodCosts(deployment.laws, deployment.draws, PURPOSE)
        self._snapshots = Snapshots(self.clock, settings.quiesce_ns, settings.max_ns, self._publish)
        self._snapshot: dict[str, list[ConfigChange]] | None = None
        self._heard: list[ConfigChange] = []
        self._events: dict[str, int] = {}
        self._arrived_ns = 0
        self._streams: dict[int, McpStream] = {}
        self._open: dict[McpStream, None] = {}

    def stream(self, number: int) -> McpStream:
        """The stream of a replica of Pilot."""
        if number not in self._streams:
            self._streams[number] = McpStream(
                self, number, self.settings.mcp, self.clock, self.shared.draws, self.shared.recorder
            )
        return self._streams[number]

    @property
    def streams(self) -> tuple[McpStream, ...]:
        """The streams of all replicas."""
        return tuple(self._streams[number] for number in sorted(self._streams))

    # --- its life

    def begin_with(self, changes: list[ConfigChange]) -> None:
        """It runs since long ago, and has published what there is."""
        self.is_serving = True
        self._snapshot = {}
        self._take(changes)

    def start(self) -> None:
        """The process has read all configuration: its first snapshot follows."""
        self.is_serving = True
        self._heard = [
            change
            for change in self.shared.changes
            if self.takes(change.kind, "config") and self.shared.watches(change.namespace)
        ]
        self._snapshots.on_event()

    def stop(self) -> None:
        """The process ends, and with it every stream."""
        self.is_serving = False
        self._snapshot = None
        self._heard = []
        self._snapshots.stop()
        for stream in list(self._open):
            stream.break_off()

    # --- events

    def takes(self, kind: str, stream: str) -> bool:
        """Configuration in collections; not Services and endpoints."""
        return stream == "config" and kind in COLLECTIONS

    def on_watch_event(self, event: WatchEvent) -> None:
        """An object was written: Galley hears of it after the delay of a watch."""
        if not self.is_serving or not self.shared.watches(event.namespace):
            return
        count = self._events[event.key] = self._events.get(event.key, -1) + 1
        delay_ns = self._costs.ns("watch_delay", entity=stable_id(event.key), index=count)
        self._arrived_ns = max(self.clock.now_ns + delay_ns, self._arrived_ns)
        if self._arrived_ns == self.clock.now_ns:
            self._hear(event)
        else:
            self.clock.at(self._arrived_ns, lambda: self._hear(event), band=Band.WORKLOAD)

    def _hear(self, event: WatchEvent) -> None:
        if not self.is_serving:
            return
        known = dict.fromkeys(change.number for change in self._heard)
        changes = cast("tuple[ConfigChange, ...]", event.changes)
        # One that started meanwhile has read the object already.
        self._heard += [change for change in changes if change.number not in known]
        self._snapshots.on_event()

    def _publish(self) -> None:
        is_first = self._snapshot is None
        changed = self._take(self._heard)
        self._heard = []
        self.shared.recorder.component(self.clock.now_ns, "galley", 0, "snapshot", ", ".join(changed))
        for stream in list(self._open):
            stream.send(stream.order() if is_first else changed)

    def _take(self, changes: list[ConfigChange]) -> list[str]:
        """The snapshot knows these as well; the collections that they are in."""
        if self._snapshot is None:
            self._snapshot = {}
        for change in changes:
            self._snapshot.setdefault(change.kind, []).append(change)
        return list(dict.fromkeys(change.kind for change in changes))

    # --- streams

    def attach(self, stream: McpStream) -> None:
        """A stream opened; it gets all there is, once there is a snapshot."""
        self._open[stream] = None
        if self._snapshot is not None:
            stream.send(stream.order())

    def detach(self, stream: McpStream) -> None:
        """A stream ended."""
        self._open.pop(stream, None)

    def encoded(self, collection: str) -> tuple[int, list[ConfigChange]]:
        """Size of a collection in the snapshot, and the changes that are in it."""
        assert self._snapshot is not None
        return self.settings.mcp.size(collection, self.clock.now_ns), list(self._snapshot.get(collection, ()))

    def encoding_ns(self, size: int) -> int:
        """CPU time that encoding a message takes."""
        if self.clock.now_ns < 0:
            return 0
        cost_ns = self._costs.ns("marshal", lambda c: marshal_cost_ns(c, size_bytes=size))
        self.busy_ns += cost_ns
        return cost_ns
