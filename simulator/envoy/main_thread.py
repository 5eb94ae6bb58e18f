"""Envoy's main thread: one FIFO server that decodes, applies, answers timers and flushes statistics.

Everything an Envoy does to its configuration passes here in order of arrival, so a route that arrives right
behind a large CDS update waits for it (rule P1), on ADS and on separate streams alike.
Source: docs/root/intro/arch_overview/intro/threading_model.rst; rules P1, P2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from simulator.calibration.costs import Coefficients, Law
from simulator.engine.delays import Constant, Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.engine.servers import MultiServer, SerialServer, SharingServer
from simulator.wire.contract import ProxyCosts

_ALMOST_ONE = 1 - 2**-53


class Costs(ProxyCosts):
    """The cost laws of one Envoy with its own draws: each key counts its own jobs.

    Before t = 0, while an Envoy that is there already is being configured, nothing costs anything.
    """

    __slots__ = ("_clock", "_drawn", "_draws", "_laws", "_proxy")

    def __init__(self, laws: Mapping[str, Law], draws: Draws, proxy: int, clock: Clock) -> None:
        self._clock = clock
        self._laws = laws
        self._draws = draws
        self._proxy = proxy
        self._drawn: dict[str, int] = {}

    def ns(self, key: str, formula: Callable[[Coefficients], int] | None = None) -> int:
        """The cost of one job: drawn where the key has a law, else the formula over its coefficients."""
        if self._clock.now_ns < 0:
            return 0
        law = self._laws[key]
        if isinstance(law, Mapping):
            assert formula is not None, f"costs.{key} needs counts"
            return formula(law)
        if isinstance(law, Constant):
            return law.value_ns
        index = self._drawn.get(key, 0)
        self._drawn[key] = index + 1
        return law.ns(self._draws.uniform(f"envoy.costs.{key}", self._proxy, index))

    def skip(self, key: str, jobs: int) -> None:
        """So many jobs cost what nobody asks for."""
        if not isinstance(self._laws[key], Constant):
            self._drawn[key] = self._drawn.get(key, 0) + jobs

    def drawn(self, key: str) -> int:
        """How many jobs of a key were drawn."""
        return self._drawn.get(key, 0)

    def phase(self, purpose: str) -> float:
        """Where in its period something periodic stands, from 0 to 1."""
        return self._draws.uniform(f"envoy.{purpose}", self._proxy)

    def law(self, key: str) -> Delay:
        """The law of a key that has no formula."""
        law = self._laws[key]
        assert not isinstance(law, Mapping), f"costs.{key} is a formula"
        return law


class MainThreadPast(NamedTuple):
    """What a main thread has done.

    Attributes:
        busy_until_ns: When its latest job was complete.
        busy_ns: Time spent on jobs.
        next_flush_ns: When the next stats flush is due.
        flushes: How many were drawn.
        flushed_until_ns: When the latest one was over.
    """

    busy_until_ns: int
    busy_ns: int
    next_flush_ns: int
    flushes: int
    flushed_until_ns: int


class MainThread:
    """The FIFO server with Envoy's periodic stats flush in it (rule P2).

    The flush has no effect but the time it takes, so it costs no event: the flushes that fell due since the
    last job are worked off, in arithmetic, when the next job starts.

    Args:
        cores: The machine's, where many Envoys share them; None: this thread always has one to itself.
    """

    __slots__ = (
        "_clock",
        "_clusters",
        "_costs",
        "_flush_interval_ns",
        "_flushed_until_ns",
        "_next_flush_ns",
        "_proxy",
        "_server",
        "_shares_cores",
    )

    def __init__(
        self,
        clock: Clock,
        proxy: int,
        costs: Costs,
        flush_interval_ns: int,
        clusters: Callable[[], int],
        cores: MultiServer | None = None,
    ) -> None:
        self._clock = clock
        self._proxy = proxy
        self._shares_cores = cores is not None
        self._costs = costs
        self._clusters = clusters
        self._flush_interval_ns = flush_interval_ns
        self._next_flush_ns = 0
        self._flushed_until_ns = clock.now_ns
        flushes = flush_interval_ns > 0 and not costs.law("stats_flush_per_cluster").is_zero
        stall = self._flush_ns if flushes else None
        if cores is None:
            self._server = SerialServer(clock, proxy, stall=stall)
        else:
            self._server = SharingServer(clock, cores, proxy, stall=stall)

    @property
    def busy_ns(self) -> int:
        """Time spent on jobs, flushes that held one up included."""
        return self._server.busy_ns

    @property
    def queue_length(self) -> int:
        """Jobs that wait."""
        return self._server.queue_length

    def start_flush_timer(self) -> None:
        """The flush timer is armed when the server is constructed: long ago for one there at t = 0."""
        now_ns, interval_ns = self._clock.now_ns, self._flush_interval_ns
        if now_ns < 0:
            self._next_flush_ns = 1 + int(self._costs.phase("stats_flush_phase") * interval_ns)
        else:
            self._next_flush_ns = now_ns + interval_ns

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._server.is_idle

    @property
    def past(self) -> MainThreadPast:
        """What it has done so far."""
        flushes = self._costs.drawn("stats_flush_per_cluster")
        return MainThreadPast(
            self._server.busy_until_ns, self.busy_ns, self._next_flush_ns, flushes, self._flushed_until_ns
        )

    def continue_from(self, past: MainThreadPast) -> None:
        """It has done this, elsewhere, and is idle."""
        self._server.busy_until_ns, self._server.busy_ns = past.busy_until_ns, past.busy_ns
        self._next_flush_ns, self._flushed_until_ns = past.next_flush_ns, past.flushed_until_ns
        self._costs.skip("stats_flush_per_cluster", past.flushes)

    def construct(self, cost_ns: int, done: Callable[[], None]) -> None:
        """Constructs the server: nothing else happens meanwhile, and on shared cores it takes its turn."""
        if self._shares_cores:
            self._server.submit(cost_ns, done)
        else:
            self._clock.after(cost_ns, done, band=Band.TIMER, entity=self._proxy)

    def submit(self, cost_ns: Callable[[], int] | int, done: Callable[[], None]) -> None:
        """Queues a job: ``cost_ns`` is asked when it starts, ``done`` runs when it ends."""
        self._server.submit(cost_ns, done)

    def _flush_ns(self, now_ns: int) -> int:
        """Time the job starting now must still wait for a flush under way."""
        if self._next_flush_ns == 0:
            return 0
        self._skip_idle_flushes(now_ns)
        while self._next_flush_ns <= now_ns:
            per_cluster_ns = self._costs.ns("stats_flush_per_cluster")
            starts_ns = max(self._next_flush_ns, self._flushed_until_ns, self._server.busy_until_ns)
            self._flushed_until_ns = starts_ns + per_cluster_ns * self._clusters()
            self._next_flush_ns += self._flush_interval_ns
        return max(0, self._flushed_until_ns - now_ns)

    def _skip_idle_flushes(self, now_ns: int) -> None:
        """Of the flushes of a long idle time only the last ones can hold anything up: each is over long
        before the next one begins."""
        interval_ns = self._flush_interval_ns
        idle = (now_ns - max(self._next_flush_ns, self._server.busy_until_ns)) // interval_ns - 2
        if idle <= 0:
            return
        longest_ns = self._costs.law("stats_flush_per_cluster").ns(_ALMOST_ONE) * self._clusters()
        if 2 * longest_ns < interval_ns:
            self._costs.skip("stats_flush_per_cluster", idle)
            self._next_flush_ns += idle * interval_ns
