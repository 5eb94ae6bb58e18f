"""Two conversations of the same messages: which of them changed places."""

from __future__ import annotations

from simulator.lab.conversation import Said

Numbered = tuple[tuple[str, tuple[str, ...]], int]
"""A message, and how many equal ones came before it, this one included."""

_REACH = 40
"""How far apart two messages may stand that are looked at together."""


class Order:
    """One conversation, and where each of its messages stands."""

    def __init__(self, said: list[Said]) -> None:
        self.said = said
        self.keys: list[Numbered] = []
        counts: dict[tuple[str, tuple[str, ...]], int] = {}
        for one in said:
            count = counts[one.same] = counts.get(one.same, 0) + 1
            self.keys.append((one.same, count))
        self.place = {key: position for position, key in enumerate(self.keys)}

    def counterpart(self, key: Numbered) -> Said | None:
        """The same message here."""
        position = self.place.get(key)
        return None if position is None else self.said[position]

    def inversions(self, other: Order) -> list[tuple[Numbered, Numbered]]:
        """Pairs of messages that stand in this order here and in the opposite one there."""
        positions = [other.place.get(key) for key in self.keys]
        return [
            (self.keys[i], self.keys[j])
            for i, first in enumerate(positions)
            for j in range(i + 1, min(i + _REACH, len(positions)))
            if first is not None and (second := positions[j]) is not None and second < first
        ]

    def has_first(self, first: Numbered, second: Numbered) -> bool:
        """Whether both are here, in this order."""
        here = self.place.get(first), self.place.get(second)
        return here[0] is not None and here[1] is not None and here[0] < here[1]
