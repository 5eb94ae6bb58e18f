"""The start of a control plane: what each process does and what it waits for, as a Gantt chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.patches import Patch

from simulator.report import look
from simulator.results.control_plane_start import PROCESSES, spans

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["control_plane_start", "height"]

_COLOURS: Final = {
    "waiting for its Secret": "#F0E442",
    "starting": "#56B4E9",
    "waiting for Galley": "#0072B2",
    "serving": "#E69F00",
    "synced": "#E69F00",
    "ready": "#009E73",
    "down": "#CC79A7",
}
_MEANING: Final = {
    "waiting for its Secret": "waits for the Secret of Citadel",
    "starting": "starts and reads what it needs",
    "waiting for Galley": "waits for the collections of Galley",
    "synced": "works, not probed yet",
    "ready": "ready",
    "down": "down",
}


def height(result: Result) -> float:
    """Inches that the figure of a result needs."""
    return 1.9 + 0.45 * max(1, len(_rows(spans(result))))


def control_plane_start(result: Result, until: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw what each process of the control plane was doing, one row each, from 0 to `until` seconds.

    `until` defaults to a little after the last state was entered. Returns the axes, those given or those of a
    new figure.
    """
    ax = look.own_axes(ax, height(result))
    found = spans(result)
    rows = _rows(found)
    if not rows:
        return look.blank(ax, "No process of the control plane started", "All ran since long before 0.")
    last = float(found.begin.max())
    end = max(1.0, 1.15 * last) if until is None else until
    for place, (component, replica) in enumerate(rows):
        of_row = found[(found.component == component) & (found.replica == replica)]
        for state, begins, ends in zip(of_row.state, of_row.begin, of_row.end, strict=True):
            if begins < end:
                colour = _COLOURS[str(state)]
                ax.barh(place, min(ends, end) - begins, left=begins, height=0.6, color=colour, zorder=3)
    ax.set_yticks(range(len(rows)), [name if r == 0 else f"{name}-{r}" for name, r in rows])
    ax.invert_yaxis()
    ax.set_xlim(0, end)
    ax.set_xlabel("time since the run began (s)", fontsize=9, color=look.INK, loc="left")
    look.frame(ax)
    ax.grid(axis="x", color=look.GRID, linewidth=0.8, zorder=0)
    shown = [state for state in _MEANING if (found.state.replace("serving", "synced") == state).any()]
    look.legend(ax, [Patch(color=_COLOURS[state], label=_MEANING[state]) for state in shown])
    look.headline(
        ax, _finding(result, found), "what each process of the control plane does, and what it waits for"
    )
    return ax


def _finding(result: Result, found: pd.DataFrame) -> str:
    """Of the processes that are not deleted, how many are ready in the end; if all are, since when."""
    last = found.drop_duplicates(["component", "replica"], keep="last")
    there = last[last.end >= result.end_ns / 1e9]
    ready = there[there.state == "ready"]
    count = len(_rows(found))
    names = "process" if count == 1 else "processes"
    if len(ready) < len(there):
        return f"{len(ready)} of {len(there)} {names} of the control plane are ready when the run ends"
    if not len(ready):
        return "No process of the control plane is left when the run ends"
    ready_at, slowest = max(zip(ready.begin.astype(float), ready.component, strict=True))
    if (found[found.state == "ready"].begin == 0).any():
        return f"The control plane ran before; the last of {count} {names} is ready after {ready_at:.1f} s"
    finding = f"{count} {names}: the control plane is ready after {ready_at:.1f} s"
    return finding if count == 1 else f"{finding}, {slowest} last"


def _rows(found: pd.DataFrame) -> list[tuple[str, int]]:
    keys = dict.fromkeys(zip(found.component.astype(str), found.replica.astype(int), strict=True))
    return sorted(keys, key=lambda key: (PROCESSES.index(key[0]), key[1]))
