"""Comparisons: the same changes and random numbers on both sides, and what that is worth."""

from __future__ import annotations

import math

import pytest

import simulator as xs
from tests.many import mesh, tiny


def test_variants_are_named_scenarios_or_values() -> None:
    named = xs.compare({"short": tiny(), "long": tiny(duration="3s")}, replications=1, executor="serial")
    assert named.variants == ["short", "long"]
    over = xs.compare(
        tiny(), {"duration": ["1s", "2s"], "propagation.protocol": ["sotw", "delta"]}, replications=1,
        executor="serial",
    )  # fmt: skip
    assert over.variants == ["1s, sotw", "1s, delta", "2s, sotw", "2s, delta"]
    both = xs.compare(
        {"a": tiny(), "b": tiny(name="b")}, {"duration": ["1s"]}, replications=1, executor="serial"
    )
    assert both.variants == ["a: 1s", "b: 1s"]


def test_one_variant_is_nothing_to_compare() -> None:
    with pytest.raises(xs.ExperimentError, match="two variants"):
        xs.compare(tiny(), executor="serial")


def test_the_same_variant_twice_differs_in_nothing() -> None:
    twice = xs.compare({"a": tiny(), "b": tiny()}, replications=4, executor="serial")
    assert twice.runs["digest"].nunique() == 4
    differences = twice.paired("a", "b")
    assert (differences["difference"] == 0).all()
    assert (differences["ci_low"] == 0).all()
    assert (differences["ci_high"] == 0).all()
    assert (differences["ratio"] == 1).all() or (differences["b"] == 0).any()
    line = differences.loc[("active_delay", "mean")]
    assert line["correlation"] == pytest.approx(1)
    assert line["unpaired_low"] < 0 < line["unpaired_high"]


def test_the_table_has_latency_staleness_and_cost_of_each() -> None:
    compared = xs.compare(
        tiny(), {"propagation.protocol": ["sotw", "delta"]}, replications=3, executor="serial"
    )
    table = compared.table()
    assert table.index.tolist() == ["sotw", "delta"]
    assert {"p50", "p99", "mean_low", "mean_high", "staleness", "xds_messages", "xds_bytes_high",
            "control_plane_cpu", "pending", "runs"} <= set(table.columns)  # fmt: skip
    assert table["runs"].tolist() == [3, 3]


def test_variants_that_met_different_changes_are_told_of() -> None:
    fewer = tiny(pushes=[{"at": "200ms", "type": "eds", "change": ["c0"]}])
    compared = xs.compare({"two": tiny(), "one": fewer}, replications=2, executor="serial")
    assert "different changes" in compared.paired("two", "one")["note"].iloc[0]


def test_an_unknown_variant_names_those_there_are() -> None:
    compared = xs.compare({"a": tiny(), "b": tiny()}, replications=1, executor="serial")
    with pytest.raises(KeyError, match="a, b"):
        compared.paired("a", "c")


@pytest.mark.slow
@pytest.mark.parametrize(
    "over",
    [{"control_plane.debounce.after": ["100ms", "150ms"]}, {"propagation.protocol": ["sotw", "delta"]}],
    ids=["debounce", "protocol"],
)
def test_pairing_narrows_the_interval_between_two_of_a_kind(over) -> None:
    compared = xs.compare(mesh(), over, replications=12, executor="processes:2")
    first, second = compared.variants
    line = compared.paired(second, first, metrics=["active_delay"]).loc[("active_delay", "mean")]
    assert line["ci_high"] - line["ci_low"] < line["unpaired_high"] - line["unpaired_low"]
    assert line["correlation"] > 0
    assert compared.runs["timeline"].nunique() == 12


@pytest.mark.slow
def test_push_against_poll_tells_ratio_and_correlation_whatever_they_are() -> None:
    scenario = mesh(propagation={"refresh_delay": "1s"})
    compared = xs.compare(
        scenario, {"propagation.strategy": ["push", "poll"]}, replications=8, executor="serial"
    )
    line = compared.paired("poll", "push").loc[("active_delay", "mean")]
    assert line["ratio"] > 3
    assert -1 <= line["correlation"] <= 1
    assert not line["note"]
    assert math.isfinite(line["ci_low"])
