"""Certificates in a mesh: they hold up starts and nothing else; fleets renew in waves."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import mesh, run, seconds

MINUTE_NS, HOUR_NS = 60 * 10**9, 3600 * 10**9
SERVICES = [{"name": "web", "endpoints": 2}]


def play(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    return run(*workload, **{"proxies": 2, "services": SERVICES, "duration": "60s", **keywords})


def certificates(**more: object) -> dict[str, Any]:
    return {"certificates": {"provider": "istiod", "key_generation": "100ms", "signing": "2ms", **more}}


def scale_up(**more: object) -> dict[str, object]:
    return {"scale_up": {"pods": 2}, "service": "web", "at": "10s", "ready_after": "0s", **more}


def test_a_new_pod_asks_for_its_certificate_when_its_agent_starts_beside_the_bootstrap() -> None:
    result = play(scale_up(), agent=certificates())
    rows = result.certificates
    assert seconds(rows.t_wanted_ns) == [11.0, 11.0]  # agent.init is 1 s
    assert seconds(rows.t_requested_ns) == [11.1, 11.1]
    assert (rows.t_issued_ns < result.startups.t_started_ns.min()).all()  # the bootstrap takes 300 ms
    # Envoy is given it when it asks: with its first cluster or listener that wants it.
    assert (rows.t_active_ns > result.startups.t_cds_initialized_ns.min()).all()
    assert result.summary().loc["certificate_delay", "pending"] == 0


def test_clusters_wait_for_a_late_certificate_and_for_ever_without_one() -> None:
    quick = play(scale_up(), agent=certificates())
    late = play(scale_up(), agent=certificates(key_generation="5s"))
    never = play(scale_up(), {"ca_outage": True, "at": "0s"}, agent=certificates())
    [late_by] = {
        round(a - b, 3)
        for a, b in zip(
            seconds(late.startups.t_clusters_initialized_ns),
            seconds(late.certificates.t_active_ns),
            strict=True,
        )
    }
    assert 0 <= late_by < 0.01
    assert quick.startups.t_clusters_initialized_ns.max() < 12 * 10**9
    assert never.startups.t_cds_initialized_ns.notna().all()
    assert never.startups.t_clusters_initialized_ns.isna().all()
    assert (never.startups.fetch_timeouts == "{}").all()


def test_an_outage_of_the_ca_holds_up_new_pods_and_leaves_the_others_alone() -> None:
    edits = {"edit": "VirtualService", "every": "2s", "from": "1s", "until": "50s"}
    outage = {"ca_outage": True, "at": "5s", "until": "30s"}
    result = play(scale_up(), edits, outage, agent=certificates())
    plain = play(scale_up(), edits, agent=certificates())
    assert (result.startups.t_ready_ns > 30 * 10**9).all()
    assert (plain.startups.t_ready_ns < 15 * 10**9).all()

    def delays(of: xs.Result) -> list[int]:
        rows = of.deliveries[of.deliveries.proxy_id.isin(["p0", "p1"])].merge(of.changes, on="change_id")
        rows = rows[rows.kind == "VirtualService"]
        return sorted(rows.t_active_ns - rows.t_changed_ns_x)

    assert max(delays(result)) < 0.2 * 10**9
    assert len(delays(result)) == len(delays(plain))


def test_a_slow_ca_adds_its_delay_to_every_certificate() -> None:
    result = play(scale_up(), {"ca_outage": True, "delay": "4s", "at": "0s"}, agent=certificates())
    waits = result.certificates.t_issued_ns - result.certificates.t_requested_ns
    assert ((waits > 4.0 * 10**9) & (waits < 4.1 * 10**9)).all()


def test_a_replica_that_stops_drops_its_csrs_and_the_next_try_finds_it_back() -> None:
    slow = {"ca_outage": True, "delay": "1s", "at": "0s"}
    result = play(
        scale_up(), slow, {"restart_istiod": 0, "at": "11.5s", "down_for": "2s"}, agent=certificates()
    )
    assert (result.certificates.failures >= 1).all()
    assert (result.certificates.outcome == "issued").all()


def test_a_workload_has_a_new_root_with_its_next_certificate() -> None:
    result = play({"root_rotation": True, "at": "1h"}, agent=certificates(), duration="26h", version="1.23")
    [change] = result.changes.itertuples()
    assert change.kind == "RootCertificate"
    delay = (result.deliveries.t_active_ns - result.deliveries.t_changed_ns) / HOUR_NS
    assert (delay > 0).all()
    assert (delay < 12).all()  # connected: ages are uniform over 12 h
    assert set(result.deliveries.outcome) == {"active"}
    assert result.certificates.root.max() == 1


def waves(version: str) -> list[tuple[float, float]]:
    """First renewal and width of each wave of a fleet of 60 started within one minute, in minutes."""
    scenario = mesh(
        proxies=60,
        services=[{"name": "web", "endpoints": 2}],
        duration="40h",
        version=version,
        start={"over": "60s"},
        plane={"max_connection_age": "none"},
        agent=certificates(),
    )
    rows = xs.run(scenario).certificates
    renewals = [rows.t_wanted_ns[(rows.t_wanted_ns / (12 * HOUR_NS)).round() == wave] for wave in (1, 2, 3)]
    return [(wave.min() / MINUTE_NS, (wave.max() - wave.min()) / MINUTE_NS) for wave in renewals]


@pytest.mark.slow
def test_before_1_24_a_fleet_started_within_a_minute_renews_within_a_minute_every_12_hours() -> None:
    for number, (first, width) in enumerate(waves("1.23"), start=1):
        assert 720 * number <= first < 720 * number + 0.2
        assert width <= 1.01


@pytest.mark.slow
def test_with_1_percent_jitter_waves_are_30_then_58_minutes_wide_and_fade() -> None:
    """The first wave spans at most 28.8 min and the minute of the starts, the second twice that; of 60 agents
    the extremes miss the ends by about 1/60 each (the second, a sum of two, by more)."""
    widths = [width for _, width in waves("1.24")]
    assert 26.0 < widths[0] <= 29.8
    assert 40.0 < widths[1] <= 58.6
    assert widths[2] > widths[0]
