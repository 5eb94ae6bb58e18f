"""Changes that travel in parts to proxies of the arrays: the ledger of deliveries, for many proxies at once.

By polls and files each resource type, and each cluster or route table, travels by itself, so a change is
applied when the last of its parts is. A `Parted` is one change on its way to the proxies of one group, a
column for each instant; the rules are those of `recording/ledger.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.errors import CannotTakeFleet

Ints = NDArray[np.int64]

NULL = -1
"""No instant."""

PENDING, ACTIVE, SUPERSEDED, REJECTED = range(4)
_OUTCOMES = ("pending", "active", "superseded", "rejected")


@dataclass(frozen=True, slots=True)
class Way:
    """How an istiod came to have a change in what it publishes.

    Attributes:
        observed_ns: It learned of it.
        published_ns: The push that made it public began.
        push_id: That push; None where it was there before.
    """

    observed_ns: int
    published_ns: int
    push_id: int | None


class Parted:
    """One change on its way to the proxies of one group.

    Args:
        change: Its id.
        t_changed_ns: When it happened.
        group: The group.
        count: Proxies in it.
        parts: The subscriptions in which it arrives; a part without a subscription never does.
        missing: How many parts have none.
        older: Changes of the same objects that this one covers, still open somewhere.
    """

    __slots__ = (
        "_came_to_nothing",
        "_decided_ns",
        "_followers",
        "_follows",
        "_inactive",
        "_known",
        "_latest_ack_ns",
        "_life",
        "_seats",
        "_unacked",
        "_unapplied",
        "_ways",
        "acked_ns",
        "active_ns",
        "applied_ns",
        "change",
        "dequeued_ns",
        "enqueued_ns",
        "group",
        "is_superseded",
        "older",
        "open",
        "outcome",
        "received_ns",
        "sent_ns",
        "t_changed_ns",
    )

    def __init__(
        self,
        change: int,
        t_changed_ns: int,
        group: int,
        count: int,
        parts: Sequence[int],
        missing: int,
        older: Sequence[Parted],
    ) -> None:
        self.change, self.t_changed_ns, self.group = change, t_changed_ns, group
        self.older, self.open = list(older), count
        self._ways: dict[int, Way] = {}
        """By the number of the life of istiod that published it; see `Subscriptions.lives`."""
        self._life = np.zeros(count, np.int16)
        """Of the one that each row has it from."""
        self._seats = {part: seat for seat, part in enumerate(parts)}
        shape = len(parts) + missing, count
        self._unapplied, self._inactive, self._unacked = (np.ones(shape, bool) for _ in range(3))
        self.is_superseded = np.zeros(count, bool)
        self.outcome = np.zeros(count, np.int8)
        self._came_to_nothing = False
        self._known = np.zeros(count, bool)
        """Where it came to nothing."""
        self._follows = np.zeros(count, bool)
        self._followers: list[tuple[Parted, NDArray[np.bool_]]] = []
        """Newer changes that alter nothing beyond it, and where they take effect with it."""
        columns = [np.full(count, NULL, np.int64) for _ in range(9)]
        self.enqueued_ns, self.dequeued_ns, self.sent_ns, self.received_ns = columns[:4]
        self.applied_ns, self.active_ns, self.acked_ns, self._latest_ack_ns = columns[4:8]
        self._decided_ns = columns[8]
        """When the main thread was done with what made it take effect."""

    def learn(self, life: int, way: Way) -> None:
        """This life of istiod has it in what it publishes."""
        self._ways[life] = way

    def sent(
        self, life: int, ranks: NDArray[np.int64], arrived_ns: Ints, served_ns: Ints, sent_ns: Ints
    ) -> None:
        """Messages that carry a part of it leave, in any order: the first one is noted."""
        first = (self.sent_ns[ranks] == NULL) | (served_ns < self.dequeued_ns[ranks])
        self._note_sending(life, ranks[first], arrived_ns[first], served_ns[first], sent_ns[first])

    def _note_sending(
        self, life: int, ranks: NDArray[np.int64], arrived_ns: Ints, served_ns: Ints, sent_ns: Ints
    ) -> None:
        if not len(ranks):
            return
        assert life in self._ways, "a change that is not published travels"
        self._life[ranks] = life
        enqueued_ns = np.maximum(arrived_ns, self._ways[life].published_ns)
        self.enqueued_ns[ranks] = enqueued_ns
        self.dequeued_ns[ranks] = np.maximum(served_ns, enqueued_ns)
        self.sent_ns[ranks] = sent_ns

    def received(self, ranks: NDArray[np.int64], t_ns: Ints) -> None:
        """It reached the proxies: the first part is noted."""
        first = self.received_ns[ranks] == NULL
        self.received_ns[ranks[first]] = t_ns[first]

    def applied(
        self,
        part: int,
        life: int,
        ranks: NDArray[np.int64],
        arrived_ns: Ints,
        served_ns: Ints,
        sent_ns: Ints,
        received_ns: Ints,
        t_ns: Ints,
    ) -> None:
        """Main threads finished with a part. The last one decides the instants of the row."""
        seat = self._seats[part]
        counts = self._unapplied[seat][ranks] & (self.outcome[ranks] == PENDING)
        self._unapplied[seat, ranks[counts]] = False
        done = np.flatnonzero(counts)
        done = done[~self._unapplied[:, ranks[done]].any(axis=0)]
        rows = ranks[done]
        self._note_sending(life, rows, arrived_ns[done], served_ns[done], sent_ns[done])
        self.received_ns[rows], self.applied_ns[rows] = received_ns[done], t_ns[done]
        for older in self.older:
            still = rows[older.outcome[rows] == PENDING]
            older.is_superseded[still] = True

    def rejected(
        self,
        life: int,
        ranks: NDArray[np.int64],
        arrived_ns: Ints,
        served_ns: Ints,
        sent_ns: Ints,
        received_ns: Ints,
    ) -> None:
        """Proxies refused a part."""
        is_open = self.outcome[ranks] == PENDING
        rows = ranks[is_open]
        self._note_sending(life, rows, arrived_ns[is_open], served_ns[is_open], sent_ns[is_open])
        self.received_ns[rows] = received_ns[is_open]
        self.outcome[rows] = REJECTED
        self.open -= len(rows)

    def activated(self, part: int, ranks: NDArray[np.int64], decided_ns: Ints, t_ns: Ints) -> None:
        """A part serves on all workers from then on, as main threads decided before."""
        self._inactive[self._seats[part], ranks] = False
        done = np.flatnonzero(
            (self.outcome[ranks] == PENDING)
            & ~self._inactive[:, ranks].any(axis=0)
            & ~self._unapplied[:, ranks].any(axis=0)
        )
        rows, decided_ns, t_ns = ranks[done], decided_ns[done], t_ns[done]
        for older in self.older:
            too = ~older._unapplied[:, rows].any(axis=0)
            older._take_effect(rows[too], decided_ns[too], t_ns[too])
        self._take_effect(rows, decided_ns, t_ns)

    def _take_effect(self, ranks: NDArray[np.int64], decided_ns: Ints, t_ns: Ints) -> None:
        is_open = self.outcome[ranks] == PENDING
        rows, decided_ns, t_ns = ranks[is_open], decided_ns[is_open], t_ns[is_open]
        self.active_ns[rows], self._decided_ns[rows] = t_ns, decided_ns
        self.outcome[rows] = np.where(self.is_superseded[rows], SUPERSEDED, ACTIVE)
        self.open -= len(rows)
        for follower, waits in self._followers:
            too = waits[rows] & (follower.outcome[rows] == PENDING)
            follower._follow(rows[too], decided_ns[too], t_ns[too])

    # --- changes that alter nothing beyond an earlier one

    def come_to_nothing(
        self, life: int, t_ns: int, those: NDArray[np.int64], before: Sequence[Parted], *, is_last: bool
    ) -> None:
        """An istiod learned of it and has nothing to say: who has what was before has it too.

        Args:
            life: Which life of which istiod.
            t_ns: When it learned of it; what proxies were told before then is worked off.
            those: Its clients.
            before: Older changes of the same objects, in order.
            is_last: It is the newest of those learned of together.

        Raises:
            CannotTakeFleet: Another istiod learned of it before.
        """
        if self._came_to_nothing or (self.outcome != PENDING).any():
            raise CannotTakeFleet("endpoints that two istiods looked at, one after the other")
        self._came_to_nothing = True
        self.learn(life, Way(t_ns, t_ns, None))
        self._known[those], self._life[those] = True, life
        if not is_last:
            self.is_superseded[those] = True
        left = those
        for older in reversed(before):
            is_decided = older.outcome[left] != PENDING
            waits = ~is_decided | (older._decided_ns[left] >= t_ns)
            done = left[waits & is_decided]
            self._follow(done, older._decided_ns[done], older.active_ns[done])
            follows = np.zeros(len(self.outcome), bool)
            follows[left[waits & ~is_decided]] = True
            if follows.any():
                older._followers.append((self, follows))
            left = left[~waits]
        at_once = np.full(len(left), t_ns, np.int64)
        self._follow(left, at_once, at_once)

    def _follow(self, ranks: NDArray[np.int64], decided_ns: Ints, t_ns: Ints) -> None:
        """It takes effect without a message of its own: each instant skipped equals the one before it."""
        observed_ns = self._of_ways(lambda way: way.observed_ns)[ranks]
        for column in (
            self.enqueued_ns,
            self.dequeued_ns,
            self.sent_ns,
            self.received_ns,
            self.applied_ns,
        ):
            column[ranks] = observed_ns
        self.acked_ns[ranks] = t_ns
        self._unacked[:, ranks] = False
        self._follows[ranks] = True
        self._take_effect(ranks, decided_ns, t_ns)

    def _of_ways(self, instant: Callable[[Way], int]) -> Ints:
        """What is said by the life of istiod that each row has it from."""
        said = np.full(max(self._ways, default=0) + 1, NULL, np.int64)
        for life, way in self._ways.items():
            said[life] = instant(way)
        return said[self._life]

    def is_carried(self, ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether messages bring it to them: not where it followed another one, or was refused."""
        carried: NDArray[np.bool_] = ~self._follows[ranks] & (self.outcome[ranks] != REJECTED)
        return carried

    def acked(self, part: int, ranks: NDArray[np.int64], t_ns: Ints) -> None:
        """The control plane learned, part by part in any order, that the part was accepted."""
        seat = self._seats[part]
        first = self._unacked[seat][ranks]
        rows, t_ns = ranks[first], t_ns[first]
        self._unacked[seat, rows] = False
        self._latest_ack_ns[rows] = np.maximum(self._latest_ack_ns[rows], t_ns)
        done = rows[~self._unacked[:, rows].any(axis=0)]
        self.acked_ns[done] = self._latest_ack_ns[done]


