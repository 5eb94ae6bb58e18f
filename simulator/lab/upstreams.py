"""Tiny servers behind Envoy: endpoints that answer requests and health checks, and a DNS resolver."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable

from simulator.lab.loopback_server import LoopbackServer
from simulator.lab.network import HEALTH_PATH, LOOPBACK, held_s


class Upstream:
    """An HTTP/1.1 server that answers every request with 200, in full when its path says.

    Args:
        health_status: What a health check gets.
        health_delay_s: How long it waits for that; None for ever.
    """

    def __init__(self, health_status: Callable[[], int], health_delay_s: Callable[[], float | None]) -> None:
        self._health_status = health_status
        self._health_delay_s = health_delay_s
        self._server = LoopbackServer(self._serve)

    async def start(self) -> int:
        """Listens; returns the port."""
        return await self._server.start()

    async def stop(self) -> None:
        """Listens no more, and drops every connection."""
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, path = 200, head.split(b" ", 2)[1].decode("latin-1")
                if path == HEALTH_PATH:
                    delay_s = self._health_delay_s()
                    await asyncio.sleep(3600 if delay_s is None else delay_s)
                    status = self._health_status()
                answer = b"HTTP/1.1 %d Said\r\ncontent-length: 2\r\n\r\nok" % status
                if hold_s := held_s(path):
                    writer.write(answer[:-2])
                    await asyncio.sleep(hold_s)
                    answer = answer[-2:]
                writer.write(answer)


class Resolver(asyncio.DatagramProtocol):
    """A DNS server that gives 127.0.0.1 for every name, after a delay, or nothing ever."""

    def __init__(self, delay_s: Callable[[], float | None]) -> None:
        self._delay_s = delay_s
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> int:
        """Listens; returns the port."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(LOOPBACK, 0))
        self._transport = transport
        port: int = transport.get_extra_info("sockname")[1]
        return port

    def stop(self) -> None:
        """Listens no more."""
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """asyncio: a question."""
        delay_s = self._delay_s()
        if delay_s is not None:
            asyncio.get_running_loop().call_later(delay_s, self._answer, data, addr)

    def _answer(self, question: bytes, address: tuple[str | object, int]) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        end = question.index(b"\0", 12) + 5
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + bytes((127, 0, 0, 1))
        head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
        self._transport.sendto(head + question[12:end] + answer, address)
