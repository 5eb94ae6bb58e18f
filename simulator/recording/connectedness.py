"""Which proxies have a stream, when they got it, and how long they were without."""

from __future__ import annotations


class Connectedness:
    """The streams of all proxies, counted.

    Attributes:
        opened_ns: When streams entered a table of connections, from 0 on.
        without_stream_ns: Time between the loss of a proxy's stream and its next one, all proxies together.
    """

    __slots__ = ("_lost_ns", "_open", "opened_ns", "without_stream_ns")

    def __init__(self) -> None:
        self.opened_ns: list[int] = []
        self.without_stream_ns = 0
        self._open: dict[int, int] = {}
        self._lost_ns: dict[int, int] = {}

    def note(self, t_ns: int, proxy: int, event: str) -> None:
        """A stream of the proxy is opened, closed, or turned away."""
        if event == "turned_away":
            return
        before = self._open.get(proxy, 0)
        self._open[proxy] = before + (1 if event == "opened" else -1)
        if event == "opened":
            if t_ns >= 0:
                self.opened_ns.append(t_ns)
            if before == 0:
                self.without_stream_ns += t_ns - self._lost_ns.pop(proxy, t_ns)
        elif before == 1:
            self._lost_ns[proxy] = t_ns

    def reconnected(self, t_ns: int, lost_ns: int) -> None:
        """A stream is opened for a proxy that lost its own at `lost_ns`, both of which are kept elsewhere."""
        self.opened_ns.append(t_ns)
        self.without_stream_ns += t_ns - lost_ns
