"""From a scenario's mappings to xDS resources and to the script of the control plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from simulator.calibration.costs import Calibration
from simulator.control_plane.script import Answer, Push, Script
from simulator.engine.delays import Delay
from simulator.mesh.configuration import (
    Cluster,
    ClusterLoadAssignment,
    HealthCheck,
    Listener,
    Opaque,
    Resolver,
    RouteConfiguration,
    ScopedRouteConfiguration,
)
from simulator.scenario import schema
from simulator.scenario.sections.resources import trailing_number
from simulator.xds.resource_types import (
    CDS,
    ECDS,
    EDS,
    LDS,
    RDS,
    RTDS,
    SDS,
    SRDS,
    ResourceType,
    resource_type,
)
from simulator.xds.resources import NO_NAMES, Fault, Names, Resource, Resources

_FIRST = 1
"""Revision of everything that exists at the start."""


class _Maker:
    """Makes resources of the sizes a calibration states."""

    def __init__(self, calibration: Calibration, check: schema.HealthCheck | None) -> None:
        self._sizes = calibration.sizes_bytes
        self._check = check

    def cluster(self, named: schema.NamedCluster) -> Resource[object]:
        """CDS."""
        mapping = named.mapping
        check = self._check if mapping.health_check else None
        is_eds = mapping.type == "eds"
        body = Cluster(
            mapping.type,
            0 if is_eds else mapping.endpoints,
            _resolver(mapping.resolver) if mapping.type == "strict_dns" else None,
            None if check is None else _health_check(check),
            mapping.secret,
        )
        size = self._sizes[f"cluster_{mapping.type}"] + body.endpoints * self._sizes["endpoint"]
        return Resource(named.name, _FIRST, body, size)

    def assignment(self, named: schema.NamedCluster) -> Resource[object]:
        """EDS."""
        endpoints = named.mapping.endpoints
        size = self._sizes["assignment"] + endpoints * self._sizes["endpoint"]
        return Resource(named.name, _FIRST, ClusterLoadAssignment(endpoints), size)

    def listener(self, named: schema.NamedListener) -> Resource[object]:
        """LDS."""
        mapping = named.mapping
        inline = _route(named) if mapping.routes == "inline" else None
        body = Listener(
            named.route if mapping.routes == "rds" else None,
            inline,
            mapping.routes == "scoped",
            mapping.secret,
            tuple(mapping.filters),
        )
        size = self._sizes["listener"] + (
            mapping.virtual_hosts * self._sizes["virtual_host"] if inline else 0
        )
        return Resource(named.name, _FIRST, body, size)

    def route(self, named: schema.NamedListener) -> Resource[object]:
        """RDS."""
        size = self._sizes["route_configuration"] + named.mapping.virtual_hosts * self._sizes["virtual_host"]
        return Resource(named.route, _FIRST, _route(named), size)

    def opaque(self, name: str, kind: str) -> Resource[object]:
        """SDS, ECDS, RTDS."""
        return Resource(name, _FIRST, Opaque(kind), self._sizes[kind])

    def scope(self, name: str, route: str) -> Resource[object]:
        """SRDS."""
        return Resource(name, _FIRST, ScopedRouteConfiguration(route), self._sizes["scope"])


def _resolver(resolver: schema.Resolver) -> Resolver:
    # Without a delay of its own an answer takes what the calibration says.
    return Resolver(None if resolver.after.is_zero else resolver.after, resolver.kind == "never")


def _health_check(check: schema.HealthCheck) -> HealthCheck:
    answers = check.answers
    kind = answers.kind if answers.after.is_zero else "after"
    return HealthCheck(kind, check.timeout, answers.after if kind == "after" else None)


def _route(named: schema.NamedListener) -> RouteConfiguration:
    return RouteConfiguration(named.cluster, named.mapping.virtual_hosts)


def _maker(scenario: schema.Scenario, calibration: Calibration) -> _Maker:
    return _Maker(calibration, scenario.control_plane.resources.health_check)


def resources_of(scenario: schema.Scenario, calibration: Calibration) -> dict[ResourceType, Resources]:
    """What the control plane holds at first."""
    given, make = scenario.control_plane.resources, _maker(scenario, calibration)
    clusters, listeners = given.named_clusters, given.named_listeners
    routed = [n for n in listeners if n.mapping.routes != "inline"]
    static = scenario.envoy.static
    # Static EDS clusters and static listeners with RDS are answered as well.
    assigned = _by_name([*clusters, *(c for c in static.named_clusters if c.mapping.type == "eds")])
    routes = _by_route([*routed, *(n for n in static.named_listeners if n.mapping.routes != "inline")])
    scoped = [n.route for n in listeners if n.mapping.routes == "scoped"]
    scopes = given.names("srds")
    return {
        CDS: Resources(make.cluster(n) for n in clusters),
        EDS: Resources(make.assignment(n) for n in assigned if n.mapping.type == "eds"),
        LDS: Resources(make.listener(n) for n in listeners),
        RDS: Resources(make.route(n) for n in routes),
        SRDS: Resources(make.scope(s, scoped[i % len(scoped)]) for i, s in enumerate(scopes) if scoped),
        SDS: Resources(make.opaque(n, "secret") for n in given.names("sds")),
        ECDS: Resources(make.opaque(n, "extension") for n in given.names("ecds")),
        RTDS: Resources(make.opaque(n, "runtime") for n in given.names("rtds")),
    }


def _by_name(named: Iterable[schema.NamedCluster]) -> list[schema.NamedCluster]:
    return list({n.name: n for n in reversed(list(named))}.values())[::-1]


def _by_route(named: Iterable[schema.NamedListener]) -> list[schema.NamedListener]:
    return list({n.route: n for n in reversed(list(named))}.values())[::-1]


def static_resources(scenario: schema.Scenario, calibration: Calibration) -> tuple[Resources, Resources]:
    """Clusters and listeners of the bootstrap."""
    static, make = scenario.envoy.static, _maker(scenario, calibration)
    return (
        Resources(make.cluster(n) for n in static.named_clusters),
        Resources(make.listener(n) for n in static.named_listeners),
    )


def script_of(scenario: schema.Scenario, calibration: Calibration, turnaround: Delay) -> Script:
    """The script the control plane plays."""
    given = scenario.control_plane
    held = resources_of(scenario, calibration)
    make = _maker(scenario, calibration)
    ordered = sorted(enumerate(given.pushes), key=lambda item: (item[1].at, item[0]))
    return Script(
        resources=held,
        answers={
            resource_type(name): _answers(answers, held[resource_type(name)].names)
            for name, answers in given.answers.items()
        },
        pushes=tuple(_push(p, given.resources, make, held) for _, p in ordered),
        connect=given.connect.kind,
        refuse_until_ns=given.connect.refuse_until or 0,
        turnaround=turnaround,
        poll_concurrency=scenario.propagation.server.concurrency,
    )


def _answers(answers: tuple[schema.Answer, ...], everything: Names) -> tuple[Answer, ...]:
    return tuple(_answer(answer, everything) for answer in answers)


def _fault(reject: str | None) -> Fault | None:
    return None if reject is None else Fault(reject)


def _names(names: Iterable[str], everything: Names) -> Names:
    listed = tuple(names)
    if not listed:
        return NO_NAMES
    return everything if listed == schema.ALL else Names(listed)


def _answer(answer: schema.Answer, everything: Names) -> Answer:
    return Answer(
        answer.after,
        answer.never,
        _names(answer.omit, everything),
        _names(answer.remove, everything),
        _fault(answer.reject),
        answer.close,
    )


def _push(
    push: schema.Push, given: schema.Resources, make: _Maker, held: Mapping[ResourceType, Resources]
) -> Push:
    if push.type is None:
        return Push(push.at, close=push.close)
    type_ = resource_type(push.type)
    everything = held[type_].names
    return Push(
        push.at,
        type_,
        change=_names(push.change, everything),
        change_filter_chains=_names(push.change_filter_chains, everything),
        add=_added(type_, push.add, given, make),
        remove=_names(push.remove, everything),
        send=_names(push.send, everything),
        empty=_names(push.empty, everything),
        reject=_fault(push.reject),
        close=push.close,
    )


def _added(
    type_: ResourceType, names: Iterable[str], given: schema.Resources, make: _Maker
) -> dict[ResourceType, Resources]:
    """An added cluster or listener brings its assignment or route along."""
    names = tuple(names)
    if not names:
        return {}
    if type_ is CDS:
        clusters = [given.cluster_named(n) for n in names]
        eds = Resources(make.assignment(n) for n in clusters if n.mapping.type == "eds")
        return {CDS: Resources(make.cluster(n) for n in clusters), **({EDS: eds} if eds else {})}
    if type_ is LDS:
        listeners = [given.listener_named(n) for n in names]
        rds = Resources(make.route(n) for n in listeners if n.mapping.routes != "inline")
        return {LDS: Resources(make.listener(n) for n in listeners), **({RDS: rds} if rds else {})}
    if type_ is EDS:
        return {EDS: Resources(make.assignment(given.cluster_named(n)) for n in names)}
    kind = {SDS: "secret", ECDS: "extension", RTDS: "runtime"}.get(type_)
    if kind is not None:
        return {type_: Resources(make.opaque(n, kind) for n in names)}
    if type_ is SRDS:
        return {SRDS: Resources(make.scope(n, _scoped_route(n, given)) for n in names)}
    return {RDS: Resources(_added_routes(names, given, make))}


def _scoped_route(scope: str, given: schema.Resources) -> str:
    """The route of a listener with scopes, in turn; where there is none nobody asks for the scope."""
    scoped = [n.route for n in given.named_listeners if n.mapping.routes == "scoped"]
    number = trailing_number(scope)
    return scoped[number % len(scoped)] if scoped else f"r{number}"


def _added_routes(names: tuple[str, ...], given: schema.Resources, make: _Maker) -> list[Resource[object]]:
    return [make.route(given.listener_named(_listener_of(name))) for name in names]


def _listener_of(route: str) -> str:
    """The listener whose route has that name: l7 of r7, web7 of web-r7."""
    number = trailing_number(route)
    stem = route.removesuffix(str(number))
    return f"{'l' if stem == 'r' else stem.removesuffix('-r')}{number}"


def listener_path(scenario: schema.Scenario, listener: str) -> dict[str, Names]:
    """The resources that decide what a request to a listener meets, by type name."""
    static, dynamic = scenario.envoy.static.named_listeners, scenario.control_plane.resources.named_listeners
    named = {n.name: n for n in (*dynamic, *static)}.get(listener)
    if named is None:
        named = scenario.control_plane.resources.listener_named(listener)
    return {
        LDS.name: Names((listener,)),
        RDS.name: Names((named.route,)),
        CDS.name: Names((named.cluster,)),
        EDS.name: Names((named.cluster,)),
    }
