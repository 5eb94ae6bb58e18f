"""How long until the proxies have a change: the share of them that received, acknowledged and use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D

from simulator.report import look
from simulator.report.delays import MARKS, delays_ns, distribution, reached_ns
from simulator.report.wording import seconds_text, share_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result
    from simulator.results.statistics import Values

__all__ = ["HEIGHT", "convergence"]

HEIGHT: Final = 5.0
SINCE: Final = "the change"

_CURVES: Final = (
    ("received", "receive_delay", "received"),
    ("acked", "ack_delay", "ACKed"),
    ("active", "active_delay", "active: decides traffic"),
)


def convergence(result: Result, ax: Axes | None = None, kind: str | None = None) -> Axes:
    """Draw the share of concerned proxies that have a change, against the time since it happened.

    All changes after the warm-up are pooled, those of one `kind` if it is given. What never arrived stays in
    the denominator, so that a curve which ends below 100 % says so. Returns the axes, those given or those
    of a new figure.
    """
    ax = look.own_axes(ax, HEIGHT)
    delays = {key: delays_ns(result, metric, kind) for key, metric, _ in _CURVES}
    active = delays["active"]
    if not len(active):
        return look.blank(ax, "No change concerned any proxy", "The deliveries table is empty.")
    drawn = [(key, label) for key, _, label in _CURVES if np.isfinite(delays[key]).any()]
    finite = np.concatenate([delays[key][np.isfinite(delays[key])] for key, _ in drawn] or [np.zeros(0)])
    size = look.delay_axis(ax, finite.tolist(), SINCE)
    for key, _ in drawn:
        _curve(ax, key, delays[key], size)
    _mark(ax, active, size)
    look.frame(ax)
    look.share_axis(ax, "share of proxies")
    look.legend(ax, [_entry(key, label) for key, label in drawn])
    look.headline(ax, _finding(active), _subject(result, active, kind))
    return ax


def _curve(ax: Axes, key: str, delays: Values, size: float) -> None:
    """A step curve that goes on flat to the end of the axis: later nothing changes."""
    at, share = distribution(delays)
    right = ax.get_xlim()[1]
    is_main = key == "active"
    ax.plot(
        [*(at / size), right],
        [*share, share[-1]],
        drawstyle="steps-post",
        color=look.JOURNEY_COLOURS[key],
        linewidth=2.4 if is_main else 1.4,
        zorder=4 if is_main else 3,
    )


def _mark(ax: Axes, active: Values, size: float) -> None:
    for share in MARKS:
        at = reached_ns(active, share)
        if not np.isfinite(at):
            continue
        x, y = max(at / size, ax.get_xlim()[0]), float(share)
        ax.plot([x, x], [0, y], color=look.PALE, linewidth=0.8, linestyle=look.DASHES, zorder=2)
        ax.plot(x, y, marker="o", markersize=6, color=look.JOURNEY_COLOURS["active"], zorder=5)
        ax.annotate(
            f"{y * 100:.0f} %: {seconds_text(at)}",
            xy=(x, y),
            xytext=(8, -13),
            textcoords="offset points",
            fontsize=9,
            color=look.INK,
            zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )


def _entry(key: str, label: str) -> Line2D:
    return Line2D([], [], color=look.JOURNEY_COLOURS[key], linewidth=2, label=label)


def _finding(active: Values) -> str:
    half, ninety_nine = reached_ns(active, MARKS[0]), reached_ns(active, MARKS[-1])
    never = int(np.isinf(active).sum())
    if never == len(active):
        return "No proxy ever used a change that concerned it"
    if not never:
        if half == active.max():
            return f"All concerned proxies use a change {seconds_text(half)} after it happened"
        return (
            f"Half of the proxies use a change after {seconds_text(half)}, 99 % after "
            f"{seconds_text(ninety_nine)}, the last after {seconds_text(float(active.max()))}"
        )
    missing = f"{share_text(never / len(active))} of the deliveries never became active"
    if np.isfinite(half):
        return f"{missing}; half of the proxies use a change after {seconds_text(half)}"
    return missing


def _subject(result: Result, active: Values, kind: str | None) -> str:
    changes = result.changes[result.changes["t_changed_ns"] >= result.warm_up_ns]
    if kind is not None:
        changes = changes[changes["kind"] == kind]
    of_kind = "" if kind is None else f" of kind {look.literal(kind)}"
    count = "1 change" if len(changes) == 1 else f"{len(changes):,} changes"
    pairs = "1 pair" if len(active) == 1 else f"{len(active):,} pairs"
    return f"{pairs} of a change and a proxy that it concerns, from {count}{of_kind}; dots: 50, 90 and 99 %"
