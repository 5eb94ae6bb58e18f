"""What befalls proxies: partitions, slow readers, restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.workload.contract import IncidentActions
from simulator.workload.entries import (
    CaOutageEntry,
    HotRestartEntry,
    PartitionEntry,
    RestartEntry,
    Selection,
    SlowReaderEntry,
    UnhealthyEntry,
)
from simulator.workload.selection import chosen_proxies
from simulator.workload.timeline import Happening


class _Condition:
    """A condition that proxies are in while at least one incident holds them there."""

    __slots__ = ("_holds", "_switch")

    def __init__(self, switch: Callable[[int, bool], None]) -> None:
        self._switch = switch
        self._holds: dict[int, int] = {}

    def begin(self, proxy: int) -> None:
        """One more incident holds it."""
        self._holds[proxy] = self._holds.get(proxy, 0) + 1
        if self._holds[proxy] == 1:
            self._switch(proxy, True)

    def end(self, proxy: int) -> None:
        """One incident less does."""
        self._holds[proxy] -= 1
        if self._holds[proxy] == 0:
            del self._holds[proxy]
            self._switch(proxy, False)


class Incidents:
    """Carries out what befalls proxies.

    Args:
        clock: Whose time passes.
        draws: Random numbers; they choose the proxies.
        actions: Do it.
    """

    def __init__(self, clock: Clock, draws: Draws, actions: IncidentActions) -> None:
        self._clock = clock
        self._draws = draws
        self._actions = actions
        self._cut_off = _Condition(actions.partition)
        self._slow = _Condition(actions.slow_reader)
        self._unhealthy = _Condition(actions.unhealthy)

    def begin(self, happening: Happening, entry: PartitionEntry | SlowReaderEntry | UnhealthyEntry) -> None:
        """A condition begins that lasts."""
        match entry:
            case PartitionEntry():
                self.partition(happening, entry)
            case SlowReaderEntry():
                self.slow_reader(happening, entry)
            case UnhealthyEntry():
                self.unhealthy(happening, entry)

    def partition(self, happening: Happening, entry: PartitionEntry) -> None:
        """Proxies are cut off, for a while or for good."""
        self._hold(self._cut_off, happening, entry)

    def slow_reader(self, happening: Happening, entry: SlowReaderEntry) -> None:
        """Proxies stop reading, for a while or for good."""
        self._hold(self._slow, happening, entry)

    def restart(self, happening: Happening, entry: RestartEntry | HotRestartEntry) -> None:
        """Envoys are killed and start anew, or new ones take over from them."""
        is_hot = isinstance(entry, HotRestartEntry)
        restart = self._actions.hot_restart if is_hot else self._actions.restart_proxy
        for proxy in self._chosen(happening, entry.proxies):
            restart(proxy)

    def ca_outage(self, entry: CaOutageEntry) -> None:
        """The CA fails, for a while or for good."""
        self._actions.ca_outage(True, entry.delay)
        if entry.lasts_ns is not None:
            self._clock.after(
                entry.lasts_ns, lambda: self._actions.ca_outage(False, entry.delay), band=Band.WORKLOAD
            )

    def root_rotation(self) -> None:
        """The CA has a new root."""
        self._actions.rotate_root()

    def unhealthy(self, happening: Happening, entry: UnhealthyEntry) -> None:
        """Workloads of virtual machines answer nobody, for a while or for good."""
        vms = self._actions.vms()
        held = chosen_proxies(entry.vms, vms, self._draws, happening.label, happening.index)
        self._hold_these(self._unhealthy, held, entry.lasts_ns)

    def _hold(
        self, condition: _Condition, happening: Happening, entry: PartitionEntry | SlowReaderEntry
    ) -> None:
        self._hold_these(condition, self._chosen(happening, entry.proxies), entry.lasts_ns)

    def _hold_these(self, condition: _Condition, held: Sequence[int], lasts_ns: int | None) -> None:
        for proxy in held:
            condition.begin(proxy)

        def over() -> None:
            for proxy in held:
                condition.end(proxy)

        if lasts_ns is not None:
            self._clock.after(lasts_ns, over, band=Band.WORKLOAD)

    def _chosen(self, happening: Happening, selection: Selection) -> tuple[int, ...]:
        return chosen_proxies(
            selection, self._actions.proxies(), self._draws, happening.label, happening.index
        )
