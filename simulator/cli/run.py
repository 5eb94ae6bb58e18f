"""``xdsim run``: plays one scenario, prints what it showed and writes the results directory."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.experiment_arguments import (
    add_executor_arguments,
    add_replication_arguments,
    experiment_options,
    refusals,
    status_of,
)
from simulator.cli.progress_bar import progress_bar
from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import add_scenario_arguments, load
from simulator.cli.writable import check_writable

if TYPE_CHECKING:
    from simulator.results.result import Result
    from simulator.scenario.schema import Scenario

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "play a scenario, once or many times, and write its results"
DESCRIPTION = (
    "Plays one scenario, prints the phases of start-up, the metrics and the verdicts on its expectations, "
    "and writes tables and figures into a results directory."
)

UNMET = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenario and where its results go."""
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file (YAML)")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results directory (default: results/NAME-SEED)"
    )
    add_replication_arguments(parser, "one run")
    add_executor_arguments(parser)
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Play, write, print: 0, or 1 if an expectation is not met. BadInput comes before anything is written."""
    import simulator as xs

    scenario = load(options.scenario, options.overrides)
    seed = scenario.seed if options.seed is None else options.seed
    directory = Path("results", f"{scenario.name}-{seed}") if options.out is None else options.out
    check_writable(directory)
    if options.replications is not None or options.until_ci is not None:
        return _replicated(scenario, seed, directory, options)
    if options.resume or options.keep_tables or options.ci_of is not None:
        raise BadInput("--resume, --keep-tables and --ci-of go with --replications or --until-ci")
    with _working(scenario):
        try:
            result = xs.run(scenario, seed=seed, executor=options.executor)
        except xs.ScenarioError as error:  # what only shows in the run: engine: fleet, and beyond it
            raise BadInput(f"{options.scenario}: {error}", is_located=True) from error
        except xs.ExperimentError as error:
            raise BadInput(str(error)) from error
        figures = _save(result, directory)

    from simulator.cli.terminal import print_run

    print_run(result, scenario, seed, directory, figures)
    return 0 if result.met else UNMET


def _replicated(scenario: Scenario, seed: int, directory: Path, options: argparse.Namespace) -> int:
    """Many runs of the scenario instead of one."""
    import simulator as xs

    with refusals(directory), progress_bar(f"playing {scenario.name}") as progress:
        keywords = {**experiment_options(options, directory), "seed": seed}
        replicated = xs.run(scenario, progress=progress, **keywords)

    from simulator.cli.experiment_tables import print_replications
    from simulator.report.experiment_figures import write_experiment_figures

    figures = write_experiment_figures(replicated, directory)
    print_replications(replicated, directory, figures)
    return status_of(replicated)


def _save(result: Result, directory: Path) -> list[Path]:
    from simulator.report.figures import write_figures

    result.save(directory)
    return write_figures(result, directory)


def _working(scenario: Scenario) -> contextlib.AbstractContextManager[object]:
    """A sign of life on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False).status(f"playing {scenario.name}")
