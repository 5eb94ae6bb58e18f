"""The push queue of one istiod, for connections in arrays and for others: who stands where, and for what.

Connections have *places*. Those of the arrays come first; each belongs to a group, in which a request costs
all the same. A connection played by messages gets a place of its own. What time does with them is in `line`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Clock
from simulator.fleet import kernel as k
from simulator.fleet.push_requests import Making, PushRequests
from simulator.fleet.seats import ABSENT, Seats

C = TypeVar("C")


class PlacedQueue(Generic[C]):
    """See the module.

    Args:
        clock: Time.
        reg: Registers of the kernel.
        entity: The proxies of the arrays, by place.
        group: The groups of these.
        most_others: So many connections of others there may be at once.
        making: Makes responses.
    """

    def __init__(
        self,
        clock: Clock,
        reg: NDArray[np.int64],
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        most_others: int,
        making: Making,
    ) -> None:
        self._clock, self._reg = clock, reg
        size = len(entity) + most_others
        self.fleet_size = len(entity)
        self._seats = Seats(reg, size)
        self._entity, self._dequeued, self._service = self._seats.places.T[k.ENTITY : k.SERVICE_NS + 1]
        self._group, self._made = self._seats.numbers.T[k.GROUP : k.MADE + 1]
        self._entity[: len(entity)] = entity
        self._group[: len(group)], self._group[len(group) :] = group, -1
        groups = int(group.max()) + 1 if len(group) else 1
        self._requests = PushRequests(groups, making, self._seats.requests_in_use)
        self.requests = self._requests.all
        """By number."""
        self._connections: dict[C, int] = {}
        self._at: dict[int, C] = {}
        self._free_places = list(range(size - 1, len(entity) - 1, -1))
        self._pending: dict[int, None] = {}
        """Places of others that were given a slot and not told yet."""
        self._own_group = group
        self._is_stopped = False

    @property
    def depth(self) -> int:
        """Connections that wait for a slot."""
        return int((self._seats.status == k.WAITING).sum())

    def in_hand(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the arrays whose push is in progress, and since when."""
        places = np.flatnonzero(self._seats.status[: self.fleet_size] == k.IN_HAND)
        return places, self._dequeued[places]

    # --- the queue

    def place_of(self, connection: C) -> int:
        """The place of a connection that is played by messages."""
        place = self._connections.get(connection)
        if place is None:
            place = self._connections[connection] = self._free_places.pop()
            self._at[place] = connection
        return place

    def idle(self, others: Sequence[C]) -> tuple[NDArray[np.int64], list[C]]:
        """Who is not in line and has no push in hand: places of the arrays, and of these others."""
        places = np.flatnonzero(self._seats.status[: self.fleet_size] == k.IDLE)
        return places, [c for c in others if self._seats.status[self.place_of(c)] == k.IDLE]

    def enqueue_all(self, in_order: NDArray[np.int64], others: Sequence[C], request: Any) -> None:
        """Puts a request in line for everybody: idle places get there in this order, all others keep theirs.

        What waits is not merged one by one: it is what its round and all later ones ask for, and worked out
        where somebody gets a slot for it.
        """
        fleet, asked = self.fleet_size, -1 - self._requests.note_round(request)
        in_hand = np.flatnonzero(self._seats.status[:fleet] == k.IN_HAND)
        is_idle = self._seats.status[:fleet] == k.IDLE
        self._seats.kept[in_hand[self._seats.kept[in_hand] == k.NOTHING]] = asked
        for connection in others:
            self._ask(self.place_of(connection), request)
        # Numbered first: what a place waits for says which columns are still needed.
        number = self._requests.number(request) if len(others) else k.NOTHING
        self._seats.append(in_order)
        # In the order of places, which is that of memory.
        self._seats.waiting[:fleet][is_idle] = asked
        self._seats.waiting[in_order[in_order >= fleet]] = number
        self._pump()

    def _ask(self, place: int, request: Any) -> None:
        """One more request for a place that waits or has its push in hand."""
        status = self._seats.status[place]
        if status == k.WAITING:
            before = self.requests[int(self._seats.waiting[place])]
            self._seats.waiting[place] = self._requests.number(before.merged(request))
        elif status == k.IN_HAND:
            kept = int(self._seats.kept[place])
            merged = request if kept == k.NOTHING else self.requests[kept].merged(request)
            self._seats.kept[place] = self._requests.number(merged)

    def enqueue(self, connection: C, request: Any) -> None:
        """Puts a request in line for one connection."""
        place = self.place_of(connection)
        self._ask(place, request)
        if self._seats.status[place] == k.IDLE:
            number = self._requests.number(request)
            self._seats.append(np.array([place], np.int64))
            self._seats.waiting[place] = number
        self._pump()

    def done(self, connection: C) -> None:
        """The push of a connection played by messages is over."""
        if self._is_stopped:
            return
        place = self._connections[connection]
        if place not in self._at:
            del self._connections[connection]  # its stream has closed
        self._release(place)

    def _release(self, place: int) -> None:
        assert self._seats.status[place] == k.IN_HAND, "no push of the connection is in progress"
        kept = int(self._seats.kept[place])
        self._seats.status[place], self._seats.kept[place] = k.IDLE, k.NOTHING
        if kept != k.NOTHING:
            self._seats.append(np.array([place], np.int64))
            self._seats.waiting[place] = kept
        self._reg[k.HELD] -= 1
        self._pump()
        if place not in self._at:
            self._vacate(place)

    def _vacate(self, place: int) -> None:
        """Nobody stands there who is played by messages."""
        if place < self.fleet_size:
            self._seats.status[place] = ABSENT
        else:
            self._free_places.append(place)

    def forget(self, connection: C) -> None:
        """Its stream closed: nothing waits for it any more. A push in hand still has to be marked done."""
        if self._is_stopped:
            return
        place = self._connections.get(connection)
        if place is None:
            return
        del self._at[place]
        if self._seats.status[place] == k.IN_HAND and place not in self._pending:
            # It is marked done right after.
            self._seats.kept[place] = k.NOTHING
            return
        del self._connections[connection]
        if self._seats.status[place] == k.IN_HAND:
            del self._pending[place]
            self._seats.kept[place] = k.NOTHING
            self._release(place)
            return
        self._seats.status[place], self._seats.pos[place] = k.IDLE, -1
        self._vacate(place)

    def _pump(self) -> None:
        reg = self._reg
        assert reg[k.FREED] == 0 or reg[k.FREED_NS] == self._clock.now_ns, "a slot was left lying"
        reg[k.FREED], reg[k.FREED_NS] = 1, self._clock.now_ns

    # --- rows that connect

    def begin_with(self, places: NDArray[np.bool_]) -> None:
        """Of the places of the arrays these are connected at first."""
        self._seats.status[: self.fleet_size] = np.where(places, k.IDLE, ABSENT)

    def join(self, place: int, connection: C) -> None:
        """A proxy of the arrays is connected, and played by messages until it has all that it asked for."""
        assert self._seats.status[place] == ABSENT, "a proxy connects that is connected"
        self._seats.status[place], self._group[place] = k.IDLE, -1
        self._connections[connection], self._at[place] = place, connection

    def is_connected(self, place: int) -> bool:
        """Whether there is a stream of the proxy."""
        return bool(self._seats.status[place] != ABSENT)

    def is_idle(self, place: int) -> bool:
        """Whether a connected proxy waits for no push, and has none in hand."""
        return bool(self._seats.status[place] == k.IDLE)

    def is_in_hand(self, place: int) -> bool:
        """Whether its push is in progress."""
        return bool(self._seats.status[place] == k.IN_HAND)

    def settle(self, place: int) -> None:
        """It has all that it asked for: its pushes are those of its group from here on."""
        assert not self.is_in_hand(place), "a push that is played by messages is in progress"
        del self._connections[self._at.pop(place)]
        self._group[place] = self._own_group[place]

    def move_in(self, connection: C, place: int) -> None:
        """The same of one that has stood in a place of its own, and waits for no push."""
        own = self._connections.pop(connection)
        del self._at[own]
        self._vacate(own)
        self._seats.status[place], self._group[place] = k.IDLE, self._own_group[place]

    def leave(self, place: int) -> None:
        """The stream of a proxy ends that has no push in progress."""
        assert not self.is_in_hand(place), "a push is in progress"
        self._seats.status[place], self._seats.pos[place] = ABSENT, -1

    def connected(self) -> NDArray[np.int64]:
        """Places of the arrays whose streams there are."""
        return np.flatnonzero(self._seats.status[: self.fleet_size] != ABSENT)

    def stop(self) -> None:
        """The istiod ends: what waits or is in hand never comes to its end."""
        self._is_stopped = True
        self._connections.clear()
        self._at.clear()
        self._pending.clear()
        self._seats.stop()
        del self._entity, self._group, self._made, self._dequeued, self._service
