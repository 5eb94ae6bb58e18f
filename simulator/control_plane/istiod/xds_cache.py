"""The XDS cache: what of a response has been generated before, for proxies of the same group.

Four LRU caches, one for each of CDS, EDS, RDS and SDS, hold encoded resources by everything they depend on;
proxies that agree in all of it (locality, version, type, ...) form a group here, so an entry is a name in a
group. A change clears the entries that depend on it. What was generated for a push that started before the
last clearing is not stored.
Simplified: when a cache is full, the group used least recently leaves it as a whole.
Source: pilot/pkg/model/xds_cache.go, typed_xds_cache.go; pilot/pkg/features/xds.go.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from simulator.xds.resources import NO_NAMES, Names

_WANTED_LIMIT = 512  # sets of names remembered as complete; beyond it the memory starts afresh


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Which caches there are.

    Attributes:
        size: PILOT_XDS_CACHE_SIZE: entries of each cache.
        cds: PILOT_ENABLE_CDS_CACHE.
        eds: Part of PILOT_ENABLE_XDS_CACHE.
        rds: PILOT_ENABLE_RDS_CACHE.
        sds: Part of PILOT_ENABLE_XDS_CACHE.
    """

    size: int = 60_000
    cds: bool = True
    eds: bool = True
    rds: bool = True
    sds: bool = True


class Lookup(NamedTuple):
    """What a generation found: the names to generate, and how many were there."""

    misses: Names
    hits: int


class XdsCache:
    """The caches of one istiod."""

    __slots__ = ("_by_type",)

    def __init__(self, settings: CacheSettings) -> None:
        enabled = {"cds": settings.cds, "eds": settings.eds, "rds": settings.rds, "sds": settings.sds}
        self._by_type = {name: _TypedCache(settings.size) for name, is_on in enabled.items() if is_on}

    def entries(self, type_name: str) -> int:
        """Number of entries of a type; 0 for a type without a cache."""
        cache = self._by_type.get(type_name)
        return 0 if cache is None else cache.entries

    @property
    def clearings(self) -> int:
        """How often entries were cleared: what was generated before may cost again."""
        return sum(cache.clearings for cache in self._by_type.values())

    @property
    def stored(self) -> int:
        """Entries stored so far: what is generated next may cost less."""
        return sum(cache.stored for cache in self._by_type.values())

    def stores(self, token_ns: int) -> tuple[bool, ...]:
        """For each type, whether what is generated with that Start is stored."""
        return tuple(cache.stores(token_ns) for cache in self._by_type.values())

    @property
    def evictions(self) -> int:
        """Groups that left a full cache."""
        return sum(cache.evictions for cache in self._by_type.values())

    def look_up(self, type_name: str, group: object, wanted: Names, token_ns: int) -> Lookup:
        """What of ``wanted`` has to be generated; it is stored as generated.

        Args:
            type_name: Short name of the resource type; one without a cache always misses.
            group: What tells the entries of different proxies apart; equal groups share them.
            wanted: Names in the response.
            token_ns: Start of the push (LastPushTime for a request): if it lies before the last clearing of
                the type, nothing is stored.
        """
        cache = self._by_type.get(type_name)
        return Lookup(wanted, 0) if cache is None else cache.look_up(group, wanted, token_ns)

    def clear(self, type_name: str, names: Names, now_ns: int) -> None:
        """Entries of these names go, in every group. Even if there were none, older pushes store nothing."""
        cache = self._by_type.get(type_name)
        if cache is not None:
            cache.clear(names, now_ns)

    def clear_type(self, type_name: str, now_ns: int) -> None:
        """All entries of a type go."""
        cache = self._by_type.get(type_name)
        if cache is not None:
            cache.clear_all(now_ns)

    def clear_all(self, now_ns: int) -> None:
        """All entries go, as a forced push has it."""
        for cache in self._by_type.values():
            cache.clear_all(now_ns)


class _Group:
    """The entries of one group.

    ``complete`` are sets of names that were all held once; ``lost`` are the names cleared since and not
    generated again. So what is missing from such a set is among the lost: O(what was cleared), not O(names).
    """

    __slots__ = ("complete", "held", "lost")

    def __init__(self) -> None:
        self.held: dict[str, None] = {}
        self.lost: dict[str, None] = {}
        self.complete: dict[Names, None] = {}

    def missing(self, wanted: Names) -> Names:
        """The names of ``wanted`` that are not held."""
        if not self.held:
            return wanted
        names = [n for n in self.lost if n in wanted] if wanted in self.complete else self._scan(wanted)
        if not names:
            return NO_NAMES
        return wanted if len(names) == len(wanted) else Names(names)

    def store(self, wanted: Names, missing: Names) -> None:
        """What was missing of ``wanted`` is held now, and so is all of it."""
        for name in missing:
            self.held[name] = None
            self.lost.pop(name, None)
        if wanted not in self.complete:
            if len(self.complete) >= _WANTED_LIMIT:
                self.complete.clear()
            self.complete[wanted] = None

    def clear(self, names: Names) -> int:
        """Drops names; how many were held."""
        dropped = [name for name in names if name in self.held]
        for name in dropped:
            del self.held[name]
            self.lost[name] = None
        return len(dropped)

    def _scan(self, wanted: Names) -> list[str]:
        held = self.held
        return [name for name in wanted if name not in held]


class _TypedCache:
    """The LRU cache of one type."""

    __slots__ = ("_cleared_ns", "_groups", "_size", "clearings", "entries", "evictions", "stored")

    def __init__(self, size: int) -> None:
        self._size = size
        self._groups: OrderedDict[object, _Group] = OrderedDict()
        self._cleared_ns: int | None = None
        self.entries = self.clearings = self.stored = self.evictions = 0

    def look_up(self, group: object, wanted: Names, token_ns: int) -> Lookup:
        held = self._groups.get(group)
        if held is None:
            held = _Group()
        else:
            self._groups.move_to_end(group)
        missing = held.missing(wanted)
        if self.stores(token_ns):
            self._groups[group] = held
            held.store(wanted, missing)
            self.entries += len(missing)
            self.stored += len(missing)
            self._evict()
        return Lookup(missing, len(wanted) - len(missing))

    def stores(self, token_ns: int) -> bool:
        return self._cleared_ns is None or token_ns >= self._cleared_ns

    def clear(self, names: Names, now_ns: int) -> None:
        self._cleared_ns = now_ns
        self.clearings += 1
        for group in self._groups.values():
            self.entries -= group.clear(names)

    def clear_all(self, now_ns: int) -> None:
        self._cleared_ns = now_ns
        self.clearings += 1
        self._groups.clear()
        self.entries = 0

    def _evict(self) -> None:
        while self.entries > self._size:
            _, group = self._groups.popitem(last=False)
            self.evictions += 1
            self.entries -= len(group.held)
