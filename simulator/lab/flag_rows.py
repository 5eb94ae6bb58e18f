"""Flips of feature flags, compared."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.lab.conversation import Flip
from simulator.lab.rows import AGREES, DIFFERS, Row, Tolerance
from simulator.lab.wording import told_flip


def flag_rows(
    simulated: Sequence[Flip], measured: Sequence[Sequence[Flip]], tolerance: Tolerance, *, is_polled: bool
) -> list[Row]:
    """One row for each flip: what became of it in most runs, and, unless polls wait at random, how soon."""
    rows = []
    for number, ours in enumerate(simulated):
        theirs = [one[number] if number < len(one) else None for one in measured]
        near = [_is_near(ours, there, tolerance, is_polled=is_polled) for there in theirs]
        is_met = sum(near) * 2 > len(near)
        shown = theirs[near.index(is_met)]
        rows.append(
            Row(
                f"flag {ours[0]}",
                "equal, in time",
                told_flip(ours),
                told_flip(shown),
                n=len(near),
                verdict=AGREES if is_met else DIFFERS,
            )
        )
    return rows


def _is_near(ours: Flip, there: Flip | None, tolerance: Tolerance, *, is_polled: bool) -> bool:
    if there is None or ours[:2] != there[:2]:
        return False
    if ours[2] is None or there[2] is None:
        return ours[2] == there[2]
    return is_polled or abs(there[2] - ours[2]) <= tolerance.at(ours[2])
