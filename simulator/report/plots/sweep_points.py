"""A statistic at the points of a design, which are scattered and make no grid."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.report import look
from simulator.report.plots.sweep_axes import KeyAxis, log_ticks, value_label
from simulator.results.statistics import Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.estimates import Estimate
    from simulator.results.experiment import Experiment

__all__ = ["HEIGHT", "sweep_points"]

HEIGHT: Final = 5.0
_LOG_FROM: Final = 20
_MOST_TICKS: Final = 8


def sweep_points(
    experiment: Experiment,
    metric: str | None = None,
    stat: str = "p99",
    x: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a statistic of one metric at every point over one key, with 95 % intervals; the other keys are
    somewhere else at each point, and what they do is the scatter.

    `x` is by default the key that the statistic follows best: by the correlation of ranks. Returns the axes,
    those given or those of a new figure. Raises KeyError for a key that does not vary.
    """
    ax = look.own_axes(ax, HEIGHT)
    chosen = experiment.headline_metric() if metric is None else metric
    if x is not None and x not in experiment.keys:
        raise KeyError(f"{x} does not vary here; {', '.join(experiment.keys) or 'nothing'} does")
    points = [(cell.varied, experiment.estimate(cell.index, chosen, stat)) for cell in experiment.cells]
    points = [(varied, found) for varied, found in points if math.isfinite(found.value)]
    if not points:
        return look.blank(
            ax, f"{stat} of {chosen} is nowhere finite", "Every run failed, or something never ended."
        )
    values = [found.value for _, found in points]
    axes = {key: KeyAxis.of(key, [varied[key] for varied, _ in points]) for key in experiment.keys}
    follows = {
        key: _rank_correlation([axis.at(varied[key]) for varied, _ in points], values)
        for key, axis in axes.items()
    }
    key = max(follows, key=lambda name: abs(follows[name])) if x is None else x
    _draw(ax, axes[key], [(varied[key], found) for varied, found in points])
    _horizontal(ax, axes[key])
    unit = experiment.unit(chosen)
    look.frame(ax)
    ax.grid(axis="y", color=look.GRID, linewidth=0.8)
    if min(values) > 0 and max(values) >= _LOG_FROM * min(values):
        log_ticks(ax, "y")
    else:
        ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda at, _: value_label(at, unit))
    ax.set_ylabel(look.literal(f"{stat} of {chosen}"), fontsize=9, color=look.INK)
    told = ", ".join(
        f"{name} {follows[name]:+.2f}" for name in sorted(follows, key=lambda it: -abs(follows[it]))
    )
    word = "follows" if abs(follows[key]) >= 0.5 else "hardly follows"
    look.headline(
        ax,
        look.literal(
            f"{stat} of {chosen} {word} {key}: {value_label(min(values), unit)} to "
            f"{value_label(max(values), unit)}"
        ),
        look.literal(f"{len(points):,} points of a design; correlation of ranks: {told}"),
    )
    return ax


def _draw(ax: Axes, axis: KeyAxis, points: list[tuple[str, Estimate]]) -> None:
    colour = look.SERIES_COLOURS[0]
    for text, found in points:
        at = axis.at(text)
        if math.isfinite(found.low) and math.isfinite(found.high):
            ax.plot([at, at], [found.low, found.high], color=colour, linewidth=4, alpha=0.3, zorder=2)
        ax.plot(at, found.value, marker="o", color=colour, zorder=3)


def _horizontal(ax: Axes, axis: KeyAxis) -> None:
    """The values of the key; where they are many, those nearest to evenly spaced ones."""
    axis.label_horizontal(ax)
    if len(axis.texts) > _MOST_TICKS:
        places = np.array(axis.numbers)
        scaled = np.log(places) if axis.is_log else places
        wanted = np.linspace(scaled[0], scaled[-1], _MOST_TICKS)
        shown = list(dict.fromkeys(int(np.abs(scaled - at).argmin()) for at in wanted))
        ax.set_xticks([places[n] for n in shown], [look.literal(axis.texts[n]) for n in shown])


def _rank_correlation(first: list[float], second: list[float]) -> float:
    """Spearman's; 0 where one side does not vary."""
    a, b = (_ranks(np.array(side)) for side in (first, second))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Values) -> Values:
    """Of equal values the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Values = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks
