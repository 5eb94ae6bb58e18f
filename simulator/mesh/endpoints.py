"""Endpoints of a service, as the EndpointSlices list them, and which of them EDS sends.

A set of endpoints is immutable and carries a revision: who keeps one keeps what the API server said at that
instant. What every proxy asks of it (which endpoints are sent, which may be chosen) is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

DEFAULT_ACCOUNT = "default"
"""The service account of a pod that names none (Kubernetes)."""


class Health(Enum):
    """What the conditions of an EndpointSlice say of an endpoint, in Istio's words.

    Ready is healthy; not ready is unhealthy, unless the pod is being deleted: then draining where it still
    answers and the service keeps sessions with its pods (istio.io/persistent-session), else terminating.

    Source: pilot/pkg/serviceregistry/kube/controller/endpointslice.go:endpointHealthStatus.
    """

    HEALTHY = "Healthy"
    UNHEALTHY = "UnHealthy"
    DRAINING = "Draining"
    TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a service.

    Attributes:
        id: The pod's id: its proxy's where it has a sidecar.
        health: As the EndpointSlice says.
        service_account: Identity that clients expect of it.
        zone: Number of its zone.
    """

    id: int
    health: Health = Health.HEALTHY
    service_account: str = DEFAULT_ACCOUNT
    zone: int = 0


class EndpointSet:
    """The endpoints of one service at one revision; immutable, compared by identity.

    Args:
        endpoints: In their order, which is that of their coming.
        revision: Counts the changes of the service's endpoints.
    """

    __slots__ = ("_by_id", "_sent", "_serving", "_zones", "ids", "revision")

    def __init__(self, endpoints: Iterable[Endpoint] = (), revision: int = 0) -> None:
        by_id = {endpoint.id: endpoint for endpoint in endpoints}
        self._by_id: Mapping[int, Endpoint] | None = MappingProxyType(by_id)
        self.ids: Sequence[int] = tuple(by_id)
        self.revision = revision
        self._sent: dict[tuple[bool, bool], tuple[Endpoint, ...]] = {}
        self._serving: Sequence[int] | None = None
        self._zones: Sequence[int] | None = None

    @classmethod
    def ready(cls, ids: Sequence[int], zones: Sequence[int] | None = None) -> EndpointSet:
        """The first set of a service: these endpoints, all healthy, in these zones (None: all in 0). They
        become objects when somebody looks at one, which nobody does where nothing happens to them.
        """
        made = cls()
        made._by_id, made.ids, made._serving, made._zones = None, ids, ids, zones
        return made

    @property
    def by_id(self) -> Mapping[int, Endpoint]:
        """The endpoints, by id."""
        if self._by_id is None:
            zones = (0,) * len(self.ids) if self._zones is None else self._zones
            self._by_id = MappingProxyType(
                {id_: Endpoint(id_, zone=zone) for id_, zone in zip(self.ids, zones, strict=True)}
            )
        return self._by_id

    @property
    def service_accounts(self) -> tuple[str, ...]:
        """Identities of the endpoints, each once."""
        if self._by_id is None:
            return (DEFAULT_ACCOUNT,) if self.ids else ()
        return tuple(dict.fromkeys(e.service_account for e in self))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self.by_id.values())

    def __contains__(self, endpoint: int) -> bool:
        return endpoint in self.by_id

    def __repr__(self) -> str:
        return f"EndpointSet({len(self)}, revision={self.revision})"

    def get(self, endpoint: int) -> Endpoint | None:
        """The endpoint of that id, or None."""
        return self.by_id.get(endpoint)

    def with_endpoint(self, endpoint: Endpoint) -> EndpointSet:
        """This set with the endpoint added, or put in the place of the one with its id."""
        if self.by_id.get(endpoint.id) == endpoint:
            return self
        return EndpointSet({**self.by_id, endpoint.id: endpoint}.values(), self.revision + 1)

    def without(self, endpoint: int) -> EndpointSet:
        """This set without the endpoint of that id."""
        if endpoint not in self.by_id:
            return self
        return EndpointSet((e for e in self if e.id != endpoint), self.revision + 1)

    def sent(
        self, *, sends_unhealthy: bool = False, has_persistent_sessions: bool = False
    ) -> tuple[Endpoint, ...]:
        """The endpoints that EDS sends: no terminating ones, draining ones to keep sessions, and unready ones
        only if told so. Always the same tuple object for the same question.

        Args:
            sends_unhealthy: PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS, the default from 1.31, or
                PILOT_SEND_UNHEALTHY_ENDPOINTS.
            has_persistent_sessions: The service keeps sessions with its pods.

        Source: pilot/pkg/xds/endpoints/endpoint_builder.go:filterIstioEndpoint.
        """
        question = (sends_unhealthy, has_persistent_sessions)
        if question not in self._sent:
            kept = {Health.HEALTHY: True, Health.UNHEALTHY: sends_unhealthy}
            kept[Health.DRAINING] = has_persistent_sessions
            self._sent[question] = tuple(e for e in self if kept.get(e.health, False))
        return self._sent[question]

    def sent_count(self, *, sends_unhealthy: bool = False) -> int:
        """How many `sent` has."""
        return len(self.ids) if self._by_id is None else len(self.sent(sends_unhealthy=sends_unhealthy))

    @property
    def serving_ids(self) -> Sequence[int]:
        """Ids of the endpoints that a client's Envoy gives new requests to: the healthy ones. The same
        object at every call.

        A draining host keeps the requests of its sessions only, an unhealthy one gets none: istiod sets the
        panic threshold to 0 where it sends unhealthy endpoints.
        Source: pilot/pkg/networking/core/cluster_traffic_policy.go:applyLoadBalancer.
        """
        if self._serving is None:
            self._serving = tuple(e.id for e in self if e.health is Health.HEALTHY)
        return self._serving
