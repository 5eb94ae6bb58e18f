"""What one replica has published, for proxies that ask for it: by polls, long polls and files.

Whoever polls is answered from the newest PushContext, endpoints included: a change is visible once the
context that holds it is built, debounce and all. (Istiod itself serves no REST; this is how its content would
reach clients that poll.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.calibration.istiod_costs import generate_cost_ns, marshal_cost_ns
from simulator.control_plane.istiod.push_context import CarriedByPoll, PushContext
from simulator.engine.delays import Delay, draw_ns
from simulator.mesh.configuration import ClusterLoadAssignment, RouteConfiguration
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import EDS, ResourceType
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names, Resource, Resources

if TYPE_CHECKING:
    from simulator.control_plane.istiod.replica import Replica
    from simulator.mesh.content import ConfigChange


class PublishedState:
    """The published state of one replica (propagation/poll.py: Published).

    Args:
        replica: Whose state.
        service_time: What one answer takes; None for what generating it would cost.
    """

    def __init__(self, replica: Replica, service_time: Delay | None) -> None:
        self._replica = replica
        self._service_time = service_time
        self._served: dict[tuple[int, ResourceType, str], int] = {}
        self._behind: dict[int, list[ConfigChange]] = {}
        """By proxy: what the replica had not published when it came; it may have it, and lose it."""

    def version(self, request: DiscoveryRequest) -> str:
        """Version of what the request would get now."""
        return version_of(self._content(request))

    def answer(self, request: DiscoveryRequest, t_enqueued_ns: int) -> tuple[DiscoveryResponse | None, int]:
        """The answer given now, None where the client has the content already, and what giving it takes."""
        context, is_made = self._found(request)
        content = content_for(self._replica, context, request.node, request.type, request.resource_names)
        version = version_of(content)
        if request.node not in self._behind:
            self._behind[request.node] = self._replica.shared.behind(self._replica)
        if version == request.version_info:
            return None, self._unchanged_ns(request, content, is_made=is_made)
        service_ns = self._service_ns(request, content, is_made=is_made)
        now_ns = self._replica.clock.now_ns
        changes = self.carried(
            request.node,
            request.type,
            request.resource_names,
            "poll",
            t_enqueued_ns,
            now_ns,
            now_ns + service_ns,
            context,
        )
        return DiscoveryResponse(request.type, version, "", content, changes), service_ns

    def carried(
        self,
        proxy: int,
        type_: ResourceType,
        names: Names,
        carried_by: str,
        t_enqueued_ns: int,
        t_dequeued_ns: int,
        t_sent_ns: int,
        context: PushContext | None = None,
    ) -> tuple[int, ...]:
        """What a message about these names carries; no names for a wildcard type."""
        replica = self._replica
        held = context or replica.context
        carrier = CarriedByPoll(replica.known, carried_by, held, t_enqueued_ns, t_dequeued_ns, t_sent_ns)
        covered = None if type_.wildcard else names
        if self._behind.get(proxy):
            self._behind[proxy] = replica.shared.note_regressions(
                self._behind[proxy], carrier, replica.number, proxy, type_.name, covered
            )
        return replica.shared.ledger.carry_in(carrier, proxy, type_.name, covered)

    def on_acked(self, changes: tuple[int, ...], proxy: int, t_ns: int) -> None:
        """A later request stated the version of the answer that carried these."""
        self._replica.shared.ledger.on_acked(changes, proxy, t_ns)

    def _found(self, request: DiscoveryRequest) -> tuple[PushContext, bool]:
        """The context that a request is answered from, and whether the answer is made for it."""
        return self._replica.context, True

    def _unchanged_ns(self, request: DiscoveryRequest, content: Resources, *, is_made: bool) -> int:
        """A 304: reading the request."""
        return self._service_ns(request, None)

    def _service_ns(
        self, request: DiscoveryRequest, content: Resources | None, *, is_made: bool = True
    ) -> int:
        replica = self._replica
        if replica.clock.now_ns < 0:
            return 0
        if self._service_time is not None:
            key = request.node, request.type, next(iter(request.resource_names), "")
            served = self._served[key] = self._served.get(key, -1) + 1
            purpose = f"istiod.poll/{replica.number}/{key[1].name}/{key[2]}"
            return draw_ns(self._service_time, replica.shared.draws, purpose, request.node, served)
        return answer_cost_ns(replica, request.type.name, content, is_made=is_made)

    def _content(self, request: DiscoveryRequest) -> Resources:
        context, _ = self._found(request)
        return content_for(self._replica, context, request.node, request.type, request.resource_names)


def answer_cost_ns(
    replica: Replica, type_name: str, content: Resources | None, *, is_made: bool = True
) -> int:
    """What an answer costs a replica: reading the request; with content, also making it unless it is made
    already, and sending it."""
    cost_ns = replica.request_cost_ns()
    if content is None:
        return cost_ns
    parts, size = content.total("parts", _parts), content.size_bytes
    if is_made:
        cost_ns += replica.costs.ns(
            "generate", lambda c: generate_cost_ns(c, type_name, misses=len(content), hits=0, parts=parts)
        )
    return cost_ns + replica.costs.ns("marshal", lambda c: marshal_cost_ns(c, size_bytes=size))


def content_for(
    replica: Replica, context: PushContext, proxy: int, type_: ResourceType, names: Names
) -> Resources:
    """What a context holds for a proxy; no names for a wildcard type."""
    shared = replica.shared
    if type_ is EDS:
        state = context.assignments
    elif type_.name in ("cds", "lds", "rds", "sds", "ecds"):
        state = context.content.of(type_.name, shared.visibility.of(shared.proxies[proxy]))
    else:
        state = NO_RESOURCES
    if type_.wildcard:
        return state
    if len(names) == 1:
        resource = state.get(next(iter(names)))
        return NO_RESOURCES if resource is None else shared.factory.together((resource,))
    return state.only(names)


class PublishedContext:
    """One publication as files hold it (propagation/file.py: Publication)."""

    __slots__ = ("_context", "_replica", "_state")

    def __init__(self, replica: Replica, state: PublishedState, context: PushContext) -> None:
        self._replica = replica
        self._state = state
        self._context = context

    def file(self, proxy: int, type_: ResourceType, name: str) -> tuple[str, Resources] | None:
        """Version and content of a file; None if it does not exist."""
        names = Names((name,)) if name else NO_NAMES
        content = content_for(self._replica, self._context, proxy, type_, names)
        return (version_of(content), content) if content or type_.wildcard else None

    def carried(self, proxy: int, type_: ResourceType, names: Names | None) -> tuple[int, ...]:
        """What of recorded changes reading the file delivers."""
        now_ns = self._replica.clock.now_ns
        return self._state.carried(
            proxy, type_, names or NO_NAMES, "file", now_ns, now_ns, now_ns, self._context
        )


def version_of(content: Resources) -> str:
    """Version of what a request gets: revisions only grow, so their sum tells contents of the same names
    apart."""
    if not content:
        return "none"
    return f"{len(content)}.{content.total('revision', lambda r: r.revision)}"


def _parts(resource: Resource[object]) -> int:
    body = resource.body
    if isinstance(body, ClusterLoadAssignment):
        return body.endpoints
    return body.virtual_hosts if isinstance(body, RouteConfiguration) else 0
