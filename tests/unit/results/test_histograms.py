"""A histogram reads back what was put in within its documented error, and merges without loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.results.histograms import RELATIVE_ERROR, Histogram

SAMPLES = st.lists(st.one_of(st.just(0.0), st.just(np.inf), st.floats(1e-9, 1e9)), min_size=1, max_size=50)


@given(SAMPLES)
def test_every_sample_is_read_back_within_the_error(samples: list[float]) -> None:
    histogram = Histogram.of(np.array(samples))
    read = np.repeat(histogram.values(), histogram.counts)
    for before, after in zip(sorted(samples), read, strict=True):
        assert after == before if before in (0, np.inf) else abs(after - before) <= RELATIVE_ERROR * before


@given(SAMPLES, SAMPLES)
def test_merged_histograms_are_the_histogram_of_all_samples(first: list[float], second: list[float]) -> None:
    merged = Histogram.merged([Histogram.of(np.array(first)), Histogram.of(np.array(second))])
    whole = Histogram.of(np.array(first + second))
    assert merged.buckets.tolist() == whole.buckets.tolist()
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.values().tolist() == whole.values().tolist()


def test_the_error_is_the_one_that_is_documented() -> None:
    values = np.geomspace(1e-6, 1e3, 100_001)
    worst = np.max(np.abs(np.repeat(*_read(values)) - values) / values)
    assert pytest.approx(0.0039, rel=0.01) == RELATIVE_ERROR
    assert 0.9 * RELATIVE_ERROR < worst <= RELATIVE_ERROR


def _read(values):
    histogram = Histogram.of(values)
    return histogram.values(), histogram.counts


def test_the_smallest_and_the_largest_sample_are_exact() -> None:
    histogram = Histogram.of(np.array([0.1234567, 5.0, 98.7654321]))
    assert histogram.values()[[0, -1]].tolist() == pytest.approx([0.1234567, 98.7654321], rel=RELATIVE_ERROR)
    assert (histogram.low, histogram.high) == (0.1234567, 98.7654321)
    assert Histogram.of(np.array([0.3])).values().tolist() == [0.3]
