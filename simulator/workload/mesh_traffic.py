"""Requests between services: what their senders' proxies know meets who answers at the addresses.

A request goes to one of the hosts that the sender's Envoy holds, all equally likely. A host whose pod is gone
fails the attempt (UF); Envoy tries again at a host not tried before, up to ``retries`` times. Nothing is
drawn: between two changes of what the proxy knows and of who answers, each outcome has a constant
probability, so the expected counts are exact integrals.

Istio's retry policy: pilot/pkg/networking/core/route/retry/retry.go (2 retries, connect-failure among the
conditions, previous hosts avoided); the hosts Envoy knows are those of its last EDS update.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from simulator.engine.clock import S
from simulator.mesh.lives import EndpointLives, Life


@dataclass(frozen=True, slots=True)
class RoutingView:
    """What a proxy knows about one service.

    Attributes:
        obstacle: Why no request leaves it: ``refused`` (no listener), ``NR`` (no route), ``NC`` (no cluster);
            None if none.
        addresses: Pods it may choose from.
    """

    obstacle: str | None
    addresses: tuple[int, ...] = ()


NOT_LISTENING = RoutingView("refused")


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Requests from one proxy to one service.

    Attributes:
        per_second: Rate.
        begin_ns: First instant.
        until_ns: End, not included.
        retries: How often a failed attempt is repeated (Istio's default: 2).
        attempt_ns: How long an attempt at a pod that is gone takes to fail: 0 where its address refuses or
            resets, the connect time-out where packets vanish. The back-off between attempts (25 ms base) is
            left out.
    """

    per_second: float
    begin_ns: int
    until_ns: int
    retries: int = 2
    attempt_ns: int = 0


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """Requests of one outcome that were sent over [t_start, t_end).

    Attributes:
        t_start_ns: Begin.
        t_end_ns: End.
        outcome: ``200``, ``UH``, ``UF``, ``NR``, ``NC`` or ``refused``.
        stale: The pod chosen was being deleted, or gone.
        attempts: Expected requests whose first attempt met this outcome: what there would be without retries.
        requests: Expected requests that ended so, after retries.
    """

    t_start_ns: int
    t_end_ns: int
    outcome: str
    stale: bool
    attempts: float
    requests: float


Outcome: TypeAlias = tuple[str, bool]
"""An outcome, and whether the pod chosen was being deleted or gone."""

FAILED: Outcome = ("UF", True)
NO_HOST: Outcome = ("UH", False)

Shares: TypeAlias = dict[Outcome, tuple[float, float]]
"""By outcome: its probability at the first attempt, and in the end."""


Hosts: TypeAlias = Mapping[int, Life]
"""Who can be chosen at one attempt, and how each lives then."""

Kinds: TypeAlias = Mapping[tuple[Life | None, ...], int]
"""How many hosts live so at the attempts, one after the other; None where they cannot be chosen."""


def kinds_of(attempts: Sequence[Hosts]) -> Kinds:
    """The hosts of the attempts, those of equal fate counted together."""
    pods = dict.fromkeys(pod for hosts in attempts for pod in hosts)
    fates = [tuple(hosts.get(pod) for hosts in attempts) for pod in pods]
    # In an order of their own, not that of the hosts: equal numbers of hosts give equal sums.
    return Counter(sorted(fates, key=lambda fate: [life.value if life else "" for life in fate]))


def outcome_shares(kinds: Kinds, attempts: int) -> Shares:
    """What becomes of a request that may make so many attempts, one after the other as each fails.

    Each attempt chooses among its hosts, all equally likely, without those tried before; where only those are
    left, it chooses among them.

    Source: source/common/router/router.cc (a retry without a host ends as UH),
    envoy.retry_host_predicates.previous_hosts.
    """
    first: dict[Outcome, float] = {}
    final: dict[Outcome, float] = {}
    waiting = {(0,) * len(kinds): 1.0}
    for attempt in range(attempts):
        failed: dict[tuple[int, ...], float] = {}
        for tried, p in waiting.items():
            for outcome, q, tried_now in _choices(kinds, attempt, tried, p):
                if attempt == 0:
                    first[outcome] = first.get(outcome, 0.0) + q
                if outcome == FAILED and attempt + 1 < attempts:
                    failed[tried_now] = failed.get(tried_now, 0.0) + q
                else:
                    final[outcome] = final.get(outcome, 0.0) + q
        waiting = failed
    return {outcome: (first.get(outcome, 0.0), final.get(outcome, 0.0)) for outcome in first | final}


def _choices(
    kinds: Kinds, attempt: int, tried: tuple[int, ...], p: float
) -> Iterator[tuple[Outcome, float, tuple[int, ...]]]:
    """The outcomes of one attempt, each with its probability and what is tried by then, by kind of host."""
    lives = [fate[attempt] for fate in kinds]
    numbers = zip(lives, kinds.values(), tried, strict=True)
    untried = [0 if life is None else number - before for life, number, before in numbers]
    is_fresh = any(untried)
    left = untried if is_fresh else [0 if life is None else n for life, n in zip(lives, tried, strict=True)]
    total = sum(left)
    if total == 0:
        yield NO_HOST, p, tried
    for place, (life, number) in enumerate(zip(lives, left, strict=True)):
        q = p * number / max(total, 1)
        if number and life is Life.GONE:
            tried_now = (*tried[:place], tried[place] + 1, *tried[place + 1 :]) if is_fresh else tried
            yield FAILED, q, tried_now
        elif number:
            yield ("200", life is Life.TERMINATING), q, tried


