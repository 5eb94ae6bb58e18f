"""What a cluster with health checks or DNS adds to start-up: the measured table of the Envoy 1.40
measurements.

Times count from the CDS response to the start of the workers, in seconds. Measured with EDS, STATIC and
STRICT_DNS clusters alike.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.running import DELTA
from tests.conformance.starting import said_at, workers_after
from tests.conformance.tolerance import MS, assert_close, assert_inside, assert_law, uniform_cdf
from tests.playing import NEVER, Play, play

every_kind = pytest.mark.parametrize("kind", ["eds", "static", "strict_dns"])


def _play(kind: str, check: dict[str, Any] | None, **keywords: Any) -> Play:
    keywords.setdefault("timeout", "15s")
    return play(
        clusters={"type": kind},
        resources={} if check is None else {"health_check": check},
        traffic="100/s",
        **{"duration": "6s", **keywords},
    )


def _after_cds(played: Play) -> float:
    return workers_after(played, "response cds")


@every_kind
@pytest.mark.parametrize(
    ("check", "outcome"),
    [(None, "200"), ("pass", "200"), ("fail", "200"), ("refuse", "UF")],
    ids=["no check", "passes", "503", "refused"],
)
def test_a_round_that_is_answered_holds_nothing_up(kind: str, check: str | None, outcome: str) -> None:
    """No check, a check that passes, one answered 503, an endpoint that refuses: 7 to 18 ms, one round
    whatever its result. All hosts unhealthy still get traffic (panic mode)."""
    played = _play(kind, None if check is None else {"answers": check, "timeout": "2s"})
    assert_inside(_after_cds(played), 7 * MS, 18 * MS)
    assert played.outcomes()[-1][1] == outcome


@every_kind
def test_a_check_answered_late_is_waited_for(kind: str) -> None:
    """A check answered after 1 s: 1.01 s."""
    played = _play(kind, {"answers": {"after": "1s"}, "timeout": "2s"})
    assert_close(_after_cds(played), 1.01)
    assert played.outcomes()[-1][1] == "200"


@every_kind
def test_a_check_never_answered_ends_with_its_own_timeout(kind: str) -> None:
    """Never answered, check timeout 2 s: 2.01 s."""
    assert_close(_after_cds(_play(kind, {"answers": "never", "timeout": "2s"})), 2.01)


@every_kind
def test_the_fetch_timeout_does_not_bound_a_check(kind: str) -> None:
    """Never answered, check timeout 4 s, initial_fetch_timeout 1 s on all sources: 4.01 s."""
    played = _play(kind, {"answers": "never", "timeout": "4s"}, timeout="1s")
    assert_close(_after_cds(played), 4.01)
    assert played.fetch_timeouts == {}


def test_a_late_check_ends_with_its_timeout_if_that_comes_first() -> None:
    assert_close(_after_cds(_play("eds", {"answers": {"after": "3s"}, "timeout": "1s"})), 1.01)


def test_one_round_of_all_hosts_is_waited_for() -> None:
    """As many checks as hosts: the slowest of them ends the round, of several clusters the slowest one."""
    check = {"answers": {"after": {"uniform": ["100ms", "900ms"]}}, "timeout": "2s"}
    one = _play("eds", check)
    many = play(
        clusters={"count": 4, "endpoints": 50},
        resources={"health_check": check},
        timeout="15s",
        duration="6s",
    )
    assert 0.1 < _after_cds(one) < 0.92
    assert_close(_after_cds(many), 0.9)


def test_an_assignment_without_hosts_needs_no_check() -> None:
    played = play(
        clusters={"endpoints": 0},
        resources={"health_check": {"answers": "never", "timeout": "4s"}},
        traffic="100/s",
        duration="6s",
    )
    assert _after_cds(played) < 20 * MS
    assert played.outcomes()[-1][1] == "UH"


def test_checks_start_after_the_assignment() -> None:
    """Discovery, then the check round: strictly one after the other."""
    check = {"answers": {"after": "1s"}, "timeout": "2s"}
    played = play(
        resources={"health_check": check}, answers={"eds": {"after": "1s"}}, timeout="15s", duration="6s"
    )
    assert_close(_after_cds(played), 2.01)


# --- DNS


@pytest.mark.parametrize("wire", [{}, DELTA], ids=["sotw", "delta"])
def test_a_late_resolver_holds_up_the_workers(wire: dict[str, str]) -> None:
    resolver = {"type": "strict_dns", "resolver": {"after": "1s"}}
    played = play(**wire, clusters=resolver, duration="4s")
    assert_close(_after_cds(played), 1.01)


def test_one_slow_name_holds_up_every_assignment() -> None:
    """Primaries of a CDS answer go before its secondaries, so EDS is not even asked for until DNS
    answered."""
    clusters = [{"type": "eds", "count": 3}, {"type": "strict_dns", "resolver": {"after": "1s"}}]
    played = play(clusters=clusters, duration="4s")
    assert_close(said_at(played, "request eds") - said_at(played, "response cds"), 1.0)


def test_a_resolver_that_never_answers_ends_between_46_and_70_seconds() -> None:
    """STRICT_DNS whose resolver never answers: 46 to 70 s (6 runs), then 503; initial_fetch_timeout (1 s)
    does not bound it. That the law between is uniform is an assumption."""
    envoys = 150
    result = play(
        clusters={"type": "strict_dns", "resolver": "never"},
        timeout="1s",
        duration="75s",
        mesh={"proxies": envoys},
        traffic="1/s",
        recording={"messages": False, "states": False},
    ).result
    starts = result.startups
    waits = [float(w) / 1e9 for w in (starts.t_workers_started_ns - starts.t_cds_subscribed_ns)]
    assert len(waits) == envoys
    assert min(waits) >= 46.0
    assert max(waits) <= 70.0 + 20 * MS
    assert_law(waits, uniform_cdf(46.0, 70.0), "waits for DNS")
    assert {str(o) for o in result.traffic[result.traffic.t_start_ns >= 71 * 10**9].outcome} <= {"UH"}
    assert Play(result).outcomes()[-1][1] == "UH"
    assert all(timeouts == "{}" for timeouts in starts.fetch_timeouts)


def test_static_clusters_with_dns_hold_up_even_cds() -> None:
    """Bootstrap clusters come first of all: CDS is asked for when their names are resolved."""
    static = {"clusters": {"type": "strict_dns", "prefix": "s", "resolver": {"after": "1s"}}}
    played = play(envoy={"static": static}, answers={"eds": NEVER}, duration="6s")
    row = played.startup
    assert_close((int(row.t_cds_subscribed_ns) - int(row.t_bootstrapped_ns)) / 1e9, 1.0)
