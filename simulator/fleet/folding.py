"""Deliveries of the arrays, counted while the run goes on, where their rows would be too many.

A batch of pushes is counted as soon as nothing about it can change any more: an ACK that arrives while its
connection's worker makes the next push is read when that is sent, all else is known when the push is. Of
each change only what differs between changes is worked out for it: changes that the same pushes carry in the
same way share their instants, and so their sorted columns; a change takes its own instant from these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.batches import Batch
from simulator.fleet.deliveries import OF_PUSH, Announced, Rows, delivery_parts, instants_of_push, way_of
from simulator.fleet.moves import Carried
from simulator.fleet.streams import Ints, Small
from simulator.recording.delivery_tally import SPANS, DeliveryTally
from simulator.recording.recorder import Recorder
from simulator.recording.sampling import is_sampled, sampled_share

InHand = tuple[NDArray[np.int64], Ints]
"""Places whose push is in progress, and since when."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A batch, and the rows of it whose ACK may still be read later."""

    batch: Batch
    rows: NDArray[np.int64]


class Folding:
    """See the module.

    Args:
        recorder: Gets the tally.
        entity: Proxies by place, ascending.
        group: Their groups.
        end_ns: End of the run.
        since: The first change that concerns each proxy, as it will be known at the end; None where all do.
    """

    def __init__(
        self, recorder: Recorder, entity: Ints, group: Small, end_ns: int, since: Ints | None = None
    ) -> None:
        self._recorder, self._entity, self._group, self._end_ns = recorder, entity, group, end_ns
        self._since = since
        if recorder.delivery_tally is None:
            recorder.delivery_tally = DeliveryTally()
        self._tally = recorder.delivery_tally
        self._waiting: list[_Waiting] = []
        self._seat = np.full(len(entity), -1, np.int32)
        self._since_ns = np.full(len(entity), end_ns + 1)
        self._counted = np.zeros(0, np.int64)
        """By change, how many deliveries are in the tally."""
        self._share = 1.0
        self._sampled = np.arange(len(entity))
        self._sample: list[Batch] = []

    # --- ACKs

    def take(self, batch: Batch, *, is_read: bool = False) -> None:
        """One more batch, in order: it may hold what ACKs of earlier ones wait for. Where its own were read
        already, nothing about it can change."""
        if is_read:
            self._count(batch)
            return
        self._seat[batch.place] = np.arange(len(batch.place), dtype=np.int32)
        for waiting in self._waiting:
            rows = waiting.rows
            seat = self._seat[waiting.batch.place[rows]]
            rows, seat = rows[seat >= 0], seat[seat >= 0]
            self._read(waiting.batch, rows, batch.busy_from_ns[seat], batch.sent_ns[seat])
        self._seat[batch.place] = -1
        if batch.moves:
            self._waiting.append(_Waiting(batch, np.arange(len(batch.place))))

    @staticmethod
    def _read(batch: Batch, rows: NDArray[np.int64], since_ns: Ints, until_ns: Ints) -> None:
        for acked in batch.acked_ns:
            mine = acked[rows]
            acked[rows] = np.where((mine > since_ns) & (mine <= until_ns), until_ns, mine)

    def settle(self, now_ns: int, in_hand: InHand, owner: int = 0) -> None:
        """Everything before `now_ns` that this owner sends was taken: what can no longer change is
        counted."""
        since_ns = self._in_hand_since(in_hand)
        still: list[_Waiting] = []
        for waiting in self._waiting:
            rows, batch = waiting.rows, waiting.batch
            if batch.owner != owner:
                still.append(waiting)
                continue
            last = np.max([acked[rows] for acked in batch.acked_ns], axis=0)
            waiting.rows = rows[(last >= now_ns) | (last > since_ns[batch.place[rows]])]
            if len(waiting.rows):
                still.append(waiting)
            else:
                self._count(batch)
        self._waiting = still
        since_ns[in_hand[0]] = self._end_ns + 1

    def _in_hand_since(self, in_hand: InHand) -> Ints:
        """By place since when its push is in hand: after the end of the run where none is."""
        self._since_ns[in_hand[0]] = in_hand[1]
        return self._since_ns

    def read_last(self, in_hand: InHand, owner: int = 0) -> None:
        """The streams of this owner end, or the run: what is in hand is never sent."""
        since_ns = self._in_hand_since(in_hand)
        own = [waiting for waiting in self._waiting if waiting.batch.owner == owner]
        self._waiting = [waiting for waiting in self._waiting if waiting.batch.owner != owner]
        for waiting in own:
            rows, batch = waiting.rows, waiting.batch
            self._read(batch, rows, since_ns[batch.place[rows]], np.full(len(rows), self._end_ns + 1))
            self._count(batch)
        since_ns[in_hand[0]] = self._end_ns + 1

    def finish(self, announced: Sequence[Announced]) -> None:
        """The run is over, and all ACKs are read."""
        assert not self._waiting, "somebody's last ACKs were not read"
        groups = 1 + max((max(change.groups) for change in announced), default=0)
        since = np.zeros(len(self._group), np.int64) if self._since is None else self._since
        firsts = [np.sort(since[self._group == group]) for group in range(groups)]
        for change in announced:
            concerned = sum(int(np.searchsorted(firsts[g], change.change, "right")) for g in change.groups)
            counted = int(self._counted[change.change]) if change.change < len(self._counted) else 0
            if counted < concerned:
                self._tally.add_pending(change.change, concerned - counted)

    # --- the sample

    def rows(self, announced: Sequence[Announced]) -> Iterator[Mapping[str, Any]]:
        """The rows of the proxies that are sampled, as `deliveries.delivery_parts` gives them."""
        self._narrow(sampled_share(self._recorder.deliveries_begun))
        of = self._sampled
        renumbered = [
            replace(batch, place=np.searchsorted(of, batch.place).astype(np.int32)) for batch in self._sample
        ]
        since = None if self._since is None else self._since[of]
        entity, group = self._entity[of], self._group[of]
        return delivery_parts(announced, renumbered, entity, group, self._end_ns, since=since)

    def _narrow(self, share: float) -> None:
        """Of fewer proxies the rows are kept from here on; they are among those of before."""
        if share >= self._share:
            return
        self._share = share
        self._sampled = self._sampled[is_sampled(self._entity[self._sampled], share)]
        chosen = self._is_sampled = np.zeros(len(self._entity), bool)
        chosen[self._sampled] = True
        self._sample = [part for batch in self._sample if (part := batch.part(chosen[batch.place])).moves]

    def _keep_sample(self, batch: Batch) -> None:
        share = sampled_share(self._recorder.deliveries_begun)
        if share <= self._share / 2:
            self._narrow(share)
        chosen = np.ones(len(batch.place), bool) if self._share == 1.0 else self._is_sampled[batch.place]
        part = batch.part(chosen)
        if part.moves:
            self._sample.append(part)

    # --- counting

    def _count(self, batch: Batch) -> None:
        self._keep_sample(batch)
        is_late = np.zeros(len(batch.place), bool)
        for column in (*batch.applied_ns, *batch.acked_ns):
            is_late |= column > self._end_ns
        if is_late.any():
            self._count_rows(batch.part(is_late))
            batch = batch.part(~is_late)
        carried: dict[int, tuple[Carried, list[int]]] = {}
        for number, (_, move) in enumerate(batch.moves):
            for change in move.carried:
                carried.setdefault(id(change), (change, []))[1].append(number)
        alike: dict[tuple[object, bool, tuple[int, ...]], list[Carried]] = {}
        for change, moves in carried.values():
            alike.setdefault((way_of(change), change.push is None, tuple(moves)), []).append(change)
        columns: dict[object, dict[str, Ints]] = {}
        for (way, _, of_moves), changes in alike.items():
            found = columns.get(way)
            if found is None:
                found = columns[way] = instants_of_push(batch, slice(None), changes[0], self._end_ns)
            rows = _rows_of(batch, of_moves)
            self._add({name: found[name][rows] for name in OF_PUSH}, changes)

    def _add(self, columns: Mapping[str, Ints], changes: Sequence[Carried]) -> None:
        """Pushes that carry these changes in the same way, all to their end."""
        count = len(columns["t_sent_ns"])
        who = np.array([change.change for change in changes])
        own = np.array([(c.t_changed_ns, *c.instants) for c in changes]).T
        instants = dict(
            zip(("t_changed_ns", "t_observed_ns", "t_debounced_ns", "t_enqueued_ns"), own, strict=True)
        )
        if changes[0].push is None:
            instants["t_dequeued_ns"] = instants["t_observed_ns"]
        ordered: dict[str, Ints] = {}
        for metric in SPANS:
            later, earlier, span = metric.later, metric.earlier, self._tally.spans[metric.name]
            assert later is not None
            assert earlier is not None
            if later in instants and earlier in instants:
                span.add_constant(who, instants[later] - instants[earlier], count)
            elif earlier in instants:
                if later not in ordered:
                    ordered[later] = np.sort(columns[later])
                span.add(who, ordered[later], instants[earlier])
            else:
                span.add_same(who, np.sort(columns[later] - columns[earlier]))
        for outcome in dict.fromkeys(change.outcome for change in changes):
            those = np.array([c.change for c in changes if c.outcome == outcome])
            self._tally.add_outcome(outcome, those, count, active=True)
        self._note(who, count)

    def _count_rows(self, batch: Batch) -> None:
        """Row by row: of pushes that the end of the run cuts off."""
        for rows, move in batch.moves:
            for change in move.carried:
                found = Rows.of(batch, rows, change, self._end_ns)
                self._tally.add_rows(change.change, found.columns(change))
                self._note(np.array([change.change]), len(found.outcome))

    def _note(self, changes: Ints, count: int) -> None:
        most = int(changes.max()) + 1
        if most > len(self._counted):
            more = max(most, 2 * len(self._counted)) - len(self._counted)
            self._counted = np.concatenate([self._counted, np.zeros(more, np.int64)])
        self._counted[changes] += count


def _rows_of(batch: Batch, moves: Iterable[int]) -> NDArray[np.int64] | slice:
    """The rows of some moves of a batch."""
    rows = [batch.moves[number][0] for number in moves]
    if len(rows) == 1:
        return rows[0]
    listed = [r for r in rows if not isinstance(r, slice)]
    assert len(listed) == len(rows), "two moves of the same rows"
    together: NDArray[np.int64] = np.concatenate(listed)
    return together
