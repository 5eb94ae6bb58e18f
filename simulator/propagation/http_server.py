"""What polling and long polling share at the server's end: capacity, acknowledgements, connections."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapreplace
from typing import Protocol

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import ResourceType


class Reply(Protocol):
    """What a server does with a request it took: answers, lets the connection fail, or nothing ever."""

    def __call__(self, response: DiscoveryResponse | None, sent_ns: int | None = None) -> None:
        """Answers, with None for 304 (nothing new). The answer leaves at `sent_ns`; now if not given."""

    def fail(self) -> None:
        """The connection breaks."""


class PollServer(Protocol):
    """The server's end."""

    @property
    def replica(self) -> int:
        """Number of the replica that answers."""

    def on_poll(self, request: DiscoveryRequest, respond: Reply) -> bool:
        """Takes a request; False if the connection fails."""


class Published(Protocol):
    """What one replica of a control plane has published, as requests are answered from it."""

    def version(self, request: DiscoveryRequest) -> str:
        """Version of what the request would get now; never empty."""

    def answer(self, request: DiscoveryRequest, t_enqueued_ns: int) -> tuple[DiscoveryResponse | None, int]:
        """The answer given now and the time giving it takes, after which it leaves.

        Args:
            request: What is asked; its version is what the client has.
            t_enqueued_ns: When it began to wait for its service.

        Returns:
            The response, None where the version is the client's; and the service time in ns.
        """


class Serving(Protocol):
    """A FIFO queue before equal servers, whose jobs' costs are known when their service starts."""

    @property
    def busy_ns(self) -> int:
        """Time spent serving, all servers together."""

    @property
    def jobs(self) -> int:
        """Jobs served."""

    @property
    def queue_length(self) -> int:
        """Jobs waiting."""

    def submit(self, serve: Callable[[], int], entity: int) -> None:
        """Queues a job of a client: `serve` is called when its service starts, and says how long that takes,
        in ns."""


class Slots:
    """A FIFO queue before equal servers, whose jobs' costs are known when their service starts.

    No event happens while a slot is free; a job that had to wait takes one, at the start of its service.
    Jobs of one instant are served as they were submitted.

    Args:
        clock: Whose time passes.
        servers: Jobs served at the same time.
        depth: Told the number of waiting jobs whenever it changes.
    """

    __slots__ = ("_clock", "_depth", "_free_ns", "_is_armed", "_waiting", "busy_ns", "jobs")

    def __init__(self, clock: Clock, servers: int, depth: Callable[[int], None] | None = None) -> None:
        assert servers >= 1, f"{servers} servers"
        self._clock = clock
        self._depth = depth
        self._free_ns = [clock.now_ns] * servers
        self._waiting: deque[Callable[[], int]] = deque()
        self._is_armed = False
        self.busy_ns = 0
        self.jobs = 0

    @property
    def queue_length(self) -> int:
        """Jobs waiting."""
        return len(self._waiting)

    def submit(self, serve: Callable[[], int], entity: int = 0) -> None:
        """See Serving; who submits first is served first, whoever it is."""
        if not self._waiting and self._free_ns[0] <= self._clock.now_ns:
            self._start(serve)
            return
        self._waiting.append(serve)
        self._tell_depth()
        self._arm()

    def hand_over(self) -> tuple[list[int], list[Callable[[], int]]]:
        """When each server is free, and the jobs that wait: others serve them from here on."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return self._free_ns, waiting

    def take_over(self, free_ns: list[int], waiting: Sequence[Callable[[], int]]) -> None:
        """Servers that are free then, a heap, and the jobs that waited for them elsewhere."""
        self._free_ns = free_ns
        self._waiting.extend(waiting)
        if waiting:
            self._arm()

    def _arm(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._clock.at(max(self._free_ns[0], self._clock.now_ns), self._go_on, band=Band.COMPLETION)

    def _go_on(self) -> None:
        self._is_armed = False
        while self._waiting and self._free_ns[0] <= self._clock.now_ns:
            serve = self._waiting.popleft()
            self._tell_depth()
            self._start(serve)
        if self._waiting:
            self._arm()

    def _start(self, serve: Callable[[], int]) -> None:
        now_ns = self._clock.now_ns
        service_ns = serve()
        assert service_ns >= 0, f"a job cannot cost {service_ns} ns"
        heapreplace(self._free_ns, now_ns + service_ns)
        self.busy_ns += service_ns
        self.jobs += 1

    def _tell_depth(self) -> None:
        if self._depth is not None:
            self._depth(len(self._waiting))


class Acknowledgements:
    """Which answers are acknowledged: a request states the version last accepted.

    Shared by the replicas of a control plane, because a client may ask another one the next time.

    Args:
        acked: Told the carried changes of an answer, the proxy, and the instant, when a request of that proxy
            shows that it accepted the answer.
    """

    def __init__(self, acked: Callable[[tuple[int, ...], int, int], None]) -> None:
        self._acked = acked
        self._open: dict[tuple[int, ResourceType, str], tuple[str, tuple[int, ...]]] = {}

    def on_answer(self, request: DiscoveryRequest, response: DiscoveryResponse | None) -> None:
        """The answer that the client of this request gets."""
        if response is not None and response.changes:
            self._open[_subscription(request)] = response.version_info, response.changes

    def on_request(self, request: DiscoveryRequest, now_ns: int) -> None:
        """A request arrived. One that says why the answer was refused acknowledges nothing."""
        if not self._open:
            return
        key = _subscription(request)
        version, changes = self._open.get(key, ("", ()))
        if changes and request.version_info == version:
            del self._open[key]
            if request.error_detail is None:
                self._acked(changes, request.node, now_ns)


class PinnedConnection:
    """A client's keep-alive connection to a Service of several replicas: it stays with the replica it was
    opened to, drawn among those serving (kube-proxy), until that one stops serving.

    Args:
        serving: The replicas that are ready now.
        draws: Random numbers of the run.
        proxy: Whose connection it is.
        opened: Connections that the proxy opened before, in another process: each has a draw of its own.

    Attributes:
        opened: Connections opened so far.
        server: The replica it was last opened to, unless it failed.
    """

    def __init__(
        self, serving: Callable[[], Sequence[PollServer]], draws: Draws, proxy: int, opened: int = 0
    ) -> None:
        self._serving = serving
        self._draws = draws
        self._proxy = proxy
        self.opened = opened
        self.server: PollServer | None = None

    @property
    def replica(self) -> int:
        """The replica it was last opened to; 0 before."""
        return 0 if self.server is None else self.server.replica

    def on_poll(self, request: DiscoveryRequest, respond: Reply) -> bool:
        """Hands the request on; False if no replica is ready or the connection fails."""
        serving = self._serving()
        if self.server is None or self.server not in serving:
            if not serving:
                return False
            chosen = self._draws.integer_below(len(serving), "kube_proxy.backend", self._proxy, self.opened)
            self.opened += 1
            self.server = serving[chosen]
        if self.server.on_poll(request, respond):
            return True
        self.server = None
        return False


def _subscription(request: DiscoveryRequest) -> tuple[int, ResourceType, str]:
    return request.node, request.type, next(iter(request.resource_names), "")
