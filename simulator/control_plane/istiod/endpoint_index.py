"""The endpoint index: what istiod knows of endpoints at this instant, and what a change of them calls for.

It changes when the registry's task runs, before any debounce, and EDS is generated from it as it is: a
response may hold endpoints whose push is still to come. One cluster is modelled, so a service has one shard.
Source: pilot/pkg/model/endpointshards.go:UpdateServiceEndpoints, endpointUpdateRequiresPush,
updateShardServiceAccount, deleteServiceInner.
"""

from __future__ import annotations

from enum import Enum

from simulator.mesh.endpoints import EndpointSet, Health

NO_ENDPOINTS = EndpointSet()


class PushType(Enum):
    """What a change of endpoints calls for; the value is the kind of its config key."""

    NONE = ""
    INCREMENTAL = "Endpoints"
    FULL = "ServiceEntry"


class EndpointIndex:
    """Endpoints by service, live.

    Args:
        sends_unhealthy: Endpoints that are not ready are sent too (PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS).
    """

    __slots__ = ("_accounts", "_sends_unhealthy", "_shards")

    def __init__(self, sends_unhealthy: bool) -> None:
        self._sends_unhealthy = sends_unhealthy
        self._shards: dict[str, EndpointSet | None] = {}
        self._accounts: dict[str, frozenset[str]] = {}

    def endpoints(self, service: str) -> EndpointSet:
        """The service's endpoints at this instant: the set last given, empty for an unknown service."""
        return self._shards.get(service) or NO_ENDPOINTS

    def accounts(self, service: str) -> frozenset[str]:
        """The service accounts of its endpoints, of those it had last if it has none."""
        return self._accounts.get(service, frozenset())

    def update(self, service: str, endpoints: EndpointSet) -> PushType:
        """Takes the whole set of a service's endpoints; what of it calls for a push.

        Whatever the answer, entries of the XDS cache that hold the service are out of date from now.
        """
        if not endpoints:
            # The key stays, and with it the service accounts: a service that goes to 0 and comes back is
            # nothing new.
            if service in self._shards:
                self._shards[service] = None
            return PushType.INCREMENTAL
        is_new = service not in self._shards
        old = self._shards.get(service)
        self._shards[service] = endpoints
        accounts_differ = self._update_accounts(service, endpoints)
        if is_new or accounts_differ:
            return PushType.FULL
        return PushType.INCREMENTAL if self._requires_push(old, endpoints) else PushType.NONE

    def delete_service(self, service: str) -> None:
        """The Service was deleted: its key goes as well, and it would be a new one if it came back."""
        self._shards.pop(service, None)
        self._accounts.pop(service, None)

    def _update_accounts(self, service: str, endpoints: EndpointSet) -> bool:
        """Whether the accounts of its endpoints are others than before: they are part of its clusters."""
        accounts = frozenset(account for account in endpoints.service_accounts if account)
        if accounts == self._accounts.get(service, frozenset()):
            return False
        self._accounts[service] = accounts
        return True

    def _requires_push(self, old: EndpointSet | None, new: EndpointSet) -> bool:
        if old is None:
            return True
        for endpoint in new:
            known = old.get(endpoint.id)
            if known is None:
                if endpoint.health is not Health.UNHEALTHY or self._sends_unhealthy:
                    return True
            elif known != endpoint:
                return True
        return any(endpoint.id not in new for endpoint in old)
