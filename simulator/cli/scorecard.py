"""``xdsim scorecard``: reference numbers of others beside the simulated ones, with a verdict on each."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.cli.refusal import BadInput

if TYPE_CHECKING:
    from simulator.experiment.scorecard import Score

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "hold published and measured numbers against simulated ones"
DESCRIPTION = (
    "Plays the scenarios that stand for numbers others published or measured, and prints both beside each "
    "other: which were given to the simulation (input), matched by choosing a cost (fitted), or neither "
    "(predicted), and whether the simulated number is as it must be."
)

DEFAULT: Final = Path("scenarios", "scorecard", "published.yaml")
UNMET: Final = 1
_WIDE: Final = 140


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file of reference numbers."""
    parser.add_argument(
        "scorecard",
        nargs="?",
        type=Path,
        default=DEFAULT,
        metavar="FILE",
        help=f"reference numbers and their scenarios (YAML; default: {DEFAULT})",
    )


def execute(options: argparse.Namespace) -> int:
    """Play and print: 0 if every verdict is good, otherwise 1."""
    import simulator as xs
    from simulator.experiment.scorecard import read_scorecard, scores_of

    scores: list[Score] = []
    try:
        for subject in read_scorecard(options.scorecard):
            with _working(subject.scenario.stem):
                scores += scores_of(subject)
    except xs.ExperimentError as error:
        raise BadInput(str(error)) from error
    except xs.ScenarioError as error:
        raise BadInput(str(error), is_located=True) from error
    _print(scores)
    return UNMET if any(score.met is False for score in scores) else 0


def _print(scores: list[Score]) -> None:
    from rich.console import Console
    from rich.text import Text

    from simulator.cli.tables import footnote, new_table, show

    width = None if sys.stdout.isatty() else _WIDE
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    table = new_table("Reference numbers and simulated ones")
    for heading in ("scenario", "quantity", "published", "kind", "simulated", "expected", "verdict"):
        table.add_column(heading, no_wrap=heading in ("scenario", "kind", "verdict"))
    before = ""
    for score in scores:
        if before and score.scenario != before:
            table.add_section()
        verdict = (
            Text("-")
            if score.met is None
            else Text("good", style="green")
            if score.met
            else Text("FAILED", style="bold red")
        )
        table.add_row(
            score.scenario if score.scenario != before else "",
            score.quantity,
            score.published,
            score.kind,
            score.simulated,
            score.expected,
            verdict,
        )
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


def _working(name: str) -> contextlib.AbstractContextManager[object]:
    """A sign of life on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False).status(f"playing {name}")
