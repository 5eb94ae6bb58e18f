"""Many starts in one figure: a line per Envoy, sorted by the time its workers start, drawn as bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.patches import Patch

from simulator.report import look
from simulator.report.phases import PHASES, by_type, durations, first_phase_of, late_types
from simulator.report.wording import seconds_text
from simulator.results.statistics import quantile

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["bands", "finding_of_many"]

LINES_AT_MOST = 600
"""More could not be told apart: of more Envoys an even choice by rank is drawn. The words count all."""
VISIBLE = 0.004
"""Share of the time axis below which a phase cannot be seen and needs no place in the legend."""

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


def bands(ax: Axes, result: Result) -> Axes:
    """Draw every row of ``result.startups`` as one line; the phases of all of them become bands of colour."""
    table = result.startups
    spent = durations(table).to_numpy()
    workers = ((table["t_workers_started_ns"] - table["t_started_ns"]) / 1e9).to_numpy(
        np.float64, na_value=np.nan
    )
    timed_out = late_types(result)
    order = np.argsort(np.where(np.isnan(workers), np.inf, workers), kind="stable")
    drawn = order[np.linspace(0, len(order) - 1, min(len(order), LINES_AT_MOST)).round().astype(np.int64)]
    waiting = np.isnan(spent).any(axis=1)
    horizon = max(float(np.nansum(spent, axis=1).max()) * (1.15 if waiting.any() else 1), 1e-6)
    size = look.time_axis(ax, horizon * 1e9, "process start") / 1e9

    lines = np.linspace(0, len(order), len(drawn) + 1)
    any_late = _draw(ax, lines, spent[drawn] / size, [timed_out[row] for row in drawn], horizon / size)
    _quantiles(ax, workers[order], size, horizon / size)
    ax.set_ylim(len(table), 0)
    ax.set_ylabel("Envoys, earliest workers first", fontsize=9, color=look.INK)
    look.frame(ax)
    look.end_axis_at(ax, horizon / size, room=0.16)
    look.legend(ax, _entries(spent, horizon, any_late=any_late, any_waiting=bool(waiting.any())))
    is_whole = len(order) == len(drawn)
    sample = "one line per Envoy" if is_whole else f"{len(drawn):,} of them drawn, evenly chosen"
    look.headline(
        ax,
        finding_of_many([None if np.isnan(at) else round(at * 1e9) for at in workers], timed_out),
        f"Start-up of {len(table):,} Envoys, each from its own process start; {sample}",
    )
    return ax


def finding_of_many(workers_ns: Sequence[int | None], timed_out: Sequence[Mapping[str, int]]) -> str:
    """What a figure of several starts shows: how many reach their workers, by when, and what timed out."""
    late = by_type(kind for counts in timed_out for kind in counts)
    told = ", ".join(f"{kind.upper()} timed out in {count:,}" for kind, count in late.items())
    told = told or "nothing timed out"
    started = [at for at in workers_ns if at is not None]
    if not started:
        return f"None of {len(workers_ns):,} Envoys started its workers; {told}"
    last, median = seconds_text(max(started)), seconds_text(float(np.median(started)))
    if len(started) == len(workers_ns):
        return f"All {len(started):,} Envoys start their workers within {last} (median {median}); {told}"
    return (
        f"{len(started):,} of {len(workers_ns):,} Envoys start their workers, the last after {last}; {told}"
    )


def _draw(ax: Axes, lines: Floats, spent: Floats, timed_out: Sequence[Mapping[str, int]], end: float) -> bool:
    """Draw one band a phase, row i of ``spent`` between lines i and i + 1; whether any shows a time-out."""
    unfinished: Flags = np.isnan(spent)
    stops_in: Places = np.where(unfinished.any(axis=1), unfinished.argmax(axis=1), len(PHASES))
    edges = np.cumsum(np.nan_to_num(spent), axis=1)
    left = np.zeros(len(spent))
    any_late = False
    for index, phase in enumerate(PHASES):
        colour = look.PHASE_COLOURS[phase.key]
        right = np.where(index < stops_in, edges[:, index], np.where(index == stops_in, end, left))
        _band(ax, lines, left, right, np.not_equal(stops_in, index), facecolor=colour)
        _band(ax, lines, left, right, np.equal(stops_in, index), facecolor=colour, alpha=0.35)
        late = np.array([any(first_phase_of(kind) == phase.key for kind in counts) for counts in timed_out])
        late &= right > left
        any_late |= bool(late.any())
        _band(
            ax, lines, left, right, late, facecolor=(1, 1, 1, 0.4), edgecolor=look.TIMED_OUT, hatch=look.HATCH
        )
        left = right
    return any_late


def _band(ax: Axes, lines: Floats, left: Floats, right: Floats, rows: Flags, **look_of_it: Any) -> None:
    """Fill between two edges where ``rows`` says so: one patch per unbroken stretch of rows."""
    turns = np.flatnonzero(np.diff(np.concatenate([[False], rows & (right > left), [False]]).astype(np.int8)))
    for first, after in zip(turns[::2], turns[1::2], strict=True):
        low, high = (np.append(edge[first:after], edge[after - 1]) for edge in (left, right))
        ax.fill_betweenx(lines[first : after + 1], low, high, step="post", linewidth=0, **look_of_it)


def _quantiles(ax: Axes, workers: Floats, size: float, end: float) -> None:
    """Mark the median and p99 of the time to workers; one that never started them is infinite."""
    values = np.where(np.isnan(workers), np.inf, workers)
    for share, name in ((Fraction(1, 2), "median"), (Fraction(99, 100), "p99")):
        row = int(share * (len(workers) - 1))
        told = seconds_text(quantile(values, share) * 1e9)
        ax.plot([0, end], [row + 0.5, row + 0.5], color=look.INK, linewidth=0.8, linestyle=look.DASHES)
        look.beside(ax, end, row + 0.5, f"{name}: {told}")


def _entries(spent: Floats, horizon: float, *, any_late: bool, any_waiting: bool) -> list[Artist]:
    unfinished: Flags = np.isnan(spent)
    longest: Floats = np.nan_to_num(spent).max(axis=0)
    stops_in = {int(row.argmax()) for row in unfinished if row.any()}
    entries: list[Artist] = [
        Patch(color=look.PHASE_COLOURS[phase.key], label=phase.label)
        for index, phase in enumerate(PHASES)
        if longest[index] > VISIBLE * horizon or index in stops_in
    ]
    if any_late:
        entries.append(look.timed_out_patch())
    if any_waiting:
        entries.append(Patch(facecolor=look.PALE, alpha=0.35, label="still waiting (pale)"))
    return entries
