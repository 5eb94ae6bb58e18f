"""What a push is about: Istio's ``PushRequest`` and how two of them merge.

Ten thousand connections hold references to a few requests: one object is enqueued for all, and merging the
same two objects gives the same object again.
Source: pilot/pkg/model/push_context.go:PushRequest, Merge, CopyMerge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simulator.xds.resources import NO_NAMES, Names

ENDPOINTS = "Endpoints"
"""The kind of a change of endpoints that leaves the service as it is."""

_MEMO_LIMIT = 512  # remembered results of one request; beyond it the memory starts afresh


@dataclass(frozen=True, slots=True, eq=False)
class PushRequest:
    """One request to push, compared by identity.

    Attributes:
        keys: ConfigsUpdated: the changed objects as "Kind/namespace/name"; a Service is a ServiceEntry.
        reasons: How often each reason led to it (``pilot_push_triggers``); merging adds them up. Without
            one, the reason is "unknown".
        forced: Everything is generated for everybody, whatever the keys.
        start_ns: Start, from which ``pilot_proxy_convergence_time`` counts; merging keeps the older one.
        rounds: Numbers of the pushes that are merged here, oldest first.
        context: The PushContext to generate from; merging takes the newer one.
    """

    keys: Names = NO_NAMES
    reasons: Mapping[str, int] = field(default_factory=lambda: {"unknown": 1})
    forced: bool = False
    start_ns: int = 0
    rounds: tuple[int, ...] = ()
    context: object | None = None
    _merged: dict[PushRequest, PushRequest] = field(default_factory=dict, init=False, repr=False)
    _by_kind: dict[str, Names] = field(default_factory=dict, init=False, repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of changed objects, in order of first appearance."""
        return tuple(self._grouped())

    @property
    def only_endpoints(self) -> bool:
        """Whether it is about endpoints alone: neither proxies nor the PushContext need be computed anew."""
        return not self.forced and tuple(self._grouped()) == (ENDPOINTS,)

    def keys_of(self, kind: str) -> Names:
        """The keys of one kind; always the same object."""
        return self._grouped().get(kind, NO_NAMES)

    def merged(self, newer: PushRequest) -> PushRequest:
        """The two as one: older Start, newer context, keys united, reasons added, forced if either is."""
        memo = self._merged
        result = memo.get(newer)
        if result is None:
            if len(memo) >= _MEMO_LIMIT:
                memo.clear()
            result = memo[newer] = merge_all((self, newer))
        return result

    def merged_with(self, newer: Sequence[PushRequest]) -> PushRequest:
        """It and newer ones, the oldest first, as one."""
        return merge_all((self, *newer))

    def stamped(self, start_ns: int, rounds: tuple[int, ...], context: object) -> PushRequest:
        """The request as it is enqueued for every connection, when its PushContext is ready.

        Args:
            start_ns: The present instant.
            rounds: Numbers of the pushes it is made of.
            context: The PushContext just built.
        """
        return PushRequest(self.keys, self.reasons, self.forced, start_ns, rounds, context)

    def _grouped(self) -> Mapping[str, Names]:
        by_kind = self._by_kind
        if not by_kind and self.keys:
            groups: dict[str, list[str]] = {}
            for key in self.keys:
                groups.setdefault(key.partition("/")[0], []).append(key)
            one_kind = len(groups) == 1
            by_kind.update((kind, self.keys if one_kind else Names(keys)) for kind, keys in groups.items())
        return by_kind


def merge_all(requests: Sequence[PushRequest]) -> PushRequest:
    """Requests (at least one, the oldest first) as one: what merging them one after another gives."""
    first, last = requests[0], requests[-1]
    if len(requests) == 1:
        return first
    reasons: dict[str, int] = {}
    for request in requests:
        for reason, count in request.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return PushRequest(
        _united([request.keys for request in requests]),
        reasons,
        any(request.forced for request in requests),
        first.start_ns,
        tuple(push for request in requests for push in request.rounds),
        last.context,
    )


def _united(sets: Sequence[Names]) -> Names:
    """The union, in time proportional to what is in the sets."""
    first = sets[0]
    if all(keys is first for keys in sets):
        return first
    if len(sets) == 2:
        return first.union(sets[1])
    united = Names(key for keys in sets for key in keys)
    return united if united else NO_NAMES
