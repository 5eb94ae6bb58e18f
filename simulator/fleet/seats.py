"""Who waits in the push queue of one istiod, and for what.

A place that waits, or has a push in hand, keeps one request: what comes later is merged with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.fleet import kernel as k

ABSENT = k.IN_HAND + 1
"""Where a place stands that has no stream."""


class Seats:
    """See the module.

    Args:
        reg: Registers of the kernel.
        size: Places.

    Attributes:
        places: What is known of each place (kernel.POS); the next four are columns of it.
        numbers: The same as int32 (kernel.WAITS).
        line: Places in order, from one register to another; those with another seat in `pos` have left.
        pos: The seat of each place.
        status: Where each stands.
        waiting: What each waits for: a request, or a round.
        in_hand: What is pushed to it.
        kept: What it gets next.
    """

    def __init__(self, reg: NDArray[np.int64], size: int) -> None:
        self._reg, self._size = reg, size
        self.line = np.zeros(2 * size + 64, np.int32)
        self.status = np.zeros(size, np.int8)
        self.places = np.zeros((size, k.WIDTH), np.int64)
        self.numbers = self.places.view(np.int32)
        self.pos = self.places[:, k.POS]
        self.waiting, self.in_hand, self.kept = self.numbers.T[k.WAITS : k.KEPT + 1]
        self.pos[:], self.kept[:] = -1, k.NOTHING

    def append(self, places: NDArray[np.int64]) -> None:
        """These get in line, in this order."""
        reg, count = self._reg, len(places)
        if reg[k.TAIL] + count + self._size // 2 + 32 > len(self.line):
            in_line = self.line[reg[k.HEAD] : reg[k.TAIL]]
            seats = np.arange(reg[k.HEAD], reg[k.TAIL])
            in_line = in_line[self.pos[in_line] == seats]
            needed = len(in_line) + count + self._size + 64
            if needed > len(self.line):
                self.line = np.zeros(2 * needed, np.int32)
            self.line[: len(in_line)] = in_line
            self.pos[in_line] = np.arange(len(in_line))
            reg[k.HEAD], reg[k.TAIL] = 0, len(in_line)
        tail = int(reg[k.TAIL])
        self.line[tail : tail + count] = places
        self.pos[places] = np.arange(tail, tail + count)
        self.status[places] = k.WAITING
        reg[k.TAIL] += count

    def requests_in_use(self) -> list[int]:
        """The first number of those that wait, of those in hand, and of those kept for later."""
        waits, in_hand = (np.flatnonzero(self.status == status) for status in (k.WAITING, k.IN_HAND))
        numbers = self.waiting[waits], self.in_hand[in_hand], self.kept[in_hand]
        return [int(found.min()) for each in numbers if len(found := each[each >= 0])]

    def stop(self) -> None:
        """Nobody waits any more; it is still known who is connected."""
        del self.line, self.places, self.numbers, self.pos, self.waiting, self.in_hand, self.kept
