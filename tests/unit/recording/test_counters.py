"""Envoy's statistics come out under Envoy's Prometheus names, labels and buckets."""

from collections.abc import Callable, Iterable

import pytest

from simulator.recording.counters import BUCKETS_MS, Counters, metric_name, prometheus
from simulator.xds.resources import Names


@pytest.mark.parametrize(
    ("stat", "name", "labels"),
    [
        ("cluster_manager.cds.update_success", "envoy_cluster_manager_cds_update_success", {}),
        ("listener_manager.lds.update_rejected", "envoy_listener_manager_lds_update_rejected", {}),
        ("cluster.c0.update_success", "envoy_cluster_update_success", {"envoy_cluster_name": "c0"}),
        (
            "cluster.c0.control_plane.connected_state",
            "envoy_cluster_control_plane_connected_state",
            {"envoy_cluster_name": "c0"},
        ),
        (
            "cluster.outbound|80||a.b.svc.update_attempt",
            "envoy_cluster_update_attempt",
            {"envoy_cluster_name": "outbound|80||a.b.svc"},
        ),
        (
            "http.in.rds.r0.update_success",
            "envoy_http_rds_update_success",
            {"envoy_rds_route_config": "r0", "envoy_http_conn_manager_prefix": "in"},
        ),
        (
            "http.in.scoped_rds.s0.update_success",
            "envoy_http_scoped_rds_update_success",
            {"envoy_scoped_rds_config": "s0", "envoy_http_conn_manager_prefix": "in"},
        ),
        ("sds.sds0.update_success", "envoy_sds_update_success", {"envoy_xds_resource_name": "sds0"}),
        ("control_plane.connected_state", "envoy_control_plane_connected_state", {}),
        ("server.live", "envoy_server_live", {}),
        ("runtime.load-success", "envoy_runtime_load_success", {}),
    ],
)
def test_dotted_names_become_envoys_names_and_labels(stat: str, name: str, labels: dict[str, str]) -> None:
    assert metric_name(stat) == (name, tuple(labels.items()))


def test_each_proxy_has_its_own_line_when_kept_apart() -> None:
    counters = Counters(per_proxy=True)
    counters.add(1, "cluster_manager.cds.update_success")
    counters.add(0, "cluster_manager.cds.update_success", 2)
    assert prometheus(counters, ["p0", "gw0"]) == (
        "# TYPE envoy_cluster_manager_cds_update_success counter\n"
        'envoy_cluster_manager_cds_update_success{proxy="p0"} 2\n'
        'envoy_cluster_manager_cds_update_success{proxy="gw0"} 1\n'
    )


def test_proxies_are_added_up_when_not_kept_apart() -> None:
    counters = Counters(per_proxy=False)
    for proxy in (0, 1, 2):
        counters.add(proxy, "cluster_manager.cds.update_success")
        counters.set(proxy, "cluster_manager.warming_clusters", 7)
        counters.set(proxy, "cluster_manager.warming_clusters", proxy)
        counters.observe(proxy, "server.initialization_time_ms", 60.5)
    lines = prometheus(counters, ["p0", "p1", "p2"]).splitlines()
    assert "envoy_cluster_manager_cds_update_success 3" in lines
    assert "envoy_cluster_manager_warming_clusters 3" in lines
    assert "envoy_server_initialization_time_ms_count 3" in lines
    assert "envoy_server_initialization_time_ms_sum 181.5" in lines


@pytest.mark.parametrize("collection", [tuple, Names])
def test_a_thousand_names_counted_at_once_cost_one_entry_and_come_out_one_by_one(
    collection: Callable[[Iterable[str]], Iterable[str]],
) -> None:
    names = collection(f"c{index}" for index in range(1000))
    counters = Counters(per_proxy=False)
    for proxy in range(50):
        counters.add_each(proxy, "cluster.{}.update_success", names)
    counters.add(0, "cluster.c7.update_success")
    assert len(counters._many) == 1
    counted = counters.counted()
    assert len(counted) == 1000
    assert counted[-1, "cluster.c6.update_success"] == 50
    assert counted[-1, "cluster.c7.update_success"] == 51


def test_names_in_a_list_that_changes_later_are_counted_as_they_were() -> None:
    names = [f"c{index}" for index in range(1000)]
    counters = Counters(per_proxy=True)
    counters.add_each(0, "cluster.{}.update_success", names)
    names.clear()
    assert len(counters.counted()) == 1000


def test_a_sample_falls_into_every_bucket_at_or_above_it() -> None:
    counters = Counters(per_proxy=True)
    for value_ms in (1, 1.5, 4_000_000):
        counters.observe(0, "server.initialization_time_ms", value_ms)
    lines = prometheus(counters, ["p0"]).splitlines()
    bucket = 'envoy_server_initialization_time_ms_bucket{proxy="p0",le="%s"} %d'
    assert lines[0] == "# TYPE envoy_server_initialization_time_ms histogram"
    assert [bucket % ("0.5", 0), bucket % ("1", 1), bucket % ("5", 2)] == lines[1:4]
    assert bucket % ("3600000", 2) in lines
    assert bucket % ("+Inf", 3) in lines
    assert len(lines) == 1 + len(BUCKETS_MS) + 3


def test_label_values_are_escaped() -> None:
    counters = Counters(per_proxy=True)
    counters.add(0, 'cluster.a"b\\c.update_success')
    assert 'envoy_cluster_name="a\\"b\\\\c"' in prometheus(counters, ["p0"])


def test_the_text_does_not_depend_on_the_order_of_counting() -> None:
    stats = ["cluster.c1.update_success", "cluster.c0.update_success", "cluster_manager.cds.update_success"]
    forwards, backwards = Counters(per_proxy=True), Counters(per_proxy=True)
    for stat in stats:
        forwards.add(0, stat)
        forwards.set(0, stat + "_gauge", 1)
    for stat in reversed(stats):
        backwards.add(0, stat)
        backwards.set(0, stat + "_gauge", 1)
    assert prometheus(forwards, ["p0"]) == prometheus(backwards, ["p0"])


def test_nothing_counted_gives_no_text() -> None:
    assert prometheus(Counters(per_proxy=True), []) == ""
