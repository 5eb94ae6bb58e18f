"""What the workload does to the mesh: the deeds it asks for, carried out by those who own the parts.

The workload decides what happens and when. Proxies, replicas of istiod and the content of the mesh belong to
others; they meet here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from simulator.engine.delays import Delay
from simulator.mesh.services import Service
from simulator.workload.entries import PodSettings


@dataclass(frozen=True, slots=True)
class Edit:
    """A configuration object that its user writes.

    Attributes:
        kind: Istio's word, such as ``VirtualService``.
        namespace: Its namespace.
        name: Its name there. Of a ``ServiceEntry`` and of ``Endpoints``, the service's name.
        service: The service it is about, or whose namespace it is in; None in a mesh without services.
        rejected_by_envoy: Envoy will not accept what istiod makes of it.
    """

    kind: str
    namespace: str
    name: str
    service: Service | None
    rejected_by_envoy: bool = False


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a service.

    Attributes:
        id: Key of its draws; its proxy's id and its endpoint's.
        name: Name in tables.
        service: Whose endpoint it is.
        has_proxy: Whether it has a sidecar.
        zone: Number of its zone.
        service_account: Identity of its workload.
        cause: Why its proxy starts: ``start``, ``rollout`` or ``scale_up``.
    """

    id: int
    name: str
    service: Service
    has_proxy: bool = True
    zone: int = 0
    service_account: str = "default"
    cause: str = "start"


@dataclass(frozen=True, slots=True)
class PodEnd:
    """The end of a pod, in ns from its deletion.

    Attributes:
        serves_until_ns: Requests to its address are answered until then.
        proxy_exits_ns: Its Envoy ends, and its xDS stream with it.
        pod_gone_ns: Its last container has ended; the pod object is removed.
    """

    serves_until_ns: int
    proxy_exits_ns: int
    pod_gone_ns: int


class PodActions(Protocol):
    """What happens to pods of services."""

    def pods_of(self, service: Service) -> Sequence[Pod]:
        """The pods that the service has at the start, in order. Asked once for each service touched."""

    def endpoints_changed(self, service: Service) -> object:
        """Notes a change of the service's endpoints at this instant; what `Kubernetes` is to call it."""

    def start_pod(self, pod: Pod, ready_after_ns: int, on_ready: Callable[[], None]) -> None:
        """A pod with a sidecar is created.

        Args:
            pod: New; not seen before.
            ready_after_ns: From the start of its application until that is ready.
            on_ready: To be called once, when the kubelet sees all its containers ready. Not after
                `stop_pod`.
        """

    def pod_deleted(self, pod: Pod) -> None:
        """A pod with a sidecar is being deleted: its application asks nothing of others any more."""

    def stop_pod(self, pod: Pod) -> None:
        """The Envoy of a pod exits for good, ready or not."""

    def pod_end(self, pod: Pod, settings: PodSettings) -> PodEnd:
        """How a pod with a sidecar ends if it is deleted now."""


class ProxyActions(Protocol):
    """What happens to proxies."""

    def proxies(self) -> Sequence[int]:
        """The proxies that exist now."""

    def restart_proxy(self, proxy: int) -> None:
        """Its Envoy is killed and starts anew; without effect on one that exists no more."""

    def hot_restart(self, proxy: int) -> None:
        """A new Envoy takes over from the one that runs; without effect on one that exists no more."""

    def partition(self, proxy: int, is_on: bool) -> None:
        """Cuts it off from the control plane, or lets it through again; packets vanish meanwhile."""

    def slow_reader(self, proxy: int, is_on: bool) -> None:
        """It stops reading what the control plane sends, or reads again."""


class VmActions(Protocol):
    """What happens to virtual machines."""

    def vms(self) -> Sequence[int]:
        """Their proxies."""

    def unhealthy(self, proxy: int, is_on: bool) -> None:
        """Its workload answers nobody, or does again."""


class CaActions(Protocol):
    """What happens to the CA."""

    def ca_outage(self, is_on: bool, delay: Delay | None) -> None:
        """It refuses CSRs, or with a delay takes so much longer; or no more."""

    def rotate_root(self) -> None:
        """It goes over to a new root certificate."""


class IncidentActions(ProxyActions, VmActions, CaActions, Protocol):
    """What incidents do."""


class IstiodActions(Protocol):
    """What happens to replicas of istiod."""

    def start_istiod(self, replica: int, on_synced: Callable[[], None]) -> None:
        """The process of a replica starts, with a number not seen before or one that was stopped.

        Args:
            replica: Its number.
            on_synced: To be called once, when its caches are synced and it answers ``/ready``. Not after
                `stop_istiod`.
        """

    def assign_revision(self, replica: int, revision: str) -> None:
        """A new replica belongs to the control plane of that revision: proxies of others are never sent to
        it."""

    def stop_istiod(self, replica: int) -> None:
        """SIGTERM: its streams are reset at once, and nobody answers at its address."""

    def istiod_in_service(self, replica: int, is_in: bool) -> None:
        """The nodes' kube-proxies send new connections to the replica from now on, or do so no more."""


COMPONENTS = ("citadel", "galley", "injector")
"""Processes of the control plane before istiod, beside Pilot."""

NODE_AGENT = "node-agent"
"""The process on each node that hands out certificates, where there is one."""


class ComponentActions(Protocol):
    """What happens to the components before istiod."""

    def restart(self, name: str, down_for_ns: int) -> None:
        """One of `COMPONENTS` ends, and starts again so much later."""


class RevisionActions(Protocol):
    """Which control plane injects the proxies of a namespace."""

    def services(self) -> Sequence[Service]:
        """All services, with their namespaces."""

    def label_namespace(self, namespace: str, revision: str) -> None:
        """``istio.io/rev``: pods created there from now on belong to the revision."""

    def gateways(self) -> Sequence[int]:
        """Gateways that exist now."""

    def move_gateway(self, proxy: int, revision: str) -> None:
        """It is restarted with the other revision's proxy."""


class MeshActions(PodActions, IncidentActions, RevisionActions, Protocol):
    """All that the workload does, but to replicas of istiod."""

    def restart_node_agent(self, node: int | None, down_for_ns: int) -> None:
        """The agent of a node, or of every one, ends and starts again so much later."""

    def services(self) -> Sequence[Service]:
        """The services that a happening without one may choose from."""

    def edit(self, edit: Edit) -> None:
        """A configuration object is written at this instant."""
