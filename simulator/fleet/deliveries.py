"""The rows of the deliveries table for the proxies of the arrays, made at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.answers import Answers
from simulator.fleet.batches import Batch
from simulator.fleet.followers import Effect, Follower, follow
from simulator.fleet.moves import NULL, Carried, Move
from simulator.fleet.streams import Ints, Small

BEFORE_NS = 0
"""Before anything happens: where a change took effect that a proxy had before it became a row."""

OUTCOMES = ("pending", "active", "superseded", "rejected")
CARRIERS = (None, "push", "earlier_push", "reconnect")
INSTANTS = (
    "t_observed_ns",
    "t_debounced_ns",
    "t_enqueued_ns",
    "t_dequeued_ns",
    "t_sent_ns",
    "t_received_ns",
    "t_applied_ns",
    "t_active_ns",
    "t_acked_ns",
)

OF_PUSH = ("t_dequeued_ns", "t_sent_ns", "t_received_ns", "t_applied_ns", "t_active_ns", "t_acked_ns")
"""Instants that differ from push to push; the others are those of the change."""

_OF_CHANGE = ("t_observed_ns", "t_debounced_ns", "t_enqueued_ns")

_Carrying = tuple[Batch, NDArray[np.int64] | slice, Move, Carried]


@dataclass(frozen=True, slots=True)
class Announced:
    """A change and the proxies of the arrays that it concerns, by group."""

    change: int
    t_changed_ns: int
    groups: tuple[int, ...]
    endpoints: str | None = None
    """The service whose endpoints changed, if they did."""


def delivery_parts(
    announced: Sequence[Announced],
    batches: Sequence[Batch],
    entity: Ints,
    group: Small,
    end_ns: int,
    followers: Mapping[int, Sequence[Follower]] = MappingProxyType({}),
    since: Ints | None = None,
) -> Iterator[Mapping[str, Any]]:
    """The rows of each change as columns, in order of proxies; instants that were not reached are `NULL`.

    Args:
        announced: The changes, in order.
        batches: What reached the proxies, ACKs read (`read_acks`).
        entity: Proxies by place, ascending.
        group: Their groups.
        end_ns: End of the run.
        followers: Changes that alter nothing beyond others, by each istiod that learned of it.
        since: The first change that concerns each proxy; None where all do.
    """
    effects: dict[int, Effect] = {}
    asked_for = {follower.before for looked in followers.values() for follower in looked}
    outcomes, carriers = np.array(OUTCOMES, object), np.array(CARRIERS, object)
    wanted: dict[int, list[_Carrying]] = {}
    pieces = _Pieces(end_ns)
    for batch in batches:
        for rows, move in batch.moves:
            for carried in move.carried:
                wanted.setdefault(carried.change, []).append((batch, rows, move, carried))
    for change in announced:
        concerned = np.isin(group, change.groups)
        if since is not None:
            concerned &= since <= change.change
        places = slice(None) if concerned.all() else np.flatnonzero(concerned)
        found, looked = wanted.get(change.change, []), followers.get(change.change, ())
        columns = _of_change(found, len(entity), pieces)
        if looked or change.change in asked_for:
            effect = _effect(found, columns, end_ns)
            if since is not None:
                effect.decided_ns[since > change.change] = BEFORE_NS
            for follower in looked:
                before = None if follower.before is None else effects[follower.before]
                codes = OUTCOMES.index("active"), OUTCOMES.index("superseded")
                earlier = CARRIERS.index("earlier_push")
                effect = follow(follower, before, columns, effect, codes, earlier)
            effects[change.change] = effect
        part = {name: values[places] for name, values in columns.items()}
        count = len(part["outcome"])
        if count:
            yield {
                **part,
                "change_id": np.full(count, change.change, np.int64),
                "proxy": entity[places],
                "t_changed_ns": np.full(count, change.t_changed_ns, np.int64),
                "outcome": outcomes[part["outcome"]],
                "carried_by": carriers[part["carried_by"]],
            }


class _Pieces:
    """Instants of pushes, worked out once for all changes that the same pushes carry in the same way."""

    def __init__(self, end_ns: int) -> None:
        self._end_ns = end_ns
        self._known: dict[object, tuple[NDArray[np.integer], dict[str, Ints], NDArray[np.bool_]]] = {}

    def of(
        self, batch: Batch, rows: NDArray[np.int64] | slice, move: Move, carried: Carried
    ) -> tuple[NDArray[np.integer], dict[str, Ints], NDArray[np.bool_]]:
        """Places, `instants_of_push`, and where the change comes to its outcome."""
        key = id(batch), id(rows), way_of(carried)
        found = self._known.get(key)
        if found is None:
            instants = instants_of_push(batch, rows, carried, self._end_ns)
            found = batch.place[rows], instants, _ends(batch, rows, carried, self._end_ns)
            if len(move.carried) > 1:
                self._known[key] = found
        return found


def _of_change(found: Sequence[_Carrying], count: int, pieces: _Pieces) -> dict[str, Ints]:
    columns = {name: np.full(count, NULL, np.int64) for name in ("replica", "push_id", *INSTANTS)}
    columns["outcome"], columns["carried_by"] = (np.zeros(count, np.int64) for _ in range(2))
    if not found:
        return columns
    places, instants, ended = zip(*(pieces.of(*carrying) for carrying in found), strict=True)
    each = [carried for *_, carried in found]
    counts = [len(place) for place in places]
    own: dict[str, Sequence[int]] = {
        "replica": [carried.replica for carried in each],
        "push_id": [NULL if carried.push is None else carried.push for carried in each],
        "carried_by": [CARRIERS.index(carried.carried_by) for carried in each],
        "outcome": [OUTCOMES.index(carried.outcome) for carried in each],
    }
    for at, name in enumerate(_OF_CHANGE):
        own[name] = [carried.instants[at] for carried in each]
    values = {name: np.repeat(np.array(of_each, np.int64), counts) for name, of_each in own.items()}
    values |= {name: np.concatenate([piece[name] for piece in instants]) for name in OF_PUSH}
    values["outcome"] *= np.concatenate(ended)
    is_pushed = np.repeat(np.array([carried.push is not None for carried in each]), counts)
    values["t_dequeued_ns"] = np.where(is_pushed, values["t_dequeued_ns"], values["t_observed_ns"])
    place = np.concatenate(places)
    for name, of_rows in values.items():
        columns[name][place] = of_rows
    return columns


def _effect(found: Sequence[_Carrying], columns: dict[str, Ints], end_ns: int) -> Effect:
    decided = np.full(len(columns["outcome"]), NULL, np.int64)
    for batch, rows, _, carried in found:
        decided[batch.place[rows]] = _until(batch.applied_ns[carried.active][rows], end_ns)
    return Effect(decided, columns["t_active_ns"].copy())


def instants_of(
    batch: Batch, rows: NDArray[np.int64] | slice, carried: Carried, end_ns: int
) -> dict[str, Ints]:
    """The instants of a change at the proxies of these rows."""
    instants = instants_of_push(batch, rows, carried, end_ns)
    for name, t_ns in zip(_OF_CHANGE, carried.instants, strict=True):
        instants[name] = np.full(instants["t_sent_ns"].shape, t_ns)
    if carried.push is None:
        instants["t_dequeued_ns"] = instants["t_observed_ns"]
    return instants


def instants_of_push(
    batch: Batch, rows: NDArray[np.int64] | slice, carried: Carried, end_ns: int
) -> dict[str, Ints]:
    """Those that are the same for all changes that the pushes carry in the same way (`way_of`)."""
    applied = _until(batch.applied_ns[carried.last][rows], end_ns)
    if batch.sents is None:
        sent = batch.sent_ns[rows]
    else:
        sent = np.where(applied >= 0, batch.sents[carried.last][rows], batch.sents[carried.first][rows])
    decided = batch.applied_ns[carried.active][rows]
    takes_effect = decided <= end_ns
    active = np.maximum(batch.workers_ns[carried.active][rows], decided + carried.active_delay_ns)
    received = np.where(
        applied >= 0,
        batch.received_ns[carried.last][rows],
        _until(batch.received_ns[carried.first][rows], end_ns),
    )
    acked = np.max([batch.acked_ns[at][rows] for at in carried.acks], axis=0)
    if carried.outcome == "rejected":
        applied, takes_effect = np.full(sent.shape, NULL), np.zeros(sent.shape, bool)
    return {
        "t_dequeued_ns": batch.dequeued_ns[rows],
        "t_sent_ns": sent,
        "t_received_ns": received,
        "t_applied_ns": applied,
        "t_active_ns": np.where(takes_effect, active, NULL),
        "t_acked_ns": _until(acked, end_ns),
    }


def way_of(carried: Carried) -> object:
    """How a push carries a change: what its instants are read from."""
    where = carried.first, carried.last, carried.active, carried.active_delay_ns, carried.acks
    return where, carried.outcome == "rejected"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Deliveries of one change: their instants, and how each ended."""

    instants: dict[str, Ints]
    outcome: NDArray[np.object_]

    @classmethod
    def of(cls, batch: Batch, rows: NDArray[np.int64] | slice, carried: Carried, end_ns: int) -> Rows:
        """Those that a push carries to the proxies of these rows."""
        instants = instants_of(batch, rows, carried, end_ns)
        ended = _ends(batch, rows, carried, end_ns)
        return cls(instants, np.where(ended, np.array(carried.outcome, object), "pending"))

    def columns(self, carried: Carried) -> dict[str, Any]:
        """As columns by name."""
        changed = np.broadcast_to(np.int64(carried.t_changed_ns), self.outcome.shape)
        return {**self.instants, "t_changed_ns": changed, "outcome": self.outcome}


