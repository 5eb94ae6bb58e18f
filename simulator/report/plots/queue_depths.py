"""How full the queues of the control plane are over time: a row per queue, each to its own peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.report import look
from simulator.report.watched import watched_ns
from simulator.report.wording import seconds_text, share_text
from simulator.results.statistics import Values

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["height", "queue_depths"]

ROWS_AT_MOST: Final = 16
"""More queues than this: the replicas of each are added up."""
POINTS_AT_MOST: Final = 2000
TALL: Final = 0.84
"""Share of a row that a full queue fills."""

# In the order in which an event passes them.
_QUEUES: Final = ("registry", "config_update", "push", "cpu", "poll")
_LABELS: Final = {
    "registry": "registry",
    "config_update": "debounce (events gathered)",
    "push": "push queue",
    "cpu": "CPU",
    "poll": "polls",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Queue:
    """One queue over time: from each instant on, how many wait."""

    label: str
    queue: str
    instants_ns: Values
    depths: Values

    @property
    def peak(self) -> float:
        """The most that ever wait."""
        return float(self.depths.max())

    @property
    def peak_ns(self) -> float:
        """When they do for the first time."""
        return float(self.instants_ns[int(self.depths.argmax())])

    @property
    def last(self) -> float:
        """How many wait when the run ends."""
        return float(self.depths[-1])

    def busy_ns(self, end_ns: float) -> float:
        """For how long something waits, until the end."""
        spans = np.diff(np.append(self.instants_ns, max(end_ns, float(self.instants_ns[-1]))))
        return float(spans[self.depths > 0].sum())


def queue_depths(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the depth of every queue in ``result.queues`` over simulated time, a row each, to its own peak.

    Returns the axes, those given or those of a new figure. Where there are too many queues for rows, those of
    all replicas are added up.
    """
    ax = look.own_axes(ax, height(result))
    queues = _queues(result.queues)
    if not queues:
        return look.blank(ax, "No queue to show", _why_empty(result))
    end_ns = max(watched_ns(result), *(float(queue.instants_ns[-1]) for queue in queues), 1000.0)
    size = look.time_axis(ax, end_ns, "the run began")
    for row, queue in enumerate(queues):
        _draw(ax, row, queue, end_ns, size)
    ax.set_yticks([row - TALL / 2 + 0.5 for row in range(len(queues))], [queue.label for queue in queues])
    ax.set_ylim(len(queues) - 0.4, -0.6)
    look.frame(ax)
    look.end_axis_at(ax, end_ns / size, room=0.26)
    look.headline(
        ax, _finding(queues, end_ns), "How many wait in each queue; every row is scaled to its own peak"
    )
    return ax


def height(result: Result) -> float:
    """Inches that the figure needs."""
    return 1.8 + 0.6 * max(len(_queues(result.queues)), 2)


def _queues(rows: pd.DataFrame) -> list[_Queue]:
    found = rows[["queue", "replica"]].drop_duplicates()
    names = [str(name) for name in found["queue"].drop_duplicates()]
    order = sorted(names, key=lambda name: (_QUEUES.index(name) if name in _QUEUES else len(_QUEUES), name))
    if len(found) > ROWS_AT_MOST:
        return [_added_up(name, rows[rows["queue"] == name]) for name in order]
    single = found["replica"].nunique() == 1
    queues = []
    for name in order:
        for replica in sorted(found[found["queue"] == name]["replica"]):
            mine = rows[(rows["queue"] == name) & (rows["replica"] == replica)]
            label = _LABELS.get(name, name) + ("" if single else f", istiod-{replica}")
            instants = mine["t_ns"].to_numpy(dtype=np.float64)
            queues.append(_Queue(label, name, instants, mine["depth"].to_numpy(dtype=np.float64)))
    return queues


def _added_up(name: str, rows: pd.DataFrame) -> _Queue:
    """The queues of one name of all replicas, as if they were one."""
    steps = rows.groupby("replica")["depth"].diff().fillna(rows["depth"])
    depths = steps.cumsum().to_numpy(dtype=np.float64)
    label = f"{_LABELS.get(name, name)}, all replicas"
    return _Queue(label, name, rows["t_ns"].to_numpy(dtype=np.float64), depths)


def _draw(ax: Axes, row: int, queue: _Queue, end_ns: float, size: float) -> None:
    colour = look.SERIES_COLOURS[_QUEUES.index(queue.queue) if queue.queue in _QUEUES else len(_QUEUES)]
    instants, depths = _thinned(queue, end_ns)
    floor = row + 0.5 - (1 - TALL) / 2
    heights = floor - TALL * depths / max(queue.peak, 1)
    at = np.append(instants, end_ns) / size
    ax.fill_between(
        at, floor, np.append(heights, heights[-1]), step="post", color=colour, linewidth=0.6, zorder=3
    )
    ax.plot([0, end_ns / size], [floor, floor], color=look.GRID, linewidth=0.8, zorder=2)
    look.beside(ax, end_ns / size, row + 0.1, _spoken(queue))


def _spoken(queue: _Queue) -> str:
    return f"peak {queue.peak:,.0f} at {seconds_text(queue.peak_ns)}" if queue.peak else "always empty"


def _thinned(queue: _Queue, end_ns: float) -> tuple[Values, Values]:
    """The curve in few points: of each stretch of time its deepest and its last, so that no peak is lost."""
    if len(queue.instants_ns) <= POINTS_AT_MOST:
        return queue.instants_ns, queue.depths
    bins = (queue.instants_ns / end_ns * (POINTS_AT_MOST // 2)).astype(np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    ends = np.append(starts[1:], len(bins))
    deepest = [start + int(queue.depths[start:end].argmax()) for start, end in zip(starts, ends, strict=True)]
    kept = np.unique(np.concatenate([deepest, ends - 1]).astype(np.int64))
    return queue.instants_ns[kept], queue.depths[kept]


def _finding(queues: Sequence[_Queue], end_ns: float) -> str:
    busiest = max(queues, key=lambda queue: (queue.busy_ns(end_ns), queue.peak))
    if busiest.peak == 0:
        return "No queue ever holds anything"
    behind = max(queues, key=lambda queue: queue.last)
    if behind.last > 1 and behind.last >= behind.peak / 2:
        peak = f"the peak is {behind.peak:,.0f}"
        return f"{behind.last:,.0f} still wait when the run ends ({behind.label}); {peak}"
    share = share_text(busiest.busy_ns(end_ns) / end_ns)
    return (
        f"The queue that is longest in use is {busiest.label}: {share} of the time, "
        f"at most {busiest.peak:,.0f} wait"
    )


def _why_empty(result: Result) -> str:
    if "queues" in result.manifest.get("tables", {"queues": 0}):
        return "The queues table is empty: nothing ever had to wait, or the control plane has no queues."
    return "The queues table was not recorded: the scenario says recording.queues: false."