class EdgeTraffic:
    """The requests from one proxy to one service, over a run.

    Args:
        settings: Rate and retries.
        lives: Who answers when; read when the rows are asked for.
        worked_out: What became of requests that met the same: may be shared by all edges of a run.
    """

    __slots__ = ("_instants", "_lives", "_settings", "_views", "_worked_out")

    def __init__(
        self, settings: EdgeSettings, lives: EndpointLives, worked_out: dict[object, Shares] | None = None
    ) -> None:
        self._settings = settings
        self._lives = lives
        self._worked_out = {} if worked_out is None else worked_out
        self._instants: list[int] = []
        self._views: list[RoutingView] = []

    def set(self, t_ns: int, view: RoutingView) -> None:
        """From ``t_ns`` on the proxy knows this. Instants must not decrease."""
        assert not self._instants or self._instants[-1] <= t_ns, f"{t_ns} ns after {self._instants[-1]} ns"
        if self._views and self._views[-1] == view:
            return
        if self._instants and self._instants[-1] == t_ns:
            self._views[-1] = view
            return
        self._instants.append(t_ns)
        self._views.append(view)

    @property
    def instants(self) -> Sequence[int]:
        """When the proxy knew something else, in order."""
        return self._instants

    def rows(self, end_ns: int, begin_ns: int = 0) -> list[TrafficRow]:
        """What became of the requests sent from ``begin_ns`` on, before ``end_ns``, in order of time, then of
        outcome. Spans of equal shares are joined."""
        rows = []
        for start_ns, stop_ns, shares in self._joined(begin_ns, end_ns):
            requests = self._settings.per_second * (stop_ns - start_ns) / S
            for (outcome, stale), (first, final) in sorted(shares.items()):
                rows.append(TrafficRow(start_ns, stop_ns, outcome, stale, first * requests, final * requests))
        return rows

    def _joined(self, begin_ns: int, end_ns: int) -> list[tuple[int, int, Shares]]:
        """Spans of constant shares, each as long as it can be."""
        cuts = self._cuts(begin_ns, end_ns)
        spans: list[tuple[int, int, Shares]] = []
        for start_ns, stop_ns in pairwise(cuts):
            shares = self._shares(start_ns)
            if spans and spans[-1][2] == shares:
                start_ns, *_ = spans.pop()
            spans.append((start_ns, stop_ns, shares))
        return spans

    def _cuts(self, begin_ns: int, end_ns: int) -> list[int]:
        """Instants between which no attempt of a request meets anything else, whenever it was sent."""
        settings = self._settings
        begin_ns, until_ns = max(settings.begin_ns, begin_ns), min(settings.until_ns, end_ns)
        if until_ns <= begin_ns:
            return []
        delays_ns = dict.fromkeys(number * settings.attempt_ns for number in range(settings.retries + 1))
        latest_ns = until_ns + max(delays_ns)
        changes = [*self._instants, *self._lives.instants(self._known(), begin_ns, latest_ns)]
        cuts = dict.fromkeys((begin_ns, until_ns))
        for delay_ns in delays_ns:
            sent = (t_ns - delay_ns for t_ns in changes)
            cuts.update(dict.fromkeys(t_ns for t_ns in sent if begin_ns < t_ns < until_ns))
        return sorted(cuts)

    def _known(self) -> dict[int, None]:
        return dict.fromkeys(pod for view in self._views for pod in view.addresses)

    def _shares(self, t_ns: int) -> Shares:
        """What becomes of a request sent at ``t_ns``: the same for all that hold the same meanwhile."""
        settings = self._settings
        at = [
            t_ns + n * settings.attempt_ns for n in range(settings.retries + 1 if settings.attempt_ns else 1)
        ]
        key = settings.attempt_ns, settings.retries, *((self.view(t), self._lives.epoch(t)) for t in at)
        shares = self._worked_out.get(key)
        if shares is None:
            shares = self._worked_out[key] = self._work_out(t_ns)
        return shares

    def _work_out(self, t_ns: int) -> Shares:
        view = self.view(t_ns)
        if view.obstacle is not None:
            return {(view.obstacle, False): (1.0, 1.0)}
        attempts = self._settings.retries + 1
        if self._settings.attempt_ns == 0:
            lives = list(self._hosts(t_ns).values())
            numbers = {life: lives.count(life) for life in Life}
            kinds: Kinds = {(life,) * attempts: number for life, number in numbers.items() if number}
        else:
            kinds = kinds_of([self._hosts(t_ns + n * self._settings.attempt_ns) for n in range(attempts)])
        return outcome_shares(kinds, attempts)

    def view(self, t_ns: int) -> RoutingView:
        """What the proxy knows at an instant."""
        place = bisect_right(self._instants, t_ns)
        return self._views[place - 1] if place else NOT_LISTENING

    def _hosts(self, t_ns: int) -> Hosts:
        """Who can be chosen at ``t_ns``; nobody where the cluster is gone by then."""
        return {pod: self._lives.at(pod, t_ns) for pod in self.view(t_ns).addresses}
