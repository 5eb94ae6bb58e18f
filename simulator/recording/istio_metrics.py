"""Istio's own metrics: what each measures exactly, and their Prometheus text.

`ISTIO_METRICS` lists them with their labels, buckets and exact semantics, which are not always what their
help texts say. istiod's carry the label ``pod="istiod-0"`` of the replica that counts; those of the agents
carry the name of the proxy where the run keeps proxies apart, and are added up otherwise. Names have no
``_total``: Istio switches OpenTelemetry's suffixes off (pkg/monitoring/monitoring.go).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from simulator.recording.counters import braces, number_text


class Kind(Enum):
    """Prometheus's types of metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Emitter(Enum):
    """Whose metric it is, and so what its `pod` is."""

    ISTIOD = "a replica of istiod"
    AGENT = "the agent of a proxy"


@dataclass(frozen=True, slots=True)
class IstioMetric:
    """One metric of Istio.

    Attributes:
        name: As Prometheus shows it.
        kind: Counter, gauge or histogram.
        meaning: What exactly is measured, and by whom it is easily misread.
        source: The file of Istio that registers it.
        labels: Names of its labels, in the order in which they are given.
        buckets: Upper bounds of a histogram, in its unit.
        emitter: A replica of istiod, or an agent.
    """

    name: str
    kind: Kind
    meaning: str
    source: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    emitter: Emitter = Emitter.ISTIOD


_XDS: Final = "pilot/pkg/xds/monitoring.go"
_XDS_SERVER: Final = "pkg/xds/monitoring.go"
_QUEUE: Final = "pkg/queue/metrics.go"
_KUBE: Final = "pilot/pkg/serviceregistry/kube/controller"
_CA: Final = "security/pkg/server/ca/monitoring.go"
_AGENT: Final = "pkg/istio-agent/metrics/metrics.go"
_SDS: Final = "security/pkg/nodeagent/cache/monitoring.go"
_READY: Final = "pilot/cmd/pilot-agent/status/server.go"

_DEBOUNCE_BUCKETS: Final = (0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30)
_PUSH_BUCKETS: Final = (0.1, 0.5, 1, 3, 5, 10, 20, 30)


def _histogram(name: str, buckets: tuple[float, ...], source: str, meaning: str, *labels: str) -> IstioMetric:
    return IstioMetric(name, Kind.HISTOGRAM, meaning, source, labels, buckets)


def _counter(name: str, source: str, meaning: str, *labels: str) -> IstioMetric:
    return IstioMetric(name, Kind.COUNTER, meaning, source, labels)


def _gauge(name: str, source: str, meaning: str, *labels: str) -> IstioMetric:
    return IstioMetric(name, Kind.GAUGE, meaning, source, labels)


def _agent(name: str, kind: Kind, source: str, meaning: str, *labels: str) -> IstioMetric:
    return IstioMetric(f"istio_agent_{name}", kind, meaning, source, labels, emitter=Emitter.AGENT)


