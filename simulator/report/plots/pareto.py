"""The trade-off: what one thing costs in another, and which variants nobody beats in both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from matplotlib.lines import Line2D

from simulator.report import look
from simulator.report.plots.sweep_axes import log_ticks, value_label
from simulator.results.estimates import parse_statistic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.estimates import Estimate
    from simulator.results.experiment import Experiment

__all__ = ["HEIGHT", "pareto"]

HEIGHT: Final = 5.6
_LOG_FROM: Final = 20
_LETTER: Final = 5.0
"""Width of a letter of a label, in points: about."""
_ROW: Final = 11.0
"""Height of a label, in points."""


def pareto(
    experiment: Experiment, x: str = "xds_messages", y: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw every cell by two statistics, both better when smaller, and the front of those nobody beats.

    `x` and `y` are metrics (their means) or statistics of them, such as ``p99(active_delay)``; `y` is by
    default the median of the delay until active. Crosses are 95 % intervals. Returns the axes, those given or
    those of a new figure. Raises ValueError for a text that is no statistic.
    """
    ax = look.own_axes(ax, HEIGHT)
    (across, x_metric), (upwards, y_metric) = (
        parse_statistic(text) for text in (x, y or f"p50({experiment.headline_metric()})")
    )
    points = []
    for cell in experiment.cells:
        pair = (
            experiment.estimate(cell.index, x_metric, across),
            experiment.estimate(cell.index, y_metric, upwards),
        )
        if all(math.isfinite(estimate.value) for estimate in pair):
            points.append((cell.label, *pair))
    if not points:
        return look.blank(ax, "No variant has both numbers", "Every run failed, or something never ended.")
    front = _front(points)
    ax.plot(
        [x_of.value for _, x_of, _ in front],
        [y_of.value for _, _, y_of in front],
        color=look.PALE,
        linewidth=1.2,
        linestyle=look.DASHES,
        zorder=2,
    )
    for place, (label, x_of, y_of) in enumerate(points):
        colour = look.SERIES_COLOURS[place % len(look.SERIES_COLOURS)]
        is_best = label in [name for name, _, _ in front]
        _cross(ax, x_of, y_of, colour)
        face = colour if is_best else "white"
        ax.plot(
            x_of.value,
            y_of.value,
            marker="o",
            markersize=9,
            color=colour,
            markerfacecolor=face,
            markeredgewidth=2,
            zorder=4,
        )
    _scales(ax, points)
    _labels(ax, points)
    look.frame(ax)
    ax.grid(axis="y", color=look.GRID, linewidth=0.8)
    x_unit, y_unit = experiment.unit(x_metric), experiment.unit(y_metric)
    ax.xaxis.set_major_formatter(lambda at, _: value_label(at, x_unit))
    ax.yaxis.set_major_formatter(lambda at, _: value_label(at, y_unit))
    ax.set_xlabel(look.literal(f"{across} of {x_metric}"), fontsize=9, color=look.INK, loc="left")
    ax.set_ylabel(look.literal(f"{upwards} of {y_metric}"), fontsize=9, color=look.INK)
    look.legend(
        ax,
        [
            Line2D([], [], color=look.INK, marker="o", linestyle="none", label="nobody is better in both"),
            Line2D(
                [],
                [],
                color=look.INK,
                marker="o",
                markerfacecolor="white",
                linestyle="none",
                label="beaten in both",
            ),
        ],
    )
    look.headline(
        ax,
        look.literal(_finding(points, front, x_metric, y_metric)),
        "down and left is better; bars: 95 % confidence intervals",
    )
    return ax


def _front(points: list[tuple[str, Estimate, Estimate]]) -> list[tuple[str, Estimate, Estimate]]:
    """The points that no other is at least as good as in both, and better in one."""
    best = [
        point
        for point in points
        if not any(
            other[1].value <= point[1].value
            and other[2].value <= point[2].value
            and (other[1].value < point[1].value or other[2].value < point[2].value)
            for other in points
        )
    ]
    return sorted(best, key=lambda point: (point[1].value, point[2].value))


def _cross(ax: Axes, x_of: Estimate, y_of: Estimate, colour: str) -> None:
    if math.isfinite(x_of.low) and math.isfinite(x_of.high):
        ax.plot([x_of.low, x_of.high], [y_of.value] * 2, color=colour, linewidth=4, alpha=0.35, zorder=3)
    if math.isfinite(y_of.low) and math.isfinite(y_of.high):
        ax.plot([x_of.value] * 2, [y_of.low, y_of.high], color=colour, linewidth=4, alpha=0.35, zorder=3)


def _scales(ax: Axes, points: list[tuple[str, Estimate, Estimate]]) -> None:
    """Logarithmic where the points span much, otherwise from 0. The points are drawn: the axes span them."""
    ax.margins(x=0.25, y=0.15)
    for axis, place in (("x", 1), ("y", 2)):
        values = [point[place].value for point in points]  # type: ignore[union-attr]
        if min(values) > 0 and max(values) >= _LOG_FROM * min(values):
            log_ticks(ax, axis)
        else:
            # A set limit ends the automatic ones: all there is to draw is drawn.
            getattr(ax, f"set_{axis}lim")(0, getattr(ax, f"get_{axis}lim")()[1])


def _labels(ax: Axes, points: list[tuple[str, Estimate, Estimate]]) -> None:
    """The names of the points, each to the right of its point, higher or lower where another stands there."""
    to_points = 72 / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    taken: list[tuple[float, float, float]] = []
    for label, x_of, y_of in points:
        x, y = ax.transData.transform((x_of.value, y_of.value)) * to_points
        width = len(label) * _LETTER
        up = next(
            step
            for step in (sign * rows * _ROW for rows in range(len(points)) for sign in (1, -1))
            if all(
                abs(y + step - other_y) >= _ROW or x + width < other_x or other_x + other_width < x
                for other_x, other_y, other_width in taken
            )
        )
        taken.append((x, y + up, width))
        look.beside(ax, x_of.value, y_of.value, look.literal(label), up=up)


def _finding(
    points: list[tuple[str, Estimate, Estimate]],
    front: list[tuple[str, Estimate, Estimate]],
    x_metric: str,
    y_metric: str,
) -> str:
    if len(front) == 1:
        return f"{front[0][0]} has the smallest {x_metric} and the smallest {y_metric}"
    cheapest, quickest = front[0][0], front[-1][0]
    told = f"{cheapest} has the smallest {x_metric}, {quickest} the smallest {y_metric}"
    return f"{told}: {len(front)} of {len(points)} are on the front"
