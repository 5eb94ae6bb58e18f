"""Long polling: a Consul-like client and a server that holds its requests. Hypothetical for Envoy.

A request says which version the client has seen. The server holds it until what is watched has another
version, or for `wait`; the client asks again at once after any answer, and after an error at the end of a
full-jitter back-off. Envoy's own REST client does nothing like it: it waits ``refresh_delay x U[1, 2)`` after
every answer and gives up after ``request_timeout`` (propagation/poll.py).
Source: Consul, "Blocking Queries" (api-docs/features/blocking): `wait` and its spread of up to wait / 16, the
index taken from every answer, back-off left to the client.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from simulator.engine.delays import Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.propagation.http_loop import HttpLoop, HttpSubscriptions, RestNetwork
from simulator.propagation.http_server import (
    Acknowledgements,
    PollServer,
    Published,
    Reply,
    Serving,
    Slots,
)
from simulator.wire.backoff import BackoffSettings, JitteredBackoff
from simulator.wire.contract import ConfigConsumer, ProxyProcess, Update
from simulator.xds.messages import DiscoveryRequest
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names

WAIT_SPREAD = 16
"""The server adds up to wait / 16 at random, so that what began together does not end together (Consul)."""


@dataclass(frozen=True, slots=True)
class LongPollSettings:
    """The client.

    Attributes:
        wait_ns: How long the server may hold a request (Consul's `wait`).
        request_timeout_ns: How long a request may take besides.
        backoff: Waits after errors.
    """

    wait_ns: int
    request_timeout_ns: int
    backoff: BackoffSettings

    @property
    def longest_wait_ns(self) -> int:
        """The longest wait there can be."""
        return self.wait_ns + self.wait_ns // WAIT_SPREAD

    @property
    def gives_up_after_ns(self) -> int:
        """The time-out follows the longest wait there can be."""
        return self.longest_wait_ns + self.request_timeout_ns


class LongPollSubscriptions(HttpSubscriptions):
    """The client's end: a config source whose requests wait at the server."""

    def __init__(
        self, process: ProxyProcess, server: PollServer, network: RestNetwork, settings: LongPollSettings
    ) -> None:
        super().__init__(process, server, network)
        self.settings = settings

    @property
    def time_out_ns(self) -> int:
        """See `LongPollSettings.gives_up_after_ns`."""
        return self.settings.gives_up_after_ns

    def _loop(self, type_: ResourceType, names: Names, consumer: ConfigConsumer, stream: int) -> HttpLoop:
        return _LongPollLoop(self, type_, names, consumer, stream)


class _LongPollLoop(HttpLoop):
    """The requests of one subscription.

    It states the version it has seen last, be it accepted or refused: a refused one is not asked for again
    and again. The request behind a refusal says so.
    """

    __slots__ = ("_backoff", "_error")

    def __init__(
        self,
        source: LongPollSubscriptions,
        type_: ResourceType,
        names: Names,
        consumer: ConfigConsumer,
        stream: int,
    ) -> None:
        super().__init__(source, type_, names, consumer, stream)
        process = source.process
        purpose = f"long_poll.backoff.{type_.name}/{self.name}"
        self._backoff = JitteredBackoff(source.settings.backoff, process.draws, purpose, process.proxy)
        self._error: str | None = None

    def _request(self) -> DiscoveryRequest:
        return DiscoveryRequest(
            self._type, self._names, self._version, error_detail=self._error, node=self._process.proxy
        )

    def _note_applied(self, update: Update, error: str | None) -> None:
        self._version = update.version
        self._error = error

    def _wait_after_answer_ns(self) -> int:
        self._backoff.reset()
        return 0

    def _wait_after_failure_ns(self) -> int:
        return self._backoff.next_ns()


@dataclass(frozen=True, slots=True, eq=False)
class Released:
    """A request that is held, and gets something new now.

    Attributes:
        position: Of its name among those that were published.
        place: Among those that are held: smaller is longer.
        proxy: Whose it is.
        serve: Its service, which says what it takes, in ns.
    """

    position: int
    place: int
    proxy: int
    serve: Callable[[], int]


class Beside(Serving, Protocol):
    """Others whose requests stand in the same queue, and are held beside these (the arrays of the fleet)."""

    def place_before(self, proxy: int) -> int:
        """Among those that are held, of a proxy that has been since before the run."""

    def next_place(self) -> int:
        """Of the next one that is held."""

    def released(self, type_name: str, names: Sequence[str], others: Sequence[Released]) -> None:
        """Something of the type was published, these names of it: theirs are released, and these."""


class _Held:
    """A request that the server holds."""

    __slots__ = ("expiry", "name", "place", "request", "respond")

    def __init__(self, request: DiscoveryRequest, respond: Reply) -> None:
        self.request = request
        self.respond = respond
        self.name = next(iter(request.resource_names), "")
        self.expiry: After | None = None
        self.place = 0


class LongPollReplica:
    """The server's end: one replica of a control plane that holds requests until there is news.

    Holding costs nothing; answering is served in order, `concurrency` at a time, and holds what is published
    when its service starts.

    Args:
        clock: The clock of the run.
        draws: Random numbers of the run.
        replica: Its number.
        published: What it has published.
        acknowledgements: Kept for all replicas together.
        wait_ns: How long it holds a request, and up to a sixteenth more.
        concurrency: Requests served at the same time.
        depth: Told the number of requests waiting for service whenever it changes.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        replica: int,
        published: Published,
        acknowledgements: Acknowledgements,
        wait_ns: int,
        concurrency: int,
        depth: Callable[[int], None] | None = None,
    ) -> None:
        self.replica = replica
        self.is_serving = True
        self._clock = clock
        self._draws = draws
        self._published = published
        self._acknowledgements = acknowledgements
        self._wait = Uniform(wait_ns, wait_ns + wait_ns // WAIT_SPREAD)
        self._slots: Serving = Slots(clock, concurrency, depth)
        self._beside: Beside | None = None
        self._held: dict[ResourceType, dict[str, dict[_Held, None]]] = {}

    def share(self, beside: Beside) -> None:
        """From here on these requests stand in the queue of others."""
        assert self._slots.queue_length == 0, "a request was waiting before the run"
        self._slots = self._beside = beside
        for by_name in self._held.values():
            for same in by_name.values():
                for held in same:
                    held.place = beside.place_before(held.request.node)

    @property
    def held(self) -> int:
        """Requests held now."""
        return sum(len(same) for by_name in self._held.values() for same in by_name.values())

    @property
    def queue_length(self) -> int:
        """Requests waiting for service."""
        return self._slots.queue_length

    @property
    def busy_ns(self) -> int:
        """Time spent serving, all slots together."""
        return self._slots.busy_ns

    def start(self) -> None:
        """It takes requests."""
        self.is_serving = True

    def stop(self) -> None:
        """It takes no more requests, and those it holds fail."""
        self.is_serving = False
        for by_name in self._held.values():
            for same in by_name.values():
                for held in same:
                    _disarm(held)
                    held.respond.fail()
        self._held.clear()

    def on_poll(self, request: DiscoveryRequest, respond: Reply) -> bool:
        """Takes a request; False where it is not serving."""
        if not self.is_serving:
            return False
        now_ns = self._clock.now_ns
        self._acknowledgements.on_request(request, now_ns)
        self._serve_later(_Held(request, respond))
        return True

    def on_published(self, type_: ResourceType, names: Names | None) -> None:
        """Something of the type was published: these names of it, or None for any of it."""
        by_name = self._held.get(type_)
        if not by_name:
            return
        asked = (
            list(by_name) if names is None or type_.wildcard else [name for name in names if name in by_name]
        )
        released = []
        for position, name in enumerate(asked):
            for held in list(by_name[name]):
                if self._published.version(held.request) != held.request.version_info:
                    self._release(held)
                    serve = partial(self._serve, held, self._clock.now_ns)
                    released.append(Released(position, held.place, held.request.node, serve))
        if self._beside is not None:
            self._beside.released(type_.name, asked, released)
            return
        for one in released:
            self._slots.submit(one.serve, one.proxy)

    def _serve_later(self, held: _Held) -> None:
        self._slots.submit(partial(self._serve, held, self._clock.now_ns), held.request.node)

    def _serve(self, held: _Held, waiting_since_ns: int) -> int:
        if not self.is_serving:
            _disarm(held)
            held.respond.fail()
            return 0
        response, service_ns = self._published.answer(held.request, waiting_since_ns)
        if response is None and not self._is_expired(held):
            self._hold(held)
            return service_ns
        _disarm(held)
        self._acknowledgements.on_answer(held.request, response)
        held.respond(response, self._clock.now_ns + service_ns)
        return service_ns

    def _hold(self, held: _Held) -> None:
        request, now_ns = held.request, self._clock.now_ns
        if self._beside is not None:
            held.place = self._beside.next_place()
        self._held.setdefault(request.type, {}).setdefault(held.name, {})[held] = None
        if held.expiry is not None:
            return
        u = self._draws.uniform(f"long_poll.wait.{request.type.name}/{held.name}", request.node, now_ns)
        # Who is held since long before t = 0 is met in the middle of its wait.
        wait_ns = self._wait.residual_ns(u) - now_ns if now_ns < 0 else self._wait.ns(u)
        held.expiry = self._clock.after(
            wait_ns, partial(self._expire, held), band=Band.TIMER, entity=request.node
        )

    def _is_expired(self, held: _Held) -> bool:
        return held.expiry is not None and held.expiry.time_ns <= self._clock.now_ns

    def _expire(self, held: _Held) -> None:
        if self._release(held):
            self._serve_later(held)

    def _release(self, held: _Held) -> bool:
        """Whether it was held; it is no longer."""
        same = self._held.get(held.request.type, {}).get(held.name, {})
        return same.pop(held, held) is None


def _disarm(held: _Held) -> None:
    if held.expiry is not None:
        held.expiry.cancel()