_ISTIO_METRICS: Final = (
    # --- how long a push takes (seconds)
    _histogram(
        "pilot_debounce_time",
        _DEBOUNCE_BUCKETS,
        _XDS,
        "First event of a batch until Push() returned: the wait for a push that is still running, the build "
        "of the PushContext and the enqueueing included. One sample a batch, not an event; none on the path "
        "of endpoint events when PILOT_ENABLE_EDS_DEBOUNCE is false.",
    ),
    _histogram(
        "pilot_pushcontext_init_seconds",
        (0.01, 0.1, 0.5, 1, 3, 5),
        _XDS,
        "Build of the PushContext and invalidation of the caches. Up to 1.30 not for a push of endpoints "
        "alone, which builds none.",
    ),
    _histogram(
        "pilot_proxy_queue_time",
        _PUSH_BUCKETS,
        _XDS,
        "Start of the request until it is dequeued, at every dequeue: also for proxies that are then found "
        "to need nothing. Merged requests keep the oldest Start.",
    ),
    _histogram(
        "pilot_proxy_convergence_time",
        _PUSH_BUCKETS,
        _XDS,
        "Start of the request until the Send of the last type returned, one sample per push and proxy. It "
        "leaves out the watch, the registry's queue, debounce and PushContext before, and network, agent, "
        "Envoy and ACK behind. None for a proxy that was skipped or whose Send failed. Merged requests keep "
        "the oldest Start. Its help text promises more than that.",
    ),
    _histogram(
        "pilot_xds_push_time",
        _DEBOUNCE_BUCKETS,
        _XDS,
        "One response, to a request or by a push: generation, marshalling and Send. Only where a response "
        "was produced.",
        "type",
    ),
    _histogram(
        "pilot_xds_send_time",
        (0.01, 0.1, 1, 3, 5, 10, 20, 30),
        _XDS_SERVER,
        "Send() alone; it blocks on HTTP/2 flow control.",
    ),
    _histogram(
        "pilot_xds_config_size_bytes",
        (1, 10000, 1000000, 4000000, 10000000, 40000000),
        _XDS_SERVER,
        "Bytes of the resources of one response, by full type URL. 4 MB is gRPC's default limit for a "
        "message.",
        "type",
    ),
    # --- what is pushed
    _counter(
        "pilot_xds_pushes",
        _XDS,
        "Responses produced, to requests or by pushes, by short type (cds, eds, lds, rds, sds, nds, ...); "
        "with cds_senderr and the like, unexpected errors of Send. Its help text says errors only.",
        "type",
    ),
    _counter(
        "pilot_push_triggers",
        _XDS,
        "Reasons of a request, added at every dequeue: one event counts once for each proxy, and a merged "
        "request adds all of its reasons.",
        "type",
    ),
    _counter(
        "pilot_inbound_updates",
        _XDS,
        "config: every ConfigUpdate; eds: every endpoint update; svc, svcdelete: services. An endpoint "
        "event that leads to a push counts under eds and config both.",
        "type",
    ),
    # --- who is connected, and how much there is
    _gauge("pilot_xds", _XDS, "Connected streams, by version of the proxy.", "version"),
    _gauge("pilot_services", _XDS, "Services, as of the last push to all."),
    _gauge("pilot_xds_recv_max", _XDS_SERVER, "Bytes of the largest request ever received; 4 MiB at most."),
    # --- what went wrong
    _counter("pilot_total_xds_rejects", _XDS_SERVER, "NACKs.", "type"),
    *(
        _gauge(
            f"pilot_xds_{kind}_reject",
            _XDS_SERVER,
            "NACKs, by proxy and error code: a gauge that is only ever counted up.",
            "node",
            "err",
        )
        for kind in ("cds", "eds", "lds", "rds")
    ),
    _counter(
        "pilot_xds_expired_nonce", _XDS_SERVER, "Requests with a stale nonce; normal under churn.", "type"
    ),
    _counter("pilot_xds_write_timeout", _XDS_SERVER, "Sends that ended in DeadlineExceeded."),
    _counter("pilot_total_xds_internal_errors", _XDS_SERVER, "Errors of streams."),
    # --- what comes in from Kubernetes
    _counter("pilot_k8s_reg_events", f"{_KUBE}/controller.go", "Events of informers.", "type", "event"),
    _counter(
        "pilot_k8s_cfg_events",
        "pilot/pkg/config/kube/crdclient/metrics.go",
        "Events of Istio's own resources.",
        "type",
        "event",
    ),
    _gauge(
        "pilot_k8s_endpoints_pending_pod",
        f"{_KUBE}/endpointslice.go",
        "Endpoints that wait for their pod to be known.",
    ),
    _gauge(
        "pilot_worker_queue_depth",
        _QUEUE,
        "Tasks in the FIFO queue of a registry; off unless ISTIO_ENABLE_CONTROLLER_QUEUE_METRICS is true.",
        "queueID",
    ),
    *(
        _histogram(f"pilot_worker_queue_{name}", (0.01, 0.1, 0.2, 0.5, 1, 3, 5), _QUEUE, meaning, "queueID")
        for name, meaning in (("latency", "Wait of a task in that queue."), ("duration", "Work on a task."))
    ),
    # --- the certificate authority
    _counter("citadel_server_csr_count", _CA, "Certificate signing requests received."),
    _counter("citadel_server_success_cert_issuance_count", _CA, "Certificates issued."),
    _counter("citadel_server_authentication_failure_count", _CA, "Callers that could not be authenticated."),
    # --- the agents
    _agent(
        "startup_duration_seconds", Kind.GAUGE, _READY, "Start of the agent until it was first found ready."
    ),
    _agent(
        "outgoing_latency",
        Kind.COUNTER,
        _SDS,
        "Milliseconds, not seconds, that requests to the CA or a token server took in all.",
        "request_type",
    ),
    _agent("num_outgoing_requests", Kind.COUNTER, _SDS, "Those requests.", "request_type"),
    _agent("num_outgoing_retries", Kind.COUNTER, _SDS, "Retries of those requests.", "request_type"),
    _agent("istiod_connection_failures", Kind.COUNTER, _AGENT, "Streams to istiod that could not be opened."),
    _agent(
        "istiod_connection_terminations",
        Kind.COUNTER,
        _AGENT,
        "Streams to istiod that ended other than by Envoy's will.",
    ),
    _agent("xds_proxy_requests", Kind.COUNTER, _AGENT, "xDS requests passed on to istiod."),
    _agent("xds_proxy_responses", Kind.COUNTER, _AGENT, "xDS responses passed on to Envoy."),
)

