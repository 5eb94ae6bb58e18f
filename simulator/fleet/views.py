"""What the workers of each row hold, as far as requests meet it: kept where the workload sends requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.subscriptions import Layout

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

    def take_over(self, place: int, since: Sequence[tuple[int, int]]) -> None:
        """So far the workers of a place, which was no row, held these from when on, in order of time; the
        first from 0 on."""
        (_, self._first[place]), *later = since
        self._held[place] = since[-1][1]
        if later:
            since_ns, content = np.array(later, np.int64).T
            self._place.append(np.full(len(later), place, np.int32))
            self._since_ns.append(since_ns)
            self._content.append(content.astype(np.int32))

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


class HeldViews:
    """Views of proxies that hold each subscription by itself.

    Args:
        views: Told what the workers hold.
        layout: Where the subscriptions of each proxy stand.
        deciding: By group, the subscriptions on which it depends what requests meet.
        number: Number of what requests of a group meet where these contents of them are held.
    """

    def __init__(
        self,
        views: Views,
        layout: Layout,
        deciding: Sequence[Sequence[int]],
        number: Callable[[int, tuple[int, ...]], int],
    ) -> None:
        self._views, self._layout, self._deciding = views, layout, deciding
        self._group = {sub: group for group, subs in enumerate(deciding) for sub in subs}
        self._number = number
        self._numbers: dict[tuple[int, ...], int] = {}

    def note(self, sub: int, place: Small, since_ns: Ints, held: Small) -> None:
        """The workers of these places have a content of the subscription from then on.

        Args:
            sub: The subscription.
            place: Proxies of its group.
            since_ns: When.
            held: By key the content that is held, this one included.
        """
        group = self._group.get(sub)
        if group is None:
            return
        columns = [held[self._layout.keys(place, one)] for one in self._deciding[group]]
        found, which = np.unique(np.stack(columns), axis=1, return_inverse=True)
        numbers = [self._number_of(group, contents) for contents in found.T.tolist()]
        self._views.note(place, since_ns, np.array(numbers, np.int32)[which.reshape(-1)])

    def _number_of(self, group: int, contents: Sequence[int]) -> int:
        key = group, *contents
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._number(group, tuple(contents))
        return number
