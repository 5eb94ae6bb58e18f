"""What proxies of the arrays subscribe by polls or files, and what is published of it.

Proxies of one group have the same subscriptions. What one of them would get is a content, by a number that
counts up when it becomes another; which recorded changes it brings follows from the number of publications
since the content before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.parted import Parted

Ints = NDArray[np.int64]

NOTHING = -1
"""No content: what a new loop has, and what an answer without content brings."""

C = TypeVar("C")
N = TypeVar("N")


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription of every proxy of a group.

    Attributes:
        group: The group.
        seat: Its position among those of the group.
        type_name: Its type.
        name: Its resource; empty for a wildcard type.
        sent: Requests before the run, the one on its way included.
    """

    group: int
    seat: int
    type_name: str
    name: str
    sent: int


class Layout:
    """The subscriptions of all proxies in one row: those of a proxy stand together, at its *keys*.

    Attributes:
        key_place: Proxy of each key.
        key_sub: Subscription of each key.
    """

    def __init__(self, all_: Sequence[Subscription], group: NDArray[np.int32]) -> None:
        of_group: dict[int, list[int]] = {}
        for number, subscription in enumerate(all_):
            of_group.setdefault(subscription.group, []).append(number)
        groups = int(group.max(initial=-1)) + 1
        counts = np.array([len(of_group.get(g, ())) for g in range(groups)], np.int64)[group]
        ends = np.cumsum(counts)
        self._first: Ints = ends - counts
        self._seat = [s.seat for s in all_]
        self.key_place = np.repeat(np.arange(len(group), dtype=np.int32), counts)
        self.key_sub = np.empty(len(self.key_place), np.int32)
        for number, subs in of_group.items():
            first = self._first[group == number]
            self.key_sub[first[:, None] + np.arange(len(subs))] = np.array(subs, np.int32)

    def keys(self, place: NDArray[np.int32], sub: int) -> Ints:
        """The keys of a subscription of these proxies, all of its group."""
        keys: Ints = self._first[place] + self._seat[sub]
        return keys

    def keys_of(self, place: NDArray[np.int32], sub: NDArray[np.int32]) -> Ints:
        """The same, each with a subscription of its own."""
        keys: Ints = self._first[place] + np.array(self._seat, np.int64)[sub]
        return keys


@dataclass(slots=True, eq=False)
class Carries(Generic[N]):
    """A change as one subscription brings it.

    Attributes:
        publication: Number of the publication that first held it.
        parted: Its way to the proxies of the group.
        names: What of the subscription's resources it changes.
    """

    publication: int
    parted: Parted
    names: N


@dataclass(slots=True, eq=False)
class Subscriptions(Generic[C, N]):
    """All of them.

    Attributes:
        all: By number.
        layout: Where those of each proxy stand.
        contents: What each gave so far, by number of the content; between them what proxies made of it that
            refused a part.
        current: Number of the content that is published now.
        version: Number of the first content of the same version: who has one has the other.
        answer_ns: What an answer with it costs the server.
        size_bytes: Size of the content.
        unchanged_ns: What an answer without content costs.
        request_bytes: Size of a request.
        publications: How many there were.
        lives: Of the istiods that publish one after the other, the first publication of each.
        changes: By subscription, in order of publication.
    """

    all: Sequence[Subscription]
    layout: Layout
    contents: list[list[C]]
    answer_ns: Ints
    size_bytes: Ints
    request_bytes: Ints
    unchanged_ns: int
    publications: int = 0
    lives: list[int] = field(default_factory=lambda: [0])
    changes: list[list[Carries[N]]] = field(init=False)
    current: NDArray[np.int32] = field(init=False)
    version: NDArray[np.int32] = field(init=False)
    _repeats: Ints = field(init=False)
    """Keys of contents that are not the first of their version, ascending."""
    _first: NDArray[np.int32] = field(init=False)
    """The first ones of theirs."""
    is_cds: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.changes = [[] for _ in self.all]
        self.current, self.version = (np.zeros(len(self.all), np.int32) for _ in range(2))
        self._repeats, self._first = np.empty(0, np.int64), np.empty(0, np.int32)
        self.is_cds = np.array([s.type_name == "cds" for s in self.all], bool)

    def publish(self, sub: int, content: int, version: int) -> None:
        """What is published of a subscription from now on."""
        self.current[sub], self.version[sub] = content, version
        if content != version:
            key = (sub << 32) + content
            at = int(np.searchsorted(self._repeats, key))
            self._repeats = np.insert(self._repeats, at, key)
            self._first = np.insert(self._first, at, version)

    def versions_of(self, sub: NDArray[np.int32], content: NDArray[np.int32]) -> NDArray[np.int32]:
        """Versions of contents."""
        if not len(self._repeats):
            return content
        key = (sub.astype(np.int64) << 32) + content
        at = np.minimum(np.searchsorted(self._repeats, key), len(self._repeats) - 1)
        return np.where(self._repeats[at] == key, self._first[at], content)

    @property
    def life(self) -> int:
        """Number of the istiod that publishes now."""
        return len(self.lives) - 1

    def life_of(self, publication: int) -> int:
        """Number of the istiod that made it."""
        return bisect_right(self.lives, publication) - 1

    def begin_life(self) -> None:
        """Another istiod publishes from here on."""
        self.publications += 1
        self.lives.append(self.publications)

    def brought(self, sub: int, after: int, until: int) -> list[Carries[N]]:
        """The changes that were first published after one publication, up to another, by id."""
        found: list[Carries[N]] = []
        for carries in reversed(self.changes[sub]):
            if carries.publication <= after:
                break
            if carries.publication <= until:
                found.append(carries)
        return sorted(found, key=lambda carries: carries.parted.change)
