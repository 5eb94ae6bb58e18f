"""What changes do to requests: how many fail or are decided by what is out of date, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.report import look
from simulator.report.requests import SERVED_STALE, harm, harm_text, spread
from simulator.report.watched import watched_ns

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from simulator.report.requests import Floats
    from simulator.results.result import Result

__all__ = ["HEIGHT", "stale_windows"]

HEIGHT: Final = 4.8
BINS: Final = 600
_ATTEMPTS: Final = "attempts that fail, before retries"


def stale_windows(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the requests per second that fail, by outcome, and those that are served though what decided them
    is out of date, over simulated time.

    A dashed line shows the attempts that fail, where retries save requests. Returns the axes, those given or
    those of a new figure.
    """
    ax = look.own_axes(ax, HEIGHT)
    rows = result.traffic
    if not len(rows):
        return look.blank(
            ax, "No request was sent", "The traffic table is empty: the workload has no traffic."
        )
    end_ns = float(max(watched_ns(result), rows["t_end_ns"].max(), 1000))
    edges = np.linspace(0, end_ns, BINS + 1)
    size = look.time_axis(ax, end_ns, "the run began")
    seconds = np.diff(edges) / 1e9
    is_bad = rows["outcome"] != "200"
    layers = {
        outcome: spread(rows[rows["outcome"] == outcome], edges) / seconds for outcome in harm(result).failed
    }
    layers[SERVED_STALE] = spread(rows[~is_bad & rows["stale"]], edges) / seconds
    layers = {name: rate for name, rate in layers.items() if rate.any()}
    attempts = spread(rows[is_bad], edges, "attempts") / seconds
    entries = _stack(ax, edges / size, layers)
    failed = sum((rate for name, rate in layers.items() if name != SERVED_STALE), np.zeros(BINS))
    if not np.allclose(attempts, failed, rtol=1e-6, atol=0):
        (places,) = np.nonzero(attempts)
        shown = slice(places[0], places[-1] + 1)
        ax.stairs(
            attempts[shown],
            edges[places[0] : places[-1] + 2] / size,
            color=look.INK,
            linewidth=1,
            linestyle=look.DASHES,
            zorder=5,
        )
        entries.append(Line2D([], [], color=look.INK, linewidth=1, linestyle=look.DASHES, label=_ATTEMPTS))
    look.frame(ax)
    ax.grid(axis="y", color=look.GRID, linewidth=0.8)
    ax.set_ylabel("requests per second", fontsize=9, color=look.INK)
    ax.set_ylim(0, ax.get_ylim()[1] if ax.dataLim.height > 0 else 1)
    look.end_axis_at(ax, end_ns / size, room=0.01)
    look.legend(ax, entries)
    look.headline(
        ax,
        harm_text(harm(result)),
        "Requests that fail, by outcome, and requests served by what a change had already made out of date",
    )
    return ax


def _stack(ax: Axes, edges: Floats, layers: dict[str, Floats]) -> list[Artist]:
    """The rates on top of one another; the entries of the legend."""
    floor = np.zeros(len(edges) - 1)
    spare = iter(look.SERIES_COLOURS[5:])
    entries: list[Artist] = []
    for name, rate in layers.items():
        colour = look.OUTCOME_COLOURS.get(name) or next(spare, look.PALE)
        ax.stairs(floor + rate, edges, baseline=floor, fill=True, color=colour, zorder=3)
        entries.append(Patch(color=colour, label=name))
        floor = floor + rate
    return entries
