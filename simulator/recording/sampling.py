"""Which proxies' deliveries keep their rows where those of all would be too many."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws

__all__ = ["SAMPLED_ROWS", "is_sampled", "sampled_share"]

SAMPLED_ROWS: Final = 20_000
"""About so many rows are kept beside the histograms (assumption: enough for a p99 by the rows alone)."""


def sampled_share(deliveries: int) -> float:
    """Of so many deliveries, the share whose rows are kept beside histograms."""
    return min(1.0, SAMPLED_ROWS / max(deliveries, 1))


def is_sampled(proxies: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Which proxies' rows are kept: the same for every change and every run, and of a smaller share fewer of
    the same."""
    chosen: NDArray[np.bool_] = Draws(0, 0).uniform_array("recording.deliveries.sample", proxies) < share
    return chosen
