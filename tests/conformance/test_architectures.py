"""The control planes before istiod: how late a change is, what stops it, what they ask of the network."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import simulator as xs
from tests.conformance.istiod import mesh, pushes_at, seconds

OWN_COSTS = {"components": {"start": "0s", "sidecar_hop": "0s"}}
"""What the components cost beside istiod's costs, at nothing."""


def run(kind: str, version: str, *workload: dict[str, Any], **keywords: Any) -> xs.Result:
    """A mesh under the architecture, in which nothing takes time but its own waits."""
    own: dict[str, Any] = dict(OWN_COSTS) if kind == "components" else {}
    plane = {"kind": kind, **own, **keywords.pop("plane", {})}
    scenario = mesh(*workload, version=version, plane=plane, network={"latency": "0s"}, **keywords)
    return xs.run(scenario, seed=3)


def delays(result: xs.Result, kind: str) -> list[float]:
    """Seconds from each change of the kind until it was active, to the millisecond."""
    rows = result.deliveries.merge(result.changes[["change_id", "kind"]], on="change_id")
    rows = rows[(rows.kind == kind) & rows.t_active_ns.notna()]
    return sorted({round(float(d) / 1e9, 3) for d in rows.t_active_ns - rows.t_changed_ns})


def states(result: xs.Result, component: str, replica: int = 0) -> list[tuple[float, str]]:
    """(seconds, state) of a process or an MCP stream."""
    rows = result.components
    rows = rows[(rows.component == component) & (rows.replica == replica)]
    return [(t, str(s)) for t, s in zip(seconds(rows.t_ns), rows.state, strict=True)]


# --- one isolated change


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [
        ("components", "1.0", 0.1),  # Pilot reads configuration itself
        ("components", "1.1", 1.1),  # Galley waits for 1 s, Pilot for 0.1 s
        ("components", "1.3", 1.1),
        ("components", "1.4", 0.6),
        ("istiod", "1.5", 0.1),
        ("istiod", "1.9", 0.1),
        ("istiod", "1.32", 0.1),
    ],
)
def test_an_isolated_change_of_configuration_passes_the_debounces_of_its_version(
    kind: str, version: str, expected: float
) -> None:
    result = run(kind, version, {"edit": "VirtualService", "at": "2s"}, {"endpoints": "any", "at": "6s"})
    assert delays(result, "VirtualService") == [expected]
    # Endpoints do not pay Galley's.
    assert delays(result, "Endpoints") == [0.1]


def test_galley_counts_its_quiet_time_from_the_last_event_and_its_maximum_from_the_first() -> None:
    edits = [f"{2000 + t}ms" for t in range(0, 1300, 300)]
    result = run("components", "1.4", {"edit": "VirtualService", "at": edits})
    # 2.0 ... 3.2 s: never 0.5 s of quiet, so the maximum ends the first batch at 3.0 s; 3.7 s the other.
    assert pushes_at(result) == [3.1, 3.8]


def test_every_change_but_endpoints_is_pushed_in_full_to_everybody_up_to_1_7() -> None:
    result = run(
        "components", "1.4", {"edit": "AuthorizationPolicy", "at": "2s"}, {"endpoints": "any", "at": "6s"}
    )
    assert list(result.pushes.forced) == [True, False]
    later = run("istiod", "1.8", {"edit": "AuthorizationPolicy", "at": "2s"})
    assert list(later.pushes.forced) == [False]


# --- beyond the message limit

TOO_LARGE = {
    "mcp": {
        "collections": {"VirtualService": [{"from": "0s", "size": "3Mi"}, {"from": "4s", "size": "4300000"}]}
    }
}


def test_a_collection_beyond_4_mib_ends_each_stream_and_stays_stuck_while_endpoints_pass() -> None:
    result = run(
        "components",
        "1.4",
        {"edit": "VirtualService", "at": ["2s", "5s"]},
        {"endpoints": "any", "at": "20s"},
        plane=TOO_LARGE,
        duration="30s",
    )
    assert delays(result, "VirtualService") == [0.6]
    stuck = result.deliveries[result.deliveries.change_id == 1]
    assert set(stuck.outcome) == {"pending"}
    broken = [t for t, state in states(result, "mcp") if state == "too large"]
    assert broken == [5.5 + attempt for attempt in range(25)], "one second between the attempts"
    assert "25 of 25" in result.warnings[0]
    assert delays(result, "Endpoints") != []
    assert max(delays(result, "Endpoints")) < 0.2


