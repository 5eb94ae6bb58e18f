"""Metrics: each is the difference of two named instants, or a count or an outcome of one row, and says which.

A metric of the result is looked up by `find_metric`: a name of `METRICS` (``active_delay``), the same with
its table in front (``startups.timed_out``), any column of any table (``messages.bytes``), or a table itself
(``messages``), whose rows can be counted and shared. Every metric may be narrowed by the columns of its
table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from simulator.recording.columns import TABLES


class UnknownMetric(ValueError):
    """No metric, column or table of that name; the message names the nearest one."""


class Shape(Enum):
    """What the metric takes from one row of its table."""

    SPAN = "the time between two instants of the row"
    REACHED_SPAN = "the time between two instants of a row that reached the later"
    LAST_OF_CHANGE = "per change, the time until the last of the proxies it concerns"
    UNION_OF_PROXY = "per proxy, the time covered by at least one of its spans"
    TIMED_OUT = "whether an initial fetch timed out"
    FETCH_TIMEOUTS = "how many initial fetches timed out"
    FAILED = "the value of one column where requests failed, otherwise nothing"
    STALE = "the value of one column where requests met what was out of date, otherwise nothing"
    OCCURRENCE = "one"
    BOTTLENECK = "the stage in which the deliveries around a quantile of the delay spent most of their time"
    COLUMN = "the value of one column"
    ROWS = "the row itself"


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that can be asked of a result.

    `unit` is ``s`` for spans and instants, which are compared in seconds, and empty otherwise. `totalled`
    says that the metric written alone, without a statistic, means its total over all rows
    (``startups.timed_out == 0``); of any other it means every row (``time_to_ready < 5s``).
    """

    name: str
    table: str
    shape: Shape
    meaning: str
    later: str | None = None
    earlier: str | None = None
    column: str | None = None
    unit: str = ""
    totalled: bool = False


def _span(name: str, table: str, later: str, earlier: str, meaning: str, shape: Shape = Shape.SPAN) -> Metric:
    return Metric(name, table, shape, f"{meaning} ({later} - {earlier})", later, earlier, unit="s")


_METRICS: Final[tuple[Metric, ...]] = (
    _span("time_to_ready", "startups", "t_ready_ns", "t_started_ns", "process start until ready"),
    _span(
        "time_to_workers",
        "startups",
        "t_workers_started_ns",
        "t_started_ns",
        "process start until the workers accept connections",
    ),
    _span(
        "workers_after_cds",
        "startups",
        "t_workers_started_ns",
        "t_cds_subscribed_ns",
        "CDS subscription until the workers accept connections",
    ),
    _span("ready_after_cds", "startups", "t_ready_ns", "t_cds_subscribed_ns", "CDS subscription until ready"),
    _span("boot_time", "startups", "t_bootstrapped_ns", "t_started_ns", "loading of the bootstrap"),
    _span(
        "cds_time",
        "startups",
        "t_cds_initialized_ns",
        "t_cds_subscribed_ns",
        "CDS subscription until its first outcome: an update, a rejection or the fetch timeout",
    ),
    _span(
        "clusters_time",
        "startups",
        "t_clusters_initialized_ns",
        "t_cds_initialized_ns",
        "first outcome of CDS until all of its clusters are initialized",
    ),
    _span(
        "listeners_time",
        "startups",
        "t_listeners_initialized_ns",
        "t_clusters_initialized_ns",
        "clusters initialized until LDS, RDS and all other init targets are done",
    ),
    Metric(
        "timed_out",
        "startups",
        Shape.TIMED_OUT,
        "starts in which any initial fetch timed out; type=eds narrows it to one resource type",
        totalled=True,
    ),
    Metric(
        "fetch_timeouts",
        "startups",
        Shape.FETCH_TIMEOUTS,
        "subscriptions whose initial fetch timed out; type=eds narrows it to one resource type",
        totalled=True,
    ),
    _span(
        "active_delay",
        "deliveries",
        "t_active_ns",
        "t_changed_ns",
        "a change until it decides traffic in one proxy that it concerns",
    ),
    _span(
        "receive_delay",
        "deliveries",
        "t_received_ns",
        "t_changed_ns",
        "a change until it has reached one proxy",
    ),
    _span(
        "apply_delay",
        "deliveries",
        "t_applied_ns",
        "t_changed_ns",
        "a change until the main thread of one proxy has finished with it",
    ),
    _span(
        "ack_delay",
        "deliveries",
        "t_acked_ns",
        "t_changed_ns",
        "a change until the control plane has the acknowledgement of one proxy",
    ),
    *(
        _span(name, "deliveries", later, earlier, meaning)
        for name, later, earlier, meaning in (
            (
                "watch_delay",
                "t_observed_ns",
                "t_changed_ns",
                "a change until the control plane has worked off its watch event",
            ),
            (
                "debounce_delay",
                "t_debounced_ns",
                "t_observed_ns",
                "a change observed until the push that carries it began",
            ),
            (
                "context_delay",
                "t_enqueued_ns",
                "t_debounced_ns",
                "a push begun until the proxy is in the push queue: the PushContext is built",
            ),
            ("queue_delay", "t_dequeued_ns", "t_enqueued_ns", "a proxy in the push queue until its turn"),
            (
                "generate_delay",
                "t_sent_ns",
                "t_dequeued_ns",
                "a proxy's turn until the last response that carries the change left",
            ),
            ("network_delay", "t_received_ns", "t_sent_ns", "a response sent until it reached Envoy"),
            (
                "main_thread_delay",
                "t_applied_ns",
                "t_received_ns",
                "a response received until Envoy's main thread has finished with it",
            ),
            (
                "warming_time",
                "t_active_ns",
                "t_applied_ns",
                "a change applied by the main thread until it decides traffic",
            ),
        )
    ),
    _span(
        "convergence",
        "deliveries",
        "t_active_ns",
        "t_changed_ns",
        "a change until it decides traffic in the last of the proxies it concerns; one value a change",
        Shape.LAST_OF_CHANGE,
    ),
    _span(
        "staleness",
        "deliveries",
        "t_active_ns",
        "t_changed_ns",
        "how long one proxy decided traffic while a change that concerns it was outstanding, overlapping "
        "changes counted once; one value a proxy",
        Shape.UNION_OF_PROXY,
    ),
    Metric(
        "outcome",
        "deliveries",
        Shape.COLUMN,
        "what became of a change at one proxy; its share is that of the changes that came to decide traffic",
        column="outcome",
    ),
    Metric(
        "bottleneck",
        "deliveries",
        Shape.BOTTLENECK,
        "the stage that owns p99 of active_delay, or with at=p50 its median; compare it with a name such as "
        '"registry queue"',
    ),
    _span(
        "pilot_proxy_convergence_time",
        "proxy_pushes",
        "t_sent_ns",
        "t_start_ns",
        "Istio's own: the Start of a push, the oldest after merging, until its last Send to one proxy "
        "returned; nothing before and nothing behind",
        Shape.REACHED_SPAN,
    ),
    _span(
        "pilot_proxy_queue_time",
        "proxy_pushes",
        "t_dequeued_ns",
        "t_start_ns",
        "Istio's own: the Start of a push, the oldest after merging, until one proxy is dequeued",
    ),
    _span(
        "certificate_delay",
        "certificates",
        "t_active_ns",
        "t_wanted_ns",
        "an agent wants a certificate until its Envoy has it",
    ),
    Metric(
        "failed_requests",
        "traffic",
        Shape.FAILED,
        "requests that failed; by their final result, after retries",
        column="requests",
        totalled=True,
    ),
    Metric(
        "failed_attempts",
        "traffic",
        Shape.FAILED,
        "attempts that failed; a retry may still have saved the request",
        column="attempts",
        totalled=True,
    ),
    Metric(
        "stale_requests",
        "traffic",
        Shape.STALE,
        "requests that met stale state; decided by what a change had made out of date, failed or not",
        column="requests",
        totalled=True,
    ),
    Metric(
        "regressions",
        "regressions",
        Shape.OCCURRENCE,
        "changes that a proxy had and lost again to older content",
        totalled=True,
    ),
)

