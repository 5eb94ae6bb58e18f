"""The arguments that every command playing a scenario takes, and how they become a scenario."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from simulator.cli.refusal import BadInput

if TYPE_CHECKING:
    from simulator.scenario.problems import Problem
    from simulator.scenario.schema import Scenario

__all__ = ["add_scenario_arguments", "has_scenario_arguments", "load", "told"]

_QUOTED: Final = re.compile(r'quote it, as in ("[^"]*")$')


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--seed`` and ``--set``."""
    parser.add_argument(
        "--seed", type=_seed, metavar="N", help="seed of the random numbers (default: the scenario's)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        dest="overrides",
        metavar="KEY=VALUE",
        help="set one key of the scenario, e.g. --set envoy.initial_fetch_timeout=2s; may be repeated",
    )


def has_scenario_arguments(options: argparse.Namespace) -> bool:
    """Whether the user gave any of them."""
    return options.seed is not None or bool(options.overrides)


def load(path: str, overrides: list[tuple[str, str]]) -> Scenario:
    """The scenario in ``path`` with the overrides applied; raises BadInput with all of its problems."""
    import simulator as xs

    try:
        return xs.load_scenario(path, dict(overrides))
    except xs.ScenarioError as error:
        raise BadInput(told(error.problems, "--set"), is_located=True) from error


def told(problems: Sequence[Problem], option: str, expecting: str | None = None) -> str:
    """The problems, a line each; what stands on no line of a file came with `option`, or, where it is about
    an expectation, with the option `expecting`.

    A shell takes quotes away: who is told to quote 1.32 would write the same again.
    """
    lines = []
    for problem in problems:
        text = str(problem)
        if problem.file is None and not text.startswith("--"):
            text = f"{expecting if expecting and problem.key.startswith('expect') else option} {text}"
        advised = _QUOTED.search(text)
        if text.startswith("--") and advised is not None:
            given, key = text.partition(":")[0].split(" ", 1)
            text = f"{text[: advised.start()]}quote it for the shell too: {given} '{key}={advised[1]}'"
        lines.append(text)
    return "\n".join(lines)


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: write a whole number from 0 to 2^63 - 1")
    return seed


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing: write KEY=VALUE, e.g. mesh.proxies=10")
    return key.strip(), value
