"""What left for proxies of the arrays together, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simulator.fleet.moves import Move

Ints = NDArray[np.int64]
Small = NDArray[np.int32]


@dataclass(slots=True, eq=False)
class Batch:
    """Pushes to distinct proxies, in order of their ends: one column for each message.

    Attributes:
        workers_ns: What the workers had before each message.
        acked_ns: When its answer reaches istiod.
        moves: The moves that carry changes, with their rows.
        all_moves: All of them, where answers differ (StreamSettings), and
        of: the one of each row; None where there is one move alone.
        sents: When each message left, where they did not leave together.
        since_ns: From when on the connection's worker made it, where that is not when it was dequeued.
        owner: Number of whoever sent it (Streams.owner).
        ends_ns: When the stream of each ends, where answers differ and streams end: no two of a proxy end
            together.
        worked: Of messages that did not leave together, when the worker was busy meanwhile: it read no ACK.
    """

    place: Small
    dequeued_ns: Ints
    sent_ns: Ints
    received_ns: list[Ints]
    applied_ns: list[Ints]
    workers_ns: list[Ints]
    acked_ns: list[Ints]
    moves: list[tuple[NDArray[np.int64] | slice, Move]]
    all_moves: Sequence[Move]
    of: Ints | None
    sents: list[Ints] | None = None
    since_ns: Ints | None = None
    worked: list[tuple[Ints, Ints]] = field(default_factory=list)
    owner: int = 0
    ends_ns: Ints | None = None

    @classmethod
    def leaving(cls, place: Small, dequeued_ns: Ints, sent_ns: Ints) -> Batch:
        """What leaves at these instants: all else is still to be worked out."""
        return cls(place, dequeued_ns, sent_ns, [], [], [], [], [], [], None)

    def sent_at(self, at: int) -> Ints:
        """When the message in this position left."""
        return self.sent_ns if self.sents is None else self.sents[at]

    @property
    def busy_from_ns(self) -> Ints:
        """From when on ACKs were not read, until `sent_ns`."""
        return self.dequeued_ns if self.since_ns is None else self.since_ns

    def part(self, chosen: NDArray[np.bool_]) -> Batch:
        """Some of its rows."""
        kept = np.flatnonzero(chosen)
        seat = np.cumsum(chosen) - 1
        moves: list[tuple[NDArray[np.int64] | slice, Move]] = []
        for rows, move in self.moves:
            of = kept if isinstance(rows, slice) else rows[chosen[rows]]
            if len(of):
                moves.append((seat[of], move))
        received, applied, workers, acked = (
            [values[kept] for values in column]
            for column in (self.received_ns, self.applied_ns, self.workers_ns, self.acked_ns)
        )
        return Batch(
            self.place[kept],
            self.dequeued_ns[kept],
            self.sent_ns[kept],
            received,
            applied,
            workers,
            acked,
            moves,
            self.all_moves,
            None if self.of is None else self.of[kept],
            None if self.sents is None else [sent[kept] for sent in self.sents],
            None if self.since_ns is None else self.since_ns[kept],
            [(begin[kept], end[kept]) for begin, end in self.worked],
            self.owner,
            None if self.ends_ns is None else self.ends_ns[chosen],
        )

    def read_own_acks(self) -> None:
        """An ACK that came while the worker was busy was read behind that."""
        for begin, end in self.worked:
            for at, acked in enumerate(self.acked_ns):
                self.acked_ns[at] = np.where((acked > begin) & (acked <= end), end, acked)
