"""SDS: how Envoy gets the workload's certificate and root from the agent beside it.

A stream of its own over a unix socket, not ADS: nothing pauses it, and Istio gives it no fetch timeout. Every
mTLS cluster and the inbound listener wait for it. Certificate and root come together.
Source: pkg/model/authentication.go (SdsConfigSource, initial_fetch_timeout 0 s), security/pkg/nodeagent/sds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from simulator.engine.events import Band
from simulator.mesh.configuration import Opaque
from simulator.recording.rows import CertificateRow
from simulator.wire.certificates import Signed
from simulator.wire.contract import ConfigConsumer, ConfigSource, ProxyProcess, Update
from simulator.xds.resource_types import SDS, ResourceType
from simulator.xds.resources import Names, Resource, Resources

WORKLOAD_SECRET = "default"
"""The name of the workload's certificate in SDS; ROOTCA, the root's, comes with it."""
WORKLOAD_SECRETS = Names((WORKLOAD_SECRET,))
ROOT_SECRETS = Names(("ROOTCA",))
_SIZE_BYTES = 4000


def _nobody() -> None:
    """Who need not be told."""


class SecretDiscovery:
    """A config source that answers for the workload's secret itself and leaves the rest to another one.

    Args:
        process: The Envoy.
        inner: Where everything else comes from.
        hop_ns: From the agent to Envoy.
        carries: The recorded changes that a certificate takes to this proxy.
        on_asked: Told that Envoy asks for it.

    Attributes:
        others: `inner`.
    """

    def __init__(
        self,
        process: ProxyProcess,
        inner: ConfigSource,
        hop_ns: int,
        carries: Callable[[Signed], tuple[int, ...]],
        on_asked: Callable[[], None] = _nobody,
    ) -> None:
        self._process = process
        self._on_asked = on_asked
        self.others = inner
        self._hop_ns = hop_ns
        self._carries = carries
        self._consumer: ConfigConsumer | None = None
        self._latest: tuple[Signed, CertificateRow | None] | None = None
        self._sent = 0
        self.is_ads = inner.is_ads
        self.has_fetch_timeout = inner.has_fetch_timeout
        self.is_path = inner.is_path
        self.way_costs = inner.way_costs

    def issued(self, signed: Signed, row: CertificateRow | None) -> None:
        """The agent has a certificate: it is pushed if Envoy has asked for it."""
        self._latest = signed, row
        if self._consumer is not None:
            self._send(self._consumer)

    def _send(self, consumer: ConfigConsumer) -> None:
        assert self._latest is not None
        signed, row = self._latest
        process = self._process
        self._sent += 1
        resource: Resource[object] = Resource(WORKLOAD_SECRET, self._sent, Opaque("secret"), _SIZE_BYTES)
        update = Update(SDS, Resources((resource,)), changes=self._carries(signed), watched=WORKLOAD_SECRETS)

        def apply() -> None:
            if not process.is_exited:
                consumer.on_config_update(update)
                if row is not None and row.t_active_ns is None:
                    row.t_active_ns = process.now_ns

        def arrived() -> None:
            if process.is_exited:
                return
            process.changes.on_received(update.changes, process.proxy, process.now_ns)
            process.main_thread.submit(lambda: consumer.cost_ns(update), apply)

        hop_ns = 0 if process.now_ns < 0 else self._hop_ns
        process.clock.after(hop_ns, arrived, band=Band.MESSAGE, entity=process.proxy)

    # --- ConfigSource

    def start(self) -> None:
        """See ConfigSource."""
        self.others.start()

    def missing(self, type_: ResourceType, names: Names) -> Names:
        """See ConfigSource; the agent's socket is always there."""
        return self.others.missing(type_, self._others(type_, names))

    def subscribe(self, type_: ResourceType, names: Names, consumer: ConfigConsumer) -> None:
        """The workload's secret is sent as soon as it is there."""
        if type_ is SDS and WORKLOAD_SECRET in names:
            self._consumer = consumer
            self._on_asked()
            if self._latest is not None:
                self._send(consumer)
            names = names.minus(WORKLOAD_SECRETS)
            if not names:
                return
        self.others.subscribe(type_, names, consumer)

    def unsubscribe(self, type_: ResourceType, names: Names) -> None:
        """See ConfigSource."""
        self._unless_own(type_, names, self.others.unsubscribe)

    def release_superseded(self, type_: ResourceType, names: Names, *, is_told: bool) -> None:
        """See ConfigSource."""
        self._unless_own(type_, names, partial(self.others.release_superseded, is_told=is_told))

    def pause(self, type_: ResourceType) -> None:
        """See ConfigSource."""
        self.others.pause(type_)

    def resume(self, type_: ResourceType) -> None:
        """See ConfigSource."""
        self.others.resume(type_)

    def stop(self) -> None:
        """See ConfigSource."""
        self.others.stop()

    def _others(self, type_: ResourceType, names: Names) -> Names:
        return names.minus(WORKLOAD_SECRETS) if type_ is SDS else names

    def _unless_own(
        self, type_: ResourceType, names: Names, call: Callable[[ResourceType, Names], None]
    ) -> None:
        others = self._others(type_, names)
        if others or not names:
            call(type_, others)
