"""Expectations as scenarios write them, held against small runs: every statistic, every shape, and no rows at
all.
"""

from dataclasses import dataclass

import pytest

from simulator.engine.clock import S
from simulator.recording.recorder import Recorder
from simulator.results.expectations import Outcome, evaluate
from simulator.results.result import Result
from simulator.scenario.expectation import parse_expectation


def verdict(text: str, result: Result) -> Outcome:
    return evaluate(parse_expectation(text), result)


@pytest.mark.parametrize(
    ("text", "met", "actual"),
    [
        # counts
        ("count(messages) == 4", True, "4"),
        ("messages == 4", True, "4"),
        ("count(messages, type=cds, direction=request) == 2", True, "2"),
        ("count(messages, resources=c1) == 1", True, "1"),
        ("count(active_delay, kind=rds) == 2", True, "2"),
        ("count(convergence) == 3", True, "3"),
        ("count(startups.timed_out) == 1", True, "1"),
        ("count(startups, outcome=live) > 1", False, "1"),
        ("count(deliveries, replica=null) == 6", True, "6"),
        # totals
        ("startups.timed_out == 0", False, "1 (2 rows)"),
        ("timed_out == 1", True, "1 (2 rows)"),
        ("startups.timed_out, type=lds == 0", True, "0 (2 rows)"),
        ("startups.fetch_timeouts == 3", True, "3 (2 rows)"),
        ("sum(startups.fetch_timeouts, type=eds) == 2", True, "2 (2 rows)"),
        ("sum(messages.bytes) == 405", True, "405 (4 rows)"),
        # statistics
        ("mean(cds_time) == 1s", True, "1s (2 rows)"),
        ("min(active_delay) == 100ms", True, "100ms (6 rows, 2 pending, rejected or disconnected)"),
        ("max(active_delay) < 2s", False, "never (6 rows, 2 pending, rejected or disconnected)"),
        ("max(active_delay, name=c0) <= 1500ms", True, "1.5s (2 rows)"),
        ("mean(active_delay) < 1h", False, "never (6 rows, 2 pending, rejected or disconnected)"),
        ("p50(active_delay) == 1.25s", True, "1.25s (6 rows, 2 pending, rejected or disconnected)"),
        (
            "p99(active_delay) < 2s",
            False,
            "never (6 rows, 2 pending, rejected or disconnected, too few for p99)",
        ),
        ("max(startups.t_workers_started_ns, proxy_id=p0) < 5s", True, "4.053s (1 row)"),
        ("max(startups.t_workers_started_ns) < 5s", False, "never (2 rows, 1 not reached)"),
        ("max(messages.bytes) < 300", False, "300 (4 rows)"),
        # shares
        ("share(outcome, kind=cds) == 1", False, "0.75 (3 of 4 rows)"),
        ("share(outcome, kind=cds, proxy_id=p0) == 100%", True, "1 (2 of 2 rows)"),
        ("share(outcome, outcome=rejected, kind=cds) == 25%", True, "0.25 (1 of 4 rows)"),
        ("share(startups.outcome) == 0.5", True, "0.5 (1 of 2 rows)"),
        ("share(startups.timed_out) == 50%", True, "0.5 (1 of 2 rows)"),
        ("share(timed_out, type=lds) == 0", True, "0 (0 of 2 rows)"),
        ("share(active_delay, kind=rds) == 50%", True, "0.5 (1 of 2 rows)"),
        ("share(startups.t_ready_ns) == 50%", True, "0.5 (1 of 2 rows)"),
        ("share(messages, direction=request) == 75%", True, "0.75 (3 of 4 rows)"),
        ("share(startups.cause, cause=start) == 1", True, "1 (2 of 2 rows)"),
        ("share(traffic) == 90%", True, "0.9 (9 of 10 requests)"),
        ("share(traffic, outcome=200) == 0.9", True, "0.9 (9 of 10 requests)"),
        ("share(traffic, outcome=UH, service=l0) > 10%", False, "0.1 (1 of 10 requests)"),
        ("share(traffic.stale) < 20%", True, "0.1 (1 of 10 requests)"),
        ("share(traffic, stale=true) < 20%", True, "0.1 (1 of 10 requests)"),
        ("count(traffic, outcome=UH) == 1", True, "1 requests"),
        ("failed_requests == 1", True, "1 (2 rows)"),
        ("failed_requests, service=l9 == 0", True, "0 (0 rows)"),
        ("sum(failed_attempts, outcome=UH) == 1", True, "1 (1 row)"),
        ("share(failed_requests) < 5%", False, "0.1 (1 of 10 requests)"),
        ("share(failed_attempts) == 10%", True, "0.1 (1 of 10 attempts)"),
        ("count(failed_requests) == 1", True, "1 requests"),
        ("share(stale_requests, outcome=200) == 0", True, "0 (0 of 9 requests)"),
        ("regressions == 0", True, "0 (0 rows)"),
        ("count(regressions) == 0", True, "0"),
        # every row
        ("cds_time == 1s", True, "1s in all of 2 rows"),
        ("boot_time <= 50ms", True, "40ms to 50ms in all of 2 rows"),
        ("boot_time < 50ms", False, "50ms in 1 of 2 rows"),
        ("time_to_ready < 5s", False, "never in 1 of 2 rows"),
        ("time_to_ready, proxy_id=p0 < 5s", True, "4.06s"),
        ("workers_after_cds, proxy_id=p0 == 4s", True, "4s"),
        ("startups.outcome != exited", True, "live, initializing in all of 2 rows"),
        ("startups.outcome == live", False, "initializing in 1 of 2 rows"),
        ("startups.t_ready_ns, proxy_id=p1 == null", True, "null"),
        ("startups.t_ready_ns != null", False, "null in 1 of 2 rows"),
        ("traffic.outcome != 503", True, "200, UH in all of 2 rows"),
        ("traffic.outcome, stale=false == 200", True, "200"),
        ("traffic.stale == false", False, "true in 1 of 2 rows"),
        ("messages.bytes >= 25", False, "20 in 1 of 4 rows"),
    ],
)
def test_verdicts_on_the_small_run(result: Result, text: str, met: bool, actual: str) -> None:
    outcome = verdict(text, result)
    assert (outcome.met, outcome.actual) == (met, actual)
    assert outcome.text == text


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("startups.timed_out == 0", True),
        ("sum(messages.bytes) == 0", True),
        ("count(messages) == 0", True),
        ("count(active_delay, kind=cds) == 0", True),
        ("count(traffic) == 0", True),
        ("p99(active_delay) < 2s", False),
        ("mean(time_to_ready) < 2s", False),
        ("max(startups.t_ready_ns) < 2s", False),
        ("max(convergence) < 2s", False),
        ("max(staleness) < 2s", False),
        ("share(outcome) == 1", False),
        ("share(traffic, outcome=200) == 1", False),
        ("time_to_ready < 2s", False),
        ("startups.outcome == live", False),
    ],
)
def test_over_no_rows_only_a_count_can_be_met(empty_result: Result, text: str, met: bool) -> None:
    outcome = verdict(text, empty_result)
    assert outcome.met is met
    assert outcome.rows == 0
    assert met or outcome.actual == "no rows"


