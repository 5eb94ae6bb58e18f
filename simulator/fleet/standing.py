"""Where one proxy stands: its link and its main thread, whoever plays it."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """What is known of a proxy to whom nothing is under way and who has nothing to do.

    Attributes:
        sent_up: Messages to istiod so far, streams included.
        last_up_ns: When the latest arrives; -1 for none.
        sent_down: Messages from istiod, and
        last_down_ns: the same of them.
        busy_until_ns: When the latest job of the main thread is complete.
        busy_ns: Time spent on jobs.
        next_flush_ns: When the next stats flush is due.
        flushes: How many were drawn.
        flushed_until_ns: When the latest one was over.
        opened: Streams that were opened so far: on their way as messages are, and none.
        workers_ns: When the workers have what was published last; -1 for nothing.
    """

    sent_up: int
    last_up_ns: int
    sent_down: int
    last_down_ns: int
    busy_until_ns: int
    busy_ns: int
    next_flush_ns: int
    flushes: int
    flushed_until_ns: int
    opened: int
    workers_ns: int

    @property
    def sent(self) -> int:
        """Messages in both directions so far."""
        return self.sent_up + self.sent_down - self.opened
