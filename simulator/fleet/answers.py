"""Which answer of a proxy acknowledges what a message carried (propagation/push.py: the sessions).

A NACK acknowledges nothing. Over delta every response has an answer of its own, so what a refused one carried
is acknowledged only if a later one, which left before that was refused, carries it again. A
state-of-the-world server takes an answer for stale if a newer response of the type has left meanwhile; what
that response carries then includes what was not answered, so the next answer that is not stale acknowledges
both, or neither. Both end with the stream: of what was sent on one, nothing is acknowledged on another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.batches import Batch
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.moves import NULL, Move
from simulator.fleet.streams import Ints

NEVER = 2**62
"""Behind the end of every run."""


@dataclass(slots=True, eq=False)
class _Next:
    """The next message of one type to each proxy (over delta the next that is accepted): since when its
    connection's worker made it and when it was sent, when what it carries is acknowledged, and when its
    stream ends."""

    since_ns: Ints
    sent_ns: Ints
    acked_ns: Ints
    ends_ns: Ints

    @classmethod
    def none(cls, count: int) -> _Next:
        return cls(*(np.full(count, NULL, np.int64) for _ in range(4)))

    def note(self, batch: Batch, rows: NDArray[np.int64] | slice, at: int, acked_ns: Ints) -> None:
        place = batch.place[rows]
        self.since_ns[place], self.acked_ns[place] = batch.busy_from_ns[rows], acked_ns
        self.sent_ns[place] = batch.sent_at(at)[rows]
        if batch.ends_ns is not None:
            self.ends_ns[place] = batch.ends_ns[rows]

    def is_on_the_stream_of(self, batch: Batch, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Whether there is one, on the stream of these."""
        place = batch.place[rows]
        is_there: NDArray[np.bool_] = self.sent_ns[place] >= 0
        if batch.ends_ns is not None:
            is_there &= self.ends_ns[place] == batch.ends_ns[rows]
        return is_there


class Answers:
    """Told the batches from the last to the first, with the instants at which their answers are read.

    Args:
        count: How many proxies.
        is_delta: The protocol of their streams.
    """

    def __init__(self, count: int, *, is_delta: bool) -> None:
        self._count, self._is_delta = count, is_delta
        self._next: dict[str, _Next] = {}

    def settle(self, batch: Batch) -> None:
        """From when each answer is read to when what its message carried is acknowledged."""
        for number, move in enumerate(batch.all_moves):
            rows = slice(None) if batch.of is None else np.flatnonzero(batch.of == number)
            for at, type_name in enumerate(move.types):
                self._settle_one(batch, rows, move, at, type_name)

    def _settle_one(
        self, batch: Batch, rows: NDArray[np.int64] | slice, move: Move, at: int, type_name: str
    ) -> None:
        following = self._next.get(type_name)
        if following is None:
            following = self._next[type_name] = _Next.none(self._count)
        place, read_ns = batch.place[rows], batch.acked_ns[at][rows]
        next_sent_ns, has_next = following.sent_ns[place], following.is_on_the_stream_of(batch, rows)
        if self._is_delta and move.refused[at]:
            is_again = has_next & (next_sent_ns < batch.applied_ns[at][rows])
            if is_again.any() and any(c.last < at and at in c.acks for c in move.carried):
                raise CannotTakeFleet("a change that is refused in one type and put right in another")
            batch.acked_ns[at][rows] = np.where(is_again, following.acked_ns[place], NEVER)
            return
        # Read at the instant of a Send: before it if the worker took it up just then, else behind it.
        is_stale = has_next & (read_ns >= next_sent_ns) & (read_ns > following.since_ns[place])
        own_ns = NEVER if move.refused[at] else read_ns
        acked_ns = read_ns if self._is_delta else np.where(is_stale, following.acked_ns[place], own_ns)
        batch.acked_ns[at][rows] = acked_ns
        following.note(batch, rows, at, acked_ns)
