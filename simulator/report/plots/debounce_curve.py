"""The U-shaped curve of debouncing: too short pushes too often, too long waits, and past a point every change
waits for the maximum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from matplotlib.lines import Line2D

from simulator.report import look
from simulator.report.plots.sweep_axes import KeyAxis, log_ticks, value_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.estimates import Estimate
    from simulator.results.experiment import Experiment

__all__ = ["HEIGHT", "debounce_curve"]

HEIGHT: Final = 5.2
_KEY: Final = "control_plane.debounce.after"
_DELAYS: Final = (
    ("p50", look.SERIES_COLOURS[4]),
    ("mean", look.SERIES_COLOURS[0]),
    ("p99", look.SERIES_COLOURS[1]),
)
_PUSHES: Final = look.SERIES_COLOURS[5]
_CLIFF: Final = 2.0
"""Where the delay grows by this factor more than the debounce time itself, there is a cliff."""


def debounce_curve(experiment: Experiment, key: str = _KEY, ax: Axes | None = None) -> Axes:
    """Draw the delay until active over the debounce time, and in grey on the right how many pushes it costs.

    The smallest mean is marked, and the step at which the delay rises most if that is a cliff. The key must
    be the only one that varies; raises KeyError otherwise. Returns the axes, those given or those of a new
    figure.
    """
    if experiment.keys != [key]:
        raise KeyError(f"the sweep must vary {key} alone, not {', '.join(experiment.keys) or 'nothing'}")
    ax = look.own_axes(ax, HEIGHT)
    metric = experiment.headline_metric()
    axis = KeyAxis.of(key, [cell.varied[key] for cell in experiment.cells])
    cells = sorted(experiment.cells, key=lambda cell: axis.at(cell.varied[key]))
    at = [axis.at(cell.varied[key]) for cell in cells]
    curves = {stat: [experiment.estimate(cell.index, metric, stat) for cell in cells] for stat, _ in _DELAYS}
    if not any(math.isfinite(estimate.value) for estimate in curves["mean"]):
        return look.blank(
            ax, f"The mean of {metric} is nowhere finite", "Every run failed, or something never ended."
        )
    axis.label_horizontal(ax)
    for stat, colour in _DELAYS:
        _curve(ax, at, curves[stat], colour)
    right = ax.twinx()
    pushes = [experiment.estimate(cell.index, "push_rounds").value for cell in cells]
    right.plot(at, pushes, color=_PUSHES, linewidth=1.4, linestyle=look.DASHES, marker=".", zorder=1)
    right.set_ylim(bottom=0)
    right.set_ylabel("push rounds a run", fontsize=9, color=look.PALE)
    right.tick_params(axis="y", labelsize=9, labelcolor=look.PALE, length=0)
    for side in ("top", "left", "right", "bottom"):
        right.spines[side].set_visible(False)
    look.frame(ax)
    ax.grid(axis="y", color=look.GRID, linewidth=0.8)
    values = [estimate.value for curve in curves.values() for estimate in curve if estimate.value > 0]
    if max(values) > 10 * min(values):
        log_ticks(ax, "y")
    else:
        ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: value_label(value, "s"))
    ax.set_ylabel(f"{metric}", fontsize=9, color=look.INK)
    means = [estimate.value for estimate in curves["mean"]]
    best = min(range(len(means)), key=lambda place: means[place])
    cliff = _cliff(at, means)
    ax.plot(
        at[best],
        means[best],
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=look.INK,
        zorder=6,
    )
    if cliff is not None:
        ax.axvspan(at[cliff], at[cliff + 1], color=look.SERIES_COLOURS[3], alpha=0.15, linewidth=0, zorder=0)
    entries = [Line2D([], [], color=colour, linewidth=2, marker="o", label=stat) for stat, colour in _DELAYS]
    entries.append(Line2D([], [], color=_PUSHES, linestyle=look.DASHES, label="push rounds (right)"))
    look.legend(ax, entries)
    texts = [cell.varied[key] for cell in cells]
    look.headline(
        ax,
        _finding(texts, means, best, cliff),
        f"{metric} over {key}; bars: 95 % confidence intervals; circle: smallest mean",
    )
    return ax


def _curve(ax: Axes, at: list[float], curve: list[Estimate], colour: str) -> None:
    ax.plot(at, [estimate.value for estimate in curve], color=colour, linewidth=2, marker="o", zorder=4)
    for x, estimate in zip(at, curve, strict=True):
        if math.isfinite(estimate.low) and math.isfinite(estimate.high):
            ax.plot(
                [x, x],
                [estimate.low, estimate.high],
                color=colour,
                linewidth=5,
                alpha=0.3,
                solid_capstyle="butt",
                zorder=3,
            )


def _cliff(at: list[float], means: list[float]) -> int | None:
    """The step, by its left end, over which the mean rises most beyond the key itself; None where none."""
    steps = [
        (means[place + 1] / means[place] / (at[place + 1] / at[place]), place)
        for place in range(len(means) - 1)
        if means[place] > 0 and at[place] > 0
    ]
    steepest = max(steps, default=(0.0, 0))
    return steepest[1] if steepest[0] > _CLIFF else None


def _finding(texts: list[str], means: list[float], best: int, cliff: int | None) -> str:
    told = f"Smallest mean delay, {value_label(means[best], 's')}, at {texts[best]}"
    if cliff is None:
        return told
    return (
        f"{told}; from {texts[cliff]} to {texts[cliff + 1]} it jumps to {value_label(means[cliff + 1], 's')}"
    )
