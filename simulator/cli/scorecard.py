"""``xdsim scorecard``: reference numbers of others beside the simulated ones, with a verdict on each."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.cli.refusal import BadInput
from simulator.engine.clock import DurationError, parse_duration
from simulator.report.wording import seconds_text

if TYPE_CHECKING:
    from simulator.experiment.scorecard import Score

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "hold published and measured numbers against simulated ones"
DESCRIPTION = (
    "Plays the scenarios that stand for numbers others published or measured, and prints both beside each "
    "other: which were given to the simulation (input), matched by choosing a cost (fitted), or neither "
    "(predicted), and whether the simulated number is as it must be."
)

DEFAULT: Final = Path("scenarios", "scorecard")
UNMET: Final = 1
_WIDE: Final = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file of reference numbers."""
    parser.add_argument(
        "scorecards",
        nargs="*",
        type=Path,
        default=[DEFAULT],
        metavar="FILE",
        help=f"reference numbers and their scenarios (YAML; a directory: all of it; default: {DEFAULT})",
    )


def execute(options: argparse.Namespace) -> int:
    """Play and print: 0 if every verdict is good, otherwise 1."""
    import simulator as xs
    from simulator.experiment.scorecard import read_scorecard, scores_of

    scores: list[Score] = []
    try:
        subjects = [subject for path in _files(options.scorecards) for subject in read_scorecard(path)]
        for subject in subjects:
            with _working(subject.name or subject.scenario.stem):
                scores += scores_of(subject)
    except xs.ExperimentError as error:
        raise BadInput(str(error)) from error
    except xs.ScenarioError as error:
        raise BadInput(str(error), is_located=True) from error
    _print(scores)
    return UNMET if any(score.met is False for score in scores) else 0


def _files(paths: list[Path]) -> list[Path]:
    """The files named, and those in directories named."""
    files: list[Path] = []
    for path in paths:
        if path == DEFAULT and not path.exists():
            raise BadInput(f"there is no {path} here: name a scorecard, or go to where xdsim's repository is")
        inside = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if not inside:
            raise BadInput(f"{path}: holds no scorecard (*.yaml)")
        files += inside
    return files


def _print(scores: list[Score]) -> None:
    from rich.console import Console
    from rich.text import Text

    from simulator.cli.tables import footnote, new_table, show

    width = None if sys.stdout.isatty() else _WIDE
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    table = new_table("Reference numbers and simulated ones")
    for heading in ("quantity", "reference", "kind", "simulated", "must be", "verdict"):
        table.add_column(heading, no_wrap=heading in ("kind", "verdict"))
    before = ""
    for score in scores:
        if score.scenario != before:
            if before:
                table.add_section()
            table.add_row(Text.assemble((score.scenario, "bold"), "\n", (score.source, "dim")))
        verdict = (
            Text("-")
            if score.met is None
            else Text("good", style="green")
            if score.met
            else Text("FAILED", style="bold red")
        )
        simulated = "" if score.met is None else _rounded(score.simulated)
        table.add_row(f"  {score.quantity}", score.published, score.kind, simulated, score.expected, verdict)
        before = score.scenario
    show(console, table)
    footnote(
        console, "input: given to the simulation; fitted: a cost was chosen to match; predicted: neither"
    )
    judged = [score for score in scores if score.met is not None]
    predicted = [score for score in judged if score.kind == "predicted"]
    console.print(
        f"\n{sum(bool(score.met) for score in judged)} of {len(judged)} verdicts are good; "
        f"{sum(bool(score.met) for score in predicted)} of {len(predicted)} of what was predicted."
    )


def _rounded(found: str) -> str:
    """What an expectation found, without the number of rows, and a time in three figures."""
    value = re.sub(r" \([0-9]+ rows?\b[^)]*\)$", "", found)
    try:
        return seconds_text(parse_duration(value))
    except DurationError:
        return value


def _working(name: str) -> contextlib.AbstractContextManager[object]:
    """A sign of life on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False).status(f"playing {name}")
