"""When istiod pushes, end to end: from what is written to the API server to what leaves on the streams."""

from __future__ import annotations

import pytest

from tests.conformance.istiod import LATENCY, every, histogram, mesh, pushes_at, responses, run, seconds


def edits(at: object) -> dict[str, object]:
    """Edits of one object."""
    return {"edit": "AuthorizationPolicy", "name": "ap", "namespace": "ns0", "at": at}


def test_an_isolated_edit_leaves_istiod_after_exactly_the_quiet_time() -> None:
    result = run(edits("1s"), proxies=3)
    assert pushes_at(result) == [1.1]
    for proxy in ("p0", "p1", "p2"):
        [sent] = responses(result, proxy, after=1.0)
        assert (sent.t, sent.type) == (1.1, "lds")
    rows = result.deliveries
    assert set(rows.t_received_ns) == {round((1.1 + LATENCY) * 1e9)}
    assert set(rows.t_sent_ns) == {1_100_000_000}


def test_the_watch_and_the_registry_stand_before_the_debounce() -> None:
    result = run(
        {"endpoints": "s0", "at": "1s"},
        costs={"endpoint_slice_delay": "30ms", "watch_delay": "7ms", "registry_task": "400ms"},
    )
    assert pushes_at(result) == [pytest.approx(1.537, abs=1e-9)]
    [row] = result.deliveries.itertuples()
    assert row.t_observed_ns == 1_437_000_000


def test_configuration_does_not_wait_in_the_queue_of_the_registry() -> None:
    result = run(
        {"endpoints": "s0", "at": "1s"},
        edits("1.1s"),
        costs={"registry_task": "3s"},
    )
    assert pushes_at(result) == [1.2, 4.1]
    assert [list(kinds) for kinds in result.pushes.kinds] == [["AuthorizationPolicy"], ["Endpoints"]]


def test_tasks_of_the_registry_run_one_after_the_other() -> None:
    result = run(
        {"endpoints": "s0", "at": "1s"},
        {"endpoints": "s1", "at": "1s"},
        {"edit": "ServiceEntry", "service": "s0", "at": "1s"},
        costs={"registry_task": "1s"},
    )
    assert seconds(result.deliveries.t_observed_ns.drop_duplicates()) == [2.0, 3.0, 4.0]
    assert pushes_at(result) == [2.1, 3.1, 4.1]


def test_a_task_of_the_registry_that_fails_is_queued_again_a_second_later() -> None:
    result = run(
        *({"endpoints": f"s{n}", "at": "1s"} for n in range(20)),
        services=20,
        duration="30s",
        plane={"registry": {"failure_rate": 0.5}},
    )
    waits = (result.deliveries.t_observed_ns - 1_000_000_000) / 1e9
    assert set(waits % 1) == {0.0}
    assert set(waits) >= {0.0, 1.0, 2.0}


@pytest.mark.slow
def test_a_stream_of_edits_that_never_pauses_is_pushed_when_the_maximum_is_seen_to_be_reached() -> None:
    result = run(edits(every(50, 0, 60_000)), duration="61s")
    assert pushes_at(result) == [10.0, 20.05, 30.1, 40.15, 50.2, 60.05]
    assert seconds(result.pushes.t_first_event_ns) == [0.0, 10.05, 20.1, 30.15, 40.2, 50.25]
    assert sum(result.pushes.events_merged) == 1200
    # An edit of the same object may be overtaken by the next one, and the last one arrives.
    assert set(result.deliveries.outcome) == {"active", "superseded"}
    assert result.deliveries.outcome.iloc[-1] == "active"


def test_a_long_build_of_the_push_context_gathers_what_comes_meanwhile() -> None:
    result = run(edits("0s"), edits(every(50, 200, 34_000)), duration="34s", costs={"push_context": "30s"})
    assert pushes_at(result) == [0.1, 30.1]
    # 0.20, 0.25, ... 30.10 s: the event of the very instant goes before the end of the push.
    assert list(result.pushes.events_merged) == [1, 599]
    # What the first push was about left when its context was built, not before.
    assert responses(result)[0].t == 30.1


