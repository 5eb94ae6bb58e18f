"""Updates that have arrived at proxies of the arrays, in columns, and rows with equal values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Rows = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Arrived:
    """Updates with content at distinct proxies: a column for each property."""

    sub: NDArray[np.int32]
    place: Places
    content: NDArray[np.int32]
    carry_from: NDArray[np.int32]
    carry_to: NDArray[np.int32]
    enqueued_ns: Ints
    dequeued_ns: Ints
    sent_ns: Ints
    received_ns: Ints
    is_superseded: NDArray[np.bool_]
    """A newer loop of the same subscription existed when it came: it is for the cluster in service."""
    stopped_ns: Ints
    """When nobody wants it any more."""
    is_refused: NDArray[np.bool_] = field(init=False)
    """Filled in: it was refused."""

    def __post_init__(self) -> None:
        self.is_refused = np.zeros(len(self.sub), bool)


def groups(*columns: NDArray[np.integer] | NDArray[np.bool_]) -> Iterator[tuple[Rows, tuple[int, ...]]]:
    """Rows with equal values in all columns, and these values; rows in order."""
    if not len(columns[0]):
        return
    if all((column == column[0]).all() for column in columns):
        yield np.arange(len(columns[0])), tuple(int(column[0]) for column in columns)
        return
    order = np.lexsort(columns[::-1])
    differs = np.zeros(len(order), bool)
    for column in columns:
        ordered = column[order]
        differs[1:] |= ordered[1:] != ordered[:-1]
    for rows in np.split(order, np.flatnonzero(differs)):
        yield rows, tuple(int(column[rows[0]]) for column in columns)
