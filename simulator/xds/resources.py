"""Immutable sets of names and of resources, shared by every proxy that holds the same content.

Ten thousand Envoys of a thousand clusters hold ten thousand *references* to a few of these sets. The set
operations remember their results per operand, so that the first proxy pays O(resources) for "what did this
response change?" and every later proxy that stands in the same place gets the same answer object for O(1).
Identity of results matters for that: equal operands (the same objects) give the same result object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

_MEMO_LIMIT = 512
"""Remembered results per set; beyond it the memory starts afresh (results stay equal, sharing restarts)."""

_R = TypeVar("_R")


class Fault(Enum):
    """How a resource is invalid: the message does not decode, or the object cannot be built."""

    DECODE = "decode"
    BUILD = "build"


class _Remembering:
    """Remembers results of binary operations by operand identity."""

    __slots__ = ("_memo",)

    def __init__(self) -> None:
        self._memo: dict[tuple[str, object], object] = {}

    def _remember(self, operation: str, operand: object, compute: Callable[[], _R]) -> _R:
        key = (operation, operand)
        memo = self._memo
        if key in memo:
            return memo[key]  # type: ignore[return-value]
        if len(memo) >= _MEMO_LIMIT:
            memo.clear()
        result = compute()
        memo[key] = result
        return result


class Names(_Remembering):
    """An ordered, immutable set of resource names, compared by identity.

    Attributes:
        count: Their number: what `len` says, without a call where it is asked for every message.
    """

    __slots__ = ("_index", "_order", "count")

    def __init__(self, names: Iterable[str] = ()) -> None:
        super().__init__()
        self._index = dict.fromkeys(names)
        self._order = tuple(self._index)
        self.count = len(self._order)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def __repr__(self) -> str:
        return f"Names({', '.join(self._order[:4])}{', ...' if len(self) > 4 else ''})"

    def equals(self, other: Names) -> bool:
        """Whether both hold the same names, in whatever order."""
        return self is other or self._index.keys() == other._index.keys()

    def union(self, other: Names) -> Names:
        """These names, then the others not yet among them."""
        if not other._order or self is other:
            return self
        if not self._order:
            return other
        return self._remember("union", other, lambda: self._keep(Names((*self, *other))))

    def minus(self, other: Names) -> Names:
        """These names without the others."""
        if not self._order or not other._order:
            return self
        if self is other:
            return NO_NAMES
        return self._remember("minus", other, lambda: self._keep(Names(n for n in self if n not in other)))

    def intersect(self, other: Names) -> Names:
        """These names as far as they are among the others."""
        if not self._order or self is other:
            return self
        if not other._order:
            return NO_NAMES
        return self._remember("intersect", other, lambda: self._keep(Names(n for n in self if n in other)))

    def meets(self, other: Names) -> bool:
        """Whether any of these names is among the others."""
        few, many = (self, other) if len(self._order) <= len(other._order) else (other, self)
        if len(few._order) == 1:  # most changes are about one thing
            return few._order[0] in many._index
        return not few._index.keys().isdisjoint(many._index)

    def within(self, other: Names) -> bool:
        """Whether all of these names are among the others."""
        if len(self._order) == 1:
            return self._order[0] in other._index
        return self is other or self._index.keys() <= other._index.keys()

    def where(self, label: object, keep: Callable[[str], bool]) -> Names:
        """The names for which ``keep`` holds; ``label`` must identify the predicate."""
        return self._remember("where", label, lambda: self._keep(Names(n for n in self if keep(n))))

    def singly(self) -> tuple[Names, ...]:
        """Each name by itself, in order: for subscriptions that are made one by one."""
        return self._remember("singly", None, lambda: tuple(Names((name,)) for name in self))

    def reversed(self) -> Names:
        """The same names in opposite order."""
        return self._remember("reversed", None, lambda: Names(self._order[::-1]))

    def _keep(self, result: Names) -> Names:
        if len(result) == len(self):
            return self
        return result if result else NO_NAMES


NO_NAMES = Names()


@dataclass(frozen=True, slots=True)
class Resource(Generic[_R]):
    """One named resource in one revision.

    Attributes:
        name: Resource name.
        revision: Counts content changes; the delta protocol's per-resource version is its text.
        body: What the resource says (cluster, assignment, listener, ...), hashable.
        size_bytes: Encoded size.
        fault: None for a valid resource.
    """

    name: str
    revision: int
    body: _R
    size_bytes: int = 0
    fault: Fault | None = None

    @property
    def version(self) -> str:
        """Per-resource version as the delta protocol sends it."""
        return str(self.revision)


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """What a newer set of resources changes in an older one, by name."""

    added: Names
    changed: Names
    unchanged: Names
    removed: Names
    is_quiet: bool = field(init=False)
    """Nothing is added, changed or removed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_quiet", not (self.added or self.changed or self.removed))


