"""The recorder: the model appends to it, cheaply, and nothing in the model reads it back.

Rows that are filled in over time (a start, a delivery, a push round) are handed back to the model as small
mutable objects; everything else is one appended tuple. Startups, changes, deliveries, pushes and traffic are
kept at every recording level, because the digest of the run covers them; messages, states and queues only
when asked for.

Instants below zero belong to the prologue, in which a mesh that is configured already when the clock starts
plays its start-up: messages, states, depths, pushes to proxies and starts of then are not recorded.

Names given to `Recorder.message` and `Recorder.state` are kept by reference, so a thousand Envoys may share
one set of a thousand names. They must not change afterwards; the plainly mutable containers are copied.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulator.recording.counters import Counters, is_unchanging
from simulator.recording.istio_metrics import IstioMetrics

if TYPE_CHECKING:
    from simulator.recording.delivery_tally import DeliveryTally
    from simulator.recording.push_tally import PushTally

PER_PROXY_COUNTERS: Final = 100
"""Up to this many proxies each has counters of its own; above, the counters of all are added up."""

MOST_DELIVERY_ROWS: Final = 500_000
"""More deliveries than this become histograms unless the scenario says otherwise (assumption: about 100 MB
of tables, and a second to make them)."""

MessageRecord = tuple[int, int, int, int, str, str, str, str, str, Iterable[str], int]
"""(t_ns, proxy, replica, stream, direction, type, version_info, nonce, error_detail, names, bytes)"""

StateRecord = tuple[int, int, str, "str | Iterable[str]", str, str]
"""(t_ns, proxy, machine, name or names, state, detail)"""

TrafficRecord = tuple[int, int, int, str, str, bool, float, float]
"""(t_start_ns, t_end_ns, proxy, service, outcome, stale, attempts, requests)"""

ChangeRecord = tuple[int, str, str, int, int]
"""(change_id, kind, name, t_changed_ns, proxies_concerned)"""

QueueRecord = tuple[int, int, str, int]
"""(t_ns, replica, queue, depth)"""

ProxyPushRecord = tuple[int, int, int, int, int, int, "int | None", Sequence[str]]
"""(push_id, proxy, replica, t_start_ns, t_enqueued_ns, t_dequeued_ns, t_sent_ns, types)"""

RegressionRecord = tuple[int, int, int, int, str]
"""(t_ns, proxy, replica, change_id, type)"""

WatchEventRecord = tuple[int, int, str, int]
"""(change_id, replica, stream, t_heard_ns)"""

ComponentRecord = tuple[int, str, int, str, str]
"""(t_ns, component, replica, state, detail)"""


ConnectionRecord = tuple[int, int, int, str]
"""(t_ns, proxy, replica, event)"""


@dataclass(slots=True, eq=False)
class StartupRow:
    """One start of one Envoy. An instant is None until it is reached."""

    proxy: int
    epoch: int
    cause: str
    t_started_ns: int
    t_bootstrapped_ns: int | None = None
    t_connected_ns: int | None = None
    t_cds_subscribed_ns: int | None = None
    t_primary_initialized_ns: int | None = None
    t_rtds_initialized_ns: int | None = None
    t_cds_initialized_ns: int | None = None
    t_clusters_initialized_ns: int | None = None
    t_listeners_initialized_ns: int | None = None
    t_workers_started_ns: int | None = None
    t_ready_ns: int | None = None
    fetch_timeouts: dict[str, int] = field(default_factory=dict)
    """Resource type (cds, eds, ...) -> subscriptions whose initial fetch timed out."""
    outcome: str = "initializing"
    """live | initializing | exited | stopped"""


@dataclass(slots=True, eq=False)
class DeliveryRow:
    """One change on its way to one proxy that it concerns. An instant is None until it is reached."""

    change_id: int
    proxy: int
    t_changed_ns: int
    replica: int | None = None
    push_id: int | None = None
    carried_by: str | None = None
    """push | earlier_push | request | reconnect | poll | file"""
    t_observed_ns: int | None = None
    t_debounced_ns: int | None = None
    t_enqueued_ns: int | None = None
    t_dequeued_ns: int | None = None
    t_sent_ns: int | None = None
    t_received_ns: int | None = None
    t_applied_ns: int | None = None
    t_active_ns: int | None = None
    t_acked_ns: int | None = None
    outcome: str = "pending"
    """active | rejected | superseded | disconnected | pending"""


@dataclass(slots=True, eq=False)
class PushRow:
    """One push round of one control-plane replica. An instant is None until it is reached."""

    push_id: int
    replica: int
    t_first_event_ns: int
    t_started_ns: int | None = None
    t_context_ready_ns: int | None = None
    t_last_sent_ns: int | None = None
    events_merged: int = 1
    forced: bool = False
    kinds: tuple[str, ...] = ()
    proxies: int = 0


@dataclass(slots=True, eq=False)
class CertificateRow:
    """One certificate that an agent wanted. An instant is None until it is reached."""

    proxy: int
    cause: str
    """start | rotation"""
    t_wanted_ns: int
    t_requested_ns: int | None = None
    t_issued_ns: int | None = None
    t_mounted_ns: int | None = None
    """The kubelet wrote it into the pod's volume, where there is one."""
    t_active_ns: int | None = None
    t_expires_ns: int | None = None
    failures: int = 0
    root: int | None = None
    outcome: str = "pending"
    """issued | pending | stopped"""


