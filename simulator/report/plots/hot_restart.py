"""Hot restarts of one Envoy: parent and child beside each other, who accepts, who drains, what is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.report import look
from simulator.report.watched import watched_ns
from simulator.report.wording import seconds_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["height", "hot_restart"]

MACHINE: Final = "hot_restart"
_PHASES: Final = (("initializes", 4), ("accepts", 2), ("drains", 1))


def hot_restart(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the processes of the first Envoy that was hot restarted: a bar each, in its phases.

    Returns the axes, those given or those of a new figure.
    """
    ax = look.own_axes(ax, height(result))
    steps = _steps(result)
    if steps.empty:
        return look.blank(ax, "No hot restart to show", "The states table holds none.")
    proxy = str(steps["proxy_id"].iloc[0])
    starts = result.startups[result.startups["proxy_id"] == proxy]
    end_ns = watched_ns(result)
    size = look.time_axis(ax, end_ns, "the run began")
    seen: set[str] = set()
    begun = starts["t_started_ns"].to_numpy(dtype=np.float64)
    live = starts["t_workers_started_ns"].to_numpy(dtype=np.float64, na_value=end_ns)
    epochs = starts["epoch"].tolist()
    if starts["cause"].iloc[0] == "hot_restart":  # its parent ran before the run began
        epochs = [epochs[0] - 1, *epochs]
        begun, live = np.insert(begun, 0, 0.0), np.insert(live, 0, 0.0)
    for row, epoch in enumerate(epochs):
        drains = _instant(steps, proxy, epoch + 1, "PARENT_DRAINING", end_ns)
        ends = _instant(steps, proxy, epoch + 1, "PARENT_TERMINATED", end_ns)
        edges = (float(begun[row]), min(float(live[row]), end_ns), drains, ends)
        for (phase, colour), begin, stop in zip(_PHASES, edges[:-1], edges[1:], strict=True):
            if stop > begin:
                label = None if phase in seen else phase
                seen.add(phase)
                shade = look.SERIES_COLOURS[colour % len(look.SERIES_COLOURS)]
                ax.barh(row, (stop - begin) / size, left=begin / size, height=0.5, color=shade, label=label)
                ax.text(
                    (begin + stop) / 2 / size,
                    row - 0.32,
                    seconds_text(stop - begin),
                    ha="center",
                    va="bottom",
                    fontsize="small",
                )
    ax.set_yticks(range(len(epochs)), [f"{proxy}, epoch {epoch}" for epoch in epochs])
    ax.set_ylim(len(epochs) - 0.3, -0.8)
    ax.set_xlim(0, end_ns / size)
    look.frame(ax)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    shown = [phase for phase, _ in _PHASES if phase in handles]
    ax.legend(
        [handles[phase] for phase in shown],
        shown,
        loc="upper left",
        bbox_to_anchor=(0, -0.22),
        ncols=3,
        frameon=False,
    )
    look.headline(ax, _finding(result), "A process serves until its successor's workers run")
    return ax


def height(result: Result) -> float:
    """Inches that the figure needs."""
    steps = _steps(result)
    processes = 0 if steps.empty else int((result.startups["proxy_id"] == steps["proxy_id"].iloc[0]).sum())
    return 2.4 + 0.5 * max(processes, 2)


def _steps(result: Result) -> pd.DataFrame:
    return result.states[result.states["machine"] == MACHINE]


def _instant(steps: pd.DataFrame, proxy: str, epoch: int, state: str, end_ns: float) -> float:
    """When the child of that epoch brought its parent there; the end of the run if never."""
    rows = steps[
        (steps["proxy_id"] == proxy) & (steps["name"] == f"epoch {epoch}") & (steps["state"] == state)
    ]
    return float(rows["t_ns"].iloc[0]) if len(rows) else end_ns


def _finding(result: Result) -> str:
    if not len(result.traffic):
        return "The parent drains when its child's workers run, and ends parent-shutdown-time later"
    rows = result.traffic
    cut = float(rows.loc[rows["outcome"] == "UC", "requests"].sum())
    other = float(rows.loc[~rows["outcome"].isin(["UC", "200"]), "requests"].sum())
    if cut + other < 0.5:
        return (
            f"None of {float(rows['requests'].sum()):,.0f} requests fails while one process replaces another"
        )
    return f"{cut:,.0f} requests outlive the parent and are cut; {other:,.0f} others fail"
