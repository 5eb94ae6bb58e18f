"""The resources of the scripted control plane and of a static bootstrap: mappings, numbered names.

Names run through the whole list of mappings: ``[{count: 2}, {count: 2, prefix: d}]`` gives c0, c1, d2,
d3. Listener number N routes to cluster number N; its route is ``rN``, or ``<prefix>-rN`` when its prefix
is not the default one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_serializer, model_validator

from simulator.engine.clock import S
from simulator.engine.delays import Constant
from simulator.scenario.delay_values import DelayField
from simulator.scenario.durations import PositiveDurationNs
from simulator.scenario.problems import described, refusal
from simulator.scenario.quantities import (
    MOST_RESOURCES,
    Choice,
    Count,
    EachNamed,
    JsonSchema,
    OneOrMany,
    OrNone,
    Switch,
    Text,
    Whole,
)
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting

NO_DELAY = Constant(0)
COUNTED = {"sds": "secrets", "ecds": "extensions", "srds": "scopes", "rtds": "runtime"}
"""Resource types whose names are the type and a number, and the key that says how many there are."""

_PREFIX = r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z_-])?"


def _word_or_delay(given: Any, words: Sequence[str], default: str, model: type[Settings]) -> Any:
    """The mapping that a word or ``{after: delay}`` stands for."""
    if isinstance(given, model):
        return given
    if isinstance(given, str):
        return {"kind": Choice(tuple(words)).read(given)}
    if isinstance(given, dict) and given:
        return {"kind": default, **given}
    raise refusal(f"must be one of {', '.join(words)}, or {{after: 1s}}, not {described(given)}")


class Resolver(Settings):
    """How the DNS server answers for a STRICT_DNS cluster: ``ok``, ``{after: 1s}`` or ``never``."""

    shorthand: ClassVar[JsonSchema | None] = {"enum": ["ok", "never"]}

    kind: Annotated[Literal["ok", "never"], Choice(("ok", "never"))] = setting(
        "Whether an answer comes", "ok", stands_for="the DNS server that Envoy asks", source=FORMAT
    )
    after: DelayField = setting(
        "When the answer comes, counted from the question",
        NO_DELAY,
        stands_for="the DNS server's delay",
        source=FORMAT,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        return _word_or_delay(given, ("ok", "never"), "ok", cls)

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return self.kind if self.kind == "never" or self.after.is_zero else {"after": dump(self)["after"]}


class HealthAnswer(Settings):
    """How checks are answered: ``pass``, ``fail``, ``refuse``, ``{after: 1s}`` (late), ``never``."""

    shorthand: ClassVar[JsonSchema | None] = {"enum": ["pass", "fail", "refuse", "never"]}

    kind: Annotated[
        Literal["pass", "fail", "refuse", "never"], Choice(("pass", "fail", "refuse", "never"))
    ] = setting("What the answer is", "pass", stands_for="the endpoint's /health", source=FORMAT)
    after: DelayField = setting(
        "When the answer comes, counted from the check",
        NO_DELAY,
        stands_for="the endpoint's delay",
        source=FORMAT,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        return _word_or_delay(given, ("pass", "fail", "refuse", "never"), "pass", cls)

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return self.kind if self.kind != "pass" or self.after.is_zero else {"after": dump(self)["after"]}


class HealthCheck(Settings):
    """The active health check that clusters carry; absent, none does."""

    answers: HealthAnswer = setting(
        "pass, fail, refuse, {after: 1s} or never",
        HealthAnswer(kind="pass"),
        stands_for="the endpoint's answer to Cluster.health_checks",
        source=FORMAT,
    )
    timeout: PositiveDurationNs = setting(
        "How long Envoy waits for the answer to one check",
        1 * S,
        stands_for="HealthCheck.timeout",
        assumption="Envoy requires a value and has no default; 1s is of the order measured with (2s, 4s)",
    )


class ClusterMapping(Settings):
    """So many clusters of one make."""

    count: Count = setting("How many clusters", 1, stands_for=SPELLING, source=FORMAT)
    type: Annotated[Literal["static", "strict_dns", "eds"], Choice(("static", "strict_dns", "eds"))] = (
        setting(
            "How the endpoints are found",
            "eds",
            stands_for="Cluster.type",
            source="the type Istio generates for services",
        )
    )
    endpoints: Annotated[int, Whole(0, 100_000)] = setting(
        "Endpoints of each cluster", 1, stands_for="ClusterLoadAssignment.endpoints", source=FORMAT
    )
    resolver: Resolver = setting(
        "How DNS answers (strict_dns only): ok, {after: 1s} or never",
        Resolver(kind="ok"),
        stands_for="the DNS resolver",
        source=FORMAT,
    )
    secret: Annotated[str | None, Text(200, nothing=True)] = setting(
        "Name of the secret its connections need, such as sds0",
        None,
        stands_for="Cluster.transport_socket, SdsSecretConfig",
        source=FORMAT,
    )
    health_check: Switch = setting(
        "Whether the common health check applies to these clusters",
        True,
        stands_for="Cluster.health_checks",
        source=FORMAT,
    )
    prefix: Annotated[str, Text(50, _PREFIX, "a name without a digit at its end, such as c")] = setting(
        "What the names begin with; a number follows", "c", stands_for="Cluster.name", source=FORMAT
    )


class ListenerMapping(Settings):
    """So many listeners of one make, each with one HTTP connection manager."""

    count: Count = setting("How many listeners", 1, stands_for=SPELLING, source=FORMAT)
    routes: Annotated[Literal["rds", "inline", "scoped"], Choice(("rds", "inline", "scoped"))] = setting(
        "Where the route table comes from: RDS, the listener itself, or scoped routes (SRDS)",
        "rds",
        stands_for="HttpConnectionManager.rds, route_config or scoped_routes",
        source="Istio generates rds for HTTP ports (networking/core/listener_builder.go)",
    )
    secret: Annotated[str | None, Text(200, nothing=True)] = setting(
        "Name of the secret its connections need, such as sds0",
        None,
        stands_for="FilterChain.transport_socket, SdsSecretConfig",
        source=FORMAT,
    )
    filters: EachNamed = setting(
        "Names of the HTTP filters fetched by ECDS, such as [ecds0]",
        (),
        stands_for="HttpFilter.config_discovery",
        source=FORMAT,
    )
    virtual_hosts: Annotated[int, Whole(1, MOST_RESOURCES)] = setting(
        "Virtual hosts of each route table", 1, stands_for="RouteConfiguration.virtual_hosts", source=FORMAT
    )
    prefix: Annotated[str, Text(50, _PREFIX, "a name without a digit at its end, such as l")] = setting(
        "What the names begin with; a number follows", "l", stands_for="Listener.name", source=FORMAT
    )


class Counted(Settings):
    """So many resources of a type whose content does not matter, named by type and number."""

    count: Count = setting("How many", 0, stands_for=SPELLING, source=FORMAT)


@dataclass(frozen=True, slots=True)
class NamedCluster:
    """One cluster: its name, the number in it, and the mapping it was counted out of."""

    name: str
    number: int
    mapping: ClusterMapping


@dataclass(frozen=True, slots=True)
class NamedListener:
    """One listener: its name and number, its mapping, its route table's name and the cluster it routes to."""

    name: str
    number: int
    mapping: ListenerMapping
    route: str
    cluster: str


