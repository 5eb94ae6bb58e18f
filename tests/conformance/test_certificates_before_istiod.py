"""Certificates of Istio 1.0 to 1.4: Secrets that Citadel writes and kubelets mount, or agents on nodes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

import simulator as xs
from tests.conformance.istiod import mesh, seconds

DAY = 24 * 3600.0
SERVICES = [{"name": "web", "endpoints": 2}]
ROOT = {"root_rotation": True, "at": "30s"}
SCALE_UP = {"scale_up": {"pods": 4}, "service": "web", "at": "10s", "ready_after": "0s"}


def described(
    *workload: dict[str, Any],
    provider: str = "citadel",
    version: str = "1.4",
    plane: dict[str, Any] | None = None,
    certificates: dict[str, Any] | None = None,
    **keywords: Any,
) -> xs.Scenario:
    """A mesh of Istio 1.4 in which a key takes 100 ms, a signature 2 ms, and little else any time."""
    kind = {"kind": "components", "components": {"start": "2s", "sidecar_hop": "0s"}, **(plane or {})}
    told = {"provider": provider, "key_generation": "100ms", "signing": "2ms", **(certificates or {})}
    more = {"proxies": 3, "services": SERVICES, "duration": "6m", **keywords}
    return mesh(*workload, version=version, plane=kind, agent={"certificates": told}, **more)


def play(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    return xs.run(described(*workload, **keywords), seed=1)


def spans(rows: pd.DataFrame, later: str, earlier: str) -> list[float]:
    """Seconds between two instants of each row."""
    return [round(float(d) / 1e9, 6) for d in rows[later] - rows[earlier]]


# --- Citadel's Secrets


@pytest.mark.slow
def test_citadel_renews_a_secret_of_90_days_every_45_days_at_its_next_resync() -> None:
    """Three namespaces, each with a Secret for its service account; looked at once a minute."""
    services = [{"name": f"s{n}", "namespace": f"n{n}", "endpoints": 1} for n in range(3)]
    result = play(
        services=services,
        namespaces=["n0", "n1", "n2"],
        duration="4800h",  # 200 days
        plane={"max_connection_age": "none"},
        envoy={"stats_flush_interval": "4800h"},
    )
    rows = result.certificates
    assert set(rows.cause) == {"rotation"}
    for _, of_proxy in rows.groupby("proxy_id"):
        issued = seconds(of_proxy.t_issued_ns)
        assert len(issued) in (4, 5), "from an age that is drawn, every 45 days"
        assert issued[0] <= 45 * DAY + 61
        for before, after in pairwise(issued):
            assert 45 * DAY <= after - before <= 45 * DAY + 60 + 0.2
        assert {round(life / DAY) for life in spans(of_proxy, "t_expires_ns", "t_issued_ns")} == {90}


def test_a_new_certificate_takes_effect_by_kubelet_file_watch_and_hot_restart() -> None:
    result = play(ROOT)
    rows = result.certificates
    assert len(rows) == 3
    [wanted] = set(seconds(rows.t_wanted_ns))
    assert 30 <= wanted <= 90, "the resync of the informer, once a minute"
    assert set(spans(rows, "t_issued_ns", "t_wanted_ns")) == {0.102}, "one key for the service account"
    synchronized = spans(rows, "t_mounted_ns", "t_issued_ns")
    assert all(0 <= wait <= 90 for wait in synchronized), "the kubelet's sync, 60 s and up to half more"
    assert len(set(synchronized)) == 3, "each pod in a phase of its own"
    restarts = result.startups
    assert set(restarts.cause) == {"hot_restart"}
    assert set(restarts.epoch) == {1}
    by_proxy = rows.set_index("proxy_id")
    for start in restarts.itertuples():
        row = by_proxy.loc[start.proxy_id]
        assert start.t_started_ns - row.t_mounted_ns == 10 * 10**9, "the agent gathers changes for 10 s"
        assert row.t_active_ns == start.t_workers_started_ns


def test_a_root_rotation_restarts_every_envoy_within_minutes_and_takes_one_key_after_the_other() -> None:
    services = [{"name": f"s{n}", "namespace": f"n{n}", "endpoints": 1} for n in range(5)]
    result = play(ROOT, services=services, namespaces=[f"n{n}" for n in range(5)], proxies=10)
    [change] = result.changes.itertuples()
    assert change.kind == "RootCertificate"
    assert set(result.deliveries.outcome) == {"active"}
    assert set(result.deliveries.carried_by) == {"file"}
    issued = sorted(set(seconds(result.certificates.t_issued_ns)))
    assert [round(b - a, 3) for a, b in pairwise(issued)] == [0.102] * 4
    slowest = max(seconds(result.deliveries.t_active_ns)) - 30
    assert slowest < 60 + 0.6 + 90 + 10 + 1


@pytest.mark.slow
def test_requests_do_not_notice_that_envoys_are_replaced() -> None:
    traffic = {"traffic": {"to": "web", "rate": "10/s"}}
    services = [{"name": "web", "endpoints": 2}, {"name": "shop", "endpoints": 2}]
    edits = {"edit": "VirtualService", "every": "1s", "from": "500ms", "until": "5m"}
    result = play(ROOT, traffic, edits, services=services, proxies=4)
    assert len(result.startups) == 4
    assert set(result.traffic.outcome) == {"200"}
    assert set(result.deliveries.outcome) <= {"active", "superseded"}


def test_the_parent_drains_and_ends_a_minute_after_its_successor_took_over() -> None:
    result = play(ROOT, proxies=1, recording={"states": True})
    rows = result.states[result.states.machine == "hot_restart"]
    at = dict(zip(rows.state, seconds(rows.t_ns), strict=True))
    assert at["PARENT_TERMINATED"] - at["PARENT_DRAINING"] == pytest.approx(60.0), "parentShutdownDuration"


def test_without_citadel_a_secret_stays_and_what_is_due_waits_for_it() -> None:
    lost = {"restart_component": "citadel", "at": "20s", "down_for": "100s"}
    result = play(ROOT, lost)
    # Down at 20 s, serving at 122 s; the informer's first resync a minute later.
    [wanted] = set(seconds(result.certificates.t_wanted_ns))
    assert wanted == 182.0
    assert set(result.deliveries.outcome) == {"active"}


def test_a_pod_with_a_known_service_account_finds_its_secret_though_citadel_is_gone() -> None:
    lost = {"restart_component": "citadel", "at": "1s", "down_for": "10m"}
    result = play(SCALE_UP, lost, duration="60s")
    assert max(seconds(result.startups.t_ready_ns)) < 13
    assert len(result.certificates) == 0


NEW_ACCOUNT = {
    "rollout": "web",
    "at": "10s",
    "ready_after": "0s",
    "max_surge": "100%",
    "max_unavailable": 0,
    "new_service_account": True,
}


def test_pods_of_a_new_service_account_wait_for_citadel_for_two_minutes_at_most() -> None:
    present = play(NEW_ACCOUNT)
    starts = present.startups[present.startups.cause == "rollout"]
    rows = present.certificates.set_index("proxy_id")
    assert len(starts) == 3
    for start in starts.itertuples():
        assert start.t_started_ns >= rows.loc[start.proxy_id].t_mounted_ns, "Envoy is executed with the files"
    lost = {"restart_component": "citadel", "at": "1s", "down_for": "1h"}
    away = play(NEW_ACCOUNT, lost)
    late = seconds(away.startups.t_started_ns)
    assert set(late) == {10 + 1 + 0.3 + 120}, "waitForCerts gives up after two minutes"
    assert any("3 proxies have no certificate" in text for text in away.warnings)


def test_without_control_plane_security_nobody_waits_and_the_files_come_by_hot_restart() -> None:
    insecure = {"components": {"start": "2s", "sidecar_hop": "0s", "security": False}}
    result = play(NEW_ACCOUNT, plane=insecure)
    starts = result.startups
    assert set(seconds(starts[starts.cause == "rollout"].t_started_ns)) == {11.3}
    assert (starts.cause == "hot_restart").sum() == 3


# --- hot restarts of Istio before 1.5


@pytest.mark.slow
def test_envoys_of_istio_1_4_can_be_hot_restarted_and_requests_do_not_notice() -> None:
    services = [{"name": "web", "endpoints": 2}, {"name": "shop", "endpoints": 2}]
    workload: list[dict[str, Any]] = [
        {"hot_restart": {"proxies": "100%"}, "at": ["20s", "50s"]},
        {"traffic": {"to": "web", "rate": "10/s"}},
        {"edit": "DestinationRule", "every": "1s", "from": "500ms"},
        {"endpoints": "web", "every": "7s", "from": "3s"},
    ]
    result = play(*workload, services=services, proxies=4, provider="none", duration="2m")
    assert sorted(result.startups.epoch) == [1] * 4 + [2] * 4
    assert not set(result.traffic.outcome) & {"refused", "NR", "NC", "UH"}
    assert set(result.startups.outcome) == {"stopped", "live"}


def test_a_pod_that_is_killed_while_its_envoys_change_over_comes_back_with_one() -> None:
    workload: list[dict[str, Any]] = [
        {"hot_restart": {"proxies": ["p0"]}, "at": "20s"},
        {"restart": {"proxies": ["p0"]}, "at": "25s"},
        {"hot_restart": {"proxies": ["p0"]}, "at": "40s"},
    ]
    result = play(*workload, proxies=1, provider="none", duration="3m", recording={"states": True})
    assert result.startups.epoch.tolist() == [1, 2, 3]
    assert result.startups.outcome.tolist() == ["stopped", "stopped", "live"]
    rows = result.states[
        (result.states.machine == "hot_restart") & (result.states.state == "PARENT_TERMINATED")
    ]
    assert [round(t) for t in seconds(rows.t_ns)] == [25, 100], "killed, and a minute after the drain began"


# --- node agents


def test_behind_a_node_agent_key_and_csr_come_after_cds_behind_an_agent_of_ones_own_beside_it() -> None:
    result = play(SCALE_UP, provider="node-agent", duration="60s")
    rows, starts = (table.set_index("proxy_id") for table in (result.certificates, result.startups))
    assert len(rows) == 4
    for proxy, row in rows.iterrows():
        assert row.t_wanted_ns >= starts.loc[proxy].t_cds_subscribed_ns
        assert row.t_requested_ns - row.t_wanted_ns == 100_000_000
        assert starts.loc[proxy].t_clusters_initialized_ns >= row.t_active_ns


def test_certificates_of_node_agents_are_renewed_by_a_scan_each_10_minutes() -> None:
    keywords: dict[str, Any] = {
        "proxies": 12,
        "duration": "26h",
        "certificates": {"pods_per_node": 4},
        "plane": {"max_connection_age": "none"},
        "envoy": {"stats_flush_interval": "26h"},
        "provider": "node-agent",
    }
    rows = play(**keywords).certificates
    assert set(rows.cause) == {"rotation"}
    grid = {round(t % 600, 3) for t in seconds(rows.t_wanted_ns)}
    assert len(grid) <= 3, "one phase for each node"
    for _, of_proxy in rows.groupby("proxy_id"):
        waits = [
            b - a
            for a, b in zip(seconds(of_proxy.t_issued_ns), seconds(of_proxy.t_wanted_ns)[1:], strict=False)
        ]
        assert waits
        assert all(12 * 3600 <= wait <= 12 * 3600 + 600 for wait in waits)


@pytest.mark.slow
def test_a_node_agent_that_is_lost_takes_nothing_from_running_envoys_and_renews_its_whole_node() -> None:
    lost = {"restart_component": "node-agent", "node": 0, "at": "20s", "down_for": "30s"}
    edits = {"edit": "VirtualService", "every": "1s", "from": "500ms", "until": "80s"}
    result = play(
        lost, edits, provider="node-agent", proxies=12, certificates={"pods_per_node": 6}, duration="2m"
    )
    rows = result.certificates
    assert 0 < len(rows) < 12, "the other node's pods are left alone"
    assert set(rows.outcome) == {"issued"}
    # Down for 30 s, starting for 2 s; then Envoy's back-off, which has grown to 30 s at most.
    assert all(52 <= t <= 82.2 for t in seconds(rows.t_wanted_ns))
    assert set(result.deliveries.outcome) == {"active"}
    assert len(result.startups) == 0


def test_pods_on_a_node_without_agent_do_not_become_ready() -> None:
    lost = {"restart_component": "node-agent", "at": "5s", "down_for": "40s"}
    result = play(SCALE_UP, lost, provider="node-agent", duration="3m")
    assert min(seconds(result.startups.t_ready_ns)) > 47
    assert min(seconds(result.startups.t_cds_initialized_ns)) < 12


@pytest.mark.slow
def test_without_citadel_pods_of_node_agents_wait_and_running_ones_do_not() -> None:
    lost = {"restart_component": "citadel", "at": "5s", "down_for": "40s"}
    edits = {"edit": "VirtualService", "every": "1s", "from": "500ms", "until": "80s"}
    result = play(SCALE_UP, lost, edits, provider="node-agent", duration="3m")
    assert min(seconds(result.startups.t_ready_ns)) > 47
    assert (result.certificates.failures > 0).all()
    assert set(result.deliveries[result.deliveries.proxy_id.isin(["p0", "p1", "p2"])].outcome) == {"active"}


# --- what there never was


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"control_plane.kind": "istiod", "agent.certificates.provider": "node-agent"},
            r"provider: node-agent does not go with control_plane\.kind: istiod: Istio 1\.5 removed",
        ),
        (
            {"control_plane.kind": "istiod", "agent.certificates.provider": "citadel"},
            "Istio 1.5 made Citadel a part of istiod",
        ),
        ({"agent.certificates.provider": "istiod"}, "there is no istiod before Istio 1.5"),
        (
            {"control_plane.version": "1.0", "agent.certificates.provider": "node-agent"},
            "node-agent came with Istio 1.1, and this is Istio 1.0",
        ),
        (
            {"control_plane.kind": "rest-v1", "agent.certificates.provider": "citadel"},
            "certificates before Istio 1.0 are not modelled",
        ),
        (
            {"agent.certificates.pods_per_node": 3, "agent.certificates.provider": "citadel"},
            "goes with provider: node-agent, and provider is citadel",
        ),
        (
            {"workload": [{"restart_component": "node-agent", "at": "1s"}]},
            "needs agent.certificates.provider: node-agent",
        ),
        (
            {
                "workload": [{"restart_component": "node-agent", "node": 5, "at": "1s"}],
                "agent.certificates.provider": "node-agent",
            },
            "there is no node 5",
        ),
        (
            {"workload": [{"restart_component": "galley", "node": 0, "at": "1s"}]},
            "goes with restart_component: node-agent",
        ),
    ],
)
def test_certificates_that_no_istio_had_are_refused_with_the_reason(keys: dict[str, Any], told: str) -> None:
    base = xs.Scenario(name="case", control_plane={"kind": "components"})
    with pytest.raises(xs.ScenarioError, match=told):
        base.with_(**keys)
