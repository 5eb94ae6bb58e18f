"""What became of each cluster and listener of one Envoy: the ``states`` table read and grouped for drawing.

Envoy holds up to three versions of one name at a time: one serves while its successor warms, and a replaced
listener drains while the next one serves (rules W4 and W9 of the Envoy 1.40 measurements). A history
therefore lists, from each instant on, the *layers* present: warming, pending, active, draining.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LAYERS", "MACHINES", "Group", "History", "group_histories", "late_assignments", "read_histories"]

LAYERS = ("draining", "active", "pending", "warming")
"""The layers of a history, in the order in which they are stacked, from below. *Pending* is a listener that
is in place and waits for its route or for the workers to start (rule S8)."""
MACHINES = ("cluster", "listener")

Present = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """One name: from each instant (nanoseconds since the run began) on, the layers present."""

    machine: str
    name: str
    steps: tuple[tuple[int, Present], ...]

    def longest(self, layer: str, until_ns: int) -> int:
        """Nanoseconds of the longest unbroken time in a layer; what is unfinished counts to the end."""
        longest, since = 0, None
        for at_ns, present in (*self.steps, (until_ns, ())):
            if layer in present:
                since = at_ns if since is None else since
            elif since is not None:
                longest, since = max(longest, at_ns - since), None
        return longest

    @property
    def last(self) -> Present:
        """The layers present when the run ended."""
        return self.steps[-1][1]


@dataclass(frozen=True, slots=True)
class Group:
    """Names drawn in one row: those with equal histories, or at least with the same sequence of layers."""

    machine: str
    members: tuple[History, ...]

    @property
    def label(self) -> str:
        """``c0``; ``c0, c1, c4``; ``c0 … c99 (100)``."""
        names = [history.name for history in self.members]
        if len(names) <= 3 and sum(map(len, names)) <= 24:
            return ", ".join(names)
        return f"{_short(names[0])} … {_short(names[-1])} ({len(names):,})"

    def shares(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """From each instant on, the share of the row that each of LAYERS takes.

        A name present in two layers at once gives half of its share to each.
        """
        moves: dict[int, list[float]] = {}
        for steps, count in _counted(history.steps for history in self.members):
            before = (0.0,) * len(LAYERS)
            for at_ns, present in steps:
                after = tuple(count / len(present) if layer in present else 0.0 for layer in LAYERS)
                move = moves.setdefault(at_ns, [0.0] * len(LAYERS))
                for index, (old, new) in enumerate(zip(before, after, strict=True)):
                    move[index] += new - old
                before = after
        level = [0.0] * len(LAYERS)
        for at_ns in sorted(moves):
            level = [amount + change for amount, change in zip(level, moves[at_ns], strict=True)]
            yield at_ns, tuple(max(0.0, amount) / len(self.members) for amount in level)


def read_histories(states: pd.DataFrame, proxy: str, restarts_ns: Sequence[int] = ()) -> list[History]:
    """The clusters and listeners of one proxy, in the order in which they appeared.

    ``restarts_ns`` are the instants at which the process began anew, with nothing left of the one before.
    """
    mine = states[(states["proxy_id"] == proxy) & states["machine"].isin(MACHINES)]
    rows = sorted(
        zip(mine["t_ns"], mine["machine"], mine["name"], mine["state"], strict=True), key=lambda row: row[0]
    )
    entered: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for at_ns, machine, name, state in rows:
        entered.setdefault((str(machine), str(name)), []).append((int(at_ns), str(state).lower()))
    return [
        History(
            machine, name, _steps(sorted([*changes, *((at, "restart") for at in restarts_ns)], key=_instant))
        )
        for (machine, name), changes in entered.items()
    ]


def late_assignments(states: pd.DataFrame, proxy: str) -> dict[str, list[int]]:
    """Cluster -> the instants at which its wait for an assignment (EDS) timed out, for one proxy."""
    mine = states[(states["proxy_id"] == proxy) & (states["machine"] == "subscription")]
    rows = mine[mine["detail"] == "eds timed out"]
    late: dict[str, list[int]] = {}
    for at_ns, name in zip(rows["t_ns"], rows["name"], strict=True):
        late.setdefault(str(name), []).append(int(at_ns))
    return late


def group_histories(histories: Iterable[History], rows_at_most: int) -> list[Group]:
    """Names in at most ``rows_at_most`` rows if that can be: equal histories first, then equal sequences."""
    ordered = sorted(
        histories, key=lambda each: (MACHINES.index(each.machine), each.steps[0][0], _natural(each.name))
    )
    groups: list[Group] = []
    for kind in (_same_history, _same_sequence, _same_machine):
        groups = [Group(members[0].machine, tuple(members)) for members in _gathered(ordered, kind)]
        if len(groups) <= rows_at_most:
            break
    return groups


def _steps(changes: Sequence[tuple[int, str]]) -> tuple[tuple[int, Present], ...]:
    steps: list[tuple[int, Present]] = []
    versions = dict.fromkeys(LAYERS, 0)
    for at_ns, together in groupby(changes, key=_instant):
        words = [word for _, word in together]
        for word in words:
            _enter(versions, word, words)
        steps.append((at_ns, tuple(layer for layer in LAYERS if versions[layer])))
    return tuple(step for index, step in enumerate(steps) if index == 0 or step[1] != steps[index - 1][1])


def _enter(versions: dict[str, int], word: str, together: Sequence[str]) -> None:
    """One state entered; ``versions`` counts the versions in each layer, ``together`` is this instant's."""
    if word == "restart":
        versions.update(dict.fromkeys(versions, 0))
    elif word == "active":
        versions.update(active=1, warming=0, pending=0)
    elif word == "active_pending":
        versions["pending"] = 1
    elif word == "warming":
        versions["warming"] = 1
    elif word.endswith("draining"):
        versions["draining"] += 1
        if "active" not in together:  # no successor: the name was removed
            versions["active"] = 0
    else:
        # An end: of what drains if something does. Where the serving version begins to drain at the same
        # instant, the name was removed, and what ends is its successor that had not yet served.
        unborn, drained = ("pending", "warming"), ("draining",)
        order = (*unborn, *drained) if "draining" in together else (*drained, *unborn)
        ended = next((layer for layer in (*order, "active") if versions[layer]), "active")
        versions[ended] = max(0, versions[ended] - 1)


def _gathered(histories: Iterable[History], kind: Callable[[History], object]) -> Iterable[list[History]]:
    gathered: dict[object, list[History]] = {}
    for history in histories:
        gathered.setdefault(kind(history), []).append(history)
    return gathered.values()


def _same_history(history: History) -> object:
    return history.machine, history.steps


def _same_sequence(history: History) -> object:
    return history.machine, tuple(present for _, present in history.steps)


def _same_machine(history: History) -> object:
    return history.machine


def _counted(
    all_steps: Iterable[tuple[tuple[int, Present], ...]],
) -> Iterable[tuple[tuple[tuple[int, Present], ...], int]]:
    counts: dict[tuple[tuple[int, Present], ...], int] = {}
    for steps in all_steps:
        counts[steps] = counts.get(steps, 0) + 1
    return counts.items()


def _instant(change: tuple[int, str]) -> int:
    return change[0]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts c2 before c10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:13]}…{name[-13:]}"
