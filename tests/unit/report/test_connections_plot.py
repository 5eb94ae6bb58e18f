"""Which replica holds how many connections: the table that is recorded, and its figure."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.clock import S
from simulator.recording import Recorder
from simulator.report import look, plots
from simulator.results.result import Result


def result_of(events, *, proxies=4, duration="60s", keep=True):
    """A run of events (seconds, proxy, replica, what happened), as they were recorded."""
    names = [f"p{i}" for i in range(proxies)]
    recorder = Recorder(names, messages=False, states=False, queues=keep)
    for seconds, proxy, replica, event in events:
        recorder.connection(int(seconds * S), proxy, replica, event)
    return Result.from_recorder(recorder, {"name": "drawn", "scenario": {"duration": duration}})


def drawn(result):
    return plots.connections(result, ax=look.figure(5))


def title(ax):
    return ax.get_title("left").replace("\n", " ")


START = [(0, proxy, proxy % 2, "opened") for proxy in range(4)]
STORM = [
    *START,
    (10, 0, 0, "closed"),
    (10, 2, 0, "closed"),
    (11, 0, 1, "opened"),
    (12, 2, 1, "turned_away"),
    (20, 2, 1, "opened"),
]


def test_the_table_holds_every_event_in_the_order_of_time():
    table = result_of([STORM[-1], *STORM[:-1]]).connections
    assert list(table.columns) == ["t_ns", "proxy_id", "replica", "event"]
    assert table["t_ns"].tolist() == sorted(at * S for at, *_ in STORM)
    last = table.iloc[-1]
    assert (last["t_ns"], last["proxy_id"], last["replica"], last["event"]) == (20 * S, "p2", 1, "opened")


def test_what_was_open_before_the_run_is_open_from_its_begin():
    assert result_of([(-1, 0, 0, "opened")]).connections["t_ns"].tolist() == [0]


def test_each_replica_has_a_line_that_steps_as_its_streams_open_and_close():
    ax = drawn(result_of(STORM))
    lost, took = ax.lines
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["istiod-0", "istiod-1"]
    assert {line.get_drawstyle() for line in (lost, took)} == {"steps-post"}
    instants = (5, 10.5, 15, 25, 60)  # whoever is turned away is not connected
    for line, held in ((lost, [2, 0, 0, 0, 0]), (took, [2, 2, 3, 4, 4])):
        at, open_ = line.get_data()
        assert [open_[np.searchsorted(at, instant, side="right") - 1] for instant in instants] == held
    assert ax.get_xlim() == (0, 60)


def test_the_title_names_the_replica_that_holds_all_and_what_the_run_opened():
    ax = drawn(result_of(STORM))
    assert title(ax) == "In the end all 4 connections are at istiod-1"
    (detail,) = [text.get_text() for text in ax.texts]
    assert detail == "2 connections opened during the run, 1 attempts turned away by the limit"


@pytest.mark.parametrize(
    ("events", "finding"),
    [
        (
            [*START, (5, 0, 0, "closed"), (5, 0, 1, "opened")],
            "istiod-1 holds 75 % of 4 connections, istiod-0 25 %",
        ),
        ([*START, *((5, proxy, proxy % 2, "closed") for proxy in range(4))], "nobody is connected"),
    ],
)
def test_the_title_says_how_shares_ended(events, finding):
    assert title(drawn(result_of(events))) == f"In the end {finding}"


def test_a_long_run_is_drawn_in_minutes():
    ax = drawn(result_of(START, duration="80m"))
    assert ax.get_xlim() == (0, 80)
    assert ax.get_xlabel().endswith("(min)")


def test_without_the_table_the_figure_says_that_it_was_not_recorded():
    assert title(drawn(result_of(START, keep=False))) == "No connection to show"
