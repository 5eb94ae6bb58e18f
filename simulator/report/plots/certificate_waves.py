"""When agents ask for certificates: one histogram over the run, a wave for each time the fleet renews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import MultipleLocator

from simulator.report import look
from simulator.report.watched import watched_ns
from simulator.report.wording import seconds_text
from simulator.results.statistics import Values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["HEIGHT", "certificate_waves"]

HEIGHT: Final = 3.6
BINS: Final = 400
HOUR_NS: Final = 3600e9
QUIET: Final = 0.05
"""A pause of this share of the run parts two waves."""
WAVES_AT_MOST: Final = 8
"""With more there is no room to say how wide each is."""


def certificate_waves(result: Result, ax: Axes | None = None) -> Axes:
    """Draw how many certificates are asked for over time, and say how wide each wave is.

    Returns the axes, those given or those of a new figure.
    """
    ax = look.own_axes(ax, HEIGHT)
    wanted = np.sort(result.certificates["t_wanted_ns"].to_numpy(dtype=np.float64))
    if not len(wanted):
        return look.blank(ax, "No certificate was asked for", "The table certificates is empty.")
    end_ns = max(watched_ns(result), float(wanted[-1]))
    size = _time_axis(ax, end_ns)
    counts, edges = np.histogram(wanted, bins=BINS, range=(0.0, end_ns))
    ax.stairs(counts, edges / size, fill=True, color=look.SERIES_COLOURS[0], zorder=3)
    _in_use(result, ax, end_ns, size)
    ax.set_ylabel(f"certificates asked for, per {_span_text(end_ns / BINS)}")
    ax.set_ylim(0, float(counts.max()) * 1.3)
    waves = _waves(wanted, end_ns)
    if len(waves) <= WAVES_AT_MOST:
        for number, wave in enumerate(waves):
            middle = float(wave.mean()) / size
            near = (edges[:-1] >= wave[0] - end_ns / BINS) & (edges[:-1] <= wave[-1])
            top = float(counts[near].max()) if near.any() else 0.0
            is_first = number == 0 and middle < 0.05 * end_ns / size
            ax.annotate(
                f"{len(wave)} within\n{_span_text(wave[-1] - wave[0])}"
                if wave[-1] > wave[0]
                else f"{len(wave)}",
                (0.0 if is_first else middle, top),
                (0, 4),
                textcoords="offset points",
                ha="left" if is_first else "center",
                va="bottom",
                fontsize="small",
            )
    look.frame(ax)
    look.headline(ax, _finding(waves), "When agents asked their CA for certificates")
    return ax


def _in_use(result: Result, ax: Axes, end_ns: float, size: float) -> None:
    """When Envoys had them, where that is later than a bar is wide: volumes and hot restarts take minutes."""
    rows = result.certificates.dropna(subset=["t_active_ns"])
    active = rows["t_active_ns"].to_numpy(dtype=np.float64)
    waits = active - rows["t_wanted_ns"].to_numpy(dtype=np.float64)
    if not len(waits) or float(np.median(waits)) <= 2 * end_ns / BINS:
        return
    counts, edges = np.histogram(active, bins=BINS, range=(0.0, end_ns))
    label = f"in use by Envoy, {seconds_text(float(waits.min()))} to {seconds_text(float(waits.max()))} later"
    ax.stairs(counts, edges / size, fill=True, color=look.SERIES_COLOURS[1], zorder=3, label=label)
    ax.legend(loc="upper right", frameon=False, fontsize="small")


def _time_axis(ax: Axes, end_ns: float) -> float:
    """Hours where the run takes hours; ns in a unit."""
    if end_ns < 2 * HOUR_NS:
        return look.time_axis(ax, end_ns, "the run began")
    ax.set_xlabel("time since the run began (h)")
    ax.xaxis.set_major_locator(MultipleLocator(max(1, round(end_ns / HOUR_NS / 48) * 6)))
    return HOUR_NS


def _span_text(span_ns: float) -> str:
    return seconds_text(span_ns) if span_ns < 120e9 else f"{span_ns / 60e9:,.0f} min"


def _waves(wanted: Values, end_ns: float) -> list[Values]:
    """The requests, parted where nobody asks for long."""
    cuts = np.flatnonzero(np.diff(wanted) > QUIET * end_ns) + 1
    return list(np.split(wanted, cuts))


def _finding(waves: list[Values]) -> str:
    widths = [float(wave[-1] - wave[0]) for wave in waves]
    if len(waves) < 2:
        when = f"within {_span_text(widths[0])}" if widths[0] else "at once"
        return f"{len(waves[0]):,} certificates are asked for {when}"
    if widths[-1] > 2 * max(widths[0], 1.0):
        return (
            f"Certificates are asked for in {len(waves)} waves that fade: "
            f"the first lasts {_span_text(widths[0])}, the last {_span_text(widths[-1])}"
        )
    return f"Certificates are asked for in {len(waves)} waves, each within {_span_text(max(widths))}"
