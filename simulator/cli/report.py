"""``xdsim report``: results directories as one HTML page that needs nothing beside it, and their figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from simulator.cli.refusal import BadInput

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "write results directories as one self-contained HTML page, and their figures"
DESCRIPTION = (
    "Writes a page with the figures, metrics and verdicts of one or more results directories: of runs, "
    "comparisons, sweeps and replicated runs. The page loads nothing from anywhere. The figures are written "
    "into each directory as well, as PNG and SVG."
)

DEFAULT: Final = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the directories and the page."""
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="results directory")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"the page (default: DIR/{DEFAULT} of the first DIR)"
    )


def execute(options: argparse.Namespace) -> int:
    """Write the page and the figures, and print where they are."""
    from simulator.report.page import page
    from simulator.results.storage import write_bytes

    sections, figures = zip(*(_section(directory) for directory in options.directories), strict=True)
    path = options.directories[0] / DEFAULT if options.out is None else options.out
    title = ", ".join(directory.resolve().name for directory in options.directories)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, page(sections, title).encode())
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from error
    print(f"report: {path}")
    for directory, draw in zip(options.directories, figures, strict=True):
        try:
            names = ", ".join(figure.name for figure in draw())
        except OSError as error:  # results that nobody may add to still have their page
            print(f"xdsim: no figures in {directory}: {error.strerror or error}", file=sys.stderr)
        else:
            print(f"figures: {directory}  ({names})")
    return 0


def _section(directory: Path) -> tuple[str, Callable[[], list[Path]]]:
    """The directory's part of the page, and what draws its figures into it."""
    import simulator as xs
    from simulator.report.experiment_figures import write_experiment_figures
    from simulator.report.figures import write_figures
    from simulator.report.page import experiment_section, run_section
    from simulator.results.storage import MANIFEST, ResultsError, read_json

    try:
        if "kind" in read_json(directory / MANIFEST):
            experiment = xs.load_experiment(directory)
            return experiment_section(experiment), partial(write_experiment_figures, experiment, directory)
        result = xs.Result.load(directory)
        return run_section(result), partial(write_figures, result, directory)
    except ResultsError as error:
        raise BadInput(str(error)) from error
