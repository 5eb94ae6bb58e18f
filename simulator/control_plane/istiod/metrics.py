"""Istio's own metrics, observed where istiod observes them.

Nothing is observed before t = 0. Source: pilot/pkg/xds/monitoring.go, pkg/xds/monitoring.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator.engine.clock import S
from simulator.engine.events import Clock
from simulator.recording.istio_metrics import IstioMetrics, Samples
from simulator.xds.resource_types import ResourceType
from simulator.xds.sotw import RequestKind

_REJECTS = ("cds", "eds", "lds", "rds")
"""Types with a pilot_xds_*_reject of their own."""

_OF_NO_INFORMER = ("Secret", "ConfigMap", "MeshConfig")
"""Kinds whose events are in neither pilot_k8s_cfg_events nor pilot_k8s_reg_events."""

_INFORMERS = {"Endpoints": "EndpointSlice", "ServiceEntry": "Services", "Pod": "Pods"}
"""Labels of pilot_k8s_reg_events."""


class IstiodMetrics:
    """The metrics of one replica."""

    __slots__ = ("_clock", "_istio", "_largest_request", "_of_type", "_replica", "_version")

    def __init__(self, istio: IstioMetrics, clock: Clock, replica: int, version: str) -> None:
        self._istio = istio
        self._clock = clock
        self._replica = replica
        self._version = version
        self._largest_request = 0
        self._of_type: dict[ResourceType, tuple[Samples, Samples, Samples]] = {}

    @property
    def _is_off(self) -> bool:
        return self._clock.now_ns < 0

    def on_inbound(self, label: str) -> None:
        """pilot_inbound_updates: config, eds, svc."""
        self._istio.count("pilot_inbound_updates", self._replica, type=label)

    def on_debounced(self, first_event_ns: int) -> None:
        """The first event of a batch until Push() returned."""
        seconds = (self._clock.now_ns - first_event_ns) / S
        self._istio.observe("pilot_debounce_time", seconds, self._replica)

    def on_context(self, started_ns: int, services: int) -> None:
        """Building the PushContext, the cache cleared."""
        self._istio.observe(
            "pilot_pushcontext_init_seconds", (self._clock.now_ns - started_ns) / S, self._replica
        )
        self._istio.set("pilot_services", self._replica, services)

    def on_dequeued(self, start_ns: int, reasons: Mapping[str, int]) -> None:
        """One connection left the push queue, relevant or not."""
        seconds = (self._clock.now_ns - start_ns) / S
        self._istio.observe("pilot_proxy_queue_time", seconds, self._replica)
        for reason, count in reasons.items():
            self._istio.count("pilot_push_triggers", self._replica, count, type=reason)

    def on_converged(self, start_ns: int) -> None:
        """The last Send of a push returned."""
        seconds = (self._clock.now_ns - start_ns) / S
        self._istio.observe("pilot_proxy_convergence_time", seconds, self._replica)

    def on_sent(self, type_: ResourceType, size_bytes: int, cost_ns: int, blocked_ns: int) -> None:
        """One response left: generation, marshalling and Send."""
        if self._is_off:
            return
        kept = self._of_type.get(type_)
        if kept is None:
            istio, pod, name = self._istio, self._replica, type_.name
            kept = self._of_type[type_] = (
                istio.histogram("pilot_xds_push_time", pod, type=name),
                istio.histogram("pilot_xds_send_time", pod),
                istio.histogram("pilot_xds_config_size_bytes", pod, type=type_.type_url),
            )
        push_time, send_time, config_size = kept
        push_time.observe((cost_ns + blocked_ns) / S)
        send_time.observe(blocked_ns / S)
        config_size.observe(size_bytes)
        self._istio.count("pilot_xds_pushes", self._replica, type=type_.name)

    def on_answer(self, type_: ResourceType, kind: RequestKind, error: str | None, node: str) -> None:
        """A NACK is a reject, a stale nonce is expired."""
        if self._is_off:
            return
        if kind is RequestKind.STALE:
            self._istio.count("pilot_xds_expired_nonce", self._replica, type=type_.name)
        if error is not None:
            self._istio.count("pilot_total_xds_rejects", self._replica, type=type_.name)
            if type_.name in _REJECTS:
                self._istio.count(f"pilot_xds_{type_.name}_reject", self._replica, node=node, err=error[:100])

    def on_connections(self, change: int) -> None:
        """Streams came or went."""
        self._istio.count("pilot_xds", self._replica, change, version=self._version)

    def on_request_size(self, size_bytes: int) -> None:
        """The largest request ever received."""
        if size_bytes > self._largest_request:
            self._largest_request = size_bytes
            self._istio.set("pilot_xds_recv_max", self._replica, size_bytes)

    def on_watch_event(self, stream: str, kind: str) -> None:
        """An informer was told of an object; nothing is told apart but updates."""
        if kind in _OF_NO_INFORMER:
            return
        if stream == "config":
            self._istio.count("pilot_k8s_cfg_events", self._replica, type=kind, event="update")
        else:
            informer = _INFORMERS.get(kind, kind)
            self._istio.count("pilot_k8s_reg_events", self._replica, type=informer, event="update")

    def on_write_timeout(self) -> None:
        """A Send ended in DeadlineExceeded, and its stream with it."""
        if not self._is_off:
            self._istio.count("pilot_xds_write_timeout", self._replica)
            self._istio.count("pilot_total_xds_internal_errors", self._replica)
