"""Figures of experiments say in their titles what they show, and keep to what the numbers support."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.report import look, plots
from simulator.report.plots.sweep_axes import value_label
from simulator.results.comparison import Comparison
from simulator.results.experiment import ExperimentCell
from simulator.results.records import RunRecord
from simulator.results.samples import Samples
from simulator.results.sweep import Sweep


def experiment(kind, cells, values, *, failed=()):
    """Cells (label -> varied), and per label a list of replications: metric -> samples."""
    records, samples, made = [], {}, []
    for index, (label, varied) in enumerate(cells.items()):
        made.append(ExperimentCell(index, label, varied))
        for replication, metrics in enumerate(values[label]):
            name = f"{index}-{replication}"
            samples[name] = {metric: Samples.of(np.array(found, float)) for metric, found in metrics.items()}
            row = {"error": None, "timeline": f"t{replication}", "digest": name, "unmet": ""}
            row |= {f"{metric}.mean": float(np.mean(found)) for metric, found in metrics.items()}
            row |= {
                metric: float(found[0])
                for metric, found in metrics.items()
                if metric.startswith(("xds", "push"))
            }
            record = RunRecord(name, replication, row, samples[name])
            if (label, replication) in failed:
                record = RunRecord.of_error(name, replication, "boom")
            records.append((index, 1, record))
    return kind.from_records({"name": "x", "kind": kind.kind, "seed": 1}, made, records, samples.__getitem__)


def compared(**more):
    values = {
        "push": [{"active_delay": [0.1, 0.11, 0.12], "xds_messages": [100 + r]} for r in range(4)],
        "poll": [{"active_delay": [1.0, 2.0, 3.0 + r / 10], "xds_messages": [400 + r]} for r in range(4)],
    }
    return experiment(Comparison, {"push": {"s": "push"}, "poll": {"s": "poll"}}, values, **more)


def swept(delays, key="control_plane.debounce.after"):
    """Mean delay by value of the key, three replications."""
    cells = {text: {key: text} for text in delays}
    values = {
        text: [{"active_delay": [delay, delay + r / 1000], "push_rounds": [10.0]} for r in range(3)]
        for text, delay in delays.items()
    }
    return experiment(Sweep, cells, values)


def title(ax):
    return ax.get_title("left").replace("\n", " ")


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_a_comparison_is_titled_by_the_fastest_and_the_slowest():
    ax = plots.comparison_cdf(compared(), ax=look.figure(5))
    assert title(ax) == (
        "push is fastest: half within 110 ms, 99 % within 120 ms; poll takes 2.00 s and 3.29 s"
    )
    assert "4 replications" in words(ax)[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["push", "poll"]
    assert len(ax.collections) == 2  # the bands


def test_who_is_first_by_the_median_is_not_the_fastest_where_another_has_the_better_tail():
    values = {"eager": [{"active_delay": [0.1] * 10 + [5.0] * 8}], "even": [{"active_delay": [2.5] * 18}]}
    made = experiment(Comparison, {"eager": {"s": "eager"}, "even": {"s": "even"}}, values)
    ax = plots.comparison_cdf(made, ax=look.figure(5))
    assert title(ax) == "Half: eager is first, 100 ms (even 2.50 s); 99 %: even, 2.50 s (eager 5.00 s)"


def test_variants_with_equal_medians_are_told_apart_by_their_tails():
    values = {"a": [{"active_delay": [1.0, 1.0, 3.0]}], "b": [{"active_delay": [1.0, 1.0, 1.0]}]}
    cells = {"a": {"s": "a"}, "b": {"s": "b"}}
    ax = plots.comparison_cdf(experiment(Comparison, cells, values), ax=look.figure(5))
    assert title(ax).startswith(
        "b is fastest: half within 1.00 s, 99 % within 1.00 s; a takes 1.00 s and 2.9"
    )
    alike = dict.fromkeys(cells, values["b"])
    ax = plots.comparison_cdf(experiment(Comparison, cells, alike), ax=look.figure(5))
    assert title(ax) == "All alike: half within 1.00 s, 99 % within 1.00 s"


def test_what_never_came_keeps_the_curve_below_one():
    values = {"a": [{"active_delay": [0.1, math.inf]}] * 2}
    ax = plots.comparison_cdf(experiment(Comparison, {"a": {}}, values), ax=look.figure(5))
    assert max(ax.lines[0].get_ydata()) == 0.5
    assert title(ax).startswith("Half within ∞; 50 % never")


def test_paired_differences_are_shares_of_the_baseline():
    ax = plots.paired_differences(compared(), "poll", "push", ax=look.figure(5))
    assert title(ax).startswith("poll has 1.9")
    assert "more active_delay mean than push" in title(ax)
    assert ax.get_xlabel() == "poll - push, as a share of push"
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "active_delay mean"


def test_the_front_has_those_nobody_beats():
    ax = plots.pareto(compared(), ax=look.figure(5))
    assert title(ax) == "push has the smallest xds_messages and the smallest active_delay"
    cheap = compared()
    ax = plots.pareto(cheap, x="mean(active_delay)", y="xds_messages", ax=look.figure(5))
    assert {"push", "poll"} <= set(words(ax))
    with pytest.raises(ValueError, match="unknown statistic"):
        plots.pareto(cheap, x="best(active_delay)")


def test_every_point_lies_within_linear_axes_that_begin_at_zero():
    ax = plots.pareto(compared(), x="mean(active_delay)", y="xds_messages", ax=look.figure(5))
    points = [line for line in ax.lines if line.get_marker() == "o"]
    drawn = [("x", ax.get_xscale(), ax.get_xlim()), ("y", ax.get_yscale(), ax.get_ylim())]
    linear = [(way, limits) for way, scale, limits in drawn if scale == "linear"]
    assert points
    assert linear
    for way, (low, high) in linear:
        assert low == 0
        for point in points:
            (at,) = point.get_xdata() if way == "x" else point.get_ydata()
            assert low <= at <= high


def test_a_sweep_over_one_key_is_a_line_with_its_best_value_in_the_title():
    sweep = swept({"10ms": 0.4, "100ms": 0.2, "1s": 1.0})
    ax = sweep.plot("active_delay", "mean", ax=look.figure(5))
    assert title(ax).startswith("mean of active_delay is smallest, 20")
    assert "at control_plane.debounce.after = 100ms" in title(ax)
    assert ax.get_xscale() == "log"
    with pytest.raises(KeyError, match="does not vary"):
        plots.sweep_lines(sweep, x="mesh.proxies")


def test_several_statistics_of_a_sweep_are_a_line_each():
    sweep = swept({"10ms": 0.4, "100ms": 0.2, "1s": 1.0})
    ax = plots.sweep_lines(sweep, stat=["p50", "p99"], ax=look.figure(5))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["p50", "p99"]
    assert ax.get_ylabel() == "p50, p99 of active_delay"


def test_a_figure_takes_the_finding_of_its_study_and_keeps_what_it_shows():
    ax = swept({"10ms": 0.4, "1s": 1.0}).plot("active_delay", "mean", ax=look.figure(5))
    (detail,) = words(ax)
    plots.headline(ax, "Shorter is better")
    assert (title(ax), words(ax)) == ("Shorter is better", [detail])
    plots.headline(ax, "Shorter is better", "in three runs")
    assert words(ax) == ["in three runs"]


def test_a_sweep_over_two_keys_is_a_map_and_failed_cells_say_so():
    cells = {f"{a}, {b}": {"a": a, "b": b} for a in ("1", "2") for b in ("x", "y")}
    values = {label: [{"active_delay": [0.1 * (place + 1)] * 200}] for place, label in enumerate(cells)}
    sweep = experiment(Sweep, cells, values, failed=[("2, y", 0)])
    ax = sweep.plot("active_delay", "p50", ax=look.figure(5))
    assert title(ax) == "p50 of active_delay is smallest, 100 ms, at a = 1, b = x"
    assert sorted(words(ax)[:4]) == ["100 ms", "200 ms", "300 ms", "failed"]
    lines = sweep.plot("active_delay", "p50", x="a", ax=look.figure(5))
    assert [text.get_text() for text in lines.get_legend().get_texts()] == ["b = x", "b = y"]


def design(points):
    """(debounce, cpu, delay) of each point of a design."""
    cells = {f"{n}": {"after": after, "cpu": cpu} for n, (after, cpu, _) in enumerate(points)}
    values = {f"{n}": [{"active_delay": [delay]}] * 2 for n, (_, _, delay) in enumerate(points)}
    made = experiment(Sweep, cells, values)
    made.manifest["design"] = "lhs"
    return made


POINTS = [("30ms", "4", 0.3), ("10ms", "1", 0.1), ("90ms", "2", 0.9), ("60ms", "3", 0.6)]


def test_points_of_a_design_stand_over_the_key_that_they_follow():
    ax = design(POINTS).plot(ax=look.figure(5))
    assert title(ax) == "p99 of active_delay follows after: 100 ms to 900 ms"
    assert "after +1.00, cpu +0.20" in words(ax)[0]
    assert [float(line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "o"] == [
        0.03, 0.01, 0.09, 0.06
    ]  # fmt: skip
    ax = design(POINTS).plot(x="cpu", ax=look.figure(5))
    assert title(ax).startswith("p99 of active_delay hardly follows cpu")
    with pytest.raises(KeyError, match="does not vary"):
        plots.sweep_points(design(POINTS), x="memory")


def test_a_map_is_empty_where_nothing_was_played_and_designs_have_no_steps():
    made = design(POINTS)
    ax = plots.sweep_heatmap(made, ax=look.figure(5))
    assert sorted(words(ax))[:4] == ["100 ms", "300 ms", "600 ms", "900 ms"]
    assert "failed" not in words(ax)
    assert len(made.steps()) == 0
    cells = {"a": {"after": "1ms"}, "b": {"after": "2ms"}}
    one = experiment(Sweep, cells, {name: [{"active_delay": [1.0]}] * 2 for name in cells})
    assert len(one.steps()) == 1
    one.manifest["design"] = "sobol"
    assert len(one.steps()) == 0


def test_names_of_points_that_coincide_do_not():
    values = {name: [{"active_delay": [0.1], "xds_messages": [100.0]}] for name in ("push", "twin", "third")}
    made = experiment(Comparison, {name: {"s": name} for name in values}, values)
    ax = plots.pareto(made, ax=look.figure(5))
    ups = [text.xyann[1] for text in ax.texts if text.get_text() in values]
    assert len(ups) == len(set(ups)) == 3


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [(1.234e6, "B", "1.23 MB"), (12.0, "B", "12 B"), (12.0, "count", "12"), (0.25, "s", "250 ms")],
)
def test_values_have_their_unit(value, unit, told):
    assert value_label(value, unit) == told


def test_the_debounce_curve_marks_its_smallest_mean_and_its_cliff():
    ax = plots.debounce_curve(swept({"20ms": 0.5, "50ms": 0.3, "90ms": 0.4, "110ms": 6.0}), ax=look.figure(5))
    assert title(ax) == "Smallest mean delay, 300 ms, at 50ms; from 90ms to 110ms it jumps to 6.00 s"
    without = plots.debounce_curve(swept({"20ms": 0.1, "200ms": 1.0}), ax=look.figure(5))
    assert title(without) == "Smallest mean delay, 100 ms, at 20ms"
    with pytest.raises(KeyError, match=r"must vary control_plane\.debounce\.after"):
        plots.debounce_curve(swept({"1": 0.1}, key="mesh.proxies"))


@pytest.mark.parametrize(
    "draw",
    [
        plots.comparison_cdf,
        plots.pareto,
        plots.sweep_lines,
        plots.debounce_curve,
    ],
)
def test_an_experiment_in_which_everything_failed_is_a_figure_that_says_so(draw):
    cells = {"1s": {"control_plane.debounce.after": "1s"}}
    values = {"1s": [{"active_delay": [1.0]}]}
    ax = draw(experiment(Sweep, cells, values, failed=[("1s", 0)]), ax=look.figure(5))
    assert any("failed" in text for text in words(ax))
