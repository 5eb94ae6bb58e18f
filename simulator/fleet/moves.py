"""What a push does to proxies of the arrays that are in one state, message by message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

NULL = -1
"""No instant."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A change that a push carries to the proxies that make the move.

    Attributes:
        change: Its id.
        t_changed_ns: When it happened.
        first: Position of the first message with a part of it.
        last: Position of the last one, by which it is applied.
        active: Position of the message by which it takes effect, and
        active_delay_ns: the delay of that.
        acks: Positions of all that have a part of it.
        outcome: ``active`` or ``superseded``; ``rejected`` where the message in `last` is refused.
        push: The round that was made for it; None where something else carries it.
        carried_by: What: ``push``, ``earlier_push`` or ``reconnect``.
        replica: Who sends it.
        instants: Observed, debounced, enqueued; of what is no push made for it: three times observed.
    """

    change: int
    t_changed_ns: int
    first: int
    last: int
    active: int
    active_delay_ns: int
    acks: tuple[int, ...]
    outcome: str
    push: int | None
    carried_by: str
    replica: int
    instants: tuple[int, int, int]


class Request(NamedTuple):
    """A request of a proxy.

    Attributes:
        after: Position of the message after whose application it leaves.
        size: Bytes.
        answers: Position of the message it answers; NULL for none.
    """

    after: int
    size: int
    answers: int


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """What a push does to proxies that were in one state, message by message.

    Attributes:
        state: The state after it.
        sizes: Bytes.
        costs: Main-thread ns.
        clusters: Cluster objects, for the stats flush.
        delays: Longest delay to the workers; None for none.
        types: Their types.
        refused: Whether the answer to each is a NACK.
        requests: What the proxies send, in order.
        warms: Positions of a CDS message after which clusters warm, and of the EDS message that ends it.
        carried: Changes.
        cds: Position of the CDS message and number of what it carries, where it carries changes.
        lds: The same of LDS.
        views: Number of what requests meet once the workers have each message; empty where nobody sends any.
    """

    state: int
    sizes: tuple[int, ...]
    costs: tuple[int, ...]
    clusters: tuple[int, ...]
    delays: tuple[int | None, ...]
    types: tuple[str, ...]
    refused: tuple[bool, ...]
    requests: tuple[Request, ...]
    warms: tuple[int, int] | None
    carried: tuple[Carried, ...]
    cds: tuple[int, int] | None = None
    lds: tuple[int, int] | None = None
    views: tuple[int, ...] = ()


class Moving(Protocol):
    """What works moves out."""

    def move(self, state: int, made: int, late_cds: Sequence[int], late_lds: Sequence[int]) -> Move:
        """The move of a proxy that has still to apply messages which carry this, newest first."""
