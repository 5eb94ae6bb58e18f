"""gRPC streams of real Envoys, as the simulator's own sessions see a stream.

The sessions of propagation/push.py keep subscriptions, nonces and what was sent; here their messages become
protobufs and protobufs become messages. Messages are noted where the control plane sees them, as in
wire/stream.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from envoy.service.discovery.v3 import discovery_pb2

from simulator.engine.events import Clock
from simulator.lab.protobufs import Builder, Message, packed
from simulator.recording.recorder import Recorder
from simulator.wire.link import Link
from simulator.wire.stream import note_message
from simulator.xds.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    Request,
    Response,
)
from simulator.xds.resource_types import RESOURCE_TYPES, ResourceType
from simulator.xds.resources import Names, Resource, Resources

_TYPES: Final = {type_.type_url: type_ for type_ in RESOURCE_TYPES.values()}

END: Final = None
"""What `LabStream.outbox` holds last."""


class LabStream:
    """One stream a real Envoy opened.

    Attributes:
        epoch: Of the process that opened it.
        label: `ads`, or the type and name of the one subscription the stream is for.
        outbox: Serialised responses to be written; `END` when the stream is to be reset.
        on_sent: Told of every response that leaves.

    `links`, to the server and to the client, add the scenario's latency to that of loopback.
    """

    replica = 0

    def __init__(
        self,
        clock: Clock,
        recorder: Recorder,
        build: Builder,
        proxy: int,
        stream_id: int,
        *,
        is_delta: bool,
        label: str,
        on_sent: Callable[[Response], None],
        epoch: int = 0,
        links: tuple[Link, Link] | None = None,
    ) -> None:
        self._clock = clock
        self._links = links
        self._recorder = recorder
        self._build = build
        self.proxy = proxy
        self.epoch = epoch
        self.id = stream_id
        self.is_delta = is_delta
        self.label = label
        self.is_open = True
        self.outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.on_sent = on_sent

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the first Envoy was started."""
        return self._clock.now_ns

    def note(self, message: Request | Response) -> None:
        """Writes a message down."""
        note_message(self._recorder, self.now_ns, self.proxy, self.id, message, self.replica)

    def send_response(self, response: Response) -> None:
        """Server to client."""
        assert self.is_open, "a response on a closed stream"
        self.note(response)
        self.on_sent(response)
        self._leave(encoded(response, self._build).SerializeToString())

    def _leave(self, message: bytes | None) -> None:
        """Puts a message on its way to the client."""
        if self._links is None:
            self.outbox.put_nowait(message)
        else:
            arrival_ns = self._links[1].arrival_ns(self.now_ns)
            self._clock.at(arrival_ns, lambda: self.outbox.put_nowait(message))

    def arrive(self, handle: Callable[[], None]) -> None:
        """Handles a request that the client sent just now."""
        if self._links is None:
            handle()
        else:
            self._clock.at(self._links[0].arrival_ns(self.now_ns), handle)

    def reset_by_server(self) -> None:
        """The server ends the stream, behind what it sent."""
        if self.is_open:
            self.is_open = False
            self._leave(END)


def encoded(response: Response, build: Builder) -> Message:
    """The protobuf of a response."""
    type_ = response.type
    if isinstance(response, DeltaDiscoveryResponse):
        return discovery_pb2.DeltaDiscoveryResponse(
            type_url=type_.type_url,
            nonce=response.nonce,
            system_version_info=response.system_version_info,
            removed_resources=list(response.removed_resources),
            resources=[
                discovery_pb2.Resource(
                    name=resource.name,
                    version=resource.version,
                    resource=packed(build.message(type_, resource)),
                )
                for resource in response.resources
            ],
        )
    return discovery_pb2.DiscoveryResponse(
        type_url=type_.type_url,
        nonce=response.nonce,
        version_info=response.version_info,
        resources=[packed(build.message(type_, resource)) for resource in response.resources],
    )


def decoded(message: Any, api: str, proxy: int) -> Request:
    """The request in a protobuf; `api` is the short type name of a stream that serves one type."""
    type_ = _type_of(message.type_url, api)
    error = message.error_detail.message if message.HasField("error_detail") else None
    if isinstance(message, discovery_pb2.DeltaDiscoveryRequest):
        held = message.initial_resource_versions
        return DeltaDiscoveryRequest(
            type_,
            Names(sorted(message.resource_names_subscribe)),
            Names(sorted(message.resource_names_unsubscribe)),
            Resources(Resource(name, int(held[name]), None) for name in sorted(held)),
            message.response_nonce,
            error,
            proxy,
        )
    return DiscoveryRequest(
        type_,
        Names(sorted(message.resource_names)),
        message.version_info,
        message.response_nonce,
        error,
        proxy,
    )


def label_of(request: Request) -> str:
    """The label of a separate stream, by its first request."""
    if isinstance(request, DiscoveryRequest):
        names = request.resource_names
    else:
        names = request.resource_names_subscribe
    name = next(iter(names), "")
    return f"{request.type.name}/{name}" if name else request.type.name


def _type_of(type_url: str, api: str) -> ResourceType:
    return _TYPES[type_url] if type_url in _TYPES else RESOURCE_TYPES[api]
