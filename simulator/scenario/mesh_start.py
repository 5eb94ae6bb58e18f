"""What a mesh consists of when a run begins: its proxies, and the pods of its services.

Who is there follows from numbers, so a proxy, its name or a pod is made when somebody asks for it: a million
of them that nobody tells apart cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from simulator.mesh.endpoints import EndpointSet
from simulator.mesh.services import GATEWAY_IDS, ROOT_NAMESPACE, VM_IDS, Proxy, Service, pod_id
from simulator.recording.recorder import NamesOnDemand
from simulator.scenario.schema import Scenario
from simulator.workload.contract import Pod


class Proxies(Mapping[int, Proxy]):
    """Every proxy by its id: sidecar i is a pod of service i mod services; gateways stand in the root
    namespace; those that come later follow.
    """

    def __init__(self, scenario: Scenario, services: Sequence[Service]) -> None:
        mesh = scenario.mesh
        self._services, self._namespace, self._zones = services, mesh.namespaces[0], mesh.zones
        self.sidecars = range(mesh.proxies.sidecars)
        self.vms = range(VM_IDS, VM_IDS + mesh.proxies.vms)
        self.gateways = range(GATEWAY_IDS, GATEWAY_IDS + mesh.proxies.gateways)
        self._made: dict[int, Proxy] = {}
        self._later: dict[int, Proxy] = {}

    def __len__(self) -> int:
        return len(self.sidecars) + len(self.vms) + len(self.gateways) + len(self._later)

    def __iter__(self) -> Iterator[int]:
        return chain(self.sidecars, self.vms, self.gateways, self._later)

    def __contains__(self, proxy: object) -> bool:
        return any(proxy in ids for ids in (self.sidecars, self.vms, self.gateways, self._later))

    def __getitem__(self, proxy: int) -> Proxy:
        found = self._made.get(proxy)
        if found is None:
            found = self._made[proxy] = self._make(proxy)
        return found

    def _make(self, proxy: int) -> Proxy:
        name = self.name(proxy)
        if proxy in self.gateways:
            zone = (proxy - GATEWAY_IDS) % self._zones
            return Proxy(proxy, name, "gateway", ROOT_NAMESPACE, None, zone)
        own = self.own_number(proxy)
        service = self._services[own % len(self._services)] if self._services else None
        namespace = self._namespace if service is None else service.namespace
        return Proxy(proxy, name, "sidecar", namespace, service, own % self._zones)

    def add(self, proxy: Proxy) -> None:
        """A proxy that comes during the run."""
        self._made[proxy.id] = self._later[proxy.id] = proxy

    def own_number(self, proxy: int) -> int:
        """The number of a sidecar of the start among the pods, or the VMs."""
        return proxy - VM_IDS if proxy in self.vms else proxy

    def name(self, proxy: int) -> str:
        """The name of a proxy in tables; raises KeyError where there is none."""
        if proxy in self.sidecars:
            return f"p{proxy}"
        if proxy in self.vms:
            return f"vm{proxy - VM_IDS}"
        if proxy in self.gateways:
            return f"gw{proxy - GATEWAY_IDS}"
        return self._later[proxy].name

    def numbered(self, name: str) -> int:
        """The proxy of the start with that name; raises KeyError where there is none."""
        for prefix, ids in (("p", self.sidecars), ("vm", self.vms), ("gw", self.gateways)):
            digits = name.removeprefix(prefix)
            if digits.isdecimal() and name == f"{prefix}{int(digits)}" and int(digits) < len(ids):
                return ids[int(digits)]
        raise KeyError(name)

    def applications(self) -> list[Proxy]:
        """A proxy of each kind and service, the first ones, in order: whoever follows is like one of them."""
        each = max(1, len(self._services))
        return [self[proxy] for proxy in (*self.sidecars[:each], *self.vms[:each], *self.gateways[:1])]

    def with_sidecars(self, position: int) -> Sequence[int]:
        """The proxies of the start beside the pods of the service in that position: a range, which takes no
        memory, where there are no VMs."""
        each = len(self._services)
        pods, vms = self.sidecars[position::each], self.vms[position::each]
        return (*pods, *vms) if vms else pods


class ProxyNames(NamesOnDemand):
    """Their names, by id."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    def __len__(self) -> int:
        return len(self._proxies)

    def __iter__(self) -> Iterator[int]:
        return iter(self._proxies)

    def __getitem__(self, proxy: int) -> str:
        return self._proxies.name(proxy)

    def many(self, proxies: Sequence[int]) -> list[str | None]:
        """See NamesOnDemand."""
        first_of_others, known = len(self._proxies.sidecars), self._proxies
        return [
            f"p{p}" if 0 <= p < first_of_others else known.name(p) if p in known else None for p in proxies
        ]


class PodsAtStart:
    """The pods of each service: those with a sidecar first, then pods without one up to its endpoints."""

    def __init__(
        self, services: Sequence[Service], proxies: Proxies, zones: int, *, are_vms_listed: bool = True
    ) -> None:
        self._are_vms_listed = are_vms_listed
        self._positions = {service: position for position, service in enumerate(services)}
        self._proxies, self._zones = proxies, zones
        self._made: dict[Service, list[Pod]] = {}

    def of(self, service: Service) -> list[Pod]:
        """The pods of a service."""
        found = self._made.get(service)
        if found is None:
            found = self._made[service] = self._make(service)
        return found

    def _make(self, service: Service) -> list[Pod]:
        proxies = self._proxies
        beside = proxies.with_sidecars(self._positions[service])
        pods = [Pod(p, proxies.name(p), service, zone=proxies.own_number(p) % self._zones) for p in beside]
        for number, name in self._without_proxy(service, len(beside)):
            pods.append(Pod(pod_id(name), name, service, has_proxy=False, zone=number % self._zones))
        return pods

    def _without_proxy(self, service: Service, first: int) -> list[tuple[int, str]]:
        return [
            (number, f"{service.namespace}.{service.name}-{number}")
            for number in range(first, service.endpoints)
        ]

    def endpoints(self, service: Service) -> EndpointSet:
        """The addresses of the same pods, all ready; VMs that are still to register are not listed."""
        beside = self._proxies.with_sidecars(self._positions[service])
        others = self._without_proxy(service, len(beside))
        if not self._are_vms_listed:
            beside = tuple(proxy for proxy in beside if proxy not in self._proxies.vms)
        zones = [self._proxies.own_number(p) % self._zones for p in beside] if self._zones > 1 else None
        if zones is not None:
            zones += [number % self._zones for number, _ in others]
        ids = (*beside, *(pod_id(name) for _, name in others)) if others else beside
        return EndpointSet.ready(ids, zones)
