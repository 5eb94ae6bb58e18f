"""Readers of a running Envoy over HTTP: readiness, and what becomes of requests through a listener."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from simulator.engine.events import Clock
from simulator.lab.network import LOOPBACK, hold_path
from simulator.lab.playable import MOST_UNDER_WAY
from simulator.recording.recorder import Recorder

READY_PERIOD_S: Final = 0.01

_ANSWER_TIMEOUT_S: Final = 5.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def get(
    port: int, path: str, connection: Connection | None = None, method: str = "GET"
) -> tuple[int, str, Connection | None]:
    """One HTTP/1.1 request; status, body, and the connection unless the other side closes it.

    Raises OSError where nobody listens, TimeoutError and asyncio.IncompleteReadError where nobody answers.
    """
    if connection is None:
        connection = await asyncio.open_connection(LOOPBACK, port, limit=1 << 24)
    try:
        return await asyncio.wait_for(_get(path, connection, method), _ANSWER_TIMEOUT_S)
    except BaseException:
        connection[1].close()
        raise


async def _get(path: str, connection: Connection, method: str) -> tuple[int, str, Connection | None]:
    reader, writer = connection
    length = "content-length: 0\r\n" if method == "POST" else ""
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: xdsim\r\n{length}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if "\r\ntransfer-encoding: chunked" in head:
        body = await _chunks(reader)
    else:
        body = await reader.readexactly(_length(head))
    if "\r\nconnection: close" in head:
        writer.close()
        return int(head.split(" ", 2)[1]), body.decode("utf-8", "replace"), None
    return int(head.split(" ", 2)[1]), body.decode("utf-8", "replace"), connection


def _length(head: str) -> int:
    found = [line for line in head.split("\r\n") if line.startswith("content-length:")]
    return int(found[0].partition(":")[2]) if found else 0


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def wait_until_ready(admin_port: int, is_ready: Callable[[], bool]) -> None:
    """Asks ``/ready`` until `is_ready`, called at each 200, says that this is enough."""
    connection: Connection | None = None
    try:
        while True:
            try:
                status, _, connection = await get(admin_port, "/ready", connection)
                if status == 200 and is_ready():
                    return
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                connection = None
            await asyncio.sleep(READY_PERIOD_S)
    finally:
        if connection is not None:
            connection[1].close()


async def stats(admin_port: int, pattern: str) -> dict[str, int]:
    """Counters and gauges of an Envoy whose names match a regular expression."""
    _, body, connection = await get(admin_port, f"/stats?format=json&filter={quote(pattern)}")
    if connection is not None:
        connection[1].close()
    return {found["name"]: found["value"] for found in json.loads(body)["stats"] if "value" in found}


async def runtime_layer(admin_port: int, layer: str) -> dict[str, str]:
    """What one layer of an Envoy's runtime holds, by key, as it writes the values."""
    _, body, connection = await get(admin_port, "/runtime?format=json")
    if connection is not None:
        connection[1].close()
    told = json.loads(body)
    place = told["layers"].index(layer)
    return {key: entry["layer_values"][place] for key, entry in told["entries"].items()}


async def config_dump(admin_port: int) -> str:
    """What an Envoy says it is configured with, as JSON text."""
    _, body, connection = await get(admin_port, "/config_dump")
    if connection is not None:
        connection[1].close()
    return body


def outcome_of(status: int, body: str) -> str:
    """What became of a request, in Envoy's response flags as far as a client can tell them."""
    if status == 404:
        return "NR"
    if status != 503:
        return str(status)
    if "no healthy upstream" in body:
        return "UH"
    if "connection failure" in body or "connection_failure" in body:
        return "UF"
    return "UC" if "upstream" in body else "NC"


@dataclass(slots=True)
class _Span:
    """Requests in a row that met the same."""

    begin_ns: int
    end_ns: int
    outcome: str
    requests: int = 0


class TrafficProbe:
    """Sends requests to a listener at a steady rate and records spans of equal outcomes.

    Each stands for the period around it. One that takes `request_ns` is answered at once and ends then,
    unless it is cut before. Staleness is not judged: a client cannot see which version of a route answered.
    """

    def __init__(
        self, clock: Clock, proxy: int, service: str, port: int, *, is_kept: bool, request_ns: int = 0
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._service = service
        self._port = port
        self._is_kept = is_kept
        self._request_ns = request_ns
        self._kept: Connection | None = None
        self._seen: list[tuple[int, str]] = []
        self._asking: dict[asyncio.Task[None], None] = {}

    async def run(self, begin_ns: int, until_ns: int, period_ns: int) -> None:
        """Sends until `until_ns`."""
        next_ns = begin_ns + period_ns // 2
        while next_ns < until_ns:
            await asyncio.sleep(max(0, next_ns - self._clock.now_ns) / 1e9)
            if len(self._asking) < (1 if self._is_kept else MOST_UNDER_WAY):
                task = asyncio.ensure_future(self._ask())
                self._asking[task] = None
                task.add_done_callback(lambda done: self._asking.pop(done, None))
            next_ns += period_ns

    async def _ask(self) -> None:
        sent_ns = self._clock.now_ns
        connection, self._kept = self._kept, None
        try:
            if self._request_ns:
                outcome, connection = await self._held(connection)
            else:
                status, body, connection = await get(self._port, "/", connection)
                outcome = outcome_of(status, body)
        except ConnectionRefusedError:
            outcome, connection = "refused", None
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            outcome, connection = "refused", None
        if connection is not None and self._is_kept:
            self._kept = connection
        elif connection is not None:
            connection[1].close()
        self._seen.append((sent_ns, outcome))

    async def _held(self, connection: Connection | None) -> tuple[str, Connection | None]:
        """A request that lasts: what became of it when it ends, or when nobody waits any longer."""
        if connection is None:
            connection = await asyncio.open_connection(LOOPBACK, self._port)
        reader, writer = connection
        try:
            writer.write(f"GET {hold_path(self._request_ns)} HTTP/1.1\r\nhost: xdsim\r\n\r\n".encode())
            read = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _ANSWER_TIMEOUT_S)
            head = read.decode("latin-1").lower()
            status = int(head.split(" ", 2)[1])
            try:
                body = await asyncio.wait_for(
                    reader.readexactly(_length(head)), self._request_ns / 1e9 + _ANSWER_TIMEOUT_S
                )
            except asyncio.CancelledError:
                writer.close()
                return str(status), None  # The play is over, and it was going well.
            except (OSError, asyncio.IncompleteReadError):
                writer.close()
                return "UC", None
        except BaseException:
            writer.close()
            raise
        is_closed = "\r\nconnection: close" in head
        return outcome_of(status, body.decode("utf-8", "replace")), None if is_closed else connection

    async def stop(self) -> None:
        """Asks no more."""
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._kept is not None:
            self._kept[1].close()

    def finish(self, recorder: Recorder) -> None:
        """Writes the rows."""
        spans: list[_Span] = []
        for sent_ns, outcome in sorted(self._seen):
            if not spans or spans[-1].outcome != outcome:
                spans.append(_Span(sent_ns, sent_ns, outcome))
            spans[-1].end_ns = sent_ns + 1
            spans[-1].requests += 1
        for span, following in zip(spans, [*spans, None][1:], strict=True):
            end_ns = span.end_ns if following is None else following.begin_ns
            recorder.traffic(
                span.begin_ns,
                end_ns,
                self._proxy,
                self._service,
                span.outcome,
                False,
                float(span.requests),
                float(span.requests),
            )
