"""How long until a change decides traffic, variant beside variant, each with a band from its replications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D

from simulator.report import look
from simulator.report.wording import seconds_text, share_text
from simulator.results.intervals import mean_interval
from simulator.results.samples import Samples
from simulator.results.statistics import Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.experiment import Experiment

__all__ = ["HEIGHT", "comparison_cdf"]

HEIGHT: Final = 5.0
_POINTS: Final = 300
"""Instants at which curve and band are drawn."""
_SINCE: Final = {"active_delay": "the change", "time_to_ready": "process start"}


def comparison_cdf(experiment: Experiment, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw, for each variant, the share of samples that are there within a time, with its 95 % band.

    The band holds at each instant by itself, and comes from the scatter between replications; with one
    replication there is none. What never came stays in the denominator. Of many variants the first eight are
    drawn. Returns the axes, those given or those of a new figure.
    """
    ax = look.own_axes(ax, HEIGHT)
    chosen = experiment.headline_metric() if metric is None else metric
    series = {}
    for cell in experiment.cells[: len(look.SERIES_COLOURS)]:
        units = [unit for unit in experiment.units(cell.index, chosen) if unit.n]
        if units:
            series[cell.label] = (units, Samples.merged(units))
    if not series:
        return look.blank(ax, f"No run has {chosen}", "Every run failed, or no change concerned any proxy.")
    finite = np.concatenate([pooled.values[np.isfinite(pooled.values)] for _, pooled in series.values()])
    since = _SINCE.get(chosen, "its begin")
    size = look.delay_axis(ax, (finite * 1e9).tolist(), since)
    entries = []
    for (label, (units, pooled)), colour in zip(series.items(), look.SERIES_COLOURS, strict=False):
        at = _instants(ax, pooled, size)
        low, high = _band(units, at)
        ax.fill_between(at * 1e9 / size, low, high, color=colour, alpha=0.2, linewidth=0, zorder=2)
        ax.plot(at * 1e9 / size, pooled.share_at_most(at), color=colour, linewidth=2, zorder=3)
        entries.append(Line2D([], [], color=colour, linewidth=2, label=look.literal(label)))
    look.frame(ax)
    look.share_axis(ax, "share of deliveries" if chosen == "active_delay" else "share of samples")
    look.legend(ax, entries)
    look.headline(ax, look.literal(_finding(series)), _subject(experiment, chosen, len(series)))
    return ax


def _instants(ax: Axes, pooled: Samples, size: float) -> Values:
    """Where to draw, in seconds: evenly along the axis, and at the samples themselves where they are few."""
    left, right = ax.get_xlim()
    if ax.get_xscale() == "log":
        even = np.geomspace(left, right, _POINTS)
    else:
        even = np.linspace(max(left, 0.0), right, _POINTS)
    finite = np.unique(pooled.values[np.isfinite(pooled.values)])
    thinned = finite[np.unique(np.linspace(0, len(finite) - 1, min(len(finite), _POINTS)).astype(np.int64))]
    steps = np.concatenate([thinned, np.nextafter(thinned, 0)])
    at: Values = np.unique(np.concatenate([even * size / 1e9, steps]))
    return at[(at * 1e9 / size >= left) & (at * 1e9 / size <= right)]


def _band(units: list[Samples], at: Values) -> tuple[Values, Values]:
    counts = np.array([float(unit.n) for unit in units])
    reached = np.array([unit.count_at_most(at) for unit in units])
    low, high = np.empty(len(at)), np.empty(len(at))
    for place in range(len(at)):
        interval = mean_interval(reached[:, place], counts)
        low[place], high[place] = max(interval.low, 0.0), min(interval.high, 1.0)
    if len(units) < 2:
        low = high = reached.sum(axis=0) / counts.sum()
    return low, high


def _finding(series: dict[str, tuple[list[Samples], Samples]]) -> str:
    """Who is first, by the median and by the 99th percentile: "fastest" is only who is first in both."""
    reached = {label: (pooled.quantile(0.5), pooled.quantile(0.99)) for label, (_, pooled) in series.items()}
    first = min(reached, key=lambda label: reached[label])
    last = max(reached, key=lambda label: reached[label])
    half, most = (seconds_text(seconds * 1e9) for seconds in reached[first])
    if len(series) == 1:
        pooled = series[first][1]
        rest = f"; {share_text(pooled.never / pooled.n)} never" if pooled.never else f", 99 % within {most}"
        return f"Half within {half}{rest}"
    if reached[first] == reached[last]:
        return f"All alike: half within {half}, 99 % within {most}"
    tail = min(reached, key=lambda label: (reached[label][1], label != first))
    if tail == first:
        slow_half, slow_most = (seconds_text(seconds * 1e9) for seconds in reached[last])
        fastest = f"{first} is fastest: half within {half}, 99 % within {most}"
        return f"{fastest}; {last} takes {slow_half} and {slow_most}"
    tail_half, tail_most = (seconds_text(seconds * 1e9) for seconds in reached[tail])
    return f"Half: {first} is first, {half} ({tail} {tail_half}); 99 %: {tail}, {tail_most} ({first} {most})"


def _subject(experiment: Experiment, metric: str, drawn: int) -> str:
    runs = int(experiment.runs["error"].isna().sum())
    more = f"; the first {drawn} of {len(experiment.cells)} variants" if drawn < len(experiment.cells) else ""
    each = runs // max(len(experiment.cells), 1)
    band = "band: 95 % confidence at each instant" if each > 1 else "one run each, so no band"
    return f"{metric}, samples of {each:,} replications each pooled; {band}{more}"
