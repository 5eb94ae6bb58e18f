"""Comparisons: the same changes and random numbers on both sides, and what that is worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import simulator as xs
from simulator.cli.experiment_tables import print_comparison
from tests.many import mesh, tiny
from tests.playing import scenario


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


def slow_link(mean: str) -> xs.Scenario:
    """Two pushes over a link so slow that some of it does not arrive in the run; nothing times out."""
    return scenario(
        duration="2s",
        timeout="0s",
        network={"latency": {"exponential": {"mean": mean}}},
        pushes=[
            {"at": "700ms", "type": "eds", "change": ["c0"]},
            {"at": "800ms", "type": "rds", "change": ["r0"]},
        ],
    )


@pytest.fixture(scope="module")
def links() -> Any:
    over = {"soon": slow_link("5ms"), "late": slow_link("200ms"), "later": slow_link("600ms")}
    return xs.compare(over, replications=6, executor="serial")


@pytest.mark.filterwarnings("error")
def test_what_never_ends_in_some_replications_makes_the_difference_infinite_and_is_counted(
    links: Any,
) -> None:
    differences = links.paired("late", "soon")
    mean, median = (differences.loc[("active_delay", stat)] for stat in ("mean", "p50"))
    each = [links.samples_of(name) for name in links.runs.query("variant == 'late'")["fingerprint"]]
    endless = sum(math.isinf(one["active_delay"].mean) for one in each)
    assert 0 < endless < 6
    assert (mean["difference"], mean["ratio"], mean["not_finite"]) == (math.inf, math.inf, endless)
    assert mean["note"] == f"not finite in {endless} of 6 replications"
    assert math.isnan(mean["correlation"])
    assert math.isnan(mean["ci_low"])
    # More than half of the deliveries came to an end, but no interval says that they always do.
    assert 0 < median["ci_low"] < median["difference"] < median["ci_high"] == math.inf
    finite = differences.loc[("xds_bytes", "mean")]
    assert (finite["not_finite"], finite["note"]) == (0, "")
    assert math.isfinite(finite["ci_high"])
    assert links.paired("soon", "late").loc[("active_delay", "mean"), "difference"] == -math.inf
    assert links.paired("soon", "late").loc[("active_delay", "mean"), "ratio"] == 0


@pytest.mark.filterwarnings("error")
def test_two_infinite_means_have_no_difference_and_all_of_it_is_said(links: Any) -> None:
    line = links.paired("later", "late").loc[("active_delay", "mean")]
    assert line["a"] == line["b"] == math.inf
    assert math.isnan(line["difference"])
    assert line["note"] == "not finite in 6 of 6 replications"


@pytest.mark.filterwarnings("error")
def test_the_printed_rows_say_infinite_or_not_finite_and_never_nan(
    links: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(links, tmp_path, [])
    printed = capsys.readouterr().out
    rows = [line.split("  ") for line in printed.splitlines() if line.strip().startswith("active_delay  ")]
    told = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    mean, median, _ = told[:3]
    assert mean[2] == "+∞"
    assert mean[3].startswith("not finite in ")
    assert mean[4:] == ["∞", "-", "-"]
    assert median[3].endswith(".. +∞")
    assert "no correlation is told then" in printed
    assert "nan" not in printed.lower()