def test_other_kinds_pass_only_if_their_collection_is_sent_before_the_one_that_is_too_large() -> None:
    result = run(
        "components",
        "1.4",
        {"edit": "VirtualService", "at": "5s"},
        {"edit": "DestinationRule", "every": "5s", "from": "10s", "until": "210s"},
        plane=TOO_LARGE,
        duration="230s",
    )
    found = result.deliveries.merge(result.changes[["change_id", "kind"]], on="change_id")
    found = found[found.kind == "DestinationRule"].drop_duplicates("change_id")
    assert set(found.outcome) == {"active"}
    waits = [round(float(d) / 1e9 - 0.6, 3) for d in found.t_active_ns - found.t_changed_ns]
    # A new stream each second, its order random: each has it before the large one with probability 1/2. The
    # number of streams that fail is geometric, mean 1 and standard deviation 1.41 over 40 changes: 3 sigma.
    mean = sum(waits) / len(waits)
    assert abs(mean - 1) < 3 * 1.41 / len(waits) ** 0.5
    assert len(set(waits)) > 2


def test_what_shrinks_below_the_limit_is_delivered_by_the_next_stream() -> None:
    sizes = [{"from": "0s", "size": "4300000"}, {"from": "20s", "size": "1Mi"}]
    plane = {"mcp": {"collections": {"VirtualService": sizes}}}
    result = run("components", "1.4", {"edit": "VirtualService", "at": "5s"}, plane=plane, duration="30s")
    (wait,) = delays(result, "VirtualService")
    assert 15.1 <= wait <= 16.1 + 0.001, "the next attempt after 20 s, and Pilot's debounce"


def test_every_collection_that_arrives_makes_pilot_push_in_full_even_if_nothing_is_new() -> None:
    result = run("components", "1.4", {"edit": "VirtualService", "at": "5s"}, plane=TOO_LARGE, duration="25s")
    # A push for nearly each attempt: none where the large collection came first of all.
    assert 12 <= len(result.pushes) <= 20
    assert set(result.pushes.forced) == {True}


# --- start-up and loss


def test_an_installation_starts_in_the_order_of_what_waits_for_what() -> None:
    plane = {"start": "cold", "components": {"start": "2s", "sidecar_hop": "0s"}}
    result = run("components", "1.4", plane=plane, costs={"cache_sync": "2s"}, start="cold", duration="30s")
    assert states(result, "citadel") == [
        (0, "waiting for its Secret"),
        (0, "starting"),
        (2, "serving"),
        (2, "ready"),
    ]
    # The kubelet tries to mount the Secret at 0, 0.5, 1.5, 3.5 s: Citadel writes it at 2 s.
    assert states(result, "galley")[1:3] == [(3.5, "starting"), (5.5, "serving")]
    # Galley's first snapshot 0.5 s later lets Pilot sync, which listed its registry at 5.5 s.
    assert states(result, "galley")[3] == (6.0, "snapshot")
    assert states(result, "pilot") == [
        (0, "waiting for its Secret"),
        (3.5, "starting"),
        (5.5, "waiting for Galley"),
        (6.0, "synced"),
        (8.5, "ready"),
    ]


def test_without_certificates_for_the_control_plane_nobody_waits_for_citadel() -> None:
    plane = {"start": "cold", "components": {"start": "2s", "sidecar_hop": "0s", "security": False}}
    result = run("components", "1.4", plane=plane, start="cold", duration="30s")
    assert states(result, "galley")[1:3] == [(0, "starting"), (2, "serving")]


def test_pilot_before_1_4_is_probed_every_30_s() -> None:
    plane = {"start": "cold", "components": {"start": "0s", "sidecar_hop": "0s"}}
    result = run("components", "1.3", plane=plane, costs={"cache_sync": "10s"}, start="cold", duration="60s")
    assert states(result, "pilot")[1:] == [(0, "starting"), (10, "synced"), (35, "ready")], (
        "istio/istio#16164"
    )


def test_istiod_starts_alone() -> None:
    result = run(
        "istiod", "1.32", plane={"start": "cold"}, costs={"cache_sync": "2s"}, start="cold", duration="20s"
    )
    assert states(result, "istiod") == [(0, "starting"), (2, "synced"), (4, "ready")]


