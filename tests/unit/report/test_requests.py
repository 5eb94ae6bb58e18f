"""Requests are summed and spread over time without losing any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator.engine.clock import S
from simulator.report.delays import distribution, reached_ns
from simulator.report.plots.convergence import MARKS
from simulator.report.requests import harm, harm_text, spread
from simulator.report.wording import count_text, share_text


def test_requests_are_spread_evenly_over_their_interval_and_none_is_lost():
    rows = pd.DataFrame(
        {"t_start_ns": [0, 5 * S, 5 * S], "t_end_ns": [10 * S, 7 * S, 30 * S], "requests": [10.0, 4.0, 25.0]}
    )
    per_bin = spread(rows, np.array([0, 5, 6, 10, 20, 60]) * 1e9)
    assert per_bin.tolist() == pytest.approx([5, 1 + 2 + 1, 4 + 2 + 4, 10, 10])


def test_an_interval_of_no_length_or_no_rows_give_nothing():
    rows = pd.DataFrame({"t_start_ns": [5], "t_end_ns": [5], "requests": [1.0]})
    assert spread(rows, np.array([0.0, 10.0])).tolist() == [0]


def test_harm_sums_final_results_and_keeps_stale_and_attempts_apart(mesh):
    for outcome, stale, attempts, requests in (
        ("200", False, 90, 95),
        ("200", True, 3, 3),
        ("UF", True, 10, 0.5),
        ("NR", False, 1, 1),
        ("UF", False, 0, 0),
    ):
        mesh.recorder.traffic(0, S, 0, "s0", outcome, stale, attempts, requests)
    told = harm(mesh.result())
    assert (told.requests, told.all_failed, dict(told.failed)) == (99.5, 1.5, {"NR": 1.0, "UF": 0.5})
    assert (told.served_stale, told.stale, told.attempts_failed) == (3, 3.5, 11)
    assert harm_text(told) == "1.5 of 100 requests failed (2 %: 1 NR, 0.5 UF); 3 more were served stale"


def test_where_no_request_failed_the_stale_ones_are_not_more_of_them(mesh):
    mesh.recorder.traffic(0, S, 0, "s0", "200", False, 97, 97)
    mesh.recorder.traffic(0, S, 0, "s0", "200", True, 3, 3)
    assert harm_text(harm(mesh.result())) == "None of 100 requests failed; 3 were served stale"


@pytest.mark.parametrize(
    ("delays", "reached"),
    [([3, 1, 2, 4], [2, 4, 4]), ([1], [1, 1, 1]), ([1, np.inf], [1, np.inf, np.inf]), ([5] * 100, [5, 5, 5])],
)
def test_a_share_of_the_proxies_is_reached_when_the_last_of_them_is(delays, reached):
    values = np.array(delays, dtype=float)
    assert [reached_ns(values, share) for share in MARKS] == reached


def test_99_percent_of_a_thousand_proxies_are_990_of_them():
    assert reached_ns(np.arange(1, 1001, dtype=float), MARKS[-1]) == 990


def test_a_distribution_of_many_is_thinned_and_keeps_its_ends():
    at, share = distribution(np.append(np.arange(50_000.0), np.inf))
    assert len(at) == 1000
    assert (at[0], at[-1]) == (0, 49_999)
    assert share[-1] == 50_000 / 50_001


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (12, "12"), (1234.4, "1,234"), (0.354, "0.35"), (9.9951, "10"), (0.001, "< 0.01")],
)
def test_expected_counts_are_short(count, text):
    assert count_text(count) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.5, "50 %"),
        (0.0016, "0.16 %"),
        (0.00001, "< 0.01 %"),
        (0.999999, "> 99.99 %"),
        (0.995, "99.5 %"),
        (0.9995, "99.95 %"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(share, text):
    assert share_text(share) == text
