"""Polling over REST: Envoy's HTTP subscriptions and the server that answers them.

One loop for each subscription (CDS, LDS, each EDS cluster, each route configuration ...): request, answer,
then ``refresh_delay + random mod refresh_delay`` until the next request, counted from the completion (rule
R1). A failure changes nothing about that (no back-off, R4); 304 is no answer as far as the fetch timer goes.
Source: source/extensions/config_subscription/rest/http_subscription_impl.cc; rules R1 to R4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulator.engine.clock import MS
from simulator.engine.events import Band, Deadline
from simulator.wire.contract import ConfigConsumer, ProxyProcess, Update
from simulator.wire.delivery import cost_ns, deliver
from simulator.wire.link import Link
from simulator.wire.per_name import PerName
from simulator.wire.stream import note_message
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


@dataclass(frozen=True, slots=True)
class PollSettings:
    """``refresh_delay`` and ``request_timeout`` of an ApiConfigSource of type REST."""

    refresh_delay_ns: int
    request_timeout_ns: int


class PollServer(Protocol):
    """The server's end: answers a poll some time later, with None for 304, or never."""

    def on_poll(self, request: DiscoveryRequest, respond: Callable[[DiscoveryResponse | None], None]) -> bool:
        """Takes a poll; False if the connection fails."""


class RestSubscriptions:
    """A config source that polls."""

    is_ads = False
    has_fetch_timeout = True
    is_path = False

    def __init__(
        self,
        process: ProxyProcess,
        server: PollServer,
        to_server: Link,
        to_client: Link,
        settings: PollSettings,
    ) -> None:
        self.process = process
        self.server = server
        self.to_server = to_server
        self.to_client = to_client
        self.settings = settings
        self._loops: PerName[_PollLoop] = PerName()
        self._opened = 0

    def start(self) -> None:
        """Loops start with their subscriptions."""

    def missing(self, _type: ResourceType, _names: Names) -> Names:
        """A REST subscription can always be created."""
        return NO_NAMES

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Starts a loop for each name; the first poll is immediate (R2)."""
        for name in names or ("",):
            self._opened += 1
            loop = _PollLoop(self, type_, name, consumer, self._opened)
            self._loops.add(type_, name, loop)
            loop.poll()

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Ends the loops of these names."""
        for name in names:
            for loop in self._loops.take(type_, name):
                loop.stop()

    def release_superseded(self, type_: ResourceType, names: Names) -> None:
        """Ends all but the newest loop of each name."""
        self._loops.end_superseded(type_, names)

    def pause(self, type_: ResourceType) -> None:
        """Only ADS pauses: CDS is polled on while clusters warm."""

    def resume(self, type_: ResourceType) -> None:
        """Only ADS pauses."""

    def stop(self) -> None:
        """The process ends."""
        self._loops.end_all()


class _PollLoop:
    """The polling of one subscription: at most one request is outstanding."""

    def __init__(
        self, source: RestSubscriptions, type_: ResourceType, name: str, consumer: ConfigConsumer, number: int
    ) -> None:
        self._source = source
        self._process = source.process
        self._type = type_
        self._name = name
        self._names = Names((name,)) if name else NO_NAMES
        self._consumer = consumer
        self._number = number
        self._version = ""
        self._polls = 0
        self._awaited: Deadline | None = None
        self.is_superseded = False
        """A newer loop of the same subscription exists."""
        self._is_stopped = False

    def stop(self) -> None:
        """The subscription ends; an answer under way is dropped."""
        self._is_stopped = True
        self._end_wait()

    def poll(self) -> None:
        """Sends the request and waits for the answer or the request time-out."""
        if self._is_stopped:
            return
        process, source = self._process, self._source
        self._polls += 1
        poll = self._polls
        self._awaited = process.deadlines.arm(
            source.settings.request_timeout_ns, lambda: self._failed(poll), entity=process.proxy
        )
        request = DiscoveryRequest(self._type, self._names, self._version, node=process.proxy)
        process.clock.at(
            source.to_server.arrival_ns(process.now_ns),
            lambda: self._arrive(request, poll),
            band=Band.MESSAGE,
            entity=process.proxy,
        )

    def _arrive(self, request: DiscoveryRequest, poll: int) -> None:
        if self._source.server.on_poll(request, lambda response: self._respond(response, poll)):
            self._note(request)
            row = self._process.row
            if row.t_connected_ns is None:
                row.t_connected_ns = self._process.now_ns
        else:
            self._back(lambda: self._failed(poll))

    def _respond(self, response: DiscoveryResponse | None, poll: int) -> None:
        if response is not None:
            self._note(response)
        self._back(lambda: self._answered(response, poll))

    def _back(self, call: Callable[[], None]) -> None:
        process = self._process
        process.clock.at(
            self._source.to_client.arrival_ns(process.now_ns), call, band=Band.MESSAGE, entity=process.proxy
        )

    def _is_awaited(self, poll: int) -> bool:
        return poll == self._polls and self._awaited is not None and not self._is_stopped

    def _end_wait(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _failed(self, poll: int) -> None:
        """Timed out or refused: counted, nothing released (D1), and the same delay as ever."""
        if self._is_awaited(poll):
            self._end_wait()
            self._process.main_thread.submit(0, self._fail)

    def _fail(self) -> None:
        self._consumer.on_connection_failure(self._names)
        self._schedule()

    def _answered(self, response: DiscoveryResponse | None, poll: int) -> None:
        if not self._is_awaited(poll):
            return
        self._end_wait()
        process = self._process
        if response is None:
            process.main_thread.submit(0, self._schedule)
            return
        process.changes.on_received(response.changes, process.proxy, process.now_ns)
        update = Update(
            response.type,
            response.resources,
            version=response.version_info,
            changes=response.changes,
            extra_cost_ns=process.costs.ns("rest_update"),
            watched=self._names,
            absent=NO_NAMES if response.resources else self._names,
            is_superseded=self.is_superseded,
        )
        process.main_thread.submit(
            lambda: cost_ns(update, self._consumer, process.costs), lambda: self._apply(update)
        )

    def _apply(self, update: Update) -> None:
        if self._is_stopped or self._process.is_exited:
            return
        if deliver(update, self._consumer) is None:
            self._version = update.version
        self._schedule()

    def _schedule(self) -> None:
        """refresh_delay x U[1, 2), in whole ms, from the completion of the last request."""
        process, refresh_ns = self._process, self._source.settings.refresh_delay_ns
        u = process.draws.uniform(
            f"envoy.refresh_delay.{self._type.name}/{self._name}", process.proxy, self._polls
        )
        process.clock.after(
            refresh_ns + int(u * (refresh_ns // MS)) * MS, self.poll, band=Band.TIMER, entity=process.proxy
        )

    def _note(self, message: DiscoveryRequest | DiscoveryResponse) -> None:
        process = self._process
        note_message(process.recorder, process.now_ns, process.proxy, self._number, message)
