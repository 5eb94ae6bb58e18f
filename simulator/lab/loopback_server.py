"""A server on a free port of loopback that leaves no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from simulator.lab.network import LOOPBACK

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LoopbackServer:
    """See the module.

    Args:
        serve: Serves one connection to its end; it is cancelled when the server stops.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], None] = {}

    async def start(self) -> int:
        """Listens; returns the port."""
        self._server = await asyncio.start_server(self._connected, LOOPBACK, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Listens no more, and drops every connection."""
        if self._server is not None:
            self._server.close()
        serving = list(self._open)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = None
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of a play cuts it off: no error, and nobody awaits this task
        finally:
            del self._open[task]
            writer.close()
