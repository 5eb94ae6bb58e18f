"""What a response holds, over delta and over state of the world; and what ACKs and NACKs do to istiod."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from simulator.scenario.build_mesh import MeshWorld
from simulator.xds.resource_types import CDS
from simulator.xds.resources import NO_NAMES
from tests.conformance.istiod import LATENCY, histogram, mesh, metric, requests, responses, run, types_sent

FIXED = {"BlackHoleCluster", "PassthroughCluster", "inbound|80||"}
FOUR: dict[str, Any] = {"services": 4, "duration": "5s"}


def cluster(number: int) -> str:
    """The cluster of a generated service."""
    return f"outbound|80||s{number}.ns0.svc.cluster.local"


EVERY = {cluster(number) for number in range(4)}


def sent(result: xs.Result, type_: str, proxy: str = "p0") -> list[set[str]]:
    """Resource names of the responses of a type."""
    return [set(m.resources) for m in responses(result, proxy, type_)]


both = pytest.mark.parametrize("version", ["1.21", "1.32"], ids=["sotw", "delta"])


# --- delta and partial responses


@pytest.mark.parametrize("kind", ["ServiceEntry", "DestinationRule"])
def test_over_delta_cds_holds_the_affected_services_and_the_fixed_clusters(kind: str) -> None:
    result = run({"edit": kind, "service": "s2", "at": "1s"}, **FOUR)
    assert sent(result, "cds") == [{cluster(2)} | FIXED]
    assert sent(result, "eds") == [{cluster(2)}]


@pytest.mark.parametrize("kind", ["VirtualService", "Sidecar"])
def test_over_delta_an_edit_that_changes_no_service_leaves_only_the_fixed_clusters(kind: str) -> None:
    result = run({"edit": kind, "namespace": "ns0", "at": "1s"}, **FOUR)
    assert sent(result, "cds") == [FIXED]


@pytest.mark.parametrize("kind", ["EnvoyFilter", "ConfigMap", "MeshConfig"])
def test_a_kind_that_knows_no_delta_regenerates_all_clusters(kind: str) -> None:
    result = run({"edit": kind, "namespace": "ns0", "at": "1s"}, **FOUR)
    assert sent(result, "cds") == [EVERY | FIXED]
    assert sent(result, "eds") == [EVERY]


def test_one_such_kind_in_a_batch_makes_all_of_it_whole() -> None:
    result = run(
        {"edit": "DestinationRule", "service": "s2", "at": "1s"},
        {"edit": "EnvoyFilter", "namespace": "ns0", "at": "1s"},
        **FOUR,
    )
    assert sent(result, "cds") == [EVERY | FIXED]
    assert sent(result, "eds") == [EVERY]


def test_over_sotw_cds_holds_every_cluster() -> None:
    result = run({"edit": "DestinationRule", "service": "s2", "at": "1s"}, version="1.21", **FOUR)
    assert sent(result, "cds") == [EVERY | FIXED]


@both
def test_eds_is_partial_in_either_protocol(version: str) -> None:
    result = run({"endpoints": "s1", "at": "1s"}, version=version, **FOUR)
    assert sent(result, "eds") == [{cluster(1)}]


@both
def test_a_batch_of_endpoints_holds_each_of_its_services_once(version: str) -> None:
    result = run(
        {"endpoints": "s1", "at": ["1s", "1.01s", "1.02s"]},
        {"endpoints": "s3", "at": "1.03s"},
        version=version,
        **FOUR,
    )
    assert sent(result, "eds") == [{cluster(1), cluster(3)}]


@both
@pytest.mark.parametrize("kind", ["AuthorizationPolicy", "VirtualService"])
def test_lds_always_holds_all_listeners(version: str, kind: str) -> None:
    result = run({"edit": kind, "namespace": "ns0", "at": "1s"}, version=version, **FOUR)
    assert sent(result, "lds") == [{"virtualOutbound", "virtualInbound", "0.0.0.0_80"}]


@both
def test_rds_holds_all_watched_route_configurations(version: str) -> None:
    services = [{"name": f"s{n}", "ports": [80 + n]} for n in range(3)]
    result = run(
        {"edit": "VirtualService", "service": "s1", "at": "1s"},
        version=version,
        services=services,
        duration="3s",
    )
    assert sent(result, "rds") == [{"80", "81", "82"}]


@both
def test_types_of_a_push_leave_back_to_back_without_waiting_for_an_ack(version: str) -> None:
    result = run({"edit": "DestinationRule", "at": "1s"}, version=version, network={"latency": "1s"}, **FOUR)
    assert [(m.t, m.type) for m in responses(result, "p0")] == [
        (1.1, "cds"),
        (1.1, "eds"),
        (1.1, "lds"),
        (1.1, "rds"),
    ]
    assert min(m.t for m in requests(result, "p0")) >= 3.1


@both
def test_a_later_push_does_not_wait_for_the_ack_of_an_earlier_one(version: str) -> None:
    result = run(
        {"edit": "AuthorizationPolicy", "at": ["1s", "1.5s", "2s"]},
        version=version,
        network={"latency": "2s"},
        duration="10s",
    )
    assert [m.t for m in responses(result, "p0")] == [1.1, 1.6, 2.1]
    assert set(result.deliveries.outcome) == {"active"}


# --- requests


def fresh(version: str = "1.32", **more: Any) -> xs.Result:
    """A proxy's Envoy starts anew."""
    return run({"restart": {"proxies": ["p0"]}, "at": "1s"}, version=version, **{**FOUR, **more})


