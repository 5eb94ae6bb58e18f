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
from simulator.report.paired_wording import change, narrowing, paired_interval, ratio_text, seconds, signed
from simulator.report.wording import amount_text
from simulator.results.disruption import DISRUPTIONS

if TYPE_CHECKING:
    from simulator.results.comparison import Comparison
    from simulator.results.experiment import Experiment
    from simulator.results.replications import Replications
    from simulator.results.sweep import Sweep

__all__ = ["new_console", "print_comparison", "print_replications", "print_sweep"]

_WIDE: Final = 150
_SHOWN_AT_MOST: Final = 60
_STEPS_AT_MOST: Final = 8
_ERRORS_AT_MOST: Final = 5
_NAMED_AT_MOST: Final = 4
_OWNED_BY: Final = "p99 owned by"
_LATENCY: Final = ("p50", "p90", "p99", "mean", "staleness")
_COUNTS: Final = ("xds_messages", "xds_bytes")
_COSTS: Final = (*_COUNTS, "control_plane_cpu")
_AMOUNTS: Final = (*_COUNTS, "most_without_configuration", "most_new_streams")
_TITLES: Final = {
    "xds_messages": "xDS messages",
    "xds_bytes": "xDS bytes",
    "control_plane_cpu": "control-plane CPU",
    "without_configuration": "without configuration",
    "most_without_configuration": "at once",
    "without_stream": "without a stream",
    "most_new_streams": "new streams in 1 s",
}


def print_comparison(comparison: Comparison, directory: Path, figures: Sequence[Path]) -> None:
    """Latency, staleness and cost of each variant, and the paired differences to the first."""
    console = new_console()
    _head(console, comparison)
    metric = comparison.headline_metric()
    rows = comparison.table(metric)
    latency = _LATENCY if "staleness" in comparison.metrics else _LATENCY[:-1]
    _values(console, comparison, f"{metric}, with 95 % confidence intervals", latency, owned=True)
    footnote(console, "staleness: mean time a proxy decided traffic while a change was outstanding")
    _pending(console, rows.to_dict(orient="index"))
    _values(console, comparison, "What a run costs, with 95 % confidence intervals", _COSTS)
    if (comparison.table()[list(DISRUPTIONS)] > 0).any(axis=None):
        _values(console, comparison, "What a run disturbs, with 95 % confidence intervals", DISRUPTIONS)
        footnote(
            console,
            "without configuration: processes between start and ready, all their time and the most at once; "
            "without a stream: until proxies that lost theirs had one again; and the most new streams",
        )
    for other in comparison.variants[1:]:
        _paired(console, comparison, other)
    _tail(console, comparison, directory, figures)


def _values(
    console: Console, comparison: Comparison, title: str, columns: Sequence[str], *, owned: bool = False
) -> None:
    """One row a variant, of some columns of the comparison's table, and what owns p99 of the delay."""
    owned &= _is_owned(comparison)
    table = new_table(title)
    table.add_column("variant")
    for name in columns:
        table.add_column(_TITLES.get(name, name), justify="right", no_wrap=True)
    if owned:
        table.add_column(_OWNED_BY)
    table.add_column("runs", justify="right", no_wrap=True)
    for variant, row in comparison.table().iterrows():
        line = row.to_dict()
        cells = [_interval(line, name, amount_text if name in _AMOUNTS else seconds) for name in columns]
        owner = [str(line["bottleneck_p99"])] if owned else []
        table.add_row(str(variant), *cells, *owner, _runs(line))
    show(console, table, ("runs", "p90", "at once", "staleness", "mean"))