ISTIO_METRICS: Final[Mapping[str, IstioMetric]] = MappingProxyType(
    {metric.name: metric for metric in _ISTIO_METRICS}
)
"""Name -> metric."""

_Labels = tuple[tuple[str, str], ...]
_Key = tuple[str, int, _Labels]
"""(name, replica or proxy, labels)"""


class Samples:
    """The samples of one histogram of one pod, counted in the metric's buckets."""

    __slots__ = ("bounds", "in_bucket", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.in_bucket = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one sample; a bucket includes its upper bound."""
        self.in_bucket[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """How many samples are at most each bound, and last how many there are."""
        sums: list[int] = []
        below = 0
        for count in self.in_bucket:
            below += count
            sums.append(below)
        return sums


class IstioMetrics:
    """The values of Istio's metrics in one run.

    Every method takes the name of a metric, and the number of the replica, or of the proxy for those of the
    agents; labels are given by name, in the order of the table. A name, type or label that the table does
    not have raises ValueError when it first comes.
    """

    __slots__ = ("_histograms", "_values")

    def __init__(self) -> None:
        self._values: dict[_Key, float] = {}
        self._histograms: dict[_Key, Samples] = {}

    def observe(self, name: str, value: float, pod: int, /, **labels: str) -> None:
        """Add one sample to a histogram, in its unit: seconds, or bytes for the size of configuration."""
        self.histogram(name, pod, **labels).observe(value)

    def histogram(self, name: str, pod: int, /, **labels: str) -> Samples:
        """A histogram, to be kept by whoever adds samples for every message; it is written from now on."""
        key = (name, pod, tuple(labels.items()))
        samples = self._histograms.get(key)
        if samples is None:
            metric = _checked(key, Kind.HISTOGRAM)
            samples = self._histograms[key] = Samples(metric.buckets)
        return samples

    def count(self, name: str, pod: int, n: float = 1, /, **labels: str) -> None:
        """Count `n` more of a counter, or of a gauge that is used as one."""
        key = (name, pod, tuple(labels.items()))
        values = self._values
        if key not in values:
            _checked(key, Kind.COUNTER, Kind.GAUGE)
            values[key] = 0
        values[key] += n

    def set(self, name: str, pod: int, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        key = (name, pod, tuple(labels.items()))
        if key not in self._values:
            _checked(key, Kind.GAUGE)
        self._values[key] = value

    def raise_to(self, name: str, pod: int, value: float, /, **labels: str) -> None:
        """Set a gauge that keeps the largest value it ever had."""
        key = (name, pod, tuple(labels.items()))
        if key not in self._values:
            _checked(key, Kind.GAUGE)
        self._values[key] = max(value, self._values.get(key, value))

    def value(self, name: str, pod: int, /, **labels: str) -> float:
        """What a counter or gauge stands at; 0 if it was never touched."""
        return self._values.get((name, pod, tuple(labels.items())), 0)

    def samples(self, name: str, pod: int, /, **labels: str) -> Samples | None:
        """The samples of a histogram; None if there is none."""
        return self._histograms.get((name, pod, tuple(labels.items())))

    def text(self, proxy_names: Mapping[int, str], *, per_proxy: bool) -> str:
        """The Prometheus text of all of them, in order of name, labels and pod.

        Without `per_proxy` the agents' counters are added up, and their gauges left out: a sum of times to
        ready says nothing.
        """
        lines: list[str] = []
        for name in sorted({key[0]: None for key in (*self._values, *self._histograms)}):
            metric = ISTIO_METRICS[name]
            lines_of_metric = [*self._lines(metric, proxy_names, per_proxy)]
            if lines_of_metric:
                lines += [f"# TYPE {name} {metric.kind.value}", *lines_of_metric]
        return "".join(f"{line}\n" for line in lines)

    def _lines(self, metric: IstioMetric, proxy_names: Mapping[int, str], per_proxy: bool) -> Iterator[str]:
        if metric.kind is Kind.HISTOGRAM:
            for key in self._keys_of(metric.name, self._histograms):
                yield from _histogram_lines(key, self._histograms[key])
            return
        keys = self._keys_of(metric.name, self._values)
        if metric.emitter is Emitter.ISTIOD:
            for key in keys:
                yield _line(metric.name, (*key[2], _pod(key[1])), self._values[key])
        elif per_proxy:
            for key in keys:
                yield _line(metric.name, (*key[2], ("pod", proxy_names[key[1]])), self._values[key])
        elif metric.kind is Kind.COUNTER:
            sums: dict[_Labels, float] = {}
            for key in keys:
                sums[key[2]] = sums.get(key[2], 0) + self._values[key]
            for labels, value in sums.items():
                yield _line(metric.name, labels, value)

    @staticmethod
    def _keys_of(name: str, values: Mapping[_Key, object]) -> list[_Key]:
        return sorted((key for key in values if key[0] == name), key=lambda key: (key[2], key[1]))


def _checked(key: _Key, *kinds: Kind) -> IstioMetric:
    """The metric of a key that is used for the first time."""
    name, _, labels = key
    metric = ISTIO_METRICS.get(name)
    if metric is None:
        raise ValueError(f"Istio has no metric {name!r}, or it is not modelled")
    if metric.kind not in kinds:
        raise ValueError(f"{name} is a {metric.kind.value}")
    given = tuple(label for label, _ in labels)
    if given != metric.labels:
        raise ValueError(f"{name} has the labels {metric.labels}, not {given}")
    return metric


def _pod(replica: int) -> tuple[str, str]:
    return ("pod", f"istiod-{replica}")


def _histogram_lines(key: _Key, samples: Samples) -> Iterator[str]:
    name, replica, own = key
    labels = (*own, _pod(replica))
    *sums, count = samples.cumulative()
    for bound, below in zip(samples.bounds, sums, strict=True):
        yield _line(f"{name}_bucket", (*labels, ("le", number_text(bound))), below)
    yield _line(f"{name}_bucket", (*labels, ("le", "+Inf")), count)
    yield _line(f"{name}_sum", labels, samples.total)
    yield _line(f"{name}_count", labels, count)


def _line(name: str, labels: Sequence[tuple[str, str]], value: float) -> str:
    return f"{name}{braces(labels)} {number_text(value)}"
