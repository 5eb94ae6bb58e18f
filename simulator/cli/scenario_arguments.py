"""The arguments that every command playing a scenario takes, and how they become a scenario."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from simulator.cli.refusal import BadInput

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

__all__ = ["add_scenario_arguments", "has_scenario_arguments", "load"]


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
        raise BadInput(str(error), is_located=True) from error


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
