"""What istiod generates for a connection, and what that costs: needsPush, delta-aware generation, caches.

Which types a push needs is asked once for each (request, visibility class); the resources are shared sets;
the cost counts what the XDS cache did not have. A push therefore costs the same work here for one proxy as
for ten thousand.
Sources: pilot/pkg/xds/{cds,eds,lds,rds,sds}.go (needsPush), proxy_dependencies.go, delta.go;
networking/core/cluster.go (BuildDeltaClusters); xds/eds.go (canSendPartialFullPushes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from simulator.calibration.istiod_costs import (
    generate_cost_ns,
    marshal_cost_ns,
    push_cost_ns,
    sidecar_scope_cost_ns,
)
from simulator.control_plane.istiod.costs import IstiodCosts
from simulator.control_plane.istiod.push_context import KnownChanges, PushContext
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.xds_cache import XdsCache
from simulator.mesh.configuration import ClusterLoadAssignment, RouteConfiguration
from simulator.mesh.content import ContentFactory
from simulator.mesh.kinds import (
    DELTA_CDS_KINDS,
    HEADLESS_ENDPOINT_PUSHES,
    KINDS,
    PARTIAL_EDS_KINDS,
    PUSH_ORDER,
    kind_of,
)
from simulator.mesh.services import ROOT_NAMESPACE, Service
from simulator.mesh.visibility import VisibilityClass
from simulator.xds.resource_types import EDS, ResourceType, resource_type
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names, Resource, Resources

TYPES: tuple[ResourceType, ...] = tuple(resource_type(name) for name in PUSH_ORDER)
"""Types in the order in which a push sends them."""


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """One response to be: its type, content, names said to be gone, and what making it cost.

    Attributes:
        live: Made from the live endpoint index: how many changes the replica had heard of then; 0 where it
            was made from a snapshot.
    """

    type: ResourceType
    resources: Resources
    removed: Names
    cost_ns: int
    live: int


@dataclass(frozen=True, slots=True, eq=False)
class ConfigObject:
    """What istiod knows of an object by its key."""

    namespace: str
    service: Service | None


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What a push request means to a visibility class.

    Attributes:
        is_relevant: It is not skipped as a whole (ProxyNeedsPush).
        types: Types it needs, in order of sending.
        clusters: Clusters a delta CDS push holds; None for all.
        assignments: Assignments an EDS push holds; None for all.
    """

    is_relevant: bool
    types: tuple[ResourceType, ...]
    clusters: Names | None
    assignments: Names | None


_NOTHING = _Plan(False, (), NO_NAMES, NO_NAMES)


class Watching(Protocol):
    """What a generator asks of a connection."""

    class_: VisibilityClass
    zone: int
    context: PushContext
    sent_names: dict[ResourceType, Names]

    @property
    def is_delta(self) -> bool:
        """Protocol of its stream."""

    def watches(self, type_: ResourceType) -> bool:
        """Whether the type was ever requested on its stream."""

    def names(self, type_: ResourceType) -> Names:
        """Names it subscribed; empty for a wildcard type."""


