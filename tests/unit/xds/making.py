"""Short ways to write resources and messages in tests."""

from __future__ import annotations

from simulator.xds.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from simulator.xds.resource_types import EDS, ResourceType
from simulator.xds.resources import Fault, Names, Resource, Resources


def held(*names: str, revision: int = 1, fault: Fault | None = None, body: object = None) -> Resources:
    """Resources of these names in one revision."""
    return Resources(Resource(name, revision, body, size_bytes=10, fault=fault) for name in names)


def names(*given: str) -> Names:
    """These names."""
    return Names(given)


def response(nonce: str, version: str = "1", *given: str, type_: ResourceType = EDS) -> DiscoveryResponse:
    """A state-of-the-world response."""
    return DiscoveryResponse(type_, version, nonce, held(*given))


def request(
    nonce: str = "", version: str = "", *given: str, error: str | None = None, type_: ResourceType = EDS
) -> DiscoveryRequest:
    """A state-of-the-world request."""
    return DiscoveryRequest(type_, Names(given), version, nonce, error)


def delta_response(
    nonce: str, *given: str, revision: int = 1, removed: tuple[str, ...] = (), type_: ResourceType = EDS
) -> DeltaDiscoveryResponse:
    """A delta response."""
    return DeltaDiscoveryResponse(type_, "1", nonce, held(*given, revision=revision), Names(removed))


def delta_request(
    nonce: str = "",
    subscribe: tuple[str, ...] = (),
    unsubscribe: tuple[str, ...] = (),
    error: str | None = None,
    initial: Resources | None = None,
    type_: ResourceType = EDS,
) -> DeltaDiscoveryRequest:
    """A delta request."""
    return DeltaDiscoveryRequest(
        type_, Names(subscribe), Names(unsubscribe), initial or Resources(), nonce, error
    )
