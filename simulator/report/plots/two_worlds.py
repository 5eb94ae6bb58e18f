"""Simulated and measured delays over each other, as shares that are there within a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from simulator.report import look
from simulator.report.wording import seconds_text
from simulator.results.two_samples import kolmogorov_smirnov

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HEIGHT", "two_worlds"]

HEIGHT: Final = 5.0


def two_worlds(
    delays_ns: Mapping[str, tuple[ArrayLike, ArrayLike]], since: str = "the change", ax: Axes | None = None
) -> Axes:
    """Draw the distribution of simulated delays dashed over that of measured ones, on a logarithmic axis.

    Args:
        delays_ns: Label -> simulated and measured delays in ns.
        since: What they count from.
        ax: Where to draw; a new figure if not given.

    Returns:
        The axes.
    """
    ax = look.own_axes(ax, HEIGHT)
    pairs = {
        label: (np.sort(np.asarray(ours, float)), np.sort(np.asarray(theirs, float)))
        for label, (ours, theirs) in delays_ns.items()
    }
    if not pairs or not all(len(values) for pair in pairs.values() for values in pair):
        return look.blank(ax, "There is nothing to compare", "One of the worlds shows no delay.")
    entries, told = [], []
    for (label, (ours, theirs)), colour in zip(pairs.items(), look.SERIES_COLOURS, strict=False):
        for values, dashes, width in ((theirs, "-", 3.5), (ours, "--", 1.5)):
            shares = np.arange(1, len(values) + 1) / len(values)
            shade = colour if dashes == "-" else look.INK
            alpha = 0.6 if dashes == "-" else 1.0
            ax.step(
                values / 1e6,
                shares,
                where="post",
                color=shade,
                linestyle=dashes,
                linewidth=width,
                alpha=alpha,
            )
        ks = kolmogorov_smirnov(ours, theirs)
        entries.append(
            Line2D([], [], color=colour, linewidth=3.5, alpha=0.6, label=look.literal(f"{label}, measured"))
        )
        told.append(f"{label}: KS {ks.distance:.2f} (5 %: {ks.critical:.2f}, n {ks.n[0]} and {ks.n[1]})")
    entries.append(Line2D([], [], color=look.INK, linestyle="--", linewidth=1.5, label="simulated"))
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(f"milliseconds since {since}")
    look.frame(ax)
    look.share_axis(ax, "share of deliveries")
    look.legend(ax, entries)
    look.headline(ax, look.literal(_finding(pairs)), look.literal("; ".join(told)))
    return ax


def _finding(pairs: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> str:
    """Medians, measured and simulated."""
    told = [
        f"{label} takes {seconds_text(float(np.median(theirs)))} "
        f"(simulated {seconds_text(float(np.median(ours)))})"
        for label, (ours, theirs) in pairs.items()
    ]
    return f"Until half of the changes are applied, {'; '.join(told)}"
