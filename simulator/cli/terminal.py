"""What ``xdsim run`` prints: question, warnings, start-up, metrics, what became of the changes, verdicts."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.text import Text

from simulator.cli.journey import (
    print_bottleneck,
    print_convergence,
    print_deliveries,
    print_requests,
    print_stages,
)
from simulator.cli.tables import FEW, TOO_FEW, footnote, new_table, show
from simulator.recording.instants import METRICS, STAGES
from simulator.report.phases import PHASES, Start, durations, first_phase_of, late_types, read_starts
from simulator.report.wording import folded_text, seconds_text, timed_out_text
from simulator.results.statistics import quantile, supports

if TYPE_CHECKING:
    from simulator.results.result import Result
    from simulator.scenario.schema import Scenario

__all__ = ["print_run"]

WIDE = 120
"""Columns where the output is no terminal and so has no width of its own."""
NARROW = 105
"""Below this many columns, tables leave out the one that explains."""
_P99 = Fraction(99, 100)


def print_run(
    result: Result, scenario: Scenario, seed: int, directory: Path, figures: Sequence[Path]
) -> None:
    """Print everything a run showed to standard output, for people."""
    console = Console(
        width=None if sys.stdout.isatty() else WIDE,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )
    console.print(Text(f"{scenario.name}  (seed {seed})", style="bold"))
    if scenario.question:
        console.print(Text(scenario.question.strip(), style="italic"))
    if result.manifest.get("engine") == "fleet":
        console.print(Text(f"fleet engine ({result.manifest['engine_reason']})", style="dim"))
    if result.folded is not None:
        console.print(Text(folded_text(result), style="dim"))
    if result.warnings:
        console.print()
    for warning in result.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    _startups(console, result)
    _metrics(console, result)
    print_convergence(console, result)
    print_stages(console, result)
    print_bottleneck(console, result)
    print_requests(console, result)
    print_deliveries(console, result)
    _expectations(console, result)
    console.print()
    # A path is printed whole, never wrapped: people copy it.
    names = ", ".join(path.name for path in figures)
    console.print(Text(f"results: {directory}  (figures: {names})"), soft_wrap=True)


def _startups(console: Console, result: Result) -> None:
    if len(result.startups) == 0:
        mesh = result.manifest["scenario"]["mesh"]
        was_connected = mesh["start"] == "connected" and mesh["proxies"] != 0
        at_once = " during the run: all were connected when it began" if was_connected else ""
        console.print(f"\nNo Envoy was started{at_once}.")
    elif len(result.startups) == 1:
        (start,) = read_starts(result)
        _one_start(console, start)
    else:
        _many_starts(console, result)


def _one_start(console: Console, start: Start) -> None:
    table = new_table(f"Start-up of {start.label}")
    explains = console.width >= NARROW
    table.add_column("phase", no_wrap=True)
    if explains:
        table.add_column("waits for")
    table.add_column("over after", justify="right")
    table.add_column("took", justify="right")
    table.add_column("")
    for span in start.spans:
        late = timed_out_text(span.timed_out)
        if span.ends_ns is None:
            over, took, note = "not over", "", late
        else:
            over = seconds_text(span.ends_ns)
            took = seconds_text(span.ends_ns - span.begins_ns) if span.ends_ns > span.begins_ns else "-"
            note = "listeners begin to accept" if span.phase.key == "workers" else late
        style = "bold" if span.phase.key == "workers" else "yellow" if late or span.ends_ns is None else ""
        explained = [span.phase.waits_for] if explains else []
        table.add_row(span.phase.label, *explained, over, took, note, style=style)
    show(console, table)
    connected = "never" if start.connected_ns is None else f"after {seconds_text(start.connected_ns)}"
    told = [f"stream to the control plane open: {connected}", f"outcome: {start.outcome}"]
    if not start.timed_out:
        told.insert(1, "no fetch timed out")
    footnote(console, "; ".join(told))


def _many_starts(console: Console, result: Result) -> None:
    startups = result.startups
    table = new_table(f"Start-up of {len(startups):,} Envoys, each from its own process start")
    table.add_column("phase")
    for name in ("median", "p99", "max", "not over"):
        table.add_column(name, justify="right")
    table.add_column("")
    late = late_types(result)
    spent = durations(startups)
    entered = np.ones(len(startups), dtype=bool)
    for phase in PHASES:
        seconds = spent[phase.key].to_numpy()
        types = {
            kind: sum(kind in counts for counts in late)
            for kind in phase.fetches
            if first_phase_of(kind) == phase.key
        }
        told = ", ".join(f"{kind.upper()} timed out in {count:,}" for kind, count in types.items() if count)
        table.add_row(phase.label, *_quantiles(seconds[entered]), told, style="yellow" if told else "")
        entered &= ~np.isnan(seconds)
    table.add_section()
    for label, instant, note in (
        ("start to workers", "t_workers_started_ns", "listeners begin to accept"),
        ("start to ready", "t_ready_ns", ""),
    ):
        total = (startups[instant] - startups["t_started_ns"]) / 1e9
        seconds = total.to_numpy(dtype="float64", na_value=math.nan)
        table.add_row(label, *_quantiles(seconds), note, style="bold")
    show(console, table)
    if not supports(len(startups), _P99):
        footnote(console, TOO_FEW)


def _quantiles(seconds: npt.NDArray[np.float64]) -> tuple[str, str, str, str]:
    """Median, p99 and maximum in words, and how many are not over: those count as infinite."""
    values = np.where(np.isnan(seconds), math.inf, seconds)
    waiting = int(np.isinf(values).sum())
    if not len(values):
        return "-", "-", "-", "-"
    high = seconds_text(quantile(values, _P99) * 1e9) + ("" if supports(len(values), _P99) else FEW)
    median = seconds_text(quantile(values, Fraction(1, 2)) * 1e9)
    return median, high, seconds_text(values.max() * 1e9), f"{waiting:,}" if waiting else "-"


def _metrics(console: Console, result: Result) -> None:
    """The summary: a line per metric, quantiles only where there is more than one sample."""
    summary = result.summary()
    if len(summary) == 0:
        return
    single = bool((summary["n"] == 1).all())
    table = new_table("Metrics")
    table.add_column("metric", no_wrap=True)
    for name in ("value",) if single else ("mean", "p50", "p90", "p99", "max", "n", "pending"):
        table.add_column(name, justify="right", no_wrap=True)
    explains = console.width >= NARROW
    if explains:
        table.add_column("definition", style="dim")
    notes: list[str] = []
    # The stages of a delivery have a table of their own.
    for metric, row in summary.drop(index=list(STAGES), errors="ignore").iterrows():
        line = row.to_dict()
        cells = [_amount(line["mean"], line["unit"])] if single else _cells(line)
        table.add_row(str(metric), *cells, *([_definition(str(metric))] if explains else []))
        # What a note says of single percentiles, the mark beside them says too.
        notes += [note for note in str(line["note"]).split("; ") if note and "too few" not in note]
        if any(cell.endswith(FEW) for cell in cells):
            notes.append(TOO_FEW)
    if (summary["pending"] > 0).any():
        notes.append("∞: did not happen in this run")
    show(console, table, ("definition", "max", "p90", "mean"))
    if any(note.startswith("no interval") for note in notes):
        notes.append("--replications N gives intervals")
    for note in sorted(dict.fromkeys(notes), key=lambda note: note.startswith((FEW, "∞"))):
        footnote(console, note)


def _cells(line: Mapping[Any, Any]) -> list[str]:
    count, unit = int(line["n"]), line["unit"]
    cells = [_amount(line["mean"], unit) + _interval(line)]
    if count == 1:
        cells += [""] * 4
    else:
        for percentage in (50, 90, 99):
            few = "" if supports(count, Fraction(percentage, 100)) else FEW
            cells.append(_amount(line[f"p{percentage}"], unit) + few)
        cells.append(_amount(line["max"], unit))
    return [*cells, f"{count:,}", f"{line['pending']:,}" if line["pending"] else "-"]


def _interval(line: Mapping[Any, Any]) -> str:
    """Below a mean, its interval where there is one."""
    if math.isnan(line["ci_low"]) or line["ci_low"] == line["ci_high"]:
        return ""
    return f"\n[{_amount(line['ci_low'], line['unit'])}, {_amount(line['ci_high'], line['unit'])}]"


def _definition(name: str) -> str:
    """In few words: the two instants a metric lies between, or what it counts."""
    metric = METRICS.get(name)
    if metric is None:
        return ""
    if metric.later and metric.earlier:
        return " - ".join(
            instant.removeprefix("t_").removesuffix("_ns") for instant in (metric.later, metric.earlier)
        )
    return metric.meaning.split(";")[0]


def _expectations(console: Console, result: Result) -> None:
    if not result.expectations:
        return
    table = new_table("Expectations")
    table.add_column("")
    table.add_column("expected")
    table.add_column("actual")
    for outcome in result.expectations:
        verdict = Text("met", style="green") if outcome.met else Text("NOT MET", style="bold red")
        table.add_row(verdict, outcome.text, outcome.actual)
    show(console, table)


def _amount(value: float, unit: str) -> str:
    """A value of the summary with its unit: times in the unit that suits them, counts as they are."""
    if unit == "s":
        return seconds_text(value * 1e9)
    if not math.isfinite(value):
        return "∞" if math.isinf(value) else "-"
    # Expected counts are no whole numbers; from a thousand on nobody reads a fraction, or 1.25e+03.
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 999.5 else f"{value:.3g}"
