"""Push over gRPC, the server's end: one session for each stream, state-of-the-world or delta.

A session keeps what the protocol must know (subscriptions, nonces, what was sent) and leaves to the control
plane what to answer and when. The client's end is envoy/ads_mux.py.
Source: docs/root/api-docs/xds_protocol.rst.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

from simulator.recording.ledger import ChangeLedger, Sender
from simulator.wire.contract import Publisher, ServerEnd
from simulator.xds.delta import DeltaServerRecord
from simulator.xds.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
    Request,
)
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names, Resources
from simulator.xds.sotw import RequestKind, SotwServerRecord

_R = TypeVar("_R", SotwServerRecord, DeltaServerRecord)


class _Session(Generic[_R]):
    """What both sessions share."""

    is_delta = False

    def __init__(self, stream: ServerEnd, publisher: Publisher, ledger: ChangeLedger[Names]) -> None:
        self.proxy = stream.proxy
        self.label = stream.label
        self._stream = stream
        self._publisher = publisher
        self._ledger = ledger
        self._records: dict[ResourceType, _R] = {}
        self._nonces = 0
        self._carried: dict[str, tuple[int, ...]] = {}
        self.last_error: str | None = None
        """Error text of the last request; None unless it was a NACK."""

    @property
    def is_open(self) -> bool:
        """Whether the stream still exists."""
        return self._stream.is_open

    def is_subscribed(self, type_: ResourceType) -> bool:
        """Whether the stream ever asked for the type."""
        return type_ in self._records

    def names(self, type_: ResourceType) -> Names:
        """Names subscribed now; empty for a wildcard type."""
        record = self._records.get(type_)
        return NO_NAMES if record is None else record.names

    def reset(self) -> None:
        """Ends the stream."""
        self._stream.reset_by_server()

    def on_stream_closed(self) -> None:
        """The stream ended, by whomever."""
        self._publisher.on_session_closed(self)

    def on_request(self, request: Request) -> None:
        """Reads the request; a subscription goes to the control plane."""
        kind, added = self._read(request)
        self.last_error = request.error_detail
        if kind is not RequestKind.STALE and request.response_nonce:
            self._answered(request.response_nonce, is_ack=request.error_detail is None)
        if request.response_nonce:
            self._publisher.on_answer(self, request.type, kind)
        if kind in (RequestKind.SUBSCRIBE, RequestKind.RESUBSCRIBE):
            self._publisher.on_subscription(self, request.type, added)

    def _answered(self, nonce: str, *, is_ack: bool) -> None:
        carried = self._carried.pop(nonce, ())
        if carried and is_ack:
            self._ledger.on_acked(carried, self.proxy, self._stream.now_ns)

    def _next_nonce(self, changes: tuple[int, ...]) -> str:
        self._nonces += 1
        nonce = f"n{self._stream.id}.{self._nonces}"
        if changes:
            self._carried[nonce] = changes
        return nonce

    def _changes(self, type_: ResourceType, names: Names, carrier: str | Sender[Names]) -> tuple[int, ...]:
        # A delta answer to a wildcard subscription also brings its client up to date as a whole.
        states_all = type_.wildcard and carrier != "push" if self.is_delta else type_.states_all
        covered = None if states_all else names
        if isinstance(carrier, str):
            return self._ledger.carry(self.proxy, type_.name, covered, self._stream.now_ns, carrier)
        return self._ledger.carry_in(carrier, self.proxy, type_.name, covered)

    @abstractmethod
    def held(self, type_: ResourceType) -> Resources:
        """What the client holds as far as the server knows (delta only)."""

    @abstractmethod
    def send(
        self,
        type_: ResourceType,
        version: str,
        resources: Resources,
        removed: Names,
        carrier: str | Sender[Names],
    ) -> None:
        """Sends a response."""

    @abstractmethod
    def _read(self, request: Request) -> tuple[RequestKind, Names]: ...


class SotwSession(_Session[SotwServerRecord]):
    """State of the world: an ACK answers the last response of its type, so it answers all before it too."""

    def asked_again(self) -> list[DiscoveryRequest]:
        """The requests with which the client would begin another stream now, in order (rule D5); which
        version it has accepted is left out."""
        return [DiscoveryRequest(type_, record.names) for type_, record in self._records.items()]

    def held(self, type_: ResourceType) -> Resources:
        """SotW servers do not track what the client holds."""
        raise AssertionError("a SotW session does not know what its client holds")

    def _read(self, request: Request) -> tuple[RequestKind, Names]:
        assert isinstance(request, DiscoveryRequest)
        record = self._records.get(request.type)
        if record is None:
            record = self._records[request.type] = SotwServerRecord(request.type)
        return record.on_request(request)

    def send(
        self,
        type_: ResourceType,
        version: str,
        resources: Resources,
        removed: Names,
        carrier: str | Sender[Names],
    ) -> None:
        """Sends the state; what is removed is just absent."""
        changes = self._changes(type_, resources.names.union(removed), carrier)
        record = self._records[type_]
        unacked = self._carried.pop(record.nonce_sent, ())
        nonce = self._next_nonce(tuple(dict.fromkeys((*changes, *unacked))))
        response = DiscoveryResponse(type_, version, nonce, resources, changes)
        record.on_sent(response)
        self._stream.send_response(response)


class DeltaSession(_Session[DeltaServerRecord]):
    """Delta: one ACK for each response."""

    is_delta = True

    def held(self, type_: ResourceType) -> Resources:
        """What the client holds as far as the server knows."""
        return self._records[type_].sent

    def asked_again(self) -> list[DeltaDiscoveryRequest]:
        """The requests with which the client would begin another stream now, in order (rule D5)."""
        return [
            DeltaDiscoveryRequest(type_, record.names, initial_resource_versions=record.sent)
            for type_, record in self._records.items()
        ]

    def _read(self, request: Request) -> tuple[RequestKind, Names]:
        assert isinstance(request, DeltaDiscoveryRequest)
        record = self._records.get(request.type)
        if record is None:
            record = self._records[request.type] = DeltaServerRecord(request.type)
        return record.on_request(request)

    def send(
        self,
        type_: ResourceType,
        version: str,
        resources: Resources,
        removed: Names,
        carrier: str | Sender[Names],
    ) -> None:
        """Sends differences."""
        changes = self._changes(type_, resources.names.union(removed), carrier)
        response = DeltaDiscoveryResponse(
            type_, version, self._next_nonce(changes), resources, removed, changes
        )
        self._records[type_].on_sent(response)
        self._stream.send_response(response)
