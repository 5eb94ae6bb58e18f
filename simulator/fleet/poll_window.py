"""The requests of a window: those under way to the server that arrive before the next poll of a loop can.

In the order in which the clock would handle them; requests that start within the window, for clusters that
warm, stand beside those that were known when it was opened.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.loops import AWAY, Loops

Ints = NDArray[np.int64]
Ids = NDArray[np.int64]


class Window:
    """See the module.

    Args:
        loops: Whose requests they are.

    Attributes:
        end_ns: Requests that arrive from then on are of a later one.
    """

    def __init__(self, loops: Loops) -> None:
        self._loops = loops
        self.end_ns = 0
        self._order: Ids = np.empty(0, np.int64)
        self._order_ns: Ints = np.empty(0, np.int64)
        self._cursor = 0
        self._extras: Ids = np.empty(0, np.int64)

    def open(self, away: Ids, end_ns: int) -> None:
        """A new one, of these requests as far as they arrive before its end."""
        loops = self._loops
        self.end_ns = end_ns
        self._extras = np.empty(0, np.int64)
        self._order = loops.in_order(away[loops.arrival_ns[away] < end_ns])
        self._order_ns = loops.arrival_ns[self._order]
        self._cursor = 0

    def add(self, ids: Ids) -> None:
        """Loops that started within it."""
        self._extras = np.concatenate([self._extras, ids])

    @property
    def is_served(self) -> bool:
        """Whether no request of it is left."""
        return self._cursor == len(self._order) and not self.has_extras

    @property
    def has_extras(self) -> bool:
        """Whether loops that started within it are still to be served in it."""
        loops = self._loops
        return bool(len(self._extras)) and bool((loops.arrival_ns[self._extras] < self.end_ns).any())

    @property
    def next_ns(self) -> int:
        """Every request that is not served arrives then or later."""
        loops = self._loops
        next_ns = self.end_ns
        if self._cursor < len(self._order):
            next_ns = min(next_ns, int(self._order_ns[self._cursor]))
        if len(self._extras):
            next_ns = min(next_ns, int(loops.arrival_ns[self._extras].min()))
        return next_ns

    def until(self, last_ns: int) -> tuple[Ids, NDArray[np.bool_]]:
        """Requests that arrive up to then, in order, and which of them were known when it was opened."""
        loops = self._loops
        end = self._cursor + int(np.searchsorted(self._order_ns[self._cursor :], last_ns, "right"))
        ids = self._order[self._cursor : end]
        if loops.has_cancelled and len(ids):
            is_left = loops.state[ids] == AWAY
            if not is_left.all():
                # Those at the beginning are passed over for good; then as many as stand together.
                begin = int(is_left.argmax()) if is_left.any() else len(ids)
                self._cursor += begin
                ids, is_left = ids[begin:], is_left[begin:]
                if not is_left.all():
                    ids = ids[: int((~is_left).argmax())]
                    last_ns = min(last_ns, int(loops.arrival_ns[ids[-1]]))
        is_main = np.ones(len(ids), bool)
        if len(self._extras):
            extra = self._extras[loops.arrival_ns[self._extras] <= last_ns]
            if len(extra):
                both = np.concatenate([ids, extra])
                order = np.lexsort((loops.turn[both], loops.place[both], loops.arrival_ns[both]))
                ids, is_main = both[order], order < len(ids)
        return ids, is_main

    def consume(self, ids: Ids, is_main: NDArray[np.bool_]) -> None:
        """These, the first of `until`, are served."""
        self._cursor += int(is_main.sum())
        if len(self._extras) and not is_main.all():
            self._extras = self._extras[self._loops.state[self._extras] == AWAY]

    def not_served_before(self, until_ns: int) -> Ids:
        """Those that arrive before then and are not served."""
        end = int(np.searchsorted(self._order_ns, until_ns))
        extra = self._extras[self._loops.arrival_ns[self._extras] < until_ns]
        waiting = np.concatenate([self._order[self._cursor : end], extra])
        left: Ids = waiting[self._loops.state[waiting] == AWAY]
        return left
