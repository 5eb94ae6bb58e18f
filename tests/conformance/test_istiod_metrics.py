"""Istio's own metrics measure exactly what Istio's measure."""

from __future__ import annotations

import pytest

from simulator.recording.istio_metrics import ISTIO_METRICS
from tests.conformance.istiod import histogram, metric, responses, run

EDIT = {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": "1s"}


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("pilot_debounce_time", (0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30)),
        ("pilot_pushcontext_init_seconds", (0.01, 0.1, 0.5, 1, 3, 5)),
        ("pilot_proxy_queue_time", (0.1, 0.5, 1, 3, 5, 10, 20, 30)),
        ("pilot_proxy_convergence_time", (0.1, 0.5, 1, 3, 5, 10, 20, 30)),
        ("pilot_xds_push_time", (0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30)),
        ("pilot_xds_send_time", (0.01, 0.1, 1, 3, 5, 10, 20, 30)),
        ("pilot_xds_config_size_bytes", (1, 1e4, 1e6, 4e6, 1e7, 4e7)),
    ],
)
def test_buckets_are_those_of_istio(name: str, bounds: tuple[float, ...]) -> None:
    assert ISTIO_METRICS[name].buckets == bounds


# --- the debounce and the context


def test_the_debounce_time_lasts_from_the_first_event_of_a_batch_until_push_has_returned() -> None:
    result = run(
        {**EDIT, "at": ["1s", "1.05s"]},
        {**EDIT, "at": "1.5s"},
        duration="10s",
        costs={"push_context": "2s", "fan_out": "100ms"},
    )
    # The first batch: quiet at 1.15 s, built and enqueued at 3.25 s. The second waited for that, then 2.1 s.
    assert list(result.pushes.events_merged) == [2, 1]
    assert histogram(result, "pilot_debounce_time") == (2, pytest.approx((3.25 - 1.0) + (5.35 - 1.5)))


def test_the_init_time_is_that_of_the_push_context_alone() -> None:
    result = run(EDIT, duration="10s", costs={"push_context": "2s"})
    assert histogram(result, "pilot_pushcontext_init_seconds") == (1, pytest.approx(2.0))


@pytest.mark.parametrize(("version", "contexts"), [("1.30", 1), ("1.31", 2)])
def test_a_push_of_endpoints_alone_has_a_context_of_its_own_from_1_31(version: str, contexts: int) -> None:
    result = run(EDIT, {"endpoints": "s0", "at": "5s"}, version=version)
    count, _ = histogram(result, "pilot_pushcontext_init_seconds")
    assert count == contexts
    assert len({m.version_info for m in responses(result)}) <= contexts


# --- the queue and convergence


def test_queue_time_and_convergence_time_start_when_the_context_is_ready() -> None:
    result = run(
        EDIT,
        proxies=3,
        duration="20s",
        costs={"watch_delay": "50ms", "push_context": "2s", "push": "1s"},
        plane={"push_throttle": 1, "cpu": 4},
    )
    # Start is 3.15 s. They are dequeued at once, 1 and 2 s later, and sent a second after that.
    assert histogram(result, "pilot_proxy_queue_time") == (3, pytest.approx(0 + 1 + 2))
    assert histogram(result, "pilot_proxy_convergence_time") == (3, pytest.approx(1 + 2 + 3))


def test_neither_network_nor_envoy_nor_ack_is_part_of_convergence() -> None:
    result = run(EDIT, duration="30s", network={"latency": "5s"}, costs={"push": "1s"})
    assert histogram(result, "pilot_proxy_convergence_time") == (1, pytest.approx(1.0))


def test_a_merged_request_counts_from_its_oldest_start() -> None:
    result = run(
        {**EDIT, "at": ["1s", "2s", "3s"]},
        proxies=2,
        duration="30s",
        costs={"push": "5s"},
        plane={"push_throttle": 1, "cpu": 4},
    )
    # First: 1.1 to 6.1; second, merged from three: 1.1 to 11.1; the first again, from two: 2.1 to 16.1.
    assert histogram(result, "pilot_proxy_convergence_time") == (3, pytest.approx(5 + 10 + 14))
    assert histogram(result, "pilot_proxy_queue_time") == (3, pytest.approx(0 + 5 + 9))


def test_a_proxy_that_is_filtered_out_has_a_queue_time_and_no_convergence_time() -> None:
    result = run(EDIT, proxies=4, services=4, namespaces=2)
    # p0 and p2 are in ns0, p1 and p3 in ns1.
    assert histogram(result, "pilot_proxy_queue_time")[0] == 4
    assert histogram(result, "pilot_proxy_convergence_time")[0] == 2
    assert metric(result, "pilot_push_triggers", type="config") == 4


