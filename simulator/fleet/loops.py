"""The poll loops of all proxies of the arrays: where each stands, when it asks next.

Loops stand in *slots*. Each subscription of a proxy has a *key*, the number of its first slot; a second loop
of the same key lives while its cluster warms (rules W4, W5). Rules and draws are those of
`propagation/http_loop.py` and `poll.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Delay, Uniform
from simulator.engine.draws import Draws
from simulator.fleet.columns import distinct
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.subscriptions import NOTHING, Subscriptions
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Ids = NDArray[np.int64]
"""Numbers of slots."""

NEVER = 2**62
FREE, AWAY, ANSWERED = range(3)
"""Where a loop stands: none is here, its request is on its way or waits, its answer is or will be at the
proxy."""

NO_OPEN = -2
"""Version of no answer that is still to be acknowledged."""

_ROOM = 1024


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What is equal for all loops.

    Attributes:
        refresh_ns: ``refresh_delay``.
        timeout_ns: ``request_timeout``.
        latency: Of each message.
        loss: Share of messages with which the connection breaks.
        replica: Whom they ask first.
        nobody_ns: Times at which nobody answers, as rows of a first and a last instant, in order.
    """

    refresh_ns: int
    timeout_ns: int
    latency: Delay
    loss: float
    replica: int
    nobody_ns: Ints


