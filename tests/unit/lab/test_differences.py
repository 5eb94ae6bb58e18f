"""What counts as agreement: results are simulated ones, some of them spoilt on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import simulator as xs
from simulator.lab.differences import Row, compare
from simulator.results.result import Result

MS = 1_000_000


@pytest.fixture(scope="module")
def scenario() -> xs.Scenario:
    return xs.Scenario(
        name="case",
        duration="4s",
        envoy={"preset": "envoy", "initial_fetch_timeout": "1s", "drain_time": "1s"},
        propagation={"protocol": "sotw"},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 2}, "listeners": {"count": 1}},
            "answers": {"eds": {"omit": ["c1"]}},
            "pushes": [
                {"at": "2s", "type": "cds", "change": ["c0"]},
                {"at": "2.5s", "type": "eds", "send": ["c0"]},
            ],
        },
    )


@pytest.fixture(scope="module")
def simulated(scenario: xs.Scenario) -> Result:
    return xs.run(scenario)


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def spoilt(result: Result, **tables: Spoil) -> Result:
    """A copy with some of its tables changed."""
    changed: dict[str, Any] = dict(result.tables)
    for name, spoil in tables.items():
        changed[name] = spoil(result.tables[name].copy())
    return Result(changed, result.manifest, expectations=result.expectations)


def differing(rows: list[Row]) -> list[str]:
    return [row.rule for row in rows if not row.is_met]


def later(after_ms: int, by_ms: int) -> Spoil:
    """Everything after an instant comes later."""

    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        is_later = table.t_ns > after_ms * MS
        table.loc[is_later, "t_ns"] += by_ms * MS
        return table

    return spoil


def swapped(first: int, second: int) -> Spoil:
    """Two messages change places, each at the other's time."""

    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        order = list(range(len(table)))
        order[first], order[second] = order[second], order[first]
        times = table.t_ns.to_numpy().copy()
        table = table.iloc[order].reset_index(drop=True)
        table["t_ns"] = times
        return table

    return spoil


def position(result: Result, direction: str, type_: str, nth: int = 0) -> int:
    rows = result.messages
    return int(rows.index[(rows.direction == direction) & (rows.type == type_)][nth])


def test_a_result_agrees_with_itself(scenario: xs.Scenario, simulated: Result) -> None:
    assert differing(compare(scenario, simulated, [simulated])) == []


def test_a_slow_process_start_is_no_difference(scenario: xs.Scenario, simulated: Result) -> None:
    instants = [c for c in simulated.startups.columns if c.endswith("_ns") and c != "t_started_ns"]

    def all_later(table: pd.DataFrame) -> pd.DataFrame:
        table[instants] = table[instants] + 300 * MS
        return table

    slow = spoilt(simulated, startups=all_later, messages=later(0, 300), states=later(0, 300))
    assert differing(compare(scenario, simulated, [slow])) == []


def test_a_push_that_is_answered_late_is_a_difference(scenario: xs.Scenario, simulated: Result) -> None:
    ack = position(simulated, "request", "cds", 2)

    def late_ack(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[ack, "t_ns"] += 400 * MS
        return table.sort_values("t_ns", ignore_index=True)

    assert "messages cds" in differing(compare(scenario, simulated, [spoilt(simulated, messages=late_ack)]))


def test_a_missing_message_is_a_difference(scenario: xs.Scenario, simulated: Result) -> None:
    ack = position(simulated, "request", "cds", 1)
    without = spoilt(simulated, messages=lambda table: table.drop(index=ack))
    assert "messages cds" in differing(compare(scenario, simulated, [without]))


def test_an_ack_and_the_next_response_may_cross(scenario: xs.Scenario, simulated: Result) -> None:
    ack, response = position(simulated, "request", "cds", 1), position(simulated, "response", "eds")
    assert response == ack + 1, "they are neighbours"

    rows = compare(scenario, simulated, [spoilt(simulated, messages=swapped(ack, response))])

    assert differing(rows) == []
    assert [row.verdict for row in rows if row.rule == "order"] == ["race"]


def test_two_requests_in_another_order_are_a_difference(scenario: xs.Scenario, simulated: Result) -> None:
    request, ack = position(simulated, "request", "eds"), position(simulated, "request", "cds", 1)
    assert ack == request + 1, "they are neighbours"

    one = spoilt(simulated, messages=swapped(request, ack))

    assert differing(compare(scenario, simulated, [one])) == ["order"]


def test_what_the_measurement_shows_in_both_orders_is_a_race(
    scenario: xs.Scenario, simulated: Result
) -> None:
    request, ack = position(simulated, "request", "eds"), position(simulated, "request", "cds", 1)
    one = spoilt(simulated, messages=swapped(request, ack))

    rows = compare(scenario, simulated, [one, simulated])

    assert differing(rows) == []
    assert "both orders measured" in next(row.note for row in rows if row.rule == "order")


def test_another_count_of_fetch_timeouts_is_a_difference(scenario: xs.Scenario, simulated: Result) -> None:
    other = spoilt(simulated, startups=lambda table: table.assign(fetch_timeouts='{"eds": 2}'))
    assert differing(compare(scenario, simulated, [other])) == ["fetch timeouts"]


def test_one_spoilt_run_of_three_does_not_matter(scenario: xs.Scenario, simulated: Result) -> None:
    other = spoilt(simulated, startups=lambda table: table.assign(fetch_timeouts='{"eds": 2}'))
    assert differing(compare(scenario, simulated, [other, simulated, simulated])) == []


# --- streams that come back in a random order


@pytest.fixture(scope="module")
def refused() -> xs.Scenario:
    """Refused for 1.5 s, each stream comes back in its own time; CDS is waited for no longer by then."""
    return xs.Scenario(
        name="case",
        duration="4s",
        envoy={"preset": "envoy", "initial_fetch_timeout": "1150ms"},
        propagation={"streams": "separate", "backoff": {"base": "20ms", "max": "40ms"}},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}},
            "connect": {"refuse_until": "1500ms"},
        },
        recording={"messages": True, "states": True},
    )


