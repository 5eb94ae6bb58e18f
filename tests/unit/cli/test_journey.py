"""What is printed about changes: when the proxies have them, where the time goes, what they break."""

import io
import re

import pytest
from rich.console import Console

from simulator.cli import journey
from simulator.engine.clock import MS, S
from simulator.recording import Recorder
from simulator.results.result import Result

STAGES = ("observed", "debounced", "enqueued", "dequeued", "sent", "received", "applied", "active")


@pytest.fixture
def recorder():
    """Ten proxies get two changes: one by one within 1 s, and all but the last after 200 ms."""
    recorder = Recorder([f"p{i}" for i in range(10)], messages=False, states=False)
    for change, kind in enumerate(("VirtualService", "Endpoints")):
        t_ns = (change + 1) * 10 * S
        recorder.change(kind, f"{kind.lower()}-0", t_ns, 10)
        for proxy in range(10):
            row = recorder.delivery(change, proxy, t_ns)
            for name in STAGES[:3]:
                setattr(row, f"t_{name}_ns", t_ns + 100 * MS)
            turn_ns = t_ns + (100 * (proxy + 1) if change == 0 else 200) * MS
            if change == 0 or proxy < 9:
                for name in (*STAGES[3:], "acked"):
                    setattr(row, f"t_{name}_ns", turn_ns)
                row.outcome = "active"
    return recorder


def printed(what, recorder, warm_up="0s"):
    console = Console(width=120, file=io.StringIO(), markup=False, highlight=False)
    what(console, Result.from_recorder(recorder, {"scenario": {"warm_up": warm_up}}))
    return console.file.getvalue()


def row(text, label):
    (line,) = [line for line in text.splitlines() if line.strip().startswith(label)]
    return re.split(r"  +", line.strip())


def test_it_says_how_long_until_50_90_99_and_100_percent_received_acked_and_use_a_change(recorder):
    text = printed(journey.print_convergence, recorder)
    assert row(text, "50 %") == ["50 %", "90 %", "99 %", "100 %", "never"]
    for label in ("received", "ACKed", "active"):
        assert row(text, label) == [label, "200 ms", "900 ms", "∞", "∞", "1"]
    assert "20 pairs" in text
    assert "(2 changes)" in text


def test_changes_before_the_warm_up_are_left_out(recorder):
    text = printed(journey.print_convergence, recorder, warm_up="15s")
    assert row(text, "active") == ["active", "200 ms", "200 ms", "∞", "∞", "1"]
    assert "(1 change)" in text


def test_where_a_share_of_few_proxies_is_not_the_percentile_of_that_number_it_says_so():
    said = "a share is there with the last of its pairs; a percentile may lie between two"
    for delays, is_said in (((100, 200), True), ((200, 200), False)):
        recorder = Recorder(["p0", "p1"], messages=False, states=False)
        recorder.change("cds", "c0", 0, 2)
        for proxy, delay in enumerate(delays):
            delivery = recorder.delivery(0, proxy, 0)
            delivery.outcome = "active"
            delivery.t_received_ns = delivery.t_acked_ns = delivery.t_active_ns = delay * MS
        text = printed(journey.print_convergence, recorder)
        assert row(text, "active")[1] == f"{delays[0]} ms"
        assert (said in text) == is_said


@pytest.mark.parametrize(
    ("delays", "told"), [((100, 200), "150 ms"), ((100, 150, None), "150 ms"), ((100, None), "∞")]
)
def test_the_median_of_a_kind_of_change_is_that_of_all_of_them_and_what_never_came_is_infinite(delays, told):
    recorder = Recorder(["p0"], messages=False, states=False)
    for number in range(journey.CHANGES_AT_MOST + 1):
        delay = delays[number % len(delays)] if number < 12 else delays[0]
        kind = "cds" if number < 12 else "eds"
        delivery = recorder.delivery(recorder.change(kind, f"c{number}", 0, 1), 0, 0)
        delivery.outcome = "pending" if delay is None else "active"
        delivery.t_active_ns = None if delay is None else delay * MS
    assert row(printed(journey.print_deliveries, recorder), "cds")[-1] == told


def test_it_says_where_the_time_goes_and_leaves_out_stages_that_took_none(recorder):
    text = printed(journey.print_stages, recorder)
    assert row(text, "watch") == ["watch", "100 ms", "100 ms*", "26 %"]
    assert row(text, "push queue") == ["push queue", "100 ms", "882 ms*", "74 %"]
    assert "debounce" not in text
    assert row(text, "changed to active") == ["changed to active", "200 ms", "982 ms*"]
    assert "too few samples" in text


def test_each_change_is_told_by_the_share_of_proxies_that_use_it(recorder):
    text = printed(journey.print_deliveries, recorder)
    assert row(text, "VirtualService") == [
        "VirtualService virtualservice-0", "10.0 s", "10", "-", "500 ms", "900 ms", "1.00 s", "1.00 s",
    ]  # fmt: skip
    assert row(text, "Endpoints")[2:] == ["9", "1", "200 ms", "200 ms", "∞", "∞"]


def test_many_changes_are_told_by_kind(recorder):
    for index in range(journey.CHANGES_AT_MOST):
        recorder.delivery(recorder.change("Secret", f"secret-{index}", 30 * S, 1), 0, 30 * S)
    text = printed(journey.print_deliveries, recorder)
    assert row(text, "Secret") == ["Secret", "12", "-", "12", "∞", "∞", "∞", "∞"]


def test_with_every_outcome_kinds_and_headings_are_still_whole(recorder):
    for number, outcome in enumerate(("superseded", "rejected", "disconnected", "pending") * 3):
        change = recorder.change("RequestAuthentication", f"a{number}", 50 * S, 1)
        recorder.delivery(change, 0, 50 * S).outcome = outcome
    text = printed(journey.print_deliveries, recorder)
    assert "…" not in text
    assert row(text, "RequestAuthentication")[:7] == ["RequestAuthentication", "12", "-", "3", "3", "3", "3"]


def test_failed_and_stale_requests_are_told_with_the_attempts_that_retries_saved(recorder):
    recorder.traffic(0, S, 0, "s0", "200", False, 95.0, 97.0)
    recorder.traffic(0, S, 0, "s0", "200", True, 2.0, 2.0)
    recorder.traffic(0, S, 0, "s0", "UF", True, 5.0, 1.0)
    assert printed(journey.print_requests, recorder).split("\n") == [
        "",
        "1 of 100 requests failed (1 %: 1 UF); 2 more were served stale. Before retries, 5 attempts failed.",
        "",
    ]


def test_content_that_went_backwards_is_told(recorder):
    for proxy in (3, 3, 4):
        recorder.regression(5 * S, proxy, 1, 0, "cds")
    assert "3 times a proxy was given older content than it had (2 proxies)." in printed(
        journey.print_requests, recorder
    )


def test_a_run_without_changes_and_requests_says_nothing_of_them():
    nothing = Recorder(["p0"], messages=False, states=False)
    for what in (
        journey.print_convergence,
        journey.print_stages,
        journey.print_requests,
        journey.print_deliveries,
    ):
        assert printed(what, nothing) == ""
