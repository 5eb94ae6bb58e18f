"""Replicated runs, and stopping when an interval is narrow enough."""

from __future__ import annotations

import math

import pytest

import simulator as xs
from simulator.experiment.stopping import UntilCi, next_count, parse_until_ci
from simulator.results.estimates import Estimate
from tests.many import tiny


def test_replications_have_intervals_and_a_single_run_stays_a_result() -> None:
    assert isinstance(xs.run(tiny()), xs.Result)
    many = xs.run(tiny(), replications=5, executor="serial")
    assert isinstance(many, xs.Replications)
    line = many.table().loc["active_delay"]
    assert line["ci_low"] < line["mean"] < line["ci_high"]
    assert many.runs["digest"].tolist() == [xs.run(tiny(), replication=r).digest for r in range(5)]


def test_playing_goes_on_until_the_interval_is_narrow_enough() -> None:
    rough = xs.run(tiny(), until_ci="60%", executor="serial")
    fine = xs.run(tiny(), until_ci=0.2, executor="serial")
    assert len(rough.runs) == 10 < len(fine.runs)
    estimate = fine.estimate(fine.variants[0], "active_delay")
    assert (estimate.high - estimate.low) / 2 <= 0.2 * estimate.value


def test_it_gives_up_at_the_most_that_are_allowed() -> None:
    many = xs.run(tiny(), until_ci="1%", ci_of="p50(active_delay)", max_replications=13, executor="serial")
    assert len(many.runs) == 13


def estimate(half: float, value: float = 1.0) -> Estimate:
    return Estimate(value, value - half, value + half, 100, 10)


@pytest.mark.parametrize(
    ("halves", "count"),
    [
        ([0.04], 10),  # narrow enough
        ([0.055], 14),  # 10 x 1.1^2 x 1.1
        ([0.5], 20),  # at most twice as many at once
        ([math.inf], 20),
        ([0.04, 0.055], 14),  # the widest decides
    ],
)
def test_the_next_round_is_what_the_interval_predicts(halves: list[float], count: int) -> None:
    until = UntilCi(0.05, None, "mean")
    assert next_count([estimate(half) for half in halves], 10, until, 1000) == count
    assert next_count([estimate(half) for half in halves], 10, until, 12) <= 12


def test_widths_are_shares_or_percentages() -> None:
    assert parse_until_ci("5%", None) == parse_until_ci(0.05, None) == UntilCi(0.05, None, "mean")
    assert parse_until_ci("2.5 %", "p99.9(x)") == UntilCi(0.025, "x", "p99.9")


@pytest.mark.parametrize("keywords", [{"keep_tables": True}, {"out": "x"}, {"resume": True}])
def test_what_is_about_many_runs_is_refused_for_one(keywords) -> None:
    with pytest.raises(xs.ExperimentError, match="replications"):
        xs.run(tiny(), **keywords)


def test_one_run_is_the_same_whatever_executor_is_named_and_a_wrong_name_is_refused() -> None:
    assert xs.run(tiny(), executor="serial").digest == xs.run(tiny()).digest
    with pytest.raises(xs.ExperimentError, match="processes:N"):
        xs.run(tiny(), executor="threads")


def test_one_replication_by_number_and_many_do_not_go_together() -> None:
    with pytest.raises(xs.ExperimentError, match="one of them"):
        xs.run(tiny(), replication=3, replications=5)
