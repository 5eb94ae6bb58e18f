"""What one variant changes against another, replication by replication, and what pairing is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from matplotlib.lines import Line2D

from simulator.report import look
from simulator.report.wording import amount_text, seconds_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.comparison import Comparison

__all__ = ["height", "paired_differences"]

_PAIRED: Final = look.SERIES_COLOURS[0]
_UNPAIRED: Final = "#b8b8b8"


def height(rows: int) -> float:
    """Inches for so many rows."""
    return 1.9 + 0.42 * max(rows, 2)


def paired_differences(comparison: Comparison, a: str, b: str, ax: Axes | None = None) -> Axes:
    """Draw the difference a - b of each headline metric as a share of b, with its 95 % interval.

    The dark bar is the interval from paired replications, the pale one what it would be without pairing.
    Metrics of which b has nothing, or that are infinite, are left out. Returns the axes, those given or those
    of a new figure.
    """
    differences = comparison.paired(a, b)
    named: list[dict[str, Any]] = differences.reset_index().to_dict(orient="records")  # type: ignore[assignment]
    rows = [(f"{row['metric']} {row['stat']}", row) for row in named]
    rows = [(name, row) for name, row in rows if row["b"] and math.isfinite(row["difference"])]
    ax = look.own_axes(ax, height(len(rows)))
    if not rows:
        return look.blank(ax, "Nothing to compare", "No metric has a finite difference.")
    for place, (_, row) in enumerate(reversed(rows)):
        _bar(ax, place, row)
    ax.axvline(0, color=look.INK, linewidth=1, zorder=2)
    ax.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    look.frame(ax)
    ax.margins(x=0.2)
    ax.xaxis.set_major_formatter(lambda at, _: f"{at:+.0f} %" if at else "0")
    ax.set_xlabel(look.literal(f"{a} - {b}, as a share of {b}"), fontsize=9, color=look.INK, loc="left")
    look.legend(
        ax,
        [
            Line2D([], [], color=_PAIRED, linewidth=3, marker="o", label="difference, paired 95 % interval"),
            Line2D([], [], color=_UNPAIRED, linewidth=7, label="the interval without pairing"),
        ],
    )
    look.headline(ax, look.literal(_finding(rows, a, b)), _subject(rows))
    return ax


def _bar(ax: Axes, place: int, row: dict[str, Any]) -> None:
    share = 100 / abs(row["b"])
    if math.isfinite(row["unpaired_low"]) and math.isfinite(row["unpaired_high"]):
        ends = [row["unpaired_low"] * share, row["unpaired_high"] * share]
        ax.plot(ends, [place, place], color=_UNPAIRED, linewidth=7, solid_capstyle="butt", zorder=1)
    if math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"]):
        ends = [row["ci_low"] * share, row["ci_high"] * share]
        ax.plot(ends, [place, place], color=_PAIRED, linewidth=3, solid_capstyle="butt", zorder=3)
    ax.plot(row["difference"] * share, place, marker="o", markersize=6, color=_PAIRED, zorder=4)


def _finding(rows: list[tuple[str, dict[str, Any]]], a: str, b: str) -> str:
    name, row = rows[0]
    amount = abs(row["difference"])
    told = seconds_text(amount * 1e9) if row["unit"] == "s" else amount_text(amount)
    if not row["difference"]:
        return f"{a} and {b} have the same {name}"
    is_clear = row["ci_low"] > 0 or row["ci_high"] < 0
    word = "more" if row["difference"] > 0 else "less"
    return f"{a} has {told} {word} {name} than {b}" + ("" if is_clear else ", which may be chance")


def _subject(rows: list[tuple[str, dict[str, Any]]]) -> str:
    known = [row["correlation"] for _, row in rows if not math.isnan(row["correlation"])]
    runs = rows[0][1]["runs"]
    ends = dict.fromkeys(f"{end:.2f}" for end in (min(known), max(known))) if known else ()
    said = f"; correlation between the pairs {' to '.join(ends)}" if ends else ""
    return f"{runs:,} replications, each with the same changes and random numbers on both sides{said}"
