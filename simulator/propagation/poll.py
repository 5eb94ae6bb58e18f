"""Polling over REST: Envoy's HTTP subscriptions and the server that answers them.

One loop for each subscription (CDS, LDS, each EDS cluster, each route configuration ...): request, answer,
then ``refresh_delay + random mod refresh_delay`` until the next request, counted from the completion (rule
R1). A failure changes nothing about that (no back-off, R4); 304 is no answer as far as the fetch timer goes.
Source: source/extensions/config_subscription/rest/http_subscription_impl.cc; rules R1 to R4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from simulator.engine.clock import MS
from simulator.engine.delays import Uniform
from simulator.engine.events import Clock
from simulator.propagation.http_loop import HttpLoop, HttpSubscriptions, RestNetwork
from simulator.propagation.http_server import (
    Acknowledgements,
    PollServer,
    Published,
    Reply,
    Serving,
    Slots,
)
from simulator.wire.contract import ConfigConsumer, ProxyProcess
from simulator.xds.messages import DiscoveryRequest
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import Names


@dataclass(frozen=True, slots=True)
class PollSettings:
    """``refresh_delay`` and ``request_timeout`` of an ApiConfigSource of type REST."""

    refresh_delay_ns: int
    request_timeout_ns: int


class RestSubscriptions(HttpSubscriptions):
    """Envoy's end: a config source that polls."""

    def __init__(
        self,
        process: ProxyProcess,
        server: PollServer,
        network: RestNetwork,
        settings: PollSettings,
        next_stream: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(process, server, network, next_stream)
        self.settings = settings

    @property
    def time_out_ns(self) -> int:
        """``request_timeout``."""
        return self.settings.request_timeout_ns

    def _loop(self, type_: ResourceType, names: Names, consumer: ConfigConsumer, stream: int) -> HttpLoop:
        return _PollLoop(self, type_, names, consumer, stream)


class _PollLoop(HttpLoop):
    """The polling of one subscription."""

    __slots__ = ("_refresh_ns",)

    def __init__(
        self,
        source: RestSubscriptions,
        type_: ResourceType,
        names: Names,
        consumer: ConfigConsumer,
        stream: int,
    ) -> None:
        super().__init__(source, type_, names, consumer, stream)
        self._refresh_ns = source.settings.refresh_delay_ns

    def _wait_after_answer_ns(self) -> int:
        """refresh_delay x U[1, 2), in whole ms.

        Who polls since long before t = 0 is met in the middle of a wait.
        """
        process, refresh_ns = self._process, self._refresh_ns
        purpose = f"envoy.refresh_delay.{self._type.name}/{self.name}"
        u = process.draws.uniform(purpose, process.proxy, self._sent)
        if process.now_ns < 0:
            return Uniform(refresh_ns, 2 * refresh_ns).residual_ns(u) - process.now_ns
        return refresh_ns + int(u * (refresh_ns // MS)) * MS

    def _wait_after_failure_ns(self) -> int:
        return self._wait_after_answer_ns()


class PollReplica:
    """The server's end: one replica of a control plane that answers polls from what it has published.

    Polls are served in order of arrival, `concurrency` at a time. What is published when a poll's service
    starts is what it gets.

    Args:
        clock: The clock of the run.
        replica: Its number.
        published: What it has published.
        acknowledgements: Kept for all replicas together.
        concurrency: Polls served at the same time.
        depth: Told the number of waiting polls whenever it changes.
    """

    def __init__(
        self,
        clock: Clock,
        replica: int,
        published: Published,
        acknowledgements: Acknowledgements,
        concurrency: int,
        depth: Callable[[int], None] | None = None,
    ) -> None:
        self.replica = replica
        self.is_serving = True
        self._clock = clock
        self._published = published
        self._acknowledgements = acknowledgements
        self._slots: Serving = Slots(clock, concurrency, depth)

    def share(self, slots: Serving) -> Slots:
        """From here on these are the servers: others stand in the same queue (the arrays of the fleet). The
        servers before, who serve on what they have."""
        before, self._slots = self._slots, slots
        assert isinstance(before, Slots), "two share one queue"
        return before

    @property
    def polls(self) -> int:
        """Polls served so far."""
        return self._slots.jobs

    @property
    def queue_length(self) -> int:
        """Polls waiting."""
        return self._slots.queue_length

    @property
    def busy_ns(self) -> int:
        """Time spent serving, all slots together."""
        return self._slots.busy_ns

    def start(self) -> None:
        """It takes polls."""
        self.is_serving = True

    def stop(self) -> None:
        """It takes no more polls; those it has are answered (a graceful shutdown)."""
        self.is_serving = False

    def on_poll(self, request: DiscoveryRequest, respond: Reply) -> bool:
        """Takes a poll; False where it is not serving."""
        if not self.is_serving:
            return False
        now_ns = self._clock.now_ns
        self._acknowledgements.on_request(request, now_ns)
        self._slots.submit(partial(self._serve, request, now_ns, respond), request.node)
        return True

    def _serve(self, request: DiscoveryRequest, arrived_ns: int, respond: Reply) -> int:
        response, service_ns = self._published.answer(request, arrived_ns)
        self._acknowledgements.on_answer(request, response)
        respond(response, self._clock.now_ns + service_ns)
        return service_ns
