"""When the processes of istiod end and start: known before the run, since nothing that proxies do changes it.

The pods of istiod alone are played, with the same timeline and the same draws, and with processes that do
nothing but start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from simulator.control_plane.istiod.deployment import DEFAULT_REVISION
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.workload.entries import (
    AddIstiodEntry,
    MigrateRevisionEntry,
    RestartIstiodEntry,
    RolloutIstiodEntry,
)
from simulator.workload.istiod_pods import IstiodPods, IstiodPodSettings
from simulator.workload.timeline import Happening

NEVER = 2**62
_OF_ISTIODS = RestartIstiodEntry | AddIstiodEntry | RolloutIstiodEntry | MigrateRevisionEntry


class IstiodLives:
    """The processes of istiod (workload/contract.py: IstiodActions).

    Args:
        timeline: What will happen.
        draws: Random numbers of the run.
        settings: Of the pods.
        cache_sync: From the start of a process until it has synced.
        replicas: At the start.
        end_ns: End of the run.
        are_running: Those of the start run since long ago; else they are created at 0.

    Attributes:
        ends_ns: By number of a replica the instants at which it ends, in order.
        nobody_ns: The times at which no replica is synced, as pairs: from the end of the last one on, up to
            the instant at which one is, both included (a message comes after the one and before the other).
        has_one_heir: When the replica that took over from the one before ends, or the first one, there is
            never more than one that serves.
    """

    def __init__(
        self,
        timeline: Sequence[Happening],
        draws: Draws,
        settings: IstiodPodSettings,
        cache_sync: Delay,
        replicas: int,
        end_ns: int,
        *,
        are_running: bool = True,
    ) -> None:
        self.ends_ns: dict[int, list[int]] = {}
        self.nobody_ns: list[tuple[int, int]] = []
        self.has_one_heir = True
        self._serving: dict[int, None] = dict.fromkeys(range(replicas if are_running else 0))
        self._heir: int | None = 0
        self._ended_ns: int | None = None
        self._draws, self._cache_sync = draws, cache_sync
        self._clock = Clock()
        self._starts: dict[int, int] = {}
        self._revisions = {DEFAULT_REVISION: None}
        self._pods = IstiodPods(self._clock, draws, settings, self, replicas, are_running=are_running)
        for number in range(0 if are_running else replicas):
            self._clock.at(0, partial(self._pods.begin, number), band=Band.WORKLOAD)
        for happening in timeline:
            if isinstance(happening.entry, _OF_ISTIODS):
                self._clock.at(happening.t_ns, partial(self._play, happening), band=Band.WORKLOAD)
        self._clock.run(end_ns)
        self._note_nobody(NEVER)

    def start_istiod(self, replica: int, on_synced: Callable[[], None]) -> None:
        """See IstiodActions."""
        starts = self._starts[replica] = self._starts.get(replica, 0) + 1
        delay_ns = draw_ns(self._cache_sync, self._draws, "istiod.cache_sync", replica, starts)

        def synced() -> None:
            if self._starts.get(replica) == starts:
                self._note_synced(replica)
                on_synced()

        self._clock.after(delay_ns, synced, band=Band.TIMER, entity=replica)

    def stop_istiod(self, replica: int) -> None:
        """See IstiodActions."""
        self._starts[replica] = self._starts.get(replica, 0) + 1
        self.ends_ns.setdefault(replica, []).append(self._clock.now_ns)
        if replica in self._serving:
            self._note_end(replica)

    def _note_synced(self, replica: int) -> None:
        self._serving[replica] = None
        if self._note_nobody(self._clock.now_ns):
            self._heir = replica

    def _note_nobody(self, until_ns: int) -> bool:
        """Nobody served until then; whether that is so."""
        since_ns, self._ended_ns = self._ended_ns, None
        if since_ns is None:
            return False
        self.nobody_ns.append((since_ns, until_ns))
        return True

    def _note_end(self, replica: int) -> None:
        del self._serving[replica]
        if not self._serving:
            self._heir, self._ended_ns = None, self._clock.now_ns
        elif replica == self._heir:
            self.has_one_heir &= len(self._serving) == 1
            self._heir = next(iter(self._serving))

    def istiod_in_service(self, replica: int, is_in: bool) -> None:
        """See IstiodActions."""

    def assign_revision(self, replica: int, revision: str) -> None:
        """See IstiodActions."""
        self._revisions[revision] = None

    def _play(self, happening: Happening) -> None:
        match happening.entry:
            case RestartIstiodEntry() as entry:
                self._pods.restart(entry.replica, entry.down_for_ns)
            case AddIstiodEntry() as entry:
                self._pods.add(entry.count)
            case RolloutIstiodEntry() as entry:
                self._pods.rollout(entry.max_surge, entry.max_unavailable)
            case MigrateRevisionEntry() as entry if entry.to not in self._revisions:
                self._pods.install(entry.to, entry.replicas, lambda: None)
