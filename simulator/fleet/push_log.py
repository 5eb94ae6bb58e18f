"""The pushes to the proxies of the arrays, as the line handed them on: all of them, or their counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.arrived import groups
from simulator.recording.push_tally import PushTally

Ints = NDArray[np.int64]
Small = NDArray[np.int32]


class PushLog:
    """See the module; kept are columns in pieces, until `count_into` is called.

    Attributes:
        made: What was sent; -1 for nothing.
        sent_ns: When; -1 where the push was nothing to the proxy.
    """

    def __init__(self) -> None:
        self.place: list[Small] = []
        self.request: list[Small] = []
        self.made: list[Small] = []
        self.dequeued_ns: list[Ints] = []
        self.sent_ns: list[Ints] = []
        self._tally: PushTally | None = None
        self._last_sent_ns: dict[int, int] = {}

    def add(self, place: Small, request: Small, made: Small, dequeued_ns: Ints, sent_ns: Ints) -> None:
        """Pushes in order of their ends (pushes_over.Taker)."""
        if self._tally is not None:
            self._count(request, made, dequeued_ns, sent_ns)
            return
        self.place.append(place)
        self.request.append(request)
        self.made.append(made)
        self.dequeued_ns.append(dequeued_ns)
        self.sent_ns.append(sent_ns)

    def count_into(
        self, tally: PushTally, replica: int, start_ns: Callable[[int], int], sends: Callable[[int], bool]
    ) -> None:
        """From here on pushes are counted and not kept, those of before as well.

        Args:
            tally: Counts them.
            replica: Whose pushes they are.
            start_ns: The Start that a request carries, by its number.
            sends: Whether what was made, by its number, is anything at all.
        """
        self._tally, self._replica, self._start_ns, self._sends = tally, replica, start_ns, sends
        for piece in zip(self.request, self.made, self.dequeued_ns, self.sent_ns, strict=True):
            self._count(*piece)
        for column in (self.place, self.request, self.made, self.dequeued_ns, self.sent_ns):
            column.clear()

    def _count(self, request: Small, made: Small, dequeued_ns: Ints, sent_ns: Ints) -> None:
        assert self._tally is not None
        sent_ns = np.where(_are(made, self._sends), sent_ns, -1)
        is_sent = sent_ns >= 0
        in_hand_ns = self._tally.in_hand_ns
        taken_ns = int((sent_ns[is_sent] - dequeued_ns[is_sent]).sum())
        in_hand_ns[self._replica] = in_hand_ns.get(self._replica, 0) + taken_ns
        for rows, (number,) in groups(request):
            sent = sent_ns[rows]
            self._tally.add(self._start_ns(number), dequeued_ns[rows], sent)
            if (last_ns := int(sent.max())) >= 0:
                self._last_sent_ns[number] = last_ns

    def last_sent_ns(self, sends: Callable[[int], bool]) -> dict[int, int]:
        """By number of a request, when the last push of it that sent anything was sent."""
        last_ns = dict(self._last_sent_ns)
        for request, made, sent_ns in zip(self.request, self.made, self.sent_ns, strict=True):
            rows = np.flatnonzero(_are(made, sends) & (sent_ns >= 0))
            if not len(rows):
                continue
            # In order of their ends: the last of each is the latest.
            if (request == request[rows[0]]).all():
                last_ns[int(request[rows[0]])] = int(sent_ns[rows[-1]])
                continue
            found, where = np.unique(request[rows][::-1], return_index=True)
            last_ns.update(zip(found.tolist(), sent_ns[rows[::-1][where]].tolist(), strict=True))
        return last_ns


def _are(numbers: Small, what: Callable[[int], bool]) -> NDArray[np.bool_]:
    """`what` of each number that is not negative; False of others."""
    if len(numbers) and (numbers == numbers[0]).all():
        return np.full(len(numbers), bool(numbers[0] >= 0 and what(int(numbers[0]))))
    first, last = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    told = np.zeros(last - first + 1, bool)
    occurs = np.zeros(last - first + 1, bool)
    occurs[numbers - first] = True
    for number in np.flatnonzero(occurs).tolist():
        told[number] = number + first >= 0 and what(number + first)
    return told[numbers - first]
