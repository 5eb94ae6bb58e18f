"""Citadel as CA of the node agents: it reviews the token of the pod and signs, one CSR after the other.

Left out: the handshake of the node agent's connection; more cores than one (an assumption).
Source: security/pkg/server/ca/server.go at 1.4.10.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.control_plane.certificate_calls import CertificateCall, CertificateCalls
from simulator.engine.delays import Delay
from simulator.engine.events import Clock
from simulator.engine.servers import SerialServer
from simulator.wire.certificates import Signed

if TYPE_CHECKING:
    from simulator.control_plane.components.citadel import Citadel
    from simulator.engine.draws import Draws


class CitadelAuthority:
    """Citadel's gRPC server (a `wire.certificates.CertificateAuthority`).

    Args:
        clock: Time.
        draws: Random numbers, keyed by proxy.
        citadel: The process.
        latency: Of the network, each way.
        review: Time of a TokenReview.
    """

    def __init__(self, clock: Clock, draws: Draws, citadel: Citadel, latency: Delay, review: Delay) -> None:
        self._clock = clock
        self._citadel = citadel
        self._network = CertificateCalls(clock, draws, latency, "citadel")
        self._review = review
        self._signer = SerialServer(clock)
        self._calls: dict[CertificateCall, None] = {}
        citadel.stop_watchers.append(self._on_stopped)

    def sign(self, proxy: int, call: int, answer: Callable[[Signed | None], None]) -> None:
        """wire/certificates.py: CertificateAuthority."""
        asked = CertificateCall(proxy, call, answer)
        self._network.send(asked, lambda: self._arrived(asked))

    def _arrived(self, call: CertificateCall) -> None:
        if not self._citadel.is_serving or self._citadel.is_down:
            self._reply(call, None)
            return
        self._calls[call] = None
        review_ns = self._network.drawn_ns(self._review, "token_review", call)
        self._network.after(review_ns, call, lambda: self._reviewed(call))

    def _reviewed(self, call: CertificateCall) -> None:
        if not call.is_answered:
            cost_ns = self._citadel.signing_ns(call.proxy, call.number)
            self._signer.submit(cost_ns, lambda: self._signed(call))

    def _signed(self, call: CertificateCall) -> None:
        if not call.is_answered:
            self._reply(call, None if self._citadel.is_down else Signed(self._citadel.root))

    def _on_stopped(self) -> None:
        """Its connections are reset."""
        self._signer = SerialServer(self._clock)
        for call in list(self._calls):
            self._reply(call, None)

    def _reply(self, call: CertificateCall, signed: Signed | None) -> None:
        self._calls.pop(call, None)
        self._network.reply(call, signed)
