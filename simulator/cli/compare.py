"""``xdsim compare``: strategies, or any variants, under the same changes and the same random numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.experiment_arguments import (
    add_executor_arguments,
    add_over_argument,
    add_replication_arguments,
    experiment_options,
    over_of,
    refusals,
    status_of,
)
from simulator.cli.progress_bar import progress_bar
from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import add_scenario_arguments, load
from simulator.cli.writable import check_writable

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "play variants under the same random numbers and compare them"
DESCRIPTION = (
    "Plays two or more scenarios, or one scenario over values of its keys, with the same changes and the "
    "same random numbers, and prints latency, staleness and cost of each with 95% confidence intervals, and "
    "the paired differences to the first."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenarios and what varies."""
    parser.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="scenario file (YAML)")
    add_over_argument(parser, ranges=False)
    add_replication_arguments(parser, "30")
    add_executor_arguments(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results directory (default: results/NAME-compare-SEED)"
    )
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Play, write, print: 0, or 1 if an expectation is not met. BadInput comes before anything is played."""
    import simulator as xs

    over = over_of(options)
    if len(options.scenarios) < 2 and not over:
        raise BadInput("compare what? name another scenario, or --over KEY=V1,V2")
    scenarios = _named(options)
    first = next(iter(scenarios.values()))
    seed = first.seed if options.seed is None else options.seed
    directory = options.out or Path("results", f"{first.name}-compare-{seed}")
    check_writable(directory)
    with refusals(directory), progress_bar(f"comparing {first.name}") as progress:
        comparison = xs.compare(
            first if len(scenarios) == 1 else scenarios,
            over,
            progress=progress,
            **experiment_options(options, directory),
        )

    from simulator.cli.experiment_tables import print_comparison
    from simulator.report.experiment_figures import write_experiment_figures

    figures = write_experiment_figures(comparison, directory)
    print_comparison(comparison, directory, figures)
    return status_of(comparison)


def _named(options: argparse.Namespace) -> dict[str, Scenario]:
    """The scenarios by their names; where two have one name, by their files."""
    loaded = [load(path, options.overrides) for path in options.scenarios]
    labels = [scenario.name for scenario in loaded]
    if len(dict.fromkeys(labels)) < len(labels):
        labels = list(options.scenarios)
    if len(dict.fromkeys(labels)) < len(labels):
        raise BadInput("the same scenario is named twice: there is nothing to compare")
    return dict(zip(labels, loaded, strict=True))
