"""How the laboratory's verdicts look on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from simulator.cli.tables import footnote, new_table, show
from simulator.cli.terminal import WIDE

if TYPE_CHECKING:
    from simulator.lab.fuzz import Case, Fuzzed
    from simulator.lab.verify import Verdict

__all__ = ["print_fuzzed", "print_fuzzed_case", "print_left_out", "print_total", "print_verdict"]

ORIGIN = (
    "Times count from the first xDS subscription (without xDS from the end of server construction) "
    "and must agree within max(20 ms, 5 %)."
)


def print_verdict(verdict: Verdict, question: str, *, in_full: bool) -> None:
    """The table of one scenario; without `in_full` only what differs, or that nothing does."""
    console = _console()
    rows = verdict.rows if in_full else verdict.differing
    n = len(verdict.measured)
    played = "once" if n == 1 else f"{n} times"
    if question:
        console.print(Text(question.strip(), style="italic"))
    if rows:
        table = new_table(f"{verdict.name}, played {played}")
        for column in ("rule", "expected", "simulated", "measured", "range", "n", "verdict"):
            table.add_column(column, justify="right" if column == "n" else "left", overflow="fold")
        for row in rows:
            span = f"{row.low} .. {row.high}" if row.low and row.low != row.high else ""
            said = f"{row.verdict}: {row.note}" if row.note else row.verdict
            style = "" if row.is_met else "red"
            cells = (row.rule, row.expected, row.simulated, row.measured, span, str(row.n), said)
            table.add_row(*(Text(cell) for cell in cells), style=style)
        show(console, table)
        footnote(console, ORIGIN)
    if verdict.agrees:
        races = [row.note for row in verdict.rows if row.verdict == "race"]
        beside = f"; races: {'; '.join(races)}" if races and not in_full else ""
        console.print(Text(f"{verdict.name}: {len(verdict.rows)} rules agree{beside}"))
    else:
        said = "DISAGREES" if verdict.is_judged else "NOT JUDGED, the machine was too busy in every play"
        console.print(Text(f"{verdict.name}: {said}; the first difference:", style="bold red"))
        console.print(Text(verdict.explained()), soft_wrap=True)


def print_left_out(path: Path, reasons: list[str]) -> None:
    """A scenario of a folder that no real Envoy can play."""
    _console().print(Text(f"{path}: left out: {'; '.join(reasons)}", style="dim"), soft_wrap=True)


def print_total(played: int, left_out: int, differing: int, unjudged: int) -> None:
    """The last line."""
    said = [f"{played - differing - unjudged} agree"]
    if differing:
        said.append(f"{differing} DISAGREE")
    if unjudged:
        said.append(f"{unjudged} NOT JUDGED")
    if left_out:
        said.append(f"{left_out} left out")
    noun = "scenario" if played == 1 else "scenarios"
    _console().print(Text(f"{played} {noun} played against real Envoys: {', '.join(said)}", style="bold"))


def print_fuzzed_case(case: Case) -> None:
    """An invented scenario that disagrees, or could not be played, and where it was saved."""
    console = _console()
    if case.small is not None:
        console.print(Text(f"made small: {case.files[-1]}"), soft_wrap=True)
        return
    if case.verdict is None:
        console.print(Text(f"case {case.number}: could not be played: {case.failure}", style="bold red"))
    else:
        print_verdict(case.verdict, "", in_full=False)
    for path in case.files:
        console.print(Text(f"saved: {path}"), soft_wrap=True)


def print_fuzzed(fuzzed: Fuzzed) -> None:
    """The last line of a round of fuzzing."""
    played, asked = len(fuzzed.cases), fuzzed.asked
    agreeing = sum(case.agrees for case in fuzzed.cases)
    said = [f"{agreeing} of {played} cases agree"]
    if fuzzed.replayed:
        said.append(f"{fuzzed.replayed} of them when played again")
    if fuzzed.disagreeing:
        said.append(f"{len(fuzzed.disagreeing)} DISAGREE")
    if fuzzed.unjudged:
        said.append(f"{len(fuzzed.unjudged)} NOT JUDGED: the machine was too busy")
    if fuzzed.failed:
        said.append(f"{len(fuzzed.failed)} could not be played")
    if played < asked:
        said.append(f"{asked - played} not begun: time was up")
    _console().print(Text(f"seed {fuzzed.seed}: {', '.join(said)} ({fuzzed.seconds:.0f} s)", style="bold"))


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, markup=False, emoji=False, highlight=False)
