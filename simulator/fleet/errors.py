"""What the array engine cannot do."""

from __future__ import annotations


class CannotTakeFleet(Exception):
    """The run needs something that is played message by message only; the message names it."""
