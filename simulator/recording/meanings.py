"""What a row and each column of the result tables mean: the words behind `columns.TABLES`.

Columns that end in ``_ns`` are nanoseconds of simulated time since the start of the run, everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["ROWS", "meaning_of"]

ROWS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "changes": "a change of configuration or endpoints from outside",
        "deliveries": "a change and a proxy that it concerns: alive and in scope when it happened",
        "startups": "a start of an Envoy; a phase without content ends with the one before it",
        "pushes": "a push round of one control plane replica",
        "messages": "an xDS message, seen at the control plane (recording.messages)",
        "states": "a state that something in an Envoy entered (recording.states)",
        "traffic": "an interval of requests from one proxy to one service with one outcome",
        "queues": "a change of the depth of a queue of a control plane (recording.queues)",
        "proxy_pushes": "a push round and a proxy that it was taken from the push queue for",
        "regressions": "a change that a proxy had applied and lost again, to a replica that lags",
        "watch_events": "a change and a replica that heard of it",
        "components": "a state that a process of the control plane, or a stream between two, entered",
        "connections": "a stream that one replica took in, lost or turned away (recording.queues)",
        "certificates": "a certificate that an agent wanted",
    }
)
"""Table -> what one row of it is."""

_EVERYWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "change_id": "number of the change, as in the table changes",
        "proxy_id": "name of the proxy: p0, gw0, vm0, or that of a pod",
        "replica": "number of the control plane replica, counted from 0",
        "push_id": "number of the push round, as in the table pushes",
        "t_ns": "when",
        "t_changed_ns": "when the change happened",
    }
)

_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "changes": {
            "kind": "kind of the object (VirtualService, Endpoints, ...); scripted: the resource type",
            "name": "namespace/name of the object; scripted: the resource's name",
            "proxies_concerned": "proxies alive and in scope when it happened",
        },
        "deliveries": {
            "carried_by": "how its last part travelled: push (made for it), earlier_push, request, "
            "reconnect, poll (long polls too) or file",
            "t_observed_ns": "the replica has processed its watch event, after watch and registry queue",
            "t_debounced_ns": "the push that carries it began",
            "t_enqueued_ns": "it entered the proxy's place in the push queue; a poll arrived",
            "t_dequeued_ns": "it left the push queue; the poll is served",
            "t_sent_ns": "the last response that carries it left the control plane",
            "t_received_ns": "it reached Envoy, behind network and agent",
            "t_applied_ns": "Envoy's main thread was done with it",
            "t_active_ns": "it decides traffic: after warming, on every worker",
            "t_acked_ns": "the control plane read the ACK; outside the chain of the other instants",
            "outcome": "active, rejected, superseded (a newer change of the same object was carried), "
            "disconnected or pending (when the run ended)",
        },
        "startups": {
            "epoch": "which process of this proxy, counted from 0",
            "cause": "start, restart, scale_up, rollout or hot_restart",
            "t_started_ns": "the process began",
            "t_bootstrapped_ns": "the static configuration is loaded",
            "t_connected_ns": "the first stream to the control plane is open",
            "t_cds_subscribed_ns": "the CDS subscription began",
            "t_primary_initialized_ns": "clusters that need no other cluster are initialized",
            "t_rtds_initialized_ns": "the runtime layers are there",
            "t_cds_initialized_ns": "CDS had its first outcome",
            "t_clusters_initialized_ns": "every cluster is initialized",
            "t_listeners_initialized_ns": "every listener is initialized",
            "t_workers_started_ns": "the workers accept connections",
            "t_ready_ns": "preset envoy: /ready answers 200; preset istio: the agent's readiness",
            "fetch_timeouts": "JSON: resource type -> subscriptions whose initial fetch timed out",
            "outcome": "live, initializing (when the run ended), exited or stopped",
        },
        "pushes": {
            "t_first_event_ns": "the first event that it merged came to the debounce",
            "t_started_ns": "the push began",
            "t_context_ready_ns": "its PushContext was ready",
            "t_last_sent_ns": "the last response of it left",
            "events_merged": "events that the debounce merged into it",
            "forced": "whether it goes to every proxy, needed or not",
            "kinds": "kinds of the changes in it",
            "proxies": "connections that it was enqueued for",
        },
        "messages": {
            "stream": "number of the stream",
            "direction": "request or response",
            "type": "resource type: cds, eds, lds, rds, sds, ecds, srds or rtds",
            "version_info": "as on the wire",
            "nonce": "as on the wire",
            "error_detail": "of a NACK; empty otherwise",
            "resources": "names of the resources",
            "bytes": "size on the wire, bytes",
        },
        "states": {
            "machine": "server, cluster_manager, cluster, listener, subscription or stream",
            "name": "name of the cluster, listener, subscription or stream",
            "state": "the state entered, by Envoy's name",
            "detail": "why, or what within it",
        },
        "traffic": {
            "t_start_ns": "beginning of the interval, included",
            "t_end_ns": "end of the interval, not included",
            "service": "whom the requests are for; scripted: the listener",
            "outcome": "200, Envoy's flag of the failure (UH, UF, UC, NR, NC), or refused",
            "stale": "whether what decided it was out of date",
            "attempts": "expected number of attempts, before retries",
            "requests": "expected number of requests, by final result",
        },
        "queues": {
            "queue": "registry, config_update (events in the debounce), push, cpu or poll",
            "depth": "how many wait from now on",
        },
        "proxy_pushes": {
            "push_id": "number of the newest round merged",
            "t_start_ns": "Start of the request: the oldest after merging",
            "t_enqueued_ns": "it entered the push queue",
            "t_dequeued_ns": "it left the push queue",
            "t_sent_ns": "the last Send returned; missing where nothing was sent",
            "types": "resource types that were sent",
        },
        "regressions": {"type": "resource type of the older content"},
        "watch_events": {
            "stream": "registry (endpoints, services), config, or mcp (from Galley)",
            "t_heard_ns": "the event reached the replica, before its queue",
        },
        "components": {
            "component": "the process, or the stream between two",
            "state": "the state entered",
            "detail": "why, or what within it",
        },
        "connections": {"event": "opened, closed, or turned_away by the limit of new streams"},
        "certificates": {
            "cause": "start or rotation",
            "t_wanted_ns": "the agent began to want it",
            "t_requested_ns": "the first CSR was sent",
            "t_issued_ns": "the CA signed it",
            "t_mounted_ns": "the kubelet wrote it into the pod's volume, where there is one",
            "t_active_ns": "Envoy has it",
            "t_expires_ns": "it is no longer valid",
            "failures": "tries that failed",
            "root": "number of the root that signed it",
            "outcome": "issued, pending or stopped",
        },
    }
)


def meaning_of(table: str, column: str) -> str:
    """What a column of a table means; raises KeyError for one that there is not."""
    return _COLUMNS[table].get(column) or _EVERYWHERE[column]
