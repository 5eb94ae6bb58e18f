"""Services, their ports and names, and the proxies beside their pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

CLUSTER_DOMAIN = "svc.cluster.local"
"""Suffix of Kubernetes host names (proxyConfig.trustDomain aside, Istio's default domain)."""

GATEWAY_IDS = 2**32
VM_IDS = 2**33
POD_IDS = 2**39


def stable_id(name: str) -> int:
    """A number of 39 bits for a name: the same in every run, so that names key draws."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") % 2**39


def pod_id(name: str) -> int:
    """The proxy id of a pod created during the run."""
    return POD_IDS | stable_id(name)


@dataclass(frozen=True, slots=True)
class Port:
    """A service port."""

    number: int
    protocol: Literal["http", "tcp"] = "http"


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A Kubernetes Service.

    Attributes:
        index: Position among all services.
        entity: What keys its draws: its number, or a stable hash of the name the user gave it.
        name: Name in its namespace.
        namespace: Namespace.
        endpoints: Endpoints at the start.
        ports: Ports.
        headless: Without a cluster IP.
        export_to: ``*`` for all namespaces, ``.`` for its own, ``~`` for none.
    """

    index: int
    entity: int
    name: str
    namespace: str
    endpoints: int = 1
    ports: tuple[Port, ...] = (Port(80),)
    headless: bool = False
    export_to: str = "*"

    @property
    def hostname(self) -> str:
        """Fully qualified host name."""
        return f"{self.name}.{self.namespace}.{CLUSTER_DOMAIN}"

    @property
    def label(self) -> str:
        """Name with namespace, as tables show it."""
        return f"{self.namespace}/{self.name}"

    @property
    def is_all_http(self) -> bool:
        """Whether every port is HTTP."""
        return all(port.protocol == "http" for port in self.ports)

    def cluster_names(self) -> tuple[str, ...]:
        """Its clusters, one for each port."""
        return tuple(f"outbound|{port.number}||{self.hostname}" for port in self.ports)

    def is_exported_to(self, namespace: str) -> bool:
        """Whether proxies of that namespace may see it."""
        return self.export_to == "*" or (self.export_to == "." and namespace == self.namespace)


ROOT_NAMESPACE = "istio-system"
"""meshConfig.rootNamespace: policies in it hold for all namespaces."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Encoded sizes in bytes."""

    cluster: int
    endpoint: int
    assignment: int
    listener: int
    route: int


@dataclass(frozen=True, slots=True, eq=False)
class Proxy:
    """One Envoy of the mesh.

    Attributes:
        id: What names it in tables and keys its draws.
        name: Name in tables.
        kind: ``sidecar`` or ``gateway``.
        namespace: Its own.
        service: The service whose pod it is, if any.
        zone: Its locality.
    """

    id: int
    name: str
    kind: Literal["sidecar", "gateway"]
    namespace: str
    service: Service | None
    zone: int = 0


def endpoints_with_sidecars(services: Sequence[Service], sidecars: int) -> list[int]:
    """How many sidecars are pods of each service: sidecar i is a pod of service i mod services."""
    if not services:
        return []
    whole, rest = divmod(sidecars, len(services))
    return [whole + (1 if service.index < rest else 0) for service in services]
