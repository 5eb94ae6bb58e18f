"""Who takes the connections of real Envoys: each request is handed to the simulator's own control plane.

It is what the servers ask (grpc_server.Acceptor, rest_server.PollHandler).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from simulator.control_plane.scripted import ScriptedControlPlane
from simulator.engine.delays import Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.lab.bootstrap import Caller
from simulator.lab.played_envoy import PlayedEnvoy, PlayedProcess
from simulator.lab.probe import stats
from simulator.lab.protobufs import Builder
from simulator.lab.streams import LabStream
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.recording.ledger import ChangeLedger
from simulator.recording.recorder import Recorder
from simulator.wire.contract import StreamServer
from simulator.wire.link import Link
from simulator.wire.stream import note_message
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse, Request, Response
from simulator.xds.resource_types import RDS
from simulator.xds.resources import Names

_LOOK_PERIOD_S: Final = 0.002
_MOST_LOOKS: Final = 250


class Watch(Protocol):
    """Who watches the Envoys of a play."""

    def read_log(self, process: PlayedProcess) -> None:
        """Take note of what its log says by now."""

    def subscribed(self, envoy: PlayedEnvoy) -> None:
        """It has made its first subscription, if not before."""

    def attempted(self, envoy: PlayedEnvoy, api: str) -> None:
        """It tries to open a stream, `ads` or for one type."""

    def fail(self, error: BaseException) -> None:
        """Something broke inside: the play cannot go on."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this until the play ends."""


