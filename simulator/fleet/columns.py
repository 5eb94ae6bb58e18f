"""Columns of what happens to many rows at once: chosen, spread, and put in rounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.fleet.moves import NULL, Move

Ints = NDArray[np.int64]
Small = NDArray[np.int32]


def distinct(values: Ints) -> Ints:
    """The values, each once, in order: as numpy.unique, which costs a fifth of a second when first used."""
    if not len(values) or (values == values[0]).all():
        return values[:1]
    ordered: Ints = np.sort(values)
    first: Ints = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
    return first


def rounds(place: Small, seat: Small) -> Sequence[NDArray[np.int64] | slice]:
    """Rows of the first push to each proxy, of the second, and so on; in order. `seat` is scratch."""
    rows = np.arange(len(place), dtype=np.int32)
    seat[place] = rows
    if (seat[place] == rows).all():
        return [slice(None)] if len(place) else []
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    earlier = np.empty(len(place), np.int64)
    earlier[order] = np.arange(len(place)) - np.repeat(begins, np.diff(begins, append=len(place)))
    ends = np.cumsum(np.bincount(earlier))[:-1]
    return np.split(np.argsort(earlier, kind="stable"), ends)


def chosen(columns: Sequence[Ints], number: Ints, numbers: Sequence[int]) -> Ints:
    """Of each row the value in the column of that number; `numbers` are those that occur."""
    found = list(dict.fromkeys(numbers))
    values = columns[found[0]]
    for column in found[1:]:
        values = np.where(number == column, columns[column], values)
    return values


def delay_of(move: Move, at: int) -> int:
    """The delay of a message to the workers; `NULL` where it publishes nothing."""
    delay = move.delays[at] if at < len(move.delays) else None
    return NULL if delay is None else delay


def spread(values: Ints, rows: NDArray[np.bool_] | slice, count: int) -> Ints:
    """The values of some rows among so many; `NULL` for others."""
    if isinstance(rows, slice):
        return values
    column = np.full(count, NULL, np.int64)
    column[rows] = values
    return column
