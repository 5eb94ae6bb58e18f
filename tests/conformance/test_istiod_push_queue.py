"""The push queue, the throttle, and readers that do not read."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import LATENCY, metric, of_proxy, responses, run, types_sent

LISTENER = 300_000
"""Bytes; a sidecar has three of them here."""

LDS_BYTES = 3 * LISTENER + 60
WINDOW = 1 << 20


def edits(*at: str, name: str = "ap") -> dict[str, object]:
    """Edits that push LDS and nothing else, of another object each time."""
    return {"edit": "AuthorizationPolicy", "namespace": "ns0", "at": list(at)}


def slow(result_proxies: int | list[str], at: str = "0.5s", **more: object) -> dict[str, object]:
    """Proxies whose agents stop reading."""
    return {"slow_reader": {"proxies": result_proxies}, "at": at, **more}


def each_second(count: int, first: int = 1) -> list[str]:
    """So many instants, a second apart."""
    return [f"{first + k}s" for k in range(count)]


def run_slow(*workload: dict[str, Any], **keywords: Any) -> xs.Result:
    """A mesh whose responses fill the window of a slow reader within a few pushes."""
    keywords.setdefault("in_mesh", {"sizes": {"listener": LISTENER}})
    return run(*workload, **keywords)


def times(result: xs.Result, proxy: str, type_: str | None = None) -> list[float]:
    """When responses to a proxy left."""
    return [m.t for m in responses(result, proxy, type_)]


# --- merging


def test_five_enqueues_while_pending_are_one_push_with_the_oldest_start() -> None:
    result = run(
        edits("1s", "1.3s", "1.6s", "1.9s", "2.2s"),
        proxies=3,
        duration="30s",
        costs={"push": "5s"},
        plane={"push_throttle": 1, "cpu": 8},
    )
    assert len(result.pushes) == 5
    rows = sorted(result.proxy_pushes.itertuples(), key=lambda row: row.t_dequeued_ns)
    first, second, third = (row.proxy_id for row in rows[:3])
    # Whoever is in hand gets exactly one more, behind those who were waiting.
    assert [row.proxy_id for row in rows] == [first, second, third, first]
    assert [row.t_dequeued_ns / 1e9 for row in rows] == [1.1, 6.1, 11.1, 16.1]
    # Start is that of the oldest request merged; the push is known by the newest.
    assert [row.t_start_ns / 1e9 for row in rows] == [1.1, 1.1, 1.1, 1.4]
    assert [row.push_id for row in rows] == [0, 4, 4, 4]
    # What was merged arrived: nothing is dropped.
    assert set(result.deliveries.outcome) == {"active"}
    merged = result.deliveries[result.deliveries.proxy_id == second]
    assert set(merged.carried_by) == {"push"}
    assert list(merged.push_id) == [0, 1, 2, 3, 4]
    assert set(merged.t_sent_ns) == {11_100_000_000}


def test_a_merged_request_counts_all_of_its_reasons() -> None:
    result = run(
        edits("1s", "1.3s", "1.6s"),
        {"endpoints": "s0", "at": "1.9s"},
        proxies=2,
        duration="30s",
        costs={"push": "5s"},
        plane={"push_throttle": 1, "cpu": 8},
    )
    # 1 + 2 of the one that was in hand, 3 of the one that waited; the endpoint event once for each.
    assert metric(result, "pilot_push_triggers", type="config") == 6
    assert metric(result, "pilot_push_triggers", type="endpoint") == 2


# --- the throttle


def test_no_more_proxies_are_pushed_to_at_a_time_than_the_throttle_says() -> None:
    result = run(
        edits("1s"), proxies=10, duration="30s", costs={"push": "1s"}, plane={"push_throttle": 3, "cpu": 64}
    )
    dequeued = sorted(t_ns / 1e9 for t_ns in result.proxy_pushes.t_dequeued_ns)
    assert dequeued == [1.1] * 3 + [2.1] * 3 + [3.1] * 3 + [4.1]


def test_a_slot_is_taken_before_the_dequeue_and_held_until_the_push_is_done() -> None:
    result = run(
        edits("1s"), proxies=4, duration="30s", costs={"push": "1s"}, plane={"push_throttle": 2, "cpu": 64}
    )
    rows = sorted(result.proxy_pushes.itertuples(), key=lambda row: row.t_dequeued_ns)
    assert [row.t_dequeued_ns for row in rows[2:]] == [row.t_sent_ns for row in rows[:2]]


# --- readers that do not read


def test_a_reader_blocks_when_its_window_and_both_buffers_of_the_agent_are_full() -> None:
    result = run_slow(slow(["p0"]), edits(*each_second(10)), duration="12s")
    # One in hand, one buffered; then grpc-go takes a message as long as any of the window is left.
    in_window = -(-WINDOW // LDS_BYTES)
    assert times(result, "p0") == [1.1 + k for k in range(2 + in_window)]


def test_it_blocks_sooner_when_responses_are_larger() -> None:
    result = run(
        slow(["p0"]), edits(*each_second(10)), duration="12s", in_mesh={"sizes": {"listener": 2_000_000}}
    )
    assert times(result, "p0") == [1.1, 2.1, 3.1]


def test_small_responses_do_not_block_it_for_long() -> None:
    result = run(slow(["p0"]), edits(*each_second(10)), duration="12s")
    assert len(times(result, "p0")) == 10


def test_a_blocked_reader_answers_keepalive_and_keeps_its_stream() -> None:
    result = run_slow(slow(["p0"], lasts="300s"), edits(*each_second(10)), duration="320s")
    sent = responses(result, "p0")
    assert len({m.stream for m in sent}) == 1
    assert metric(result, "pilot_total_xds_internal_errors") == 0
    # The first Send that was blocked returns when reading begins again; then one merged push, and all of it
    # arrives.
    later = [m.t for m in sent if m.t > 11]
    assert later == [pytest.approx(300.5, abs=0.01)] * 2
    assert set(result.deliveries.outcome) == {"active"}


@pytest.mark.parametrize("blocked", [1, 2])
def test_as_many_blocked_readers_as_slots_stop_every_other_push(blocked: int) -> None:
    result = run_slow(
        slow([f"p{k}" for k in range(blocked)]),
        edits(*each_second(12)),
        proxies=6,
        duration="15s",
        plane={"push_throttle": 2},
    )
    for proxy in ("p2", "p3", "p4", "p5"):
        sent = times(result, proxy)
        if blocked == 2:
            # The blocking push is the fifth; whether one of the others was served before it is chance.
            assert sent[:4] == [1.1, 2.1, 3.1, 4.1]
            assert len(sent) <= 5
        else:
            assert len(sent) == 12
    waiting = result.queues[(result.queues.queue == "push")].depth.iloc[-1]
    assert waiting == (4 if blocked == 2 else 0)


def test_requests_and_initial_configurations_are_served_while_the_push_engine_stands_still() -> None:
    result = run_slow(
        slow(["p0", "p1"]),
        edits(*each_second(8)),
        {"restart": {"proxies": ["p5"]}, "at": "12s"},
        proxies=6,
        duration="20s",
        plane={"push_throttle": 2},
    )
    assert times(result, "p4")[-1] < 6
    fresh = types_sent(result, "p5", after=12.0)
    # Envoy asks for one after the other; EDS once more after CDS (forceEDSPush) is not asked for at first.
    assert fresh == ["cds", "eds", "lds", "rds"]
    [startup] = [row for row in of_proxy(result.startups, "p5") if row.cause == "restart"]
    assert startup.outcome == "live"
    # And what the stuck pushes were about reached it by the answers.
    stuck = [row for row in of_proxy(result.deliveries, "p5") if row.carried_by == "reconnect"]
    assert stuck
    assert all(row.outcome == "active" for row in stuck)
    by_p4 = [row.outcome for row in of_proxy(result.deliveries, "p4")]
    assert by_p4.count("pending") >= 3


def test_the_others_go_on_when_a_blocked_reader_reads_again() -> None:
    result = run_slow(
        slow(["p0", "p1"], lasts="19.5s"),
        edits(*each_second(12)),
        proxies=4,
        duration="25s",
        plane={"push_throttle": 2},
    )
    for proxy in ("p2", "p3"):
        assert times(result, proxy)[-1] == pytest.approx(20.0, abs=0.01)
    assert set(result.deliveries.outcome) <= {"active", "superseded"}


def test_a_blocked_reader_that_is_gone_gives_its_slot_back() -> None:
    result = run_slow(
        slow(["p0"]),
        edits(*each_second(12)),
        {"restart": {"proxies": ["p0"]}, "at": "9s"},
        proxies=2,
        duration="15s",
        plane={"push_throttle": 1},
    )
    # The restarted Envoy's stream is new, so the old one's slot is free again.
    assert next(t for t in times(result, "p1") if t > 6) == pytest.approx(9.0, abs=0.01 + LATENCY)


def test_a_push_that_waits_for_a_core_when_its_stream_ends_costs_nothing_any_more() -> None:
    # One core, two pushes of 5 s: the second proxy restarts before its push has begun.
    result = run(
        edits("1s"),
        {"restart": {"proxies": ["p0", "p1"]}, "at": "2s"},
        proxies=2,
        duration="30s",
        costs={"push": "5s"},
        plane={"cpu": 1},
        agent={"bootstrap": "0s"},
    )
    # The job that had begun ends at 6.1 s, the other is gone: both are answered then.
    first = [times(result, proxy)[0] for proxy in ("p0", "p1")]
    assert first == [pytest.approx(6.1, abs=0.01)] * 2
    assert set(result.deliveries.carried_by) == {"reconnect"}


def test_each_send_time_is_that_of_its_own_response() -> None:
    result = run(
        slow(["p0"], lasts="29.5s"),
        {"edit": "VirtualService", "at": each_second(9)},
        duration="40s",
        in_mesh={"sizes": {"listener": 2_000_000, "route": 2_000_000, "cluster": 2_000_000}},
    )
    sent = responses(result, "p0")
    # CDS, LDS and RDS of the first push fill the buffers and the window; of the second, CDS is blocked until
    # reading begins again, and the others leave at once, as the last, merged push does.
    assert [m.t for m in sent[:3]] == [pytest.approx(1.1, abs=0.01)] * 3
    assert all(m.t == pytest.approx(30.0, abs=0.01) for m in sent[3:])
    assert len(sent) == 9
    assert metric(result, "pilot_xds_send_time_count") == len(sent)
    assert metric(result, "pilot_xds_send_time_sum") == pytest.approx(30.0 - 2.1, abs=0.01)
