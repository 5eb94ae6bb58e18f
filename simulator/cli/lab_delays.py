"""``xdsim lab delays``: delays of both worlds as distributions, for fleets and for strategies."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.lab_arguments import check_playable
from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import add_scenario_arguments, load

if TYPE_CHECKING:
    from simulator.lab.distributions import TwoWorlds

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "hold distributions of delays against real Envoys: fleets, push against poll"
DESCRIPTION = (
    "Plays a scenario once for each strategy, simulates it ten times, and prints for every kind of delay how "
    "it is distributed in both worlds, with the Kolmogorov-Smirnov distance between them, the distance that "
    "5 % of equal distributions exceed, and the probability of this one. For scenarios in which no two runs "
    "give the same numbers: fleets that share cores, back-offs, polls."
)

_STRATEGIES = ("push", "poll", "file")
_FIGURED = "change to applied"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenario, the strategies and the figure."""
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file (YAML)")
    parser.add_argument(
        "--strategies",
        metavar="LIST",
        type=_strategies,
        default=(),
        help=f"play it with each of these: {', '.join(_STRATEGIES)} (default: the scenario's own)",
    )
    parser.add_argument(
        "--figure", metavar="STEM", type=Path, help="draw the delays until applied: STEM.png and STEM.svg"
    )
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """0; BadInput where nothing can be played or drawn."""
    scenario = load(options.scenario, options.overrides)
    check_playable(
        [scenario.with_(**{"propagation.strategy": strategy}) for strategy in options.strategies]
        or [scenario]
    )
    figure: Path | None = options.figure
    if figure is not None and not figure.parent.is_dir():
        raise BadInput(f"--figure {figure}: there is no directory {figure.parent}")
    from simulator.lab.distributions import compared

    found = compared(scenario, options.strategies, seed=options.seed)
    if not found:
        raise BadInput(f"{options.scenario}: no change was delivered and no stream was closed in both worlds")
    _print(scenario.name, scenario.question, found)
    if figure is not None:
        print(f"\nwrote {', '.join(map(str, _draw(found, figure)))}")
    return 0


def _print(name: str, question: str, found: Sequence[TwoWorlds]) -> None:
    import numpy as np
    from rich.console import Console
    from rich.text import Text

    from simulator.cli.tables import footnote, new_table, show
    from simulator.cli.terminal import WIDE

    console = Console(width=None if sys.stdout.isatty() else WIDE, markup=False, emoji=False, highlight=False)
    if question:
        console.print(Text(question.strip(), style="italic"))
    table = new_table(f"{name}: delays in both worlds, ms")
    for column in ("delay", "strategy", "world", "n", "p10", "p50", "p90", "max", "KS", "5 %", "p"):
        table.add_column(column, justify="left" if column in ("delay", "strategy", "world") else "right")
    for one in found:
        ks = one.distance
        judged = (f"{ks.distance:.3f}", f"{ks.critical:.3f}", f"{ks.p:.2g}")
        for world, delays_ns, said in (
            ("simulated", one.simulated_ns, ("", "", "")),
            ("measured", one.measured_ns, judged),
        ):
            marks = [f"{ns / 1e6:.2f}" for ns in np.quantile(delays_ns, (0.1, 0.5, 0.9, 1.0))]
            cells = (one.what, one.strategy, world, str(len(delays_ns)), *marks, *said)
            table.add_row(*(Text(cell) for cell in cells))
    show(console, table)
    footnote(
        console,
        "KS: the largest distance between both distribution functions; 5 %: the distance that one in twenty "
        "pairs of samples of one distribution exceeds; p: the probability of this one. A small p means "
        "that the worlds differ, not that they differ by much: see the quantiles.",
    )
    busy = _others()
    if busy:
        footnote(console, busy)


def _others() -> str:
    """Whether the machine had other work: then what was measured is longer than Envoy's own time."""
    if not hasattr(os, "getloadavg"):
        return ""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= cores:
        return ""
    return (
        f"Load average {load:.1f} on {cores} cores: the machine was busy, which makes measured times longer."
    )


def _draw(found: Sequence[TwoWorlds], stem: Path) -> list[Path]:
    from simulator.report import look, plots

    pairs = {one.strategy: (one.simulated_ns, one.measured_ns) for one in found if one.what == _FIGURED}
    return look.save(plots.two_worlds(pairs), stem)


def _strategies(text: str) -> tuple[str, ...]:
    given = tuple(text.split(","))
    unknown = [one for one in given if one not in _STRATEGIES]
    if unknown or len(set(given)) < len(given):
        raise argparse.ArgumentTypeError(f"{text!r}: write some of {','.join(_STRATEGIES)}, each once")
    return given
