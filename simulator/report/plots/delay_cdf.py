"""Which kinds of change take how long: one distribution of the delay until active for each."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D

from simulator.recording.instants import METRICS
from simulator.report import look
from simulator.report.delays import delays_ns, distribution, reached_ns
from simulator.report.wording import seconds_text
from simulator.results.metrics import metric_rows

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from simulator.results.result import Result
    from simulator.results.statistics import Values

__all__ = ["HEIGHT", "delay_cdf", "kinds_of"]

HEIGHT: Final = 5.0
KINDS_AT_MOST: Final = len(look.SERIES_COLOURS)
"""More kinds than this cannot be told apart by colour: the rarest are drawn together."""
_P99: Final = Fraction(99, 100)


def delay_cdf(result: Result, ax: Axes | None = None) -> Axes:
    """Draw, for each kind of change, the share of deliveries active within a time.

    Returns the axes, those given or those of a new figure. The rarest kinds are drawn as one where there are
    too many; what never became active keeps a curve below 100 %.
    """
    ax = look.own_axes(ax, HEIGHT)
    series = _series(result)
    if not series:
        return look.blank(ax, "No change concerned any proxy", "The deliveries table is empty.")
    finite = np.concatenate([delays[np.isfinite(delays)] for delays in series.values()])
    size = look.delay_axis(ax, finite.tolist(), "the change")
    entries: list[Artist] = []
    for (kind, delays), colour in zip(series.items(), look.SERIES_COLOURS, strict=False):
        at, share = distribution(delays)
        if len(at):
            ax.plot(
                [*(at / size), ax.get_xlim()[1]],
                [*share, share[-1]],
                drawstyle="steps-post",
                color=colour,
                linewidth=1.8,
                zorder=3,
            )
        label = f"{look.literal(kind)} ({len(delays):,})"
        entries.append(Line2D([], [], color=colour, linewidth=2, label=label))
    look.frame(ax)
    look.share_axis(ax, "share of deliveries active")
    look.legend(ax, entries)
    look.headline(
        ax,
        look.literal(_finding(series)),
        "Delay from a change until it decides traffic in one proxy, by kind of change (number of deliveries)",
    )
    return ax


def kinds_of(result: Result) -> list[str]:
    """The kinds of change that concerned a proxy, those with most deliveries first."""
    rows = metric_rows(result, METRICS["active_delay"])
    return [str(kind) for kind in rows["kind"].value_counts(sort=True).index]


def _series(result: Result) -> dict[str, Values]:
    kinds = kinds_of(result)
    if len(kinds) <= KINDS_AT_MOST:
        return {kind: delays_ns(result, "active_delay", kind) for kind in kinds}
    named, rest = kinds[: KINDS_AT_MOST - 1], kinds[KINDS_AT_MOST - 1 :]
    together = np.concatenate([delays_ns(result, "active_delay", kind) for kind in rest])
    return {**{kind: delays_ns(result, "active_delay", kind) for kind in named}, "others": together}


def _finding(series: dict[str, Values]) -> str:
    ends = {kind: reached_ns(delays, _P99) for kind, delays in series.items()}
    slowest = max(ends, key=lambda kind: ends[kind])
    fastest = min(ends, key=lambda kind: ends[kind])
    if np.isinf(ends[slowest]):
        never = [kind for kind, end in ends.items() if np.isinf(end)]
        return f"More than 1 % of the deliveries of {', '.join(never)} never become active"
    if len(series) == 1:
        return f"99 % of {slowest} are active within {seconds_text(ends[slowest])}"
    if ends[slowest] == ends[fastest]:
        return f"All kinds alike: 99 % are active within {seconds_text(ends[slowest])}"
    return (
        f"Slowest is {slowest}: 99 % active within {seconds_text(ends[slowest])}; "
        f"fastest {fastest}: {seconds_text(ends[fastest])}"
    )
