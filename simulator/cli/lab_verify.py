"""``xdsim lab verify``: scenarios, or folders of them, in both worlds; fails where they disagree."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli.lab_arguments import check_playable, playable, runs_argument
from simulator.cli.refusal import BadInput
from simulator.cli.scenario_arguments import load

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "hold the simulator against real Envoys; fails on disagreement"
DESCRIPTION = (
    "Plays every scenario in both worlds and prints, rule by rule, what is expected, simulated and measured. "
    "Messages must come in the same order except for races; times must agree within max(20 ms, 5 %), counted "
    "from the first xDS subscription, so that what a process needs to start does not matter. A disagreement "
    "must hold in the majority of the runs, and a run in which the machine was busy does not count. Of "
    "several scenarios those that cannot be played (istiod) are named and left out."
)

DIFFERS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenarios and how often."""
    parser.add_argument("scenarios", metavar="FOLDER|SCENARIO", nargs="+", help="scenario files, or folders")
    parser.add_argument("--all", action="store_true", help="print the rules that agree as well")
    runs_argument(parser, 3)


def execute(options: argparse.Namespace) -> int:
    """0 if all agree, 1 if not; BadInput where nothing can be played."""
    paths = [path for given in options.scenarios for path in _files(Path(given))]
    scenarios = [(path, load(str(path), [])) for path in paths]
    # Of several, those that cannot be played are named and left out; one alone is refused.
    check_playable([scenario for _, scenario in scenarios] if len(scenarios) == 1 else [])
    from simulator.cli.lab_tables import print_left_out, print_total, print_verdict
    from simulator.lab.verify import verify

    differing = unjudged = played = 0
    for path, scenario in scenarios:
        reasons = playable(scenario) or _held_otherwise(scenario)
        if reasons:
            print_left_out(path, reasons)
            continue
        verdict = verify(scenario, runs=options.runs)
        print_verdict(verdict, "", in_full=options.all)
        played += 1
        differing += verdict.is_judged and not verdict.agrees
        unjudged += not verdict.is_judged
    if not played:
        raise BadInput("none of these scenarios can be played against a real Envoy")
    print_total(played, len(scenarios) - played, differing, unjudged)
    return DIFFERS if differing or unjudged else 0


def _held_otherwise(scenario: Scenario) -> list[str]:
    """Envoys that wait for each other's cores do nothing at the same time twice."""
    if scenario.lab.cores is None or len(scenario.mesh.proxies.names()) == 1:
        return []
    return ["lab.cores: a fleet on shared cores is held as distributions: xdsim lab delays"]


def _files(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    found = sorted(given.glob("*.yaml"))
    if not found:
        raise BadInput(f"{given}: there are no scenarios (*.yaml) in it")
    return found
