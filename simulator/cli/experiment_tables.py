"""What commands that play many runs print: a table, what differs, what failed, and where it all is."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

from simulator.cli.tables import footnote, new_table, show
from simulator.report.wording import amount_text, seconds_text

if TYPE_CHECKING:
    from simulator.results.comparison import Comparison
    from simulator.results.experiment import Experiment
    from simulator.results.replications import Replications
    from simulator.results.sweep import Sweep

__all__ = ["print_comparison", "print_replications", "print_sweep"]

_WIDE: Final = 140
_SHOWN_AT_MOST: Final = 60
_ERRORS_AT_MOST: Final = 5
_LATENCY: Final = ("p50", "p90", "p99", "mean", "staleness")
_COUNTS: Final = ("xds_messages", "xds_bytes")
_COSTS: Final = (*_COUNTS, "control_plane_cpu")
_TITLES: Final = {
    "xds_messages": "xDS messages",
    "xds_bytes": "xDS bytes",
    "control_plane_cpu": "control-plane CPU",
}


def print_comparison(comparison: Comparison, directory: Path, figures: Sequence[Path]) -> None:
    """Latency, staleness and cost of each variant, and the paired differences to the first."""
    console = _console()
    _head(console, comparison)
    metric = comparison.headline_metric()
    rows = comparison.table(metric)
    latency = _LATENCY if "staleness" in comparison.metrics else _LATENCY[:-1]
    _values(console, comparison, f"{metric}, with 95 % confidence intervals", latency)
    footnote(console, "staleness: mean time a proxy decided traffic while a change was outstanding")
    _pending(console, rows.to_dict(orient="index"))
    _values(console, comparison, "What a run costs, with 95 % confidence intervals", _COSTS)
    for other in comparison.variants[1:]:
        _paired(console, comparison, other)
    _tail(console, comparison, directory, figures)


def _values(console: Console, comparison: Comparison, title: str, columns: Sequence[str]) -> None:
    """One row a variant, of some columns of the comparison's table."""
    table = new_table(title)
    table.add_column("variant")
    for name in columns:
        table.add_column(_TITLES.get(name, name), justify="right", no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)
    for variant, row in comparison.table().iterrows():
        line = row.to_dict()
        cells = [_interval(line, name, amount_text if name in _COUNTS else _seconds) for name in columns]
        table.add_row(str(variant), *cells, _runs(line))
    show(console, table)


