"""What a mesh consists of when a run begins: its proxies, and the pods of its services."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.mesh.services import GATEWAY_IDS, ROOT_NAMESPACE, VM_IDS, Proxy, Service, pod_id
from simulator.scenario.schema import Scenario
from simulator.workload.contract import Pod


def proxies_of(scenario: Scenario, services: Sequence[Service]) -> list[Proxy]:
    """Sidecar i is a pod of service i mod services; gateways stand in the root namespace."""
    mesh = scenario.mesh
    proxies = []
    for number in range(mesh.proxies.sidecars + mesh.proxies.vms):
        is_vm = number >= mesh.proxies.sidecars
        own = number - mesh.proxies.sidecars if is_vm else number
        service = services[own % len(services)] if services else None
        namespace = service.namespace if service is not None else mesh.namespaces[0]
        name, id_ = (f"vm{own}", VM_IDS + own) if is_vm else (f"p{own}", own)
        proxies.append(Proxy(id_, name, "sidecar", namespace, service, own % mesh.zones))
    for number in range(mesh.proxies.gateways):
        zone = number % mesh.zones
        proxies.append(Proxy(GATEWAY_IDS + number, f"gw{number}", "gateway", ROOT_NAMESPACE, None, zone))
    return proxies


def pods_by_service(
    services: Sequence[Service], proxies: Sequence[Proxy], zones: int
) -> dict[Service, list[Pod]]:
    """The pods of each service: those with a sidecar first, then pods without one up to its endpoints."""
    pods: dict[Service, list[Pod]] = {service: [] for service in services}
    for proxy in proxies:
        if proxy.service is not None:
            pods[proxy.service].append(Pod(proxy.id, proxy.name, proxy.service, zone=proxy.zone))
    for service, of_service in pods.items():
        for number in range(len(of_service), service.endpoints):
            name = f"{service.namespace}.{service.name}-{number}"
            of_service.append(Pod(pod_id(name), name, service, has_proxy=False, zone=number % zones))
    return pods
