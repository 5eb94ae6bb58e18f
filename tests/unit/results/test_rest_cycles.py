"""A single run has intervals where it came to rest often enough, and says why where it did not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.engine.clock import MS, S
from simulator.engine.draws import Draws
from simulator.recording.recorder import Recorder
from simulator.results.result import Result


def result_of(delays_ms, *, every_ns=S, proxies=3, outcome="active"):
    """One change after another, delivered to every proxy after the change's own delay."""
    recorder = Recorder([f"p{i}" for i in range(proxies)], messages=False, states=False)
    for number, delay in enumerate(delays_ms):
        at_ns = (number + 1) * every_ns
        change = recorder.change("VirtualService", f"v{number}", at_ns, proxies)
        for proxy in range(proxies):
            row = recorder.delivery(change, proxy, at_ns)
            row.t_active_ns, row.outcome = at_ns + round(delay * MS), outcome
    return Result.from_recorder(recorder, {})


DELAYS = 100 + 50 * Draws(3).uniform_array("delay", 0, np.arange(60))


def test_a_run_that_rests_between_its_changes_has_an_interval():
    line = result_of(DELAYS).summary().loc["active_delay"]
    assert line["ci_low"] < line["mean"] < line["ci_high"]
    assert "60 cycles between moments of rest" in line["note"]
    # Three proxies with one delay are no three times as much to go by.
    more = result_of(DELAYS, proxies=30).summary().loc["active_delay"]
    assert more["ci_high"] - more["ci_low"] == pytest.approx(line["ci_high"] - line["ci_low"])
    whole = result_of(DELAYS).summary().loc["convergence"]
    assert (whole["ci_low"], whole["ci_high"]) == pytest.approx((line["ci_low"], line["ci_high"]))


def test_a_run_with_one_push_has_none_and_says_why():
    line = result_of([100]).summary().loc["active_delay"]
    assert math.isnan(line["ci_low"])
    assert line["note"].startswith("no interval: one run is one independent unit, and this one came to rest")
    assert "once only" in line["note"]


def test_changes_that_overlap_are_one_cycle():
    line = result_of(DELAYS, every_ns=20 * MS).summary().loc["active_delay"]
    assert math.isnan(line["ci_low"])
    assert "once only" in line["note"]


def test_a_delay_that_grows_is_no_steady_state():
    line = result_of(range(100, 160)).summary().loc["active_delay"]
    assert math.isnan(line["ci_low"])
    assert "depends on what happened long before" in line["note"]


def test_what_never_ended_ends_no_cycle():
    assert math.isnan(result_of(DELAYS, outcome="pending").summary().loc["active_delay", "ci_low"])
