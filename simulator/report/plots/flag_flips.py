"""How long flipped feature flags take to be decided by every proxy: a curve for each flip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.report import look
from simulator.report.wording import seconds_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["HEIGHT", "flag_flips"]

HEIGHT: Final = 3.8
KIND: Final = "RuntimeFlag"
CURVES_AT_MOST: Final = 6


def flag_flips(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the share of proxies that decide by each flipped flag, over the time since the flip.

    Returns the axes, those given or those of a new figure. Only the first flips are drawn.
    """
    ax = look.own_axes(ax, HEIGHT)
    flips = result.changes[result.changes["kind"] == KIND].head(CURVES_AT_MOST)
    if flips.empty:
        return look.blank(ax, "No flag was flipped", "The table changes holds no RuntimeFlag.")
    slowest: list[tuple[float, str]] = []
    for number, (change, name) in enumerate(
        zip(flips["change_id"].tolist(), flips["name"].tolist(), strict=True)
    ):
        rows = result.deliveries[result.deliveries["change_id"] == change]
        changed = rows["t_changed_ns"].to_numpy(dtype=np.float64)
        active = rows["t_active_ns"].to_numpy(dtype=np.float64, na_value=np.inf)
        delays = np.sort(active - changed)
        shares = np.arange(1, len(delays) + 1) / max(1, len(delays))
        known = np.isfinite(delays)
        colour = look.SERIES_COLOURS[number % len(look.SERIES_COLOURS)]
        ways = ", ".join(sorted({_WAYS.get(way, way) for way in rows["carried_by"].dropna()}))
        label = f"{name} ({ways})" if ways else name
        ax.step(delays[known] / 1e9, shares[known], where="post", color=colour, label=label)
        ax.plot(delays[known][-1:] / 1e9, shares[known][-1:], "o", color=colour)
        slowest.append((float(delays[-1]) if len(delays) else 0.0, name))
    ax.set_xscale("log")
    ax.set_xlabel("time since the flip (s, logarithmic)", fontsize=9, color=look.INK, loc="left")
    look.share_axis(ax, "share of proxies that decide by it")
    look.frame(ax)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False, fontsize="small")
    look.headline(ax, _finding(slowest), "From the flip until a proxy decides by the new value")
    return ax


_WAYS: Final = {"push": "RTDS push", "file": "file, swapped by the kubelet", "request": "admin call"}


def _finding(slowest: list[tuple[float, str]]) -> str:
    last = max(slowest)
    if not np.isfinite(last[0]):
        return f"Some proxies never decide by {last[1]}"
    first = min(slowest)
    if len(slowest) == 1:
        return f"The last proxy decides by {last[1]} after {seconds_text(last[0])}"
    return (
        f"All proxies decide by {first[1]} after {seconds_text(first[0])}, "
        f"by {last[1]} after {seconds_text(last[0])}"
    )