class Reception:
    """The way from the servers to the control plane.

    Args:
        latency: One-way network delay of streams; None for none.
        draws: Of the play.
        clock: Real time.
        recorder: Where messages are noted.
        ledger: Where changes are noted.
        control_plane: Answers.
        envoys: By number.
        watch: Who watches them.
    """

    def __init__(
        self,
        latency: Delay | None,
        draws: Draws,
        clock: Clock,
        recorder: Recorder,
        ledger: ChangeLedger[Names],
        control_plane: ScriptedControlPlane,
        envoys: dict[int, PlayedEnvoy],
        watch: Watch,
    ) -> None:
        self._latency = latency
        self._draws = draws
        self._clock = clock
        self._recorder = recorder
        self._ledger = ledger
        self._control_plane = control_plane
        self._envoys = envoys
        self._watch = watch

    def fail(self, error: BaseException) -> None:
        """Something broke inside a server."""
        self._watch.fail(error)

    # --- gRPC (grpc_server.Acceptor)

    def on_attempt(self, caller: Caller, api: str) -> bool:
        """An Envoy tries to open a stream; False refuses it."""
        process = self._process(caller)
        self._watch.read_log(process)
        self._watch.attempted(self._envoys[caller.proxy], api)
        is_accepted = self._control_plane.accepts() and not process.is_over
        if is_accepted and process.witness is not None and process.witness.row.t_connected_ns is None:
            process.witness.row.t_connected_ns = self._clock.now_ns
        return is_accepted

    def _process(self, caller: Caller) -> PlayedProcess:
        return self._envoys[caller.proxy].processes[caller.epoch]

    def stream(self, caller: Caller, *, is_delta: bool, label: str) -> LabStream:
        """A stream, numbered and ready to be written to."""
        envoy, process = self._envoys[caller.proxy], self._process(caller)
        assert process.witness is not None
        envoy.streams += 1
        return LabStream(
            self._clock,
            self._recorder,
            process.build,
            caller.proxy,
            envoy.streams,
            is_delta=is_delta,
            label=label,
            on_sent=process.witness.on_sent,
            epoch=caller.epoch,
            links=self._links(caller.proxy),
        )

    def _links(self, proxy: int) -> tuple[Link, Link] | None:
        latency = self._latency
        if latency is None or latency.is_zero:
            return None
        links = self._envoys[proxy].links
        if links is None:
            links = (
                Link(latency, self._draws, "network.latency.to_server", proxy),
                Link(latency, self._draws, "network.latency.to_client", proxy),
            )
            self._envoys[proxy].links = links
        return links

    def session(self, stream: LabStream) -> StreamServer:
        """The server's end of an accepted stream."""
        form = DeltaSession if stream.is_delta else SotwSession
        session = form(stream, self._control_plane, self._ledger)
        self._control_plane.on_session_opened(session)
        self._note_stream(stream, "OPEN")
        return session

    def on_closed(self, stream: LabStream) -> None:
        """A stream is over."""
        self._note_stream(stream, "DOWN")

    def _note_stream(self, stream: LabStream, state: str) -> None:
        process = self._process(Caller(stream.proxy, stream.epoch))
        witness = process.witness
        if witness is not None and not process.is_over:
            witness.enter(self._clock.now_ns, "stream", stream.label, state)
            if state == "DOWN":
                witness.on_stream_closed(stream.id)

    def on_request(self, stream: LabStream, request: Request) -> None:
        """A request is about to be handled."""
        process = self._process(Caller(stream.proxy, stream.epoch))
        self._watch.read_log(process)
        self._watch.subscribed(self._envoys[stream.proxy])
        if request.response_nonce and process.witness is not None:
            process.witness.on_answer(request.response_nonce, is_ack=request.error_detail is None)

    # --- REST (rest_server.PollHandler)

    def proxy_named(self, node: str) -> int:
        """The number of the Envoy with that node id."""
        return next((e.proxy for e in self._envoys.values() if e.name == node), 0)

    def builder(self, proxy: int) -> Builder:
        """Builds protobufs for it."""
        return self._envoys[proxy].newest.build

    def on_poll(
        self, request: DiscoveryRequest, respond: Callable[[DiscoveryResponse | None], None], epoch: int
    ) -> bool:
        """Takes a request of a process; False if the connection is to fail."""
        process = self._process(Caller(request.node, epoch))
        self._watch.read_log(process)
        if process.is_over:
            return False
        self._watch.subscribed(self._envoys[request.node])
        if not self._control_plane.accepts():
            return False
        if process.witness is not None and process.witness.row.t_connected_ns is None:
            process.witness.row.t_connected_ns = self._clock.now_ns
        if request.version_info and process.witness is not None:
            process.witness.on_stated(request.type.name, request.resource_names, self._clock.now_ns)
        stream = self._poll_stream(process, request)
        self._note_poll(request.node, stream, request)

        def answer(response: DiscoveryResponse | None) -> None:
            if response is not None:
                self._note_poll(request.node, stream, response)
                if process.witness is not None:
                    process.witness.on_sent(response)
            respond(response)
            if response is not None and response.type is RDS:
                self._watch.spawn(self._see_taken(process, request))

        return self._control_plane.on_poll(request, answer)

    async def _see_taken(self, process: PlayedProcess, request: DiscoveryRequest) -> None:
        """No line of the log tells that a polled route table was applied, but a counter does."""
        name = next(iter(request.resource_names), "")
        for _ in range(_MOST_LOOKS):
            try:
                found = await stats(process.admin_port, rf"\.rds\.{re.escape(name)}\.update_success$")
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                return
            count = sum(found.values())
            if count > process.taken.get(name, 0):
                process.taken[name] = count
                if process.witness is not None:
                    process.witness.on_stated(RDS.name, request.resource_names, self._clock.now_ns)
                return
            await asyncio.sleep(_LOOK_PERIOD_S)

    def _poll_stream(self, process: PlayedProcess, request: DiscoveryRequest) -> int:
        """Each polled subscription counts as a stream."""
        polls = self._envoys[request.node].polls
        key = process.caller.epoch, request.type.name, next(iter(request.resource_names), "")
        return polls.setdefault(key, len(polls) + 1)

    def _note_poll(self, proxy: int, stream: int, message: Request | Response) -> None:
        note_message(self._recorder, self._clock.now_ns, proxy, stream, message)
