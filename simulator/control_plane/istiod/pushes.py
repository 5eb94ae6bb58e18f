"""Push(): a batch becomes a PushContext, and every connection is enqueued for it.

One at a time, as the debounce sees to it; only pushes of endpoints that do not wait for the debounce may
overlap one, and all pushes up to Istio 1.2, which had no such gate: there a PushContext that is ready after a
newer one is abandoned, since what it knows is in the newer one. What was observed and not yet pushed is kept
here by config key, and the global PushContext.
Sources: pilot/pkg/xds/discovery.go (Push, initPushContext, dropCacheForRequest); pilot/pkg/xds/ads.go
(AdsPushAll, StartPush); pilot/pkg/model/push_context.go (updateContext).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.calibration.istiod_costs import fan_out_cost_ns, push_context_cost_ns
from simulator.control_plane.istiod.push_context import PushContext
from simulator.control_plane.istiod.push_request import PushRequest, merge_all
from simulator.mesh.content import ConfigChange
from simulator.mesh.kinds import KINDS, Alters, ContextWork, kind_of
from simulator.xds.resources import NO_RESOURCES, Names

if TYPE_CHECKING:
    from simulator.control_plane.istiod.replica import Replica
    from simulator.recording.rows import PushRow


@dataclass(slots=True, eq=False)
class Batch:
    """Changes told to the debounce and not yet taken by a push, by config key."""

    changes: dict[str, list[ConfigChange]] = field(default_factory=dict)

    def add(self, key: str, changes: tuple[ConfigChange, ...]) -> None:
        """They wait for the push that has this key."""
        if changes:
            self.changes.setdefault(key, []).extend(changes)

    def has(self, key: str) -> bool:
        """Whether changes of it wait."""
        return bool(self.changes.get(key))

    def take(self, keys: Names) -> list[ConfigChange]:
        """Those the push is about."""
        taken = [change for key in keys for change in self.changes.pop(key, ())]
        return sorted(taken, key=lambda change: change.number)


@dataclass(frozen=True, slots=True, eq=False)
class _Build:
    """A PushContext that is being built: for which request, and what it will know."""

    request: PushRequest
    row: PushRow
    changes: list[ConfigChange]


Published = Callable[[str, Names | None], None]
"""Told a type name and the names that may be new; None for any."""


class Pushes:
    """The push rounds of one replica.

    Attributes:
        context: The global PushContext.
        contexts: How many batches were pushed so far.
        batch: What waits to be pushed.
        published: Told what a new PushContext publishes (polls and files).
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.batch = Batch()
        self.contexts = 0
        self.published: list[Published] = []
        self._building: dict[int, _Build] = {}
        """The contexts that are being built, by order."""
        self.context = PushContext(0, self._version(0), replica.shared.content(()), NO_RESOURCES, 0)

    def begin_with(self, changes: tuple[ConfigChange, ...]) -> None:
        """The informers have synced: the first PushContext holds these changes and all endpoints."""
        content, assignments = self._replica.shared.content(changes), self._replica.generator.assignments
        self.context = PushContext(0, self._version(0), content, assignments, 0)

    def _version(self, order: int) -> str:
        return f"istiod-{self._replica.number}/{order}"

    def push(self, request: PushRequest, first_event_ns: int, events: int) -> None:
        """Builds the PushContext, then enqueues for every connection."""
        row = self._open_round(request, first_event_ns, events)
        order, changes = self._gather(request, row)
        self._building[order] = _Build(request, row, changes)
        has_gate = self._replica.shared.settings.has_free_gate

        def built() -> None:
            if order in self._building:
                self._fan_out_with_older(order)
            self._replica.metrics.on_debounced(first_event_ns)
            if has_gate:
                self._replica.debounce.on_push_finished()

        self._replica.submit_own(lambda: self._context_ns(request), built)
        if not has_gate:
            self._replica.debounce.on_push_finished()

    def _fan_out_with_older(self, order: int) -> None:
        """Builds of older contexts that are not ready yet are abandoned: this one knows what they know."""
        older = [self._building.pop(o) for o in sorted(self._building) if o <= order]
        newest = older[-1]
        for build in older[:-1]:
            build.row.t_context_ready_ns = self._replica.clock.now_ns
        request = merge_all([build.request for build in older])
        changes = [change for build in older for change in build.changes]
        rounds = tuple(build.row.push_id for build in older)
        self._fan_out(request, newest.row, order, changes, rounds=rounds)

    def push_endpoints(self, request: PushRequest) -> None:
        """PILOT_ENABLE_EDS_DEBOUNCE=false: endpoints do not wait."""
        row = self._open_round(request, self._replica.clock.now_ns, 1)
        order, changes = self._gather(request, row, is_apart=True)

        def built() -> None:
            # Order of what it was built from: a context under construction is not in it.
            self._fan_out(request, row, self.context.order, changes, endpoints_order=order)

        self._replica.submit_own(lambda: self._context_ns(request), built)

    def _open_round(self, request: PushRequest, first_event_ns: int, events: int) -> PushRow:
        row = self._replica.shared.recorder.push(
            self._replica.number,
            first_event_ns,
            events_merged=events,
            forced=request.forced,
            kinds=request.kinds,
        )
        row.t_started_ns = self._replica.clock.now_ns
        return row

    def _gather(
        self, request: PushRequest, row: PushRow, *, is_apart: bool = False
    ) -> tuple[int, list[ConfigChange]]:
        """The changes of the batch belong to this push, and to the context that it makes."""
        self.contexts += 1
        changes = self.batch.take(request.keys)
        for change in changes:
            if change.number >= 0:
                self._replica.known.gather(change.number, self.contexts, row, is_apart=is_apart)
        return self.contexts, changes

    def _context_ns(self, request: PushRequest) -> int:
        """CPU of the PushContext and of the copy of the table of connections."""
        connections = self._replica.connection_count
        fan_out_ns = self._replica.costs.ns("fan_out", lambda c: fan_out_cost_ns(c, connections=connections))
        if request.only_endpoints and not self._replica.shared.settings.endpoints_build_context:
            return fan_out_ns
        shared = self._replica.shared
        work = _context_work(request)
        services = len(shared.services) if work in (ContextWork.SERVICES, ContextWork.ALL) else 0
        configs = 0 if work is ContextWork.COPY else len(request.keys)
        scope_services = 0
        if work in (ContextWork.SERVICES, ContextWork.SCOPES, ContextWork.ALL):
            scope_services = self._eager_scope_services()
        return fan_out_ns + self._replica.costs.ns(
            "push_context",
            lambda c: push_context_cost_ns(
                c, services=services, configs=configs, scope_services=scope_services
            ),
        )

    def _eager_scope_services(self) -> int:
        """Services in sidecar scopes that are computed here, where these are not lazy."""
        if self._replica.shared.settings.is_lazy:
            return 0
        classes = self._replica.shared.visibility.classes
        return sum(len(c.services) for c in classes if c.kind == "sidecar")

    def _fan_out(
        self,
        request: PushRequest,
        row: PushRow,
        order: int,
        changes: list[ConfigChange],
        endpoints_order: int = 0,
        rounds: tuple[int, ...] = (),
    ) -> None:
        """The new context is global; every connection is enqueued, in random order."""
        now_ns, endpoints_order = (
            self._replica.clock.now_ns,
            max(endpoints_order, self.context.endpoints_order),
        )
        row.t_context_ready_ns = now_ns
        assert row.t_started_ns is not None
        if not request.only_endpoints or self._replica.shared.settings.endpoints_build_context:
            self._replica.metrics.on_context(row.t_started_ns, len(self._replica.shared.services))
            self._renew_context(request, order, changes, endpoints_order)
        else:
            self.context = PushContext(
                order,
                self.context.version,
                self.context.content,
                self._replica.generator.assignments,
                self.context.scopes,
                endpoints_order,
            )
        self._clear_cache(request)
        stamped = request.stamped(now_ns, rounds or (row.push_id,), self.context)
        self._replica.enqueue_all(stamped, row.push_id)
        row.proxies = self._replica.connection_count
        for tell in self.published:
            self._tell_published(tell, request)

    def _renew_context(
        self, request: PushRequest, order: int, changes: list[ConfigChange], endpoints_order: int
    ) -> None:
        content = self.context.content.after(changes, self._replica.shared.visibility.classes)
        scopes = order if _context_work(request) in _REBUILDS_SCOPES else self.context.scopes
        version = self._version(max(order, endpoints_order))
        self.context = PushContext(
            order, version, content, self._replica.generator.assignments, scopes, endpoints_order
        )

    def _clear_cache(self, request: PushRequest) -> None:
        """Entries that depend on what changed go; a forced push clears all four caches."""
        now_ns = self._replica.clock.now_ns
        if request.forced:
            self._replica.cache.clear_all(now_ns)
            return
        for kind in request.kinds:
            alters = KINDS[kind].alters
            if Alters.ROUTES in alters or "rds" in KINDS[kind].pushes:
                self._replica.cache.clear_type("rds", now_ns)
            if Alters.NAMESPACE_CLUSTERS in alters:
                # It clears all of EDS, and the version of all of the kind is part of a cluster's key.
                self._replica.cache.clear_type("eds", now_ns)
                self._replica.cache.clear_type("cds", now_ns)
            if Alters.SECRET in alters:
                self._replica.cache.clear_type("sds", now_ns)
        names = [n for key in request.keys for n in self._replica.shared.clusters_of(key)]
        if names:
            affected = Names(names)
            self._replica.cache.clear("cds", affected, now_ns)
            self._replica.cache.clear("eds", affected, now_ns)

    def _tell_published(self, tell: Published, request: PushRequest) -> None:
        types: dict[str, None] = {}
        endpoints: dict[str, None] = {}
        for key in request.keys:
            kind, service = KINDS[kind_of(key)], self._replica.shared.objects[key].service
            if Alters.ENDPOINTS in kind.alters and service is not None:
                endpoints.update(dict.fromkeys(service.cluster_names()))
            else:
                types.update(dict.fromkeys(kind.pushes))
        if endpoints:
            tell("eds", Names(endpoints))
        for type_name in types:
            tell(type_name, None)


_REBUILDS_SCOPES = (ContextWork.SCOPES, ContextWork.SERVICES, ContextWork.ALL)
_ORDER_OF_WORK = tuple(ContextWork)


def _context_work(request: PushRequest) -> ContextWork:
    """The largest work that one of the kinds asks for; a forced push is built from nothing."""
    if request.forced:
        return ContextWork.ALL
    works = [KINDS[kind_of(key)].context for key in request.keys]
    return max(works, key=_ORDER_OF_WORK.index, default=ContextWork.COPY)
