"""The rows of the deliveries table for the proxies of the arrays, made at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.answers import Answers
from simulator.fleet.streams import NULL, Batch, Carried, Ints, Small

OUTCOMES = ("pending", "active", "superseded")
CARRIERS = (None, "push", "earlier_push")
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


@dataclass(frozen=True, slots=True)
class Announced:
    """A change and the proxies of the arrays that it concerns, by group."""

    change: int
    t_changed_ns: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What reached the proxies whose streams one replica holds.

    Attributes:
        batches: In order, ACKs read (`read_acks`).
        entity: The proxies by place, ascending.
        group: Their groups.
    """

    replica: int
    batches: Sequence[Batch]
    entity: Ints
    group: Small


_Found = tuple[Batch, NDArray[np.int64] | slice, Carried]


def delivery_parts(
    announced: Sequence[Announced], held: Sequence[Held], end_ns: int
) -> Iterator[Mapping[str, Any]]:
    """The rows of each change as columns, in order of replicas and proxies; instants that were not reached
    are `NULL`.

    Args:
        announced: The changes, in order.
        held: By replica.
        end_ns: End of the run.
    """
    carrying = [_by_change(one.batches) for one in held]
    for change in announced:
        parts = [
            _part(change, one, found.get(change.change, []), end_ns)
            for one, found in zip(held, carrying, strict=True)
        ]
        parts = [part for part in parts if len(part["proxy"])]
        if parts:
            yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _by_change(batches: Sequence[Batch]) -> dict[int, list[_Found]]:
    carrying: dict[int, list[_Found]] = {}
    for batch in batches:
        for rows, move in batch.moves:
            for carried in move.carried:
                carrying.setdefault(carried.change, []).append((batch, rows, carried))
    return carrying


def _part(change: Announced, held: Held, found: Sequence[_Found], end_ns: int) -> dict[str, Any]:
    """Its rows at one replica."""
    concerned = np.isin(held.group, change.groups)
    places = slice(None) if concerned.all() else np.flatnonzero(concerned)
    columns = _of_change(held.replica, found, len(held.entity), end_ns)
    part = {name: values[places] for name, values in columns.items()}
    count = len(part["outcome"])
    return {
        **part,
        "change_id": np.full(count, change.change, np.int64),
        "proxy": held.entity[places],
        "t_changed_ns": np.full(count, change.t_changed_ns, np.int64),
        "outcome": np.array(OUTCOMES, object)[part["outcome"]],
        "carried_by": np.array(CARRIERS, object)[part["carried_by"]],
    }


def _of_change(replica: int, found: Sequence[_Found], count: int, end_ns: int) -> dict[str, Ints]:
    columns = {name: np.full(count, NULL, np.int64) for name in ("replica", "push_id", *INSTANTS)}
    columns["outcome"], columns["carried_by"] = (np.zeros(count, np.int64) for _ in range(2))
    for batch, rows, carried in found:
        place = batch.place[rows]
        observed, debounced, enqueued = carried.instants
        dequeued = batch.dequeued_ns[rows] if carried.push is not None else observed
        applied = _until(batch.applied_ns[carried.last][rows], end_ns)
        is_applied = applied >= 0
        takes_effect = batch.applied_ns[carried.active][rows] <= end_ns
        active = np.maximum(
            batch.workers_ns[carried.active][rows],
            batch.applied_ns[carried.active][rows] + carried.active_delay_ns,
        )
        received = np.where(
            is_applied,
            batch.received_ns[carried.last][rows],
            _until(batch.received_ns[carried.first][rows], end_ns),
        )
        acked = np.max([batch.acked_ns[at][rows] for at in carried.acks], axis=0)
        values: dict[str, Ints | int] = {
            "replica": replica,
            "push_id": NULL if carried.push is None else carried.push,
            "carried_by": CARRIERS.index("earlier_push" if carried.push is None else "push"),
            "t_observed_ns": observed,
            "t_debounced_ns": debounced,
            "t_enqueued_ns": enqueued,
            "t_dequeued_ns": dequeued,
            "t_sent_ns": batch.sent_ns[rows],
            "t_received_ns": received,
            "t_applied_ns": applied,
            "t_active_ns": np.where(takes_effect, active, NULL),
            "t_acked_ns": _until(acked, end_ns),
            "outcome": np.where(takes_effect, OUTCOMES.index(carried.outcome), 0),
        }
        for name, value in values.items():
            columns[name][place] = value
    return columns


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
    for batch in reversed(batches):
        for at, acked in enumerate(batch.acked_ns):
            batch.acked_ns[at] = follow.read(batch.place, acked)
        answers.settle(batch)
        follow.add(batch.place, batch.dequeued_ns, batch.sent_ns)


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
