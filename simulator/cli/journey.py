"""What ``xdsim run`` prints of changes: when the proxies have them, where the time goes, what they break."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np
from rich.console import Console
from rich.text import Text

from simulator.cli.tables import FEW, TOO_FEW, footnote, new_table, show
from simulator.report.delays import MARKS, OUTCOMES, change_outcomes, delays_ns, reached_ns
from simulator.report.requests import harm, harm_text
from simulator.report.stages import bottleneck_text, stage_times
from simulator.report.wording import count_text, seconds_text, share_text
from simulator.results.statistics import quantile

if TYPE_CHECKING:
    from simulator.results.result import Result
    from simulator.results.statistics import Values

__all__ = ["print_bottleneck", "print_convergence", "print_deliveries", "print_requests", "print_stages"]

FEW_OUTCOMES: Final = 3
"""Up to which the headings of the table of deliveries stand in one line."""
CHANGES_AT_MOST: Final = 12
"""More changes than this are told by kind."""
_SHARES: Final = (*MARKS, Fraction(1))
_IN_TWO_LINES: Final = {
    "disconnected": "dis-\nconnected",
    "superseded": "super-\nseded",
    **{f"active {float(share * 100):.0f} %": f"active\n{float(share * 100):.0f} %" for share in _SHARES},
}
_JOURNEY: Final = (("received", "receive_delay"), ("ACKed", "ack_delay"), ("active", "active_delay"))


def print_convergence(console: Console, result: Result) -> None:
    """How long until 50, 90, 99 and 100 % of the proxies concerned received, ACKed and use a change."""
    delays = {label: delays_ns(result, metric) for label, metric in _JOURNEY}
    pairs = len(delays["active"])
    if pairs < 2:
        return
    table = new_table("How long until the proxies have a change")
    table.add_column("")
    for share in _SHARES:
        table.add_column(_share(share), justify="right")
    table.add_column("never", justify="right")
    for label, values in delays.items():
        never = int(np.isinf(values).sum())
        style = "bold" if label == "active" else ""
        table.add_row(label, *_reached(values), f"{never:,}" if never else "-", style=style)
    show(console, table)
    changes = int((result.changes["t_changed_ns"] >= result.warm_up_ns).sum())
    footnote(
        console,
        f"time since the change, over {pairs:,} pairs of a change and a proxy that it concerns "
        f"({changes:,} {'change' if changes == 1 else 'changes'})",
    )
    if any(_differs(values, share) for values in delays.values() for share in MARKS):
        footnote(console, "a share is there with the last of its pairs; a percentile may lie between two")


def print_stages(console: Console, result: Result) -> None:
    """Where the time goes, stage by stage."""
    stages, whole = stage_times(result)
    if whole is None or whole.mean_ns == 0:
        return
    table = new_table("Where the time goes until a change is active")
    table.add_column("stage")
    for name in ("median", "p99", "share"):
        table.add_column(name, justify="right")
    for stage in stages:
        if stage.p99_ns == 0 and stage.mean_ns == 0:
            continue
        few = "" if stage.is_supported else FEW
        table.add_row(
            stage.label,
            seconds_text(stage.median_ns),
            seconds_text(stage.p99_ns) + few,
            share_text(stage.mean_ns / whole.mean_ns),
        )
    table.add_section()
    few = "" if whole.is_supported else FEW
    table.add_row(whole.label, seconds_text(whole.median_ns), seconds_text(whole.p99_ns) + few, style="bold")
    show(console, table)
    footnote(console, "of what became active; stages that took no time are left out; shares are of the mean")
    if not whole.is_supported:
        footnote(console, TOO_FEW)


def print_bottleneck(console: Console, result: Result) -> None:
    """In one line: what owns the delay, in the middle and in the tail."""
    told = result.bottlenecks
    if not told:
        return
    if all(owner.stage == told[0].stage for owner in told):
        told = told[-1:]
    console.print()
    console.print(Text(f"Bottleneck: {'; '.join(bottleneck_text(owner) for owner in told)}.", style="bold"))


def print_requests(console: Console, result: Result) -> None:
    """How many requests failed or were decided by what was out of date, and what went backwards."""
    if len(result.traffic):
        told = harm(result)
        words = f"{harm_text(told)}."
        if told.attempts_failed > told.all_failed:
            words += f" Before retries, {count_text(told.attempts_failed)} attempts failed."
        console.print()
        console.print(Text(words, style="yellow" if told.failed else ""))
    if len(result.regressions):
        proxies = result.regressions["proxy_id"].nunique()
        times = f"{len(result.regressions):,} times a proxy was given older content than it had"
        console.print()
        console.print(Text(f"{times} ({proxies:,} proxies).", style="yellow"))


def print_deliveries(console: Console, result: Result) -> None:
    """What became of each change: a line per change, or per kind of change where there are many."""
    changes = result.changes
    if len(result.deliveries) == 0 or len(changes) == 0:
        return
    by_change = len(changes) <= CHANGES_AT_MOST
    told = change_outcomes(result, by_kind=not by_change)
    outcomes = sorted({outcome: None for each in told for outcome in each.counts}, key=OUTCOMES.index)
    is_single = bool((changes["proxies_concerned"] <= 1).all())
    table = new_table("Deliveries" if by_change else "Deliveries by kind of change")
    table.add_column("change", no_wrap=not by_change)  # kinds are few and short, and no guess when cut
    table.add_column("at" if by_change else "changes", justify="right")
    is_broad = len(outcomes) <= FEW_OUTCOMES
    shares = ["active after (median)"] if is_single else [f"active {_share(share)}" for share in _SHARES]
    for heading in (*outcomes, *shares):
        table.add_column(heading if is_broad else _IN_TWO_LINES.get(heading, heading), justify="right")
    for each in told:
        counts = (each.counts.get(outcome, 0) for outcome in outcomes)
        table.add_row(
            f"{each.kind} {_shortened(each.name)}" if by_change else each.kind,
            seconds_text(each.t_changed_ns) if by_change else f"{each.changes:,}",
            *(f"{count:,}" if count else "-" for count in counts),
            *([seconds_text(each.median_ns)] if is_single else _reached(each.active_ns)),
        )
    show(console, table, ("active 90 %", "active\n90 %"))


def _reached(delays: Values) -> list[str]:
    return [seconds_text(reached_ns(delays, share)) for share in _SHARES]


def _differs(delays: Values, share: Fraction) -> bool:
    """Whether a reader sees another number than the percentile of that name."""
    return seconds_text(reached_ns(delays, share)) != seconds_text(quantile(delays, share))


def _share(share: Fraction) -> str:
    return f"{float(share * 100):.0f} %"


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