class StaticResources(Settings):
    """Clusters and listeners of a static bootstrap."""

    clusters: Annotated[tuple[ClusterMapping, ...], OneOrMany("so many clusters")] = setting(
        "Clusters, as one mapping or a list of mappings", (), stands_for="Cluster", source=FORMAT
    )
    listeners: Annotated[tuple[ListenerMapping, ...], OneOrMany("so many listeners")] = setting(
        "Listeners, as one mapping or a list of mappings", (), stands_for="Listener", source=FORMAT
    )

    @model_validator(mode="after")
    def _not_too_many(self) -> StaticResources:
        for key in ("clusters", "listeners"):
            total = sum(mapping.count for mapping in getattr(self, key))
            if total > MOST_RESOURCES:
                raise refusal(f"must be at most {MOST_RESOURCES} in all, not {total}", key)
        return self

    @cached_property
    def named_clusters(self) -> tuple[NamedCluster, ...]:
        """All clusters in order of their numbers."""
        mappings = (mapping for mapping in self.clusters for _ in range(mapping.count))
        return tuple(
            NamedCluster(f"{mapping.prefix}{number}", number, mapping)
            for number, mapping in enumerate(mappings)
        )

    @cached_property
    def named_listeners(self) -> tuple[NamedListener, ...]:
        """All listeners in order of their numbers."""
        mappings = (mapping for mapping in self.listeners for _ in range(mapping.count))
        return tuple(
            self._listener(mapping.prefix, number, mapping) for number, mapping in enumerate(mappings)
        )

    def cluster_named(self, name: str) -> NamedCluster:
        """The cluster called `name`; one that is not counted here copies the last mapping."""
        number = trailing_number(name)
        if number < len(self.named_clusters) and self.named_clusters[number].name == name:
            return self.named_clusters[number]
        return NamedCluster(name, number, self.clusters[-1] if self.clusters else ClusterMapping())

    def listener_named(self, name: str) -> NamedListener:
        """The listener called `name`; one that is not counted here copies the last mapping."""
        number = trailing_number(name)
        if number < len(self.named_listeners) and self.named_listeners[number].name == name:
            return self.named_listeners[number]
        mapping = self.listeners[-1] if self.listeners else ListenerMapping()
        return self._listener(name.removesuffix(str(number)), number, mapping)

    def _listener(self, prefix: str, number: int, mapping: ListenerMapping) -> NamedListener:
        route = f"r{number}" if prefix == "l" else f"{prefix}-r{number}"
        if number < len(self.named_clusters):
            cluster = self.named_clusters[number].name
        else:
            cluster = f"{self.clusters[-1].prefix if self.clusters else 'c'}{number}"
        return NamedListener(f"{prefix}{number}", number, mapping, route, cluster)

    def names(self, type_name: str) -> tuple[str, ...]:
        """The names of that type's resources (cds, eds, lds, rds), in order of their numbers."""
        if type_name == "cds":
            return tuple(cluster.name for cluster in self.named_clusters)
        if type_name == "eds":
            return tuple(cluster.name for cluster in self.named_clusters if cluster.mapping.type == "eds")
        if type_name == "lds":
            return tuple(listener.name for listener in self.named_listeners)
        assert type_name == "rds", type_name
        return tuple(
            listener.route for listener in self.named_listeners if listener.mapping.routes != "inline"
        )


