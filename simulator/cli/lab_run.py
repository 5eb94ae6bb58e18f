"""``xdsim lab run``: one scenario in both worlds, simulated and measured values side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from simulator.cli.lab_arguments import check_playable, runs_argument
from simulator.cli.scenario_arguments import add_scenario_arguments, load
from simulator.cli.writable import check_writable

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "play a scenario against real Envoys and print simulated beside measured"
DESCRIPTION = (
    "Simulates a scenario, plays it in real time against real Envoys, and prints both side by side. It takes "
    "as long as the scenario does, for each run."
)

DIFFERS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the scenario, how often, and where results go."""
    parser.add_argument("scenario", metavar="SCENARIO", help="scenario file (YAML)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="write DIR/simulated and DIR/measured-1, ... (default: nothing)",
    )
    runs_argument(parser, 1)
    add_scenario_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """0 if both worlds agree, 1 if not; BadInput where nothing can be played."""
    scenario = load(options.scenario, options.overrides)
    check_playable([scenario])
    if options.out is not None:
        check_writable(options.out / "simulated")
    from simulator.lab.verify import verify

    verdict = verify(scenario, options.seed, runs=options.runs)
    from simulator.cli.lab_tables import print_verdict

    print_verdict(verdict, scenario.question, in_full=True)
    if options.out is not None:
        verdict.simulated.save(options.out / "simulated")
        for number, measured in enumerate(verdict.measured, start=1):
            measured.save(options.out / f"measured-{number}")
        print(f"\nwrote {options.out}")
    return 0 if verdict.agrees else DIFFERS
