"""What long polls of the arrays did to recorded changes, from the log of the kernel, many entries at a time.

Of each proxy the first entry is worked off, then the second, and so on: what happens to one proxy is nothing
to another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.fleet import long_poll_state as s
from simulator.fleet.arrived import Arrived
from simulator.fleet.updates import Updates

Ints = NDArray[np.int64]


class LongPollLedger:
    """See the module.

    Args:
        updates: What answers do to the proxies, and to changes.
        keys: How many subscriptions all proxies have.
    """

    def __init__(self, updates: Updates, keys: int) -> None:
        self._updates = updates
        self._open_version = np.full(keys, s.NO_OPEN, np.int32)
        """By key: content of the last answer that carried changes and is not acknowledged, or `NO_OPEN`,"""
        self._open_from, self._open_to = (np.zeros(keys, np.int32) for _ in range(2))
        """the publications between which these changes are."""

    def work_off(self, log: Ints) -> None:
        """These entries, in order."""
        if not len(log):
            return
        order = np.argsort(log[:, s.AT_PLACE], kind="stable")
        place = log[order, s.AT_PLACE]
        begins = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
        turn = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
        by_turn = np.argsort(turn, kind="stable")
        for rows in np.split(order[by_turn], np.cumsum(np.bincount(turn))[:-1]):
            self._at_once(log[rows])

    def _at_once(self, log: Ints) -> None:
        """One entry of each of some proxies."""
        what = log[:, s.WHAT]
        for kind, work in (
            (s.STARTED, self._start),
            (s.APPLIED, self._apply),
            (s.ACK, self._acknowledge),
            (s.TIMED_OUT, self._time_out),
        ):
            those = log[what == kind]
            if len(those):
                work(those)

    def _start(self, log: Ints) -> None:
        sub, place, since = (_small(log, column) for column in (s.OF_SUB, s.AT_PLACE, s.SINCE))
        enqueued_ns, served_ns, left_ns = log[:, s.ENQUEUED], log[:, s.SERVED_NS], log[:, s.LEFT_NS]
        carries = self._updates.sent(sub, place, since, enqueued_ns, served_ns, left_ns)
        keys = log[carries, s.OF_KEY]
        self._open_version[keys] = log[carries, s.OF_CONTENT]
        self._open_from[keys], self._open_to[keys] = log[carries, s.SINCE], log[carries, s.UNTIL]

    def _apply(self, log: Ints) -> None:
        arrived = Arrived(
            _small(log, s.OF_SUB),
            _small(log, s.AT_PLACE),
            _small(log, s.OF_CONTENT),
            _small(log, s.SINCE),
            _small(log, s.UNTIL),
            log[:, s.ENQUEUED],
            log[:, s.SERVED_NS],
            log[:, s.LEFT_NS],
            log[:, s.RECEIVED_NS],
            log[:, s.IS_OLD].astype(bool),
            log[:, s.STOPPED],
        )
        self._updates.take(arrived, log[:, s.DONE_NS])

    def _acknowledge(self, log: Ints) -> None:
        """Requests arrive that state a version (propagation/http_server.py: Acknowledgements)."""
        keys = log[:, s.OF_KEY]
        states = self._open_version[keys] == log[:, s.OF_CONTENT]
        accepts = states & (log[:, s.IS_OLD] == 0)
        those = keys[accepts]
        self._updates.acked(
            _small(log[accepts], s.OF_SUB),
            _small(log[accepts], s.AT_PLACE),
            self._open_from[those],
            self._open_to[those],
            log[accepts, s.RECEIVED_NS],
        )
        self._open_version[keys[states]] = s.NO_OPEN

    def _time_out(self, log: Ints) -> None:
        self._updates.note_touched(_small(log, s.AT_PLACE))


def _small(log: Ints, column: int) -> NDArray[np.int32]:
    return log[:, column].astype(np.int32)
