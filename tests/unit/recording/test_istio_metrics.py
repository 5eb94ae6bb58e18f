"""Istio's metrics come out under Istio's names, labels and buckets, and nothing else can be counted."""

from collections.abc import Callable

import pytest

from simulator.recording.istio_metrics import ISTIO_METRICS, Emitter, IstioMetrics, Kind
from simulator.recording.recorder import Recorder
from simulator.results.result import Result


def text(metrics: IstioMetrics, per_proxy: bool = True) -> str:
    return metrics.text({0: "p0", 7: "p7"}, per_proxy=per_proxy)


def test_the_table_says_what_each_metric_measures_and_where_it_comes_from() -> None:
    for metric in ISTIO_METRICS.values():
        assert metric.meaning.endswith("."), metric.name
        assert metric.source.endswith(".go") or "serviceregistry" in metric.source, metric.name
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets), metric.name
        assert list(metric.buckets) == sorted(metric.buckets), metric.name
        assert metric.name.startswith("istio_agent_") == (metric.emitter is Emitter.AGENT)


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
        ("pilot_worker_queue_latency", (0.01, 0.1, 0.2, 0.5, 1, 3, 5)),
        ("pilot_worker_queue_duration", (0.01, 0.1, 0.2, 0.5, 1, 3, 5)),
    ],
)
def test_buckets_are_istios(name: str, bounds: tuple[float, ...]) -> None:
    assert ISTIO_METRICS[name].buckets == bounds


def test_a_histogram_counts_a_sample_on_a_bound_below_it() -> None:
    metrics = IstioMetrics()
    for seconds in (100_000_000 / 1e9, 100_000_001 / 1e9, 31.0):
        metrics.observe("pilot_proxy_queue_time", seconds, 1)
    lines = text(metrics).splitlines()
    assert lines[0] == "# TYPE pilot_proxy_queue_time histogram"
    assert lines[1] == 'pilot_proxy_queue_time_bucket{pod="istiod-1",le="0.1"} 1'
    assert lines[2] == 'pilot_proxy_queue_time_bucket{pod="istiod-1",le="0.5"} 2'
    assert 'pilot_proxy_queue_time_bucket{pod="istiod-1",le="30"} 2' in lines
    assert 'pilot_proxy_queue_time_bucket{pod="istiod-1",le="+Inf"} 3' in lines
    assert lines[-1] == 'pilot_proxy_queue_time_count{pod="istiod-1"} 3'


def test_values_are_in_order_of_name_labels_and_pod() -> None:
    metrics = IstioMetrics()
    for replica in (1, 0):
        for kind in ("eds", "cds"):
            metrics.count("pilot_xds_pushes", replica, 2, type=kind)
    metrics.set("pilot_services", 0, 200)
    metrics.raise_to("pilot_xds_recv_max", 0, 900)
    metrics.raise_to("pilot_xds_recv_max", 0, 300)
    assert text(metrics).splitlines() == [
        "# TYPE pilot_services gauge",
        'pilot_services{pod="istiod-0"} 200',
        "# TYPE pilot_xds_pushes counter",
        'pilot_xds_pushes{type="cds",pod="istiod-0"} 2',
        'pilot_xds_pushes{type="cds",pod="istiod-1"} 2',
        'pilot_xds_pushes{type="eds",pod="istiod-0"} 2',
        'pilot_xds_pushes{type="eds",pod="istiod-1"} 2',
        "# TYPE pilot_xds_recv_max gauge",
        'pilot_xds_recv_max{pod="istiod-0"} 900',
    ]


def test_a_gauge_may_be_counted_up_and_down() -> None:
    metrics = IstioMetrics()
    metrics.count("pilot_xds", 0, version="1.32.0")
    metrics.count("pilot_xds", 0, 2, version="1.32.0")
    metrics.count("pilot_xds", 0, -1, version="1.32.0")
    assert metrics.value("pilot_xds", 0, version="1.32.0") == 2


def test_agents_are_named_apart_or_added_up() -> None:
    metrics = IstioMetrics()
    for proxy in (0, 7):
        metrics.count("istio_agent_istiod_connection_failures", proxy, 3)
        metrics.set("istio_agent_startup_duration_seconds", proxy, 1.5)
    assert 'istio_agent_istiod_connection_failures{pod="p7"} 3' in text(metrics)
    assert 'istio_agent_startup_duration_seconds{pod="p0"} 1.5' in text(metrics)
    assert text(metrics, per_proxy=False).splitlines() == [
        "# TYPE istio_agent_istiod_connection_failures counter",
        "istio_agent_istiod_connection_failures 6",
    ]


@pytest.mark.parametrize(
    ("misuse", "said"),
    [
        (lambda m: m.count("pilot_pushes", 0), "no metric 'pilot_pushes'"),
        (lambda m: m.count("pilot_debounce_time", 0), "is a histogram"),
        (lambda m: m.observe("pilot_services", 1, 0), "is a gauge"),
        (lambda m: m.set("pilot_xds_pushes", 0, 1, type="cds"), "is a counter"),
        (lambda m: m.count("pilot_xds_pushes", 0), "has the labels"),
        (lambda m: m.count("pilot_xds_cds_reject", 0, err="x", node="p0"), "has the labels"),
    ],
)
def test_what_istio_does_not_have_is_refused(misuse: Callable[[IstioMetrics], None], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        misuse(IstioMetrics())


def test_istios_metrics_stand_in_the_counters_of_the_result() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    recorder.counters.add(0, "cluster_manager.cds.update_success")
    recorder.istio.observe("pilot_xds_push_time", 0.02, 0, type="cds")
    counted = Result.from_recorder(recorder, {}).counters_text
    assert counted.index("envoy_cluster_manager_cds_update_success") < counted.index("pilot_xds_push_time")
    assert 'pilot_xds_push_time_sum{type="cds",pod="istiod-0"} 0.02' in counted
