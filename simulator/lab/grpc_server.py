"""The xDS server over gRPC: ADS and one service for each type, state-of-the-world and delta.

What to answer, and when, is the scripted control plane's business; the protocol's bookkeeping is that of the
simulator's own sessions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from simulator.lab.bootstrap import CALLER_HEADER, Caller
from simulator.lab.network import LOOPBACK
from simulator.lab.streams import END, LabStream, decoded, label_of
from simulator.wire.contract import StreamServer
from simulator.xds.messages import Request

_SERVICE: Final = "/envoy.service."
_SERVICES: Final = (
    ("ads", "discovery.v3.AggregatedDiscoveryService", "AggregatedResources"),
    ("cds", "cluster.v3.ClusterDiscoveryService", "Clusters"),
    ("eds", "endpoint.v3.EndpointDiscoveryService", "Endpoints"),
    ("lds", "listener.v3.ListenerDiscoveryService", "Listeners"),
    ("rds", "route.v3.RouteDiscoveryService", "Routes"),
    ("srds", "route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes"),
    ("sds", "secret.v3.SecretDiscoveryService", "Secrets"),
    ("rtds", "runtime.v3.RuntimeDiscoveryService", "Runtime"),
    ("ecds", "extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"),
)
_METHODS: Final = {
    f"{_SERVICE}{service}/{'Delta' if is_delta else 'Stream'}{what}": (api, is_delta)
    for api, service, what in _SERVICES
    for is_delta in (False, True)
}


class Acceptor(Protocol):
    """The laboratory as the server sees it."""

    def on_attempt(self, caller: Caller, api: str) -> bool:
        """An Envoy tries to open a stream, `ads` or for one type; False refuses it."""

    def stream(self, caller: Caller, *, is_delta: bool, label: str) -> LabStream:
        """A stream, numbered and ready to be written to."""

    def session(self, stream: LabStream) -> StreamServer:
        """The server's end of an accepted stream."""

    def on_request(self, stream: LabStream, request: Request) -> None:
        """A request is about to be handled."""

    def on_closed(self, stream: LabStream) -> None:
        """A stream is over."""

    def fail(self, error: BaseException) -> None:
        """Something broke inside: the play cannot go on."""


class GrpcServer:
    """Serves every Envoy of one play."""

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._server: Any = None

    async def start(self) -> int:
        """Listens; returns the port."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Handlers(self._serve),))
        port: int = self._server.add_insecure_port(f"{LOOPBACK}:0")
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Listens no more, and ends every stream."""
        if self._server is not None:
            await self._server.stop(None)

    async def _serve(self, api: str, is_delta: bool, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        caller = Caller.of(metadata.get(CALLER_HEADER, "0.0"))
        if not self._acceptor.on_attempt(caller, api):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "refused by the scenario")
        call = _Call(self._acceptor, context, caller, api, is_delta)
        try:
            if await call.converse():
                await context.abort(grpc.StatusCode.UNAVAILABLE, "closed by the scenario")
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except Exception as error:
            self._acceptor.fail(error)
            raise
        finally:
            call.end()


class _Call:
    """One stream as long as it lasts."""

    def __init__(self, acceptor: Acceptor, context: Any, caller: Caller, api: str, is_delta: bool) -> None:
        self._acceptor = acceptor
        self._context = context
        self._proxy = caller.proxy
        self._api = api
        self._stream = acceptor.stream(caller, is_delta=is_delta, label=api)
        # A stream for one subscription says which with its first request.
        self._session: StreamServer | None = acceptor.session(self._stream) if api == "ads" else None
        self._reader = asyncio.ensure_future(self._read())

    async def converse(self) -> bool:
        """Until either side ends it; whether the server is to reset it."""
        while True:
            writing = asyncio.ensure_future(self._stream.outbox.get())
            try:
                await asyncio.wait({writing, self._reader}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not writing.done():
                    writing.cancel()
            if not writing.done():
                await self._reader
                return False
            response = writing.result()
            if response is END:
                return True
            await self._context.write(response)

    def end(self) -> None:
        """The stream is over."""
        self._reader.cancel()
        self._stream.is_open = False
        if self._session is not None:
            self._session.on_stream_closed()
            self._acceptor.on_closed(self._stream)

    async def _read(self) -> None:
        while True:
            message = await self._context.read()
            if message is grpc.aio.EOF:
                return
            self._stream.arrive(partial(self._on_request, decoded(message, self._api, self._proxy)))

    def _on_request(self, request: Request) -> None:
        if not self._stream.is_open:
            return
        if self._session is None:
            self._stream.label = label_of(request)
            self._session = self._acceptor.session(self._stream)
        self._stream.note(request)
        self._acceptor.on_request(self._stream, request)
        self._session.on_request(request)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the API of a method by its name: no generated service classes are needed."""

    def __init__(self, serve: Callable[[str, bool, Any], Any]) -> None:
        self._serve = serve

    def service(self, handler_call_details: Any) -> Any:
        """grpc: who handles a call."""
        found = _METHODS.get(handler_call_details.method)
        if found is None:
            return None
        api, is_delta = found

        async def serve(_requests: Any, context: Any) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._serve(api, is_delta, context)

        kind = discovery_pb2.DeltaDiscoveryRequest if is_delta else discovery_pb2.DiscoveryRequest
        return grpc.stream_stream_rpc_method_handler(serve, kind.FromString, lambda encoded: encoded)