def delivery_parts(
    changes: Sequence[Sequence[Parted]],
    entity: Ints,
    members: Sequence[NDArray[np.int64]],
    carried_by: str,
    replicas: Sequence[int],
) -> Iterator[Mapping[str, Any]]:
    """The rows of each change as columns, in order of proxies; instants that were not reached are `NULL`.

    Args:
        changes: By change, in order, its ways to the groups.
        entity: Proxies by place, ascending.
        members: Places by group.
        carried_by: What carries changes.
        replicas: Who publishes them, by life.
    """
    outcomes = np.array(_OUTCOMES, object)
    for groups in changes:
        places = np.concatenate([members[p.group] for p in groups])
        order = np.argsort(places)
        if not len(places):
            continue
        columns = [_columns(parted, np.array(replicas, np.int64)) for parted in groups]
        part = {name: np.concatenate([c[name] for c in columns])[order] for name in columns[0]}
        carriers = np.array([None, carried_by, "earlier_push"], object)
        carrier = np.where(part.pop("follows"), 2, part["t_sent_ns"] >= 0)
        yield {
            **part,
            "change_id": np.full(len(order), groups[0].change, np.int64),
            "proxy": entity[places[order]],
            "t_changed_ns": np.full(len(order), groups[0].t_changed_ns, np.int64),
            "outcome": outcomes[part["outcome"]],
            "carried_by": carriers[carrier],
        }


def _columns(parted: Parted, replicas: Ints) -> dict[str, NDArray[Any]]:
    is_carried = parted.sent_ns >= 0
    is_known = is_carried | parted._known
    push_id = parted._of_ways(lambda way: NULL if way.push_id is None else way.push_id)
    observed_ns = parted._of_ways(lambda way: way.observed_ns)
    published_ns = parted._of_ways(lambda way: way.published_ns)
    return {
        "outcome": parted.outcome,
        "follows": parted._follows,
        "replica": np.where(is_known, replicas[parted._life], NULL),
        "push_id": np.where(is_carried, push_id, NULL),
        "t_observed_ns": np.where(is_known, observed_ns, NULL),
        "t_debounced_ns": np.where(is_carried, published_ns, NULL),
        "t_enqueued_ns": parted.enqueued_ns,
        "t_dequeued_ns": parted.dequeued_ns,
        "t_sent_ns": parted.sent_ns,
        "t_received_ns": parted.received_ns,
        "t_applied_ns": parted.applied_ns,
        "t_active_ns": parted.active_ns,
        "t_acked_ns": parted.acked_ns,
    }
