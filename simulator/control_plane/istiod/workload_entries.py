"""WorkloadEntries of virtual machines: istiod writes them as VMs connect, and removes those that stay away.

The replica that a VM connects to writes the entry through the API server and is its controller. When that
connection ends the entry has a grace period; a VM that is back by then, at whichever replica, keeps it. A
replica that ends tells nobody: its entries stay, until a sweep finds their connection too old. Health is what
the VM's agent reported last; an entry that is new has none, and counts as unhealthy until it is told better.
Left out: retries of a write; the CA of VMs.
Source: pilot/pkg/autoregistration/controller.go; pilot/pkg/features/pilot.go
(PILOT_WORKLOAD_ENTRY_GRACE_PERIOD 10s); pilot/pkg/xds/ads.go:handleWorkloadHealthcheck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Protocol

from simulator.engine.clock import MS, S
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.events import After, Band
from simulator.engine.machine import Machine, bind

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment


@dataclass(frozen=True, slots=True)
class WorkloadEntrySettings:
    """How long entries stay.

    Attributes:
        grace_ns: PILOT_WORKLOAD_ENTRY_GRACE_PERIOD.
        sweep_ns: Between two periodic sweeps: ten times that.
        orphaned_after_ns: Age of the connection at which an entry without a controller is removed: 1.5 times
            the maximum age of connections (30m).
        cleanup_interval_ns: Removals are limited to 20 a second.
    """

    grace_ns: int = 10 * S
    orphaned_after_ns: int = 45 * 60 * S
    cleanup_interval_ns: int = 50 * MS

    @property
    def sweep_ns(self) -> int:
        """Between two periodic sweeps."""
        return 10 * self.grace_ns


class EntryWrites(Protocol):
    """What the API server does with an entry."""

    def written(self, vm: int, *, is_healthy: bool) -> None:
        """The entry of a VM is there, with this condition."""

    def removed(self, vm: int) -> None:
        """It is gone."""


class EntryState(Enum):
    """Where the entry of a VM stands."""

    ABSENT = "Absent"
    CONNECTED = "Connected"
    DISCONNECTED = "Disconnected"


class EntrySignal(Enum):
    """What happens to it."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    GRACE_OVER = "grace over"
    ORPHANED = "orphaned"


_S, _G = EntryState, EntrySignal
WORKLOAD_ENTRY = {
    (_S.ABSENT, _G.CONNECTED): (_S.CONNECTED, "create"),
    (_S.CONNECTED, _G.CONNECTED): (_S.CONNECTED, None),
    (_S.CONNECTED, _G.DISCONNECTED): (_S.DISCONNECTED, "await_grace"),
    (_S.CONNECTED, _G.ORPHANED): (_S.ABSENT, "remove"),
    (_S.DISCONNECTED, _G.CONNECTED): (_S.CONNECTED, "keep"),
    (_S.DISCONNECTED, _G.GRACE_OVER): (_S.ABSENT, "remove"),
}


class WorkloadEntry:
    """The entry of one VM."""

    def __init__(self, entries: WorkloadEntries, vm: int, *, is_there: bool) -> None:
        self._entries = entries
        self.vm = vm
        self.controller = 0
        """The replica of its newest connection."""
        self.connected_ns = 0
        self.streams: dict[int, int] = {}
        """Open connections by replica."""
        self.is_healthy = is_there
        self.writes = 0
        self._grace: After | None = None
        self.machine = Machine(_S.CONNECTED if is_there else _S.ABSENT, _ROWS, self, _note_nothing)

    def create(self) -> None:
        """A VM that is not known: its entry is written, without a condition."""
        self.is_healthy = False
        self._entries.write(self)

    def keep(self) -> None:
        """It is back in time."""
        assert self._grace is not None
        self._grace.cancel()

    def await_grace(self) -> None:
        """Its connection ended: it is annotated, and removed if it stays away."""
        entries = self._entries
        self._grace = entries.after(entries.settings.grace_ns, self.vm, self._grace_over)

    def remove(self) -> None:
        """The entry is deleted."""
        self._entries.remove(self)

    def _grace_over(self) -> None:
        self.machine.fire(_G.GRACE_OVER)


def _note_nothing(_entry: WorkloadEntry, _before: EntryState, _after: EntryState) -> None:
    """The states are in no table: what the API server is told is a change of endpoints."""


_ROWS = bind(WORKLOAD_ENTRY, WorkloadEntry)
TABLES = {"workload_entry": (WORKLOAD_ENTRY, _S.ABSENT, ())}


