"""How one or many Envoys start: their phases on a time axis, fetch time-outs marked.

Three drawings of the same table, by its size: one start is a staircase with a row per phase; a few are one
row per Envoy; many are sorted by the time their workers start and drawn as bands, so that 500 Envoys read as
the distribution they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.report import look
from simulator.report.phases import PHASES, Phase, Span, Start, read_starts
from simulator.report.plots.startup_bands import VISIBLE, bands, finding_of_many
from simulator.report.watched import watched_ns
from simulator.report.wording import seconds_text, timed_out_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["height", "startup"]

ROWS_AT_MOST = 30
"""More starts than this are drawn as bands."""
ORIGIN = "process start"


def startup(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the phases of every start in ``result.startups``; time counts from each process's own start.

    Returns the axes, those given or those of a new figure. A phase that ended with a fetch time-out is
    hatched in vermilion; one that had not ended when the run did is drawn pale, to the end of the axis.
    """
    table = result.startups
    ax = look.own_axes(ax, height(result))
    if len(table) == 0:
        return look.blank(ax, "No Envoy was started", "The startups table is empty.")
    if len(table) > ROWS_AT_MOST:
        return bands(ax, result)
    starts = read_starts(result)
    horizon_ns = _horizon_ns(result, starts)
    draw = _staircase if len(starts) == 1 else _rows
    return draw(ax, starts, horizon_ns)


def height(result: Result) -> float:
    """Inches that the figure needs."""
    count = len(result.startups)
    if count == 1:
        return 1.8 + 0.3 * len(read_starts(result)[0].spans)
    return 6.0 if count > ROWS_AT_MOST else 2.4 + 0.3 * max(count, 4)


def _staircase(ax: Axes, starts: Sequence[Start], horizon_ns: int) -> Axes:
    """One start: a row per phase."""
    (start,) = starts
    size = look.time_axis(ax, horizon_ns, ORIGIN)
    for row, span in enumerate(start.spans):
        ends_ns = horizon_ns if span.ends_ns is None else span.ends_ns
        _bar(ax, row, span, size, ends_ns)
        colour = look.TIMED_OUT if span.timed_out else look.INK if ends_ns > span.begins_ns else look.PALE
        look.beside(ax, ends_ns / size, row, _spoken(span), colour)
    entries: list[Artist] = []
    if any(span.timed_out for span in start.spans):
        entries.append(look.timed_out_patch())
    if start.workers_ns is not None:
        look.workers_line(ax, start.workers_ns / size)
        entries.append(Line2D([], [], color=look.INK, linewidth=1, linestyle=look.DASHES, label=look.WORKERS))
    _finish(ax, [span.phase.label for span in start.spans], horizon_ns / size, entries)
    connected = (
        "no stream to a control plane"
        if start.connected_ns is None
        else f"stream to the control plane open at {seconds_text(start.connected_ns)}"
    )
    look.headline(ax, _finding(start, horizon_ns), f"Start-up of {start.label}, phase by phase; {connected}")
    return ax


def _rows(ax: Axes, starts: Sequence[Start], horizon_ns: int) -> Axes:
    """A few starts: a row per Envoy."""
    size = look.time_axis(ax, horizon_ns, ORIGIN)
    for row, start in enumerate(starts):
        for span in start.spans:
            _bar(ax, row, span, size, horizon_ns if span.ends_ns is None else span.ends_ns)
        if start.workers_ns is not None:
            ax.plot(
                start.workers_ns / size,
                row,
                marker="D",
                markersize=7,
                color=look.INK,
                markeredgecolor="white",
                clip_on=False,
                zorder=5,
            )
        words = start.outcome if start.workers_ns is None else seconds_text(start.workers_ns)
        if start.timed_out:
            words += f"   {timed_out_text(start.timed_out)}"
        ends_ns = horizon_ns if start.waiting_in else start.spans[-1].ends_ns or 0
        look.beside(ax, ends_ns / size, row, words, look.TIMED_OUT if start.timed_out else look.INK)
    seen = [phase for phase in PHASES if any(_took(start, phase) > VISIBLE * horizon_ns for start in starts)]
    entries: list[Artist] = [Patch(color=look.PHASE_COLOURS[phase.key], label=phase.label) for phase in seen]
    if any(start.timed_out for start in starts):
        entries.append(look.timed_out_patch())
    entries.append(
        Line2D([], [], marker="D", markersize=6, color=look.INK, linestyle="none", label=look.WORKERS)
    )
    _finish(ax, [start.label for start in starts], horizon_ns / size, entries)
    look.headline(
        ax,
        finding_of_many([start.workers_ns for start in starts], [start.timed_out for start in starts]),
        f"Start-up of {len(starts)} Envoys, each from its own {ORIGIN}",
    )
    return ax


