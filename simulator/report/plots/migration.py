"""Proxies moving from one control plane to another: how many each replica pushes to, round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.report import look
from simulator.report.watched import watched_ns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["HEIGHT", "migration"]

HEIGHT: Final = 3.8
REPLICAS_AT_MOST: Final = 8


def migration(result: Result, ax: Axes | None = None) -> Axes:
    """Draw how many proxies are connected to each replica, as its push rounds count them.

    Returns the axes, those given or those of a new figure.
    """
    ax = look.own_axes(ax, HEIGHT)
    replicas = sorted(result.pushes["replica"].unique().tolist())[:REPLICAS_AT_MOST]
    if not replicas:
        return look.blank(ax, "No push to show", "The table pushes is empty.")
    end_ns = watched_ns(result)
    size = look.time_axis(ax, end_ns, "the run began")
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, replica in enumerate(replicas):
        rows = result.pushes[result.pushes["replica"] == replica]
        rows = rows[rows["t_started_ns"].notna()].sort_values("t_started_ns")
        instants = rows["t_started_ns"].to_numpy(dtype=np.float64) / size
        proxies = rows["proxies"].to_numpy(dtype=np.float64)
        colour = look.SERIES_COLOURS[number % len(look.SERIES_COLOURS)]
        ax.step(instants, proxies, where="post", color=colour, label=f"istiod-{replica}")
        first[replica], last[replica] = int(proxies[0]), int(proxies[-1])
    ready = result.startups[result.startups["cause"].isin(["rollout", "restart"])]["t_ready_ns"].dropna()
    if len(ready):
        at = ready.to_numpy(dtype=np.float64) / size
        ax.plot(at, np.zeros(len(at)), "|", color=look.INK, markersize=9, label="a new proxy is ready")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("proxies connected", fontsize=9, color=look.INK)
    look.frame(ax)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=4, frameon=False, fontsize="small")
    emptied = [replica for replica in replicas if last[replica] == 0]
    moved = max(first.values())
    finding = (
        f"{moved:,} proxies leave istiod-{emptied[0]}, a group at a time; both process every change"
        if emptied
        else "Proxies are spread over the control planes; each processes every change"
    )
    look.headline(
        ax, finding, "Proxies connected to each control plane's replicas, as its push rounds count them"
    )
    return ax