@both
def test_a_new_envoy_is_sent_cds_then_eds_then_lds_then_rds(version: str) -> None:
    result = fresh(version)
    assert types_sent(result) == ["cds", "eds", "lds", "rds"]
    assert sent(result, "cds") == [EVERY | FIXED]
    assert sent(result, "eds") == [EVERY]


@pytest.mark.parametrize(("version", "answered"), [("1.32", ["cds", "eds"]), ("1.21", ["cds"])])
def test_a_cds_request_on_a_delta_stream_that_watches_eds_is_answered_with_both(
    version: str, answered: list[str]
) -> None:
    mesh_world = MeshWorld(mesh(version=version), 1, 0)
    mesh_world.world().run()
    [replica] = mesh_world._deployment.replicas.values()
    [connection] = replica.connections
    made, _ = replica.generator.answer(connection, CDS, NO_NAMES, 0)
    assert [generated.type.name for generated in made] == answered


@both
def test_after_a_reconnect_each_type_is_answered_once_in_the_order_in_which_it_is_asked_for(
    version: str,
) -> None:
    # Istio's worker reads CDS first, and EDS is not watched yet when it answers.
    result = run(
        {"restart_istiod": 0, "at": "1s", "down_for": "0s"},
        plane={"readiness": {"initial_delay": "0s"}},
        version=version,
        **FOUR,
    )
    assert types_sent(result, after=1.0) == ["cds", "eds", "lds", "rds"]


def test_requests_are_preferred_to_pushes() -> None:
    # A reconnect asks for four types at once; each answer takes a second. The push comes during the second.
    result = run(
        {"restart_istiod": 0, "at": "1s", "down_for": "0s"},
        {"edit": "AuthorizationPolicy", "at": "3s"},
        duration="20s",
        costs={"request": "1s"},
        plane={"cpu": 8, "readiness": {"initial_delay": "0s"}},
        seed=4,
    )
    sent_ = responses(result, "p0", after=1.0)
    assert [m.type for m in sent_] == ["cds", "eds", "lds", "rds", "lds"]
    [push] = result.proxy_pushes.itertuples()
    # It was handed over while two more requests were waiting, and kept its slot until these were answered.
    assert sent_[0].t < push.t_dequeued_ns / 1e9 == 3.1 < sent_[1].t
    assert push.t_sent_ns / 1e9 == sent_[3].t


