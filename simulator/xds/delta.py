"""Incremental (delta) rules: the client's record of one type, and the server's.

Sources: Envoy docs/root/api-docs/xds_protocol.rst ("Incremental xDS");
source/extensions/config_subscription/grpc/delta_subscription_state.cc and new_grpc_mux_impl.cc;
Envoy 1.40 measurements N2, D5, W4, T7.
"""

from __future__ import annotations

from simulator.xds.messages import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Names, Resources
from simulator.xds.sotw import RequestKind


class DeltaClientState:
    """What a client remembers of one type.

    ``held`` (name to version) survives a broken stream and is sent as ``initial_resource_versions``;
    the subscription differences not yet sent do not: the first request of a stream names everything.
    """

    __slots__ = ("has_update", "held", "interest", "is_first_request", "subscribe", "type", "unsubscribe")

    def __init__(self, type_: ResourceType) -> None:
        self.type = type_
        self.held = NO_RESOURCES
        self.interest = NO_NAMES
        self.subscribe = NO_NAMES
        self.unsubscribe = NO_NAMES
        self.is_first_request = True
        self.has_update = type_.wildcard
        """Whether a plain (not ACK) request is due."""

    def add_interest(self, names: Names) -> None:
        """Only names without interest so far become part of the next request (W4: a changed cluster's do
        not)."""
        added = names.minus(self.interest)
        self.interest = self.interest.union(added)
        self.subscribe = self.subscribe.union(added)
        self.unsubscribe = self.unsubscribe.minus(added)
        self._see_what_is_due()

    def drop_interest(self, names: Names) -> None:
        """The last watch of these names is gone. Names never asked for are unsubscribed as well: Envoy does
        not tell them from names dropped and wanted again (delta_subscription_state.cc)."""
        self.interest = self.interest.minus(names)
        self.subscribe = self.subscribe.minus(names)
        self.unsubscribe = self.unsubscribe.union(names)
        self.held = self.held.without(names)
        self._see_what_is_due()

    def _see_what_is_due(self) -> None:
        opens_type = self.is_first_request and (self.type.wildcard or bool(self.interest))
        self.has_update = opens_type or bool(self.subscribe) or bool(self.unsubscribe)

    def accept(self, response: DeltaDiscoveryResponse) -> None:
        """Versions are recorded only for a response accepted as a whole, and only for what is wanted."""
        wanted = response.resources if self.type.wildcard else response.resources.only(self.interest)
        self.held = self.held.updated(wanted).without(response.removed_resources)

    def stream_broken(self) -> None:
        """The next request opens a new stream."""
        self.is_first_request = True
        self._see_what_is_due()

    def request(self, nonce: str, error: str | None, node: int) -> DeltaDiscoveryRequest:
        """The next request; it carries the pending subscription difference whether or not it is an ACK."""
        if self.is_first_request:
            subscribe, unsubscribe, versions = self.interest, NO_NAMES, self.held
        else:
            subscribe, unsubscribe, versions = self.subscribe, self.unsubscribe, NO_RESOURCES
        self.is_first_request = self.has_update = False
        self.subscribe = self.unsubscribe = NO_NAMES
        return DeltaDiscoveryRequest(self.type, subscribe, unsubscribe, versions, nonce, error, node)


class DeltaServerRecord:
    """What a server remembers of one type on one stream."""

    __slots__ = ("error_detail", "is_open", "is_wildcard", "names", "sent", "type", "unanswered")

    def __init__(self, type_: ResourceType) -> None:
        self.type = type_
        self.is_open = False
        self.is_wildcard = False
        self.names = NO_NAMES
        self.sent: Resources = NO_RESOURCES
        """What the client holds as far as the server knows."""
        self.unanswered: dict[str, None] = {}
        """Nonces sent and neither ACKed nor NACKed."""
        self.error_detail: str | None = None

    def on_sent(self, response: DeltaDiscoveryResponse) -> None:
        """A response left."""
        self.sent = self.sent.updated(response.resources).without(response.removed_resources)
        self.unanswered[response.nonce] = None

    def on_request(self, request: DeltaDiscoveryRequest) -> tuple[RequestKind, Names]:
        """Takes the request into the record; its meaning, and the names it adds."""
        is_first, self.is_open = not self.is_open, True
        if is_first:
            self.is_wildcard = self.type.wildcard and not request.resource_names_subscribe
            self.sent = request.initial_resource_versions
        unknown_nonce = bool(request.response_nonce) and request.response_nonce not in self.unanswered
        self.unanswered.pop(request.response_nonce, None)
        self.error_detail = request.error_detail
        self.names = self.names.union(request.resource_names_subscribe).minus(
            request.resource_names_unsubscribe
        )
        self.sent = self.sent.without(request.resource_names_unsubscribe)
        if is_first:
            return RequestKind.SUBSCRIBE, request.resource_names_subscribe
        if request.resource_names_subscribe:
            return RequestKind.RESUBSCRIBE, request.resource_names_subscribe
        if request.resource_names_unsubscribe:
            return RequestKind.UNSUBSCRIBE, NO_NAMES
        if unknown_nonce:
            return RequestKind.STALE, NO_NAMES
        return (RequestKind.NACK if request.error_detail is not None else RequestKind.ACK), NO_NAMES
