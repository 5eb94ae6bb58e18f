"""Requests, integrated: what they meet between two changes of the data plane, not one event for each.

A request train of a constant rate meets a piecewise constant outcome, so the expected counts are exact
integrals. A request on a *fresh* connection goes to whoever accepts now; a *kept* connection stays with the
listener object that accepted it until that object drains and closes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from simulator.engine.clock import S


@dataclass(frozen=True, slots=True)
class TrafficSettings:
    """One request train from each proxy's side.

    Attributes:
        service: Listener the requests go to.
        per_second: Rate.
        is_kept: On one kept connection instead of a fresh one each.
        begin_ns: First instant.
        until_ns: End, not included.
        request_ns: How long a request takes.
    """

    service: str
    per_second: float
    is_kept: bool
    begin_ns: int
    until_ns: int
    request_ns: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A span of constant outcome."""

    t_start_ns: int
    t_end_ns: int
    outcome: str


class OutcomeTimeline:
    """The outcome of one request train over time."""

    __slots__ = ("_outcome", "_since_ns", "_until_ns", "spans")

    def __init__(self, settings: TrafficSettings) -> None:
        self._since_ns = settings.begin_ns
        self._until_ns = settings.until_ns
        self._outcome = "refused"
        self.spans: list[Span] = []

    def set(self, t_ns: int, outcome: str) -> None:
        """From ``t_ns`` on requests meet this."""
        if outcome != self._outcome:
            self._close(t_ns)
            self._outcome = outcome

    def finish(self, t_ns: int) -> list[Span]:
        """Ends the timeline; its spans."""
        self._close(t_ns)
        return self.spans

    def _close(self, t_ns: int) -> None:
        end_ns = min(t_ns, self._until_ns)
        if end_ns > self._since_ns:
            self.spans.append(Span(self._since_ns, end_ns, self._outcome))
            self._since_ns = end_ns


def with_cuts(spans: list[Span], cuts: list[tuple[int, int]]) -> list[Span]:
    """The spans with requests that were answered, had they not been cut: those begun in a window of `cuts`
    on a connection of a process that ended before they did (UC)."""
    points = sorted({t for window in cuts for t in window})
    result = []
    for span in spans:
        inner = [t for t in points if span.t_start_ns < t < span.t_end_ns]
        for start_ns, end_ns in pairwise([span.t_start_ns, *inner, span.t_end_ns]):
            is_cut = span.outcome == "200" and any(a <= start_ns and end_ns <= b for a, b in cuts)
            result.append(Span(start_ns, end_ns, "UC" if is_cut else span.outcome))
    return result


def split_by_staleness(spans: list[Span], stale: list[tuple[int, int]]) -> list[tuple[Span, bool]]:
    """Spans cut where a stale window begins or ends, each with whether it lies in one."""
    cuts = sorted({t for window in stale for t in window})
    result = []
    for span in spans:
        points = [span.t_start_ns, *(c for c in cuts if span.t_start_ns < c < span.t_end_ns), span.t_end_ns]
        for start_ns, end_ns in pairwise(points):
            is_stale = any(begin <= start_ns and end_ns <= end for begin, end in stale)
            result.append((Span(start_ns, end_ns, span.outcome), is_stale))
    return result


def connection_closed_after_ns(
    drain_time_ns: int, *, is_gradual: bool, per_second: float, uniform: Callable[[int], float]
) -> int:
    """How long after draining starts a busy kept connection is told to close.

    Immediate: with its next request. Gradual: each request with probability (whole seconds elapsed) / drain
    time, so never in the first second (rules W9, W10); what is left closes at the drain time.

    Args:
        drain_time_ns: ``--drain-time-s``.
        is_gradual: ``--drain-strategy gradual``.
        per_second: Requests on the connection.
        uniform: The draw of each whole second.

    Source: source/server/drain_manager_impl.cc.
    """
    if per_second <= 0:
        return drain_time_ns
    gap_ns = S / per_second
    if not is_gradual or drain_time_ns == 0:
        return min(drain_time_ns, int(gap_ns))
    for second in range(1, math.ceil(drain_time_ns / S)):
        p = min(1.0, second * S / drain_time_ns)
        u = uniform(second)
        requests = 1 if p >= 1.0 else max(1, math.ceil(math.log1p(-u) / math.log1p(-p)))
        if requests * gap_ns <= S:
            return min(drain_time_ns, second * S + int(requests * gap_ns))
    return drain_time_ns
