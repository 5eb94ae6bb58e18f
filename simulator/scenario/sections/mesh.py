"""Section `mesh`: which services and proxies there are, what they see and when they start."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import model_serializer, model_validator

from simulator.mesh import services as mesh_services
from simulator.mesh.services import stable_id
from simulator.mesh.visibility import ScopeSettings
from simulator.scenario.durations import DurationNs
from simulator.scenario.problems import Location, described, refusal, refusals, suggestion
from simulator.scenario.quantities import Choice, JsonSchema, OrNone, Switch, Whole
from simulator.scenario.sections.mesh_values import NamespacesField, ScopeField, SelectedNamespaces
from simulator.scenario.sections.services import EndpointCount, ServiceMapping, ServicesField
from simulator.scenario.sections.workload_group import WorkloadGroup
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting

MOST_PROXIES = 10_000_000
MOST_ENDPOINTS_IN_ALL = 10_000_000
_GENERATED = ServiceMapping(name="s0")
"""What the numbered services have in common."""

_GENERATED_SERVICE = re.compile(r"s(0|[1-9][0-9]{0,8})")
_PROXY_NAME = re.compile(r"(p|gw|vm)(0|[1-9][0-9]{0,8})")


class Proxies(Settings):
    """How many proxies of each kind; a bare number means sidecars."""

    shorthand: ClassVar[JsonSchema | None] = {"type": "integer", "minimum": 0, "maximum": MOST_PROXIES}

    sidecars: Annotated[int, Whole(0, MOST_PROXIES)] = setting(
        "Sidecars, named p0, p1, ...", 0, stands_for="NodeType sidecar", source=FORMAT
    )
    gateways: Annotated[int, Whole(0, MOST_PROXIES)] = setting(
        "Gateways, named gw0, gw1, ...", 0, stands_for="NodeType router", source=FORMAT
    )
    vms: Annotated[int, Whole(0, MOST_PROXIES)] = setting(
        "Proxies on virtual machines, named vm0, vm1, ...",
        0,
        stands_for="WorkloadEntry with a sidecar",
        source=FORMAT,
    )

    @property
    def total(self) -> int:
        """All proxies together."""
        return self.sidecars + self.gateways + self.vms

    def names(self) -> tuple[str, ...]:
        """The names of all proxies: sidecars, then gateways, then virtual machines."""
        kinds = (("p", self.sidecars), ("gw", self.gateways), ("vm", self.vms))
        return tuple(f"{prefix}{number}" for prefix, count in kinds for number in range(count))

    def has(self, name: str) -> bool:
        """Whether one of them is called so."""
        match = _PROXY_NAME.fullmatch(name)
        counts = {"p": self.sidecars, "gw": self.gateways, "vm": self.vms}
        return match is not None and int(match[2]) < counts[match[1]]

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool):
            return {"sidecars": Whole(0, MOST_PROXIES).read(given)}
        if isinstance(given, Proxies):
            return given
        if not isinstance(given, dict):
            raise refusal(
                "must be a whole number of sidecars, or a mapping such as {sidecars: 100, gateways: 2}, "
                f"not {described(given)}"
            )
        return given

    @model_validator(mode="after")
    def _not_too_many(self) -> Proxies:
        if self.total > MOST_PROXIES:
            raise refusal(f"must be at most {MOST_PROXIES} proxies in all, not {self.total}")
        return self

    @model_serializer(mode="plain")
    def _written(self) -> dict[str, int] | int:
        if self.gateways or self.vms:
            return {"sidecars": self.sidecars, "gateways": self.gateways, "vms": self.vms}
        return self.sidecars


class Start(Settings):
    """How the proxies begin: ``connected`` and configured, all ``cold``, or spread evenly over some time."""

    shorthand: ClassVar[JsonSchema | None] = {"enum": ["connected", "cold"]}

    kind: Annotated[Literal["connected", "cold", "over"], Choice(("connected", "cold", "over"))] = setting(
        "connected, cold or over",
        "cold",
        stands_for=SPELLING,
        source="the measured start-ups begin with a cold process (rules S1 to S8)",
    )
    over: DurationNs = setting(
        "Time over which the starts are spread",
        0,
        stands_for="rollout of the workloads that carry the proxies",
        source=FORMAT,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"kind": Choice(("connected", "cold")).read(given)}
        if isinstance(given, Start):
            return given
        if not isinstance(given, dict):
            raise refusal(
                f"must be connected, cold, or a mapping such as {{over: 60s}}, not {described(given)}"
            )
        return given if "kind" in given or "over" not in given else {"kind": "over", **given}

    @model_validator(mode="after")
    def _not_contradictory(self) -> Start:
        if self.over and self.kind != "over":
            raise refusal(f"says nothing with kind {self.kind}", "over")
        return self

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        return {"over": dump(self)["over"]} if self.kind == "over" else self.kind


class Sizes(Settings):
    """Encoded sizes of the resources that istiod generates, in bytes."""

    cluster: Annotated[int, Whole(1, 10**9)] = setting(
        "A cluster",
        1000,
        stands_for="cluster.v3.Cluster",
        source="315.7 kB for 310 clusters (istio/istio#36763), 6.3 MB for 6977 (#39652)",
    )
    assignment: Annotated[int, Whole(1, 10**9)] = setting(
        "A ClusterLoadAssignment without its endpoints",
        32,
        stands_for="endpoint.v3.ClusterLoadAssignment",
        source="16.2 kB for 100 assignments of one endpoint (istio/istio#48841), less 130 B an endpoint",
    )
    endpoint: Annotated[int, Whole(1, 10**9)] = setting(
        "An endpoint of an assignment",
        130,
        stands_for="endpoint.v3.LbEndpoint",
        source="129 kB for 1000 endpoints with telemetry metadata (istio/istio#48841)",
    )
    listener: Annotated[int, Whole(1, 10**9)] = setting(
        "A listener",
        4000,
        stands_for="listener.v3.Listener",
        source="176 to 187 kB for 60 (istio/istio#36763), 2.9 MB for 551 (#39652): 3 to 5.3 kB each",
    )
    route: Annotated[int, Whole(1, 10**9)] = setting(
        "A virtual host of a route configuration: one for each service and HTTP port",
        350,
        stands_for="route.v3.VirtualHost",
        source="32 to 39 kB for 100 services (istio/istio#25117, #40634)",
    )


class Mesh(Settings):
    """The proxies and the services under study."""

    proxies: Proxies = setting(
        "Number of sidecars, or a mapping with sidecars, gateways and vms",
        Proxies(sidecars=1),
        stands_for="the Envoys connected to the control plane",
        source=FORMAT,
    )
    services: ServicesField = setting(
        "How many (s0, s1, ...), or a list; sidecar i is a pod of service i mod services",
        10,
        stands_for="Kubernetes Services",
        assumption="enough that scopes and pushes of single services differ from those of all",
    )
    namespaces: NamespacesField = setting(
        "How many (ns0, ...), or a list of names; service i is in namespace i mod namespaces. "
        "Absent, those that the listed services name",
        ("ns0",),
        stands_for="Kubernetes Namespaces",
        assumption="one: no default Sidecar scope or exportTo tells namespaces apart",
    )
    endpoints: EndpointCount = setting(
        "Endpoints of each service that does not say otherwise; those beyond its sidecars have no proxy",
        5,
        stands_for="EndpointSlice.endpoints",
        assumption="five replicas a service: the published set-ups lie between 1 and 100",
    )
    scope: ScopeField = setting(
        "What a sidecar sees: all, 25% of the services, {services: 20} or {namespaces: own}",
        ScopeSettings(),
        stands_for="Sidecar egress.hosts",
        source="without a Sidecar resource everything exported is visible (model/sidecar.go)",
    )
    discovery_selectors: Annotated[SelectedNamespaces | None, OrNone()] = setting(
        "Namespaces that istiod watches; absent = all",
        None,
        stands_for="meshConfig.discoverySelectors",
        source="none by default (pkg/config/mesh/mesh.go)",
    )
    zones: Annotated[int, Whole(1, 1000)] = setting(
        "Zones over which proxies and endpoints are spread",
        1,
        stands_for="label topology.kubernetes.io/zone",
        assumption="one: the endpoint cache holds one entry a cluster",
    )
    wasm_plugins: Switch = setting(
        "Whether every sidecar runs a Wasm filter that is configured by ECDS; agent.wasm fetches its module",
        False,
        stands_for="a WasmPlugin in each namespace (kind TrafficExtension)",
        source="meshes have no WasmPlugin unless somebody writes one (extensions/v1alpha1)",
    )
    workload_group: WorkloadGroup = setting(
        "How virtual machines become endpoints",
        WorkloadGroup(),
        stands_for="WorkloadGroup",
        source="pilot/pkg/autoregistration",
    )
    sizes: Sizes = setting(
        "Encoded sizes of resources in bytes",
        Sizes(),
        stands_for="protobuf encoding",
        source="measured sizes",
    )
    start: Start = setting(
        "connected: configured before t = 0, connections of random age; cold: all start at t = 0; "
        "{over: 60s}: evenly spread over that time. Absent: connected with kind istiod, else cold",
        Start(),
        stands_for=SPELLING,
        source="scripted: the measured start-ups begin with a cold process (rules S1 to S8); "
        "istiod: what is asked of it is a mesh at work",
    )

    def named_services(self) -> tuple[mesh_services.Service, ...]:
        """All services for the model, in order, with nothing left to defaults."""
        if isinstance(self.services, int):
            return tuple(self._generated(number) for number in range(self.services))
        return tuple(self._listed(index, one) for index, one in enumerate(self.services))

    def services_called(self, text: str, namespace: str | None = None) -> tuple[mesh_services.Service, ...]:
        """The services that a name, or ``namespace/name``, may mean.

        Args:
            text: What the user wrote.
            namespace: Where to look, unless the text says it itself.
        """
        within, _, name = text.rpartition("/")
        wanted = within or namespace
        if not isinstance(self.services, int):
            listed = enumerate(self.services)
            found = [self._listed(index, one) for index, one in listed if one.name == name]
        else:
            match = _GENERATED_SERVICE.fullmatch(name)
            is_one = match is not None and int(match[1]) < self.services
            found = [self._generated(int(match[1]))] if match is not None and is_one else []
        return tuple(one for one in found if wanted in (None, one.namespace))

    def service(self, text: str, namespace: str | None = None) -> mesh_services.Service | None:
        """The one service that a name, or ``namespace/name``, means; None where there is none or several."""
        found = self.services_called(text, namespace)
        return found[0] if len(found) == 1 else None

    def _generated(self, number: int) -> mesh_services.Service:
        return self._service(number, number, f"s{number}", _GENERATED)

    def _listed(self, index: int, given: ServiceMapping) -> mesh_services.Service:
        entity = stable_id(f"{self._namespace(index, given)}/{given.name}")
        return self._service(index, entity, given.name, given)

    def _service(self, index: int, entity: int, name: str, given: ServiceMapping) -> mesh_services.Service:
        return mesh_services.Service(
            index=index,
            entity=entity,
            name=name,
            namespace=self._namespace(index, given),
            endpoints=self.endpoints if given.endpoints is None else given.endpoints,
            ports=tuple(mesh_services.Port(port.port, port.protocol) for port in given.ports),
            headless=given.headless,
            export_to=given.export_to,
        )

    def _namespace(self, index: int, given: ServiceMapping) -> str:
        return self.namespaces[index % len(self.namespaces)] if given.namespace is None else given.namespace

    @model_validator(mode="before")
    @classmethod
    def _with_namespaces_of_services(cls, given: Any) -> Any:
        """Where no namespaces are listed, those of the listed services are meant."""
        if not isinstance(given, dict) or given.get("namespaces") is not None:
            return given
        services = given.get("services")
        if not isinstance(services, list | tuple):
            return given
        named = dict.fromkeys(_namespace_of(service) for service in services)
        if None not in named and named:
            return {**given, "namespaces": list(named)}
        if len(named) > 1:
            raise refusal("list them here, or say namespace for each service", "namespaces")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Mesh:
        found: list[tuple[Location, str]] = []
        known = dict.fromkeys(self.namespaces)
        for position, name in enumerate(self.discovery_selectors or ()):
            if name not in known:
                found.append((("discovery_selectors", position), _no_namespace(name, known)))
        if isinstance(self.services, int):
            in_all = self.services * self.endpoints
        else:
            found += self._unusable_services(self.services, known)
            in_all = sum(self.endpoints if s.endpoints is None else s.endpoints for s in self.services)
        if in_all > MOST_ENDPOINTS_IN_ALL:
            found.append(
                (("endpoints",), f"must be at most {MOST_ENDPOINTS_IN_ALL} endpoints in all, not {in_all}")
            )
        if found:
            raise refusals(found)
        return self

    def _unusable_services(
        self, services: tuple[ServiceMapping, ...], known: dict[str, None]
    ) -> list[tuple[Location, str]]:
        found: list[tuple[Location, str]] = []
        seen: dict[tuple[str, str], None] = {}
        for position, service in enumerate(services):
            namespace = self._namespace(position, service)
            if namespace not in known:
                found.append((("services", position, "namespace"), _no_namespace(namespace, known)))
            if (namespace, service.name) in seen:
                said = f"namespace {namespace!r} has a service {service.name!r} already"
                found.append((("services", position, "name"), said))
            seen[namespace, service.name] = None
        return found


def _namespace_of(service: Any) -> str | None:
    """The namespace that one element of the list of services names, if it does."""
    namespace = service.get("namespace") if isinstance(service, dict) else getattr(service, "namespace", None)
    return namespace if isinstance(namespace, str) and namespace != "none" else None


def _no_namespace(name: str, known: dict[str, None]) -> str:
    return f"no namespace is called {name!r}; {suggestion(name, known)}"
