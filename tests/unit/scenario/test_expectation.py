"""Expectations: what each part means, and what is refused."""

from __future__ import annotations

import pytest

import simulator as xs
from simulator.scenario.expectation import Condition, ExpectationProblem, parse_expectation
from simulator.scenario.problems import ScenarioError


@pytest.mark.parametrize(
    ("text", "stat", "metric", "filters", "op", "literal"),
    [
        ("p99(active_delay) < 2s", "p99", "active_delay", (), "<", 2.0),
        ("p99.9(active_delay)<=1m30s", "p99.9", "active_delay", (), "<=", 90.0),
        ("share(outcome, kind=cds) == 1", "share", "outcome", (("kind", "cds"),), "==", 1.0),
        ("share(outcome) >= 99.5%", "share", "outcome", (), ">=", 0.995),
        ("startups.timed_out == 0", None, "startups.timed_out", (), "==", 0.0),
        ("timed_out, type=eds == 0", None, "timed_out", (("type", "eds"),), "==", 0.0),
        ("time_to_ready > 30s", None, "time_to_ready", (), ">", 30.0),
        ("startups.outcome == live", None, "startups.outcome", (), "==", "live"),
        ("startups.outcome != 'initializing'", None, "startups.outcome", (), "!=", "initializing"),
        ("startups.t_ready_ns == null", None, "startups.t_ready_ns", (), "==", None),
        ("count(messages, type=cds, direction=request) == 2", "count", "messages",
         (("type", "cds"), ("direction", "request")), "==", 2.0),
        ("max(messages.bytes) < 1e6", "max", "messages.bytes", (), "<", 1e6),
        ("traffic.stale == false", None, "traffic.stale", (), "==", False),
    ],
)  # fmt: skip
def test_each_form_is_read(
    text: str, stat: str | None, metric: str, filters: tuple[tuple[str, str], ...], op: str, literal: object
) -> None:
    found = parse_expectation(text)
    assert (found.stat, found.metric, found.filters, found.op, found.literal) == (
        stat,
        metric,
        filters,
        op,
        literal,
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p99(activ_delay) < 2s", "did you mean 'active_delay'"),
        ("p101(active_delay) < 2s", "unknown statistic 'p101'"),
        ("p100(active_delay) < 2s", "write max"),
        ("meen(active_delay) < 2s", "unknown statistic 'meen'; did you mean 'mean'?"),
        ("p99(active_delay) = 2s", "'=' is no comparison: write =="),
        ("p99(active_delay)", "compares nothing"),
        ("", "compares nothing"),
        ("p99(active_delay < 2s", "compares nothing"),
        ("p99(active_delay)) < 2s", "compares nothing"),
        ("p99() < 2s", "names no metric"),
        ("p99(active_delay) <", "nothing to compare with"),
        ("p99(active_delay) < 2 s", "is no number, duration, percentage or word"),
        ("p99(active_delay) < fast", "is a time: compare it with a duration, not with the text 'fast'"),
        ("max(messages.bytes) < many", "cannot be compared with the text 'many'"),
        ("startups.outcome < live", "only numbers and durations have an order"),
        ("time_to_ready == live", "is a time: compare it with a duration"),
        ("count(messages) < 5s", "is no time"),
        ("share(outcome) > 99", "a share lies between 0 and 1"),
        ("count(messages, typ=cds) == 2", "messages has no column 'typ'; did you mean 'type'?"),
        ("count(messages, cds) == 2", "'cds' does not narrow anything: write column=value"),
        ("2s > p99(active_delay)", "'2s' is not the name of a metric"),
        ("x" * 600, "longer than 500 characters"),
    ],
)
def test_a_mistake_is_told_in_plain_words(text: str, told: str) -> None:
    with pytest.raises(ExpectationProblem) as caught:
        parse_expectation(text)
    assert told in str(caught.value)


def test_a_condition_says_when_an_expectation_is_asked_about() -> None:
    found = parse_expectation("p50(active_delay) < 1s if propagation.strategy is push or long-poll")
    assert (found.stat, found.metric, found.literal) == ("p50", "active_delay", 1.0)
    assert found.condition is not None
    assert found.condition.holds({"propagation": {"strategy": "long-poll"}})
    assert not found.condition.holds({"propagation": {"strategy": "poll"}})


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (None, "none"), (2.0, "2"), (0.5, "0.5"), ("10s", "10s"), (3, "3")]
)
def test_a_condition_compares_values_as_a_file_writes_them(value: object, text: str) -> None:
    assert Condition("a.b", (text,)).holds({"a": {"b": value}})


def test_only_expectations_whose_conditions_hold_are_asked_of_a_run() -> None:
    lines = ["count(changes) == 0", "count(changes) == 7 if propagation.strategy is poll"]
    scenario = xs.Scenario(duration="1s", mesh={"proxies": 1}, control_plane={"kind": "istiod"}, expect=lines)
    assert [outcome.text for outcome in xs.run(scenario).expectations] == lines[:1]
    polled = xs.run(scenario.with_(**{"propagation.strategy": "poll"}))
    assert [outcome.met for outcome in polled.expectations] == [True, False]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("propagation.stratgy is poll", "unknown key 'propagation.stratgy'; did you mean 'strategy'?"),
        ("propagation is poll", "propagation has no plain value to compare with"),
        ("propagation.strategy.x is poll", "propagation.strategy.x is no path of keys"),
    ],
)
def test_a_condition_on_a_key_that_does_not_exist_is_told(condition: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        xs.Scenario(mesh={"proxies": 1}, expect=[f"count(changes) == 0 if {condition}"])
    assert "expect[0]: if: " in str(caught.value)
    assert told in str(caught.value)
