"""Rules every run keeps, read off its tables alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

from simulator.engine.machine import Table
from simulator.envoy import ads_mux, clusters, init_helper, listeners, startup
from simulator.recording.columns import DELIVERY_INSTANTS
from simulator.results.result import Result
from simulator.scenario.schema import Scenario
from simulator.xds.resource_types import RESOURCE_TYPES

Rows = list[Any]


def by(rows: pd.DataFrame, *keys: str) -> Iterator[tuple[tuple[Any, ...], Rows]]:
    """Rows of equal keys, each group in the order of the table."""
    for key, group in rows.groupby(list(keys), sort=False):
        yield key, list(group.itertuples(index=False))


# --- the protocol


def responses_of(rows: Rows) -> dict[str, Any]:
    return {row.nonce: row for row in rows if row.direction == "response"}


def versions_of_a_stream_never_go_backwards(scenario: Scenario, result: Result) -> None:
    if scenario.propagation.strategy != "push":
        return
    for key, rows in by(result.messages, "proxy_id", "stream", "type"):
        sent = [int(row.version_info) for row in rows if row.direction == "response"]
        assert sent == sorted(sent), key


def requests_answer_what_their_stream_sent(scenario: Scenario, result: Result) -> None:
    """A nonce of another stream, or of a later response, is never cited; the first request cites none."""
    for key, rows in by(result.messages, "proxy_id", "stream", "type"):
        assert rows[0].direction == "request", key
        assert rows[0].nonce == "", key
        sent: dict[str, None] = {}
        for row in rows:
            if row.direction == "response":
                sent[row.nonce] = None
            else:
                assert row.nonce == "" or row.nonce in sent, (key, row)


def sotw_requests_tell_the_version_accepted(scenario: Scenario, result: Result) -> None:
    """An ACK has the version of the response it answers; a NACK, and whatever follows it, the one accepted
    before."""
    if scenario.propagation.strategy != "push" or scenario.propagation.protocol != "sotw":
        return
    for key, rows in by(result.messages, "proxy_id", "stream", "type"):
        nonces = [row.nonce for row in rows if row.direction == "response"]
        versions = {row.nonce: row.version_info for row in rows if row.direction == "response"}
        accepted, answered, refused = rows[0].version_info, -1, -1
        for row in rows[1:]:
            if row.direction == "response":
                continue
            position = nonces.index(row.nonce) if row.nonce else -1
            assert position >= answered, f"{key}: a nonce older than the one answered before"
            merged = [versions[n] for n in nonces[answered + 1 : position + 1]]
            if row.error_detail:
                allowed, refused = {accepted, *merged[:-1]}, position
                if len(merged) > 1:
                    # Responses answered together: the error of one is told with the version of the last.
                    allowed.add(merged[-1])
            elif position in (refused, -1):
                allowed = {accepted}
            elif not len(row.resources) and not RESOURCE_TYPES[key[2]].wildcard:
                # Nothing is watched any more: what still came is refused without an error, unless empty.
                allowed, refused = {accepted, versions[row.nonce]}, position
            else:
                allowed = {versions[row.nonce]}
            assert row.version_info in allowed, (key, row, allowed)
            accepted, answered = row.version_info, position


def delta_answers_each_nonce_once_and_in_order(scenario: Scenario, result: Result) -> None:
    if scenario.propagation.strategy != "push" or scenario.propagation.protocol != "delta":
        return
    for key, rows in by(result.messages, "proxy_id", "stream", "type"):
        sent = [row.nonce for row in rows if row.direction == "response"]
        answered = [row.nonce for row in rows if row.direction == "request" and row.nonce]
        assert answered == sent[: len(answered)], key


def types_are_first_subscribed_in_order(scenario: Scenario, result: Result) -> None:
    """S2: RTDS before CDS before LDS before RDS and ECDS, as far as each is subscribed at all."""
    rows = result.states[(result.states.machine == "subscription") & (result.states.state == "WAITING")]
    for proxy, group in by(rows, "proxy_id"):
        first: dict[str, int] = {}
        for row in group:
            first.setdefault(row.detail, row.t_ns)
        for before, after in (("rtds", "cds"), ("cds", "lds"), ("lds", "rds"), ("lds", "ecds")):
            if (
                after in first
                and (before != "rtds" or before in first)
                and not scenario.envoy.static.listeners
            ):
                assert first[before] <= first[after], (proxy, first)


# --- starting

PHASES = (
    "t_started_ns",
    "t_bootstrapped_ns",
    "t_primary_initialized_ns",
    "t_rtds_initialized_ns",
    "t_cds_subscribed_ns",
    "t_cds_initialized_ns",
    "t_clusters_initialized_ns",
    "t_listeners_initialized_ns",
    "t_workers_started_ns",
    "t_ready_ns",
)
"""In the order in which Envoy passes them; being connected is no phase, nothing waits for it as such."""


def phases_of_a_start_are_passed_in_order(scenario: Scenario, result: Result) -> None:
    for row in result.startups.itertuples(index=False):
        instants = [getattr(row, name) for name in PHASES]
        reached = [int(t) for t in instants if not pd.isna(t)]
        assert reached == sorted(reached), row
        assert not any(pd.isna(early) and not pd.isna(late) for early, late in pairwise(instants)), row
        assert (row.outcome == "live") == (not pd.isna(row.t_workers_started_ns)), row


def subscriptions_that_timed_out_before_the_workers_started_are_counted(
    scenario: Scenario, result: Result
) -> None:
    late = result.states[
        (result.states.machine == "subscription") & result.states.detail.str.endswith(" timed out")
    ]
    for row in result.startups.itertuples(index=False):
        own = late[late.proxy_id == row.proxy_id]
        end_ns = scenario.duration if pd.isna(row.t_workers_started_ns) else row.t_workers_started_ns
        before, until = types_of(own[own.t_ns < end_ns]), types_of(own[own.t_ns <= end_ns])
        assert before <= Counter(json.loads(row.fetch_timeouts)) <= until, row


def types_of(subscriptions: pd.DataFrame) -> Counter[str]:
    return Counter(str(detail).split()[0] for detail in subscriptions.detail)


# --- states follow their tables


def edges(table: Table[Any, Any]) -> set[tuple[str, str]]:
    return {(before.value, after.value) for (before, _), (after, _) in table.items() if before is not after}


SINGLE = {
    "server": (edges(startup.SERVER), startup.ServerState.STARTING.value),
    "cluster_manager": (edges(init_helper.INIT_HELPER), init_helper.InitHelperState.LOADING.value),
    "stream": (edges(ads_mux.GRPC_STREAM), ads_mux.StreamState.DOWN.value),
}
# An active cluster that CDS removes is no batch any more, but its end is recorded.
OBJECTS = {
    "cluster": (edges(clusters.CLUSTER) | {("ACTIVE", "GONE")}, "CREATED"),
    "listener": (edges(listeners.LISTENER), "CREATED"),
}


def machines_move_as_their_tables_say(scenario: Scenario, result: Result) -> None:
    for (proxy, machine, name), rows in by(result.states, "proxy_id", "machine", "name"):
        if machine in SINGLE and (machine != "stream" or name == "ads"):
            allowed, state = SINGLE[machine]
            for row in rows:
                assert (state, row.state) in allowed or state == row.state == "STARTING", (
                    proxy,
                    machine,
                    row,
                )
                state = row.state


def objects_move_as_their_tables_say(scenario: Scenario, result: Result) -> None:
    """Several objects of one name live side by side: each row must be a step of one of them, or of a new
    one."""
    for (proxy, machine, name), rows in by(result.states, "proxy_id", "machine", "name"):
        if machine not in OBJECTS:
            continue
        allowed, start = OBJECTS[machine]
        possible: set[tuple[str, ...]] = {()}
        for row in rows:
            after = row.detail if row.state == "WARMING" and row.detail else row.state
            following = set()
            for live in possible:
                if (start, after) in allowed:
                    following.add(tuple(sorted((*live, after))))
                for before in set(live):
                    if (before, after) in allowed:
                        rest = list(live)
                        rest.remove(before)
                        following.add(tuple(sorted((*rest, after))))
            assert following, f"{proxy}: no {machine} {name} could become {after} at {row.t_ns} ns"
            possible = following


def subscriptions_settle_at_most_once(scenario: Scenario, result: Result) -> None:
    rows = result.states[result.states.machine == "subscription"]
    rows = rows.assign(type=rows.detail.str.split().str[0])
    for key, group in by(rows, "proxy_id", "type", "name"):
        waiting = 0
        for row in group:
            waiting += 1 if row.state == "WAITING" else -1
            assert waiting >= 0, (key, row)


def workers_start_at_most_once(scenario: Scenario, result: Result) -> None:
    live = result.states[(result.states.machine == "server") & (result.states.state == "LIVE")]
    assert not live.proxy_id.duplicated().any()
    started = result.startups[~result.startups.t_workers_started_ns.isna()]
    assert sorted(live.proxy_id) == sorted(started.proxy_id)


# --- changes


def each_change_has_one_outcome_per_proxy(scenario: Scenario, result: Result) -> None:
    deliveries = result.deliveries
    assert not deliveries.duplicated(["change_id", "proxy_id"]).any()
    counts = deliveries.groupby("change_id").size().to_dict()
    concerned = dict(zip(result.changes.change_id, result.changes.proxies_concerned, strict=True))
    assert counts == {change: count for change, count in concerned.items() if count}
    for row in deliveries.itertuples(index=False):
        assert row.outcome in ("active", "rejected", "superseded", "disconnected", "pending"), row
        assert (row.outcome in ("active", "superseded")) == (not pd.isna(row.t_active_ns)), row
        if row.outcome == "rejected":
            assert not pd.isna(row.t_received_ns), row


def instants_of_a_delivery_never_decrease(scenario: Scenario, result: Result) -> None:
    chain = [name for name in DELIVERY_INSTANTS if name != "t_acked_ns"]
    for row in result.deliveries.itertuples(index=False):
        instants = [getattr(row, name) for name in chain]
        reached = [int(t) for t in instants if not pd.isna(t)]
        assert reached == sorted(reached), row
        assert not any(pd.isna(early) and not pd.isna(late) for early, late in pairwise(instants)), row
        if not pd.isna(row.t_acked_ns) and not pd.isna(row.t_received_ns):
            assert row.t_acked_ns >= row.t_sent_ns, row


# --- serving


def requests_succeed_only_with_everything_in_place(scenario: Scenario, result: Result) -> None:
    """A warming cluster or listener never serves, nor does one without hosts or one that was removed."""
    named = scenario.control_plane.resources
    cluster = named.named_listeners[0].cluster
    endpoints = named.cluster_named(cluster).mapping.endpoints
    ends = taken_away(scenario, result, cluster)
    for row in result.traffic[result.traffic.outcome == "200"].itertuples(index=False):
        states = result.states[
            (result.states.proxy_id == row.proxy_id) & (result.states.t_ns <= row.t_start_ns)
        ]
        for machine, name in (("cluster", cluster), ("listener", "l0")):
            own = states[(states.machine == machine) & (states.name == name)]
            assert "ACTIVE" in set(own.state), (machine, row)
        assert endpoints > 0, row
        assert row.t_end_ns <= ends.get(row.proxy_id, row.t_end_ns), row


def taken_away(scenario: Scenario, result: Result, cluster: str) -> dict[str, int]:
    """When each proxy lost that cluster, or all its hosts, for good."""
    lost = {
        (push.type, push.at)
        for push in scenario.control_plane.pushes
        if (push.type == "cds" and cluster in push.remove) or (push.type == "eds" and cluster in push.empty)
    }
    # Pushes count from the last Envoy's first subscription, which is RTDS where there is such a layer.
    origins = result.states[result.states.machine == "subscription"].groupby("proxy_id").t_ns.min()
    origin_ns = int(origins.max()) if len(origins) else 0
    ends: dict[str, int] = {}
    for change in result.changes.itertuples(index=False):
        if (change.kind, change.t_changed_ns - origin_ns) in lost and cluster in change.name.split(","):
            rows = result.deliveries
            for row in rows[(rows.change_id == change.change_id)].itertuples(index=False):
                if not pd.isna(row.t_active_ns):
                    ends[row.proxy_id] = min(
                        int(row.t_active_ns), ends.get(row.proxy_id, int(row.t_active_ns))
                    )
    return ends


def requests_are_all_accounted_for(scenario: Scenario, result: Result) -> None:
    for proxy, rows in by(result.traffic, "proxy_id"):
        assert rows[0].t_start_ns == 0, proxy
        assert rows[-1].t_end_ns == scenario.duration, proxy
        assert all(a.t_end_ns == b.t_start_ns for a, b in pairwise(rows)), proxy
        assert sum(row.requests for row in rows) == pytest.approx(10 * scenario.duration / 1e9), proxy


def nothing_is_refused_once_connections_were_accepted_unless_the_listener_went(
    scenario: Scenario, result: Result
) -> None:
    """Changes of a listener, whatever they wait for, never close its port."""
    control_plane = scenario.control_plane
    removals = [*control_plane.pushes, *control_plane.answers_to("lds")]
    if any("l0" in removal.remove for removal in removals if getattr(removal, "type", "lds") == "lds"):
        return
    if any("l0" in answer.omit for answer in control_plane.answers_to("lds")):
        return
    for proxy, rows in by(result.traffic, "proxy_id"):
        refused = [row.outcome == "refused" for row in rows]
        assert refused == sorted(refused, reverse=True), proxy


ALL: tuple[Callable[[Scenario, Result], None], ...] = (
    versions_of_a_stream_never_go_backwards,
    requests_answer_what_their_stream_sent,
    sotw_requests_tell_the_version_accepted,
    delta_answers_each_nonce_once_and_in_order,
    types_are_first_subscribed_in_order,
    phases_of_a_start_are_passed_in_order,
    subscriptions_that_timed_out_before_the_workers_started_are_counted,
    machines_move_as_their_tables_say,
    objects_move_as_their_tables_say,
    subscriptions_settle_at_most_once,
    workers_start_at_most_once,
    each_change_has_one_outcome_per_proxy,
    instants_of_a_delivery_never_decrease,
    requests_succeed_only_with_everything_in_place,
    requests_are_all_accounted_for,
    nothing_is_refused_once_connections_were_accepted_unless_the_listener_went,
)
