"""Istiod as CA: it reviews the token of who asks and signs with its own key, beside everything else it does.

A CSR is a call of its own through the Service, to any replica. There is no limit on their rate, but each
needs a TokenReview, which shares the Kubernetes client's limit with new streams, and a core, which it shares
with pushes. A replica that stops drops the calls it has. Left out: the handshake of the agent's connection.
Source: security/pkg/server/ca/server.go, pilot/pkg/bootstrap/istio_ca.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.control_plane.certificate_calls import CertificateCall, CertificateCalls
from simulator.engine.delays import Delay
from simulator.wire.certificates import Signed

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.control_plane.istiod.replica import Replica


class IstiodAuthority:
    """The CA behind the Service of istiod.

    Args:
        deployment: Its replicas, who all have the CA's key.
        latency: Of the network, each way.
        signing: Processor time of one CSR.

    Attributes:
        root: Number of the root certificate in use.
        is_down: CSRs are refused (Unavailable).
        slowness: What each CSR waits for besides; None where nothing is wrong.
    """

    def __init__(self, deployment: Deployment, latency: Delay, signing: Delay) -> None:
        self._deployment = deployment
        self._network = CertificateCalls(deployment.clock, deployment.draws, latency, "istiod.ca")
        self._signing = signing
        self._calls: dict[int, dict[CertificateCall, None]] = {}
        self.root = 0
        self.is_down = False
        self.slowness: Delay | None = None
        deployment.stop_watchers.append(self._on_stopped)

    def sign(self, proxy: int, call: int, answer: Callable[[Signed | None], None]) -> None:
        """wire/certificates.py: CertificateAuthority."""
        asked = CertificateCall(proxy, call, answer)
        self._network.send(asked, lambda: self._arrived(asked))

    def _arrived(self, call: CertificateCall) -> None:
        replica = self._deployment.backend("kube_proxy.ca", call.proxy, call.number)
        if self.is_down or replica is None or not replica.is_ready:
            self._network.reply(call, None)
            return
        self._calls.setdefault(replica.number, {})[call] = None
        wait_ns = replica.doorway.review_wait_ns()
        wait_ns += self._network.drawn_ns(replica.costs.law("token_review"), "token_review", call)
        if self.slowness is not None:
            wait_ns += self._network.drawn_ns(self.slowness, "outage", call)
        self._network.after(wait_ns, call, lambda: self._reviewed(call, replica))

    def _reviewed(self, call: CertificateCall, replica: Replica) -> None:
        if call.is_answered:
            return
        signing_ns = self._network.drawn_ns(self._signing, "signing", call)
        replica.cpu.submit(call.proxy, signing_ns, lambda: self._signed(call, replica))

    def _signed(self, call: CertificateCall, replica: Replica) -> None:
        del self._calls[replica.number][call]
        self._network.reply(call, None if self.is_down else Signed(self.root))

    def _on_stopped(self, replica: int) -> None:
        """Its connections are reset."""
        for call in self._calls.pop(replica, {}):
            self._network.reply(call, None)