def _paired(console: Console, comparison: Comparison, other: str) -> None:
    first = comparison.variants[0]
    differences = comparison.paired(other, first)
    table = new_table(f"{other} - {first}, replication by replication")
    table.add_column("metric", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("difference", "95 % interval", "ratio", "correlation", "width to unpaired"):
        table.add_column(name, justify="right")
    for line in differences.reset_index().to_dict(orient="records"):
        say = _seconds if line["unit"] == "s" else amount_text
        has_interval = math.isfinite(line["ci_low"]) or math.isfinite(line["ci_high"])
        table.add_row(
            str(line["metric"]),
            str(line["stat"]),
            _signed(line["difference"], say),
            f"{_signed(line['ci_low'], say)} .. {_signed(line['ci_high'], say)}" if has_interval else "-",
            "-" if math.isnan(line["ratio"]) else f"{line['ratio']:.3g}",
            "-" if math.isnan(line["correlation"]) else f"{line['correlation']:.2f}",
            _narrowing(line),
        )
    show(console, table)
    notes = [str(note) for note in dict.fromkeys(differences["note"]) if note]
    for note in notes:
        footnote(console, note)


def print_sweep(sweep: Sweep, directory: Path, figures: Sequence[Path]) -> None:
    """One row a cell; of many cells, the first ones."""
    console = _console()
    _head(console, sweep)
    metric = sweep.headline_metric()
    table = new_table(f"{metric} over {', '.join(sweep.keys)}, with 95 % confidence intervals")
    for key in sweep.keys:
        table.add_column(key, justify="right")
    for name in ("p50", "p99", "mean", "messages", "control-plane CPU", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    notes: dict[str, None] = {}
    for cell in sweep.cells[:_SHOWN_AT_MOST]:
        found = {stat: sweep.estimate(cell.index, metric, stat) for stat in ("p50", "p99", "mean")}
        line = {
            name: value
            for stat, told in found.items()
            for name, value in ((stat, told.value), (f"{stat}_low", told.low), (f"{stat}_high", told.high))
        }
        here = sweep.runs[sweep.runs["cell"] == cell.index]
        failed = int(here["error"].notna().sum())
        cells = [_interval(line, stat, _seconds) for stat in found]
        cells.append(amount_text(sweep.estimate(cell.index, "xds_messages").value))
        cells.append(_seconds(sweep.estimate(cell.index, "control_plane_cpu").value))
        table.add_row(*cell.varied.values(), *cells, _runs({"runs": len(here) - failed, "failed": failed}))
        notes |= dict.fromkeys(part for told in found.values() for part in told.note.split("; ") if part)
    show(console, table)
    if len(sweep.cells) > _SHOWN_AT_MOST:
        footnote(console, f"... and {len(sweep.cells) - _SHOWN_AT_MOST:,} more in summary.parquet")
    for note in list(notes)[:4]:
        footnote(console, note)
    _tail(console, sweep, directory, figures)


def print_replications(replicated: Replications, directory: Path, figures: Sequence[Path]) -> None:
    """The summary of all runs together, with intervals."""
    console = _console()
    _head(console, replicated)
    table = new_table(
        f"Metrics of {len(replicated.runs):,} replications together, with 95 % confidence intervals"
    )
    table.add_column("metric", no_wrap=True)
    for name in ("mean", "p50", "p90", "p99", "max", "n", "pending"):
        table.add_column(name, justify="right", no_wrap=True)
    notes: dict[str, None] = {}
    for metric, row in replicated.table().iterrows():
        line = {**row.to_dict(), "mean_low": row["ci_low"], "mean_high": row["ci_high"]}
        say = _seconds if line["unit"] == "s" else amount_text
        cells = [_interval(line, name, say) for name in ("mean", "p50", "p90", "p99")]
        cells += [say(line["max"]), f"{line['n']:,}", f"{line['pending']:,}" if line["pending"] else "-"]
        table.add_row(str(metric), *cells)
        notes |= dict.fromkeys(
            part for part in str(line["note"]).split("; ") if part.startswith("no interval")
        )
    show(console, table)
    for note in notes:
        footnote(console, note)
    _tail(console, replicated, directory, figures)


def _console() -> Console:
    width = None if sys.stdout.isatty() else _WIDE
    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def _head(console: Console, experiment: Experiment) -> None:
    manifest = experiment.manifest
    console.print(
        Text(f"{manifest['name']}  (seed {manifest['seed']}, {len(experiment.runs):,} runs)", style="bold")
    )
    if manifest.get("question"):
        console.print(Text(str(manifest["question"]).strip(), style="italic"))


def _tail(console: Console, experiment: Experiment, directory: Path, figures: Sequence[Path]) -> None:
    """What failed, what was expected, and where the results are."""
    failed = experiment.failed
    if len(failed):
        console.print()
        console.print(Text(f"{len(failed):,} of {len(experiment.runs):,} runs failed:", style="bold red"))
        counts = failed["error"].value_counts()
        for error, count in list(counts.items())[:_ERRORS_AT_MOST]:
            console.print(Text(f"  {count:,} x {error}"), soft_wrap=True)
    unmet = experiment.runs["unmet"].dropna()
    lines: dict[str, int] = {}
    for text in unmet[unmet != ""]:
        for line in str(text).split("; "):
            lines[line] = lines.get(line, 0) + 1
    if lines:
        console.print()
    for line, count in lines.items():
        console.print(Text(f"NOT MET in {count:,} of {len(unmet):,} runs: {line}", style="bold red"))
    console.print()
    names = ", ".join(path.name for path in figures)
    console.print(Text(f"results: {directory}  (figures: {names})"), soft_wrap=True)


def _pending(console: Console, rows: Mapping[Any, Mapping[Any, Any]]) -> None:
    told = [
        f"{variant}: {int(row['pending']):,} of {int(row['n']):,}"
        for variant, row in rows.items()
        if row["pending"]
    ]
    if told:
        footnote(console, f"∞: did not happen in the run ({', '.join(told)})")


def _interval(line: Mapping[Any, Any], name: str, say: Callable[[float], str]) -> str:
    """A value, and below it its interval in brackets where there is one."""
    value, low, high = line[name], line[f"{name}_low"], line[f"{name}_high"]
    if math.isnan(value):
        return "-"
    if math.isnan(low) or (low == high == value):
        return say(value)
    return f"{say(value)}\n[{say(low)}, {say(high)}]"


def _runs(line: Mapping[Any, Any]) -> str:
    return f"{int(line['runs']):,}" + (f" (+{int(line['failed']):,} failed)" if line["failed"] else "")


def _narrowing(line: Mapping[Any, Any]) -> str:
    """How wide the paired interval is, as a share of the unpaired one."""
    paired, unpaired = line["ci_high"] - line["ci_low"], line["unpaired_high"] - line["unpaired_low"]
    if not math.isfinite(paired) or not math.isfinite(unpaired) or unpaired == 0:
        return "-"
    return f"{paired / unpaired * 100:.0f} %"


def _signed(value: float, say: Callable[[float], str]) -> str:
    if math.isnan(value):
        return "-"
    return f"-{say(-value)}" if value < 0 else f"+{say(value)}" if value > 0 else say(0)


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else seconds_text(value * 1e9)