def test_an_answer_is_made_from_the_last_context_pushed_to_the_connection() -> None:
    # Context 1 is ready at 1.1 s. p0 is being pushed to and holds the one slot; p1 is still asking.
    result = run(
        {"restart": {"proxies": ["p1"]}, "at": "0.9s"},
        {"edit": "VirtualService", "service": "s0", "at": "1s"},
        proxies=2,
        duration="20s",
        costs={"push": "5s", "request": "300ms"},
        plane={"push_throttle": 1, "cpu": 8},
        agent={"bootstrap": "0s"},
        seed=4,
    )
    pushed = result.proxy_pushes.sort_values("t_dequeued_ns")
    assert list(pushed.proxy_id) == ["p0", "p1"]
    answers = responses(result, "p1", until=6.0)
    assert [m.type for m in answers] == ["cds", "eds", "lds", "rds"]
    assert all(m.t > 1.1 for m in answers)
    assert {m.version_info for m in answers} == {"istiod-0/0"}
    assert {m.version_info for m in responses(result, "p1", after=6.0)} == {"istiod-0/1"}


# --- ACK and NACK


@both
def test_a_rejected_edit_is_a_nack_and_is_not_sent_again_until_the_next_push(version: str) -> None:
    result = run(
        {"edit": "AuthorizationPolicy", "name": "bad", "at": "1s", "rejected_by_envoy": True},
        {"edit": "DestinationRule", "service": "s0", "at": "20s"},
        version=version,
        services=2,
        duration="30s",
    )
    # The DestinationRule makes istiod send all listeners again, the bad one among them.
    assert [m.t for m in responses(result, "p0", "lds")] == [1.1, 20.1]
    nacks = [m for m in requests(result, "p0") if m.error_detail]
    assert [(m.type, m.t) for m in nacks] == [
        ("lds", pytest.approx(1.1 + 2 * LATENCY)),
        ("lds", pytest.approx(20.1 + 2 * LATENCY)),
    ]
    [row] = result.deliveries[result.deliveries.change_id == 0].itertuples()
    assert row.outcome == "rejected"
    assert metric(result, "pilot_total_xds_rejects", type="lds") == 2
    assert metric(result, "pilot_xds_lds_reject", node="p0") == 2
    assert metric(result, "pilot_total_xds_rejects") == 2


@both
def test_a_correction_of_the_rejected_object_is_accepted(version: str) -> None:
    where = {"edit": "AuthorizationPolicy", "name": "bad", "namespace": "ns0"}
    result = run(
        {**where, "at": "1s", "rejected_by_envoy": True},
        {**where, "at": "5s"},
        version=version,
        duration="10s",
    )
    assert list(result.deliveries.outcome) == ["rejected", "active"]
    assert metric(result, "pilot_total_xds_rejects") == 1


@both
def test_every_response_is_answered_and_no_answer_is_answered(version: str) -> None:
    result = run(
        {"edit": "DestinationRule", "poisson": "2/s"},
        {"endpoints": "any", "poisson": "2/s"},
        version=version,
        **FOUR,
    )
    sent_nonces = [m.nonce for m in responses(result, "p0") if m.t < 4.9]
    read_nonces = {m.nonce for m in requests(result, "p0")}
    assert len(sent_nonces) == len(set(sent_nonces)) > 20
    if version == "1.32":
        assert set(sent_nonces) <= read_nonces
    pushed = sum(len(row.types) for row in result.proxy_pushes.itertuples())
    assert len(responses(result, "p0")) == pushed


def test_an_answer_to_an_older_response_than_the_last_is_stale_and_changes_nothing() -> None:
    # Over SotW three responses of one type are under way at once: two ACKs meet a newer nonce.
    result = run(
        {"edit": "AuthorizationPolicy", "at": ["1s", "1.2s", "1.4s"]},
        version="1.21",
        network={"latency": "1s"},
        duration="10s",
    )
    assert metric(result, "pilot_xds_expired_nonce", type="lds") == 2
    assert len(responses(result, "p0")) == 3
    # The ledger still credits the last ACK with all that was outstanding.
    assert result.deliveries.t_acked_ns.notna().all()
    assert set(result.deliveries.t_acked_ns) == {3_500_000_000}


def test_over_delta_each_response_has_an_ack_of_its_own() -> None:
    result = run(
        {"edit": "AuthorizationPolicy", "at": ["1s", "1.2s", "1.4s"]},
        network={"latency": "1s"},
        duration="10s",
    )
    assert [t / 1e9 for t in result.deliveries.t_acked_ns] == [3.1, 3.3, 3.5]


# --- ACK flow control (1.9 to 1.14)


