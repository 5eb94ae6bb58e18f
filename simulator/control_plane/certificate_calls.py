"""CSRs on their way to a CA and the answers on their way back, whoever the CA is: each is answered once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.delays import Delay, draw_ns
from simulator.engine.events import Band, Clock
from simulator.wire.certificates import Signed

if TYPE_CHECKING:
    from simulator.engine.draws import Draws


@dataclass(slots=True, eq=False)
class CertificateCall:
    """One CSR under way; whoever answers first, answers."""

    proxy: int
    number: int
    answer: Callable[[Signed | None], None]
    is_answered: bool = False


class CertificateCalls:
    """The network between those who ask and a CA.

    Args:
        clock: Time.
        draws: Random numbers, keyed by proxy.
        latency: Of the network, each way.
        purpose: Of the draws: what their names begin with.
    """

    def __init__(self, clock: Clock, draws: Draws, latency: Delay, purpose: str) -> None:
        self._clock = clock
        self._draws = draws
        self._latency = latency
        self._purpose = purpose

    def send(self, call: CertificateCall, arrived: Callable[[], None]) -> None:
        """A CSR goes to the CA."""
        self.after(self.drawn_ns(self._latency, "to_ca", call), call, arrived)

    def reply(self, call: CertificateCall, signed: Signed | None) -> None:
        """The answer goes back; None is a refusal."""
        call.is_answered = True
        self.after(self.drawn_ns(self._latency, "from_ca", call), call, lambda: call.answer(signed))

    def drawn_ns(self, law: Delay, what: str, call: CertificateCall) -> int:
        """A delay of this call."""
        return draw_ns(law, self._draws, f"{self._purpose}.{what}", call.proxy, call.number)

    def after(self, delay_ns: int, call: CertificateCall, then: Callable[[], None]) -> None:
        """Something happens to the call after a delay."""
        self._clock.after(delay_ns, then, band=Band.MESSAGE, entity=call.proxy)
