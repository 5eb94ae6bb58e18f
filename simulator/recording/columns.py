"""The result tables: which columns each has, in which order, and of which kind.

Kinds: ``int64`` (never missing), ``int64?`` (may be missing), ``float64``, ``bool``, ``string`` (may be
missing) and ``list[string]``. Columns that end in ``_ns`` are nanoseconds of simulated time since the start
of the run. A column may be added; none may change its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

STARTUP_INSTANTS: Final[tuple[str, ...]] = (
    "t_started_ns",
    "t_bootstrapped_ns",
    "t_connected_ns",
    "t_cds_subscribed_ns",
    "t_primary_initialized_ns",
    "t_rtds_initialized_ns",
    "t_cds_initialized_ns",
    "t_clusters_initialized_ns",
    "t_listeners_initialized_ns",
    "t_workers_started_ns",
    "t_ready_ns",
)
"""The instants of one Envoy start, as the `startups` table lists them."""

DELIVERY_INSTANTS: Final[tuple[str, ...]] = (
    "t_changed_ns",
    "t_observed_ns",
    "t_debounced_ns",
    "t_enqueued_ns",
    "t_dequeued_ns",
    "t_sent_ns",
    "t_received_ns",
    "t_applied_ns",
    "t_active_ns",
    "t_acked_ns",
)
"""The instants of one delivery: never decreasing from changed to active; acked stands outside the chain."""

_CHANGES: Final = {
    "change_id": "int64",
    "kind": "string",
    "name": "string",
    "t_changed_ns": "int64",
    "proxies_concerned": "int64",
}

_DELIVERIES: Final = {
    "change_id": "int64",
    "proxy_id": "string",
    "replica": "int64?",
    "push_id": "int64?",
    "carried_by": "string",
    "t_changed_ns": "int64",
    **dict.fromkeys(DELIVERY_INSTANTS[1:], "int64?"),
    "outcome": "string",
}

_STARTUPS: Final = {
    "proxy_id": "string",
    "epoch": "int64",
    "cause": "string",
    "t_started_ns": "int64",
    **dict.fromkeys(STARTUP_INSTANTS[1:], "int64?"),
    "fetch_timeouts": "string",
    "outcome": "string",
}

_PUSHES: Final = {
    "push_id": "int64",
    "replica": "int64",
    "t_first_event_ns": "int64",
    "t_started_ns": "int64?",
    "t_context_ready_ns": "int64?",
    "t_last_sent_ns": "int64?",
    "events_merged": "int64",
    "forced": "bool",
    "kinds": "list[string]",
    "proxies": "int64",
}

_MESSAGES: Final = {
    "t_ns": "int64",
    "proxy_id": "string",
    "replica": "int64",
    "stream": "int64",
    "direction": "string",
    "type": "string",
    "version_info": "string",
    "nonce": "string",
    "error_detail": "string",
    "resources": "list[string]",
    "bytes": "int64",
}

_STATES: Final = {
    "t_ns": "int64",
    "proxy_id": "string",
    "machine": "string",
    "name": "string",
    "state": "string",
    "detail": "string",
}

_TRAFFIC: Final = {
    "t_start_ns": "int64",
    "t_end_ns": "int64",
    "proxy_id": "string",
    "service": "string",
    "outcome": "string",
    "stale": "bool",
    "attempts": "float64",
    "requests": "float64",
}

_QUEUES: Final = {
    "t_ns": "int64",
    "replica": "int64",
    "queue": "string",
    "depth": "int64",
}

_PROXY_PUSHES: Final = {
    "push_id": "int64",
    "proxy_id": "string",
    "replica": "int64",
    "t_start_ns": "int64",
    "t_enqueued_ns": "int64",
    "t_dequeued_ns": "int64",
    "t_sent_ns": "int64?",
    "types": "list[string]",
}

_REGRESSIONS: Final = {
    "t_ns": "int64",
    "proxy_id": "string",
    "replica": "int64",
    "change_id": "int64",
    "type": "string",
}

_WATCH_EVENTS: Final = {
    "change_id": "int64",
    "replica": "int64",
    "stream": "string",
    "t_heard_ns": "int64",
}

_COMPONENTS: Final = {
    "t_ns": "int64",
    "component": "string",
    "replica": "int64",
    "state": "string",
    "detail": "string",
}

_CONNECTIONS: Final = {
    "t_ns": "int64",
    "proxy_id": "string",
    "replica": "int64",
    "event": "string",
}

_CERTIFICATES: Final = {
    "proxy_id": "string",
    "cause": "string",
    "t_wanted_ns": "int64",
    "t_requested_ns": "int64?",
    "t_issued_ns": "int64?",
    "t_mounted_ns": "int64?",
    "t_active_ns": "int64?",
    "t_expires_ns": "int64?",
    "failures": "int64",
    "root": "int64?",
    "outcome": "string",
}

TABLES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "changes": MappingProxyType(_CHANGES),
        "deliveries": MappingProxyType(_DELIVERIES),
        "startups": MappingProxyType(_STARTUPS),
        "pushes": MappingProxyType(_PUSHES),
        "messages": MappingProxyType(_MESSAGES),
        "states": MappingProxyType(_STATES),
        "traffic": MappingProxyType(_TRAFFIC),
        "queues": MappingProxyType(_QUEUES),
        "proxy_pushes": MappingProxyType(_PROXY_PUSHES),
        "regressions": MappingProxyType(_REGRESSIONS),
        "watch_events": MappingProxyType(_WATCH_EVENTS),
        "components": MappingProxyType(_COMPONENTS),
        "connections": MappingProxyType(_CONNECTIONS),
        "certificates": MappingProxyType(_CERTIFICATES),
    }
)
"""Table name -> column name -> kind of column, both in the order in which they are written."""

DIGESTED: Final[tuple[str, ...]] = ("changes", "deliveries", "startups", "pushes", "traffic")
"""The tables the digest of a run covers: those that exist at every recording level."""
