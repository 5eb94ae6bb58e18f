import math

import pytest

from simulator.report.wording import seconds_text, timed_out_text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 s"),
        (999, "999 ns"),
        (1_500, "1.50 µs"),
        (250_000, "250 µs"),
        (12_345_678, "12.3 ms"),
        (999_960_000, "1.00 s"),
        (4_031_000_000, "4.03 s"),
        (30_000_000_000, "30.0 s"),
        (1_234_000_000_000, "1,234 s"),
        (-2_000_000_000, "-2.00 s"),
        (math.inf, "∞"),
    ],
)
def test_times_have_three_figures_and_a_unit(ns, text):
    assert seconds_text(ns) == text


def test_time_outs_are_counted_only_where_there_are_several():
    assert timed_out_text({"eds": 5, "rds": 1}) == "EDS timed out (5), RDS timed out"
    assert timed_out_text({}) == ""
