"""State-of-the-world rules: the client's record of one type, and the server's.

Sources: Envoy docs/root/api-docs/xds_protocol.rst ("ACK/NACK and resource type instance version", "Resource
updates"); source/extensions/config_subscription/grpc/grpc_mux_impl.cc; Envoy 1.40 measurements N2, D5, W4.
"""

from __future__ import annotations

from enum import Enum, auto

from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


class RequestKind(Enum):
    """What a request means to the server that reads it."""

    SUBSCRIBE = auto()
    """The first request of its type on the stream."""
    RESUBSCRIBE = auto()
    """It adds names (and may carry an ACK or NACK besides)."""
    UNSUBSCRIBE = auto()
    """It only drops names (and may carry an ACK or NACK besides)."""
    ACK = auto()
    NACK = auto()
    REPEAT = auto()
    """Same names, a nonce already answered: Envoy does this when a changed EDS cluster warms (W4)."""
    STALE = auto()
    """It answers an older response than the last one sent; to be ignored."""


class SotwClientState:
    """What a client remembers of one type.

    ``version_info`` survives a broken stream and is sent again; ``nonce`` and a pending error do not.
    """

    __slots__ = ("error_detail", "nonce", "type", "version_info")

    def __init__(self, type_: ResourceType) -> None:
        self.type = type_
        self.version_info = ""
        self.nonce = ""
        self.error_detail: str | None = None

    def accept(self, response: DiscoveryResponse) -> None:
        """The response was applied: the next request is its ACK."""
        self.version_info = response.version_info
        self.nonce = response.nonce

    def reject(self, response: DiscoveryResponse, error: str) -> None:
        """The response was refused: the next request is its NACK, with the version accepted before."""
        self.nonce = response.nonce
        self.error_detail = error

    def stream_broken(self) -> None:
        """Nonces live and die with a stream."""
        self.nonce = ""
        self.error_detail = None

    def request(self, names: Names, node: int) -> DiscoveryRequest:
        """The request that says all this; an error is said once."""
        error, self.error_detail = self.error_detail, None
        return DiscoveryRequest(self.type, names, self.version_info, self.nonce, error, node)


class SotwServerRecord:
    """What a server remembers of one type on one stream: the client's subscription and what it was sent."""

    __slots__ = ("acked_nonces", "error_detail", "is_open", "names", "nonce_sent", "type", "version_acked")

    def __init__(self, type_: ResourceType) -> None:
        self.type = type_
        self.is_open = False
        self.names = NO_NAMES
        self.nonce_sent = ""
        self.version_acked = ""
        self.error_detail: str | None = None
        self.acked_nonces: dict[str, None] = {}

    def on_sent(self, response: DiscoveryResponse) -> None:
        """A response left."""
        self.nonce_sent = response.nonce

    def on_request(self, request: DiscoveryRequest) -> tuple[RequestKind, Names]:
        """Takes the request into the record.

        Returns:
            Its meaning, and the names it adds (all of them for the first request).
        """
        if not self.is_open:
            self.is_open = True
            self.names = request.resource_names
            self.version_acked = request.version_info
            return RequestKind.SUBSCRIBE, request.resource_names
        if request.response_nonce != self.nonce_sent:
            return RequestKind.STALE, NO_NAMES
        is_repeat = request.response_nonce in self.acked_nonces or not request.response_nonce
        if request.response_nonce:
            self.acked_nonces = {request.response_nonce: None}
        self.error_detail = request.error_detail
        if request.error_detail is None:
            self.version_acked = request.version_info
        before, self.names = self.names, request.resource_names
        added = request.resource_names.minus(before)
        if added:
            return RequestKind.RESUBSCRIBE, added
        if len(before) != len(request.resource_names):
            return RequestKind.UNSUBSCRIBE, NO_NAMES
        if request.error_detail is not None:
            return RequestKind.NACK, NO_NAMES
        return (RequestKind.REPEAT if is_repeat else RequestKind.ACK), NO_NAMES
