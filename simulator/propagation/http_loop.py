"""What polling and long polling share at Envoy's end: one loop of requests for each subscription.

A loop has at most one request outstanding, so nothing can overtake anything and each loop draws the latencies
of its messages by its own key. A request is put on its way when the one before it is done with, however late
it leaves: waiting to poll costs no event of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

from simulator.calibration.ways import REST
from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay
from simulator.engine.events import After, Band
from simulator.propagation.http_server import PollServer
from simulator.wire.contract import ConfigConsumer, ProxyProcess, Update
from simulator.wire.delivery import cost_ns, deliver
from simulator.wire.per_name import PerName
from simulator.wire.stream import note_message
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, Names


@dataclass(frozen=True, slots=True)
class RestNetwork:
    """The way of HTTP requests and answers.

    Attributes:
        latency: One-way delay of a message.
        loss: Share of messages with which the connection breaks; the client learns of it when the message
            would have arrived, or its answer.
        bytes_per_second: Bandwidth; None for no limit.
    """

    latency: Delay
    loss: float = 0.0
    bytes_per_second: int | None = None


class HttpSubscriptions:
    """A config source that asks again and again, for each subscription by itself.

    Args:
        process: Whose.
        server: Answers.
        network: The way there and back.
        next_stream: Numbers the subscriptions, as if each were a stream; from 1 if not given.
    """

    is_ads = False
    has_fetch_timeout = True
    is_path = False
    way_costs = REST

    def __init__(
        self,
        process: ProxyProcess,
        server: PollServer,
        network: RestNetwork,
        next_stream: Callable[[], int] | None = None,
    ) -> None:
        self.process = process
        self.server = server
        self.network = network
        self._loops: PerName[HttpLoop] = PerName()
        self._next_stream = count(1).__next__ if next_stream is None else next_stream
        self._is_cut = False
        self._held: list[Callable[[], None]] = []

    @property
    @abstractmethod
    def time_out_ns(self) -> int:
        """How long one request may take, from its departure."""

    @abstractmethod
    def _loop(self, type_: ResourceType, names: Names, consumer: ConfigConsumer, stream: int) -> HttpLoop:
        """The loop of a new subscription: of one name, of none for a wildcard."""

    def start(self) -> None:
        """Loops start with their subscriptions."""

    def loops(self) -> list[HttpLoop]:
        """The loops that exist, subscription by subscription."""
        return list(self._loops)

    def missing(self, _type: ResourceType, _names: Names) -> Names:
        """A REST subscription can always be created."""
        return NO_NAMES

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """Starts a loop for each name; the first request is immediate (R2)."""
        for single in names.singly() or (NO_NAMES,):
            loop = self._loop(type_, single, consumer, self._next_stream())
            self._loops.add(type_, loop.name, loop)
            loop.send_after(0)

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """Ends the loops of these names."""
        for name in names:
            for loop in self._loops.take(type_, name):
                loop.stop()

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """Ends all but the newest loop of each name."""
        for name in names:
            for loop in self._loops.take_superseded(type_, name):
                loop.stop()

    def pause(self, type_: ResourceType) -> None:
        """Only ADS pauses: CDS is polled on while clusters warm."""

    def resume(self, type_: ResourceType) -> None:
        """Only ADS pauses."""

    def stop(self) -> None:
        """The process ends."""
        self._loops.end_all()

    # --- partitions

    def cut(self) -> None:
        """A partition begins: nothing arrives, and nobody is told."""
        self._is_cut = True

    def heal(self) -> None:
        """It ends: what was under way is transmitted again and arrives now, if it is still waited for."""
        self._is_cut = False
        held, self._held = self._held, []
        for arrive in held:
            self.process.clock.after(0, arrive, band=Band.MESSAGE, entity=self.process.proxy)

    def holds(self, arrive: Callable[[], None]) -> bool:
        """Whether a partition holds up what arrives just now."""
        if self._is_cut:
            self._held.append(arrive)
        return self._is_cut


class _Reply:
    """A request of a loop, as the server answers it."""

    __slots__ = ("_loop", "_number")

    def __init__(self, loop: HttpLoop, number: int) -> None:
        self._loop = loop
        self._number = number

    def __call__(self, response: DiscoveryResponse | None, sent_ns: int | None = None) -> None:
        self._loop.on_answer(response, self._number, sent_ns)

    def fail(self) -> None:
        self._loop.on_broken(self._number)


class HttpLoop:
    """The requests of one subscription: at most one is outstanding."""

    __slots__ = (
        "_arrival",
        "_consumer",
        "_departs_ns",
        "_early",
        "_is_asking",
        "_is_stopped",
        "_is_waiting",
        "_names",
        "_process",
        "_replica",
        "_sent",
        "_source",
        "_stream",
        "_time_out",
        "_type",
        "_version",
        "is_superseded",
        "name",
    )

    def __init__(
        self,
        source: HttpSubscriptions,
        type_: ResourceType,
        names: Names,
        consumer: ConfigConsumer,
        stream: int,
    ) -> None:
        self._source = source
        self._process = source.process
        self._type = type_
        self._names = names
        self.name = next(iter(names), "")
        self._consumer = consumer
        self._stream = stream
        self._version = ""
        self._sent = 0
        self._departs_ns = 0
        self._arrival: After | None = None
        self._is_waiting = False
        self._time_out: After | None = None
        self._replica = 0
        self._is_asking = False
        self._early: tuple[DiscoveryResponse | None, int | None] | None = None
        self.is_superseded = False
        """A newer loop of the same subscription exists."""
        self._is_stopped = False

    @property
    def type(self) -> ResourceType:
        """What it asks for."""
        return self._type

    @property
    def names(self) -> Names:
        """The name it asks for; none for a wildcard type."""
        return self._names

    @property
    def sent(self) -> int:
        """Requests so far, the one on its way included."""
        return self._sent

    # --- what the two strategies differ in

    @abstractmethod
    def _wait_after_answer_ns(self) -> int:
        """From the completion of a request that was answered to the next one."""

    @abstractmethod
    def _wait_after_failure_ns(self) -> int:
        """From the failure of a request to the next one."""

    def _request(self) -> DiscoveryRequest:
        """What is asked."""
        return DiscoveryRequest(self._type, self._names, self._version, node=self._process.proxy)

    def _note_applied(self, update: Update, error: str | None) -> None:
        """An update was applied, or refused with this error. What was accepted is what the next request
        states."""
        if error is None:
            self._version = update.version

    # --- the request

    def stop(self) -> None:
        """The subscription ends; an answer under way is dropped, a request that has not left never does."""
        self._is_stopped = True
        self._end_wait()
        if self._arrival is not None and self._departs_ns > self._process.now_ns:
            self._arrival.cancel()

    def send_after(self, delay_ns: int) -> None:
        """The next request leaves so much later."""
        if self._is_stopped:
            return
        process = self._process
        self._sent += 1
        self._is_waiting = True
        self._departs_ns = process.now_ns + delay_ns
        arrival_ns = self._departs_ns + self._latency_ns("to_server", 0, self._departs_ns)
        if arrival_ns > self._due_ns:
            self._limit_wait()
        self._arrival = process.clock.at(
            arrival_ns, partial(self._arrive, self._sent), band=Band.MESSAGE, entity=process.proxy
        )

    @property
    def _due_ns(self) -> int:
        return self._departs_ns + self._source.time_out_ns

    def _latency_ns(self, direction: str, size_bytes: int, departs_ns: int) -> int:
        if departs_ns < 0:
            return 0
        network, process = self._source.network, self._process
        if isinstance(network.latency, Constant):
            latency_ns = network.latency.value_ns
        else:
            purpose = f"network.latency.{direction}.{self._type.name}/{self.name}"
            latency_ns = network.latency.ns(process.draws.uniform(purpose, process.proxy, self._sent))
        if network.bytes_per_second is not None:
            latency_ns += size_bytes * S // network.bytes_per_second
        return latency_ns

    def _is_lost(self, direction: str) -> bool:
        loss, process = self._source.network.loss, self._process
        if loss == 0 or process.now_ns < 0:
            return False
        purpose = f"network.loss.{direction}.{self._type.name}/{self.name}"
        return process.draws.uniform(purpose, process.proxy, self._sent) < loss

    def _arrive(self, number: int) -> None:
        """The request is at the server."""
        source, process = self._source, self._process
        if source.holds(partial(self._arrive_late, number)):
            self._limit_wait_of(number)
            return
        if self._is_lost("to_server"):
            self.on_broken(number)
            return
        request = self._request()
        # An answer given at once is noted behind its request.
        self._is_asking = True
        is_taken = source.server.on_poll(request, _Reply(self, number))
        self._is_asking = False
        if not is_taken:
            self.on_broken(number)
            return
        self._replica = source.server.replica
        self._note(request, process.now_ns)
        if process.row.t_connected_ns is None:
            process.row.t_connected_ns = process.now_ns
        if self._early is not None:
            (response, sent_ns), self._early = self._early, None
            self.on_answer(response, number, sent_ns)
        else:
            self._limit_wait_of(number)

    def _arrive_late(self, number: int) -> None:
        if self._is_awaited(number):
            self._arrive(number)

    # --- the wait

    def _is_awaited(self, number: int) -> bool:
        return number == self._sent and self._is_waiting and not self._is_stopped

    def _limit_wait_of(self, number: int) -> None:
        """The time-out is armed only where the end of the wait is not known to come before it."""
        if self._is_awaited(number) and self._time_out is None:
            self._limit_wait()

    def _limit_wait(self) -> None:
        process = self._process
        self._time_out = process.clock.at(
            max(self._due_ns, process.now_ns),
            partial(self._failed, self._sent),
            band=Band.TIMER,
            entity=process.proxy,
        )

    def _end_wait(self) -> None:
        self._is_waiting = False
        if self._time_out is not None:
            self._time_out.cancel()
            self._time_out = None

    # --- the answer

    def on_answer(self, response: DiscoveryResponse | None, number: int, sent_ns: int | None) -> None:
        """The server answers."""
        if self._is_asking:
            self._early = response, sent_ns
            return
        leaves_ns = self._process.now_ns if sent_ns is None else sent_ns
        size_bytes = 0
        if response is not None:
            size_bytes = response.size_bytes
            self._note(response, leaves_ns)
        self._back(leaves_ns, size_bytes, number, partial(self._answered, response, number))

    def on_broken(self, number: int) -> None:
        """The connection breaks, or cannot be made."""
        self._back(self._process.now_ns, 0, number, partial(self._failed, number))

    def _back(self, leaves_ns: int, size_bytes: int, number: int, call: Callable[[], None]) -> None:
        process = self._process
        arrival_ns = leaves_ns + self._latency_ns("to_client", size_bytes, leaves_ns)
        if arrival_ns > self._due_ns:
            self._limit_wait_of(number)
        process.clock.at(arrival_ns, call, band=Band.MESSAGE, entity=process.proxy)

    def _failed(self, number: int) -> None:
        """Timed out or refused: counted, and nothing is released (D1)."""
        if self._is_awaited(number):
            self._end_wait()
            self._process.main_thread.submit(0, self._fail)

    def _fail(self) -> None:
        if not self._is_stopped:
            self._consumer.on_connection_failure(self._names)
            self.send_after(self._wait_after_failure_ns())

    def _answered(self, response: DiscoveryResponse | None, number: int) -> None:
        """The answer is at the client."""
        if not self._is_awaited(number):
            return
        if self._source.holds(partial(self._answered, response, number)):
            self._limit_wait_of(number)
            return
        if self._is_lost("to_client"):
            self._failed(number)
            return
        self._end_wait()
        process = self._process
        if response is None:
            process.main_thread.submit(0, self._go_on)
            return
        process.changes.on_received(response.changes, process.proxy, process.now_ns)
        update = Update(
            response.type,
            response.resources,
            version=response.version_info,
            changes=response.changes,
            extra_cost_ns=process.costs.ns(REST.update)
            + process.costs.each(REST.byte, response.resources.size_bytes),
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
        self._note_applied(update, deliver(update, self._consumer))
        self._go_on()

    def _go_on(self) -> None:
        # Applying it may have ended the subscription; nothing is drawn for a loop that ended.
        if not self._is_stopped:
            self.send_after(self._wait_after_answer_ns())

    def _note(self, message: DiscoveryRequest | DiscoveryResponse, t_ns: int) -> None:
        process = self._process
        note_message(process.recorder, t_ns, process.proxy, self._stream, message, self._replica)