def _paired(console: Console, comparison: Comparison, other: str) -> None:
    first = comparison.variants[0]
    differences = comparison.paired(other, first)
    table = new_table(f"{other} - {first}, replication by replication")
    table.add_column("metric", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("difference", "95 % interval", "ratio", "correlation", "width to unpaired"):
        table.add_column(name, justify="right")
    for line in differences.reset_index().to_dict(orient="records"):
        say = seconds if line["unit"] == "s" else amount_text
        table.add_row(
            str(line["metric"]),
            str(line["stat"]),
            change(line, say),
            paired_interval(line, say),
            ratio_text(line["ratio"]),
            "-" if math.isnan(line["correlation"]) else f"{line['correlation']:.2f}",
            narrowing(line),
        )
    show(console, table, ("width to unpaired", "correlation", "ratio"))
    notes = [part for note in differences["note"] for part in str(note).split("; ") if part]
    for note in dict.fromkeys(note for note in notes if not note.startswith("not finite")):
        footnote(console, note)
    if differences["not_finite"].any():
        footnote(
            console, "not finite: something never came to an end, in either; no correlation is told then"
        )


def print_sweep(sweep: Sweep, directory: Path, figures: Sequence[Path]) -> None:
    """One row a cell; of many cells, the first ones."""
    console = new_console()
    _head(console, sweep)
    metric = sweep.headline_metric()
    table = new_table(f"{metric} over {', '.join(sweep.keys)}, with 95 % confidence intervals")
    for key in _short(sweep.keys):
        table.add_column(key, justify="right")
    for name in ("p50", "p99", "mean", "messages", "control-plane CPU"):
        table.add_column(name, justify="right", no_wrap=True)
    owned = _is_owned(sweep)
    if owned:
        table.add_column(_OWNED_BY)
    table.add_column("runs", justify="right", no_wrap=True)
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
        cells = [_interval(line, stat, seconds) for stat in found]
        cells.append(amount_text(sweep.estimate(cell.index, "xds_messages").value))
        cells.append(seconds(sweep.estimate(cell.index, "control_plane_cpu").value))
        if owned:
            cells.append(sweep.bottleneck(cell.index))
        table.add_row(*cell.varied.values(), *cells, _runs({"runs": len(here) - failed, "failed": failed}))
        notes |= dict.fromkeys(part for told in found.values() for part in told.note.split("; ") if part)
    show(console, table, ("runs", "messages", "control-plane CPU", "mean"))
    if len(sweep.cells) > _SHOWN_AT_MOST:
        footnote(console, f"... and {len(sweep.cells) - _SHOWN_AT_MOST:,} more in summary.parquet")
    for note in list(notes)[:4]:
        footnote(console, note)
    _steps(console, sweep, metric)
    _tail(console, sweep, directory, figures)


def _steps(console: Console, sweep: Sweep, metric: str) -> None:
    """Which knob moves it: the steps of the grid that change p99 most."""
    steps = sweep.steps(metric)
    order = steps["difference"].abs().sort_values(ascending=False, kind="stable").index
    steps = steps.loc[order].dropna(subset=["difference"])
    if not len(steps):
        return
    several = len(sweep.keys) > 1
    table = new_table(f"Which knob moves p99 of {metric}: what one step of a key changes, the largest first")
    for name in ("key", "step", *(["with"] if several else [])):
        table.add_column(name)
    for name in ("change of p99", "95 % interval", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in steps.head(_STEPS_AT_MOST).to_dict(orient="records"):
        table.add_row(
            line["key"],
            f"{line['before']} -> {line['after']}",
            *([line["others"]] if several else []),
            signed(line["difference"], seconds),
            paired_interval(line, seconds),
            ratio_text(line["ratio"]),
        )
    show(console, table, ("ratio",))
    if len(steps) > _STEPS_AT_MOST:
        footnote(console, f"... and {len(steps) - _STEPS_AT_MOST:,} smaller ones")
    if bool((steps["ci_low"].isna() & (steps["not_finite"] == 0)).all()):
        footnote(console, "no intervals: one run is one independent unit; give --replications")


def print_replications(replicated: Replications, directory: Path, figures: Sequence[Path]) -> None:
    """The summary of all runs together, with intervals."""
    console = new_console()
    _head(console, replicated)
    table = new_table(
        f"Metrics of {len(replicated.runs):,} replications together, with 95 % confidence intervals"
    )
    lines = replicated.table()
    has_pending = bool(lines["pending"].any())
    table.add_column("metric", no_wrap=True)
    for name in ("mean", "p50", "p90", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("max", "n", "pending")[: 3 if has_pending else 2]:
        # These are broken into lines where there is no room: a number without its end is another number.
        table.add_column(name, justify="right")
    notes: dict[str, None] = {}
    for metric, row in lines.iterrows():
        line = {**row.to_dict(), "mean_low": row["ci_low"], "mean_high": row["ci_high"]}
        say = seconds if line["unit"] == "s" else amount_text
        cells = [_interval(line, name, say) for name in ("mean", "p50", "p90", "p99")]
        cells += [say(line["max"]), f"{line['n']:,}"]
        if has_pending:
            cells.append(f"{line['pending']:,}" if line["pending"] else "-")
        table.add_row(str(metric), *cells)
        notes |= dict.fromkeys(
            part for part in str(line["note"]).split("; ") if part.startswith("no interval")
        )
    show(console, table, ("max", "p90", "n", "mean"))
    for note in notes:
        footnote(console, note)
    _tail(console, replicated, directory, figures)


def _short(keys: Sequence[str]) -> list[str]:
    """The last words of paths, as headings: as many as tell them apart."""
    parts = [key.split(".") for key in keys]
    for length in range(1, max((len(path) for path in parts), default=0) + 1):
        names = [".".join(path[-length:]) for path in parts]
        if len(dict.fromkeys(names)) == len(names):
            return names
    return list(keys)


def _is_owned(experiment: Experiment) -> bool:
    """Whether any delay has an owner: not where no change concerns any proxy."""
    return any(experiment.bottleneck(cell.index) for cell in experiment.cells)


def new_console() -> Console:
    """What tables of many runs are printed to: as wide as the terminal, or as they need."""
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
    _unmet(console, experiment)
    console.print()
    names = ", ".join(path.name for path in figures)
    console.print(Text(f"results: {directory}  (figures: {names})"), soft_wrap=True)


def _unmet(console: Console, experiment: Experiment) -> None:
    """The expectations that did not hold, in how many runs, and of which variants."""
    runs = experiment.runs.dropna(subset=["unmet"])
    unmet: dict[str, dict[str, int]] = {}
    for variant, text in zip(runs["variant"], runs["unmet"], strict=True):
        for line in str(text).split("; ") if text else ():
            by_variant = unmet.setdefault(line, {})
            by_variant[str(variant)] = by_variant.get(str(variant), 0) + 1
    if unmet:
        console.print()
    for line, by_variant in unmet.items():
        count, where = sum(by_variant.values()), _where(by_variant, experiment)
        told = f"NOT MET in {count:,} of {len(runs):,} runs{where}: {line}"
        console.print(Text(told, style="bold red"))


def _where(counts: Mapping[str, int], experiment: Experiment) -> str:
    """The variants in which it happened, where not in all and not in too many to name."""
    if len(counts) == len(experiment.cells) or len(counts) > _NAMED_AT_MOST:
        return ""
    return f" ({'; '.join(counts)})"


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
