"""Changes that alter nothing beyond an earlier one: an endpoint that left and is back before istiod looked.

No push is made for them: a proxy has such a change as soon as it has the one before, and at once where it has
that already (recording/ledger.py: on_nothing_new).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

NULL = -1
SKIPPED = (
    "t_observed_ns",
    "t_debounced_ns",
    "t_enqueued_ns",
    "t_dequeued_ns",
    "t_sent_ns",
    "t_received_ns",
    "t_applied_ns",
)
"""Instants that take that of the stage before."""


@dataclass(frozen=True, slots=True)
class Follower:
    """A change to which istiod had nothing to say.

    Attributes:
        t_ns: When it learned of it.
        before: The change before of the same object; None for none.
        is_last: It is the newest of those that it learned of together.
        replica: Which istiod learned of it.
        is_told: By place whether it holds the proxy's stream then: to others the change goes as any other.
            None for all.
    """

    t_ns: int
    before: int | None
    is_last: bool
    replica: int
    is_told: NDArray[np.bool_] | None = None


def told_twice(first: NDArray[np.bool_] | None, second: NDArray[np.bool_] | None) -> bool:
    """Whether a proxy is connected to both of two istiods when they learn of a change: to the one first, then
    to the other."""
    return first is None or second is None or bool((first & second).any())


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """How a change took effect at each proxy of the arrays.

    Attributes:
        decided_ns: When its update was over on the main thread, or what comes in its place; NULL where it
            was not.
        active_ns: When the workers had it.
    """

    decided_ns: Ints
    active_ns: Ints


def follow(
    follower: Follower,
    before: Effect | None,
    columns: dict[str, Ints],
    own: Effect,
    outcomes: tuple[int, int],
    carrier: int,
) -> Effect:
    """Writes the rows of a change that follows another one.

    Args:
        follower: The change.
        before: What became of the one before.
        columns: What a message that carries it as well would make of it.
        own: The same, of its effect.
        outcomes: Codes of ``active`` and ``superseded``.
        carrier: Code of ``earlier_push``.
    """
    t_ns, (active, superseded) = follower.t_ns, outcomes
    count = len(own.decided_ns)
    is_told = np.ones(count, bool) if follower.is_told is None else follower.is_told
    is_met = np.ones(count, bool)
    decided, effective = np.full(count, t_ns), np.full(count, t_ns)
    is_superseded = np.full(count, not follower.is_last)
    if before is not None:
        # What has not taken effect by then takes this one along.
        waits = (before.decided_ns == NULL) | (before.decided_ns >= t_ns)
        decided, effective = (
            np.where(waits, of_before, t_ns) for of_before in (before.decided_ns, before.active_ns)
        )
        is_met = decided != NULL
        # A newer one in the very message that brought the one before.
        is_superseded |= waits & (own.decided_ns == decided) & (columns["outcome"] == superseded)
    is_open, is_met = is_told & ~is_met, is_told & is_met
    columns["t_observed_ns"][is_open] = t_ns
    columns["replica"][is_told] = follower.replica
    for name in SKIPPED:
        columns[name][is_met] = t_ns
    for name in ("t_active_ns", "t_acked_ns"):
        columns[name][is_met] = effective[is_met]
    columns["push_id"][is_met] = NULL
    columns["carried_by"][is_met] = carrier
    columns["outcome"][is_met] = np.where(is_superseded, superseded, active)[is_met]
    decided = np.where(is_met, decided, np.where(is_told, NULL, own.decided_ns))
    return Effect(decided, np.where(is_met, effective, np.where(is_told, NULL, own.active_ns)))
