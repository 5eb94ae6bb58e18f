import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.clock import MS, NS, US, DurationError, S, format_duration, parse_duration

MINUTE, HOUR = 60 * S, 3600 * S


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0s", 0),
        ("5s", 5 * S),
        ("+5s", 5 * S),
        ("-5s", -5 * S),
        ("-0s", 0),
        ("100ms", 100 * MS),
        ("1m30s", 90 * S),
        ("1h15m30.918273645s", HOUR + 15 * MINUTE + 30_918_273_645),
        ("10us", 10 * US),
        ("10µs", 10 * US),  # U+00B5, the micro sign
        ("10μs", 10 * US),  # U+03BC, the Greek letter
        ("12ns", 12 * NS),
        (".5s", S // 2),
        ("5.s", 5 * S),
        ("-1.5h", -HOUR * 3 // 2),
        ("39h9m14.425s", 39 * HOUR + 9 * MINUTE + 14_425 * MS),
        ("1s1s", 2 * S),  # Go adds repeated units up
        ("0.3333333333333333333h", 1_199_999_999_999),  # fractions of a ns are cut off
        ("1.9ns", 1),
        ("9007199254.740993s", 9_007_199_254_740_993_000),  # a float would end in 992
        ("9223372036854775807ns", 2**63 - 1),
    ],
)
def test_go_durations_parse_exactly(text: str, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write a number and a unit"),
        ("-", "write a number and a unit"),
        (".", "write a number and a unit"),
        (".s", "write a number and a unit"),
        ("s", "write a number and a unit"),
        ("--5s", "write a number and a unit"),
        ("0", "missing unit in duration '0': write 0s"),
        ("30", "missing unit in duration '30': write 30s"),
        ("1.2.3s", "missing unit"),
        ("1m30", "missing unit"),
        ("5 s", "unknown unit ' s'"),
        (" 5s", "write a number and a unit"),
        ("5s ", "unknown unit 's '"),
        ("1d", "the units are h, m, s, ms, us, ns"),
        ("5S", "unknown unit 'S'"),
        ("5s-3s", "unknown unit"),
        ("1e3s", "unknown unit 'e'"),
        ("٣s", "write a number and a unit"),  # a digit, but not one of Go's
        ("9223372036854775808ns", "longer than int64"),
        ("300000000h", "longer than int64"),
        ("9" * 100_000 + "s", "100001 characters"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(DurationError, match=says):
        parse_duration(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1us"),
        (250 * US, "250us"),
        (2_200 * US, "2.2ms"),
        (1500 * MS, "1.5s"),
        (90 * S, "1m30s"),
        (MINUTE, "1m0s"),
        (HOUR, "1h0m0s"),
        (HOUR + 3 * MS, "1h0m0.003s"),
        (5 * MINUTE + 5_001 * MS, "5m5.001s"),
        (8 * MINUTE + 1, "8m0.000000001s"),
        (999_999_999, "999.999999ms"),
        (-90 * S, "-1m30s"),
        (2**63 - 1, "2562047h47m16.854775807s"),
    ],
)
def test_durations_print_as_go_prints_them(ns: int, text: str) -> None:
    assert format_duration(ns) == text


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_a_printed_duration_parses_to_itself(ns: int) -> None:
    assert parse_duration(format_duration(ns)) == ns


@given(st.text(alphabet="0123456789.+-hmsunµμ٣½ \t\n\0_eE", max_size=12))
def test_any_text_is_a_duration_or_a_duration_error(text: str) -> None:
    try:
        ns = parse_duration(text)
    except DurationError:
        return
    assert parse_duration(format_duration(ns)) == ns