class Resources(_Remembering):
    """An ordered, immutable mapping from name to resource, compared by identity.

    Attributes:
        names: The names.
        size_bytes: Sum of the encoded sizes.
    """

    __slots__ = ("_by_name", "_grouped", "names", "size_bytes")

    def __init__(self, resources: Iterable[Resource[object]] | Mapping[str, Resource[object]] = ()) -> None:
        super().__init__()
        self._by_name: dict[str, Resource[object]] = (
            dict(resources) if isinstance(resources, Mapping) else {r.name: r for r in resources}
        )
        self.names = Names(self._by_name) if self._by_name else NO_NAMES
        self.size_bytes = sum(r.size_bytes for r in self._by_name.values())
        self._grouped: dict[object, dict[object, Names]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Resource[object]]:
        return iter(self._by_name.values())

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Resource[object]:
        return self._by_name[name]

    def __repr__(self) -> str:
        return f"Resources({len(self)})"

    def get(self, name: str) -> Resource[object] | None:
        """The resource of that name, or None."""
        return self._by_name.get(name)

    def only(self, names: Names) -> Resources:
        """The resources among ``names``, in this mapping's order."""
        if not self._by_name or names is self.names:
            return self
        if not names._order:
            return NO_RESOURCES
        return self._remember("only", names, lambda: self._keep(r for r in self if r.name in names))

    def without(self, names: Names) -> Resources:
        """The resources that are not among ``names``."""
        if not self._by_name or not names._order:
            return self
        return self._remember("without", names, lambda: self._keep(r for r in self if r.name not in names))

    def updated(self, newer: Resources) -> Resources:
        """This mapping with the newer resources put in, replacing those of equal name."""
        if not newer._by_name or newer is self:
            return self
        if not self._by_name:
            return newer
        return self._remember("updated", newer, lambda: self._merge(newer))

    def difference_to(self, newer: Resources) -> Difference:
        """What ``newer``, taken as the whole state, adds, changes, leaves and removes."""
        if not self._by_name:
            return Difference(newer.names, NO_NAMES, NO_NAMES, NO_NAMES)
        return self._remember("difference", newer, lambda: self._compare(newer))

    def grouped(self, label: object, key: Callable[[Resource[object]], object]) -> Mapping[object, Names]:
        """Names by the value of ``key``, groups in order of first appearance; ``label`` identifies the key
        function."""
        if label not in self._grouped:
            groups: dict[object, list[str]] = {}
            for resource in self:
                groups.setdefault(key(resource), []).append(resource.name)
            self._grouped[label] = {value: Names(names) for value, names in groups.items()}
        return self._grouped[label]

    def collect(self, label: object, names: Callable[[Resource[object]], Iterable[str]]) -> Names:
        """The names each resource refers to, together; ``label`` identifies the function."""
        return self._remember(
            "collect", label, lambda: Names(n for r in self for n in names(r)) if self else NO_NAMES
        )

    def total(self, label: object, value: Callable[[Resource[object]], int]) -> int:
        """The sum of a value of each resource; ``label`` identifies the function."""
        return self._remember("total", label, lambda: sum(value(r) for r in self))

    def faulty(self) -> Mapping[object, Names]:
        """Names by fault; key None holds the valid ones."""
        return self.grouped("fault", lambda r: r.fault)

    def _keep(self, resources: Iterable[Resource[object]]) -> Resources:
        result = Resources(resources)
        if len(result) == len(self):
            return self
        return result if result else NO_RESOURCES

    def _merge(self, newer: Resources) -> Resources:
        if all(self._by_name.get(r.name) is r for r in newer):
            return self
        merged = {**self._by_name, **newer._by_name}
        return newer if len(merged) == len(newer) else Resources(merged)

    def _compare(self, newer: Resources) -> Difference:
        added, changed, unchanged = [], [], []
        for resource in newer:
            held = self._by_name.get(resource.name)
            if held is None:
                added.append(resource.name)
            elif held is resource or held == resource:
                unchanged.append(resource.name)
            else:
                changed.append(resource.name)
        removed = [name for name in self._by_name if name not in newer]
        return Difference(
            self._named(added, newer),
            self._named(changed, newer),
            self._named(unchanged, newer),
            Names(removed),
        )

    @staticmethod
    def _named(names: list[str], whole: Resources) -> Names:
        if not names:
            return NO_NAMES
        return whole.names if len(names) == len(whole) else Names(names)


NO_RESOURCES = Resources()
