"""What every part of one Envoy shares: its clock, draws, main thread, workers, settings and records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.envoy.main_thread import Costs, MainThread
from simulator.xds.resources import Names

if TYPE_CHECKING:
    from simulator.engine.draws import Draws
    from simulator.engine.events import Clock, Deadlines
    from simulator.envoy.settings import EnvoySettings
    from simulator.recording.recorder import Recorder
    from simulator.recording.rows import StartupRow
    from simulator.wire.contract import ChangeSink


class Workers:
    """Publication to the worker threads: a post to each worker's queue, FIFO, without a barrier.

    The workers of one Envoy take a post over at the same simulated instant; what decides traffic from then
    on is
    *active*. Before the workers run, a publication takes effect with their start.
    Source: source/common/thread_local/thread_local_impl.cc.
    """

    __slots__ = ("_clock", "_last_ns", "_proxy", "_waiting", "watchers")

    def __init__(self, clock: Clock, proxy: int) -> None:
        self._clock = clock
        self._proxy = proxy
        self._last_ns = 0
        self._waiting: list[Callable[[int], None]] | None = []
        self.watchers: list[Callable[[int], None]] = []
        """Told the instant of each publication (the data plane, where there is traffic)."""

    @property
    def last_ns(self) -> int:
        """When they have what was published last."""
        return self._last_ns

    @property
    def are_running(self) -> bool:
        """Whether the workers were started."""
        return self._waiting is None

    def publish(self, delay_ns: int, then: Callable[[int], None] | None = None) -> None:
        """Posts what changed; ``then`` is told the instant at which every worker has it."""
        if self._waiting is not None:
            if then is not None:
                self._waiting.append(then)
            return
        self._last_ns = max(self._last_ns, self._clock.now_ns + delay_ns)
        if then is not None:
            then(self._last_ns)
        for watcher in self.watchers:
            watcher(self._last_ns)

    def start(self, delay_ns: int) -> int:
        """Starts the workers with all that was published before; the instant from which they serve."""
        waiting, self._waiting = self._waiting or [], None
        self._last_ns = self._clock.now_ns + delay_ns
        for then in waiting:
            then(self._last_ns)
        for watcher in self.watchers:
            watcher(self._last_ns)
        return self._last_ns


class Activations:
    """Which recorded changes this Envoy has applied but does not serve yet, and the names each still waits
    for."""

    __slots__ = ("_changes", "_proxy", "_waiting")

    def __init__(self, changes: ChangeSink, proxy: int) -> None:
        self._changes = changes
        self._proxy = proxy
        self._waiting: dict[int, tuple[str, Names]] = {}

    def applied(
        self, changes: Iterable[int], type_name: str, now_ns: int, *, refused: Names, awaited: Names
    ) -> list[int]:
        """Notes the application of changes an update of that type carried.

        Args:
            changes: The changes.
            type_name: Type of the update.
            now_ns: The present instant.
            refused: Names this Envoy refused: a change of any of them is rejected.
            awaited: Names applied that do not serve yet.

        Returns:
            Those that wait for nothing more than publication.
        """
        done = []
        for change in changes:
            names = self._changes.type_and_names(change)[1]
            outstanding = names.intersect(awaited)
            if names.intersect(refused):
                self._changes.on_rejected(change, self._proxy, now_ns)
                continue
            self._changes.on_applied(change, self._proxy, now_ns)
            if outstanding:
                self._waiting[change] = (type_name, outstanding)
            else:
                done.append(change)
        return done

    def refused(self, changes: Iterable[int], now_ns: int) -> None:
        """This Envoy refused them."""
        for change in changes:
            self._changes.on_rejected(change, self._proxy, now_ns)

    def activated(self, type_name: str, names: Names) -> list[int]:
        """Names of that type became active (or went): the changes that waited for nothing else."""
        done = []
        for change, (waiting_type, outstanding) in list(self._waiting.items()):
            if waiting_type == type_name:
                rest = outstanding.minus(names)
                if rest:
                    self._waiting[change] = (type_name, rest)
                else:
                    del self._waiting[change]
                    done.append(change)
        return done

    def active(self, changes: Iterable[int], t_ns: int) -> None:
        """They decide traffic from ``t_ns`` on."""
        for change in changes:
            self._changes.on_active(change, self._proxy, t_ns)


@dataclass(slots=True, eq=False)
class Process:
    """One Envoy process, as its parts see it."""

    proxy: int
    clock: Clock
    deadlines: Deadlines
    draws: Draws
    recorder: Recorder
    settings: EnvoySettings
    row: StartupRow
    changes: ChangeSink
    costs: Costs
    main_thread: MainThread
    workers: Workers
    on_first_subscription: Callable[[], None]
    on_received: Callable[[], None]
    activations: Activations = field(init=False)
    succeeded: dict[str, None] = field(default_factory=dict)
    """Wildcard types (cds, lds) of which an update was accepted."""
    has_subscribed: bool = False
    is_exited: bool = False

    def __post_init__(self) -> None:
        self.activations = Activations(self.changes, self.proxy)

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return self.clock.now_ns

    def note_subscription(self) -> None:
        """A subscription starts; the first one is the origin of a script's times."""
        if not self.has_subscribed:
            self.has_subscribed = True
            self.on_first_subscription()

    def note_success(self, type_name: str) -> None:
        """An update of CDS or LDS was accepted: the istio-agent's readiness asks for both."""
        if type_name not in self.succeeded:
            self.succeeded[type_name] = None
            self.on_received()

    def enter(self, machine: str, names: str | Names, state: str, detail: str = "") -> None:
        """Records that a machine entered a state."""
        self.recorder.state(self.clock.now_ns, self.proxy, machine, names, state, detail)

    def count(self, stat: str, n: int = 1) -> None:
        """Adds to a counter, by Envoy's name."""
        self.recorder.counters.add(self.proxy, stat, n)

    def count_each(self, stat: str, names: Names, n: int = 1) -> None:
        """Adds to the counter of each name; ``{}`` in the stat stands for it."""
        if names:
            self.recorder.counters.add_each(self.proxy, stat, names, n)

    def count_update(self, scope: str, result: str) -> None:
        """Counts a delivery or failure of a subscription: ``success``, ``rejected`` or ``failure``."""
        self.count(scope + "update_attempt")
        self.count(f"{scope}update_{result}")

    def count_updates(self, scope: str, result: str, names: Names) -> None:
        """The same for the subscription of each name; ``{}`` in the scope stands for it."""
        self.count_each(scope + "update_attempt", names)
        self.count_each(f"{scope}update_{result}", names)

    def gauge(self, stat: str, value: int) -> None:
        """Sets a gauge, by Envoy's name."""
        self.recorder.counters.set(self.proxy, stat, value)

    def publish(self, cost_key: str, changes: list[int]) -> None:
        """Posts to the workers; the changes are active when all have it."""
        delay_ns = self.costs.ns(cost_key)
        if changes:
            self.workers.publish(delay_ns, lambda t_ns: self.activations.active(changes, t_ns))
        else:
            self.workers.publish(delay_ns)
