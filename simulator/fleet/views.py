"""What the workers of each row hold, as far as requests meet it: kept where the workload sends requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Small = NDArray[np.int32]


class Views:
    """Who holds what from when on. Contents are numbers; whoever gives them out knows what they stand for.

    Args:
        held: By place the content at the beginning.
        end_ns: End of the run: what comes later is never met.
    """

    def __init__(self, held: Small, end_ns: int) -> None:
        self._first, self._held, self._end_ns = held.copy(), held.copy(), end_ns
        self._place: list[Small] = []
        self._since_ns: list[Ints] = []
        self._content: list[Small] = []

    def note(self, place: Small, since_ns: Ints, content: Small) -> None:
        """From these instants on the workers of these places hold this; -1 for what they held before."""
        news = (content >= 0) & (content != self._held[place]) & (since_ns <= self._end_ns)
        if not news.all():
            place, since_ns, content = place[news], since_ns[news], content[news]
        if len(place):
            self._held[place] = content
            self._place.append(place)
            self._since_ns.append(since_ns)
            self._content.append(content)

    def of(self, places: NDArray[np.int64]) -> Iterator[tuple[int, Sequence[tuple[int, int]]]]:
        """For each of the places what it held from when on, in order of time; the first from 0 on."""
        place = np.concatenate([np.empty(0, np.int32), *self._place])
        since_ns = np.concatenate([np.empty(0, np.int64), *self._since_ns])
        content = np.concatenate([np.empty(0, np.int32), *self._content])
        order = np.argsort(place, kind="stable")
        ordered = place[order]
        begins, ends = (np.searchsorted(ordered, places, side=side) for side in ("left", "right"))
        since_ns, content = since_ns[order], content[order]
        for row, begin, end in zip(places.tolist(), begins.tolist(), ends.tolist(), strict=True):
            later = zip(since_ns[begin:end].tolist(), content[begin:end].tolist(), strict=True)
            yield row, [(0, int(self._first[row])), *later]
