"""A statistic over one key of a sweep, with its intervals; one line for each value of the other keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.lines import Line2D
from matplotlib.markers import CARETUPBASE

from simulator.report import look
from simulator.report.plots.sweep_axes import KeyAxis, log_ticks, value_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.estimates import Estimate
    from simulator.results.experiment import Experiment

__all__ = ["HEIGHT", "sweep_lines"]

HEIGHT: Final = 5.0
_LOG_FROM: Final = 30
"""Values that span this factor or more stand on a logarithmic axis."""


def sweep_lines(
    experiment: Experiment,
    metric: str | None = None,
    stat: str | Sequence[str] = "p99",
    x: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a statistic of one metric, or several, over the values of key `x`, with 95 % intervals.

    `x` is the first key if not given. Where the other keys have more combinations than colours, the first
    ones are drawn. Returns the axes, those given or those of a new figure. Raises KeyError for a key that
    does not vary.
    """
    ax = look.own_axes(ax, HEIGHT)
    chosen = experiment.headline_metric() if metric is None else metric
    key = experiment.keys[0] if x is None else x
    if key not in experiment.keys:
        raise KeyError(f"{key} does not vary here; {', '.join(experiment.keys) or 'nothing'} does")
    stats = (stat,) if isinstance(stat, str) else tuple(stat)
    lines: dict[str, list[tuple[str, Estimate]]] = {}
    for cell in experiment.cells:
        others = ", ".join(f"{name} = {value}" for name, value in cell.varied.items() if name != key)
        for each in stats:
            label = others if len(stats) == 1 else ", ".join(filter(None, (each, others)))
            found = experiment.estimate(cell.index, chosen, each)
            lines.setdefault(label, []).append((cell.varied[key], found))
    stat = ", ".join(stats)
    drawn = dict(list(lines.items())[: len(look.SERIES_COLOURS)])
    known = [estimate for line in drawn.values() for _, estimate in line if math.isfinite(estimate.value)]
    if not known:
        return look.blank(
            ax, f"{stat} of {chosen} is nowhere finite", "Every run failed, or something never ended."
        )
    axis = KeyAxis.of(key, [text for line in drawn.values() for text, _ in line])
    entries = []
    for (others, line), colour in zip(drawn.items(), look.SERIES_COLOURS, strict=False):
        _draw(ax, axis, line, colour)
        if others:
            entries.append(Line2D([], [], color=colour, marker="o", linewidth=2, label=look.literal(others)))
    axis.label_horizontal(ax)
    unit = experiment.unit(chosen)
    _vertical(ax, known, f"{stat} of {chosen}", unit)
    look.legend(ax, entries)
    look.headline(
        ax, look.literal(_finding(drawn, key, chosen, stat, unit)), f"{stat} of {chosen}; {_band(known)}"
    )
    return ax


def _band(found: list[Estimate]) -> str:
    """What the bars are, and why some have no end."""
    if all(math.isnan(estimate.low) for estimate in found):
        several = max(estimate.units for estimate in found) > 1
        return "without intervals" if several else "one run a point, so no intervals"
    unbounded = any(math.isinf(estimate.high) for estimate in found)
    return "bars: 95 % confidence intervals" + ("; arrows: too few samples to bound it above" * unbounded)


def _draw(ax: Axes, axis: KeyAxis, line: list[tuple[str, Estimate]], colour: str) -> None:
    points = sorted((axis.at(text), estimate.value, estimate) for text, estimate in line)
    ax.plot(
        [at for at, _, _ in points],
        [value for _, value, _ in points],
        color=colour,
        linewidth=2,
        marker="o",
        zorder=3,
    )
    for at, value, estimate in points:
        if math.isfinite(value) and not math.isnan(estimate.low):
            high = estimate.high if math.isfinite(estimate.high) else value
            ax.plot(
                [at, at],
                [estimate.low, high],
                color=colour,
                linewidth=5,
                alpha=0.3,
                solid_capstyle="butt",
                zorder=2,
            )
            if not math.isfinite(estimate.high):
                ax.plot(at, value, marker=CARETUPBASE, color=colour, markersize=9, zorder=4)


def _vertical(ax: Axes, found: list[Estimate], what: str, unit: str) -> None:
    values = [estimate.value for estimate in found if estimate.value > 0]
    look.frame(ax)
    ax.grid(axis="y", color=look.GRID, linewidth=0.8)
    if values and max(values) >= _LOG_FROM * min(values):
        log_ticks(ax, "y")
    else:
        ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda at, _: value_label(at, unit))
    ax.set_ylabel(look.literal(what), fontsize=9, color=look.INK)


def _finding(
    lines: dict[str, list[tuple[str, Estimate]]], key: str, metric: str, stat: str, unit: str
) -> str:
    every = [(estimate.value, text, others) for others, line in lines.items() for text, estimate in line]
    best, worst = min(every), max(every)
    if best[0] == worst[0]:
        return f"{stat} of {metric} does not depend on {key}"
    place = f"{key} = {best[1]}" + (f", {best[2]}" if best[2] else "")
    told = f"{stat} of {metric} is smallest, {value_label(best[0], unit)}, at {place}"
    return f"{told}; at worst {value_label(worst[0], unit)}"
