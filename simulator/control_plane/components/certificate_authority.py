"""Citadel as CA of the node agents: it reviews the token of the pod and signs, one CSR after the other.

Left out: the handshake of the node agent's connection; more cores than one (an assumption).
Source: security/pkg/server/ca/server.go at 1.4.10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.delays import Delay, draw_ns
from simulator.engine.events import Band, Clock
from simulator.engine.servers import SerialServer
from simulator.wire.certificates import Signed

if TYPE_CHECKING:
    from simulator.control_plane.components.citadel import Citadel
    from simulator.engine.draws import Draws


@dataclass(slots=True, eq=False)
class _Call:
    """One CSR under way; it is answered once."""

    proxy: int
    number: int
    answer: Callable[[Signed | None], None]
    is_answered: bool = False


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
        self._draws = draws
        self._citadel = citadel
        self._latency = latency
        self._review = review
        self._signer = SerialServer(clock)
        self._calls: dict[_Call, None] = {}
        citadel.stop_watchers.append(self._on_stopped)

    def sign(self, proxy: int, call: int, answer: Callable[[Signed | None], None]) -> None:
        """wire/certificates.py: CertificateAuthority."""
        asked = _Call(proxy, call, answer)
        self._after(self._drawn_ns(self._latency, "to_ca", asked), proxy, lambda: self._arrived(asked))

    def _arrived(self, call: _Call) -> None:
        if not self._citadel.is_serving or self._citadel.is_down:
            self._reply(call, None)
            return
        self._calls[call] = None
        self._after(
            self._drawn_ns(self._review, "token_review", call), call.proxy, lambda: self._reviewed(call)
        )

    def _reviewed(self, call: _Call) -> None:
        if not call.is_answered:
            cost_ns = self._citadel.signing_ns(call.proxy, call.number)
            self._signer.submit(cost_ns, lambda: self._signed(call))

    def _signed(self, call: _Call) -> None:
        if not call.is_answered:
            self._reply(call, None if self._citadel.is_down else Signed(self._citadel.root))

    def _on_stopped(self) -> None:
        """Its connections are reset."""
        self._signer = SerialServer(self._clock)
        for call in list(self._calls):
            self._reply(call, None)

    def _reply(self, call: _Call, signed: Signed | None) -> None:
        call.is_answered = True
        self._calls.pop(call, None)
        delay_ns = self._drawn_ns(self._latency, "from_ca", call)
        self._after(delay_ns, call.proxy, lambda: call.answer(signed))

    def _drawn_ns(self, law: Delay, what: str, call: _Call) -> int:
        return draw_ns(law, self._draws, f"citadel.{what}", call.proxy, call.number)

    def _after(self, delay_ns: int, entity: int, call: Callable[[], None]) -> None:
        self._clock.after(delay_ns, call, band=Band.MESSAGE, entity=entity)