@dataclass(slots=True, eq=False)
class _Depth:
    """What was last noted of one queue; every queue is empty when the clock starts."""

    t_ns: int = -1
    depth: int = 0
    rises: bool = False
    row: int = -1


class NamesOnDemand(Mapping[int, str]):
    """Names of proxies that are made when asked for."""

    def many(self, proxies: Sequence[int]) -> list[str | None]:
        """The names of many at once; None for one that came later."""
        raise NotImplementedError


class Recorder:
    """Everything one run records.

    Proxies are known by number; `proxy_names` gives the name of each, and `add_proxy` names those that appear
    later. A sequence of names numbers them from 0. `messages`, `states` and `queues` say whether those tables
    are kept; with one off its call returns at once. `deliveries` and `proxy_pushes` off keep those rows out
    of the results, not out of the summary, the verdicts and the digest.

    Each Envoy has counters of its own if the run begins with at most `PER_PROXY_COUNTERS` of them.
    """

    __slots__ = (
        "_depths",
        "_given_names",
        "_lost_ns",
        "_open_streams",
        "certificate_rows",
        "change_rows",
        "component_rows",
        "connection_rows",
        "control_plane_busy_ns",
        "counters",
        "counts_all",
        "deliveries_begun",
        "delivery_parts",
        "delivery_rows",
        "delivery_tally",
        "events",
        "folds_deliveries",
        "istio",
        "keeps_deliveries",
        "keeps_messages",
        "keeps_proxy_pushes",
        "keeps_queues",
        "keeps_states",
        "message_rows",
        "most_delivery_rows",
        "proxy_names",
        "proxy_push_columns",
        "proxy_push_rows",
        "push_rows",
        "push_tally",
        "queue_rows",
        "regression_rows",
        "startup_rows",
        "state_rows",
        "streams_opened_ns",
        "traffic_rows",
        "unconnected_ns",
        "utilisation",
        "warning_counts",
        "watch_event_rows",
        "xds_bytes",
        "xds_messages",
    )

    def __init__(
        self,
        proxy_names: Sequence[str] | Mapping[int, str],
        *,
        messages: bool,
        states: bool,
        deliveries: bool = True,
        folds_deliveries: bool | None = False,
        queues: bool = True,
        proxy_pushes: bool = True,
    ) -> None:
        given = proxy_names if isinstance(proxy_names, Mapping) else dict(enumerate(proxy_names))
        self._given_names = given
        self.proxy_names: MutableMapping[int, str] = (
            dict(given) if isinstance(given, dict) else ChainMap({}, given)  # type: ignore[arg-type]  # only read
        )
        self.keeps_messages = messages
        self.keeps_states = states
        self.keeps_deliveries = deliveries
        self.folds_deliveries = folds_deliveries
        """Whether deliveries become histograms; None: where they are more than `most_delivery_rows`."""
        self.most_delivery_rows = MOST_DELIVERY_ROWS
        self.keeps_queues = queues
        self.keeps_proxy_pushes = proxy_pushes
        self.startup_rows: list[StartupRow] = []
        self.certificate_rows: list[CertificateRow] = []
        self.delivery_rows: list[DeliveryRow] = []
        self.delivery_parts: Callable[[], Iterator[Mapping[str, Any]]] | None = None
        """Gives further deliveries, those of one change after those of another, as arrays in order of
        proxies: what the array engine recorded. Instants that were not reached are -1."""
        self.delivery_tally: DeliveryTally | None = None
        """What the array engine counted of its deliveries; `delivery_parts` are of some proxies then."""
        self.push_tally: PushTally | None = None
        """What it counted of its pushes to proxies."""
        self.deliveries_begun = 0
        """How many there are, by all changes so far."""
        self.proxy_push_columns: Mapping[str, Any] = {}
        """Further pushes to proxies, likewise."""
        self.push_rows: list[PushRow] = []
        self.change_rows: list[ChangeRecord] = []
        self.message_rows: list[MessageRecord] = []
        self.state_rows: list[StateRecord] = []
        self.traffic_rows: list[TrafficRecord] = []
        self.queue_rows: list[QueueRecord] = []
        self.proxy_push_rows: list[ProxyPushRecord] = []
        self.regression_rows: list[RegressionRecord] = []
        self.watch_event_rows: list[WatchEventRecord] = []
        self.component_rows: list[ComponentRecord] = []
        self.connection_rows: list[ConnectionRecord] = []
        self.warning_counts: dict[str, int] = {}
        self.counters = Counters(per_proxy=len(given) <= PER_PROXY_COUNTERS)
        self.counts_all = True
        """Whether statistics of Envoy and istiod are of all proxies; the array engine keeps none."""
        self.istio = IstioMetrics()
        """Istio's own metrics, of istiod and of the agents."""
        self.events = 0
        """Number of engine events of the run, set once at its end."""
        self.xds_messages = 0
        """xDS messages of the run, polls that find nothing new included; counted at every recording level."""
        self.xds_bytes = 0
        self.streams_opened_ns: list[int] = []
        """When streams entered a table of connections, from 0 on."""
        self.unconnected_ns = 0
        """Time between the loss of a proxy's stream and its next one, all proxies together."""
        self._open_streams: dict[int, int] = {}
        self._lost_ns: dict[int, int] = {}
        """Encoded bytes of these messages."""
        self.control_plane_busy_ns = 0
        """Time that processors of the control plane were busy, set once at the end of the run."""
        self.utilisation: dict[str, float] = {}
        """Station, named as the bottleneck it can be -> share of the run that its servers were busy, of the
        busiest where there are several; set once at the end of the run."""
        self._depths: dict[tuple[int, str], _Depth] = {}

    def names_of(self, proxies: Sequence[int]) -> list[str]:
        """The names of many proxies at once, in this order."""
        if isinstance(self._given_names, NamesOnDemand):
            found = self._given_names.many(proxies)
            return [
                self.proxy_names[p] if name is None else name for p, name in zip(proxies, found, strict=True)
            ]
        return [self.proxy_names[proxy] for proxy in proxies]

    def add_proxy(self, proxy: int, name: str) -> None:
        """Name a proxy that appears during the run; raises ValueError if the number has another name."""
        if self.proxy_names.setdefault(proxy, name) != name:
            raise ValueError(f"proxy {proxy} is {self.proxy_names[proxy]}; it cannot become {name}")

    def startup(self, proxy: int, epoch: int, cause: str, t_started_ns: int) -> StartupRow:
        """Begin the row of one Envoy start; `cause` is start, restart, scale_up, rollout or hot_restart."""
        row = StartupRow(proxy, epoch, cause, t_started_ns)
        if t_started_ns >= 0:
            self.startup_rows.append(row)
        return row

    def certificate(self, proxy: int, cause: str, t_wanted_ns: int) -> CertificateRow:
        """Begin the row of one certificate; `cause` is start or rotation."""
        row = CertificateRow(proxy, cause, t_wanted_ns)
        if t_wanted_ns >= 0:
            self.certificate_rows.append(row)
        return row

    def state(
        self, t_ns: int, proxy: int, machine: str, names: str | Iterable[str], state: str, detail: str = ""
    ) -> None:
        """Note that the machine of one name, or of each of many, entered a state."""
        if self.keeps_states and t_ns >= 0:
            self.state_rows.append((t_ns, proxy, machine, kept(names), state, detail))

    def message(
        self,
        t_ns: int,
        proxy: int,
        replica: int,
        stream: int,
        direction: str,
        type: str,  # noqa: A002 -- the name of the column
        version_info: str,
        nonce: str,
        error_detail: str,
        names: Iterable[str],
        bytes: int,  # noqa: A002 -- the name of the column
    ) -> None:
        """Note one xDS message as the control plane sees it: a request when it arrives there, a response when
        it leaves.
        """
        if self.keeps_messages and t_ns >= 0:
            self.message_rows.append(
                (
                    t_ns,
                    proxy,
                    replica,
                    stream,
                    direction,
                    type,
                    version_info,
                    nonce,
                    error_detail,
                    kept(names),
                    bytes,
                )
            )

    def count_message(self, t_ns: int, size_bytes: int) -> None:
        """Count one xDS message, whether the table of them is kept or not."""
        if t_ns >= 0:
            self.xds_messages += 1
            self.xds_bytes += size_bytes

    def change(self, kind: str, name: str, t_changed_ns: int, proxies_concerned: int) -> int:
        """Note one exogenous change; returns its `change_id`, counted from 0."""
        change_id = len(self.change_rows)
        self.change_rows.append((change_id, kind, name, t_changed_ns, proxies_concerned))
        self.deliveries_begun += proxies_concerned
        return change_id

    @property
    def folds(self) -> bool:
        """Whether the deliveries become histograms, by all changes so far: once they do, they will."""
        if self.folds_deliveries is not None:
            return self.folds_deliveries
        return self.deliveries_begun > self.most_delivery_rows

    def delivery(self, change_id: int, proxy: int, t_changed_ns: int) -> DeliveryRow:
        """Begin the row of one change on its way to one proxy."""
        row = DeliveryRow(change_id, proxy, t_changed_ns)
        self.delivery_rows.append(row)
        return row

    def push(
        self,
        replica: int,
        t_first_event_ns: int,
        *,
        events_merged: int = 1,
        forced: bool = False,
        kinds: Sequence[str] = (),
    ) -> PushRow:
        """Begin the row of one push round; its `push_id` is counted from 0 over all replicas."""
        row = PushRow(
            len(self.push_rows),
            replica,
            t_first_event_ns,
            events_merged=events_merged,
            forced=forced,
            kinds=tuple(kinds),
        )
        self.push_rows.append(row)
        return row

    def traffic(
        self,
        t_start_ns: int,
        t_end_ns: int,
        proxy: int,
        service: str,
        outcome: str,
        stale: bool,
        attempts: float,
        requests: float,
    ) -> None:
        """Note what became of the requests from one proxy to one service over [t_start, t_end).

        `attempts` and `requests` are expected counts: attempts before retries, requests by final result.
        """
        self.traffic_rows.append((t_start_ns, t_end_ns, proxy, service, outcome, stale, attempts, requests))

    def proxy_push(
        self,
        push_id: int,
        proxy: int,
        replica: int,
        t_start_ns: int,
        t_enqueued_ns: int,
        t_dequeued_ns: int,
        t_sent_ns: int | None,
        types: Sequence[str],
    ) -> None:
        """Note what one push did for one proxy.

        `push_id` is that of the newest of the rounds merged, `t_start_ns` the Start of its request, the
        oldest after merging; `t_sent_ns` is when the last Send returned and `types` what was sent, None and
        empty for a proxy that needed nothing or whose stream broke.
        """
        if t_dequeued_ns >= 0:
            self.proxy_push_rows.append(
                (push_id, proxy, replica, t_start_ns, t_enqueued_ns, t_dequeued_ns, t_sent_ns, types)
            )

    def depth(self, t_ns: int, replica: int, queue: str, depth: int) -> None:
        """Note how many wait in a queue (registry, config_update, push, cpu, poll) of a replica from now on.

        Within one instant only the turning points are kept: its peaks and what stands at its end.
        """
        if not self.keeps_queues or t_ns < 0:
            return
        last = self._depths.get((replica, queue))
        if last is None:
            last = self._depths[replica, queue] = _Depth()
        if depth == last.depth:
            return
        rises = depth > last.depth
        if t_ns == last.t_ns and rises == last.rises:
            self.queue_rows[last.row] = (t_ns, replica, queue, depth)
        else:
            last.row = len(self.queue_rows)
            self.queue_rows.append((t_ns, replica, queue, depth))
        last.t_ns, last.depth, last.rises = t_ns, depth, rises

    def heard(self, change_id: int, replica: int, stream: str, t_heard_ns: int) -> None:
        """Note that a replica heard of a change; `stream` is registry, whose events become tasks of a queue,
        or config; mcp where the configuration came from Galley.
        """
        self.watch_event_rows.append((change_id, replica, stream, t_heard_ns))

    def component(self, t_ns: int, component: str, replica: int, state: str, detail: str = "") -> None:
        """Note what a process of the control plane, or a stream between two of them, enters."""
        if t_ns >= 0:
            self.component_rows.append((t_ns, component, replica, state, detail))

    def connection(self, t_ns: int, proxy: int, replica: int, event: str) -> None:
        """Note that a stream entered a replica's table of connections (opened), left it (closed), or was
        refused by its limit of new streams (turned_away). Kept with the queues; those that are open when the
        clock starts are opened at 0.
        """
        self._count_streams(t_ns, proxy, event)
        if self.keeps_queues:
            self.connection_rows.append((max(t_ns, 0), proxy, replica, event))

    def _count_streams(self, t_ns: int, proxy: int, event: str) -> None:
        """New streams, and how long proxies that lost theirs were without one."""
        if event == "turned_away":
            return
        before = self._open_streams.get(proxy, 0)
        self._open_streams[proxy] = before + (1 if event == "opened" else -1)
        if event == "opened":
            if t_ns >= 0:
                self.streams_opened_ns.append(t_ns)
            if before == 0:
                self.unconnected_ns += t_ns - self._lost_ns.pop(proxy, t_ns)
        elif before == 1:
            self._lost_ns[proxy] = t_ns

    def reconnected(self, t_ns: int, lost_ns: int) -> None:
        """Note that a stream was opened for a proxy that had lost its own at `lost_ns`, both of which are
        kept elsewhere.
        """
        self.streams_opened_ns.append(t_ns)
        self.unconnected_ns += t_ns - lost_ns

    def regression(
        self,
        t_ns: int,
        proxy: int,
        replica: int,
        change_id: int,
        type: str,  # noqa: A002 -- the name of the column
    ) -> None:
        """Note that a proxy which had this change was given content from before it, as one may be that
        reconnects to a replica which lags.
        """
        self.regression_rows.append((t_ns, proxy, replica, change_id, type))

    def warn(self, text: str) -> None:
        """Note something the reader of the summary must know; equal texts are counted, not repeated."""
        self.warning_counts[text] = self.warning_counts.get(text, 0) + 1

    @property
    def warnings(self) -> list[str]:
        """The warnings in order of first appearance, with a count where one came more than once."""
        return [
            text if count == 1 else f"{text} ({count} times)" for text, count in self.warning_counts.items()
        ]


def kept(names: str | Iterable[str]) -> str | Iterable[str]:
    """`names` as it may be kept: itself when it will not change under us, otherwise a copy."""
    if isinstance(names, str) or is_unchanging(names):
        return names
    return tuple(sorted(names)) if isinstance(names, (set, frozenset)) else tuple(names)
