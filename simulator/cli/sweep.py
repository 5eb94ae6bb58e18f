"""``xdsim sweep``: one scenario over values of its keys."""

from __future__ import annotations

import argparse
from pathlib import Path

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

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "play a scenario over values of its keys, on all processors"
DESCRIPTION = (
    "Plays a scenario at every combination of values, or at points that fill their ranges evenly. Each run "
    "is kept as it ends: a sweep that is killed goes on with --resume. A run that fails is a row with its "
    "error."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenario and what varies."""
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file (YAML)")
    add_over_argument(parser, ranges=True)
    parser.add_argument(
        "--design",
        choices=("grid", "lhs", "sobol"),
        default="grid",
        help="all combinations (default), a Latin hypercube, or a Sobol sequence",
    )
    parser.add_argument("--points", type=int, metavar="N", help="points of a design other than grid")
    add_replication_arguments(parser, "1")
    add_executor_arguments(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results directory (default: results/NAME-sweep-SEED)"
    )
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Play, write, print: 0, or 1 if an expectation is not met. BadInput comes before anything is played."""
    import simulator as xs

    over = over_of(options)
    if not over:
        raise BadInput("sweep over what? write --over KEY=V1,V2")
    scenario = load(options.scenario, options.overrides)
    seed = scenario.seed if options.seed is None else options.seed
    directory = options.out or Path("results", f"{scenario.name}-sweep-{seed}")
    check_writable(directory)
    with refusals(directory), progress_bar(f"sweeping {scenario.name}") as progress:
        swept = xs.sweep(
            scenario,
            over,
            design=options.design,
            points=options.points,
            progress=progress,
            **experiment_options(options, directory),
        )

    from simulator.cli.experiment_tables import print_sweep
    from simulator.report.experiment_figures import write_experiment_figures

    figures = write_experiment_figures(swept, directory)
    print_sweep(swept, directory, figures)
    return status_of(swept)
