"""``xdsim explain``: what owns the delay of changes, and which knob moves it."""

from __future__ import annotations

import argparse
from pathlib import Path

from simulator.cli.experiment_arguments import add_executor_arguments, refusals, replication_count, status_of
from simulator.cli.progress_bar import progress_bar
from simulator.cli.scenario_arguments import add_scenario_arguments, load
from simulator.cli.writable import check_writable

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "say which stage owns the delay of changes, and which knob moves it"
DESCRIPTION = (
    "Plays a scenario as it is and with each knob of what takes the time turned once (times halved, "
    "capacities doubled), under the same random numbers, and prints what that does to p50 and p99 of the "
    "delay until changes are active, with paired 95% confidence intervals."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenario and the knobs."""
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file (YAML)")
    parser.add_argument(
        "--knob",
        action="append",
        metavar="KEY",
        help="turn this one, e.g. control_plane.cpu (default: those of every stage that takes a tenth of the "
        "time); may be repeated",
    )
    parser.add_argument(
        "--replications",
        type=replication_count,
        default=10,
        metavar="N",
        help="independent repetitions of each (default: 10)",
    )
    add_executor_arguments(parser, keeps_tables=False)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results directory (default: results/NAME-explain-SEED)"
    )
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Play, write, print: 0, or 3 if every run failed. BadInput comes before any replication is played."""
    import simulator as xs

    scenario = load(options.scenario, options.overrides)
    seed = scenario.seed if options.seed is None else options.seed
    directory = options.out or Path("results", f"{scenario.name}-explain-{seed}")
    check_writable(directory)
    with refusals(directory), progress_bar(f"explaining {scenario.name}") as progress:
        explanation = xs.explain(
            scenario,
            options.knob,
            replications=options.replications,
            seed=seed,
            executor=options.executor,
            out=directory,
            resume=options.resume,
            progress=progress,
        )

    from simulator.cli.explanation_tables import print_explanation

    print_explanation(explanation, scenario, seed, directory)
    return 3 if status_of(explanation.comparison) == 3 else 0
