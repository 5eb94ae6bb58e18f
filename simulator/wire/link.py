"""One direction of a link: a delay per message, and order kept."""

from __future__ import annotations

from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws


class Link:
    """Latency of one direction between one proxy and the control plane. A later message never overtakes."""

    __slots__ = ("_draws", "_last_arrival_ns", "_latency", "_proxy", "_purpose", "_sent")

    def __init__(self, latency: Delay, draws: Draws, purpose: str, proxy: int) -> None:
        self._latency = latency
        self._draws = draws
        self._purpose = purpose
        self._proxy = proxy
        self._sent = 0
        self._last_arrival_ns = 0

    def arrival_ns(self, now_ns: int) -> int:
        """When a message sent now arrives."""
        latency_ns = draw_ns(self._latency, self._draws, self._purpose, self._proxy, self._sent)
        self._sent += 1
        self._last_arrival_ns = max(self._last_arrival_ns, now_ns + latency_ns)
        return self._last_arrival_ns