def test_a_proxy_that_is_not_filtered_out_and_needs_no_type_has_both() -> None:
    # ProxyNeedsPush lets a Secret pass for every proxy; a sidecar watches no SDS here.
    result = run({"edit": "Secret", "namespace": "ns0", "at": "1s"}, proxies=3)
    assert responses(result) == []
    assert histogram(result, "pilot_proxy_queue_time")[0] == 3
    assert histogram(result, "pilot_proxy_convergence_time")[0] == 3


def test_a_push_whose_stream_ends_has_no_convergence_time() -> None:
    result = run(
        EDIT,
        {"restart": {"proxies": ["p0"]}, "at": "2s"},
        duration="20s",
        costs={"push": "3s"},
        plane={"cpu": 4},
    )
    assert histogram(result, "pilot_proxy_queue_time")[0] == 1
    assert histogram(result, "pilot_proxy_convergence_time")[0] == 0


# --- counters


def test_one_event_counts_once_for_each_proxy_that_is_dequeued() -> None:
    result = run(EDIT, {"endpoints": "s0", "at": "3s"}, proxies=5)
    assert metric(result, "pilot_push_triggers", type="config") == 5
    assert metric(result, "pilot_push_triggers", type="endpoint") == 5


def test_an_endpoint_event_counts_under_eds_and_config_both() -> None:
    result = run(EDIT, {"endpoints": "s0", "at": ["3s", "4s"]})
    assert metric(result, "pilot_inbound_updates", type="eds") == 2
    assert metric(result, "pilot_inbound_updates", type="config") == 3


def test_a_service_counts_under_svc_and_config() -> None:
    result = run({"edit": "ServiceEntry", "service": "s0", "at": "1s"})
    assert metric(result, "pilot_inbound_updates", type="svc") == 1
    assert metric(result, "pilot_inbound_updates", type="config") == 1
    assert metric(result, "pilot_push_triggers", type="service") == 1


def test_pushes_count_responses_to_requests_too() -> None:
    result = run(EDIT, {"restart": {"proxies": ["p0"]}, "at": "5s"}, proxies=2, duration="20s")
    for type_ in ("cds", "eds", "lds", "rds"):
        count = len(responses(result, type_=type_))
        assert metric(result, "pilot_xds_pushes", type=type_) == count > 0
    assert metric(result, "pilot_xds_pushes") == metric(result, "pilot_xds_push_time_count")


def test_push_time_is_generation_and_marshalling_of_one_response() -> None:
    result = run(EDIT, proxies=2, costs={"generate": "40ms", "marshal": "10ms", "push": "1s"})
    assert histogram(result, "pilot_xds_push_time", type="lds") == (2, pytest.approx(2 * 0.05))


def test_sizes_are_those_of_whole_responses_by_type_url() -> None:
    result = run(EDIT, in_mesh={"sizes": {"listener": 1_000_000}})
    url = "type.googleapis.com/envoy.config.listener.v3.Listener"
    assert histogram(result, "pilot_xds_config_size_bytes", type=url) == (1, 3_000_000)


def test_the_number_of_streams_is_kept_by_version() -> None:
    result = run(
        {"restart": {"proxies": ["p0"]}, "at": "1s"}, {"restart": {"proxies": ["p1"]}, "at": "2s"}, proxies=4
    )
    assert metric(result, "pilot_xds", version="1.32") == 4
    gone = run({"partition": {"proxies": ["p0"]}, "at": "1s"}, proxies=4, duration="60s")
    assert metric(gone, "pilot_xds", version="1.32") == 3


def test_services_are_set_by_a_push_to_all() -> None:
    assert metric(run(EDIT, services=7), "pilot_services") == 7


def test_nothing_of_the_prologue_is_counted_but_its_streams() -> None:
    result = run(proxies=3)
    assert metric(result, "pilot_xds") == 3
    assert metric(result, "pilot_xds_pushes") == 0
    assert metric(result, "pilot_proxy_queue_time_count") == 0


def test_each_replica_has_metrics_of_its_own() -> None:
    result = run(EDIT, proxies=20, plane={"replicas": 2})
    counts = [metric(result, "pilot_proxy_queue_time_count", pod=f"istiod-{n}") for n in (0, 1)]
    assert sum(counts) == 20
    assert min(counts) > 0
    # Each hears of the edit, so each debounces it.
    assert [metric(result, "pilot_debounce_time_count", pod=f"istiod-{n}") for n in (0, 1)] == [1, 1]
    assert len(result.pushes) == 2
