"""Hot restart: the child takes over while the parent serves (rule W11)."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs

DRAIN = {"drain_time": "3s", "parent_shutdown_time": "4s"}
AT = 5.0


def play(*traffic: dict[str, Any], restarts: object = "5s", **more: Any) -> xs.Result:
    """One Envoy with one listener, hot restarted; its RDS answers as `rds` says."""
    described: dict[str, Any] = {
        "name": "case",
        "duration": "20s",
        "mesh": {"proxies": 1},
        "envoy": {"preset": "envoy", **DRAIN},
        "propagation": {"protocol": more.pop("protocol", "sotw")},
        "control_plane": {
            "kind": "scripted",
            "resources": {
                "clusters": {"count": 1, "type": "static", "endpoints": 1},
                "listeners": {"count": 1, "routes": "rds"},
            },
            "answers": {"rds": more.pop("rds", [{}])},
            "pushes": more.pop("pushes", []),
        },
        "workload": [
            {"hot_restart": {"proxies": ["p0"]}, "at": restarts},
            *({"traffic": {"to": "l0", "rate": "200/s", **one}, "from": "1s"} for one in traffic),
        ],
        "recording": {"states": True},
    }
    described["envoy"] |= more.pop("envoy", {})
    return xs.run(xs.Scenario(**{**described, **more}))


def instant(result: xs.Result, machine: str, state: str) -> float:
    rows = result.states[(result.states.machine == machine) & (result.states.state == state)]
    return float(rows.t_ns.iloc[-1]) / 1e9


def failed(result: xs.Result) -> float:
    return float(result.traffic.requests[result.traffic.outcome != "200"].sum())


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
@pytest.mark.parametrize("connection", ["fresh", "kept"])
def test_no_request_fails_under_traffic(connection: str, protocol: str) -> None:
    result = play({"connection": connection}, protocol=protocol)
    assert failed(result) == 0
    assert result.traffic.requests.sum() == pytest.approx(200 * 19)


def test_the_child_is_a_start_of_its_own_with_the_next_epoch() -> None:
    rows = play().startups
    assert rows.epoch.tolist() == [0, 1]
    assert rows.cause.tolist() == ["start", "hot_restart"]
    assert rows.outcome.tolist() == ["stopped", "live"]


def test_the_parent_drains_2_to_8_ms_after_the_childs_workers_start() -> None:
    result = play({})
    # The message between the two, and the 2 ms that closing listeners takes (W10).
    told = instant(result, "hot_restart", "PARENT_DRAINING") - instant(result, "hot_restart", "PARENT_TOLD")
    assert 0.002 <= told + 0.002 <= 0.008
    assert instant(result, "hot_restart", "PARENT_TOLD") * 1e9 == result.startups.t_workers_started_ns[1]


def test_the_parent_ends_parent_shutdown_time_after_it_was_told() -> None:
    result = play()
    drains, ends = (
        instant(result, "hot_restart", state) for state in ("PARENT_DRAINING", "PARENT_TERMINATED")
    )
    assert ends - drains == pytest.approx(4.0)


def test_a_child_whose_routes_are_3_s_late_makes_the_parent_serve_3_s_longer() -> None:
    at_once, late = play({}), play({}, rds=[{}, {"after": "3s"}])
    for state in ("PARENT_DRAINING", "PARENT_TERMINATED"):
        moved = instant(late, "hot_restart", state) - instant(at_once, "hot_restart", state)
        assert moved == pytest.approx(3.0, abs=0.001)
    assert failed(late) == 0


def test_a_child_that_never_gets_its_routes_leaves_the_parent_serving_for_ever() -> None:
    result = play({}, rds=[{}, {"never": True}], envoy={"initial_fetch_timeout": "0s"})
    assert failed(result) == 0
    assert result.startups.outcome.tolist() == ["live", "initializing"]


def test_requests_shorter_than_parent_shutdown_time_are_never_cut() -> None:
    assert failed(play({"request_time": "3990ms"})) == 0


def test_requests_alive_when_the_parent_ends_are_cut_and_counted() -> None:
    """A request of 5 s begun in the last second before the drain outlives a parent that ends 4 s after it."""
    result = play({"request_time": "5s"})
    assert failed(result) == pytest.approx(200 * 1.0)
    assert set(result.traffic.outcome) == {"200", "UC"}
    [cut] = result.states[result.states.state == "CUT"].detail
    assert cut == "200 by parent shutdown"


def test_a_kept_connection_moves_to_the_child_after_the_first_second_of_a_gradual_drain() -> None:
    result = play({"connection": "kept"})
    closed = instant(result, "connection", "CLOSED") - instant(result, "hot_restart", "PARENT_DRAINING")
    assert 1.0 <= closed <= 1.04  # measured 1.00 to 1.04 s (W9)


def test_an_immediate_drain_closes_it_with_its_next_request() -> None:
    result = play({"connection": "kept"}, envoy={"drain_strategy": "immediate"})
    closed = instant(result, "connection", "CLOSED") - instant(result, "hot_restart", "PARENT_DRAINING")
    assert closed == pytest.approx(0.005, abs=0.0021)  # 200/s; the listener closes 2 ms after the drain began


def test_the_parent_applies_pushes_until_its_child_has_taken_over() -> None:
    push = [{"at": "6s", "type": "rds", "change": ["r0"]}]
    result = play({}, rds=[{}, {"after": "3s"}], pushes=push)
    [delivery] = result.deliveries.itertuples()
    assert delivery.outcome == "active"
    assert delivery.t_active_ns < 6.1e9 + 0.1e9


def test_while_a_process_initializes_its_successor_is_refused() -> None:
    result = play({}, rds=[{}, {"after": "3s"}], restarts=["5s", "6s"])
    assert result.startups.outcome.tolist() == ["stopped", "live", "exited"]
    assert any("still initializing" in text for text in result.warnings)
    assert failed(result) == 0


def test_one_restart_after_another_each_takes_over_from_the_one_before() -> None:
    result = play({}, restarts=["5s", "7s", "12s"])
    assert result.startups.outcome.tolist() == ["stopped", "stopped", "stopped", "live"]
    assert failed(result) == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"envoy": {"preset": "istio"}}, "hot restart disabled since 1.5"),
        ({"control_plane": {"kind": "istiod"}, "envoy": {}}, "hot restart disabled since 1.5"),
    ],
)
def test_istio_runs_envoy_with_hot_restart_disabled(changes: dict[str, Any], reason: str) -> None:
    described = {
        "control_plane": {"kind": "scripted"},
        "workload": [{"hot_restart": {"proxies": 1}, "at": "1s"}],
        **changes,
    }
    with pytest.raises(xs.ScenarioError, match=reason):
        xs.Scenario(**described)


def test_the_epoch_of_a_child_that_was_refused_is_that_of_the_next() -> None:
    """ "Previous envoy process is still initializing": the hot restarter tries again with the same epoch."""
    rows = play(restarts=["500ms", "3s"], rds=[{"after": "1s"}, {}]).startups
    assert rows.epoch.tolist() == [0, 1, 1]
    assert rows.outcome.tolist() == ["stopped", "exited", "live"]


def test_a_second_child_ends_the_parent_of_its_parent_when_it_boots() -> None:
    result = play(restarts=["5s", "7s"])
    rows = result.states[(result.states.machine == "hot_restart") & (result.states.name == "epoch 1")]
    ended = rows[rows.state == "PARENT_TERMINATED"].t_ns.item()
    # Without the second child its parent would end parent-shutdown-time, 4 s, after it was told to drain.
    assert ended == result.startups.t_bootstrapped_ns[2]
    assert result.startups.outcome.tolist() == ["stopped", "stopped", "live"]


def test_what_parent_and_child_poll_are_streams_of_their_own() -> None:
    """Else nobody could tell from the messages which of the two asked."""
    result = play(
        propagation={"strategy": "poll", "refresh_delay": "1s"}, recording={"states": True, "messages": True}
    )
    rows = result.messages
    types = rows[rows.direction == "request"].groupby("stream").type.unique()
    assert [list(one) for one in types] == [["cds"], ["lds"], ["rds"]] * 2
    told = result.states[
        (result.states.machine == "hot_restart") & (result.states.state == "PARENT_TERMINATED")
    ]
    last_ns = rows.groupby("stream").t_ns.max()
    assert (last_ns[[1, 2, 3]] < told.t_ns.iloc[0]).all()
    assert (last_ns[[4, 5, 6]] > told.t_ns.iloc[0]).all()
