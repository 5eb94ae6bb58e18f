"""``xdsim run``: plays one scenario, prints what it showed and writes the results directory."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import add_scenario_arguments, load

if TYPE_CHECKING:
    from simulator.results.result import Result
    from simulator.scenario.schema import Scenario

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "play a scenario and write its results"
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
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Play, write, print: 0, or 1 if an expectation is not met. BadInput comes before anything is written."""
    import simulator as xs

    scenario = load(options.scenario, options.overrides)
    seed = scenario.seed if options.seed is None else options.seed
    directory = Path("results", f"{scenario.name}-{seed}") if options.out is None else options.out
    _check_writable(directory)
    with _working(scenario):
        result = xs.run(scenario, seed=seed)
        figures = _save(result, directory)

    from simulator.cli.terminal import print_run

    print_run(result, scenario, seed, directory, figures)
    return 0 if result.met else UNMET


def _save(result: Result, directory: Path) -> list[Path]:
    from simulator.report.figures import write_figures

    result.save(directory)
    return write_figures(result, directory)


def _check_writable(directory: Path) -> None:
    """Refuse, before the work is done, a place where the results could not be put."""
    if directory.exists() and not directory.is_dir():
        raise BadInput(f"--out {directory}: there is a file of that name; name a directory")
    nearest = next(parent for parent in (directory, *directory.absolute().parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise BadInput(f"--out {directory}: cannot write into {nearest}")
    manifest = directory / "manifest.json"
    if manifest.exists() and not _is_ours(manifest):
        raise BadInput(f"--out {directory}: its manifest.json is not of a run; name another directory")


def _is_ours(manifest: Path) -> bool:
    """Whether an earlier run wrote it: results may replace results, and nothing else."""
    try:
        content = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "digest" in content


def _working(scenario: Scenario) -> contextlib.AbstractContextManager[object]:
    """A sign of life on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False).status(f"playing {scenario.name}")
