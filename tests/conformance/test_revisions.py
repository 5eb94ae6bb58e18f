"""Upgrades by revision: two control planes that both process everything, and proxies that move by restart."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import mesh, run

SERVICES = [
    {"name": "web", "namespace": "a", "endpoints": 2},
    {"name": "shop", "namespace": "b", "endpoints": 2},
]
NAMESPACES = ["a", "b"]
EDITS = {"edit": "VirtualService", "every": "1s", "from": "500ms"}


def migrate(at: str = "10s", to: str = "canary", every: str = "20s", **more: object) -> dict[str, Any]:
    return {"migrate_revision": {"to": to, "every": every, **more}, "at": at}


def keywords(**more: Any) -> dict[str, Any]:
    return {"proxies": 4, "services": SERVICES, "namespaces": NAMESPACES, "duration": "90s", **more}


def play(*workload: dict[str, Any], **more: Any) -> xs.Result:
    return run(*workload, **keywords(**more))


def connected(result: xs.Result, replica: int, from_s: float, until_s: float) -> set[int]:
    """How many proxies the pushes of a replica were for."""
    rows = result.pushes[result.pushes.replica == replica]
    rows = rows[(rows.t_started_ns >= from_s * 1e9) & (rows.t_started_ns < until_s * 1e9)]
    return set(rows.proxies)


def test_proxies_move_namespace_by_namespace_as_their_pods_are_created_anew() -> None:
    result = play(migrate(), EDITS)
    rows = result.startups
    assert set(rows.cause) == {"rollout"}
    assert set(rows.outcome) == {"live"}
    first = rows[rows.proxy_id.str.startswith("web")].t_started_ns
    then = rows[rows.proxy_id.str.startswith("shop")].t_started_ns
    assert len(first) == len(then) == 2
    assert first.max() < then.min()
    assert then.min() - first.min() == 20 * 10**9
    assert connected(result, 0, 1, 9) == {4}
    assert connected(result, 1, 28, 30) == {2}  # a moved, b stays
    assert connected(result, 0, 80, 90) == {0}
    assert connected(result, 1, 80, 90) == {4}


def test_both_control_planes_process_every_event() -> None:
    alone, beside = play(EDITS), play(EDITS, migrate(every="1h"))
    cut_ns = 20 * 10**9  # the second one is synced by then
    pushes = beside.pushes[beside.pushes.t_started_ns > cut_ns]
    of_each = pushes.groupby("replica").size()
    expected = int((alone.pushes.t_started_ns > cut_ns).sum())
    # Endpoints of the first namespace that moved make a few pushes besides, in both alike.
    assert of_each[0] >= expected
    assert abs(of_each[0] - of_each[1]) <= 1


def test_rolling_back_moves_them_to_the_control_plane_they_came_from() -> None:
    result = play(migrate(every="5s"), migrate("40s", "default", every="5s"), EDITS)
    assert connected(result, 1, 30, 38) == {4}
    assert connected(result, 0, 80, 90) == {4}
    assert connected(result, 1, 80, 90) == {0}
    assert len(result.startups) == 8


def test_gateways_are_restarted_last() -> None:
    result = play(migrate(every="10s"), EDITS, proxies={"sidecars": 4, "gateways": 1, "vms": 0})
    gateway = result.startups[result.startups.proxy_id == "gw0"]
    assert gateway.cause.tolist() == ["restart"]
    assert (
        gateway.t_started_ns.iloc[0] > result.startups[result.startups.cause == "rollout"].t_started_ns.max()
    )
    assert connected(result, 1, 80, 90) == {5}


def test_nobody_moves_before_the_new_control_plane_takes_connections() -> None:
    slow = {"cache_sync": "15s"}
    result = play(migrate(), EDITS, costs=slow)
    # Started at 10 s, synced at 25 s, then the readiness probe's grid of 3 s from 11 s on; pods take 1.3 s.
    assert result.startups.t_started_ns.min() >= (26 + 1.3) * 10**9


def test_a_canary_that_is_down_leaves_the_other_proxies_alone() -> None:
    result = play(
        migrate(every="1h"), {"restart_istiod": 1, "at": "40s", "down_for": "60s"}, EDITS, duration="80s"
    )
    assert connected(result, 0, 50, 80) == {2}
    rows = result.deliveries.merge(result.changes, on="change_id")
    late = rows[(rows.kind == "VirtualService") & (rows.t_changed_ns_x > 45 * 10**9)]
    late = late[late.t_changed_ns_x < 79 * 10**9]
    moved = late.proxy_id.str.startswith("web")
    assert set(late[~moved].outcome) == {"active"}
    assert set(late[moved].outcome) == {"pending"}


def test_an_upgrade_in_place_restarts_no_pod_and_reconnects_all_a_canary_restarts_all() -> None:
    upgrade = {"rollout_istiod": {}, "at": "10s"}
    in_place, canary = play(upgrade, EDITS), play(migrate(every="5s"), EDITS)
    assert len(in_place.startups) == 0
    assert len(canary.startups) == 4
    carried = set(in_place.deliveries.carried_by.dropna())
    assert carried <= {"push", "reconnect", "request", "earlier_push"}


@pytest.mark.slow
def test_what_an_upgrade_disturbs_is_told_in_numbers() -> None:
    """In place all streams break together and no process starts; by revision processes start, and no stream
    of a running one breaks."""
    rollout = {"rollout_istiod": {"max_surge": "100%"}, "at": "10s"}
    in_place, canary = (play(one, EDITS).manifest["totals"] for one in (rollout, migrate(every="5s")))
    assert in_place["without_configuration"] == 0
    assert in_place["most_without_configuration"] == 0
    assert 0 < in_place["without_stream"] <= 4 * 0.5, "the first back-off is below half a second"
    assert in_place["most_new_streams"] == 4
    assert canary["without_stream"] == 0
    # Surge 25 % of two pods rounds up to one new pod at a time.
    assert canary["most_new_streams"] == canary["most_without_configuration"] == 1
    starts = play(migrate(every="5s"), EDITS).startups
    waited = (starts.t_ready_ns - starts.t_started_ns).sum() / 1e9
    assert canary["without_configuration"] == pytest.approx(waited)


@pytest.mark.parametrize("strategy", ["poll", "file"])
def test_a_migration_needs_streams(strategy: str) -> None:
    with pytest.raises(xs.ScenarioError, match=r"needs propagation\.strategy: push"):
        mesh(migrate(), **keywords(propagation={"strategy": strategy, "refresh_delay": "1s"}))
