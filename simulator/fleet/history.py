"""Messages with changes that may still be on their way to proxies of the arrays when the next one leaves.

Of each proxy the latest such messages of one type: when each was applied, and what it carried. As many are
kept as were ever late at once: a message that is applied before a push leaves is never asked for again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Small = NDArray[np.int32]

_NEVER, _LAST = -1, 2**62


class Chains:
    """Contents of late messages, newest first, by number; 0 is none."""

    def __init__(self) -> None:
        self.contents: list[tuple[int, ...]] = [()]
        self._numbers: dict[tuple[int, int], int] = {}

    def longer(self, chain: Ints, content: Ints) -> Ints:
        """Numbers of these chains with one older message each."""
        pairs, of = np.unique(np.stack([chain, content]), axis=1, return_inverse=True)
        numbers = [self._longer(before, what) for before, what in pairs.T.tolist()]
        longer: Ints = np.array(numbers, np.int64)[of.reshape(-1)]
        return longer

    def _longer(self, before: int, content: int) -> int:
        number = self._numbers.get((before, content))
        if number is None:
            number = self._numbers[before, content] = len(self.contents)
            self.contents.append((*self.contents[before], content))
        return number


class History:
    """The messages of one type.

    Args:
        count: How many proxies.
    """

    def __init__(self, count: int) -> None:
        self._applied_ns: Ints = np.full((1, count), _NEVER, np.int64)
        self._content: Small = np.zeros((1, count), np.int32)
        self._latest_ns = _NEVER
        """When the last of all is applied."""
        self.chains = Chains()

    @property
    def depth(self) -> int:
        """How many messages are kept of each proxy."""
        return len(self._applied_ns)

    def late(self, place: Small, sent_ns: Ints) -> Ints:
        """By proxy the chain of what is still to be applied when a push is sent."""
        chain = np.zeros(len(place), np.int64)
        if self._latest_ns <= sent_ns.min(initial=_LAST):
            return chain
        rows = np.flatnonzero(self._applied_ns[0][place] > sent_ns)
        depth = 0
        while len(rows):
            chain[rows] = self.chains.longer(chain[rows], self._content[depth][place[rows]].astype(np.int64))
            depth += 1
            if depth == self.depth:
                break
            # Messages are applied in order: where one is not late, no older one is.
            rows = rows[self._applied_ns[depth][place[rows]] > sent_ns[rows]]
        return chain

    def add(self, place: Small, sent_ns: Ints, applied_ns: Ints, content: int) -> None:
        """A message that carries changes was sent to these proxies, each once, and when it is applied."""
        self._latest_ns = max(self._latest_ns, int(applied_ns.max(initial=_NEVER)))
        if (self._applied_ns[-1][place] > sent_ns).any():
            self._deepen()
        self._applied_ns[1:, place] = self._applied_ns[:-1, place]
        self._content[1:, place] = self._content[:-1, place]
        self._applied_ns[0, place] = applied_ns
        self._content[0, place] = content

    def _deepen(self) -> None:
        self._applied_ns = np.concatenate([self._applied_ns, np.full_like(self._applied_ns, _NEVER)])
        self._content = np.concatenate([self._content, np.zeros_like(self._content)])
