"""The push requests of one istiod in numbers, and a column of each: what it costs, and what it sends.

What was asked for all connections is a *round*. What waits since a round is not merged one by one: it is what
that round and all later ones ask for, and gets its number where somebody gets a slot for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np


class Request(Protocol):
    """A push request; equal ones are one object."""

    def merged(self, newer: Any) -> Any:
        """The two as one."""

    def merged_with(self, newer: Sequence[Any]) -> Any:
        """It and these, the oldest first, as one: as merging them one after another."""


class Making(Protocol):
    """What makes responses for the connections of a group."""

    def concerns(self, group: int, request: Any) -> bool:
        """Whether the push is anything to them."""

    def make(self, group: int, request: Any) -> tuple[int, int]:
        """What the push sends, as a number, and its cost in ns, if it is made now."""

    def edition(self) -> object:
        """Changes whenever `make` might answer otherwise, but for what `make` itself did."""

    def learned(self) -> int:
        """Counts what `make` did, and pushes to others, that makes later answers others."""


class PushRequests:
    """See the module.

    Args:
        groups: How many groups there are.
        making: Makes responses.
        in_use: Numbers that somebody waits for.

    Attributes:
        all: Requests by number.
        first: The number whose column is the first.
        relevant: Whether a request is anything to a group; by group and column, as the next two.
        cost_ns: What a push costs now; -1 where nobody has asked.
        made: What it sends, as a number.
        current: The numbers of rounds; -1 where nobody has asked since the last one.
    """

    def __init__(self, groups: int, making: Making, in_use: Callable[[], Sequence[int]]) -> None:
        self._groups, self._making, self._in_use = groups, making, in_use
        self.all: list[Any] = []
        self._numbers: dict[Any, int] = {}
        self.first = 0
        self._rounds: list[Any] = []
        """What was asked for all connections, in order, and of each the number in `current`."""
        self.current = np.full(64, -1, np.int32)
        self._resolved: list[int] = []
        self._columns(64)

    def _columns(self, count: int) -> None:
        self.relevant = np.zeros((self._groups, count), np.int8)
        self.cost_ns = np.full((self._groups, count), -1, np.int64)
        self.made = np.full((self._groups, count), -1, np.int32)

    def number(self, request: Any) -> int:
        """Of a request; a new one gets a column."""
        number = self._numbers.get(request)
        if number is None or number < self.first:  # its column was given away, and it comes again
            number = self._numbers[request] = len(self.all)
            self.all.append(request)
            column = number - self.first
            if column >= self.cost_ns.shape[1]:
                self._make_room()
                column = number - self.first
            for group in range(self._groups):
                self.relevant[group, column] = self._making.concerns(group, request)
        return number

    def _make_room(self) -> None:
        """Columns of requests that nobody waits for are given to new ones."""
        live = [*self._in_use(), *(self.current[round_] for round_ in self._resolved)]
        first = min([int(n) for n in live], default=len(self.all) - 1)
        first = min(first, len(self.all) - 1)
        old, kept, before = self.first, (self.relevant, self.cost_ns, self.made), self.cost_ns.shape[1]
        count = before
        while len(self.all) - first > count // 2:
            count *= 2
        self._columns(count)
        shift = first - old
        width = before - shift
        self.relevant[:, :width] = kept[0][:, shift:]
        self.cost_ns[:, :width] = kept[1][:, shift:]
        self.made[:, :width] = kept[2][:, shift:]
        self.first = first

    def note_round(self, request: Any) -> int:
        """One more round; its number among them."""
        round_ = len(self._rounds)
        self._rounds.append(request)
        if round_ >= len(self.current):
            self.current = np.concatenate([self.current, np.full_like(self.current, -1)])
        self.current[self._resolved] = -1
        self._resolved.clear()
        return round_

    def resolve(self, round_: int) -> None:
        """What a round and all later ones ask for gets a number."""
        first, *newer = self._rounds[round_:]
        self.current[round_] = self.number(first.merged_with(newer) if newer else first)
        self._resolved.append(round_)
