"""The arguments of commands that play many runs, and what becomes of refusals and interrupts."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import told

__all__ = [
    "INTERRUPTED",
    "STOPPED",
    "UNMET",
    "add_executor_arguments",
    "add_over_argument",
    "add_replication_arguments",
    "experiment_options",
    "over_of",
    "refusals",
    "replication_count",
    "status_of",
]

UNMET, STOPPED, INTERRUPTED = 1, 3, 130


def add_replication_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare how many replications there are."""
    parser.add_argument(
        "--replications",
        type=replication_count,
        metavar="N",
        help=f"independent repetitions (default: {default})",
    )
    parser.add_argument(
        "--until-ci",
        metavar="5%",
        help="add replications until half of the 95%% confidence interval is this share of the estimate",
    )
    parser.add_argument(
        "--ci-of",
        metavar="STAT(METRIC)",
        help="what --until-ci is about, e.g. 'p99(active_delay)' (default: the mean of active_delay; without "
        "changes, of time_to_ready)",
    )
    parser.add_argument(
        "--max-replications",
        type=replication_count,
        metavar="N",
        default=1000,
        help="end of --until-ci (default: 1000)",
    )


def add_executor_arguments(parser: argparse.ArgumentParser, *, keeps_tables: bool = True) -> None:
    """Declare who plays, and what is kept."""
    parser.add_argument(
        "--executor",
        metavar="E",
        help="serial, processes[:N] (default: one for each processor) or dask://HOST:PORT; results are equal",
    )
    parser.add_argument(
        "--resume", action="store_true", help="take over the runs that are finished in the directory already"
    )
    if keeps_tables:
        parser.add_argument(
            "--keep-tables", action="store_true", help="keep the raw tables of every run, below DIR/runs"
        )


def add_over_argument(parser: argparse.ArgumentParser, *, ranges: bool) -> None:
    """Declare ``--over``."""
    more = "; LOW..HIGH or 'LOW..HIGH log' with --design lhs or sobol" if ranges else ""
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="values of one key of the scenario, e.g. --over propagation.strategy=push,poll"
        f"{more}; may be repeated",
    )


def over_of(options: argparse.Namespace) -> dict[str, Any]:
    """The values of ``--over``, by key; raises BadInput."""
    from simulator.experiment.errors import ExperimentError
    from simulator.experiment.values import parse_over

    over: dict[str, Any] = {}
    for text in options.over:
        try:
            key, values = parse_over(text)
        except ExperimentError as error:
            raise BadInput(f"--over {error}") from error
        if key in over:
            raise BadInput(f"--over {key}: is given twice; write all its values after one KEY=")
        over[key] = values
    return over


def experiment_options(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """The keywords that these arguments mean to xs.run, xs.compare and xs.sweep."""
    given = {"replications": options.replications, "until_ci": options.until_ci, "ci_of": options.ci_of}
    return {
        "seed": options.seed,
        "executor": options.executor,
        "out": directory,
        "resume": options.resume,
        "max_replications": options.max_replications,
        "keep_tables": options.keep_tables,
        **{name: value for name, value in given.items() if value is not None},
    }


@contextlib.contextmanager
def refusals(directory: Path, option: str = "--over", expecting: str | None = None) -> Iterator[None]:
    """What cannot be played is bad input, given with `option` or, of an expectation, with `expecting`; what
    ends early says what is left of it."""
    import simulator as xs

    try:
        yield
    except xs.ScenarioError as error:
        raise BadInput(told(error.problems, option, expecting), is_located=True) from error
    except xs.ExperimentError as error:
        raise BadInput(str(error)) from error
    except KeyboardInterrupt:
        print(f"\nxdsim: {_kept(directory)}", file=sys.stderr)
        raise
    except xs.ExperimentStopped as error:
        print(f"xdsim: {error}\nxdsim: {_kept(directory)}", file=sys.stderr)
        raise SystemExit(STOPPED) from error


def status_of(experiment: Any) -> int:
    """3 when every run failed, 1 when an expectation is not met, otherwise 0: a failed run is a row."""
    if len(experiment.failed) == len(experiment.runs):
        return STOPPED
    return 0 if experiment.met else UNMET


def _kept(directory: Path) -> str:
    count = sum(1 for _ in (directory / "runs").glob("*.run"))
    if not count:
        return "no run was finished"
    runs = "1 finished run is" if count == 1 else f"{count:,} finished runs are"
    return f"{runs} kept in {directory}; the same command with --resume goes on from there"


def replication_count(text: str) -> int:
    """How many replications a word of the command line asks for."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= 10**6:
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from 1 to a million")
    return count
