"""Each metric is the difference it says it is; the unfinished counts as infinity; the summary says how
many.
"""

import math

import pytest

from simulator.engine.clock import MS, S
from simulator.recording.columns import DELIVERY_INSTANTS
from simulator.recording.instants import METRICS, STAGES, find_metric
from simulator.recording.recorder import Recorder
from simulator.results.errors import MetricError
from simulator.results.metrics import metric_rows, metric_values
from simulator.results.result import Result

INF = math.inf


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time_to_ready", [4.06, INF]),
        ("time_to_workers", [4.053, INF]),
        ("workers_after_cds", [4.0, INF]),
        ("ready_after_cds", [4.007, INF]),
        ("boot_time", [0.05, 0.04]),
        ("cds_time", [1.0, 1.0]),
        ("clusters_time", [1.0, INF]),
        ("listeners_time", [1.0, INF]),
        ("timed_out", [0, 1]),
        ("fetch_timeouts", [0, 3]),
        ("active_delay", [1.5, 0.5, 1.0, INF, 0.1, INF]),
        ("apply_delay", [0.75, 0.25, 0.5, INF, 0.05, INF]),
        ("ack_delay", [INF] * 6),
        ("warming_time", [0.75, 0.25, 0.5, INF, 0.05, INF]),
        ("receive_delay", [INF] * 6),
        *((name, [INF] * 6) for name in STAGES if name != "warming_time"),
        ("convergence", [1.5, INF, INF]),
        ("staleness", [2.1, INF]),
        ("pilot_proxy_convergence_time", []),
        ("pilot_proxy_queue_time", []),
        ("certificate_delay", []),
        ("regressions", []),
        ("failed_requests", [0, 1]),
        ("failed_attempts", [0, 1]),
        ("stale_requests", [0, 1]),
        ("messages.bytes", [20, 300, 25, 60]),
        ("messages.resources", [0, 4, 0, 0]),
        ("startups.t_ready_ns", [4.06, INF]),
        ("deliveries.replica", []),
        ("traffic.stale", [0, 1]),
    ],
)
def test_values_of_each_metric(result: Result, name: str, values: list[float]) -> None:
    metric = find_metric(name)
    assert metric_values(metric, metric_rows(result, metric)).tolist() == pytest.approx(values)


def test_every_metric_of_a_number_is_tried_above(result: Result) -> None:
    tried = {mark for mark in METRICS if METRICS[mark].column is None and mark != "bottleneck"}
    listed = {arguments[0] for arguments in test_values_of_each_metric.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    assert tried <= listed


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("outcome", "bottleneck")])
def test_a_run_without_rows_has_no_values(empty_result: Result, name: str) -> None:
    assert metric_values(METRICS[name], metric_rows(empty_result, METRICS[name])).tolist() == []


def test_overlapping_changes_make_a_proxy_stale_only_once() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    for begin_s, end_s in ((1, 5), (2, 3), (4, 6), (8, 9)):
        change = recorder.change("cds", "c0", begin_s * S, 1)
        row = recorder.delivery(change, 0, begin_s * S)
        row.t_active_ns, row.outcome = end_s * S, "active"
    result = Result.from_recorder(recorder, {})
    metric = METRICS["staleness"]
    assert metric_values(metric, metric_rows(result, metric)).tolist() == [5.0 + 1.0]


@pytest.mark.parametrize("outcome", ["pending", "rejected", "disconnected"])
def test_a_delivery_that_did_not_arrive_counts_as_infinite_whatever_it_reached(outcome: str) -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    row = recorder.delivery(recorder.change("cds", "c0", 0, 1), 0, 0)
    row.t_applied_ns, row.t_active_ns, row.outcome = 5 * MS, 5 * MS, outcome
    line = Result.from_recorder(recorder, {}).summary().loc["active_delay"]
    assert line["p50"] == line["max"] == INF
    assert line["pending"] == line["n"] == 1


def test_changes_before_the_warm_up_are_not_counted(recorder: Recorder) -> None:
    result = Result.from_recorder(recorder, {"scenario": {"warm_up": "2s"}})
    assert result.summary().loc["active_delay", "n"] == 4
    assert result.summary().loc["convergence", "n"] == 2
    assert len(result.deliveries) == 6, "the table keeps them"


@pytest.mark.parametrize(
    ("name", "column", "value", "count"),
    [
        ("active_delay", "kind", "cds", 4),
        ("active_delay", "name", "r0", 2),
        ("active_delay", "proxy_id", "p1", 3),
        ("active_delay", "t_changed_ns", "2s", 2),
        ("active_delay", "change_id", 0, 2),
        ("active_delay", "change_id", "0", 2),
        ("active_delay", "replica", None, 6),
        ("active_delay", "replica", 0, 0),
        ("messages", "resources", "c1", 1),
        ("messages", "direction", "request", 3),
        ("traffic", "stale", True, 1),
        ("traffic", "stale", "false", 1),
        ("traffic", "outcome", 200, 1),
        ("traffic", "outcome", 200.0, 1),
        ("traffic", "requests", 9, 1),
    ],
)
def test_rows_are_narrowed_by_any_column(
    result: Result, name: str, column: str, value: object, count: int
) -> None:
    assert len(metric_rows(result, find_metric(name), [(column, value)])) == count


