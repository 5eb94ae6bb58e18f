"""What answers do to the proxies of the arrays, as tables that the kernel of long polls reads."""

from __future__ import annotations

import numpy as np

from simulator.fleet import long_poll_state as s
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.subscriptions import Subscriptions
from simulator.fleet.updates import Updates
from simulator.xds.resources import Names, Resources


class StepTable:
    """See the module.

    Args:
        subscriptions: What answers are about.
        updates: Knows what they do.

    Attributes:
        codes: Answers (`long_poll_state.code_of`), as a hash table,
        values: with the row of each.
        steps: Rows: see `long_poll_state.COST`.
        awaited: Subscriptions that begin with answers of CDS, answer by answer.
        most_awaited: So many begin with one answer at most.
    """

    def __init__(self, subscriptions: Subscriptions[Resources, Names], updates: Updates) -> None:
        self._subscriptions, self._updates = subscriptions, updates
        self._found: dict[int, int] = {}
        self.steps = np.zeros((0, s.STEP), np.int64)
        self.awaited = np.zeros(0, np.int64)
        self.most_awaited = 0
        self._make_codes()

    def add(self, sub: int, held: int, content: int, warms: int) -> None:
        """Works out what an answer with a content does where another one is held."""
        if max(sub, held, content) >= s.MOST_NUMBERS:
            raise CannotTakeFleet(
                f"long polls of more than {s.MOST_NUMBERS} subscriptions or contents of one"
            )
        steps, type_name = self._updates.steps, self._subscriptions.all[sub].type_name
        step, after = steps.step(sub, held, content, bool(warms))
        kind, begun = s.PLAIN, list[int]()
        if type_name == "cds" and step.awaited:
            kind, begun = s.STARTS, steps.begun(sub, step)
        elif type_name == "eds" and step.awaited:
            kind = s.SERVES
        self.most_awaited = max(self.most_awaited, len(begun))
        cost_ns = step.cost_ns + self._updates.least_ns
        row = cost_ns, after, bool(step.refused), kind, len(self.awaited), len(begun)
        self._found[s.code_of(sub, held, content, warms)] = len(self.steps)
        self.steps = np.concatenate([self.steps, np.array([row], np.int64)])
        self.awaited = np.concatenate([self.awaited, np.array(begun, np.int64)])
        self._make_codes()

    def _make_codes(self) -> None:
        """The hash table of `long_poll_state.find`."""
        size = 1 << (2 * len(self._found) + 1).bit_length()
        self.codes, self.values = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
        for code, value in self._found.items():
            at = s.slot_of(code) & (size - 1)
            while self.codes[at] >= 0:
                at = (at + 1) & (size - 1)
            self.codes[at], self.values[at] = code, value