def _finish(ax: Axes, labels: Sequence[str], end: float, entries: Sequence[Artist]) -> None:
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    look.frame(ax)
    look.end_axis_at(ax, end, room=0.34)
    look.legend(ax, entries)


def _bar(ax: Axes, row: int, span: Span, size: float, ends_ns: int) -> None:
    colour = look.PHASE_COLOURS[span.phase.key]
    left, width = span.begins_ns / size, (ends_ns - span.begins_ns) / size
    if width == 0:
        colour = look.GRID  # a phase with nothing to wait for leaves a trace, not a colour
    waiting = span.ends_ns is None
    # The outline keeps a phase of microseconds visible beside one of seconds.
    ax.barh(
        row,
        width,
        left=left,
        height=0.62,
        color=colour,
        edgecolor=colour,
        linewidth=1.2,
        zorder=3,
        alpha=0.35 if waiting else None,
    )
    if span.timed_out:
        ax.barh(
            row,
            width,
            left=left,
            height=0.62,
            facecolor=(1, 1, 1, 0.45),
            edgecolor=look.TIMED_OUT,
            hatch=look.HATCH,
            linewidth=1.2,
            zorder=4,
        )
    if waiting:
        ax.plot(ends_ns / size, row, marker=">", markersize=9, color=colour, clip_on=False, zorder=5)


def _spoken(span: Span) -> str:
    """The words beside a bar: how long, and what timed out."""
    if span.ends_ns is None:
        return f"still waiting; {timed_out_text(span.timed_out)}" if span.timed_out else "still waiting"
    if span.ends_ns == span.begins_ns:
        return "at once" if span.phase.key in ("workers", "ready") else "nothing to wait for"
    took = seconds_text(span.ends_ns - span.begins_ns)
    return f"{took}   {timed_out_text(span.timed_out)}" if span.timed_out else took


def _took(start: Start, phase: Phase) -> float:
    for span in start.spans:
        if span.phase is phase:
            return float("inf") if span.ends_ns is None else span.ends_ns - span.begins_ns
    return 0


def _finding(start: Start, horizon_ns: int) -> str:
    late = timed_out_text(start.timed_out)
    if start.workers_ns is None:
        if start.outcome == "exited":
            return f"{start.label} exited before its workers started"
        waiting = start.waiting_in or PHASES[-1]
        after = f"Workers have not started after {seconds_text(horizon_ns)}: waiting for {waiting.waits_for}"
        return f"{after}; {late}" if late else after
    found = f"Workers start {seconds_text(start.workers_ns)} after {ORIGIN}"
    if late:
        return f"{found}: {late}"
    longest = max(start.spans, key=lambda span: (span.ends_ns or 0) - span.begins_ns)
    took = seconds_text((longest.ends_ns or 0) - longest.begins_ns)
    return f"{found}, {took} of it in {longest.phase.label}; nothing timed out"


def _horizon_ns(result: Result, starts: Sequence[Start]) -> int:
    """Right end of the bars: the last instant reached, or the end of the run where something still waits."""
    ends = [
        span.begins_ns if span.ends_ns is None else span.ends_ns for start in starts for span in start.spans
    ]
    last = max(ends, default=0)
    waiting = [start for start in starts if start.waiting_in is not None]
    if waiting:
        watched = watched_ns(result) - min(start.started_ns for start in waiting)
        last = max(watched, int(last * 1.25))
    return max(last, 1000)
