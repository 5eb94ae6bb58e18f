"""The files of all proxies of the arrays, which each pod's kubelet moves into place in a rhythm of its own.

Between two publications pods have nothing to do with each other. At a synchronization a pod has what is
published then, and its Envoy reads every file that became another, one main-thread job each; rules and draws
are those of `propagation/file.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.delays import Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.fleet.arrived import Arrived
from simulator.fleet.loops import NEVER
from simulator.fleet.subscriptions import Subscriptions
from simulator.fleet.updates import Updates
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Places = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What is equal for all pods.

    Attributes:
        interval: Between two synchronizations of one pod.
        end_ns: End of the run.
    """

    interval: Uniform
    end_ns: int


class Files:
    """See the module.

    Args:
        clock: Time.
        draws: Random numbers of the run.
        subscriptions: The files, and what is published of them.
        updates: What reading does to the proxies.
        entity: The proxies, by place.
        group: Their groups.
    """

    def __init__(
        self,
        settings: FileSettings,
        clock: Clock,
        draws: Draws,
        subscriptions: Subscriptions[Resources, Names],
        updates: Updates,
        entity: Ints,
        group: NDArray[np.int32],
    ) -> None:
        self._clock = clock
        self._settings, self._draws, self._entity, self._group = settings, draws, entity, group
        self._subscriptions, self._updates = subscriptions, updates
        count, keys = len(entity), len(subscriptions.layout.key_sub)
        self._syncs = np.zeros(count, np.int64)
        self._next_ns = settings.interval.residual_ns_array(draws.uniform_array("kubelet.sync", entity, 0))
        self._is_due = np.zeros(count, bool)
        self._told = np.zeros(count, np.int32)
        """Entries of the log that are on disk."""
        self._log: list[list[Sequence[int]]] = []
        """Files that may have become others, by group, publication by publication."""
        self._read = np.zeros(keys, np.int32)
        self._seen = np.zeros(keys, np.int32)
        self._applied_ns = np.full(keys, -1, np.int64)

    @property
    def next_ns(self) -> int:
        """Nobody on the clock waits for a pod."""
        return NEVER

    def ahead(self, horizon_ns: int) -> bool:
        """See `next_ns`."""
        return False

    def before_publication(self) -> None:
        """Pods that were synchronized before have what was there before."""
        self._advance(self._clock.now_ns)

    def after_publication(self) -> None:
        """What is new is told file by file."""

    def work_off(self) -> None:
        """What is read is worked off with it."""
        self._advance(self._clock.now_ns)

    @property
    def clients(self) -> None:
        """Everybody has files, whoever writes them."""
        return None

    def before_end(self) -> None:
        """The istiod that writes ends now: files stay as they are."""
        self._advance(self._clock.now_ns - 1)

    def finish(self) -> None:
        """The run is over."""
        self._advance(self._settings.end_ns)

    def told(self, files: list[Sequence[int]]) -> None:
        """Something was published: these files, by group, may be others when a pod is synchronized next."""
        now_ns = self._clock.now_ns
        self._log.append(files)
        idle = np.flatnonzero(~self._is_due)
        while len(late := idle[self._next_ns[idle] < now_ns]):
            self._plan(late)
        self._is_due[idle] = True

    def _plan(self, places: NDArray[np.int64]) -> None:
        self._syncs[places] += 1
        u = self._draws.uniform_array("kubelet.sync", self._entity[places], self._syncs[places])
        self._next_ns[places] += np.maximum(1, self._settings.interval.ns_array(u))

    def _advance(self, last_ns: int) -> None:
        """Pods are synchronized, up to an instant."""
        places = np.flatnonzero(self._is_due & (self._next_ns <= last_ns))
        if not len(places):
            return
        key = self._told[places].astype(np.int64) * (int(self._group.max()) + 1) + self._group[places]
        order = np.argsort(key, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            self._sync(places[rows].astype(np.int32))
        self._told[places] = len(self._log)
        self._is_due[places] = False
        self._plan(places)

    def _sync(self, places: Places) -> None:
        """Pods of one group that were synchronized last at the same state of the log."""
        group, since = int(self._group[places[0]]), int(self._told[places[0]])
        subs = dict.fromkeys(sub for files in self._log[since:] for sub in files[group])
        rank = {"cds": 0, "eds": 1, "lds": 2, "rds": 4}
        all_, version = self._subscriptions.all, self._subscriptions.version
        at_ns = self._next_ns[places]
        reads = []
        for sub in sorted(subs, key=lambda sub: rank[all_[sub].type_name]):
            keys = self._subscriptions.layout.keys(places, sub)
            renamed = np.flatnonzero(self._read[keys] != version[sub])
            if len(renamed):
                self._read[keys[renamed]] = version[sub]
                reads.append(self._sent(sub, places[renamed], keys[renamed], at_ns[renamed]))
        again: list[Arrived] = []
        for arrived in reads:
            self._apply(arrived, self._updates.least_ns)
            for where, started, t_ns in self._updates.take_warmed():
                # They read at once, but the main thread has work before.
                layout = self._subscriptions.layout
                again += [self._sent(sub, where, layout.keys(where, sub), t_ns) for sub in started]
        for arrived in again:
            self._apply(arrived, 0)
        self._updates.take_served()

    def _sent(self, sub: int, places: Places, keys: Ints, t_ns: Ints) -> Arrived:
        count = len(places)
        # Files change again before an Envoy applied them.
        self._updates.note_touched(places[self._applied_ns[keys] > t_ns])
        subs, seen = np.full(count, sub, np.int32), self._seen[keys]
        self._updates.sent(subs, places, seen, t_ns, t_ns, t_ns)
        return Arrived(
            subs,
            places,
            np.full(count, self._subscriptions.current[sub], np.int32),
            seen,
            np.full(count, self._subscriptions.publications, np.int32),
            t_ns,
            t_ns,
            t_ns,
            t_ns,
            np.zeros(count, bool),
            np.full(count, NEVER, np.int64),
        )

    def _apply(self, arrived: Arrived, read_ns: int) -> None:
        places = arrived.place
        done_ns = self._updates.jobs(places, arrived.received_ns, np.arange(len(places)), arrived, read_ns)
        keys = self._subscriptions.layout.keys(places, int(arrived.sub[0]))
        self._seen[keys], self._applied_ns[keys] = arrived.carry_to, done_ns
