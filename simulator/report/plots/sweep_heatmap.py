"""A statistic over two keys of a sweep, as a map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import LogNorm, Normalize

from simulator.report import look
from simulator.report.plots.sweep_axes import KeyAxis, value_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.experiment import Experiment

__all__ = ["height", "sweep_heatmap"]

_LOG_FROM: Final = 10
_DARK: Final = 0.55
"""From this share of the scale on, numbers are written in white."""


def height(rows: int) -> float:
    """Inches for so many rows."""
    return 2.2 + 0.5 * max(rows, 2)


def sweep_heatmap(
    experiment: Experiment,
    metric: str | None = None,
    stat: str = "p99",
    x: str | None = None,
    y: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a statistic of one metric over two keys: the first across, the second upwards, or `x` and `y`.

    Cells of keys beyond these two are averaged over nothing: raises KeyError where more than two keys vary,
    or one of those named does not. Returns the axes, those given or those of a new figure.
    """
    chosen = experiment.headline_metric() if metric is None else metric
    across, upwards = _keys(experiment, x, y)
    columns = KeyAxis.of(across, [cell.varied[across] for cell in experiment.cells])
    rows = KeyAxis.of(upwards, [cell.varied[upwards] for cell in experiment.cells])
    ax = look.own_axes(ax, height(len(rows.texts)))
    values = np.full((len(rows.texts), len(columns.texts)), math.nan)
    played = np.full(values.shape, False)
    for cell in experiment.cells:
        place = rows.texts.index(cell.varied[upwards]), columns.texts.index(cell.varied[across])
        values[place] = experiment.estimate(cell.index, chosen, stat).value
        played[place] = True
    finite = values[np.isfinite(values)]
    if not len(finite):
        return look.blank(
            ax, f"{stat} of {chosen} is nowhere finite", "Every run failed, or something never ended."
        )
    unit = experiment.unit(chosen)
    norm = _norm(float(finite.min()), float(finite.max()))
    ax.pcolormesh(
        np.where(np.isfinite(values), values, np.nan),
        cmap="cividis_r",
        norm=norm,
        edgecolors="white",
        linewidth=1.5,
    )
    for (row, column), value in np.ndenumerate(values):
        shade = 0.0 if not math.isfinite(value) else float(norm(value))
        if not played[row, column]:
            continue
        words = "failed" if math.isnan(value) else value_label(value, unit)
        colour = "white" if shade > _DARK else look.INK
        ax.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize=9, color=colour)
    ax.set_xticks(
        [place + 0.5 for place in range(len(columns.texts))], [look.literal(text) for text in columns.texts]
    )
    ax.set_yticks(
        [place + 0.5 for place in range(len(rows.texts))], [look.literal(text) for text in rows.texts]
    )
    look.frame(ax)
    ax.grid(visible=False)
    ax.set_xlabel(look.literal(across), fontsize=9, color=look.INK, loc="left")
    ax.set_ylabel(look.literal(upwards), fontsize=9, color=look.INK)
    best = np.unravel_index(int(np.nanargmin(np.where(np.isfinite(values), values, np.inf))), values.shape)
    finding = (
        f"{stat} of {chosen} is smallest, {value_label(float(values[best]), unit)}, at "
        f"{across} = {columns.texts[int(best[1])]}, {upwards} = {rows.texts[int(best[0])]}"
    )
    runs = int(experiment.runs["replication"].nunique())
    each = "one run" if runs == 1 else f"{runs:,} replications"
    look.headline(ax, look.literal(finding), f"{stat} of {chosen}, {each} a cell; dark is large")
    return ax


def _keys(experiment: Experiment, x: str | None, y: str | None) -> tuple[str, str]:
    keys = experiment.keys
    if len(keys) != 2:
        raise KeyError(f"a map needs two keys that vary; here {', '.join(keys) or 'nothing'} does")
    across = keys[0] if x is None else x
    upwards = next((key for key in keys if key != across), "") if y is None else y
    for key in (across, upwards):
        if key not in keys:
            raise KeyError(f"{key} does not vary here; {', '.join(keys)} do")
    return across, upwards


def _norm(low: float, high: float) -> Normalize:
    if low > 0 and high >= _LOG_FROM * low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1)
