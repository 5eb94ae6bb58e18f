"""One direction of a link: a delay per message, and order kept.

Before t = 0, while proxies that start connected are being configured, nothing takes time.
"""

from __future__ import annotations

from simulator.engine.clock import S
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws


class Link:
    """One direction between one proxy and the control plane. A later message never overtakes.

    Args:
        latency: Delay of each message.
        draws: Random numbers of the run.
        purpose: What its draws are for.
        proxy: Whose link it is.
        hop: Delay of the istio-agent between the two, if there is one.
        bytes_per_second: Bandwidth; None for no limit.
    """

    __slots__ = (
        "_bytes_per_second",
        "_draws",
        "_hop",
        "_last_arrival_ns",
        "_latency",
        "_proxy",
        "_purpose",
        "_sent",
    )

    def __init__(
        self,
        latency: Delay,
        draws: Draws,
        purpose: str,
        proxy: int,
        hop: Delay | None = None,
        bytes_per_second: int | None = None,
    ) -> None:
        self._latency = latency
        self._hop = hop
        self._bytes_per_second = bytes_per_second
        self._draws = draws
        self._purpose = purpose
        self._proxy = proxy
        self._sent = 0
        self._last_arrival_ns: int | None = None

    @property
    def past(self) -> tuple[int, int | None]:
        """How many messages were sent, and when the latest arrives; None for none."""
        return self._sent, self._last_arrival_ns

    def continue_from(self, sent: int, last_arrival_ns: int | None) -> None:
        """Its messages so far were counted elsewhere."""
        self._sent, self._last_arrival_ns = sent, last_arrival_ns

    def arrival_ns(self, now_ns: int, size_bytes: int = 0) -> int:
        """When a message of that size sent now arrives."""
        if now_ns < 0:
            return now_ns
        latency_ns = draw_ns(self._latency, self._draws, self._purpose, self._proxy, self._sent)
        if self._hop is not None:
            latency_ns += draw_ns(self._hop, self._draws, self._purpose + ".agent", self._proxy, self._sent)
        if self._bytes_per_second is not None:
            latency_ns += size_bytes * S // self._bytes_per_second
        self._sent += 1
        arrival_ns = now_ns + latency_ns
        if self._last_arrival_ns is not None and self._last_arrival_ns > arrival_ns:
            arrival_ns = self._last_arrival_ns
        self._last_arrival_ns = arrival_ns
        return arrival_ns
