"""A scenario's own expectations, compared."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.engine.clock import DurationError, parse_duration
from simulator.lab.rows import AGREES, DIFFERS, Row, Tolerance
from simulator.lab.wording import told_verdict
from simulator.results.result import Result


def expectation_rows(simulated: Result, measured: Sequence[Result], tolerance: Tolerance) -> list[Row]:
    """The scenario's own assertions: met in both worlds, or missed by no more than times may be apart."""
    rows: list[Row] = []
    for position, outcome in enumerate(simulated.expectations):
        theirs = [result.expectations[position] for result in measured]
        near = [one.met or _is_near(outcome.actual, one.actual, tolerance) for one in theirs]
        is_met = outcome.met and sum(near) * 2 > len(theirs)
        shown = theirs[near.index(is_met)] if is_met in near else theirs[0]
        rows.append(
            Row(
                outcome.text,
                "met",
                told_verdict(outcome.met, outcome.actual),
                told_verdict(shown.met, shown.actual),
                n=len(theirs),
                verdict=AGREES if is_met else DIFFERS,
                note="" if shown.met or not is_met else "as near as times must be",
            )
        )
    return rows


def _is_near(simulated: str, measured: str, tolerance: Tolerance) -> bool:
    """Whether two values are times, and as near to each other as times must be."""
    try:
        ours, theirs = (parse_duration(text.split(" ", 1)[0]) / 1e9 for text in (simulated, measured))
    except DurationError:
        return False
    return abs(ours - theirs) <= tolerance.at(ours)
