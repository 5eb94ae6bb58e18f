"""Answers to polls: those on their way to proxies of the arrays, and what main threads make of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.arrived import Arrived
from simulator.fleet.loops import NEVER, Loops
from simulator.fleet.poll_window import Window
from simulator.fleet.subscriptions import NOTHING, Subscriptions
from simulator.fleet.updates import Updates
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Ids = NDArray[np.int64]


class PolledAnswers:
    """See the module.

    Args:
        loops: Whose answers they are.
        window: Told which loops start.
        subscriptions: What there is to ask for.
        updates: What answers do to the proxies.

    Attributes:
        may_warm: Clusters may warm by an answer to a request that is under way or to come in this window.
    """

    def __init__(
        self,
        loops: Loops,
        window: Window,
        subscriptions: Subscriptions[Resources, Names],
        updates: Updates,
    ) -> None:
        self._loops, self._window = loops, window
        self._subscriptions, self._updates = subscriptions, updates
        self._answered: list[Ids] = []
        self.may_warm = False

    def add(self, ids: Ids) -> None:
        """These are given."""
        self._answered.append(ids)

    def gather(self) -> None:
        """Those that the network gives: connections that broke."""
        self._answered += self._loops.take_broken()

    @property
    def first_ns(self) -> int:
        """When the first one is at its proxy."""
        instant = self._loops.instant
        return min((int(instant[ids].min(initial=NEVER)) // 2 for ids in self._answered), default=NEVER)

    # --- clusters that warm

    @property
    def bring_clusters(self) -> bool:
        """Whether some may make clusters warm."""
        return any(self._has_clusters(ids).any() for ids in self._answered)

    @property
    def first_warming_ns(self) -> int:
        """Before then no loop can be started by an answer that is given already."""
        loops = self._loops
        first_ns = NEVER
        if not self.may_warm:
            return first_ns
        # A request that arrives at that instant itself comes before one that is sent at it.
        least_ns = max(1, self._updates.least_ns + loops.shortest_ns)
        for ids in self._answered:
            those = ids[self._has_clusters(ids)]
            if len(those):
                first_ns = min(first_ns, int(loops.instant[those].min()) // 2 + least_ns)
        return first_ns

    def _has_clusters(self, ids: Ids) -> NDArray[np.bool_]:
        """Updates at or before proxies that may make clusters warm."""
        loops = self._loops
        return self._may_warm(ids, loops.answer[ids], loops.answer[ids] != NOTHING)

    def would_warm(self, ids: Ids) -> NDArray[np.bool_]:
        """Requests whose answer may make clusters warm."""
        current = self._subscriptions.current[self._loops.sub[ids]]
        version = self._subscriptions.version[self._loops.sub[ids]]
        return self._may_warm(ids, current, self._loops.version[ids] != version)

    def _may_warm(self, ids: Ids, content: NDArray[np.int32], is_new: NDArray[np.bool_]) -> NDArray[np.bool_]:
        loops = self._loops
        may: NDArray[np.bool_] = is_new & self._subscriptions.is_cds[loops.sub[ids]]
        which = np.flatnonzero(may)
        if len(which):
            those = ids[which]
            may[which] = self._updates.may_warm(loops.key[those], loops.sub[those], content[which])
        return may

    # --- main threads

    def work_off(self, until_ns: int) -> bool:
        """What is at the proxies before then is handled by their main threads, in order; whether all of it.
        Not what may come after the answer to a loop that one of them starts."""
        loops = self._loops
        self.gather()
        if not self._answered:
            return True
        first_ns = min(until_ns, self.first_warming_ns)
        ids = self._answered[0] if len(self._answered) == 1 else np.concatenate(self._answered)
        instant = loops.instant[ids]
        is_ready = instant < 2 * first_ns
        is_all = first_ns == until_ns or not (instant[~is_ready] < 2 * until_ns).any()
        self._answered = []
        if not is_ready.all():
            self._answered.append(ids[~is_ready])
            ids = ids[is_ready]
        if len(ids):
            self._handle(self._loops.answered_in_order(ids))
        broken = loops.take_broken()
        self._answered += broken
        return is_all and not any((loops.instant[ids] < 2 * until_ns).any() for ids in broken)

    def _handle(self, ids: Ids) -> None:
        """Of each proxy the first of these jobs, then the second, and so on."""
        loops = self._loops
        mark = self._updates.mark
        while len(ids):
            places, at = loops.place[ids], np.arange(len(ids), dtype=np.int32)
            mark[places[::-1]] = at[::-1]
            is_first = mark[places] == at
            if is_first.all():
                self._jobs(ids)
                break
            self._jobs(ids[is_first])
            ids = ids[~is_first]

    def _jobs(self, ids: Ids) -> None:
        """One job of each of these proxies."""
        loops = self._loops
        instant = loops.instant[ids]
        at_ns = instant >> 1
        is_new = loops.answer[ids] != NOTHING
        has_new = bool(is_new.any())
        if loops.doubles:
            dropped = at_ns > loops.stopped_ns[ids]
            if dropped.any():
                gone = ids[dropped]
                loops.unapplied[loops.key[gone[loops.answer[gone] != NOTHING]]] -= 1
                loops.drop(gone)
                ids, at_ns, is_new, instant = (a[~dropped] for a in (ids, at_ns, is_new, instant))
        place = loops.place[ids]
        if not has_new:
            done_ns = self._updates.idle_jobs(place, at_ns)
        else:
            done_ns = self._jobs_with_content(
                ids, place, at_ns, is_new, (instant & 1).astype(bool) | loops.is_lost[ids]
            )
        loops.turns += 2
        if loops.doubles:
            stopped = loops.stopped_ns[ids] <= done_ns
            if stopped.any():
                loops.drop(ids[stopped])
                ids, done_ns = ids[~stopped], done_ns[~stopped]
        loops.wait(ids, done_ns)

    def _jobs_with_content(
        self,
        ids: Ids,
        place: NDArray[np.int32],
        at_ns: Ints,
        is_new: NDArray[np.bool_],
        is_late: NDArray[np.bool_],
    ) -> Ints:
        loops = self._loops
        key = loops.key[ids]
        loops.unapplied[key[is_new]] -= 1
        applies = is_new & ~is_late
        which = np.flatnonzero(applies)
        chosen = ids[which]
        arrived = Arrived(
            loops.sub[chosen],
            place[which],
            loops.answer[chosen],
            loops.carry_from[chosen],
            loops.carry_to[chosen],
            loops.arrival_ns[chosen],
            loops.started_ns[chosen],
            loops.left_ns[chosen],
            at_ns[which],
            at_ns[which] > loops.superseded_ns[chosen],
            loops.stopped_ns[chosen],
        )
        done_ns = self._updates.jobs(place, at_ns, which, arrived, self._updates.least_ns)
        kept = done_ns[which] < loops.stopped_ns[chosen]
        self._note_applied(chosen[kept], done_ns[which][kept])
        # The next request states the version.
        accepted = chosen[kept & ~arrived.is_refused]
        answer = loops.answer[accepted]
        loops.version[accepted] = self._subscriptions.versions_of(loops.sub[accepted], answer)
        for begun in self._updates.take_warmed():
            self._window.add(loops.start(*begun))
        for place_, sub, t_ns in self._updates.take_served():
            loops.stop_older(self._subscriptions.layout.keys(place_, sub), t_ns)
        return done_ns

    def _note_applied(self, ids: Ids, done_ns: Ints) -> None:
        """What these answers carried needs not be carried again."""
        loops = self._loops
        key = loops.key[ids]
        loops.seen_before[key] = loops.seen[key]
        loops.seen[key] = np.maximum(loops.seen[key], loops.carry_to[ids])
        loops.applied_ns[key] = done_ns
