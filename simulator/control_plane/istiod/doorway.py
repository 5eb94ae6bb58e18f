"""How a stream gets into istiod: readiness, rate limit, TokenReview, initialization; and when it must go.

A stream that would wait for more than a second for its turn is turned away at once (ResourceExhausted) and
left to Envoy's back-off. One that is let in has its token reviewed by the API server, is initialized (one
CPU job, with the TLS handshake), and enters the table of connections. It ends at its maximum age, give or
take 10 %, plus the grace, since an ADS stream never ends by itself.
Sources: pilot/pkg/xds/ads.go (Stream, initConnection); discovery.go:WaitForRequestLimit; xds/auth.go;
grpc-go internal/transport/http2_server.go (getJitter, keepalive).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.control_plane.istiod.admission import (
    Admission,
    AdmissionSettings,
    KubernetesClientSettings,
    token_bucket,
)
from simulator.engine.delays import Uniform
from simulator.engine.events import Band

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from simulator.control_plane.istiod.connection import Connection
    from simulator.control_plane.istiod.replica import Replica
    from simulator.engine.draws import Draws
    from simulator.wire.contract import StreamServer
    from simulator.wire.stream import Stream

AGE_JITTER = 0.1
"""Uniform, for each connection (grpc-go, http2_server.go: roundedJitter of +/- 10 %)."""

_AGE = "istiod.max_connection_age"


class Doorway:
    """Admission to one replica."""

    __slots__ = ("_admission", "_is_stopped", "_replica", "_reviews", "_waiting", "turned_away")

    def __init__(self, replica: Replica) -> None:
        settings = replica.shared.settings
        self._replica = replica
        self._admission = Admission(AdmissionSettings(settings.requests_per_second))
        client = KubernetesClientSettings(settings.client_qps, settings.client_burst)
        self._reviews = token_bucket(client)
        self._waiting: dict[Connection, None] = {}
        self._is_stopped = False
        self.turned_away = 0

    def connect(self, stream: Stream) -> StreamServer | None:
        """The server's end of a stream, or None where it is turned away at once."""
        replica = self._replica
        if not replica.is_ready:
            return None
        now_ns = replica.clock.now_ns
        wait_ns = 0 if now_ns < 0 else self._admission.admit(now_ns)
        if wait_ns is None:
            self.turned_away += 1
            replica.shared.recorder.connection(now_ns, stream.proxy, replica.number, "turned_away")
            return None
        connection = self._open(stream)
        if now_ns < 0:
            self._initialize(connection)
            return connection
        self._waiting[connection] = None
        index = replica.shared.streams_of(stream.proxy)
        self._after(wait_ns, connection, lambda: self._review(connection, index))
        return connection

    def _review(self, connection: Connection, index: int) -> None:
        """The TokenReview: it waits for the Kubernetes client's limiter, then for the API server."""
        if connection.is_closed or self._is_stopped:
            return
        replica = self._replica
        review_ns = self.review_wait_ns()
        review_ns += replica.costs.ns("token_review", entity=connection.proxy, index=index)
        self._after(review_ns, connection, lambda: self._reviewed(connection))

    def admits_from_ns(self) -> int:
        """A stream that comes before that instant is turned away at once."""
        return self._admission.admits_from_ns()

    def review_wait_ns(self) -> int:
        """How long a TokenReview begun now waits for the Kubernetes client's limiter."""
        return self._reviews.take(self._replica.clock.now_ns)

    def _open(self, stream: Stream) -> Connection:
        replica, shared = self._replica, self._replica.shared
        stream.replica = replica.number
        connection = replica.make_connection(stream, shared.proxies[stream.proxy])
        connection.session = shared.make_session(stream, connection)
        return connection

    def _reviewed(self, connection: Connection) -> None:
        if connection.is_closed or self._is_stopped:
            return
        replica = self._replica

        def cost_ns() -> int:
            tls_ns = replica.costs.ns("tls_handshake", lambda c: c["fixed"])
            return tls_ns + replica.costs.ns("proxy_init", lambda c: c["fixed"])

        replica.submit(connection, cost_ns, lambda: self._initialize(connection))

    def _initialize(self, connection: Connection) -> None:
        if connection.is_closed or self._is_stopped:
            return
        self._waiting.pop(connection, None)
        self._schedule_end(connection)
        self._replica.add(connection)

    def _schedule_end(self, connection: Connection) -> None:
        shared = self._replica.shared
        age_ns = shared.settings.max_connection_age_ns
        if age_ns is None:
            return
        proxy = connection.proxy
        u = shared.draws.uniform(_AGE, proxy, shared.streams_of(proxy))
        # A connection of before t = 0 has lived for some time already.
        left_ns = _ages(age_ns).residual_ns(u) if shared.clock.now_ns < 0 else _ages(age_ns).ns(u)
        left_ns += shared.settings.max_connection_age_grace_ns
        if shared.clock.now_ns + left_ns <= shared.end_ns:
            connection.note_age(shared.clock.now_ns + left_ns)
            self._after(left_ns, connection, connection.reset_if_open)

    def _after(self, delay_ns: int, connection: Connection, call: Callable[[], None]) -> None:
        if delay_ns == 0:
            call()
        else:
            self._replica.clock.after(delay_ns, call, band=Band.TIMER, entity=connection.proxy)

    def forget(self, connection: Connection) -> None:
        """It ended; perhaps while it waited to be let in."""
        self._waiting.pop(connection, None)

    def stop(self) -> None:
        """The process ends: whoever waits is cut off with the others."""
        self._is_stopped = True
        for connection in list(self._waiting):
            connection.reset_if_open()


def _ages(age_ns: int) -> Uniform:
    return Uniform((1 - AGE_JITTER) * age_ns, (1 + AGE_JITTER) * age_ns)


def ends_of_first_connections(
    draws: Draws, proxies: NDArray[np.int64], age_ns: int, grace_ns: int, connected_ns: int
) -> NDArray[np.int64]:
    """When the connections end that these proxies have had since before t = 0."""
    left_ns = _ages(age_ns).residual_ns_array(draws.uniform_array(_AGE, proxies, 0))
    return connected_ns + left_ns + grace_ns
