"""Metrics are differences of instants that exist, and every name is found or answered with the nearest."""

import pytest

from simulator.recording.columns import DIGESTED, TABLES
from simulator.recording.instants import (
    GOOD_OUTCOMES,
    METRICS,
    Shape,
    UnknownMetric,
    filter_columns,
    find_metric,
    metric_names,
)


def test_every_span_is_the_difference_of_two_columns_of_its_table_and_says_so() -> None:
    for metric in METRICS.values():
        for instant in (metric.later, metric.earlier):
            assert instant is None or instant in TABLES[metric.table], metric.name
        if metric.shape in (Shape.SPAN, Shape.LAST_OF_CHANGE, Shape.UNION_OF_PROXY):
            assert f"({metric.later} - {metric.earlier})" in metric.meaning
            assert metric.unit == "s"


def test_every_known_name_is_found() -> None:
    for name in metric_names():
        assert find_metric(name).table in TABLES, name


def test_a_metric_may_be_written_with_its_table_in_front() -> None:
    assert find_metric("startups.timed_out") is METRICS["timed_out"]
    with pytest.raises(UnknownMetric):
        find_metric("deliveries.timed_out")


def test_a_column_in_nanoseconds_is_compared_in_seconds() -> None:
    assert find_metric("startups.t_ready_ns").unit == "s"
    assert find_metric("messages.bytes").unit == ""


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownMetric, match=r"did you mean 'active_delay'"):
        find_metric("activ_delay")
    with pytest.raises(UnknownMetric, match=r"unknown metric 'zzzz'$"):
        find_metric("zzzz")


def test_deliveries_may_be_narrowed_by_their_change_and_timeouts_by_type() -> None:
    assert {"kind", "name", "proxy_id"} <= set(filter_columns(METRICS["active_delay"]))
    assert "type" in filter_columns(METRICS["fetch_timeouts"])
    assert "type" not in filter_columns(METRICS["time_to_ready"])


def test_digested_tables_and_good_outcomes_exist() -> None:
    assert set(DIGESTED) < set(TABLES)
    assert all("outcome" in TABLES[table] for table in GOOD_OUTCOMES)