class Loops:
    """See the module.

    Attributes:
        place: By slot: the proxy,
        sub: its subscription,
        key: the number of the two together,
        state: `FREE`, `AWAY` or `ANSWERED`,
        version: number of the content that the next request states,
        sent: requests so far,
        turn: which of the proxy's requests was sent before which,
        departs_ns: when the request leaves,
        arrival_ns: when it is at the server,
        instant: when its answer is at the proxy, twice, plus one for a time-out instead,
        answer: number of the content that it gets, or `NOTHING`,
        is_lost: whether that is lost on its way to the proxy,
        carry_from: the publication after which its changes begin,
        carry_to: the one that ends them,
        started_ns: when its service began; where requests may break, also when it did,
        left_ns: when the answer left,
        superseded_ns: since when a newer loop exists,
        stopped_ns: since when nobody waits for it.
        newest: By key: the newest loop,
        older: the one before it, or -1,
        unapplied: answers with content that are not applied,
        seen: the publication that the last applied one was made at,
        seen_before: the same of the one before,
        applied_ns: when it was applied,
        served: polls served,
        open_version: content of the last answer that carried changes and is not acknowledged, or `NO_OPEN`,
        opened_by: the loop that got it,
        opened_ns: when its service began,
        open_from: the publication after which these begin,
        open_to: the one that ends them.
        doubles: How many loops there are beyond one for each key.
        may_break: Requests may be lost or find nobody.
        has_cancelled: Some of those that were under way are not.
    """

    def __init__(
        self,
        settings: LoopSettings,
        draws: Draws,
        subscriptions: Subscriptions[Resources, Names],
        entity: Ints,
    ) -> None:
        self._settings, self._draws = settings, draws
        self._subscriptions, self._entity = subscriptions, entity
        self.shortest_ns = int(settings.latency.ns(0.0))
        self.doubles = 0
        self.may_break = bool(settings.loss) or bool(len(settings.nobody_ns))
        self.has_cancelled = False
        self._broken: list[Ids] = []
        self._keys_of_draws()
        self._make_slots()

    # --- draws

    def _keys_of_draws(self) -> None:
        names = [f"{s.type_name}/{s.name}" for s in self._subscriptions.all]
        keys = self._draws.keys
        self._refresh_key = keys([f"envoy.refresh_delay.{name}" for name in names])
        self._up_key = keys([f"network.latency.to_server.{name}" for name in names])
        self._down_key = keys([f"network.latency.to_client.{name}" for name in names])
        self._lost_up_key = keys([f"network.loss.to_server.{name}" for name in names])
        self._lost_down_key = keys([f"network.loss.to_client.{name}" for name in names])
        self._service_key = self._keys_of_service(self._settings.replica)

    def _keys_of_service(self, replica: int) -> NDArray[np.uint64]:
        names = [f"{s.type_name}/{s.name}" for s in self._subscriptions.all]
        return self._draws.keys([f"istiod.poll/{replica}/{name}" for name in names])

    def ask(self, replica: int) -> None:
        """Another process of istiod answers from here on, and has answered none of them before."""
        self._service_key = self._keys_of_service(replica)
        self.served[:] = 0

    def _latency_ns(self, keys: NDArray[np.uint64], ids: Ids) -> Ints | int:
        law = self._settings.latency
        if isinstance(law, Constant):
            return law.value_ns
        u = self._draws.uniform_of(keys[self.sub[ids]], self._entity[self.place[ids]], self.sent[ids])
        return law.ns_array(u)

    def back_ns(self, ids: Ids) -> Ints | int:
        """How long the answers travel."""
        return self._latency_ns(self._down_key, ids)

    def _loses(self, keys: NDArray[np.uint64], ids: Ids) -> NDArray[np.bool_]:
        u = self._draws.uniform_of(keys[self.sub[ids]], self._entity[self.place[ids]], self.sent[ids])
        lost: NDArray[np.bool_] = u < self._settings.loss
        return lost

    def service_ns(self, law: Delay, ids: Ids) -> Ints:
        """How long the server takes for the next poll of each key, if it draws that."""
        key, sub = self.key[ids], self.sub[ids]
        u = self._draws.uniform_of(self._service_key[sub], self._entity[self.place[ids]], self.served[key])
        return law.ns_array(u)

    # --- slots

    def _make_slots(self) -> None:
        layout = self._subscriptions.layout
        size = len(layout.key_sub)
        self.place, self.sub = layout.key_place.copy(), layout.key_sub.copy()
        self.key = np.arange(size, dtype=np.int64)
        self.state = np.full(size, AWAY, np.int8)
        self.version = np.zeros(size, np.int32)
        self.turn = np.arange(size, dtype=np.int64)
        self.turns = size
        self.superseded_ns, self.stopped_ns = (np.full(size, NEVER, np.int64) for _ in range(2))
        self.instant = np.zeros(size, np.int64)
        self.answer = np.full(size, NOTHING, np.int32)
        self.is_lost = np.zeros(size, bool)
        self.carry_from, self.carry_to = (np.zeros(size, np.int32) for _ in range(2))
        self.started_ns, self.left_ns = (np.zeros(size, np.int64) for _ in range(2))
        self._free: list[int] = []
        self._cancelled: list[int] = []
        # By key.
        self.newest, self.older = np.arange(size, dtype=np.int64), np.full(size, -1, np.int64)
        self.unapplied = np.zeros(size, np.int8)
        self.seen, self.seen_before = (np.zeros(size, np.int32) for _ in range(2))
        self.applied_ns = np.full(size, -1, np.int64)
        self.served = np.zeros(size, np.int32)
        self.open_version = np.full(size, NO_OPEN, np.int32)
        self.opened_by, self.opened_ns = (np.full(size, -1, np.int64) for _ in range(2))
        self.open_from, self.open_to = (np.zeros(size, np.int32) for _ in range(2))
        self._begin_waits()

    def _begin_waits(self) -> None:
        """Who polls since long ago is met in the middle of a wait (propagation/poll.py)."""
        refresh_ns, sub = self._settings.refresh_ns, self.sub
        sent = np.array([s.sent for s in self._subscriptions.all], np.int64)[sub]
        u = self._draws.uniform_of(self._refresh_key[sub], self._entity[self.place], sent - 1)
        self.sent = sent
        self.departs_ns = Uniform(refresh_ns, 2 * refresh_ns).residual_ns_array(u)
        self.arrival_ns = np.zeros(len(sub), np.int64)
        self._send(np.arange(len(sub)))

    def _new_slots(self, count: int) -> Ids:
        while len(self._free) < count:
            size = len(self.state)
            grown = max(_ROOM, count, size // 8)
            for name in _BY_SLOT:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros(grown, column.dtype)]))
            self._free += range(size + grown - 1, size - 1, -1)
        slots = np.array(self._free[-count:][::-1], np.int64)
        del self._free[-count:]
        return slots

    def reuse(self) -> None:
        """Nobody has the numbers of slots any more that became free."""
        self._free += self._cancelled
        self._cancelled.clear()
        self.has_cancelled = False

    def in_order(self, ids: Ids) -> Ids:
        """By arrival, proxy, and turn."""
        arrival_ns = self.arrival_ns[ids]
        if not len(ids):
            return ids
        first_ns = int(arrival_ns.min())
        bits = max(1, (len(ids) - 1).bit_length())
        if int(arrival_ns.max()) - first_ns < 1 << (62 - bits):
            # One sort of numbers that hold the position costs a third of sorting positions by a key.
            packed = ((arrival_ns - first_ns) << bits) | np.arange(len(ids))
            packed.sort()
            ids = ids[packed & ((1 << bits) - 1)]
            arrival_ns = self.arrival_ns[ids]
            same = np.flatnonzero(arrival_ns[1:] == arrival_ns[:-1])
            # Those that arrive with another; few.
            tied = distinct(np.concatenate([same, same + 1]))
            those = ids[tied]
            ids[tied] = those[np.lexsort((self.turn[those], self.place[those], arrival_ns[tied]))]
            return ids
        return ids[np.lexsort((self.turn[ids], self.place[ids], arrival_ns))]

    def answered_in_order(self, ids: Ids) -> Ids:
        """By the instants at which they are done with at the proxies; those of one instant as they were
        served."""
        instant = self.instant[ids]
        ranked = _ranked(instant)
        ids, instant = ids[ranked], instant[ranked]
        if self.may_break:
            # Those that broke stand where they were sent.
            same = np.flatnonzero(instant[1:] == instant[:-1])
            tied = distinct(np.concatenate([same, same + 1]))
            those = ids[tied]
            ids[tied] = those[np.lexsort((self.turn[those], self.started_ns[those], instant[tied]))]
        return ids

    # --- requests

    def wait(self, ids: Ids, done_ns: Ints) -> None:
        """The next request leaves refresh_delay x U[1, 2) later, in whole ms."""
        refresh_ns = self._settings.refresh_ns
        u = self._draws.uniform_of(
            self._refresh_key[self.sub[ids]], self._entity[self.place[ids]], self.sent[ids]
        )
        wait_ns = (u * (refresh_ns // MS)).astype(np.int64)
        wait_ns *= MS
        wait_ns += refresh_ns
        wait_ns += done_ns
        self.departs_ns[ids] = wait_ns
        self.sent[ids] += 1
        self.turn[ids] = self.turns
        self._send(ids)

    def _send(self, ids: Ids) -> None:
        departs_ns = self.departs_ns[ids]
        arrival_ns = departs_ns + self._latency_ns(self._up_key, ids)
        if (arrival_ns - departs_ns).max(initial=0) > self._settings.timeout_ns:
            raise CannotTakeFleet("requests that take longer than propagation.request_timeout to arrive")
        self.arrival_ns[ids] = arrival_ns
        self.state[ids] = AWAY
        if self.may_break:
            self._break(ids[self._is_broken(ids, arrival_ns)])

    def _is_broken(self, ids: Ids, arrival_ns: Ints) -> NDArray[np.bool_]:
        """Requests that are lost, or arrive where nobody serves: the connection cannot be made."""
        first, last = self._settings.nobody_ns.T
        at = np.searchsorted(first, arrival_ns, "right") - 1
        is_broken: NDArray[np.bool_] = at >= 0
        is_broken[is_broken] = arrival_ns[is_broken] <= last[at[is_broken]]
        if self._settings.loss:
            is_broken |= self._loses(self._lost_up_key, ids)
        return is_broken

    def _break(self, ids: Ids) -> None:
        if len(ids):
            self.answer[ids], self.started_ns[ids] = NOTHING, self.arrival_ns[ids]
            self.come_back(ids, self.arrival_ns[ids] + self.back_ns(ids))
            self._broken.append(ids)

    def come_back(self, ids: Ids, back_ns: Ints) -> None:
        """Answers, or the news that a connection broke, are at the proxies then, or time-outs before."""
        due_ns = self.departs_ns[ids] + self._settings.timeout_ns
        is_late = back_ns > due_ns
        self.instant[ids] = 2 * np.where(is_late, due_ns, back_ns) + is_late
        self.state[ids] = ANSWERED

    def lose_answers(self, ids: Ids) -> None:
        """Some of the answers to these are lost on their way."""
        if self._settings.loss:
            self.is_lost[ids] = self._loses(self._lost_down_key, ids)

    def waiting(self, until_ns: int) -> NDArray[np.int32]:
        """Places of the requests that have arrived before then and are not served."""
        place: NDArray[np.int32] = self.place[(self.state == AWAY) & (self.arrival_ns < until_ns)]
        return place

    def take_broken(self) -> list[Ids]:
        """Requests that were lost on their way, or found nobody, since the last time."""
        taken, self._broken = self._broken, []
        return taken

    # --- loops that come and go while a cluster warms

    def start(self, place: NDArray[np.int32], subs: Sequence[int], t_ns: Ints) -> Ids:
        """A second loop for each of these subscriptions; its first request leaves at once.

        Returns:
            Those whose request gets to the server.
        """
        started = []
        for sub in subs:
            keys = self._subscriptions.layout.keys(place, sub)
            slots = self._new_slots(len(keys))
            before = self.newest[keys]
            self.superseded_ns[before] = t_ns
            self.older[keys], self.newest[keys] = before, slots
            self.place[slots], self.sub[slots], self.key[slots] = place, sub, keys
            self.version[slots], self.sent[slots] = NOTHING, 1
            self.superseded_ns[slots] = self.stopped_ns[slots] = NEVER
            self.departs_ns[slots] = t_ns
            self.turn[slots] = self.turns
            self.turns += 1
            started.append(slots)
            self.doubles += len(slots)
        ids = np.concatenate(started)
        self._send(ids)
        away: Ids = ids[self.state[ids] == AWAY]
        return away

    def stop_older(self, keys: NDArray[np.int64], t_ns: Ints) -> None:
        """The newer loop takes over: a request that has not left never does, and nobody waits for the answer
        to one that has."""
        older = self.older[keys]
        assert (older >= 0).all(), "a cluster that warms has two loops"
        self.older[keys] = -1
        self.stopped_ns[older] = t_ns
        never = older[(self.state[older] == AWAY) & (self.departs_ns[older] > t_ns)]
        if len(never):
            self.has_cancelled = True
            self.drop(never)

    def drop(self, ids: Ids) -> None:
        """These loops were stopped, and nothing of them is under way any more."""
        self.state[ids] = FREE
        self.doubles -= len(ids)
        self._cancelled += ids.tolist()


def _ranked(instant: Ints) -> NDArray[np.int64]:
    """Positions by instant, those of one instant in the order they are in."""
    first = int(instant.min())
    bits = max(1, (len(instant) - 1).bit_length())
    if int(instant.max()) - first < 1 << (62 - bits):
        packed = ((instant - first) << bits) | np.arange(len(instant))
        packed.sort()
        ranked: NDArray[np.int64] = packed & ((1 << bits) - 1)
        return ranked
    return np.argsort(instant, kind="stable")


_BY_SLOT = (
    "place",
    "sub",
    "key",
    "state",
    "version",
    "turn",
    "superseded_ns",
    "stopped_ns",
    "instant",
    "answer",
    "is_lost",
    "carry_from",
    "carry_to",
    "started_ns",
    "left_ns",
    "sent",
    "departs_ns",
    "arrival_ns",
)
