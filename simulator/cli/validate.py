"""``xdsim validate``: checks scenario files and names every problem of all of them."""

from __future__ import annotations

import argparse
import sys

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "check scenario files, naming every problem"
DESCRIPTION = (
    "Checks scenario files without running them. Every problem of every file is printed as "
    "FILE:LINE: KEY: MESSAGE; the exit status is 2 if there is any."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files."""
    parser.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="scenario file (YAML)")


def execute(options: argparse.Namespace) -> int:
    """0 if every file is good, otherwise 2, with all problems on standard error."""
    import simulator as xs

    status = 0
    for path in options.scenarios:
        try:
            xs.load_scenario(path)
        except xs.ScenarioError as error:
            print(error, file=sys.stderr)
            status = 2
        else:
            print(f"{path}: ok")
    return status
