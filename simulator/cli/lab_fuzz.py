"""``xdsim lab fuzz``: random scripted scenarios in both worlds; fails where they disagree."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.lab_arguments import check_playable, duration_argument, runs_argument
from simulator.cli.progress_bar import progress_bar
from simulator.cli.writable import check_directory

if TYPE_CHECKING:
    from simulator.experiment.progress import Progress
    from simulator.lab.fuzz import Case

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "invent scenarios, play them in both worlds, save and shrink those that disagree"
DESCRIPTION = (
    "Invents scripted scenarios (types, delays, never, omit, remove, reject, close, refused streams, fetch "
    "timeouts, health checks, DNS, protocols, files, polling, runtime layers, pushes), simulates them and "
    "plays them against real Envoys, a few at once. Where both worlds disagree the scenario is saved as a "
    "file that replays (xdsim lab run FILE), and then made small. The same seed gives the same scenarios. A "
    "case takes about seven seconds, divided by those played at once."
)

DIFFERS = 1
_DEFAULT_CASES = 20
_DEFAULT_WIDTH = 3
_MOST_WIDTH = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how many scenarios, which, and for how long."""
    parser.add_argument(
        "--cases",
        metavar="N",
        type=_count(1, 1_000_000),
        default=_DEFAULT_CASES,
        help=f"how many scenarios (default: {_DEFAULT_CASES})",
    )
    parser.add_argument(
        "--seed", metavar="S", type=_count(0, 2**63 - 1), default=0, help="which scenarios (default: 0)"
    )
    parser.add_argument(
        "--first",
        metavar="N",
        type=_count(0, 2**62),
        default=0,
        help="number of the first scenario (default: 0)",
    )
    parser.add_argument(
        "--time-budget",
        metavar="DURATION",
        type=duration_argument,
        help="begin no case after this long, e.g. 10m",
    )
    parser.add_argument(
        "--width",
        metavar="N",
        type=_count(1, _MOST_WIDTH),
        default=_DEFAULT_WIDTH,
        help=f"scenarios played at once; more disturb one another (default: {_DEFAULT_WIDTH})",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="where scenarios that disagree are saved (default: results/fuzz-<seed>)",
    )
    parser.add_argument("--no-shrink", action="store_true", help="leave scenarios that disagree as they are")
    runs_argument(parser, 3)


def execute(options: argparse.Namespace) -> int:
    """0 if all agree, 1 if not; BadInput where nothing can be played."""
    check_playable([])
    directory = options.out or Path("results") / f"fuzz-{options.seed}"
    check_directory(directory)
    from simulator.cli.lab_tables import print_fuzzed, print_fuzzed_case
    from simulator.experiment.progress import Progress
    from simulator.lab.fuzz import Fuzzer, fuzz

    progress = Progress(total=options.cases)
    with progress_bar("playing") as bar:
        fuzzed = fuzz(
            options.cases,
            options.seed,
            first=options.first,
            budget_s=options.time_budget,
            directory=directory,
            fuzzer=Fuzzer(options.runs, options.width),
            is_shrinking=not options.no_shrink,
            on_case=_teller(progress, bar, print_fuzzed_case),
        )
    print_fuzzed(fuzzed)
    return DIFFERS if fuzzed.disagreeing or fuzzed.failed or fuzzed.unjudged else 0


def _teller(
    progress: Progress, bar: Callable[[Progress], None] | None, show: Callable[[Case], None]
) -> Callable[[Case], None]:
    def tell(case: Case) -> None:
        if case.small is None:
            progress.done += 1
            progress.failed += not case.agrees
        if not case.agrees:
            show(case)
        if bar is not None:
            bar(progress)

    return tell


def _count(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from {low} to {high}")
        return int(text)

    return read
