"""What ``xdsim explain`` prints: what owns the delay, what each knob does to it, and what follows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from simulator.cli.experiment_tables import new_console
from simulator.cli.tables import footnote, new_table, show
from simulator.recording.bottlenecks import QUANTILES
from simulator.report.paired_wording import seconds, signed
from simulator.report.stages import bottleneck_text
from simulator.report.wording import share_text
from simulator.results.explanation import AS_IT_IS

if TYPE_CHECKING:
    from simulator.results.explanation import Explanation
    from simulator.scenario.schema import Scenario

__all__ = ["print_explanation"]


def print_explanation(explanation: Explanation, scenario: Scenario, seed: int, directory: Path) -> None:
    """Print the owners, a line a knob, and in one sentence the knob to turn."""
    console = new_console()
    comparison = explanation.comparison
    console.print(Text(f"{scenario.name}  (seed {seed}, {len(comparison.runs):,} runs)", style="bold"))
    if scenario.question:
        console.print(Text(scenario.question.strip(), style="italic"))
    _owners(console, explanation)
    _knobs(console, explanation)
    console.print()
    console.print(Text(_finding(explanation), style="bold"))
    if len(comparison.failed):
        console.print(
            Text(f"{len(comparison.failed):,} of {len(comparison.runs):,} runs failed", style="red")
        )
    console.print()
    console.print(Text(f"results: {directory}"), soft_wrap=True)


def _owners(console: Console, explanation: Explanation) -> None:
    console.print()
    told = "; ".join(bottleneck_text(owner) for owner in explanation.owners)
    console.print(Text(f"Bottleneck: {told}.", style="bold"))
    for owner in explanation.owners:
        shares = [f"{stage} {share_text(share)}" for stage, share in owner.shares.items() if share >= 0.01]
        footnote(console, f"{owner.at}: {', '.join(shares)}")
    counts = {at: explanation.comparison.bottleneck(AS_IT_IS, at) for at in QUANTILES}
    if any("(" in told for told in counts.values()):
        footnote(console, f"over all runs: {'; '.join(f'{at} {told}' for at, told in counts.items())}")


def _knobs(console: Console, explanation: Explanation) -> None:
    comparison = explanation.comparison
    table = new_table("What one turn of a knob does to active_delay, with paired 95 % confidence intervals")
    for name in ("knob", "from", "to"):
        table.add_column(name, no_wrap=name == "knob")
    for at in QUANTILES:
        table.add_column(at, justify="right", no_wrap=True)
        table.add_column("change", justify="right", no_wrap=True)
    table.add_column("then p99 is owned by")
    base = [seconds(comparison.estimate(AS_IT_IS, "active_delay", at).value) for at in QUANTILES]
    owner = comparison.bottleneck(AS_IT_IS)
    table.add_row(AS_IT_IS, "", "", base[0], "", base[1], "", owner)
    table.add_section()
    for key, row in explanation.table().iterrows():
        line = row.to_dict()
        cells = [cell for at in QUANTILES for cell in (seconds(line[at]), _change(line, at))]
        moves = any(line[f"{at}_moves"] for at in QUANTILES)
        after = str(line["p99_bottleneck"])
        then = "the same" if after == owner else after
        table.add_row(str(key), line["before"], line["after"], *cells, then, style="" if moves else "dim")
    show(console, table)
    if comparison.manifest["replications"] < 2:
        footnote(console, "no intervals: one run is one independent unit; give --replications")
    if explanation.unturned:
        footnote(console, f"nothing to turn: {', '.join(explanation.unturned)}")


def _change(line: dict[Any, Any], at: str) -> str:
    """The difference, and below it its interval; what no interval keeps away from 0 may be chance."""
    change = signed(line[f"{at}_change"], seconds)
    low, high = line[f"{at}_low"], line[f"{at}_high"]
    if math.isnan(low) or low == high:
        return change
    return f"{change}\n[{signed(low, seconds)}, {signed(high, seconds)}]"


def _finding(explanation: Explanation) -> str:
    """The knob that takes most off p99, or that none does."""
    table = explanation.table()
    base = explanation.comparison.estimate(AS_IT_IS, "active_delay", "p99").value
    helps = table[table["p99_moves"] & (table["p99_change"] < 0)]
    if not len(helps):
        return "No turn takes anything off p99 that could not be chance."
    best = helps.iloc[0]
    key = helps.index[0]
    share = f" ({share_text(-best['p99_change'] / base)})" if math.isfinite(base) and base else ""
    return (
        f"{key} {best['before']} -> {best['after']} takes {seconds(-best['p99_change'])} off p99{share}, "
        "the most of these."
    )
