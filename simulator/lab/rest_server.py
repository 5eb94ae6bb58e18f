"""The xDS server over REST: ``POST /v3/discovery:clusters`` and its siblings; 304 where nothing is new."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf import json_format

from simulator.lab.bootstrap import EPOCH_KEY
from simulator.lab.loopback_server import LoopbackServer
from simulator.lab.network import PATHS
from simulator.lab.protobufs import Builder
from simulator.lab.streams import encoded
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resources import Names


class PollHandler(Protocol):
    """The laboratory as the server sees it."""

    def proxy_named(self, node: str) -> int:
        """The number of the Envoy with that node id."""

    def builder(self, proxy: int) -> Builder:
        """Builds protobufs for it."""

    def on_poll(
        self, request: DiscoveryRequest, respond: Callable[[DiscoveryResponse | None], None], epoch: int
    ) -> bool:
        """Takes a request of the Envoy's process with this restart epoch; False if the connection is to fail.
        `respond` may never be called."""

    def fail(self, error: BaseException) -> None:
        """Something broke inside: the play cannot go on."""


class RestServer:
    """Answers the polls of every Envoy of one play."""

    def __init__(self, handler: PollHandler) -> None:
        self._handler = handler
        self._server = LoopbackServer(self._serve)

    async def start(self) -> int:
        """Listens; returns the port."""
        return await self._server.start()

    async def stop(self) -> None:
        """Listens no more, and drops every connection."""
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._exchange(reader, writer):
                    pass
        except Exception as error:
            self._handler.fail(error)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False if the connection is to be closed."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        body = await reader.readexactly(_content_length(head))
        type_ = PATHS[head.split(" ", 2)[1]]
        asked = json.loads(body or b"{}")
        node = asked.get("node", {})
        proxy = self._handler.proxy_named(node.get("id", ""))
        epoch = node.get("metadata", {}).get(EPOCH_KEY, 0)
        request = DiscoveryRequest(
            type_,
            Names(sorted(_either(asked, "resource_names", "resourceNames") or [])),
            _either(asked, "version_info", "versionInfo") or "",
            node=proxy,
        )
        answer: asyncio.Future[DiscoveryResponse | None] = asyncio.get_running_loop().create_future()

        def respond(response: DiscoveryResponse | None) -> None:
            if not answer.done():
                answer.set_result(response)

        if not self._handler.on_poll(request, respond, int(epoch)):
            return False
        writer.write(_answer(await answer, self._handler.builder(proxy)))
        await writer.drain()
        return True


def _answer(response: DiscoveryResponse | None, build: Builder) -> bytes:
    if response is None:
        return b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n"
    message: Any = encoded(response, build)
    body: bytes = json_format.MessageToJson(message).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


def _either(asked: dict[str, Any], snake: str, camel: str) -> Any:
    return asked.get(snake, asked.get(camel))