def test_timeouts_are_narrowed_by_resource_type(result: Result) -> None:
    metric = METRICS["fetch_timeouts"]
    filters = [("type", "eds")]
    assert metric_values(metric, metric_rows(result, metric, filters), filters).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("name", "filters", "message"),
    [
        ("active_delay", [("colour", "red")], "no column 'colour'"),
        ("time_to_ready", [("type", "eds")], "no column 'type'"),
        ("active_delay", [("change_id", "many")], "change_id=many"),
        ("active_delay", [("t_changed_ns", "2")], "missing unit"),
        ("outcome", [], "is text"),
        ("messages", [], "is a table"),
        ("bottleneck", [], "is a name, not a number"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    result: Result, name: str, filters: list[tuple[str, object]], message: str
) -> None:
    metric = find_metric(name)
    with pytest.raises(MetricError, match=message):
        metric_values(metric, metric_rows(result, metric, filters), filters)


def test_the_summary_has_the_promised_columns_in_seconds(result: Result) -> None:
    line = result.summary().loc["workers_after_cds"]
    assert list(result.summary().columns)[:10] == [
        "mean", "p50", "p90", "p99", "max", "n", "ci_low", "ci_high", "unit", "pending",
    ]  # fmt: skip
    assert (line["n"], line["pending"], line["unit"]) == (2, 1, "s")
    assert result.summary().loc["cds_time", "mean"] == 1.0
    assert result.summary().loc["timed_out", "unit"] == "count"


def test_a_single_run_prints_no_interval_and_says_why(result: Result) -> None:
    line = result.summary().loc["cds_time"]
    assert math.isnan(line["ci_low"])
    assert math.isnan(line["ci_high"])
    assert line["note"].startswith("no interval: one run")
    assert "2 samples are too few for p90, p99" in line["note"]


def test_the_summary_of_nothing_is_empty_with_the_same_columns(result: Result, empty_result: Result) -> None:
    assert empty_result.summary().empty
    assert empty_result.summary().dtypes.to_dict() == result.summary().dtypes.to_dict()


def test_changing_a_summary_does_not_change_the_result(result: Result) -> None:
    summary = result.summary()
    summary.loc["cds_time", "mean"] = 99.0
    assert result.summary().loc["cds_time", "mean"] == 1.0


def test_the_stages_of_a_delivery_sum_to_its_delay_exactly() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    row = recorder.delivery(recorder.change("VirtualService", "a", 7, 1), 0, 7)
    instants = (7, 8, 100_000_008, 100_000_010, 100_000_010, 117_000_003, 118_000_000, 119_000_001, S + 1)
    for name, t_ns in zip(DELIVERY_INSTANTS[:9], instants, strict=True):
        setattr(row, name, t_ns)
    row.outcome = "active"
    result = Result.from_recorder(recorder, {})
    means = result.summary()["mean"]
    whole = {name: round(means[name] * 1e9) for name in (*STAGES, "active_delay")}
    assert [whole[name] for name in STAGES] == [1, 100 * MS, 2, 0, 16_999_993, 999_997, 1_000_001, 881 * MS]
    assert sum(whole[name] for name in STAGES) == whole["active_delay"] == S + 1 - 7


def test_istios_convergence_time_counts_only_pushes_that_sent_something() -> None:
    recorder = Recorder(["p0", "p1"], messages=False, states=False)
    recorder.proxy_push(0, 0, 0, 10 * MS, 11 * MS, 30 * MS, 110 * MS, ("cds", "eds"))
    recorder.proxy_push(0, 1, 0, 10 * MS, 11 * MS, 40 * MS, None, ())
    summary = Result.from_recorder(recorder, {}).summary()
    assert summary.loc["pilot_proxy_convergence_time", ["mean", "n", "pending"]].tolist() == [0.1, 1, 0]
    assert summary.loc["pilot_proxy_queue_time", ["mean", "max", "n"]].tolist() == [0.025, 0.03, 2]


def test_pushes_that_began_before_the_warm_up_are_not_counted() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    for start_s in (1, 3):
        recorder.proxy_push(start_s, 0, 0, start_s * S, start_s * S, start_s * S, start_s * S + 1, ("cds",))
    result = Result.from_recorder(recorder, {"scenario": {"warm_up": "2s"}})
    assert result.summary().loc["pilot_proxy_convergence_time", "n"] == 1


def test_harm_done_to_requests_is_one_number_for_the_run(result: Result) -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    recorder.traffic(0, S, 0, "s0", "200", False, 90.0, 95.0)
    recorder.traffic(S, 2 * S, 0, "s0", "200", True, 3.0, 3.0)
    recorder.traffic(0, S, 0, "s0", "UF", True, 10.0, 0.5)
    recorder.traffic(0, S, 0, "s0", "NR", False, 1.0, 1.0)
    summary = Result.from_recorder(recorder, {}).summary()
    assert summary.loc["failed_requests", ["mean", "p50", "p99", "max", "n"]].tolist() == [1.5] * 4 + [1]
    assert summary.loc["failed_attempts", "mean"] == 11.0
    assert summary.loc["stale_requests", "mean"] == 3.5
    assert "too few" not in summary.loc["failed_requests", "note"]
    assert "total" in summary.loc["failed_requests", "note"]


def test_a_regression_is_counted() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    for t_ns in (5, 9):
        recorder.regression(t_ns, 0, 1, 0, "cds")
    result = Result.from_recorder(recorder, {})
    assert result.regressions.to_numpy().tolist() == [[5, "p0", 1, 0, "cds"], [9, "p0", 1, 0, "cds"]]
    assert result.summary().loc["regressions", "mean"] == 2