class WorkloadEntries:
    """The auto-registration of all replicas.

    Args:
        deployment: The replicas.
        settings: How long entries stay.
        vms: Ids of the VMs.
        api_call: Time of a write.
        writes: What it does.
        are_there: The VMs are connected since long ago.
    """

    def __init__(
        self,
        deployment: Deployment,
        settings: WorkloadEntrySettings,
        vms: Iterable[int],
        api_call: Delay,
        writes: EntryWrites,
        *,
        are_there: bool,
    ) -> None:
        self.settings = settings
        self._deployment = deployment
        self._api_call = api_call
        self._writes = writes
        self._entries = {vm: WorkloadEntry(self, vm, is_there=are_there) for vm in vms}
        self._next_cleanup_ns = 0
        self.on_connected: Callable[[int], None] = lambda _vm: None
        """Told of each new connection of a VM: the agent sends its last report along."""
        deployment.connection_watchers.append(self._on_connection)

    # --- connections

    def _on_connection(self, proxy: int, replica: int, event: str) -> None:
        entry = self._entries.get(proxy)
        if entry is None:
            return
        if event == "opened":
            entry.streams[replica] = entry.streams.get(replica, 0) + 1
            entry.controller, entry.connected_ns = replica, self._deployment.clock.now_ns
            entry.machine.fire(_G.CONNECTED)
            self.on_connected(proxy)
            return
        entry.streams[replica] -= 1
        if entry.controller != replica or entry.streams[replica]:
            return  # it is connected elsewhere by now
        if event == "closed":
            entry.machine.fire(_G.DISCONNECTED)
        else:
            self._await_sweep(entry)

    def _await_sweep(self, entry: WorkloadEntry) -> None:
        """Its controller ended with the connection: a sweep removes the entry when the connection is old."""
        connected_ns, sweep_ns = entry.connected_ns, self.settings.sweep_ns
        due_ns = max(connected_ns, 0) + self.settings.orphaned_after_ns
        due_ns += -due_ns % sweep_ns

        def sweep() -> None:
            is_alone = entry.connected_ns == connected_ns and not any(entry.streams.values())
            if is_alone and entry.machine.state is _S.CONNECTED:
                if self._deployment.replicas:
                    entry.machine.fire(_G.ORPHANED)
                else:
                    self.after(sweep_ns, entry.vm, sweep)

        self.after(due_ns - self._deployment.clock.now_ns, entry.vm, sweep)

    # --- health (what the agent of a connected VM reports)

    def report(self, vm: int, *, is_healthy: bool) -> None:
        """A report has reached the replica that the VM is connected to."""
        entry = self._entries[vm]
        if entry.machine.state is _S.CONNECTED and entry.is_healthy != is_healthy:
            entry.is_healthy = is_healthy
            self.write(entry)

    def is_connected(self, vm: int) -> bool:
        """Whether a report would reach a replica."""
        return any(self._entries[vm].streams.values())

    # --- writes

    def write(self, entry: WorkloadEntry) -> None:
        """The entry, with the condition that it has then."""
        entry.writes += 1

        def written() -> None:
            if entry.machine.state is not _S.ABSENT:
                self._writes.written(entry.vm, is_healthy=entry.is_healthy)

        self._call(entry, written)

    def remove(self, entry: WorkloadEntry) -> None:
        """Behind the limit of removals."""
        now_ns = self._deployment.clock.now_ns
        begin_ns = max(now_ns, self._next_cleanup_ns)
        self._next_cleanup_ns = begin_ns + self.settings.cleanup_interval_ns
        entry.writes += 1

        def removed() -> None:
            if entry.machine.state is _S.ABSENT:
                self._writes.removed(entry.vm)

        self.after(begin_ns - now_ns, entry.vm, partial(self._call, entry, removed))

    def _call(self, entry: WorkloadEntry, done: Callable[[], None]) -> None:
        deployment = self._deployment
        if deployment.clock.now_ns < 0:
            done()
            return
        draws = deployment.draws
        delay_ns = draw_ns(self._api_call, draws, "istiod.workload_entry", entry.vm, entry.writes)
        self.after(delay_ns, entry.vm, done)

    def after(self, delay_ns: int, vm: int, call: Callable[[], None]) -> After:
        """Later, about a VM."""
        return self._deployment.clock.after(delay_ns, call, band=Band.WORKLOAD, entity=vm)
