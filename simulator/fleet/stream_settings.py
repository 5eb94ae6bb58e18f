"""What is equal for the streams of all proxies of the arrays."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.engine.delays import Delay


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What is equal for all: delays, sizes and limits.

    Attributes:
        latency: Of each message.
        hop: Of the agent between; None for none.
        bytes_per_second: Bandwidth; None for no limit.
        window_bytes: What may be under way unread.
        flush_interval_ns: Of the stats; 0 for never.
        flush_per_cluster: Its cost.
        end_ns: End of the run.
        answers_differ: Not every answer acknowledges what its message carried.
        eds_timeout_ns: So long a cluster that warms waits for its endpoints; 0 for ever.
    """

    latency: Delay
    hop: Delay | None
    bytes_per_second: int | None
    window_bytes: int
    flush_interval_ns: int
    flush_per_cluster: Delay
    end_ns: int
    answers_differ: bool
    eds_timeout_ns: int
