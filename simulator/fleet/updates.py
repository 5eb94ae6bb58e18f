"""What answers to polls, and files, do to the proxies of the arrays: main threads, workers, and the changes.

Each main thread is FIFO (a running maximum) and held up by its stats flushes, as in `streams`; each answer is
applied by itself (`envoy/answered.py`). A cluster that a CDS answer changes warms until its new subscription
is answered; what waits for it is kept here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.answer_steps import KnownSteps, Step, Stepping
from simulator.fleet.arrived import Arrived, groups
from simulator.fleet.parted import Parted
from simulator.fleet.stats_flushes import StatsFlushes
from simulator.fleet.subscriptions import Carries, Subscriptions
from simulator.fleet.views import HeldViews
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Rows = NDArray[np.int64]

NEVER = 2**62


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """What is equal for all proxies.

    Attributes:
        update_ns: Main-thread time of the way an answer to a poll came, on top of applying it.
        fetch_timeout_ns: How long a warming cluster waits for its endpoints; 0 for ever.
        end_ns: End of the run.
    """

    update_ns: int
    fetch_timeout_ns: int
    end_ns: int


_Kind = tuple[Rows, int, tuple[Step, int], bool]
"""Rows of answers to one subscription; it; the step, and the content held after it; whether they are for the
cluster in service while its successor warms."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Changes of clusters that warm on the same proxies: each with the EDS subscriptions it waits for."""

    changes: Sequence[tuple[Parted, int, tuple[int, ...]]]


