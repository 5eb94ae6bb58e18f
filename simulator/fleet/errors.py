"""What the array engine cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class CannotTakeFleet(Exception):
    """The run needs something that is played message by message only; the message names it."""


class SeveralLooked(Exception):
    """Endpoints were back before two istiods looked, and rows go from one of these to the other."""


class RowsTouched(Exception):
    """More happened to rows than arrays play, which only the run shows: it is to be played again with them
    message by message.

    Attributes:
        proxies: Those.
    """

    def __init__(self, proxies: NDArray[np.int64]) -> None:
        super().__init__(f"{len(proxies)} rows are touched")
        self.proxies = proxies


class OddRows(Exception):
    """What these rows would have to do is played message by message only; others go on."""
