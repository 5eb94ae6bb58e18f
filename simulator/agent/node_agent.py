"""The node agent of Istio 1.1 to 1.4: one SDS server for all pods of a node, in place of one beside each.

A key is made when an Envoy asks for it, so a start waits for key and CSR on top of its xDS. What is due is
found by a scan of the node's secrets. The agent keeps everything in memory: when it ends, the Envoys of its
node go on with what they have and reconnect by themselves, each asking anew, so all pods of the node renew
together.
Left out: processor time that pods of one node take from each other; recycling of stale connections.
Source: security/cmd/node_agent_k8s/main.go at 1.4.10 (TTL 24h, grace 12h, SECRET_JOB_RUN_INTERVAL 10m,
INITIAL_BACKOFF_MSEC 2000), security/pkg/nodeagent/sds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulator.agent.certificates import CertificateSettings, WorkloadCertificate
from simulator.engine.events import Band, Clock
from simulator.wire.backoff import JitteredBackoff

if TYPE_CHECKING:
    from simulator.engine.draws import Draws
    from simulator.recording.recorder import Recorder
    from simulator.recording.rows import CertificateRow
    from simulator.wire.certificates import CertificateAuthority, Signed

OnIssued = Callable[["Signed", "CertificateRow | None"], None]

_LIVES_AT_MOST = 1_000_000


class _Pod:
    """One pod of the node, as its Envoy sees the agent."""

    __slots__ = ("backoff", "certificate", "expires_ns", "is_asking", "on_issued")

    def __init__(self, on_issued: OnIssued, backoff: JitteredBackoff) -> None:
        self.on_issued = on_issued
        self.backoff = backoff
        self.certificate: WorkloadCertificate | None = None
        self.expires_ns: int | None = None
        """End of what its Envoy has from an agent that ended."""
        self.is_asking = False
        """Its Envoy has an SDS stream, or tries to open one."""


class NodeAgent:
    """The agent of one node.

    Args:
        clock: Time.
        draws: Random numbers.
        recorder: Where rows of certificates go.
        node: Its number.
        settings: How certificates are asked for.
        authority: The CA.
        end_ns: End of the run.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        recorder: Recorder,
        node: int,
        settings: CertificateSettings,
        authority: CertificateAuthority,
        end_ns: int,
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._recorder = recorder
        self._node = node
        self._settings = settings
        self._authority = authority
        self._end_ns = end_ns
        self._pods: dict[int, _Pod] = {}
        self._starts: dict[int, int] = {}
        self._lives = 0
        self.is_serving = True

    # --- its pods

    def begin(self, proxy: int, on_issued: OnIssued) -> None:
        """A pod starts on the node, or its Envoy anew."""
        self.end(proxy)
        start = self._starts[proxy] = self._starts.get(proxy, -1) + 1
        backoff = JitteredBackoff(
            self._settings.sds_backoff, self._draws, f"node_agent.sds_backoff/{start}", proxy
        )
        self._pods[proxy] = _Pod(on_issued, backoff)

    def begin_held(self, proxy: int, root: int) -> None:
        """It was there before the run and has its certificate."""
        pod = self._pods[proxy]
        pod.certificate = self._certificate(proxy, pod)
        pod.certificate.begin_held(root)

    def asked(self, proxy: int) -> None:
        """Its Envoy opens an SDS stream."""
        pod = self._pods[proxy]
        pod.is_asking = True
        if pod.certificate is None:
            self._connect(proxy, pod)

    def held(self, proxy: int) -> Signed | None:
        """The certificate that the agent has for the pod."""
        certificate = self._pods[proxy].certificate
        return None if certificate is None else certificate.held

    def end(self, proxy: int) -> None:
        """The pod is gone."""
        pod = self._pods.pop(proxy, None)
        if pod is not None and pod.certificate is not None:
            pod.certificate.stop()

    def expiries_ns(self) -> list[int]:
        """When the certificates that the Envoys of its pods have end."""
        return [expires_ns for pod in self._pods.values() if (expires_ns := _expires_ns(pod)) is not None]

    # --- the process

    def stop(self) -> None:
        """It ends, with every key: the Envoys notice that their streams broke."""
        self._lives += 1
        assert self._lives < _LIVES_AT_MOST
        self.is_serving = False
        for proxy, pod in self._pods.items():
            if pod.certificate is not None:
                pod.expires_ns = _expires_ns(pod)
                pod.certificate.stop()
                pod.certificate = None
            if pod.is_asking:
                self._retry(proxy, pod)

    def start(self) -> None:
        """It serves; Envoys come when their back-off says so."""
        self.is_serving = True

    # --- the steps between

    def _connect(self, proxy: int, pod: _Pod) -> None:
        if self._pods.get(proxy) is not pod or pod.certificate is not None:
            return
        if not self.is_serving:
            self._retry(proxy, pod)
            return
        pod.certificate = self._certificate(proxy, pod)
        pod.certificate.begin()

    def _retry(self, proxy: int, pod: _Pod) -> None:
        wait_ns = pod.backoff.next_ns()
        self._clock.after(wait_ns, lambda: self._connect(proxy, pod), band=Band.TIMER, entity=proxy)

    def _certificate(self, proxy: int, pod: _Pod) -> WorkloadCertificate:
        def issued(signed: Signed, row: CertificateRow | None) -> None:
            pod.backoff.reset()
            pod.on_issued(signed, row)

        start = self._starts[proxy] * _LIVES_AT_MOST + self._lives
        return WorkloadCertificate(
            self._clock,
            self._draws,
            self._recorder,
            proxy,
            start,
            self._settings,
            self._authority,
            issued,
            self._end_ns,
            node=self._node * _LIVES_AT_MOST + self._lives,
        )


def _expires_ns(pod: _Pod) -> int | None:
    if pod.certificate is None or pod.certificate.expires_ns is None:
        return pod.expires_ns
    return pod.certificate.expires_ns
