"""Which replica of istiod the proxies are connected to, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D

from simulator.report import look
from simulator.report.watched import watched_ns
from simulator.report.wording import share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result
    from simulator.results.statistics import Values

__all__ = ["HEIGHT", "connections"]

HEIGHT: Final = 4.6
_STEPS: Final = {"opened": 1, "closed": -1, "turned_away": 0}


def connections(result: Result, ax: Axes | None = None) -> Axes:
    """Draw how many connections each replica holds, against simulated time; a line for each.

    Returns the axes, those given or those of a new figure. Needs the table `connections`, which is kept with
    the queues. Of more replicas than there are colours the first are drawn.
    """
    ax = look.own_axes(ax, HEIGHT)
    held = _held(result)
    if not held:
        return look.blank(ax, "No connection to show", "The connections table is empty or was not recorded.")
    end_ns = max(watched_ns(result), *(float(at[-1]) for at, _ in held.values()), 1000.0)
    size = look.time_axis(ax, end_ns, "the run began")
    if end_ns >= 600e9:
        size = 60e9
        ax.set_xlabel("time since the run began (min)", fontsize=9, color=look.INK, loc="left")
    drawn = dict(zip(held, look.SERIES_COLOURS, strict=False))
    for replica, colour in drawn.items():
        at, open_ = held[replica]
        ax.plot(
            np.append(at, end_ns) / size,
            np.append(open_, open_[-1]),
            drawstyle="steps-post",
            color=colour,
            linewidth=2,
        )
    look.frame(ax)
    ax.grid(axis="y", color=look.GRID, linewidth=0.8)
    ax.set_xlim(0, end_ns / size)
    ax.set_ylim(0, max(float(open_.max()) for _, open_ in held.values()) * 1.08)
    ax.set_ylabel("open connections", fontsize=9, color=look.INK)
    look.legend(
        ax,
        [Line2D([], [], color=colour, linewidth=2, label=f"istiod-{name}") for name, colour in drawn.items()],
    )
    look.headline(ax, _finding(held), _subject(result))
    return ax


def _held(result: Result) -> dict[int, tuple[Values, Values]]:
    """Replica -> instants, and the connections that are open from each of them on."""
    rows = result.connections
    held = {}
    for replica, mine in rows.groupby("replica", sort=True):
        steps = mine["event"].map(_STEPS).to_numpy(dtype=np.float64)
        first = np.zeros(1)
        at = np.append(first, mine["t_ns"].to_numpy(dtype=np.float64))
        held[int(str(replica))] = (at, np.append(first, steps).cumsum())
    return held


def _finding(held: dict[int, tuple[Values, Values]]) -> str:
    last = {replica: float(open_[-1]) for replica, (_, open_) in held.items()}
    total = sum(last.values())
    if not total:
        return "In the end nobody is connected"
    most, least = max(last, key=last.__getitem__), min(last, key=last.__getitem__)
    if last[most] == total:
        return f"In the end all {total:,.0f} connections are at istiod-{most}"
    shares = f"holds {share_text(last[most] / total)} of {total:,.0f} connections"
    told = "none" if not last[least] else share_text(last[least] / total)
    return f"In the end istiod-{most} {shares}, istiod-{least} {told}"


def _subject(result: Result) -> str:
    rows = result.connections
    opened = int(((rows["event"] == "opened") & (rows["t_ns"] > 0)).sum())
    refused = int((rows["event"] == "turned_away").sum())
    return f"{opened:,} connections opened during the run, {refused:,} attempts turned away by the limit"