METRICS: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _METRICS})
"""The named metrics, in the order in which a summary shows them."""

STAGES: Final[tuple[str, ...]] = (
    "watch_delay",
    "debounce_delay",
    "context_delay",
    "queue_delay",
    "generate_delay",
    "network_delay",
    "main_thread_delay",
    "warming_time",
)
"""The metrics into which an `active_delay` divides, in order of time: for each delivery they sum to it."""

GOOD_OUTCOMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"deliveries": ("active",), "startups": ("live",), "traffic": ("200",)}
)
"""Per table, the outcomes whose share is meant when an expectation names none."""

NEVER_ENDED: Final = ("pending", "rejected", "disconnected")
"""Outcomes of deliveries whose spans count as +infinity."""


def metric_names() -> tuple[str, ...]:
    """Every name that `find_metric` knows, metrics first."""
    columns = tuple(f"{table}.{column}" for table, kinds in TABLES.items() for column in kinds)
    qualified = tuple(f"{metric.table}.{metric.name}" for metric in _METRICS)
    return tuple(dict.fromkeys((*METRICS, *TABLES, *qualified, *columns)))


def find_metric(name: str) -> Metric:
    """The metric called `name`; raises UnknownMetric, with the nearest name, when there is none."""
    if name in METRICS:
        return METRICS[name]
    if name in TABLES:
        return Metric(name, name, Shape.ROWS, f"the rows of {name}")
    table, _, rest = name.partition(".")
    if rest in METRICS and METRICS[rest].table == table:
        return METRICS[rest]
    if table in TABLES and rest in TABLES[table]:
        unit = "s" if rest.endswith("_ns") else ""
        return Metric(name, table, Shape.COLUMN, f"column {rest} of {table}", column=rest, unit=unit)
    import difflib  # costs more than everything else here, and only a mistake needs it

    nearest = difflib.get_close_matches(name, metric_names(), n=1)
    raise UnknownMetric(f"unknown metric {name!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else ""))


def filter_columns(metric: Metric) -> tuple[str, ...]:
    """The columns by which `metric` may be narrowed.

    Deliveries may also be narrowed by the ``kind`` and ``name`` of their change, startups by the ``type`` of
    the fetch that timed out.
    """
    columns = tuple(TABLES[metric.table])
    if metric.shape is Shape.BOTTLENECK:
        return (*columns, "kind", "name", "at")
    if metric.table == "deliveries":
        return (*columns, "kind", "name")
    if metric.shape in (Shape.TIMED_OUT, Shape.FETCH_TIMEOUTS):
        return (*columns, "type")
    return columns
