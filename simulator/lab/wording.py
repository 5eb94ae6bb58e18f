"""How what is compared is told: times, sequences, and where two of them part."""

from __future__ import annotations

import json
from collections.abc import Sequence

from simulator.lab.conversation import Flip, Reading, Said


def told_timeouts(one: Reading) -> str:
    """Subscriptions whose fetch timed out during a start, by type."""
    counts: dict[str, int] = json.loads(str(one.startup["fetch_timeouts"]))
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def first_difference(mine: list[Said], odd: list[Said]) -> tuple[str, str]:
    """The first message of either that the other does not have in its place."""
    position = next(
        (i for i, (a, b) in enumerate(zip(mine, odd, strict=False)) if a.same != b.same),
        min(len(mine), len(odd)),
    )
    return _nth(mine, position), _nth(odd, position)


def _nth(conversation: list[Said], position: int) -> str:
    if position >= len(conversation):
        return f"{position} messages, no more"
    said = conversation[position]
    return f"{said} at {ms(said.at_s)}"


def timed(states: Sequence[tuple[float, str]]) -> str:
    """What something went through, and when."""
    return ", ".join(f"{what} {ms(at_s)}" for at_s, what in states) or "none"


def ms(seconds: float) -> str:
    """A time after the origin."""
    # round() gives 0 where formatting gives -0.
    return f"{round(seconds * 1e3)} ms" if abs(seconds) < 10 else f"{seconds:.2f} s"


def told_answers(answers: list[str]) -> str:
    """What polls were answered."""
    return "; ".join(answers) or "nothing"


def told_flip(flip: Flip | None) -> str:
    """What became of a feature flag's flip."""
    if flip is None:
        return "no flip"
    _, outcome, seconds = flip
    return outcome if seconds is None else f"{outcome} after {ms(seconds)}"


def told_verdict(is_met: bool, actual: object) -> str:
    """Whether an expectation is met, and by what."""
    return f"{'met' if is_met else 'not met'} ({actual})"