@pytest.mark.slow
def test_a_stream_alone_waits_for_the_maximum_and_then_for_each_build() -> None:
    result = run(edits(every(50, 0, 75_000)), duration="75s", costs={"push_context": "30s"})
    assert pushes_at(result) == [10.0, 40.0, 70.0]


def test_a_batch_that_is_quiet_by_the_end_of_a_build_follows_at_once() -> None:
    result = run(edits(every(500, 0, 7_000)), duration="7s", costs={"push_context": "3s"})
    assert pushes_at(result) == [0.1, 3.1, 6.1]


def test_only_the_build_holds_the_next_push_back_not_the_proxies() -> None:
    # The push takes 20 s of one of two cores; the next context is built on the other meanwhile.
    result = run(edits("0s"), edits("1s"), duration="5s", costs={"push": "20s"}, plane={"cpu": 2})
    assert pushes_at(result) == [0.1, 1.1]
    assert responses(result) == []


@pytest.mark.parametrize(("spacing", "pushes"), [(90, 6), (101, 595)])
@pytest.mark.slow
def test_one_step_across_the_quiet_time_turns_six_pushes_a_minute_into_six_hundred(
    spacing: int, pushes: int
) -> None:
    result = run(edits(every(spacing, 0, 60_000)), duration="61s")
    assert len(result.pushes) == pytest.approx(pushes, abs=1)


def test_endpoints_wait_behind_configuration_in_the_same_debounce() -> None:
    result = run(edits("1s"), {"endpoints": "s0", "at": "1.06s"})
    assert pushes_at(result) == [1.16]
    assert [list(kinds) for kinds in result.pushes.kinds] == [["AuthorizationPolicy", "Endpoints"]]


def test_without_the_debounce_of_endpoints_they_leave_at_once_even_during_a_build() -> None:
    result = run(
        edits("1s"),
        {"endpoints": "s0", "at": ["2s", "2.01s"]},
        {"endpoints": "s1", "at": "9s"},
        costs={"push_context": "3s"},
        version="1.30",  # which builds no context for endpoints alone
        plane={"debounce": {"endpoints": False}},
    )
    sent = [(m.t, m.type) for m in responses(result)]
    assert sent == [(2.0, "eds"), (2.01, "eds"), (4.1, "lds"), (9.0, "eds")]
    # And its metric knows of the one batch only.
    assert histogram(result, "pilot_debounce_time") == (1, pytest.approx(3.1))


def test_the_order_of_the_fan_out_is_random() -> None:
    # One core, and each push takes 10 ms of it: the order of sending is that of the queue.
    rows = run(
        edits(["1s", "2s"]), proxies=30, costs={"push": "10ms"}, plane={"cpu": 1}
    ).proxy_pushes.sort_values("t_sent_ns")
    orders = [list(of_push.proxy_id) for _, of_push in rows.groupby("push_id")]
    assert len(orders) == 2
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1] != sorted(orders[1])


def test_a_throttle_of_one_takes_as_long_as_all_pushes_one_after_the_other() -> None:
    result = run(
        edits("1s"),
        proxies=40,
        costs={"push": "10ms", "generate": "2ms"},
        plane={"push_throttle": 1, "cpu": 8},
    )
    [last] = seconds(result.pushes.t_last_sent_ns)
    assert last == pytest.approx(1.1 + 40 * 0.012, abs=1e-9)


def test_a_wide_throttle_is_bound_by_the_cores() -> None:
    result = run(edits("1s"), proxies=40, costs={"push": "10ms"}, plane={"push_throttle": 100, "cpu": 4})
    [last] = seconds(result.pushes.t_last_sent_ns)
    assert last == pytest.approx(1.1 + 40 / 4 * 0.01, abs=1e-9)


def test_the_scenario_of_these_tests_is_free() -> None:
    assert set(mesh().control_plane.costs.given) >= {
        "push_context",
        "generate",
        "watch_delay",
        "token_review",
    }