def test_without_galley_configuration_waits_endpoints_pass_and_a_restarted_pilot_is_not_ready() -> None:
    result = run(
        "components",
        "1.4",
        {"restart_component": "galley", "at": "5s", "down_for": "20s"},
        {"edit": "VirtualService", "at": "8s"},
        {"endpoints": "any", "at": "9s"},
        {"restart_istiod": 0, "at": "12s", "down_for": "0s"},
        duration="60s",
    )
    assert delays(result, "Endpoints") == [0.1]
    assert (25.5, "synced") in states(result, "pilot"), "with Galley's first snapshot"
    assert (27.0, "ready") in states(result, "pilot"), (
        "at the probe after that: 5 s after the start, then every 5 s"
    )
    assert min(delays(result, "VirtualService")) > 27 - 8


def test_while_the_injector_is_away_no_pod_with_a_sidecar_is_created() -> None:
    workload: list[dict[str, Any]] = [
        {"restart_component": "injector", "at": "5s", "down_for": "20s"},
        {"scale_up": {"pods": 2}, "at": "10s", "service": "s0"},
    ]
    result = run("components", "1.4", *workload, duration="60s")
    started = result.startups[result.startups.cause == "scale_up"].t_started_ns
    ready = next(t for t, s in states(result, "injector") if s == "ready")
    assert ready == 30
    assert min(seconds(started)) > ready


def test_citadel_away_stops_no_configuration() -> None:
    away = {"restart_component": "citadel", "at": "1s", "down_for": "20s"}
    assert delays(
        run("components", "1.4", away, {"edit": "VirtualService", "at": "2s"}), "VirtualService"
    ) == [0.6]


# --- push engines


def test_pilot_1_0_pushes_to_25_connections_a_second_after_the_first_100() -> None:
    result = run("components", "1.0", {"edit": "VirtualService", "at": "2s"}, proxies=200, duration="20s")
    sent = sorted(seconds(result.proxy_pushes.t_dequeued_ns))
    assert sum(t == 2.1 for t in sent) == 100
    assert sent[100] == pytest.approx(2.14)
    assert sent[-1] == pytest.approx(2.1 + 100 / 25)


@pytest.mark.parametrize(("version", "starts"), [("1.2", [1.6, 2.7]), ("1.3", [1.6, 4.6])])
def test_builds_overlap_up_to_1_2_and_wait_for_each_other_from_1_3_on(
    version: str, starts: list[float]
) -> None:
    result = run(
        "components",
        version,
        {"edit": "VirtualService", "at": ["500ms", "1600ms"]},
        costs={"push_context": "3s"},
    )
    assert pushes_at(result) == starts
    assert set(result.deliveries.outcome) == {"active"}


def test_a_busy_connection_is_waited_for_up_to_1_2_and_passed_by_from_1_3_on() -> None:
    """The one stuck reader holds up the loop for 5 s at a time; the queue goes on with the others."""
    workload: list[dict[str, Any]] = [
        {"slow_reader": {"proxies": ["p0"]}, "at": "1s", "until": "9s"},
        {"edit": "VirtualService", "every": "1200ms", "from": "2s", "until": "8s"},
    ]
    heavy = {"sizes": {"cluster": 400_000, "endpoint": 130, "listener": 4000, "route": 350}}
    late: dict[str, float] = {}
    for version in ("1.2", "1.3"):
        result = run(
            "components",
            version,
            *workload,
            proxies=20,
            services=5,
            in_mesh=heavy,
            duration="30s",
            envoy={"costs": "zero"},
        )
        others = result.deliveries[result.deliveries.proxy_id != "p0"]
        late[version] = max(seconds(others.t_active_ns - others.t_changed_ns))
    assert late["1.3"] < 1.7
    assert late["1.2"] > late["1.3"] + 1


# --- rest-v1


def test_clearings_come_at_once_or_a_full_squash_time_after_the_first_change_that_came_too_soon() -> None:
    result = run(
        "rest-v1",
        "0.7",
        {"edit": "VirtualService", "at": ["10s", "10300ms", "10500ms", "20s"]},
        duration="30s",
        proxies=20,
    )
    rows = result.deliveries
    squashed = {
        (int(c), round((d - o) / 1e9, 3))
        for c, d, o in zip(rows.change_id, rows.t_debounced_ns, rows.t_observed_ns, strict=True)
    }
    assert squashed == {(0, 0.0), (1, 1.0), (2, 0.8), (3, 0.0)}


