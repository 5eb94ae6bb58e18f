"""Istiod's end of a stream of a proxy that starts, until the proxy is a row (starts.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.control_plane.istiod.connection import Connection, ConnectionState
from simulator.mesh.services import POD_IDS

if TYPE_CHECKING:
    from simulator.mesh.services import Proxy
    from simulator.scenario.fleet.rows import ReplicaRows
    from simulator.scenario.fleet.starts import Starts
    from simulator.wire.stream import Stream
    from simulator.xds.messages import Request


class StartConnection(Connection):
    """Istiod's end of a stream of a proxy that starts, and may become a row.

    Attributes:
        place: Of the row to come.
        rows: Those of its istiod.
        ages_ns: When it is old enough to end; None if that is not within the run.
        is_pod: Its proxy came with a pod, and may be pushed to alone: until it is a row it stands in line by
            itself.
        is_settled: Its proxy is a row.
        is_looked_at: It is about to be looked at whether the proxy is at rest.
    """

    __slots__ = ("_starts", "ages_ns", "is_looked_at", "is_pod", "is_settled", "place", "rows")

    def __init__(
        self,
        starts: Starts,
        rows: ReplicaRows,
        place: int,
        stream: Stream,
        proxy: Proxy,
        *,
        is_reconnect: bool,
    ) -> None:
        replica = rows.replica
        class_ = replica.shared.visibility.of(proxy)
        super().__init__(replica, stream, class_, proxy.zone, replica.context, is_reconnect=is_reconnect)
        self._starts, self.rows, self.place = starts, rows, place
        self.ages_ns: int | None = None
        self.is_pod = proxy.id >= POD_IDS
        self.is_settled = self.is_looked_at = False

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is asked, offered or under way."""
        nothing_waits = not (self._inbox or self._asked or self._outbox or self._offered)
        return self._machine.state is ConnectionState.IDLE and nothing_waits and not self._stream.under_way

    def note_age(self, ends_ns: int) -> None:
        """It will be old enough then."""
        self.ages_ns = ends_ns

    def reset_if_open(self) -> None:
        """Istiod ends, or the stream is old enough."""
        if self.is_settled:
            self._starts.is_old(self)
        else:
            super().reset_if_open()

    def on_request(self, request: Request) -> None:
        """Perhaps the last ACK."""
        super().on_request(request)
        self._starts.look_at(self)
