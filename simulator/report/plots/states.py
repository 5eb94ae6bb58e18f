"""What became of the clusters and listeners of one Envoy: warming, active, draining, as bars over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.report import look
from simulator.report.histories import (
    LAYERS,
    Group,
    History,
    group_histories,
    late_assignments,
    read_histories,
)
from simulator.report.phases import read_starts
from simulator.report.watched import watched_ns
from simulator.report.wording import seconds_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["height", "states"]

ROWS_AT_MOST = 28
LABELS = {"pending": "waiting for its route and the workers"}
THICK = 0.66
"""Share of a row that its bar fills."""


def states(result: Result, proxy: str = "p0", ax: Axes | None = None) -> Axes:
    """Draw every cluster and listener of ``proxy`` over simulated time, from ``result.states``.

    Names with equal histories share a row. Where one version serves while its successor warms, or drains
    while its successor serves, the bar is split. Returns the axes, those given or those of a new figure.
    """
    ax = look.own_axes(ax, height(result, proxy))
    histories = _histories(result, proxy)
    if not histories:
        return look.blank(ax, f"No cluster and no listener of {proxy} to show", _why_empty(result, proxy))
    end_ns = _end_ns(result, histories)
    size = look.time_axis(ax, end_ns, "the run began")
    groups = group_histories(histories, ROWS_AT_MOST)
    used: dict[str, None] = {}
    for row, group in enumerate(groups):
        used |= _draw(ax, row, group, size, end_ns)
    entries: list[Artist] = [
        Patch(color=look.STATE_COLOURS[layer], label=LABELS.get(layer, layer))
        for layer in reversed(LAYERS)
        if layer in used
    ]
    entries += _mark_late(ax, groups, late_assignments(result.states, proxy), size)
    workers = [
        start.started_ns + start.workers_ns
        for start in read_starts(result, proxy)
        if start.workers_ns is not None
    ]
    for at_ns in workers:
        look.workers_line(ax, at_ns / size)
    if workers:
        entries.append(Line2D([], [], color=look.INK, linewidth=1, linestyle=look.DASHES, label=look.WORKERS))
    _finish(ax, groups, end_ns / size, entries)
    look.headline(ax, look.literal(_finding(histories, end_ns)), _subject(histories, proxy, groups))
    return ax


def height(result: Result, proxy: str = "p0") -> float:
    """Inches that the figure needs."""
    groups = group_histories(_histories(result, proxy), ROWS_AT_MOST)
    return 2.0 + 0.32 * max(len(groups), 3)


def _histories(result: Result, proxy: str) -> list[History]:
    restarts = [start.started_ns for start in read_starts(result, proxy) if start.epoch > 0]
    return read_histories(result.states, proxy, restarts)


def _draw(ax: Axes, row: int, group: Group, size: float, end_ns: int) -> dict[str, None]:
    """One row: the share of its names in each layer as steps over time. Returns the layers it used."""
    steps = list(group.shares())
    instants = [at_ns / size for at_ns, _ in steps] + [end_ns / size]
    floor = [row + THICK / 2] * len(instants)
    used: dict[str, None] = {}
    for index, layer in enumerate(LAYERS):
        amounts = [shares[index] for _, shares in steps]
        ceiling = [low - THICK * amount for low, amount in zip(floor, [*amounts, amounts[-1]], strict=True)]
        if any(amounts):
            used[layer] = None
            ax.fill_between(
                instants,
                floor,
                ceiling,
                step="post",
                color=look.STATE_COLOURS[layer],
                linewidth=0,
                zorder=3,
            )
        floor = ceiling
    return used


def _mark_late(
    ax: Axes, groups: Sequence[Group], late: Mapping[str, Sequence[int]], size: float
) -> list[Artist]:
    """A cross on every cluster whose assignment did not come in time; the legend's entry for it, if any."""
    marks = [
        (at_ns / size, row)
        for row, group in enumerate(groups)
        if group.machine == "cluster"
        for at_ns in sorted({at_ns for history in group.members for at_ns in late.get(history.name, ())})
    ]
    if not marks:
        return []
    looks: dict[str, Any] = {"marker": "X", "color": look.TIMED_OUT, "linestyle": "none", "markersize": 9}
    ax.plot(*zip(*marks, strict=True), **looks, markeredgecolor="white", zorder=5)
    return [Line2D([], [], **looks, label="EDS timed out")]


def _finish(ax: Axes, groups: Sequence[Group], end: float, entries: Sequence[Artist]) -> None:
    ax.set_yticks(range(len(groups)), [look.literal(group.label) for group in groups])
    ax.set_ylim(len(groups) - 0.4, -0.6)
    look.frame(ax)
    look.end_axis_at(ax, end, room=0.02)
    boundary = next((row for row, group in enumerate(groups) if group.machine != groups[0].machine), None)
    if boundary is not None:
        ax.axhline(boundary - 0.5, color=look.GRID, linewidth=1.2)
    look.legend(ax, entries)


def _finding(histories: Sequence[History], end_ns: int) -> str:
    stuck = [history for history in histories if "warming" in history.last]
    slowest = max(histories, key=lambda history: history.longest("warming", end_ns))
    took_ns = slowest.longest("warming", end_ns)
    took = seconds_text(took_ns)
    if stuck:
        first = max(stuck, key=lambda history: history.longest("warming", end_ns))
        others = f" and {len(stuck) - 1:,} more" if len(stuck) > 1 else ""
        waited = seconds_text(first.longest("warming", end_ns))
        verb = "is" if len(stuck) == 1 else "are"
        return f"{first.name}{others} {verb} still warming at the end of the run, after {waited}"
    if took_ns == 0:
        return "Nothing had to warm"
    equal = sum(history.longest("warming", end_ns) == took_ns for history in histories)
    others = f" (and {equal - 1:,} more)" if equal > 1 else ""
    return f"The longest warming took {took}: {slowest.machine} {slowest.name}{others}"


def _subject(histories: Sequence[History], proxy: str, groups: Sequence[Group]) -> str:
    clusters = sum(history.machine == "cluster" for history in histories)
    told = f"{_count(clusters, 'cluster')} above, {_count(len(histories) - clusters, 'listener')} below"
    gathered = any(len(group.members) > 1 for group in groups)
    return f"{proxy}: {told}" + ("; names that behave alike share a row" if gathered else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _end_ns(result: Result, histories: Sequence[History]) -> int:
    """A little beyond the last change, so that the state after it is seen, but not beyond the run."""
    last = max(at_ns for history in histories for at_ns, _ in history.steps)
    end = max(int(last * 1.15), 1000)
    watched = watched_ns(result)
    if watched and any("warming" in history.last for history in histories):
        return max(watched, last)
    return max(min(end, watched), last) if watched else end


def _why_empty(result: Result, proxy: str) -> str:
    if len(result.states) == 0:
        return "The states table is empty: nothing happened, or the scenario says recording.states: false."
    return f"The states table has no row of a cluster or listener of {proxy}."
