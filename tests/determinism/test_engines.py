"""Both engines give the same tables, bit for bit, for whatever both play."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.experiment.engines import played
from simulator.fleet import kernel
from simulator.fleet.compiled import compiled
from simulator.fleet.errors import CannotTakeFleet
from simulator.results.tables import build_tables, digest_of
from simulator.scenario.build import build
from simulator.scenario.fleet.world import FleetWorld
from simulator.scenario.problems import ScenarioError
from tests.determinism.engine_equality import assert_equal, assert_equal_or_beyond, both, by_rows, table
from tests.fleet_scenarios import scenario

FAST = (*range(4), 449)
"""In 449 istiod learns, while it makes a push of endpoints, that others left and are back."""
SLOW = range(4, 500)

SEEN_IN_THE_RUN = (
    "responses larger than agent.window_bytes",
    "refused in one type and put right in another",
    "envoy.initial_fetch_timeout",
)
"""What the fleet engine has not, and what no scenario says of itself."""


@pytest.mark.parametrize("seed", FAST)
def test_random_meshes_have_equal_tables(seed: int) -> None:
    assert_equal_or_beyond(scenario(seed), SEEN_IN_THE_RUN)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_meshes_have_equal_tables(seed: int) -> None:
    assert_equal_or_beyond(scenario(seed), SEEN_IN_THE_RUN)


def mesh(**keys: Any) -> xs.Scenario:
    return xs.Scenario(
        name="fleet",
        duration="6s",
        mesh={"proxies": 40, "services": 4, "endpoints": 3},
        control_plane={"kind": "istiod", **keys},
        recording={"messages": False, "states": False, "queues": False},
        workload=[
            {"edit": "DestinationRule", "name": "one", "every": "40ms", "from": "1s", "until": "1300ms"},
            {"endpoints": "any", "poisson": "10/s", "until": "3s"},
        ],
    )


@pytest.mark.slow
def test_proxies_whose_connection_ends_come_back_beside_the_arrays() -> None:
    of = mesh(max_connection_age="8s", max_connection_age_grace="1s")
    assert_equal(of)
    _, arrays = both(of)
    carriers = set(table(arrays, "deliveries")["carried_by"])
    assert {"push", "reconnect"} <= carriers


TOUCHING: dict[str, list[dict[str, Any]]] = {
    "rollout": [{"rollout": "s1", "at": "1s", "pre_stop": "1s", "termination_drain": "1s"}],
    "new_accounts": [{"rollout": "s1", "at": "1s", "new_service_account": True}],
    "scale_up": [{"scale_up": {"pods": 5}, "at": "1s"}],
    "restart": [{"restart": {"proxies": "20%"}, "at": ["1s", "2s"]}],
    "partition": [{"partition": {"proxies": 3}, "at": "2s", "until": "20s"}],
    "slow_reader": [{"slow_reader": {"proxies": 3}, "at": "2s", "until": "20s"}],
    "ca_outage": [
        {"ca_outage": True, "at": "2s", "until": "9s"},
        {"scale_up": {"pods": 3}, "at": "3s"},
        {"restart": {"proxies": 4}, "at": "3s"},
    ],
    "root_rotation": [{"root_rotation": True, "at": "2s"}, {"rollout": "s1", "at": "3s"}],
    "all_at_once": [
        {"rollout": "any", "at": ["1s", "9s"]},
        {"restart": {"proxies": "30%"}, "at": "4s"},
        {"partition": {"proxies": 2}, "at": "3s", "until": "18s"},
        {"scale_up": {"pods": 2}, "at": "3s"},
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("what", TOUCHING)
def test_who_is_touched_by_the_workload_is_played_by_messages_beside_the_arrays(what: str) -> None:
    of = mesh().with_(duration="25s")
    of = of.with_(workload=[*of.workload, *TOUCHING[what]])
    assert_equal(of)
    rows = FleetWorld(of.with_(engine="fleet"), of.seed, 0).rows
    untouched = FleetWorld(mesh().with_(duration="25s", engine="fleet"), of.seed, 0).rows
    assert 0 < rows <= untouched - (0 if what == "scale_up" else 3), "nobody is touched, or nearly all are"


@pytest.mark.slow
@pytest.mark.parametrize(
    "happening",
    [
        {"partition": {"proxies": ["vm1"]}, "at": "5s", "until": "70s"},
        {"restart": {"proxies": ["vm0", "vm2"]}, "at": "5s"},
        {"restart_istiod": 0, "at": "10s", "down_for": "20s"},
    ],
    ids=["partition", "restart", "restart_istiod"],
)
def test_virtual_machines_come_and_go_as_endpoints_in_both_engines(happening: dict[str, Any]) -> None:
    of = xs.Scenario(
        name="vms",
        duration="100s",
        mesh={"proxies": {"sidecars": 40, "gateways": 1, "vms": 6}, "services": 4},
        control_plane={"kind": "istiod", "replicas": 2},
        recording={"messages": False, "states": False, "queues": False},
        workload=[
            happening,
            {"edit": "VirtualService", "every": "7s", "from": "1s"},
            {"endpoints": "any", "every": "5s"},
        ],
    )
    assert_equal(of)
    if "partition" in happening:
        recorder = by_rows(of)
        changes = table(recorder, "changes")
        # Out, back in, and found healthy: three more than the churn of 20.
        assert (changes.kind == "Endpoints").sum() == 20 + 3


@pytest.mark.slow
def test_certificates_that_are_renewed_within_the_run_are_played_by_messages() -> None:
    of = mesh().with_(**{"agent.certificates.provider": "istiod", "agent.certificates.ttl": "40s"})
    assert_equal(of)
    events, arrays = both(of)
    assert 0 < len(table(arrays, "certificates")) < 40
    assert table(events, "certificates").equals(table(arrays, "certificates"))


@pytest.mark.slow
def test_rows_whose_stream_breaks_are_played_by_messages_when_the_run_is_played_again() -> None:
    of = mesh().with_(**{"network.loss": 0.001, "duration": "12s"})
    assert_equal(of)
    world = played(of.with_(engine="fleet"), of.seed, 0)
    rows = int(world.reason.split("; ")[1].split()[0])
    untouched = FleetWorld(mesh().with_(duration="12s", engine="fleet"), of.seed, 0).rows
    assert 0 < rows < untouched, "no stream of a row broke, or all did"


@pytest.mark.slow
def test_requests_of_rows_meet_what_their_workers_hold() -> None:
    of = mesh(debounce={"after": "1s", "max": "2s"})
    of = of.with_(
        workload=[
            *of.workload,
            {"rollout": "s1", "at": "1s", "max_surge": 0, "max_unavailable": "100%"},
            {"traffic": {"from": "any", "to": "s1", "rate": "10/s"}},
            {"traffic": {"from": "s0", "to": "s1", "rate": "3/s", "dead_endpoint": "blackhole"}},
        ]
    )
    assert_equal(of)
    _, arrays = both(of)
    world = FleetWorld(of.with_(engine="fleet"), of.seed, 0)
    row = world._proxies.name(int(world._sidecars.entity[0]))
    requests = table(arrays, "traffic")
    of_row = requests[requests["proxy_id"] == row]
    assert {"200", "UF"} <= set(of_row["outcome"]), "a row's requests met nothing but healthy pods"


ISTIODS: dict[str, list[dict[str, Any]]] = {
    "one_is_away": [{"restart_istiod": 0, "at": "3s", "down_for": "4s"}],
    "one_more": [{"add_istiod": 1, "at": "3s"}, {"restart": {"proxies": "20%"}, "at": "12s"}],
    "in_a_crowd": [
        {"restart_istiod": 1, "at": "3s", "down_for": "1s"},
        {"rollout": "s1", "at": "4s"},
        {"scale_up": {"pods": 2}, "at": "5s"},
    ],
}


def with_rows(of: xs.Scenario) -> list[int]:
    """Replicas that hold streams of rows at the start."""
    found: list[int] = np.unique(FleetWorld(of.with_(engine="fleet"), of.seed, 0)._sidecars.replica).tolist()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["delta", "sotw"])
@pytest.mark.parametrize("what", ISTIODS)
def test_whose_istiod_ends_comes_back_as_a_row(what: str, protocol: str) -> None:
    of = mesh(replicas=3).with_(**{"duration": "25s", "propagation.protocol": protocol})
    of = of.with_(workload=[*of.workload, *ISTIODS[what]])
    assert_equal(of)
    assert with_rows(of) == [0, 1, 2]


def test_endpoints_that_are_back_before_istiod_looked_follow_the_change_before() -> None:
    of = mesh().with_(
        **{"mesh.proxies": 8, "duration": "3s", "network.latency": {"uniform": ["50ms", "300ms"]}}
    )
    of = of.with_(workload=[{"endpoints": "s0", "poisson": "60/s", "until": "2s"}])
    assert_equal(of)
    _, arrays = both(of)
    rows = table(arrays, "deliveries")
    follows = rows[(rows["carried_by"] == "earlier_push") & (rows["t_applied_ns"] == rows["t_observed_ns"])]
    late = follows["t_active_ns"] != follows["t_observed_ns"]
    assert late.any(), "no change waited for the one before"
    assert not late.all(), "no change took effect at once"


def test_auto_leaves_a_mesh_to_the_events_where_most_sidecars_are_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulator.scenario.engine_choice.FLEET_FROM", 1)
    few = mesh().with_(workload=[{"restart": {"proxies": 10}, "at": "1s"}])
    most = mesh().with_(workload=[{"restart": {"proxies": "60%"}, "at": "1s"}])
    assert build(few, 1).engine == "fleet"
    assert "of 40 sidecars are rows" in build(few, 1).reason
    assert build(most, 1).engine == "events"
    assert "of 40 sidecars are rows" in build(most, 1).reason


@pytest.mark.slow
def test_pushes_merge_behind_one_slot_as_they_do_event_by_event() -> None:
    of = mesh(push_throttle=1, cpu=1, debounce={"after": "10ms", "max": "50ms"})
    assert_equal(of)
    events, _ = both(of)
    assert "superseded" in set(table(events, "deliveries")["outcome"])
    pushes = table(events, "proxy_pushes")
    assert len(pushes) < 44 * len(events.push_rows), "no two pushes to one proxy were merged"


def test_any_number_of_messages_may_be_late_to_one_proxy() -> None:
    of = mesh(debounce={"after": "0s", "max": "1s"}).with_(
        **{"mesh.proxies": 8, "network.latency": {"uniform": ["200ms", "900ms"]}}
    )
    assert_equal(of)
    world = build(of.with_(engine="fleet"), of.seed)
    world.run()
    rows = build_tables(world.recorder)["deliveries"]
    of_one = rows[rows["proxy_id"] == rows["proxy_id"].iloc[-1]].dropna(subset=["t_sent_ns", "t_active_ns"])
    sent, active = (of_one[name].to_numpy(np.int64) for name in ("t_sent_ns", "t_active_ns"))
    most = max(int(((sent <= at) & (active > at)).sum()) for at in sent)
    assert most > 4, "no more were under way than are cheap to remember"


def test_a_run_that_ends_in_the_middle_of_a_push_leaves_the_same_rows_pending() -> None:
    of = mesh(push_throttle=1).with_(duration="1120ms")
    assert_equal(of)
    _, arrays = both(of)
    assert {"active", "pending"} <= set(table(arrays, "deliveries")["outcome"])


def test_a_state_of_the_world_server_ignores_answers_to_older_responses() -> None:
    late = {"propagation.protocol": "sotw", "network.latency": {"uniform": ["20ms", "90ms"]}}
    of = mesh(debounce={"after": "0s", "max": "1s"}).with_(**{"mesh.proxies": 8}, **late)
    assert_equal(of)
    _, arrays = both(of)
    rows = build_tables(arrays)["deliveries"].dropna(subset=["t_acked_ns"])
    together = rows.groupby(["proxy_id", "t_acked_ns"])["change_id"].nunique()
    assert together.max() > 2, "every answer was read before the next response left"


def test_each_replica_pushes_to_the_rows_that_it_holds_when_it_is_ready() -> None:
    of = mesh(replicas=3, cpu="500m", push_throttle=2).with_(**{"mesh.proxies": 30})
    assert_equal(of)
    _, arrays = both(of)
    rows = build_tables(arrays)["deliveries"].dropna(subset=["t_enqueued_ns"])
    assert rows.groupby("proxy_id")["replica"].nunique().max() == 1
    assert set(rows["replica"]) == {0, 1, 2}
    of_one = rows[rows["change_id"] == 0].groupby("replica")["t_enqueued_ns"].agg(["min", "max"])
    assert (of_one["min"] == of_one["max"]).all()
    assert of_one["min"].nunique() == 3


REFUSALS = [
    {"edit": "VirtualService", "name": "one", "at": "1s", "rejected_by_envoy": True},
    {"edit": "PeerAuthentication", "name": "two", "at": "1010ms", "rejected_by_envoy": True},
    {"edit": "VirtualService", "name": "other", "at": "1020ms"},
    {"edit": "DestinationRule", "name": "three", "at": ["1010ms", "1030ms"]},
    {"edit": "VirtualService", "name": "one", "at": "1100ms"},
    {"edit": "PeerAuthentication", "name": "two", "at": "2s"},
]


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_rows_refuse_what_envoy_refuses_until_it_is_put_right(protocol: str) -> None:
    of = mesh(debounce={"after": "10ms", "max": "1s"}).with_(
        **{"propagation.protocol": protocol, "mesh.proxies": 20}, workload=REFUSALS
    )
    assert_equal(of)
    _, arrays = both(of)
    rows = build_tables(arrays)["deliveries"]
    outcomes = {change: set(of_it) for change, of_it in rows.groupby("change_id")["outcome"]}
    refused = rows[rows["outcome"] == "rejected"]
    assert outcomes[0] == {"rejected"}, "it is refused by everybody"
    assert "rejected" in outcomes[3], "what shares a cluster with it is refused as well"
    assert "active" in outcomes[6]
    assert refused["t_sent_ns"].notna().all()
    assert refused["t_applied_ns"].isna().all()
    assert refused["t_acked_ns"].isna().all()


def test_a_refused_change_is_acknowledged_by_a_later_response_that_was_under_way_before_its_nack() -> None:
    of = mesh(debounce={"after": "0s", "max": "1s"}).with_(
        **{
            "propagation.protocol": "delta",
            "mesh.proxies": 12,
            "network.latency": {"uniform": ["20ms", "90ms"]},
        },
        workload=[
            {"edit": "VirtualService", "name": "one", "at": "1s", "rejected_by_envoy": True},
            {"edit": "VirtualService", "name": "one", "at": ["1010ms", "1020ms"]},
        ],
    )
    assert_equal(of)
    _, arrays = both(of)
    rows = build_tables(arrays)["deliveries"]
    assert ((rows["outcome"] == "rejected") & rows["t_acked_ns"].notna()).any()


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
def test_endpoints_of_headless_services_push_listeners_too(protocol: str) -> None:
    tcp = [{"port": 7000, "protocol": "tcp"}]
    services = [{"name": name, "headless": True, "ports": tcp} for name in "ab"] + [{"name": "c"}]
    of = mesh().with_(**{"mesh.services": services, "mesh.proxies": 12, "propagation.protocol": protocol})
    assert_equal(of)
    _, arrays = both(of.with_(workload=[{"endpoints": "any", "poisson": "10/s", "until": "3s"}]))
    assert "lds" in " ".join(table(arrays, "proxy_pushes")["types"])


def test_endpoints_that_come_behind_their_fetch_timeout_are_beyond_the_arrays() -> None:
    late = {"network.latency": {"uniform": ["1ms", "90ms"]}, "mesh.proxies": 12}
    assert_equal(mesh().with_(**{"envoy.initial_fetch_timeout": "400ms"}, **late))
    with pytest.raises(CannotTakeFleet, match=r"envoy\.initial_fetch_timeout"):
        both(mesh().with_(**{"envoy.initial_fetch_timeout": "1ms"}, **late))


def test_a_context_that_is_built_at_once_waits_for_a_core_behind_the_pushes_of_the_one_before() -> None:
    of = mesh(cpu=1, debounce={"after": "0s", "max": "10s"}).with_(
        **{"mesh.proxies": 18, "mesh.namespaces": 2},
        workload=[
            {"edit": "AuthorizationPolicy", "namespace": "ns0", "every": "20ms", "from": "1s", "until": "2s"}
        ],
    )
    assert_equal(of)


@pytest.mark.slow
def test_the_compiled_kernel_gives_the_same_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled() is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    of = mesh(push_throttle=2)
    plain = build(of.with_(engine="fleet"), 1)
    plain.run()
    monkeypatch.setattr("simulator.fleet.line.COMPILED_FROM", 0)
    fast = build(of.with_(engine="fleet"), 1)
    fast.run()
    assert digest_of(build_tables(plain.recorder)) == digest_of(build_tables(fast.recorder))


@pytest.mark.slow
def test_a_run_of_many_pushes_goes_on_with_the_compiled_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled() is None:
        pytest.skip("numba is not installed: xdsim[fast]")
    of = mesh(push_throttle=2).with_(engine="fleet")
    plain = build(of, 1)
    plain.run()
    found: list[Any] = []

    def counted(*args: Any) -> int:
        found.append(args)
        return compiled()(*args)  # type: ignore[misc]  # asked above

    counted_only = lambda pushes: counted if pushes >= 100 else kernel.advance  # noqa: E731
    monkeypatch.setattr("simulator.fleet.line._kernel", counted_only)
    monkeypatch.setattr("simulator.fleet.pushes_over.CHUNK", 16)
    fast = build(of, 1)
    fast.run()
    assert found
    assert digest_of(build_tables(plain.recorder)) == digest_of(build_tables(fast.recorder))


def test_a_small_output_buffer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    of = mesh(push_throttle=3)
    whole = build(of.with_(engine="fleet"), 1)
    whole.run()
    monkeypatch.setattr("simulator.fleet.pushes_over.CHUNK", 3)
    in_chunks = build(of.with_(engine="fleet"), 1)
    in_chunks.run()
    assert digest_of(build_tables(whole.recorder)) == digest_of(build_tables(in_chunks.recorder))


def test_what_only_the_run_shows_is_named_by_fleet_and_played_by_events_under_auto(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("simulator.scenario.engine_choice.FLEET_FROM", 1)
    of = mesh().with_(**{"agent.window_bytes": "4Ki"})
    with pytest.raises(ScenarioError, match=r"agent\.window_bytes"):
        played(of.with_(engine="fleet"), 1, 0)
    world = played(of, 1, 0)
    assert world.engine == "events"
    assert "agent.window_bytes" in world.reason


def test_auto_takes_the_arrays_for_many_proxies_and_says_so() -> None:
    assert build(mesh(), 1).engine == "events"
    many = build(mesh().with_(**{"mesh.proxies": 2000}), 1)
    assert many.engine == "fleet"
    assert "2000 sidecars" in many.reason


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (
            {"propagation.strategy": "long-poll", "network.loss": 0.01},
            "propagation.strategy: long-poll with network.loss",
        ),
        ({"propagation.streams": "separate"}, "propagation.streams: separate"),
        (
            {"control_plane.version": "1.12", "control_plane.flow_control": True},
            "control_plane.flow_control",
        ),
        (
            {
                "workload": [{"rollout_istiod": {}, "at": "1s"}],
                "propagation.strategy": "poll",
                "control_plane.replicas": 2,
            },
            "rollout_istiod of several istiods by polls",
        ),
        (
            {"mesh.start": {"over": "1s"}, "propagation.strategy": "poll"},
            "mesh.start other than connected by polls or files",
        ),
        ({"agent.dns_capture": True}, "agent.dns_capture"),
        ({"recording.messages": True}, "recording.messages"),
        ({"envoy.costs.decode_failed": {"uniform": ["1ms", "2ms"]}}, "decode_failed"),
        ({"envoy.costs.cds": "1ms", "envoy.costs.post_routes": {"uniform": ["1ms", "2ms"]}}, "post_routes"),
    ],
)
def test_fleet_refuses_what_it_has_not_by_name(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ScenarioError, match=named) as refused:
        mesh().with_(engine="fleet", **keys)
    assert all(problem.key == "engine" for problem in refused.value.problems)


def test_the_heap_of_completions_is_ordered_by_instant_and_entity() -> None:
    ns, entity, place = np.zeros(16, np.int64), np.zeros(16, np.int64), np.zeros(16, np.int32)
    jobs = [(5, 2), (3, 9), (5, 1), (4, 4), (3, 1), (9, 0), (5, 0)]
    size = 0
    for number, (end_ns, who) in enumerate(jobs):
        size = kernel.heap_push(size, ns, entity, place, end_ns, who, number)
    left = []
    while size:
        left.append((int(ns[0]), int(entity[0])))
        size = kernel.heap_pop(size, ns, entity, place)
    assert left == sorted(jobs)
