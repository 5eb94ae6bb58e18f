"""``xdsim search``: the smallest value of a key with which a scenario meets what is asked of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.cli.experiment_arguments import refusals
from simulator.cli.progress_bar import progress_bar
from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import add_scenario_arguments, load

if TYPE_CHECKING:
    from simulator.experiment.search import Probe, Search

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "find the smallest value of a key that meets an expectation"
DESCRIPTION = (
    "Plays a scenario at values between two ends, all with the same changes and random numbers, and narrows "
    "down the smallest with which every replication meets the expectation. Where larger values do not always "
    "do better, it says so and names none."
)

UNMET: Final = 1
_WIDE: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what varies and what is to be met."""
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file (YAML)")
    parser.add_argument(
        "--vary",
        required=True,
        metavar="KEY=LOW..HIGH",
        help="the key and its ends, e.g. control_plane.cpu=1..32 or 'mesh.proxies=10..1000 log'",
    )
    parser.add_argument(
        "--meet",
        required=True,
        action="append",
        metavar="EXPECT",
        help="what is to hold, e.g. 'p99(active_delay) < 2s'; may be repeated",
    )
    parser.add_argument(
        "--replications", type=_count, default=10, metavar="N", help="repetitions of each value (default: 10)"
    )
    parser.add_argument(
        "--executor",
        metavar="E",
        help="serial, processes[:N] (default: one for each processor) or dask://HOST:PORT",
    )
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Play and print: 0 if a value was found, 1 if none meets it or larger values do not always do better."""
    from simulator.experiment.search import search

    key, equals, ends = options.vary.partition("=")
    if not equals or not key.strip() or ".." not in ends:
        raise BadInput(f"--vary {options.vary}: write KEY=LOW..HIGH, e.g. control_plane.cpu=1..32")
    scenario = load(options.scenario, options.overrides)
    with refusals(Path(), "--vary", "--meet"), progress_bar(f"searching {scenario.name}") as progress:
        found = search(
            scenario,
            key.strip(),
            ends.strip(),
            options.meet,
            replications=options.replications,
            seed=options.seed,
            executor=options.executor,
            progress=progress,
        )
    _print(found)
    return UNMET if found.value is None else 0


def _print(found: Search) -> None:
    from rich.console import Console
    from rich.text import Text

    from simulator.cli.tables import new_table, show

    width = None if sys.stdout.isatty() else _WIDE
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    console.print(Text(_answer(found), style="bold" if found.value is not None else "bold red"))
    table = new_table("Every value that was played")
    is_estimated = any(probe.estimate is not None for probe in found.probes)
    table.add_column(found.key, justify="right")
    table.add_column("replications that meet it", justify="right")
    if is_estimated:
        table.add_column(found.meet[0].partition(")")[0] + ")", justify="right")
        table.add_column("95 % interval")
    table.add_column("")
    for probe in found.probes:
        failed = f"{probe.failed} failed inside" if probe.failed else ""
        row = [probe.value, f"{probe.met} of {probe.replications}"]
        table.add_row(
            *row,
            *(_estimate(found, probe) if is_estimated else ()),
            failed or ("" if probe.passes else "fails"),
        )
    show(console, table)


def _answer(found: Search) -> str:
    what = " and ".join(found.meet)
    if not found.is_monotone:
        first = next(probe for probe in found.probes if probe.passes)
        worse = next(probe for probe in reversed(found.probes) if not probe.passes)
        return (
            f"No answer: {found.key}={first.value} meets {what}, and the larger {worse.value} does not. "
            "Larger values do not always do better, so there is no smallest value that suffices."
        )
    if found.value is None:
        return f"No value of {found.key} up to {found.probes[-1].value} meets {what}."
    below = "the smallest tried" if found.below is None else f"{found.below} does not"
    count = found.probes[0].replications
    return (
        f"{found.key}={found.value} meets {what} ({below}). It did in {count} of {count} replications: with "
        f"95 % confidence in at least {found.met_at_least:.0%} of all."
    )


def _estimate(found: Search, probe: Probe) -> tuple[str, str]:
    import math

    from simulator.recording.instants import METRICS
    from simulator.report.wording import seconds_text

    estimate = probe.estimate
    if estimate is None:
        return "-", ""
    metric = found.meet[0].partition("(")[2].partition(")")[0].strip()
    is_time = metric in METRICS and METRICS[metric].unit == "s"

    def text(value: float) -> str:
        return seconds_text(value * 1e9) if is_time else f"{value:,.4g}"

    has_interval = not (math.isnan(estimate.low) or math.isnan(estimate.high))
    return text(estimate.value), f"{text(estimate.low)} to {text(estimate.high)}" if has_interval else "none"


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from 1 to 10000")
    return count
