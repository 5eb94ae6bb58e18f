"""Whose stream breaks because a message is lost: which one it is follows from how many were sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws

Ints = NDArray[np.int64]


def who_loses(draws: Draws, loss: float, entity: Ints, sent: Ints, but: Ints | None = None) -> Ints:
    """Those who lose a message (wire/trouble.py).

    Args:
        draws: Of the run.
        loss: The share of messages that break their stream.
        entity: Proxies.
        sent: How many messages each and istiod sent to each other.
        but: Two rows: behind which message of each to which one losses do not count, as they were played.
    """
    is_hit = np.zeros(len(sent), bool)
    for number in range(1, int(sent.max(initial=0)) + 1):
        counts = (sent >= number) & ~is_hit
        if but is not None:
            counts &= (number <= but[0]) | (number > but[1])
        those = np.flatnonzero(counts)
        is_hit[those] = draws.uniform_array("network.loss", entity[those], number) < loss
    hit: Ints = entity[is_hit]
    return hit