class Updates:
    """See the module.

    Args:
        entity: The proxies, by place.
        rank: Position of each among those of its group.
        clusters: Cluster objects of each.
        views: Told what workers hold, where requests are sent.

    Attributes:
        steps: What answers did so far.
    """

    def __init__(
        self,
        settings: UpdateSettings,
        subscriptions: Subscriptions[Resources, Names],
        stepping: Stepping,
        flushes: StatsFlushes,
        rank: Rows,
        clusters: Ints,
        views: HeldViews | None = None,
    ) -> None:
        count = len(rank)
        self._views = views
        self._touched: list[Places] = []
        self._settings, self._subscriptions = settings, subscriptions
        self._flushes, self._rank, self._clusters = flushes, rank, clusters.copy()
        self._busy_until_ns = np.full(count, -1, np.int64)
        self._workers_ns = np.zeros(count, np.int64)
        self.main_thread_busy_ns = np.zeros(count, np.int64)
        self.mark = np.zeros(count, np.int32)
        keys = len(subscriptions.layout.key_sub)
        self._held = np.zeros(keys, np.int32)
        self._warms_since_ns = np.full(keys, NEVER, np.int64)
        self._warming = np.zeros(count, np.int32)
        self._waits_in = np.full(count, -1, np.int32)
        self._waiting: list[_Waiting] = []
        self._late: dict[tuple[int, int], list[tuple[Parted, int]]] = {}
        """EDS parts that were applied while the cluster warmed, by place and subscription."""
        self.steps = KnownSteps(subscriptions, stepping)
        self._warmed: list[tuple[Places, Sequence[int], Ints]] = []
        self._served: list[tuple[Places, int, Ints]] = []

    @property
    def least_ns(self) -> int:
        """Main-thread time that any answer takes at least."""
        return self._settings.update_ns

    # --- what answers carry

    def sent(
        self,
        sub: NDArray[np.int32],
        place: Places,
        after: NDArray[np.int32],
        enqueued_ns: Ints,
        dequeued_ns: Ints,
        sent_ns: Ints,
    ) -> NDArray[np.bool_]:
        """Updates leave that bring what was published since; which of them carry changes."""
        carries, life = np.zeros(len(sub), bool), self._subscriptions.life
        for rows, (number, since) in groups(sub, after):
            brought = self._subscriptions.brought(number, since, self._subscriptions.publications)
            if not brought:
                continue
            ranks = self._rank[place[rows]]
            for carried in brought:
                carries[rows] |= carried.parted.is_carried(ranks)
                carried.parted.sent(life, ranks, enqueued_ns[rows], dequeued_ns[rows], sent_ns[rows])
        return carries

    def acked(
        self,
        sub: NDArray[np.int32],
        place: Places,
        after: NDArray[np.int32],
        until: NDArray[np.int32],
        t_ns: Ints,
    ) -> None:
        """Requests state the version of answers that brought these."""
        for rows, (number, since, last) in groups(sub, after, until):
            for carried in self._subscriptions.brought(number, since, last):
                carried.parted.acked(number, self._rank[place[rows]], t_ns[rows])

    # --- main threads

    def idle_jobs(self, place: Places, at_ns: Ints) -> Ints:
        """Jobs that cost nothing, one of each of these proxies; when each is done."""
        busy_ns = self._busy_until_ns[place]
        start_ns = np.maximum(at_ns, busy_ns)
        done_ns = start_ns
        if not self._flushes.is_off:
            stall_ns = self._flushes.stall_ns(place, start_ns, busy_ns, self._clusters[place])
            if stall_ns.any():
                done_ns = start_ns + stall_ns
                self._note_busy(place, start_ns, done_ns)
        self._busy_until_ns[place] = done_ns
        return done_ns

    def _note_busy(self, place: Places, start_ns: Ints, done_ns: Ints) -> None:
        self.main_thread_busy_ns[place] += np.where(done_ns <= self._settings.end_ns, done_ns - start_ns, 0)

    def jobs(self, place: Places, at_ns: Ints, which: Rows, arrived: Arrived, way_ns: int) -> Ints:
        """Jobs of these proxies, of which some apply answers that cost their way too; when each is done."""
        keys, kinds = self._kinds(arrived)
        cost_ns = np.zeros(len(place), np.int64)
        for rows, _, (step, _), _ in kinds:
            cost_ns[which[rows]] = step.cost_ns + way_ns
        busy_ns = self._busy_until_ns[place]
        start_ns = np.maximum(at_ns, busy_ns)
        done_ns = start_ns + cost_ns
        if not self._flushes.is_off:
            done_ns += self._flushes.stall_ns(place, start_ns, busy_ns, self._clusters[place])
        self._busy_until_ns[place] = done_ns
        self._note_busy(place, start_ns, done_ns)
        self._take(arrived, keys, kinds, done_ns[which])
        return done_ns

    def take(self, arrived: Arrived, applied_ns: Ints) -> None:
        """Main threads apply these answers, as was worked out elsewhere, and are done with it then."""
        self._take(arrived, *self._kinds(arrived), applied_ns)
        self.take_warmed()
        self.take_served()

    def _kinds(self, arrived: Arrived) -> tuple[Rows, list[_Kind]]:
        """Their keys; and what they do, those that do the same together."""
        keys = self._subscriptions.layout.keys_of(arrived.place, arrived.sub)
        warms = self._warms_since_ns[keys] != NEVER
        kinds = [
            (rows, sub, self.steps.step(sub, held, content, bool(is_warm)), bool(is_old))
            for rows, (sub, held, content, is_warm, is_old) in groups(
                arrived.sub, self._held[keys], arrived.content, warms, arrived.is_superseded
            )
        ]
        for rows, _, (step, _), _ in kinds:
            arrived.is_refused[rows] = bool(step.refused)
        return keys, kinds

    def _take(self, arrived: Arrived, keys: Rows, kinds: Sequence[_Kind], applied_ns: Ints) -> None:
        for rows, sub, (step, after), is_old in kinds:
            self._received(arrived, rows, sub)
            kept = (applied_ns[rows] <= self._settings.end_ns) & (applied_ns[rows] < arrived.stopped_ns[rows])
            rows = rows[kept]
            if len(rows):
                self._held[keys[rows]] = after
                self._apply(arrived, rows, sub, step, applied_ns[rows], keys[rows], is_old=is_old)

    def may_warm(self, key: Rows, sub: NDArray[np.int32], content: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether these contents of clusters may make some warm where they are applied next: not where it is
        known that all that is new is refused."""
        may = np.ones(len(key), bool)
        for rows, (number, held, new) in groups(sub, self._held[key], content):
            may[rows] = self.steps.may_warm(number, held, new)
        return may

    def _received(self, arrived: Arrived, rows: Rows, sub: int) -> None:
        for those, brought in self._brought(arrived, rows, sub):
            ranks = self._rank[arrived.place[those]]
            for carried in brought:
                carried.parted.received(ranks, arrived.received_ns[those])

    def _brought(self, arrived: Arrived, rows: Rows, sub: int) -> Iterator[tuple[Rows, list[Carries[Names]]]]:
        """These answers by what they carry, if anything."""
        for those, (since, last) in groups(arrived.carry_from[rows], arrived.carry_to[rows]):
            brought = self._subscriptions.brought(sub, since, last)
            if brought:
                yield rows[those], brought

    # --- applying

    def _apply(
        self, arrived: Arrived, rows: Rows, sub: int, step: Step, t_ns: Ints, keys: Rows, *, is_old: bool
    ) -> None:
        place, type_name = arrived.place, self._subscriptions.all[sub].type_name
        is_warm = type_name == "eds" and bool(step.awaited)
        if step.posts_always:
            self._post(place[rows], t_ns, step.post_ns)
            if self._views is not None:
                # Clusters in service take new endpoints, those that warm go into service with them.
                self._views.note(sub, place[rows], self._workers_ns[place[rows]], self._held)
        at = np.empty(len(arrived.sub), np.int64)
        at[rows] = t_ns
        waiting: list[tuple[Rows, list[Carries[Names]]]] = []
        for those, brought in self._brought(arrived, rows, sub):
            waits = self._note_applied(arrived, those, sub, step, brought, at[those])
            if waits:
                waiting.append((those, waits))
        if type_name == "cds" and step.awaited:
            self._warm(arrived, rows, sub, step, t_ns, waiting)
        elif is_warm and is_old:
            self._note_late(arrived, waiting, sub)
        elif step.then_ns is not None:
            self._post(place[rows], t_ns, step.then_ns)
            if is_warm:
                self._serve(place[rows], sub, t_ns, keys)
            for those, waits in waiting:
                for carried in waits:
                    where = place[those]
                    carried.parted.activated(sub, self._rank[where], at[those], self._workers_ns[where])

    def _note_applied(
        self,
        arrived: Arrived,
        rows: Rows,
        sub: int,
        step: Step,
        brought: Sequence[Carries[Names]],
        t_ns: Ints,
    ) -> list[Carries[Names]]:
        """These changes are applied, or refused; those that do not serve yet."""
        place = arrived.place[rows]
        ranks = self._rank[place]
        life = self._subscriptions.life_of(int(arrived.carry_to[rows[0]]))
        refused = [carried for carried in brought if carried.names.intersect(step.refused)]
        for carried in refused:
            carried.parted.rejected(
                life,
                ranks,
                arrived.enqueued_ns[rows],
                arrived.dequeued_ns[rows],
                arrived.sent_ns[rows],
                arrived.received_ns[rows],
            )
        brought = [carried for carried in brought if carried not in refused]
        for carried in brought:
            carried.parted.applied(
                sub,
                life,
                ranks,
                arrived.enqueued_ns[rows],
                arrived.dequeued_ns[rows],
                arrived.sent_ns[rows],
                arrived.received_ns[rows],
                t_ns,
            )
        done = [carried for carried in brought if not carried.names.intersect(step.awaited)]
        if done and not step.posts_always:
            self._post(place, t_ns, step.post_ns)
        for carried in done:
            carried.parted.activated(sub, ranks, t_ns, self._workers_ns[place])
        return [carried for carried in brought if carried.names.intersect(step.awaited)]

    def _post(self, place: Places, t_ns: Ints, delay_ns: int) -> None:
        """Workers take posts over in order."""
        self._workers_ns[place] = np.maximum(self._workers_ns[place], t_ns + delay_ns)

    # --- clusters that warm

    def _warm(
        self,
        arrived: Arrived,
        rows: Rows,
        sub: int,
        step: Step,
        t_ns: Ints,
        waiting: Sequence[tuple[Rows, list[Carries[Names]]]],
    ) -> None:
        """Their new objects subscribe their endpoints at once, in order."""
        is_again = self._warming[arrived.place[rows]] > 0
        if is_again.any():
            # Clusters change while others warm.
            self.note_touched(arrived.place[rows[is_again]])
            waiting = [(those[self._warming[arrived.place[those]] == 0], waits) for those, waits in waiting]
            rows, t_ns = rows[~is_again], t_ns[~is_again]
            if not len(rows):
                return
        place = arrived.place[rows]
        subs = self.steps.begun(sub, step)
        for eds in subs:
            self._warms_since_ns[self._subscriptions.layout.keys(place, eds)] = t_ns
        self._warming[place] = len(subs)
        self._clusters[place] += len(subs)
        self._waits_in[place] = -1
        for those, waits in waiting:
            self._waits_in[arrived.place[those]] = len(self._waiting)
            self._waiting.append(
                _Waiting(
                    [
                        (
                            c.parted,
                            sub,
                            tuple(self.steps.eds[sub][n] for n in c.names.intersect(step.awaited)),
                        )
                        for c in waits
                    ]
                )
            )
        self._warmed.append((place, subs, t_ns))

    def _note_late(
        self, arrived: Arrived, waiting: Sequence[tuple[Rows, list[Carries[Names]]]], sub: int
    ) -> None:
        for those, waits in waiting:
            for place in arrived.place[those].tolist():
                self._late.setdefault((place, sub), []).extend((c.parted, sub) for c in waits)

    def _serve(self, place: Places, sub: int, t_ns: Ints, keys: Rows) -> None:
        """Clusters have their endpoints and go into service; changes that waited for nothing else are
        active."""
        since_ns, timeout_ns = self._warms_since_ns[keys], self._settings.fetch_timeout_ns
        if timeout_ns:
            self.note_touched(place[t_ns > since_ns + timeout_ns])
        self._warms_since_ns[keys] = NEVER
        self._warming[place] -= 1
        self._clusters[place] -= 1
        layout = self._subscriptions.layout
        for rows, (number,) in groups(self._waits_in[place]):
            if number < 0:
                continue
            for parted, part, awaited in self._waiting[number].changes:
                if sub not in awaited:
                    continue
                where = place[rows]
                ready = np.ones(len(where), bool)
                for eds in awaited:
                    ready &= self._warms_since_ns[layout.keys(where, eds)] == NEVER
                where, done_ns = where[ready], t_ns[rows][ready]
                parted.activated(part, self._rank[where], done_ns, self._workers_ns[where])
        if self._late:
            for at, one in enumerate(place.tolist()):
                for parted, part in self._late.pop((one, sub), ()):
                    parted.activated(part, self._rank[[one]], t_ns[[at]], self._workers_ns[[one]])
        self._served.append((place, sub, t_ns))

    def take_warmed(self) -> list[tuple[Places, Sequence[int], Ints]]:
        """Proxies with the subscriptions that warming clusters started, and when."""
        taken, self._warmed = self._warmed, []
        return taken

    def take_served(self) -> list[tuple[Places, int, Ints]]:
        """Proxies with a subscription whose older loop ends, and when."""
        taken, self._served = self._served, []
        return taken

    # --- rows to whom more happens than is played here

    def note_touched(self, place: Places) -> None:
        """The run goes on with them, and is played again without these rows."""
        if len(place):
            self._touched.append(place)

    def touched(self) -> Places:
        """At the end of the run, all of them."""
        timeout_ns, late = self._settings.fetch_timeout_ns, np.empty(0, np.int32)
        if timeout_ns:
            keys = np.flatnonzero(self._warms_since_ns + timeout_ns <= self._settings.end_ns)
            late = self._subscriptions.layout.key_place[keys]
        return np.unique(np.concatenate([late, *self._touched]))
