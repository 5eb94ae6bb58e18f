"""Deliveries without an outcome of one proxy, found by resource type and name.

Thousands of changes may be outstanding at once (a registry that fell behind by minutes), and every message
asks which of them it carries. A message about a few names looks at the deliveries of these names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar


class NameSet(Protocol):
    """Some names, in an order of their own."""

    def __iter__(self) -> Iterator[str]:
        """The names."""

    def __len__(self) -> int:
        """How many."""


D = TypeVar("D")

_FEW = 16
"""Up to so many names are looked up one by one."""


class OpenDeliveries(Generic[D]):
    """One proxy's, each under the id of its change and in the order of these."""

    __slots__ = ("_by_name", "_by_type")

    def __init__(self) -> None:
        self._by_type: dict[str, dict[int, D]] = {}
        self._by_name: dict[tuple[str, str], dict[int, D]] = {}

    def add(self, change: int, delivery: D, parts: Mapping[str, NameSet]) -> None:
        """A newer change than all before."""
        for type_name, names in parts.items():
            self._by_type.setdefault(type_name, {})[change] = delivery
            for name in names:
                self._by_name.setdefault((type_name, name), {})[change] = delivery

    def remove(self, change: int, parts: Mapping[str, NameSet]) -> None:
        """It has its outcome; `parts` as it was added with."""
        for type_name, names in parts.items():
            del self._by_type[type_name][change]
            for name in names:
                del self._by_name[type_name, name][change]

    def of_type(self, type_name: str) -> list[D]:
        """All of a type."""
        return list(self._by_type.get(type_name, {}).values())

    def touching(self, type_name: str, names: NameSet) -> list[D]:
        """Those of a type that have one of the names, and perhaps others."""
        deliveries = self._by_type.get(type_name)
        if not deliveries:
            return []
        if len(names) > min(_FEW, len(deliveries)):
            return list(deliveries.values())
        if len(names) == 1:
            return list(self._by_name.get((type_name, next(iter(names))), {}).values())
        found: dict[int, D] = {}
        for name in names:
            found.update(self._by_name.get((type_name, name), {}))
        return [found[change] for change in sorted(found)]

    def all(self) -> Iterable[D]:
        """Each once."""
        found: dict[int, D] = {}
        for deliveries in self._by_type.values():
            found.update(deliveries)
        return list(found.values())
