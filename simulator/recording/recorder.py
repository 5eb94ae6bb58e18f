"""The recorder: the model appends to it, cheaply, and nothing in the model reads it back.

Rows that are filled in over time (a start, a delivery, a push round) are handed back to the model as small
mutable objects; everything else is one appended tuple. Startups, changes, deliveries, pushes and traffic are
kept at every recording level, because the digest of the run covers them; messages and states only when asked
for.

Names given to `Recorder.message` and `Recorder.state` are kept by reference, so a thousand Envoys may share
one set of a thousand names. They must not change afterwards; the plainly mutable containers are copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.recording.counters import Counters, is_unchanging

PER_PROXY_COUNTERS: Final = 100
"""Up to this many proxies each has counters of its own; above, the counters of all are added up."""

MessageRecord = tuple[int, int, int, int, str, str, str, str, str, Iterable[str], int]
"""(t_ns, proxy, replica, stream, direction, type, version_info, nonce, error_detail, names, bytes)"""

StateRecord = tuple[int, int, str, "str | Iterable[str]", str, str]
"""(t_ns, proxy, machine, name or names, state, detail)"""

TrafficRecord = tuple[int, int, int, str, str, bool, float, float]
"""(t_start_ns, t_end_ns, proxy, service, outcome, stale, attempts, requests)"""

ChangeRecord = tuple[int, str, str, int, int]
"""(change_id, kind, name, t_changed_ns, proxies_concerned)"""


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


class Recorder:
    """Everything one run records.

    `proxy_names[i]` is the name of proxy number i; every method takes proxy numbers. `messages` and `states`
    say whether those two tables are kept; with either off the call returns at once. `deliveries` off keeps
    the deliveries out of the results, not out of the digest.
    """

    __slots__ = (
        "change_rows",
        "counters",
        "delivery_rows",
        "events",
        "keeps_deliveries",
        "keeps_messages",
        "keeps_states",
        "message_rows",
        "proxy_names",
        "push_rows",
        "startup_rows",
        "state_rows",
        "traffic_rows",
        "warning_counts",
    )

    def __init__(
        self, proxy_names: Sequence[str], *, messages: bool, states: bool, deliveries: bool = True
    ) -> None:
        self.proxy_names: tuple[str, ...] = tuple(proxy_names)
        self.keeps_messages = messages
        self.keeps_states = states
        self.keeps_deliveries = deliveries
        self.startup_rows: list[StartupRow] = []
        self.delivery_rows: list[DeliveryRow] = []
        self.push_rows: list[PushRow] = []
        self.change_rows: list[ChangeRecord] = []
        self.message_rows: list[MessageRecord] = []
        self.state_rows: list[StateRecord] = []
        self.traffic_rows: list[TrafficRecord] = []
        self.warning_counts: dict[str, int] = {}
        self.counters = Counters(per_proxy=len(self.proxy_names) <= PER_PROXY_COUNTERS)
        self.events = 0
        """Number of engine events of the run, set once at its end."""

    def startup(self, proxy: int, epoch: int, cause: str, t_started_ns: int) -> StartupRow:
        """Begin the row of one Envoy start; `cause` is start, restart, scale_up, rollout or hot_restart."""
        row = StartupRow(proxy, epoch, cause, t_started_ns)
        self.startup_rows.append(row)
        return row

    def state(
        self, t_ns: int, proxy: int, machine: str, names: str | Iterable[str], state: str, detail: str = ""
    ) -> None:
        """Note that the machine of one name, or of each of many, entered a state."""
        if self.keeps_states:
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
        """Note one xDS message: a request when it leaves Envoy, a response when it leaves the control
        plane.
        """
        if self.keeps_messages:
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

    def change(self, kind: str, name: str, t_changed_ns: int, proxies_concerned: int) -> int:
        """Note one exogenous change; returns its `change_id`, counted from 0."""
        change_id = len(self.change_rows)
        self.change_rows.append((change_id, kind, name, t_changed_ns, proxies_concerned))
        return change_id

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
