"""Expectations: what each part means, and what is refused."""

from __future__ import annotations

import pytest

from simulator.scenario.expectation import ExpectationProblem, parse_expectation


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
