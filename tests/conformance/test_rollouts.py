"""Deployments and pods in a mesh: how pods come and go, what istiod tells of it, and how istiod itself is
replaced."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest

import simulator as xs
from simulator.mesh.endpoints import Health
from simulator.scenario.build_mesh import MeshWorld
from tests.conformance.istiod import LATENCY, mesh, of_proxy, requests, responses, run, seconds, types_sent

SERVICES = [{"name": "web", "endpoints": 2}, {"name": "shop", "endpoints": 1}]
"""p0 is a pod of web, p1 of shop; web has one more, without a proxy."""

PERIOD = 1.0
"""Of the startup probe; each pod has its own phase."""
ENVOY_STARTS = 1.3
"""From a pod's creation: the assumed initialization and bootstrap."""


def play(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    return run(*workload, **{"proxies": 2, "services": SERVICES, "duration": "60s", **keywords})


def rollout(**more: object) -> dict[str, object]:
    return {"rollout": "web", "at": "10s", "ready_after": "1s", **more}


def scale_up(pods: int = 1, **more: object) -> dict[str, object]:
    return {"scale_up": {"pods": pods}, "service": "web", "at": "10s", "ready_after": "4s", **more}


def changed_at(result: xs.Result) -> list[float]:
    """When endpoints changed: a pod turned Ready, or was deleted."""
    return seconds(result.changes.t_changed_ns)


def ready_after(result: xs.Result) -> float:
    """From the creation of the only new pod until it is Ready."""
    [ready] = changed_at(result)
    return ready - 10.0


# --- how pods start


@pytest.mark.parametrize("strategy", ["push", "poll", "long-poll", "file"])
def test_new_pods_start_get_their_configuration_and_become_ready(strategy: str) -> None:
    result = play(scale_up(3), propagation={"strategy": strategy, "refresh_delay": "1s", "sync_period": "1s"})
    rows = result.startups
    assert sorted(rows.proxy_id) == ["web-0-2.ns0", "web-0-3.ns0", "web-0-4.ns0"]
    assert set(zip(rows.cause, rows.outcome, rows.epoch, strict=True)) == {("scale_up", "live", 0)}
    assert set(rows.t_started_ns) == {round((10 + ENVOY_STARTS) * 1e9)}
    assert (rows.t_started_ns < rows.t_clusters_initialized_ns).all() or strategy == "file"
    assert (rows.t_clusters_initialized_ns <= rows.t_ready_ns).all()
    assert result.summary().loc["time_to_ready", "n"] == 3
    assert result.summary().loc["time_to_ready", "max"] == pytest.approx((rows.t_ready_ns / 1e9).max() - 11.3)
    assert len(changed_at(result)) == 3
    assert min(changed_at(result)) >= (rows.t_ready_ns / 1e9).min() + 4
    # Whoever is there by then learns of each, the pods themselves included.
    assert set(result.deliveries.proxy_id) == {"p0", "p1", *rows.proxy_id}
    assert set(result.deliveries.outcome) <= {"active", "superseded"}


def test_an_application_beside_its_proxy_is_ready_when_it_is_though_the_proxy_is_not() -> None:
    result = play(scale_up(), agent={"native_sidecars": False})
    [row] = result.startups.itertuples()
    # An empty node image, then both containers at once.
    assert ready_after(result) == pytest.approx(1 + 4, abs=1e-6)
    assert row.t_ready_ns / 1e9 == pytest.approx(10 + ENVOY_STARTS + 8 * LATENCY, abs=1e-6)


def test_an_application_that_is_held_starts_at_the_poll_that_finds_the_proxy_ready() -> None:
    held = {"native_sidecars": False, "hold_application_until_proxy_starts": True}
    assert ready_after(play(scale_up(), agent=held)) == pytest.approx(1 + 0.5 + 4, abs=1e-6)
    later = play(scale_up(), agent={**held, "bootstrap": "1.2s"})
    assert ready_after(later) == pytest.approx(1 + 1.5 + 4, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_an_application_beside_a_native_sidecar_starts_at_the_first_probe_that_passes(seed: int) -> None:
    result = play(scale_up(), seed=seed)
    [row] = result.startups.itertuples()
    started = ready_after(result) - 4
    proxy_ready = row.t_ready_ns / 1e9 - 10
    assert proxy_ready <= started < proxy_ready + PERIOD
    # The same pod has the same phase: half a period later it is one more probe, or the same one.
    slower = ready_after(play(scale_up(), seed=seed, agent={"bootstrap": "800ms"})) - 4
    assert slower - started == pytest.approx(0.0, abs=1e-9) or slower - started == pytest.approx(PERIOD)


def test_native_sidecars_came_with_1_27() -> None:
    before, after = (play(scale_up(), version=version) for version in ("1.26", "1.27"))
    assert ready_after(before) == pytest.approx(5, abs=1e-6)
    assert ready_after(after) > 5.3


@pytest.mark.parametrize("seed", range(4))
def test_a_pod_is_ready_when_a_probe_has_seen_its_proxy_ready(seed: int) -> None:
    at_once = scale_up(ready_after="0s")
    proxy_ready = ENVOY_STARTS + 8 * LATENCY
    with_startup_probe = ready_after(play(at_once, seed=seed, version="1.20"))
    assert proxy_ready < with_startup_probe < proxy_ready + 1
    # Before 1.20 there is a readiness probe alone, every two seconds, after one.
    without = ready_after(play(at_once, seed=seed, version="1.19"))
    assert 2 < without < 4
    rarely = {"readiness_probe": {"period": "30s", "initial_delay": "20s"}}
    assert 21 < ready_after(play(at_once, seed=seed, version="1.19", agent=rarely)) < 51


def test_a_proxy_that_fails_its_startup_probe_too_often_starts_again_and_again() -> None:
    result = play(scale_up(), agent={"startup_probe": {"failure_threshold": 3}}, network={"latency": "400ms"})
    rows = result.startups
    assert len(rows) > 10
    assert list(rows.epoch) == list(range(len(rows)))
    assert [cause for cause, _ in groupby(rows.cause)] == ["scale_up", "restart"]
    assert set(rows.outcome[:-1]) == {"stopped"}
    assert rows.t_ready_ns.isna().all()
    assert changed_at(result) == []
    # Nine one-way trips of 0.4 s fit into five probes.
    patient = play(
        scale_up(), agent={"startup_probe": {"failure_threshold": 5}}, network={"latency": "400ms"}
    )
    assert list(patient.startups.outcome) == ["live"]


def test_the_kubelets_report_stands_between_a_ready_pod_and_its_endpoint() -> None:
    reported = play(scale_up(), agent={"native_sidecars": False}, costs={"kubelet_status_delay": "700ms"})
    assert ready_after(reported) == pytest.approx(5.7, abs=1e-6)


# --- what istiod tells of pods


def test_a_pod_that_turns_ready_is_pushed_everything_at_once_past_the_debounce() -> None:
    result = play(scale_up(), plane={"debounce": {"after": "3s"}, "replicas": 3})
    [ready] = changed_at(result)
    at_once = responses(result, after=ready, until=ready + 1)
    assert [(m.t, m.type) for m in at_once] == [
        (pytest.approx(ready), type_) for type_ in ("cds", "eds", "lds", "rds")
    ]
    assert {m.proxy_id for m in at_once} == {"web-0-2.ns0"}
    # One replica has the connection, and pushes; the others know of the pod as well.
    assert len({m.replica for m in responses(result, "web-0-2.ns0")}) == 1
    for proxy in ("p0", "p1", "web-0-2.ns0"):
        assert [(m.t, m.type) for m in responses(result, proxy, after=ready + 1)] == [
            (pytest.approx(ready + 3), "eds")
        ]


def test_a_pod_that_is_ready_before_its_event_is_heard_of_is_pushed_then() -> None:
    result = play(scale_up(), costs={"watch_delay": "2s", "registry_task": "500ms"})
    [ready] = changed_at(result)
    at_once = responses(result, "web-0-2.ns0", after=ready)
    # The Pod's task is the first of the two that wait for the registry's worker.
    assert [m.t for m in at_once[:4]] == [pytest.approx(ready + 2.5)] * 4
    assert [m.type for m in at_once[:4]] == ["cds", "eds", "lds", "rds"]


def test_a_pod_without_a_connection_is_not_pushed_when_it_turns_ready() -> None:
    # Its stream is at a replica that stops just before; the others are not connected to it.
    stop = {"restart_istiod": 0, "at": "14.9s", "down_for": "20s"}
    pod = scale_up()
    result = play(pod, stop, agent={"native_sidecars": False}, duration="30s")
    [ready] = changed_at(result)
    assert ready == pytest.approx(15, abs=1e-6)
    assert responses(result, after=ready) == []


def test_a_new_service_account_makes_the_first_endpoint_a_full_push() -> None:
    roll = rollout(max_surge=1, max_unavailable=0)
    same, new = play(roll), play({**roll, "new_service_account": True})
    assert {tuple(kinds) for kinds in same.pushes.kinds} == {("Endpoints",)}
    kinds = [tuple(kinds) for kinds in new.pushes.kinds]
    full = [number for number, those in enumerate(kinds) if "ServiceEntry" in those]
    # The account comes with the first pod of the new template and goes with the last of the old one.
    assert full == [0, len(kinds) - 1]
    assert set(types_sent(same, "p1", after=10)) == {"eds"}
    first = new.pushes.t_started_ns[0] / 1e9
    assert types_sent(new, "p1", after=first, until=first + 0.01) == ["cds", "eds", "lds", "rds"]
    [cds, *_] = responses(new, "p1", after=first)
    assert "outbound|80||web.ns0.svc.cluster.local" in cds.resources


def test_a_replica_that_starts_later_has_the_clusters_that_the_new_account_made() -> None:
    result = play(
        rollout(max_surge=1, max_unavailable=0, new_service_account=True),
        {"restart_istiod": 0, "at": "55s", "down_for": "1s"},
        duration="100s",
    )
    assert responses(result, "p1", "cds", after=55)
    warmed = result.states[(result.states.machine == "cluster") & (result.states.proxy_id == "p1")]
    assert not (warmed.t_ns > 55e9).any()  # nothing in them is new


@pytest.mark.parametrize(("version", "is_sent"), [("1.30", False), ("1.31", True)])
def test_a_pod_that_is_not_ready_is_told_from_1_31_on_and_not_asked_for_anything(
    version: str, is_sent: bool
) -> None:
    sent = {"from": "shop", "to": "web", "rate": "10/s"}
    result = play(scale_up(), {"traffic": sent}, version=version, propagation={"protocol": "delta"})
    [ready] = changed_at(result)
    early = responses(result, "p1", "eds", after=10, until=ready)
    assert [m.t for m in early] == ([10.1] if is_sent else [])
    [late] = responses(result, "p1", "eds", after=ready)
    if is_sent:
        assert early[0].bytes == late.bytes  # one endpoint more, before and after it is ready
    assert set(result.traffic.outcome) == {"200"}
    assert result.traffic.requests.sum() == pytest.approx(600)


def test_a_pod_that_terminates_is_sent_to_nobody_and_its_end_changes_nothing() -> None:
    result = play(rollout(max_surge=1, max_unavailable=0, pre_stop="20s"))
    sizes = [m.bytes for m in responses(result, "p1", "eds", after=10)]
    # A pod comes, turns Ready as another terminates, and that one is gone: 2, 3, 2, ... endpoints.
    assert set(sizes) == {sizes[0], sizes[0] - 130}
    assert sizes[-1] == min(sizes)


def test_a_deleted_pod_is_told_of_changes_until_its_proxy_ends() -> None:
    edits = {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": ["12s", "14s", "19s"]}
    roll = rollout(max_surge=0, max_unavailable="100%", pre_stop="8s", native_sidecar=True)
    result = play(roll, edits, plane={"debounce": {"after": "3s"}})
    rows = [row for row in of_proxy(result.deliveries.merge(result.changes), "p0") if row.kind != "Endpoints"]
    # Deleted at 10 s, it ends at 18 s: the edit of 14 s is pushed at 17 s, that of 19 s does not concern it.
    assert [(row.t_changed_ns / 1e9, row.outcome) for row in rows] == [(12.0, "active"), (14.0, "active")]
    late = play(roll, {**edits, "at": ["12s", "16s"]}, plane={"debounce": {"after": "3s"}})
    rows = [row for row in of_proxy(late.deliveries.merge(late.changes), "p0") if row.kind != "Endpoints"]
    assert [row.outcome for row in rows] == ["active", "disconnected"]
    others = late.deliveries[late.deliveries.proxy_id == "p1"]
    assert set(others.outcome) <= {"active", "superseded"}


def test_a_proxy_whose_pod_ends_while_it_restarts_does_not_come_back() -> None:
    # Deleted at 10 s, the pod ends at 15 s; the new Envoy would have started at 15.2 s.
    result = play(
        rollout(max_surge=0, max_unavailable="100%", pre_stop="5s"),
        {"restart": {"proxies": ["p0"]}, "at": "14.9s"},
    )
    assert set(result.startups.proxy_id) == {"web-1-0.ns0"}


@pytest.mark.parametrize("native", [False, True])
def test_a_new_pod_whose_proxy_restarts_later_is_no_new_endpoint(native: bool) -> None:
    again = {"restart": {"proxies": "100%"}, "at": "40s"}
    result = play(scale_up(), again, agent={"native_sidecars": native})
    assert len(changed_at(result)) == 1
    rows = of_proxy(result.startups, "web-0-2.ns0")
    assert [(row.epoch, row.cause, row.outcome) for row in rows] == [
        (0, "scale_up", "stopped"),
        (1, "restart", "live"),
    ]
    assert rows[1].t_started_ns / 1e9 == pytest.approx(40.3)


# --- the Deployment


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "most", "least"),
    [
        (4, 1, 0, 5, 4),
        (4, 0, 1, 4, 3),
        (5, "25%", "25%", 7, 4),  # the surge is rounded up, what may be missing down
        (8, "50%", "25%", 12, 6),
        (3, "100%", 0, 6, 3),
        (6, 0, "100%", 6, 0),
    ],
)
def test_a_rollout_keeps_within_its_fences_at_every_instant(
    replicas: int, surge: object, unavailable: object, most: int, least: int
) -> None:
    built = MeshWorld(
        mesh(
            rollout(
                max_surge=surge,
                max_unavailable=unavailable,
                pre_stop="3s",
                ready_after={"uniform": ["1s", "5s"]},
            ),
            proxies=replicas,
            services=[{"name": "web", "endpoints": replicas}],
            duration="200s",
        ),
        1,
        0,
    )
    pods: list[int] = []
    available: list[int] = []

    def watch(event: Any) -> None:
        # The slices are written at the very instant: they say what there is.
        if event.endpoints is not None:
            healths = [endpoint.health for endpoint in event.endpoints]
            pods.append(sum(health is not Health.TERMINATING for health in healths))
            available.append(healths.count(Health.HEALTHY))

    built.kubernetes.watchers.append(watch)
    result = built.world()
    result.run()
    assert (max(pods), min(available)) == (most, least)
    assert (pods[-1], available[-1]) == (replicas, replicas)
    started = result.recorder.startup_rows
    assert sum(row.cause == "rollout" for row in started) == replicas


def test_pods_count_as_available_only_after_min_ready_seconds() -> None:
    roll = rollout(max_surge=1, max_unavailable=0)
    quick, slow = play(roll), play({**roll, "min_ready_seconds": "7s"})
    # Two pods, one after the other, each deletion as soon as the new pod is available.
    first, second = changed_at(quick)[:2]
    assert first == second
    first, second = changed_at(slow)[:2]
    assert second - first == pytest.approx(7)


# --- replicas of istiod


def streams(result: xs.Result, proxy: str) -> list[tuple[int, float]]:
    """Replicas that a proxy opened streams to, each with the time of the first request."""
    found: dict[int, tuple[int, float]] = {}
    for message in requests(result, proxy):
        if message.type == "cds":
            found.setdefault(message.stream, (message.replica, message.t))
    return list(found.values())


READY = 2.0 + 1.0 + 3.0
"""At most, from the start of an istiod until clients are sent to it: caches synced, probed."""


def test_a_rollout_of_istiod_moves_every_proxy_to_a_new_replica() -> None:
    result = run(
        {"rollout_istiod": {"max_surge": "100%"}, "at": "5s"},
        {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": "55s"},
        proxies=8,
        plane={"replicas": 2},
        costs={"cache_sync": "2s"},
        duration="60s",
    )
    for proxy in (f"p{i}" for i in range(8)):
        [(_, back)] = {(replica, t) for replica, t in streams(result, proxy) if replica >= 2}
        # Both new pods are ready at the probe 4 s after their start, and the old ones stop at once.
        assert 9.0 <= back < 9.0 + 30
    rows = result.deliveries
    assert set(rows.outcome) == {"active"}
    assert set(rows.replica) == {2, 3}


def test_a_replica_more_gets_no_connection_until_proxies_dial_again() -> None:
    added = {"add_istiod": 3, "at": "5s"}
    still = run(added, proxies=8, duration="45s")
    assert streams(still, "p0") == []  # that of before the beginning goes on
    moving = run(
        added,
        {"restart": {"proxies": "100%"}, "at": "30s"},
        proxies=8,
        costs={"cache_sync": "2s"},
        duration="45s",
    )
    replicas = [streams(moving, f"p{i}")[-1][0] for i in range(8)]
    assert len(set(replicas)) >= 3
    assert set(replicas) <= {0, 1, 2, 3}
    early = run(added, {"restart": {"proxies": "100%"}, "at": "8.5s"}, proxies=8, costs={"cache_sync": "3s"})
    assert {streams(early, f"p{i}")[-1][0] for i in range(8)} == {0}


def test_an_edit_while_istiod_is_down_arrives_with_the_reconnect() -> None:
    result = run(
        {"restart_istiod": 0, "at": "5s", "down_for": "7s"},
        {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": "6s"},
        proxies=5,
        costs={"cache_sync": "2s"},
        duration="90s",
    )
    rows = result.deliveries
    assert set(rows.outcome) == {"active"}
    assert set(rows.carried_by) == {"reconnect"}
    # Down until 12 s, synced at 14 s, in its Service at the probe of 16 s.
    assert rows.t_active_ns.min() >= 16e9
    assert rows.t_active_ns.max() < (16 + 31) * 1e9
    assert set(rows.t_observed_ns) == {14_000_000_000}


def test_of_several_replicas_only_the_proxies_of_the_one_that_restarts_are_cut() -> None:
    result = run({"restart_istiod": 1, "at": "5s", "down_for": "30s"}, proxies=12, plane={"replicas": 3})
    moved = {proxy: streams(result, proxy) for proxy in (f"p{i}" for i in range(12))}
    dialled = [replicas for replicas in moved.values() if replicas]
    assert 0 < len(dialled) < 12
    assert {replica for opened in dialled for replica, _ in opened} <= {0, 2}


def test_what_a_slice_is_still_to_say_is_unknown_to_a_replica_that_starts_meanwhile() -> None:
    result = play(
        {"restart_istiod": 0, "at": "10s", "down_for": "1s"},
        {"endpoints": "web", "at": "11.5s"},
        costs={"endpoint_slice_delay": "30s", "cache_sync": "1s"},
    )
    rows = result.deliveries
    assert set(rows.carried_by) == {"push"}
    assert set(rows.t_observed_ns) == {41_500_000_000}