def test_an_outcome_says_how_many_rows_it_looked_at(result: Result) -> None:
    assert verdict("max(active_delay, kind=cds) < 2s", result).rows == 4
    assert verdict("cds_time == 1s", result).rows == 2


def test_a_superseded_change_that_came_to_decide_traffic_counts_as_good(recorder: Recorder) -> None:
    recorder.delivery_rows[4].t_active_ns = None
    assert not verdict("share(outcome, name=c1, proxy_id=p0) == 1", Result.from_recorder(recorder, {})).met
    recorder.delivery_rows[4].t_active_ns = 3 * S
    assert verdict("share(outcome, name=c1, proxy_id=p0) == 1", Result.from_recorder(recorder, {})).met


def test_equality_of_times_is_exact_to_the_nanosecond() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    recorder.startup(0, 0, "start", 0).t_ready_ns = 4 * S + 1
    result = Result.from_recorder(recorder, {})
    assert not verdict("time_to_ready == 4s", result).met
    assert verdict("time_to_ready != 4s", result).met
    assert verdict("time_to_ready == 4000000001ns", result).met


def test_a_share_of_everything_is_one_however_the_floats_add_up() -> None:
    recorder = Recorder(["p0"], messages=False, states=False)
    for index in range(1000):
        recorder.traffic(index, index + 1, 0, "l0", "200", False, 0.1, 0.1)
        recorder.traffic(index, index + 1, 0, "l0", "UH", False, 1.0, 0.0)
    assert verdict("share(traffic) == 1", Result.from_recorder(recorder, {})).met


def test_verdicts_see_deliveries_that_are_not_kept(recorder: Recorder) -> None:
    recorder.keeps_deliveries = False
    expectations = [parse_expectation("count(active_delay) == 6")]
    result = Result.from_recorder(recorder, {}, expectations)
    assert result.deliveries.empty
    assert result.expectations == [Outcome("count(active_delay) == 6", True, "6", 6)]
    assert result.met
    assert result.summary().loc["active_delay", "n"] == 6


def test_changes_before_the_warm_up_are_not_held_against_the_run(recorder: Recorder) -> None:
    result = Result.from_recorder(recorder, {"scenario": {"warm_up": "1500ms"}})
    assert verdict("count(deliveries) == 4", result).met
    assert verdict("count(changes) == 2", result).met


@dataclass(frozen=True, slots=True)
class Written:
    """An expectation that the parser of scenarios would refuse."""

    stat: str | None
    metric: str
    filters: tuple[tuple[str, object], ...]
    op: str
    literal: object
    text: str = "as written"


@pytest.mark.parametrize(
    ("expectation", "reason"),
    [
        (Written("max", "activ_delay", (), "<", 2.0), "did you mean 'active_delay'"),
        (Written("max", "active_delay", (("colour", "red"),), "<", 2.0), "no column 'colour'"),
        (Written("mean", "outcome", (), "<", 2.0), "is text, not a number"),
        (Written("max", "messages", (), "<", 2.0), "is a table"),
        (Written(None, "startups.outcome", (), "<", 2.0), "only be compared by == and !="),
        (Written(None, "time_to_ready", (), "<", "soon"), "only be compared by == and !="),
        (Written("share", "convergence", (), "==", 1.0), "no share"),
        (Written("share", "messages", (), "==", 1.0), "says which"),
        (Written("share", "messages.bytes", (), "==", 1.0), "says which"),
    ],
)
def test_what_cannot_be_evaluated_is_not_met_and_says_why(
    result: Result, expectation: Written, reason: str
) -> None:
    outcome = evaluate(expectation, result)
    assert not outcome.met
    assert reason in outcome.actual