class Generator:
    """The generators of one replica.

    Args:
        factory: Makes resources.
        cache: The four XDS caches.
        costs: Costs of this replica.
        objects: What is known of a config key.
        known: The changes this replica has heard of.
        is_lazy: Sidecar scopes are computed when a proxy first needs them (ENABLE_LAZY_SIDECAR_EVALUATION).

    Attributes:
        assignments: The live endpoint index, as resources.
    """

    def __init__(
        self,
        factory: ContentFactory,
        cache: XdsCache,
        costs: IstiodCosts,
        objects: Mapping[str, ConfigObject],
        known: KnownChanges,
        *,
        is_lazy: bool,
    ) -> None:
        self._factory = factory
        self._cache = cache
        self._costs = costs
        self._objects = objects
        self._known = known
        self._is_lazy = is_lazy
        self._scopes: dict[tuple[int, int], None] = {}
        self._needed: dict[tuple[str, int, bool], Mapping[ResourceType, None] | None] = {}
        self._plans: dict[tuple[PushRequest, int, bool], _Plan] = {}
        self.assignments = NO_RESOURCES

    @property
    def scopes_computed(self) -> int:
        """Sidecar scopes computed lazily so far."""
        return len(self._scopes)

    # --- which proxies, which types

    def concerns(self, request: PushRequest, class_: VisibilityClass, *, is_delta: bool) -> bool:
        """Whether the push is anything to proxies of the class (ProxyNeedsPush), even if no type is."""
        return self._plan(request, class_, is_delta).is_relevant

    def _plan(self, request: PushRequest, class_: VisibilityClass, is_delta: bool) -> _Plan:
        key = request, class_.index, is_delta
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) > 4096:
                self._plans.clear()
            plan = self._plans[key] = self._make_plan(request, class_, is_delta)
        return plan

    def _make_plan(self, request: PushRequest, class_: VisibilityClass, is_delta: bool) -> _Plan:
        if request.forced:
            return _Plan(True, TYPES, None, None)
        is_headless = "headlessendpoint" in request.reasons and "service" not in request.reasons
        keys: list[str] = []
        needed: dict[ResourceType, None] = {}
        for key in request.keys:
            types_of_key = self._types(key, class_, is_headless)
            if types_of_key is not None:
                keys.append(key)
                needed.update(types_of_key)
        if not keys:
            return _NOTHING
        types = tuple(t for t in TYPES if t in needed)
        kinds = tuple(dict.fromkeys(kind_of(key) for key in keys))
        clusters = assignments = None
        # A PeerAuthentication of the root namespace is about all services.
        is_of_all = any(
            kind_of(key) == "PeerAuthentication" and self._objects[key].namespace == ROOT_NAMESPACE
            for key in keys
        )
        if is_delta and not is_of_all and all(kind in DELTA_CDS_KINDS for kind in kinds):
            clusters = self._affected(keys).union(self._factory.fixed_clusters)
        if not is_of_all and all(kind in PARTIAL_EDS_KINDS for kind in kinds):
            assignments = self._affected(keys)
        return _Plan(True, types, clusters, assignments)

    def _types(
        self, key: str, class_: VisibilityClass, is_headless: bool
    ) -> Mapping[ResourceType, None] | None:
        """The types that proxies of the class need because of the key; None if it is nothing to them."""
        asked = key, class_.index, is_headless
        if asked not in self._needed:
            self._needed[asked] = (
                {t: None for t in TYPES if self._needs(t.name, key, class_, is_headless)}
                if self._is_relevant(key, class_)
                else None
            )
        return self._needed[asked]

    def _is_relevant(self, key: str, class_: VisibilityClass) -> bool:
        known = self._objects[key]
        return class_.is_relevant(KINDS[kind_of(key)], known.namespace, known.service)

    def _needs(self, type_name: str, key: str, class_: VisibilityClass, is_headless: bool) -> bool:
        kind = kind_of(key)
        pushes = HEADLESS_ENDPOINT_PUSHES if is_headless and kind == "ServiceEntry" else KINDS[kind].pushes
        condition = pushes.get(type_name)
        return condition is not None and class_.meets(condition, self._objects[key].namespace)

    def _affected(self, keys: list[str]) -> Names:
        """Clusters of the services that the keys are about."""
        names: dict[str, None] = {}
        for key in keys:
            for service in self._services_of(key):
                names.update(dict.fromkeys(service.cluster_names()))
        return Names(names)

    def _services_of(self, key: str) -> Sequence[Service]:
        """A VirtualService or a Sidecar is about those that come into a scope or drop out of it: none here. A
        PeerAuthentication is about all of its namespace."""
        kind, known = kind_of(key), self._objects[key]
        if kind in ("VirtualService", "Sidecar"):
            return ()
        if kind == "PeerAuthentication":
            return [s for s in self._factory.services if s.namespace == known.namespace]
        return () if known.service is None else (known.service,)

    # --- responses

    def push(
        self,
        connection: Watching,
        request: PushRequest,
        leaves_out: Callable[[ResourceType], bool] | None = None,
    ) -> tuple[list[Generated], int]:
        """The responses of a push, but for types that it leaves out, and what it costs in all."""
        plan = self._plan(request, connection.class_, connection.is_delta)
        recomputes = not request.only_endpoints
        cost_ns = self._costs.ns("push", lambda c: push_cost_ns(c, recomputes=recomputes))
        if recomputes:
            cost_ns += self._scope_ns(connection)
        made = []
        for type_ in plan.types:
            if not connection.watches(type_) or (leaves_out is not None and leaves_out(type_)):
                continue
            only = plan.clusters if type_.name == "cds" else plan.assignments if type_ is EDS else None
            generated = self._generate(connection, type_, only, request.start_ns, is_push=True)
            if generated is not None:
                made.append(generated)
                cost_ns += generated.cost_ns
        return made, cost_ns

    def answer(
        self, connection: Watching, type_: ResourceType, added: Names, token_ns: int
    ) -> tuple[list[Generated], int]:
        """The responses to a subscription: what was asked for; after CDS over delta, EDS again (forceEDSPush,
        so that clusters that warm anew after a reconnect get their endpoints). Types that istiod does not
        serve are not answered."""
        if type_ not in TYPES:
            return [], 0
        only = None if type_.wildcard or not added else added
        generated = self._generate(connection, type_, only, token_ns, is_push=False)
        made = [] if generated is None else [generated]
        if type_.name == "cds" and connection.is_delta and connection.watches(EDS):
            again = self._generate(connection, EDS, None, token_ns, is_push=False)
            made += [] if again is None else [again]
        cost_ns = sum(g.cost_ns for g in made) + self._scope_ns(connection)
        return made, cost_ns

    def _scope_ns(self, connection: Watching) -> int:
        """A lazy sidecar scope is computed by the first proxy that needs it."""
        key = connection.context.scopes, connection.class_.index
        if not self._is_lazy or connection.class_.kind != "sidecar" or key in self._scopes:
            return 0
        self._scopes[key] = None
        services = len(connection.class_.services)
        return self._costs.ns("sidecar_scope", lambda c: sidecar_scope_cost_ns(c, services=services))

    def _generate(
        self,
        connection: Watching,
        type_: ResourceType,
        only: Names | None,
        token_ns: int,
        *,
        is_push: bool,
    ) -> Generated | None:
        """One type's response; None where there is nothing to say."""
        subscribed = connection.names(type_)
        if type_ is EDS:
            held = self.assignments.only(subscribed)
        elif type_.name == "nds":
            held = self._factory.name_table()
        else:
            held = connection.context.content.of(type_.name, connection.class_)
            if not type_.wildcard:
                held = held.only(subscribed)
        resources = held if only is None else held.only(only)
        removed = self._removed(connection, type_, held)
        if not resources and not removed and (is_push or not type_.wildcard):
            return None
        cost_ns = self._cost_ns(connection, type_, resources, token_ns)
        if type_.wildcard:
            connection.sent_names[type_] = held.names
        return Generated(type_, resources, removed, cost_ns, self._known.count if type_ is EDS else 0)

    @staticmethod
    def _removed(connection: Watching, type_: ResourceType, held: Resources) -> Names:
        """Names sent before that are no more (CDS and LDS over delta)."""
        before = connection.sent_names.get(type_, NO_NAMES)
        if not connection.is_delta or not before:
            return NO_NAMES
        return before.minus(held.names)

    def _cost_ns(self, connection: Watching, type_: ResourceType, resources: Resources, token_ns: int) -> int:
        group = connection.class_.kind, connection.zone
        found = self._cache.look_up(type_.name, group, resources.names, token_ns)
        parts = resources.only(found.misses).total("parts", _parts) if found.misses else 0
        misses, hits, size_bytes = len(found.misses), found.hits, resources.size_bytes
        generate_ns = self._costs.ns(
            "generate",
            lambda c: generate_cost_ns(c, type_.name, misses=misses, hits=hits, parts=parts),
        )
        return generate_ns + self._costs.ns("marshal", lambda c: marshal_cost_ns(c, size_bytes=size_bytes))


def _parts(resource: Resource[object]) -> int:
    """Endpoints of an assignment, virtual hosts of a route configuration."""
    body = resource.body
    if isinstance(body, ClusterLoadAssignment):
        return body.endpoints
    return body.virtual_hosts if isinstance(body, RouteConfiguration) else 0
