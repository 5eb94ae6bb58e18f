"""Subscriptions with a stream or a loop of their own, by type and name.

A name may have two while a changed cluster warms: the older one is for the object in service until the newer
takes over (rules W4, W5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from simulator.xds.resource_types import ResourceType


class OwnSubscription(Protocol):
    """One subscription that can end by itself."""

    is_superseded: bool
    """A newer one of the same name exists."""

    def stop(self) -> None:
        """Ends it."""


_T = TypeVar("_T", bound=OwnSubscription)


class PerName(Generic[_T]):
    """The open subscriptions of one Envoy."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[tuple[ResourceType, str], list[_T]] = {}

    def __iter__(self) -> Iterator[_T]:
        """All of them, by the name that was first subscribed."""
        return (one for same in self._open.values() for one in same)

    def add(self, type_: ResourceType, name: str, subscription: _T) -> None:
        """A new one; it supersedes those the name has."""
        same = self._open.setdefault((type_, name), [])
        for older in same:
            older.is_superseded = True
        same.append(subscription)

    def take(self, type_: ResourceType, name: str) -> list[_T]:
        """Those of the name, which are kept no longer: the caller ends them."""
        return self._open.pop((type_, name), [])

    def take_superseded(self, type_: ResourceType, name: str) -> list[_T]:
        """All but the newest of the name, which are kept no longer: the caller ends them."""
        same = self._open.get((type_, name), [])
        older = same[:-1]
        del same[:-1]
        return older

    def end_all(self) -> None:
        """The process ends."""
        for same in self._open.values():
            for one in same:
                one.stop()
        self._open.clear()
