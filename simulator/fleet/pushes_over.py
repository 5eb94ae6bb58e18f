"""Pushes that are over, until whoever takes them gets them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.fleet import kernel as k

CHUNK = 1 << 16
"""Room for pushes that are handed on together: when half of it is used, and at the end. What becomes of a
push after it changes nothing in the line, and handing on a few at a time costs far more than the pushes."""


class Taker(Protocol):
    """Who takes what the line did, in order."""

    def take(
        self,
        place: NDArray[np.int32],
        request: NDArray[np.int32],
        made: NDArray[np.int32],
        dequeued_ns: NDArray[np.int64],
        sent_ns: NDArray[np.int64],
    ) -> None:
        """Pushes in order of their ends; made and sent are -1 where the push was nothing to the proxy."""


class PushesOver:
    """See the module; the kernel fills them in.

    Args:
        reg: Registers of the kernel.
        size: Places.
        taker: Takes the pushes.

    Attributes:
        columns: Place, request, what was made, instants of dequeuing and of sending.
        handed_on: How many were taken.
    """

    def __init__(self, reg: NDArray[np.int64], size: int, taker: Taker) -> None:
        self._reg, self._taker = reg, taker
        self.handed_on = 0
        rows = min(CHUNK, 2 * size) + 2 * k.ROOM
        self.columns = (
            np.zeros(rows, np.int32),
            np.zeros(rows, np.int32),
            np.zeros(rows, np.int32),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
        )

    @property
    def is_half_full(self) -> bool:
        """Whether it is time to hand them on."""
        return bool(2 * self._reg[k.OUT] > len(self.columns[0]))

    def holds(self, place: int) -> bool:
        """Whether something was sent to it that is not handed on yet."""
        return bool((self.columns[0][: self._reg[k.OUT]] == place).any())

    def hand_on(self) -> None:
        """The taker gets what is over; called once more at the end of the run."""
        count = int(self._reg[k.OUT])
        if count:
            self.handed_on += count
            self._reg[k.OUT] = 0
            place, request, made, dequeued_ns, sent_ns = self.columns
            self._taker.take(
                place[:count].copy(),
                request[:count].copy(),
                made[:count].copy(),
                dequeued_ns[:count].copy(),
                sent_ns[:count].copy(),
            )
