"""Quantities, percentages and versions as Kubernetes and Istio write them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from simulator.scenario.kubernetes_quantities import (
    Auto,
    Bytes,
    Cpu,
    Number,
    PortionValue,
    Probability,
    written_percentage,
)
from simulator.scenario.quantities import Marker, Whole
from simulator.workload.entries import Portion


@pytest.mark.parametrize(
    ("marker", "given", "value", "written"),
    [
        (Cpu(), 2, 2.0, 2),
        (Cpu(), 1.5, 1.5, "1500m"),
        (Cpu(), "500m", 0.5, "500m"),
        (Cpu(), "2", 2.0, 2),
        (Cpu(), "0.1m", 0.001, "1m"),
        (Bytes(), "64Ki", 65536, "64Ki"),
        (Bytes(), "1M", 1_000_000, 1_000_000),
        (Bytes(per_second=True), "1.5Gi/s", 3 * 2**29, "1536Mi"),
        (Bytes(), 1024, 1024, "1Ki"),
        (Probability(), "0.1%", 0.001, 0.001),
        (Probability(), 0.25, 0.25, 0.25),
        (Probability(), 1, 1.0, 1.0),
        (PortionValue(), 3, Portion(count=3), 3),
        (PortionValue(), "25%", Portion(share=Fraction(1, 4)), "25%"),
        (PortionValue(), "12.5%", Portion(share=Fraction(1, 8)), "12.5%"),
        (Number(100), 12.5, 12.5, 12.5),
        (Auto(Whole(1, 9)), "auto", "auto", "auto"),
        (Auto(Whole(1, 9)), 4, 4, 4),
        (Auto(Whole(1, 9), nothing=True), "none", None, "none"),
        (Auto(Cpu()), "500m", 0.5, "500m"),
    ],
)
def test_what_is_written_is_read_and_written_again(
    marker: Marker, given: Any, value: Any, written: Any
) -> None:
    assert marker.read(given) == value
    assert marker.written(value) == written
    assert marker.read(written) == value


@pytest.mark.parametrize(
    ("marker", "given", "told"),
    [
        (Cpu(), 0, "must be more than 0"),
        (Cpu(), "2Gi", "must be a quantity of CPU, such as 2 or 500m, not the text '2Gi'"),
        (Cpu(), True, "not true"),
        (Cpu(), float("nan"), "must be a quantity of CPU"),
        (Cpu(), 5000, "at most 1024 cores"),
        (Bytes(), "1Gi/s", "must be a quantity of bytes, such as 64Ki or 1M"),
        (Bytes(per_second=True), "fast", "such as 1Gi or 100M (bytes a second)"),
        (Bytes(), 0, "from 1 byte"),
        (Bytes(), 1.5, "not the number 1.5"),
        (Probability(), "101%", "from 0% to 100%"),
        (Probability(), -0.1, "must be from 0 to 1"),
        (Probability(), float("nan"), "must be"),
        (Probability(), "often", "such as 0.1%"),
        (PortionValue(), "120%", "must be at most 100%"),
        (PortionValue(low=1), 0, "must be from 1 to"),
        (PortionValue(), 0.25, "or a percentage such as 25%, not the number 0.25"),
        (PortionValue(), True, "not true"),
        (Number(10), "3", "must be a number, not the text '3'"),
        (Number(10), 11, "at most 10"),
        (Auto(Whole(1, 9)), "none", "must be a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_plain_words(marker: Marker, given: Any, told: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        marker.read(given)
    assert told in str(caught.value)


def test_percentages_are_written_without_a_tail_of_binary_digits() -> None:
    assert written_percentage(0.07) == "7%"
    assert written_percentage(Fraction(1, 3)) == "33.333333333%"