class Resources(StaticResources):
    """What the scripted control plane serves."""

    health_check: Annotated[HealthCheck | None, OrNone()] = setting(
        "The active health check of the clusters; absent = none",
        None,
        stands_for="Cluster.health_checks",
        source="Envoy checks nothing by itself; Istio writes no active health check",
    )
    secrets: Counted = setting("Secrets, named sds0, ...", Counted(), stands_for="Secret", source=FORMAT)
    extensions: Counted = setting(
        "Extension configurations, named ecds0, ...",
        Counted(),
        stands_for="TypedExtensionConfig",
        source=FORMAT,
    )
    scopes: Counted = setting(
        "Scoped routes, named srds0, ...; scope N leads to the route of listener N",
        Counted(),
        stands_for="ScopedRouteConfiguration",
        source=FORMAT,
    )
    runtime: Counted = setting(
        "Runtime layers, named rtds0, ...", Counted(), stands_for="Runtime", source=FORMAT
    )

    def names(self, type_name: str) -> tuple[str, ...]:
        """The names of that type's resources at the start, in order of their numbers."""
        if type_name not in COUNTED:
            return super().names(type_name)
        count: int = getattr(self, COUNTED[type_name]).count
        return tuple(f"{type_name}{number}" for number in range(count))

    def prefixes(self, type_name: str) -> tuple[str, ...]:
        """What the names of that type begin with; the default when there are none yet."""
        if type_name in ("cds", "eds"):
            return tuple(dict.fromkeys(mapping.prefix for mapping in self.clusters)) or ("c",)
        listeners = tuple(dict.fromkeys(mapping.prefix for mapping in self.listeners)) or ("l",)
        if type_name == "lds":
            return listeners
        if type_name == "rds":
            return tuple("r" if prefix == "l" else f"{prefix}-r" for prefix in listeners)
        return (type_name,)


def trailing_number(name: str) -> int:
    """The number at the end of a resource name; ValueError if there is none."""
    match = re.search(r"(?<![0-9])(0|[1-9][0-9]*)$", name)
    if match is None:
        raise ValueError(f"{name!r} does not end in a number")
    return int(match[1])
