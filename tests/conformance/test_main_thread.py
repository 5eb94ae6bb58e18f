"""One main thread: rules P1 and P2 of the Envoy 1.40 measurements."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.running import SEPARATE, SOTW, outcomes, push, run
from tests.conformance.tolerance import MS, assert_close, assert_inside, assert_law, is_close, uniform_cdf
from tests.playing import Play

# --- P1: a route behind clusters


def route_behind_clusters(n: int, wire: dict[str, str], **keywords: Any) -> tuple[float, Play]:
    """CDS with n changed static clusters, RDS pushed right behind; when the data plane uses the route."""
    played = run(
        push("cds", change=[f"c{1 + i}" for i in range(n)]),
        push("rds", change=["r0"]),
        clusters=[{"count": 1, "type": "eds"}, {"count": n, "type": "static"}],
        **wire,
        **keywords,
    )
    return float(played.delivery(1).t_active_ns - played.delivery(1).t_sent_ns) / 1e9, played


@pytest.mark.parametrize(
    ("wire", "n", "measured"),
    [
        (SOTW, 10, 8 * MS),
        pytest.param(SOTW, 3000, 1.397, marks=pytest.mark.slow),
        pytest.param(SEPARATE, 3000, 1.484, marks=pytest.mark.slow),
    ],
    ids=["ads-10", "ads-3000", "separate-3000"],
)
def test_a_route_push_waits_for_the_clusters_in_front_of_it(
    wire: dict[str, str], n: int, measured: float
) -> None:
    applied, _ = route_behind_clusters(n, wire)
    assert_close(applied, measured)


@pytest.mark.parametrize("wire", [SOTW, SEPARATE], ids=["ads", "separate"])
@pytest.mark.slow
def test_where_rows_of_p1_disagree_the_largest_size_is_used(wire: dict[str, str]) -> None:
    """P1 has 520 us a cluster at 1000 and 466 us at 3000 (ADS), 582 and 495 us (separate streams), and 8
    against 12 ms at 10; "all changed" of the cost table has 330 to 470 us. One line cannot meet them
    all, and the streams make no difference in Envoy. The model uses P1 at 3000, where the fixed part
    weighs least, at the upper end of the table's range; at 1000 it comes out 9 % (ADS) and 19 %
    (separate) too low, at 10 on separate streams 5 ms."""
    at_1000, at_3000 = (route_behind_clusters(n, wire)[0] for n in (1000, 3000))
    assert_inside((at_3000 - at_1000) / 2000, 330e-6, 470e-6, "a changed cluster", unit=1e-6)
    assert_close(at_1000, 0.470)


@pytest.mark.parametrize("n", [10, 1000])
def test_streams_of_their_own_do_not_help(n: int) -> None:
    ads, _ = route_behind_clusters(n, SOTW)
    separate, _ = route_behind_clusters(n, SEPARATE)
    assert separate == pytest.approx(ads, rel=0.05)


def test_the_data_plane_goes_on_meanwhile() -> None:
    _, played = route_behind_clusters(1000, SOTW)
    assert outcomes(played) == [(0.0, "200")]


def test_without_costs_nothing_waits() -> None:
    applied, _ = route_behind_clusters(10, SOTW, envoy={"costs": "zero"})
    assert not is_close(applied, 8 * MS)
    assert not is_close(applied, 12 * MS)


# --- P2: the stats flush

FLUSHES = 200


def waits_at_flushes(clusters: int, phase_ms: int = 0) -> list[float]:
    """How long a small EDS push waits that is sent so many ms after each flush begins."""
    pushes = [
        {"at": f"{5000 * (k + 2) + phase_ms}ms", "type": "eds", "change": ["c0"]} for k in range(FLUSHES)
    ]
    played = run(
        *pushes,
        clusters=[{"count": 1, "type": "eds"}, {"count": clusters - 1, "type": "static"}],
        duration=f"{5 * FLUSHES + 12}s",
        traffic=None,
        recording={"messages": False, "states": False},
    )
    undisturbed = run(push("eds", change=["c0"]), traffic=None).delivery()
    service_ns = undisturbed.t_applied_ns - undisturbed.t_received_ns
    # The flush timer is armed when the server is constructed, which is when CDS is subscribed here.
    assert played.startup.t_bootstrapped_ns == played.origin_ns
    rows = played.result.deliveries
    assert (rows.outcome == "active").all()
    return [float(ns) / 1e9 for ns in rows.t_applied_ns - rows.t_received_ns - service_ns]


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "low", "high"), [(1000, 12 * MS, 18 * MS), (5000, 60 * MS, 90 * MS)])
def test_a_push_that_meets_the_flush_waits_12_to_18_us_for_each_cluster(
    clusters: int, low: float, high: float
) -> None:
    """The push is sent when the flush begins and arrives one way of the link later: the flush takes that
    much longer."""
    loopback = 0.25 * MS
    stalls = [wait + loopback for wait in waits_at_flushes(clusters)]
    assert low <= min(stalls)
    assert max(stalls) <= high
    assert_law(stalls, uniform_cdf(low, high), "stall of the main thread")
    # The test can tell: the same stalls against a law one part in six away.
    with pytest.raises(AssertionError):
        assert_law(stalls, uniform_cdf(low, high + (high - low) / 2))


@pytest.mark.slow
@pytest.mark.parametrize("phase_ms", [-10, 100, 2500], ids=["before", "just after", "between"])
def test_a_push_between_flushes_does_not_wait(phase_ms: int) -> None:
    assert max(waits_at_flushes(1000, phase_ms)) == pytest.approx(0, abs=1e-9)


def test_a_longer_interval_puts_the_flush_off() -> None:
    played = run(
        {"at": "10s", "type": "eds", "change": ["c0"]},
        clusters=[{"count": 1}, {"count": 999, "type": "static"}],
        traffic=None,
        envoy={"stats_flush_interval": "1m"},
    )
    assert_close((played.delivery().t_acked_ns - played.delivery().t_sent_ns) / 1e9, 1.2 * MS)
