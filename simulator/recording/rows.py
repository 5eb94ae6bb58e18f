"""What is recorded, as rows: objects that are filled in over time, and tuples of what is noted at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
