"""``xdsim report``: results directories as one HTML page that needs nothing beside it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from simulator.cli.refusal import BadInput

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "write results directories as one self-contained HTML page"
DESCRIPTION = (
    "Writes a page with the figures, metrics and verdicts of one or more results directories: of runs, "
    "comparisons, sweeps and replicated runs. The page loads nothing from anywhere."
)

DEFAULT: Final = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the directories and the page."""
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR", help="results directory")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"the page (default: DIR/{DEFAULT} of the first DIR)"
    )


def execute(options: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from simulator.report.page import page
    from simulator.results.storage import write_bytes

    sections = [_section(directory) for directory in options.directories]
    path = options.directories[0] / DEFAULT if options.out is None else options.out
    title = ", ".join(directory.resolve().name for directory in options.directories)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, page(sections, title).encode())
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from error
    print(f"report: {path}")
    return 0


def _section(directory: Path) -> str:
    import simulator as xs
    from simulator.report.page import experiment_section, run_section
    from simulator.results.storage import MANIFEST, ResultsError, read_json

    try:
        if "kind" in read_json(directory / MANIFEST):
            return experiment_section(xs.load_experiment(directory))
        return run_section(xs.Result.load(directory))
    except ResultsError as error:
        raise BadInput(str(error)) from error
