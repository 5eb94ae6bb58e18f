"""Times, counts and time-outs in words, alike in figures and on the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["amount_text", "count_text", "folded_text", "seconds_text", "share_text", "timed_out_text"]


def seconds_text(ns: float) -> str:
    """A time for people, with three figures and a unit: ``4.03 s``, ``12.3 ms``, ``0 s``, ``∞``."""
    if math.isinf(ns) or math.isnan(ns):
        return "∞"
    if ns == 0:
        return "0 s"
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        amount = ns / size
        if abs(amount) >= 0.9995:
            digits = 2 if abs(amount) < 9.995 else 1 if abs(amount) < 99.95 else 0
            return f"{amount:,.{digits}f} {unit}"
    return f"{ns:.0f} ns"


def timed_out_text(counts: Mapping[str, int]) -> str:
    """Fetch time-outs by type: ``EDS timed out (5), RDS timed out``; empty when there were none."""
    return ", ".join(
        f"{kind.upper()} timed out" if count == 1 else f"{kind.upper()} timed out ({count:,})"
        for kind, count in counts.items()
    )


def count_text(count: float) -> str:
    """An expected count for people: ``1,200``, ``12``, ``0.35``, ``0``."""
    if count >= 9.995 or count == int(count):
        return f"{count:,.0f}"
    return f"{count:.2g}" if count >= 0.01 else "< 0.01"


def share_text(share: float) -> str:
    """A share in percent for people: ``100 %``, ``12 %``, ``0.03 %``; never 0 or 100 by rounding."""
    percent = share * 100
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if percent < 0.01:
        return "< 0.01 %"
    if percent > 99.99:
        return "> 99.99 %"
    if 1 <= percent <= 99:
        return f"{percent:.0f} %"
    return f"{percent:.2f} %" if percent < 1 or percent > 99.9 else f"{percent:.1f} %"


def amount_text(amount: float) -> str:
    """A number for people, with three figures: ``1.23 M``, ``45.6 k``, ``12``, ``0.035``."""
    if not math.isfinite(amount):
        return "-" if math.isnan(amount) else "∞" if amount > 0 else "-∞"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(amount) >= size * 0.99995:
            scaled = amount / (1e3 if unit == " k" else size)
            return f"{scaled:.4g}{unit}" if abs(scaled) >= 1000 else f"{scaled:.3g}{unit}"
    return f"{amount:,.0f}" if float(amount).is_integer() else f"{amount:,.4g}"


def folded_text(result: Result) -> str:
    """That the deliveries are histograms, how exact these are, and what is of a sample."""
    told = result.manifest["deliveries"]
    return (
        f"{told['rows']:,} deliveries are kept as histograms by change and stage (quantiles within "
        f"{told['relative_error']:.1%}); {told['sampled_rows']:,} of them as rows, from which staleness and "
        "what owns the delay are told (recording.deliveries: table keeps all)"
    )