@pytest.fixture(scope="module")
def early_and_late(refused: xs.Scenario) -> tuple[Result, Result]:
    """One in which the cluster warms during start-up, and one in which workers run by then."""
    found: dict[bool, Result] = {}
    for seed in range(1, 40):
        result = xs.run(refused, seed=seed)
        started_ns = result.startups.t_workers_started_ns.iloc[0]
        warmed_ns = result.states[(result.states.name == "c0") & (result.states.state == "WARMING")].t_ns
        found.setdefault(bool(warmed_ns.min() > started_ns), result)
    return found[False], found[True]


def states_of(result: Result, other: Result) -> Result:
    """A result with the states of another."""
    return spoilt(result, states=lambda table: other.tables["states"])


def test_a_cluster_may_warm_behind_the_workers_start_if_its_stream_came_back_later(
    refused: xs.Scenario, early_and_late: tuple[Result, Result]
) -> None:
    for simulated, measured in (early_and_late, early_and_late[::-1]):
        rows = compare(refused, simulated, [measured])
        assert differing(rows) == []
        assert [row.verdict for row in rows if row.rule == "cluster c0"] == ["race"]


def test_a_cluster_that_warms_behind_the_workers_start_is_a_difference_if_no_stream_came_later(
    refused: xs.Scenario, early_and_late: tuple[Result, Result]
) -> None:
    early, late = early_and_late
    assert "cluster c0" in differing(compare(refused, early, [states_of(early, late)]))
    assert "cluster c0" in differing(compare(refused, late, [states_of(late, early)]))


def test_a_cluster_that_warms_later_and_never_serves_is_a_difference(
    refused: xs.Scenario, early_and_late: tuple[Result, Result]
) -> None:
    early, late = early_and_late
    stuck = spoilt(late, states=lambda table: table[(table.name != "c0") | (table.state != "ACTIVE")])
    assert "cluster c0" in differing(compare(refused, early, [stuck]))


def test_of_several_runs_only_those_in_which_streams_changed_places_are_excused(
    refused: xs.Scenario, early_and_late: tuple[Result, Result]
) -> None:
    early, late = early_and_late
    wrong = states_of(early, late)
    assert "cluster c0" in differing(compare(refused, early, [late, wrong, wrong]))
    assert "cluster c0" not in differing(compare(refused, early, [late, late, wrong]))


# --- polls


@pytest.fixture(scope="module")
def polled() -> xs.Scenario:
    return xs.Scenario(
        name="case",
        duration="6s",
        envoy={"preset": "envoy", "initial_fetch_timeout": "1s"},
        propagation={"strategy": "poll", "refresh_delay": "100ms"},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}},
            "answers": {"rds": [{"reject": "decode"}]},
            "pushes": [{"at": "3s", "type": "cds", "add": ["c1"]}],
        },
        recording={"messages": True, "states": True},
    )


def test_polls_are_compared_to_the_end_however_often_envoy_asks(polled: xs.Scenario) -> None:
    """What is asked and answered again, a rejected answer for instance, goes on until the end."""
    simulated = xs.run(polled)
    assert differing(compare(polled, simulated, [simulated])) == []

    deaf = spoilt(simulated, messages=lambda table: table[table.t_ns < 3000 * MS])
    cold = spoilt(simulated, states=lambda table: table[table.name != "c1"])

    assert differing(compare(polled, simulated, [deaf])) == ["answers cds", "answers eds"]
    assert differing(compare(polled, simulated, [cold])) == ["cluster c1"]


# --- traffic


def test_a_play_in_which_nobody_asked_is_a_difference() -> None:
    asked = xs.Scenario(
        name="case",
        duration="4s",
        envoy={"preset": "envoy"},
        control_plane={
            "kind": "scripted",
            "resources": {"clusters": {"count": 1}, "listeners": {"count": 1}},
        },
        workload=[{"traffic": {"to": "l0", "rate": "100/s"}}],
    )
    simulated = xs.run(asked)
    assert differing(compare(asked, simulated, [simulated])) == []

    silent = spoilt(simulated, traffic=lambda table: table[:0])

    assert differing(compare(asked, simulated, [silent])) == ["requests to l0"]