def _ends(batch: Batch, rows: NDArray[np.int64] | slice, carried: Carried, end_ns: int) -> NDArray[np.bool_]:
    """Where it comes to its outcome within the run."""
    ends: NDArray[np.bool_] = batch.applied_ns[carried.active][rows] <= end_ns
    return ends


def _until(instants: Ints, end_ns: int) -> Ints:
    reached: Ints = np.where(instants <= end_ns, instants, NULL)
    return reached


def read_acks(
    batches: Sequence[Batch],
    count: int,
    in_hand: tuple[NDArray[np.int64], Ints],
    end_ns: int,
    answers: Answers,
) -> None:
    """An ACK that arrives while its connection's worker makes the next push is read when that is sent; what
    it means to the changes is for `answers` to say."""
    places, since_ns = in_hand
    # Backwards, so that the pushes that follow are known.
    follow = _Following(count, len(places) + sum(len(batch.place) for batch in batches))
    follow.add(places, since_ns, np.full(len(places), end_ns + 1, np.int64))
    for number, batch in reversed(list(enumerate(batches))):
        for at, acked in enumerate(batch.acked_ns):
            batch.acked_ns[at] = follow.read(batch.place, acked)
        answers.settle(batch)
        if number > 0:  # nobody follows the first
            follow.add(batch.place, batch.busy_from_ns, batch.sent_ns)


