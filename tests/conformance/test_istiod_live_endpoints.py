"""EDS reads the endpoint index as it is; CDS, LDS and RDS the PushContext: what travels when, and how the
table of deliveries says it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd
import pytest

import simulator as xs
from tests.conformance.istiod import of_proxy, responses, run, types_sent

STAGES = ("changed", "observed", "debounced", "enqueued", "dequeued", "sent", "received", "applied", "active")


def stages(row: Any) -> list[float | None]:
    """The instants of a delivery in their order, in seconds."""
    instants = [getattr(row, f"t_{stage}_ns") for stage in STAGES]
    return [None if pd.isna(t_ns) else t_ns / 1e9 for t_ns in instants]


def deliveries(result: xs.Result, proxy: str, kind: str) -> list[Any]:
    """Deliveries to a proxy of changes of one kind."""
    changes = result.changes[result.changes.kind == kind].change_id
    return [row for row in of_proxy(result.deliveries, proxy) if row.change_id in set(changes)]


def joining(at: str, proxy: str = "p1") -> dict[str, object]:
    """A proxy whose Envoy starts anew, and so connects anew."""
    return {"restart": {"proxies": [proxy]}, "at": at}


ENDPOINT = {"endpoints": "s0", "at": "10s"}
EDIT = {"edit": "VirtualService", "service": "s0", "at": "10s"}
LONG = {"debounce": {"after": "3s"}}
"""Long enough to connect during the debounce."""


def test_an_endpoint_added_during_the_debounce_is_visible_to_a_new_connection() -> None:
    result = run(ENDPOINT, joining("11s"), proxies=2, duration="20s", plane=LONG)
    [row] = deliveries(result, "p1", "Endpoints")
    assert row.carried_by == "reconnect"
    assert row.t_active_ns < 12e9
    # Those who were connected wait for the debounce.
    [other] = deliveries(result, "p0", "Endpoints")
    assert (other.carried_by, other.t_sent_ns) == ("push", 13_000_000_000)


def test_a_route_edited_during_the_debounce_is_not() -> None:
    result = run(EDIT, joining("11s"), proxies=2, duration="20s", plane=LONG)
    [row] = deliveries(result, "p1", "VirtualService")
    assert (row.carried_by, row.t_sent_ns) == ("push", 13_000_000_000)


def test_each_stage_that_an_answer_skipped_equals_the_one_before_it() -> None:
    result = run(
        ENDPOINT, joining("11s"), proxies=2, duration="20s", plane=LONG, costs={"registry_task": "200ms"}
    )
    [row] = deliveries(result, "p1", "Endpoints")
    changed, observed, debounced, enqueued, dequeued, *_ = stages(row)
    assert (changed, observed) == (10.0, 10.2)
    assert observed == debounced == enqueued == dequeued
    assert pd.isna(row.push_id)


def test_an_earlier_push_that_reads_the_live_index_carries_an_endpoint_and_says_so() -> None:
    result = run(
        {"edit": "DestinationRule", "service": "s0", "at": "1s"},
        {"endpoints": "s0", "at": "2s"},
        proxies=2,
        duration="20s",
        plane={"push_throttle": 1, "cpu": 4, "debounce": {"after": "1.5s"}},
        costs={"push": "1s", "registry_task": "1s"},
    )
    # The DestinationRule is pushed to one proxy at 2.5 s and to the other at 3.5 s. The endpoint is known
    # from 3.0 s on and debounced until 4.5 s: the second response holds it.
    late, by_its_own = sorted(
        (row for row in result.deliveries.itertuples() if row.change_id == 1), key=lambda row: row.t_sent_ns
    )
    assert late.carried_by == "earlier_push"
    assert pd.isna(late.push_id)
    assert stages(late)[:6] == [2.0, 3.0, 3.0, 3.0, 3.0, 4.5]
    assert (by_its_own.carried_by, by_its_own.push_id) == ("push", 1)
    assert stages(by_its_own)[:4] == [2.0, 3.0, 4.5, 4.5]


def test_a_response_generated_before_the_endpoint_was_known_does_not_carry_it() -> None:
    # Generated at 2.0 s, sent at 5.0 s; the endpoint is there at 3 s.
    result = run(
        {"edit": "DestinationRule", "service": "s0", "at": "1.9s"},
        {"endpoints": "s0", "at": "3s"},
        duration="20s",
        plane={"cpu": 4},
        costs={"push": "3s"},
    )
    [row] = deliveries(result, "p0", "Endpoints")
    assert row.carried_by == "push"
    assert stages(row)[1:6] == [3.0, 3.1, 3.1, 5.0, 8.0]


def test_a_response_that_waits_for_a_slow_reader_holds_what_it_held_when_it_was_generated() -> None:
    result = run(
        {"slow_reader": {"proxies": ["p0"]}, "at": "0.5s", "lasts": "20s"},
        {"edit": "DestinationRule", "service": "s0", "at": ["1s", "2s"]},
        {"endpoints": "s0", "at": "6s"},
        duration="30s",
        in_mesh={"sizes": {"listener": 2_000_000, "assignment": 2_000_000}},
    )
    [row] = deliveries(result, "p0", "Endpoints")
    assert row.carried_by == "push"
    assert row.t_dequeued_ns > 20e9


def test_the_first_configuration_of_a_proxy_is_said_to_be_an_answer_to_a_request() -> None:
    result = run(
        {"endpoints": "s0", "at": "2s"},
        {"scale_up": {"pods": 1}, "service": "s1", "ready_after": "60s", "at": "2.1s"},
        duration="20s",
        plane={"debounce": {"after": "5s"}},
        agent={"init": "0s", "bootstrap": "500ms"},
    )
    [pod] = [name for name in result.startups.proxy_id.unique() if name != "p0"]
    # It does not exist when the change happens, so the change is none of its affairs, ...
    assert of_proxy(result.deliveries, pod) == []
    # ... and its first EDS, half a second later, holds the endpoint that the debounce still waits for.
    [asked] = responses(result, pod, "eds", until=7.0)
    assert asked.t < 3.0
    assert {m.type for m in responses(result, pod, until=7.0)} == {"cds", "eds", "lds", "rds"}


@pytest.mark.parametrize("version", ["1.20", "1.32"])
def test_stage_instants_never_decrease_and_sum_exactly(version: str) -> None:
    result = run(
        {"edit": "VirtualService", "poisson": "2/s"},
        {"edit": "DestinationRule", "poisson": "1/s"},
        {"edit": "AuthorizationPolicy", "poisson": "1/s"},
        {"endpoints": "any", "poisson": "3/s"},
        {"restart": {"proxies": 1}, "every": "3s"},
        {"restart_istiod": 1, "at": "5s", "down_for": "2s"},
        proxies=6,
        services=4,
        duration="14s",
        version=version,
        costs={
            "watch_delay": {"uniform": ["1ms", "50ms"]},
            "registry_task": "20ms",
            "push_context": "150ms",
            "push": "30ms",
            "generate": "5ms",
            "endpoint_slice_delay": "30ms",
        },
        plane={"replicas": 2, "push_throttle": 3},
    )
    reached = 0
    for row in result.deliveries.itertuples():
        instants = [t for t in stages(row) if t is not None]
        assert instants == sorted(instants), row
        if row.outcome in ("active", "superseded"):
            assert len(instants) == len(STAGES), row
            ns = [int(getattr(row, f"t_{stage}_ns")) for stage in STAGES]
            assert sum(b - a for a, b in pairwise(ns)) == ns[-1] - ns[0]
            reached += 1
        if not pd.isna(row.carried_by) and row.carried_by in ("request", "reconnect", "earlier_push"):
            assert row.t_observed_ns == row.t_debounced_ns == row.t_enqueued_ns == row.t_dequeued_ns
    assert reached > 100
    assert set(result.deliveries.carried_by.dropna()) >= {"push", "reconnect"}


def test_a_ready_pod_gets_a_forced_push_that_does_not_wait_for_the_debounce() -> None:
    result = run(
        {"scale_up": {"pods": 1}, "ready_after": "2s", "service": "s0", "at": "1s"},
        duration="20s",
        plane={"debounce": {"after": "3s"}, "cpu": 4},
        agent={"init": "0s", "bootstrap": "0s"},
    )
    [pod] = [p for p in result.startups.proxy_id.unique() if p != "p0"]
    forced = [m for m in responses(result, pod) if m.type == "lds"][-1]
    # All types that it watches, at one instant, before anyone hears of the new endpoint.
    assert [m.type for m in responses(result, pod, after=forced.t, until=forced.t + 1e-6)] == [
        "cds",
        "eds",
        "lds",
        "rds",
    ]
    told_p0 = [m.t for m in responses(result, "p0", "eds")]
    assert forced.t < told_p0[0]
    assert types_sent(result, "p0", until=told_p0[0]) == []
    assert told_p0[0] >= forced.t + 3.0
