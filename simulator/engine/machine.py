"""State machines as tables.

A table maps (state, signal) to (next state, action): the legal moves are data, and a pair that is absent is a
modelling error, found when it happens. A deliberate no-op is a row with the action `None`. Actions are names
of methods of the owner's class; `bind` resolves them once, so a misspelt one fails before any run starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Generic, TypeVar

S = TypeVar("S", bound=Enum)
G = TypeVar("G", bound=Enum)
Owner = TypeVar("Owner")

Table = Mapping[tuple[S, G], tuple[S, str | None]]
"""(state, signal) -> (next state, name of the owner's method to call, or None)."""

Rows = Mapping[tuple[S, G], tuple[S, Callable[[Owner], object] | None]]
"""A table bound to a class: methods in place of their names."""


class UnexpectedSignal(AssertionError):
    """A signal was fired in a state whose table has no row for it."""


def bind(table: Table[S, G], cls: type[Owner]) -> Rows[S, G, Owner]:
    """The table with the methods of `cls` in place of their names.

    Raises:
        AttributeError: `cls` has no such method.
    """
    return {
        pair: (following, None if action is None else getattr(cls, action))
        for pair, (following, action) in table.items()
    }


class Machine(Generic[S, G, Owner]):
    """One state and one bound table.

    Args:
        start: the state to begin in; entering it is not reported.
        rows: what `bind` returned.
        owner: passed to the actions and to `entered`.
        entered: called as `entered(owner, before, after)` when the state changed, before the action.
    """

    __slots__ = ("entered", "owner", "rows", "state")

    def __init__(
        self, start: S, rows: Rows[S, G, Owner], owner: Owner, entered: Callable[[Owner, S, S], object]
    ) -> None:
        self.state = start
        self.rows = rows
        self.owner = owner
        self.entered = entered

    def fire(self, signal: G) -> None:
        """Move as the table says. An action may fire its own machine only as its last act.

        Raises:
            UnexpectedSignal: the table has no row for this signal in the present state.
        """
        before = self.state
        row = self.rows.get((before, signal))
        if row is None:
            raise UnexpectedSignal(f"{self.owner!r}: {signal.name} while {before.name}")
        after, action = row
        if after is not before:
            self.state = after
            self.entered(self.owner, before, after)
        if action is not None:
            action(self.owner)


def _shown(state: Enum) -> str:
    """A state by its text value (the name the real thing has), else by its name in the code."""
    return state.value if isinstance(state.value, str) else state.name


def describe(table: Table[S, G], start: S) -> str:
    """A text diagram: every state, in the order first reached, with its rows as `signal -> state / action`.

    States that cannot be reached come last.
    """
    order = _reachable(table, start)
    order.update(dict.fromkeys(state for state, _ in table))
    signal_width = max((len(signal.name) for _, signal in table), default=0)
    lines = [f"(start) -> {_shown(start)}"]
    for state in order:
        rows = [(signal, *row) for (before, signal), row in table.items() if before is state]
        lines.append(_shown(state) if rows else f"{_shown(state)} (end)")
        for signal, after, action in rows:
            target = "(same)" if after is state else _shown(after)
            deed = "" if action is None else f" / {action}"
            lines.append(f"    {signal.name:<{signal_width}} -> {target}{deed}")
    return "\n".join(lines)


def check(table: Table[S, G], start: S, final: Collection[S]) -> list[str]:
    """What is wrong with the shape of a table; empty if nothing is.

    Every state of the enum is reachable from `start`; a state without exits is final and a final one has
    none.
    """
    reachable = _reachable(table, start)
    leaving = {before for (before, _), (after, _) in table.items() if after is not before}
    problems = []
    for state in type(start):
        if state not in reachable:
            problems.append(f"{state.name} cannot be reached from {start.name}")
        if state in final and state in leaving:
            problems.append(f"{state.name} is final, but has an exit")
        if state not in final and state not in leaving:
            problems.append(f"{state.name} has no exit, but is not final")
    return problems


def _reachable(table: Table[S, G], start: S) -> dict[S, None]:
    """The states that can be reached, breadth first."""
    found = {start: None}
    frontier = [start]
    while frontier:
        state = frontier.pop(0)
        for (before, _), (after, _) in table.items():
            if before is state and after not in found:
                found[after] = None
                frontier.append(after)
    return found
