"""Pilot of Istio 0.2 to 0.7: what it knows changes at once, what it answers when its caches are cleared.

Each request is answered from a cache, filled from the newest state by the first request after a clearing; any
event clears all caches together, squashed. There is no PushContext, no push and no order among the types: a
route may come before its cluster. CDS, LDS and RDS have an entry for each proxy (the request names it), the
endpoints of a cluster one for all proxies.
Source: pilot/pkg/proxy/envoy/v1/discovery.go at 0.7.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.control_plane.istiod.debounce import Gathering
from simulator.control_plane.istiod.published import PublishedState
from simulator.control_plane.istiod.push_context import PushContext
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.pushes import Pushes
from simulator.control_plane.istiod.replica import Replica
from simulator.control_plane.rest_v1.squash import Squash
from simulator.engine.clock import S
from simulator.engine.servers import TokenBucket
from simulator.xds.resource_types import EDS
from simulator.xds.resources import Resources

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.control_plane.rest_v1.settings import RestV1Settings
    from simulator.engine.delays import Delay
    from simulator.mesh.content import ConfigChange
    from simulator.xds.messages import DiscoveryRequest

_Key = tuple[int, str, str]
"""Proxy (-1 for all), type and name."""


class LiveState(Pushes):
    """The newest state, which no context has to be built for; clearings take the place of pushes."""

    def __init__(self, replica: RestPilot) -> None:
        super().__init__(replica)
        self._untold: list[ConfigChange] = []

    def go_live(self, request: PushRequest) -> None:
        """What changed is known from now on."""
        self.contexts += 1
        replica, changes = self._replica, self.batch.take(request.keys)
        for change in changes:
            if change.number >= 0:
                replica.known.gather(change.number, self.contexts, None)
                self._untold.append(change)
        content = self.context.content.after(changes, replica.shared.visibility.classes)
        version = self._version(self.contexts)
        self.context = PushContext(
            self.contexts, version, content, replica.generator.assignments, self.contexts
        )

    def note_cleared(self, request: PushRequest, first_event_ns: int, events: int) -> None:
        """A clearing, in the table of pushes."""
        row = self._open_round(request, first_event_ns, events)
        row.t_context_ready_ns = row.t_started_ns
        for change in self._untold:
            self._replica.known.publish(change.number, row)
        self._untold = []


class RestPilot(Replica):
    """One Pilot that has synced.

    Args:
        number: Which replica.
        deployment: What all replicas share.
        settings: Its caches and its queue.
    """

    def __init__(self, number: int, deployment: Deployment, settings: RestV1Settings) -> None:
        self._settings = settings
        self._events = TokenBucket(1, S // settings.events_per_second)
        self._cached: dict[_Key, PushContext] = {}
        super().__init__(number, deployment, is_synced=True)

    def _make_pushes(self) -> Pushes:
        self._live = LiveState(self)
        return self._live

    def _make_debounce(self) -> Gathering:
        return Squash(self.clock, self._settings.squash_ns, self._clear, self.number)

    def _config_update(self, request: PushRequest) -> None:
        """Known at once; answered with after a clearing."""
        self.metrics.on_inbound("config")
        self._live.go_live(request)
        self.debounce.on_event(request)

    def _clear(self, request: PushRequest, first_event_ns: int, events: int) -> None:
        self._cached.clear()
        self.cache.clear_all(self.clock.now_ns)
        self._live.note_cleared(request, first_event_ns, events)

    def _registry_task_ns(self, entity: int, index: int) -> int:
        """The queue of events is limited in rate."""
        wait_ns = self._events.take(self.clock.now_ns)
        return wait_ns + super()._registry_task_ns(entity, index)

    def answered_from(self, request: DiscoveryRequest) -> tuple[PushContext, bool]:
        """The state that the cached answer to a request shows, and whether it had to be made for it."""
        proxy = -1 if request.type is EDS else request.node
        key = proxy, request.type.name, next(iter(request.resource_names), "")
        cached = self._cached.get(key)
        if cached is not None:
            return cached, False
        self._cached[key] = self.context
        return self.context, True


class CachedAnswers(PublishedState):
    """The answers of one Pilot, from its caches.

    Version 1 of the API has no 304: every answer is sent in full, and Envoy compares it with what it has. The
    time to send it is counted; its bytes are not.
    """

    def __init__(self, replica: RestPilot, service_time: Delay | None) -> None:
        super().__init__(replica, service_time)
        self._pilot = replica

    def _found(self, request: DiscoveryRequest) -> tuple[PushContext, bool]:
        return self._pilot.answered_from(request)

    def _unchanged_ns(self, request: DiscoveryRequest, content: Resources, *, is_made: bool) -> int:
        return self._service_ns(request, content, is_made=is_made)
