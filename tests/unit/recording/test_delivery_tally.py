"""Counted spans beside a histogram of the spans themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.recording.buckets import begins_ns, buckets_of, buckets_of_ns, first_bucket
from simulator.recording.delivery_tally import SpanTally
from simulator.results.histograms import Histogram

SPAN = st.one_of(st.integers(0, 300), st.integers(0, 10**7), st.integers(0, 2**61))
SPANS = st.lists(SPAN, min_size=1, max_size=40)


def read(tally: SpanTally, row: int) -> tuple[list[int], list[int]]:
    buckets, counts = tally.buckets(row)
    return buckets.tolist(), counts.tolist()


def expected(spans: list[int]) -> tuple[list[int], list[int]]:
    histogram = Histogram.of(np.array(spans) / 1e9)
    return histogram.buckets.tolist(), histogram.counts.tolist()


@given(SPANS)
def test_the_bucket_of_a_span_of_whole_ns_is_that_of_its_seconds(spans: list[int]) -> None:
    positive = np.array([max(span, 1) for span in spans])
    assert buckets_of_ns(positive).tolist() == buckets_of(positive / 1e9).tolist()


def test_a_bucket_begins_with_the_first_whole_ns_that_falls_into_it() -> None:
    begins, first = begins_ns(), first_bucket()
    numbers = np.arange(len(begins)) + first
    assert (buckets_of(begins / 1e9) >= numbers).all()
    later = begins > 1
    assert (buckets_of((begins[later] - 1) / 1e9) < numbers[later]).all()


@given(SPANS, st.lists(st.integers(0, 2**60), min_size=1, max_size=4))
def test_samples_less_a_number_of_each_row_are_counted_as_the_samples_of_each_row(
    spans: list[int], less: list[int]
) -> None:
    tally, most = SpanTally(), max(less)
    rows = 3 * np.arange(len(less))[::-1]
    tally.add(rows, np.sort(np.array(spans) + most), np.array(less))
    for row, number in zip(rows.tolist(), less, strict=True):
        own = [span + most - number for span in spans]
        assert read(tally, row) == expected(own)
        assert tally.ends_ns(row) == (min(own), max(own))
        assert tally.sum_ns(row) == sum(own)


@given(SPANS, SPANS, SPAN, st.integers(1, 5))
def test_whatever_way_samples_come_they_are_counted_together(
    first: list[int], second: list[int], constant: int, times: int
) -> None:
    tally, rows = SpanTally(), np.array([2, 0])
    tally.add_same(rows, np.sort(first))
    tally.add_constant(rows, np.array([constant, 7]), times)
    tally.add(rows, np.sort(second), np.zeros(2, np.int64))
    assert read(tally, 2) == expected([*first, *second, *[constant] * times])
    assert read(tally, 0) == expected([*first, *second, *[7] * times])
    assert tally.count(2) == len(first) + len(second) + times
    assert tally.count(1) == tally.count(9) == 0


def test_what_never_ended_has_no_largest_and_no_sum() -> None:
    tally = SpanTally()
    tally.add_never(1, 4)
    assert tally.ends_ns(1) == (None, None)
    tally.add_same(np.array([1]), np.array([5, 6]))
    assert read(tally, 1) == expected_with_never([5, 6], 4)
    assert tally.ends_ns(1) == (5, None)
    assert tally.sum_ns(1) is None


def expected_with_never(spans: list[int], never: int) -> tuple[list[int], list[int]]:
    histogram = Histogram.of(np.array([*(s / 1e9 for s in spans), *[np.inf] * never]))
    return histogram.buckets.tolist(), histogram.counts.tolist()
