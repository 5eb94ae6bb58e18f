"""Virtual machines: WorkloadEntries that come and go with connections, and the health that agents report."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import LATENCY, mesh, run, seconds

DEBOUNCE = 0.1
SERVICES = [{"name": "web", "endpoints": 0}, {"name": "db", "endpoints": 0}]
MESH: dict[str, Any] = {"proxies": {"sidecars": 2, "gateways": 0, "vms": 2}, "services": SERVICES}
"""web: p0 and vm0; db: p1 and vm1."""


def play(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    return run(*workload, **{**MESH, "duration": "3m", **keywords})


def endpoints_changed_at(result: xs.Result) -> list[float]:
    """When a WorkloadEntry was written or removed, in seconds."""
    rows = result.changes[result.changes.kind == "Endpoints"]
    return [round(t, 3) for t in seconds(rows.t_changed_ns)]


def active_after(result: xs.Result, change: int) -> set[float]:
    rows = result.deliveries[result.deliveries.change_id == change]
    return {round(float(d) / 1e9, 3) for d in rows.t_active_ns - rows.t_changed_ns}


def test_an_unhealthy_workload_is_taken_out_by_its_next_probe_and_put_back_by_the_one_after() -> None:
    unhealthy = {"unhealthy": {"proxies": ["vm0"]}, "at": "20s", "until": "50s"}
    result = play(unhealthy, {"traffic": {"from": "db", "to": "web", "rate": "10/s"}})
    out, back = endpoints_changed_at(result)
    assert 20 <= out <= 30 + LATENCY, "probed every 10 s, one failure suffices"
    assert back - out == pytest.approx(30, abs=0.0005), "the same phase, three periods later"
    assert active_after(result, 0) == active_after(result, 1) == {round(DEBOUNCE + LATENCY, 3)}
    failed = result.traffic[result.traffic.outcome != "200"]
    assert failed.requests.sum() == 0, "retries find p0"
    without_retries = play(
        unhealthy, {"traffic": {"from": "db", "to": "web", "rate": "10/s", "retries": 0}}
    ).traffic
    attempts = without_retries[without_retries.outcome == "UF"]
    assert min(seconds(attempts.t_start_ns)) == 20.0
    assert max(seconds(attempts.t_end_ns)) == pytest.approx(out + DEBOUNCE + LATENCY, abs=0.001)
    # Two senders, of whom p1 and vm1 choose the dead machine every second time.
    assert attempts.requests.sum() == pytest.approx(2 * 10 * 0.5 * (out + DEBOUNCE + LATENCY - 20), rel=1e-3)


def test_a_workload_that_recovers_before_the_next_probe_is_never_reported() -> None:
    probe_every_minute = {"workload_group": {"probe_period": "1m"}}
    blips = {"unhealthy": {"proxies": ["vm0"]}, "at": "1ms", "until": "2ms"}
    assert endpoints_changed_at(play(blips, in_mesh=probe_every_minute)) == []


def test_thresholds_of_the_probe_count_periods() -> None:
    unhealthy = {"unhealthy": {"proxies": ["vm0"]}, "at": "20s", "until": "100s"}
    [once, *_] = endpoints_changed_at(play(unhealthy))
    group = {"workload_group": {"failure_threshold": 3, "success_threshold": 2}}
    out, back = endpoints_changed_at(play(unhealthy, in_mesh=group))
    assert out - once == pytest.approx(20, abs=0.0005)
    assert 110 <= back <= 120 + LATENCY


def test_a_vm_that_is_cut_off_loses_its_entry_10_s_after_istiod_notices() -> None:
    cut = {"partition": {"proxies": ["vm0"]}, "at": "20s", "until": "100s"}
    result = play(cut)
    gone, back = endpoints_changed_at(result)[:2]
    # Keepalive: a ping within 30 s and 10 s more; then the grace period.
    assert 20 + 10 + 10 <= gone <= 20 + 40 + 10 + 0.01
    assert back > 100
    rows = result.deliveries[(result.deliveries.change_id == 0) & (result.deliveries.proxy_id != "vm0")]
    assert set(rows.proxy_id) == {"p0", "p1", "vm1"}
    assert {round(float(d) / 1e9, 3) for d in rows.t_active_ns - rows.t_changed_ns} == {DEBOUNCE + LATENCY}


def test_a_vm_that_is_back_within_the_grace_period_keeps_its_entry() -> None:
    assert endpoints_changed_at(play({"restart": {"proxies": ["vm0"]}, "at": "20s"})) == []
    slow = {"bootstrap": "11s"}
    gone, back, healthy = endpoints_changed_at(
        play({"restart": {"proxies": ["vm0"]}, "at": "20s"}, agent={"hop": "0s", **slow})
    )
    assert gone == pytest.approx(30, abs=2 * LATENCY), "the stream ends with the process"
    assert 31 <= back <= 31.5
    assert healthy - back <= 0.01, "its agent restarts with it in reality; here its last report goes along"


def test_entries_survive_the_loss_of_their_istiod_because_nobody_is_left_to_remove_them() -> None:
    down = {"restart_istiod": 0, "at": "20s", "down_for": "60s"}
    assert endpoints_changed_at(play(down)) == []


def test_a_vm_goes_over_to_another_replica_without_losing_its_entry() -> None:
    down = {"restart_istiod": 0, "at": "20s", "down_for": "60s"}
    assert endpoints_changed_at(play(down, plane={"replicas": 2})) == []


@pytest.mark.slow
def test_an_entry_without_controller_is_swept_away_when_its_connection_is_older_than_45_minutes() -> None:
    """Cut off before its istiod ends: the new one knows of no connection, and sweeps every 100 s."""
    workload: list[dict[str, Any]] = [
        {"partition": {"proxies": ["vm0"]}, "at": "20s"},
        {"restart_istiod": 0, "at": "21s", "down_for": "1s"},
    ]
    result = play(*workload, duration="50m", plane={"max_connection_age": "none"})
    [gone] = endpoints_changed_at(result)
    assert 45 * 60 <= gone <= 45 * 60 + 100 + 0.1


def test_vms_that_start_cold_register_and_serve_when_their_first_probe_says_so() -> None:
    result = play(start="cold", duration="60s")
    at = endpoints_changed_at(result)
    assert len(at) == 4
    registered, healthy = at[:2], at[2:]
    assert all(t < 1 for t in registered)
    assert all(t <= 10 + 1 for t in healthy)
    off = play(start="cold", duration="60s", in_mesh={"workload_group": {"auto_registration": False}})
    assert endpoints_changed_at(off) == []


def test_removals_are_limited_to_20_a_second() -> None:
    cut = {"partition": {"proxies": [f"vm{n}" for n in range(30)]}, "at": "20s"}
    keepalive = {"keepalive": {"interval": "1ms", "timeout": "10s"}}
    result = play(cut, proxies={"sidecars": 1, "gateways": 0, "vms": 30}, plane=keepalive, duration="60s")
    at = endpoints_changed_at(result)
    assert len(at) == 30
    assert at[-1] - at[0] >= 29 / 20 - 0.001


def test_with_older_istios_a_vm_is_an_endpoint_for_good() -> None:
    cut = {"partition": {"proxies": ["vm0"]}, "at": "20s", "until": "100s"}
    assert endpoints_changed_at(play(cut, version="1.10")) == []


@pytest.mark.parametrize(
    ("workload", "keywords", "told"),
    [
        ([{"unhealthy": {"proxies": ["p0"]}, "at": "1s"}], {}, "no virtual machine is called 'p0'"),
        ([{"unhealthy": {"proxies": 3}, "at": "1s"}], {}, "must be at most 2"),
        (
            [{"unhealthy": {"proxies": 1}, "at": "1s"}],
            {"proxies": 2},
            "there are no virtual machines: mesh.proxies.vms is 0",
        ),
        (
            [{"unhealthy": {"proxies": 1}, "at": "1s"}],
            {"version": "1.10"},
            "needs VMs that register",
        ),
    ],
)
def test_what_is_no_virtual_machine_has_no_such_health(
    workload: list[dict[str, Any]], keywords: dict[str, Any], told: str
) -> None:
    with pytest.raises(xs.ScenarioError, match=told):
        mesh(*workload, **{**MESH, **keywords})