@pytest.mark.slow
def test_an_isolated_change_waits_for_the_next_poll_alone() -> None:
    result = run(
        "rest-v1",
        "0.7",
        {"edit": "VirtualService", "every": "5s", "from": "5s"},
        duration="60s",
        proxies=60,
        services=1,
    )
    waits = pd.Series(seconds(result.deliveries.t_active_ns - result.deliveries.t_changed_ns))
    assert len(waits) == 60 * 11
    # Residual life of U(1 s, 2 s): mean 7/9 s, standard deviation 0.50 s; 3 sigma of that many samples.
    assert abs(waits.mean() - 7 / 9) < 3 * 0.5 / len(waits) ** 0.5
    assert waits.max() <= 2.0


@pytest.mark.slow
@pytest.mark.parametrize("edits", [[], [{"edit": "VirtualService", "every": "1s"}]])
def test_the_load_of_polling_is_the_same_whether_or_not_anything_changes(edits: list[dict[str, Any]]) -> None:
    proxies, services, answer = 30, 3, 0.1
    result = run(
        "rest-v1",
        "0.7",
        *edits,
        proxies=proxies,
        services=services,
        duration="60s",
        plane={"cpu": 100},
        propagation={"server": {"service_time": "100ms"}},
    )
    requests = (result.messages.direction == "request").sum() / 60
    expected = proxies * (2 + 1 + services) / (1.5 + answer)
    # Renewals of a cycle of 1.6 s with a standard deviation of 0.29 s: within 1 % over 60 s of 180 loops.
    assert requests == pytest.approx(expected, rel=0.01)


def test_endpoints_are_made_once_for_all_proxies_after_a_clearing_and_clusters_once_for_each() -> None:
    """0.4 s for making one answer, and little else: the time spent says how many were made."""

    def spent(type_name: str, proxies: int) -> float:
        result = run(
            "rest-v1",
            "0.7",
            {"edit": "VirtualService", "at": "10s"},
            proxies=proxies,
            costs={"generate": {f"{type_name}_fixed": "400ms"}},
            plane={"cpu": 100},
            duration="20s",
        )
        return float(result.manifest["totals"]["control_plane_cpu"]) / 0.4

    # In the prologue, which costs nothing, the caches are filled; one clearing empties them.
    assert round(spent("eds", 5)) == round(spent("eds", 20)) == 2, "the clusters of two services"
    assert round(spent("cds", 20)) == 20


# --- what there never was


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"control_plane.kind": "components", "propagation.protocol": "delta"},
            "delta came with istiod 1.10",
        ),
        ({"control_plane.kind": "rest-v1", "propagation.protocol": "delta"}, "delta came with istiod 1.10"),
        (
            {"control_plane.version": "1.9", "propagation.protocol": "delta"},
            "propagation.protocol: delta came with istiod 1.10, and this is istiod of Istio 1.9",
        ),
        ({"control_plane.version": "1.4"}, "istiod is Istio 1.5 to 1.32, not 1.4"),
        (
            {"control_plane.kind": "components", "control_plane.version": "1.5"},
            "components is Istio 1.0 to 1.4",
        ),
        ({"control_plane.kind": "rest-v1", "control_plane.version": "1.0"}, "rest-v1 is Istio 0.2 to 0.7"),
        ({"control_plane.kind": "components", "propagation.strategy": "poll"}, "pushes only"),
        ({"control_plane.kind": "components", "propagation.streams": "separate"}, "over ADS"),
        ({"control_plane.kind": "rest-v1", "propagation.strategy": "push"}, "answers polls only"),
        ({"control_plane.kind": "rest-v1", "propagation.refresh_delay": "500ms"}, "must be at least 1s"),
        (
            {
                "control_plane.kind": "components",
                "control_plane.version": "1.0",
                "control_plane.galley.quiesce": "1s",
            },
            "goes with Istio 1.1 to 1.4",
        ),
        ({"control_plane.galley.quiesce": "1s"}, "goes with kind: components, and kind is istiod"),
        ({"control_plane.kind": "components", "control_plane.cache.cds": True}, "goes with kind: istiod"),
        (
            {"control_plane.start": "cold", "mesh.start": "connected"},
            "connected needs control_plane.start: running",
        ),
    ],
)
def test_what_no_istio_was_made_of_is_refused_with_the_reason(keys: dict[str, Any], told: str) -> None:
    base = xs.Scenario(name="case", control_plane={"kind": "istiod"})
    with pytest.raises(xs.ScenarioError, match=told):
        base.with_(**keys)


def test_a_component_can_be_lost_only_where_there_are_components() -> None:
    with pytest.raises(xs.ScenarioError, match=r"goes with control_plane\.kind: components, and kind is"):
        mesh({"restart_component": "galley", "at": "1s"})