def flow(**plane: object) -> xs.Result:
    """Three edits within the time of one round trip."""
    return run(
        {"edit": "AuthorizationPolicy", "at": ["1s", "1.2s", "1.4s"]},
        version="1.14",
        network={"latency": "1s"},
        duration="60s",
        plane=plane,
    )


def test_flow_control_holds_a_type_back_until_its_last_response_is_acked_and_merges_what_it_holds() -> None:
    result = flow(flow_control=True)
    # Acked at 3.1 s: what was held back goes at once, as one.
    assert [m.t for m in responses(result, "p0")] == [1.1, 3.1]
    assert set(result.deliveries.outcome) <= {"active", "superseded"}
    assert metric(result, "pilot_xds_expired_nonce") == 0


def test_it_is_off_by_default() -> None:
    assert [m.t for m in responses(flow(), "p0")] == [1.1, 1.3, 1.5]


def test_flow_control_gives_up_after_its_time_out() -> None:
    result = run(
        {"slow_reader": {"proxies": ["p0"]}, "at": "0.5s"},
        {"edit": "AuthorizationPolicy", "at": ["1s", "10s", "15s", "17s", "20s"]},
        version="1.10",
        duration="40s",
        plane={"flow_control": True, "flow_control_timeout": "15s", "send_timeout": "0s"},
    )
    # Nothing is ever acked: only a push 15 s after the last response goes.
    assert [m.t for m in responses(result, "p0", "lds")] == [1.1, 17.1]


def test_flow_control_holds_back_one_type_and_sends_it_alone() -> None:
    result = run(
        {"edit": "DestinationRule", "service": "s0", "at": "1s"},
        {"edit": "VirtualService", "service": "s0", "at": "1.2s"},
        version="1.14",
        network={"latency": "1s"},
        duration="30s",
        plane={"flow_control": True},
    )
    later = [(m.t, m.type) for m in responses(result, "p0", after=1.15)]
    assert later == [(3.1, "cds"), (3.1, "lds"), (3.1, "rds")]
    assert set(result.deliveries.outcome) == {"active"}
    # One push of each round for the proxy: what is sent on an ACK takes no slot.
    assert len(result.proxy_pushes) == 2


# --- the send time-out


def test_up_to_1_10_a_send_that_blocks_for_five_seconds_ends_the_stream() -> None:
    edits = {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": [f"{n}s" for n in range(1, 9)]}
    slow = {"slow_reader": {"proxies": ["p0"]}, "at": "0.5s"}
    sizes = {"in_mesh": {"sizes": {"listener": 2_000_000}}, "duration": "12s"}
    result = run(slow, edits, version="1.10", **sizes)
    # Two in the agent, one in the window, the fourth blocks at 4.1 s.
    first = responses(result, "p0")[0].stream
    assert [m.t for m in responses(result, "p0") if m.stream == first] == [1.1, 2.1, 3.1]
    assert metric(result, "pilot_xds_write_timeout") == 1
    assert metric(result, "pilot_total_xds_internal_errors") == 1
    count, _ = histogram(result, "pilot_proxy_convergence_time")
    assert count == 3
    again = [m.t for m in requests(result, "p0") if m.stream != first]
    assert min(again) >= 9.1
    for version in ("1.11", "1.32"):
        later = run(slow, edits, version=version, **sizes)
        assert metric(later, "pilot_xds_write_timeout") == 0
        assert {m.stream for m in responses(later, "p0")} == {first}


def test_the_time_out_is_that_of_one_send() -> None:
    # Blocked from 4.1 to 7 s, then again: no Send is blocked for five seconds.
    edits = {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": [f"{n}s" for n in range(1, 12)]}
    result = run(
        {"slow_reader": {"proxies": ["p0"]}, "at": "0.5s", "lasts": "6.5s"},
        {"slow_reader": {"proxies": ["p0"]}, "at": "7.5s", "lasts": "5.5s"},
        edits,
        version="1.10",
        in_mesh={"sizes": {"listener": 2_000_000}},
        duration="20s",
    )
    assert metric(result, "pilot_xds_write_timeout") == 0
    assert len({m.stream for m in responses(result, "p0")}) == 1
