"""What the actions of ``xdsim lab`` share: how often to play, and what is said before anything is played."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulator.cli.refusal import BadInput

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

__all__ = ["check_playable", "duration_argument", "playable", "runs_argument"]


def runs_argument(parser: argparse.ArgumentParser, default: int) -> None:
    """Declare ``--runs``."""
    parser.add_argument(
        "--runs",
        metavar="N",
        type=_runs,
        default=default,
        help=f"play a scenario that seems to disagree up to N times (default: {default})",
    )


def playable(scenario: Scenario) -> list[str]:
    """Why a scenario cannot be played; empty if it can."""
    from simulator.lab.playable import reasons_against

    return reasons_against(scenario)


def check_playable(scenarios: Sequence[Scenario]) -> None:
    """Raises BadInput where Envoy or a library is missing, or one of these scenarios cannot be played."""
    from simulator.lab.requirements import LabUnavailable, check

    for scenario in scenarios:
        reasons = playable(scenario)
        if reasons:
            where = scenario.source or scenario.name
            raise BadInput("\n".join(f"{where}: {reason}" for reason in reasons), is_located=True)
    try:
        check()
    except LabUnavailable as missing:
        raise BadInput(str(missing)) from missing


def _runs(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number from 1 to 100")
    return int(text)


def duration_argument(text: str) -> float:
    """A duration longer than nothing, in seconds."""
    from simulator.engine.clock import DurationError, parse_duration

    try:
        duration_ns = parse_duration(text)
    except DurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if duration_ns <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be longer than nothing")
    return duration_ns / 1e9