class _Following:
    """The pushes of each proxy that follow the one at hand, nearest first."""

    def __init__(self, count: int, pushes: int) -> None:
        self._number = np.full(count, -1, np.int64)
        self._next, self._from, self._until = (np.empty(pushes, np.int64) for _ in range(3))
        self._size = 0

    def add(self, place: NDArray[np.integer], from_ns: Ints, until_ns: Ints) -> None:
        rows = slice(self._size, self._size + len(place))
        self._next[rows], self._from[rows], self._until[rows] = self._number[place], from_ns, until_ns
        self._number[place] = np.arange(rows.start, rows.stop)
        self._size = rows.stop

    def read(self, place: NDArray[np.integer], acked: Ints) -> Ints:
        if self._size == 0:
            return acked
        number = self._number[place]
        rows = np.flatnonzero((number >= 0) & (acked >= 0))
        if not len(rows):
            return acked
        acked = acked.copy()
        number = number[rows]
        while len(rows):
            from_ns, until_ns = self._from[number], self._until[number]
            met = (acked[rows] > from_ns) & (acked[rows] <= until_ns)
            acked[rows[met]] = until_ns[met]
            further = self._next[number]
            on = (acked[rows] > until_ns) & (further >= 0)
            rows, number = rows[on], further[on]
        return acked
