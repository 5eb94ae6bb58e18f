"""Pilot of Istio 0.2 to 0.7: each request is answered from a cache; any event clears all caches, squashed.

The first request for an entry after a clearing pays for making it. There is no PushContext, no push and no
order among the types: a route may come before its cluster. CDS, LDS and RDS have an entry for each proxy (the
request names it), the endpoints of a cluster one for all proxies. Simplified: an entry shows the state at the
clearing; in truth it is that of the request which fills it, so that a change may be seen before the clearing
that it waits for by a proxy whose entry is filled meanwhile.
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
    from simulator.xds.messages import DiscoveryRequest

_Key = tuple[int, str, str]
"""Proxy (-1 for all), type and name."""


class Clearings(Pushes):
    """What is answered with: the state at the last clearing, in the place of a PushContext."""

    def clear(self, request: PushRequest, first_event_ns: int, events: int) -> None:
        """The caches were cleared: what changed is visible to polls from now on."""
        row = self._open_round(request, first_event_ns, events)
        row.t_context_ready_ns = row.t_started_ns
        order, changes = self._gather(request, row)
        content = self.context.content.after(changes, self._replica.shared.visibility.classes)
        assignments = self._replica.generator.assignments
        self.context = PushContext(order, self._version(order), content, assignments, order)


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
        self._cached: dict[_Key, None] = {}
        super().__init__(number, deployment, is_synced=True)

    def _make_pushes(self) -> Pushes:
        self._clearings = Clearings(self)
        return self._clearings

    def _make_debounce(self) -> Gathering:
        return Squash(self.clock, self._settings.squash_ns, self._clear, self.number)

    def _clear(self, request: PushRequest, first_event_ns: int, events: int) -> None:
        self._cached.clear()
        self.cache.clear_all(self.clock.now_ns)
        self._clearings.clear(request, first_event_ns, events)

    def _registry_task_ns(self, entity: int, index: int) -> int:
        """The queue of events is limited in rate."""
        wait_ns = self._events.take(self.clock.now_ns)
        return wait_ns + super()._registry_task_ns(entity, index)

    def is_made_for(self, request: DiscoveryRequest) -> bool:
        """Whether the answer to a request is not in a cache, and has to be made."""
        proxy = -1 if request.type is EDS else request.node
        key = proxy, request.type.name, next(iter(request.resource_names), "")
        is_cached = key in self._cached
        self._cached[key] = None
        return not is_cached


class CachedAnswers(PublishedState):
    """The answers of one Pilot, from its caches.

    Version 1 of the API has no 304: every answer is sent in full, and Envoy compares it with what it has. The
    time to send it is counted; its bytes are not.
    """

    def __init__(self, replica: RestPilot, service_time: Delay | None) -> None:
        super().__init__(replica, service_time)
        self._pilot = replica

    def _found(self, request: DiscoveryRequest) -> tuple[PushContext, bool]:
        return self._pilot.context, self._pilot.is_made_for(request)

    def _unchanged_ns(self, request: DiscoveryRequest, content: Resources, *, is_made: bool) -> int:
        return self._service_ns(request, content, is_made=is_made)
