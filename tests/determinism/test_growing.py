"""Pods that come in the run and stay become rows, and give the tables that they give message by message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as xs
from simulator.results.tables import build_tables
from simulator.scenario.fleet.growing_world import GrowingFleetWorld
from simulator.scenario.fleet.starts import PLAYED, SETTLED, TO_COME
from tests.determinism.engine_equality import assert_equal, by_rows, ended_as
from tests.determinism.test_starts import assert_starts_are_equal
from tests.start_scenarios import growing

FAST = (2, 10)
SLOW = tuple(seed for seed in range(30) if seed not in FAST)


@pytest.mark.parametrize("seed", FAST)
def test_random_meshes_that_get_pods_have_equal_tables(seed: int) -> None:
    assert_starts_are_equal(growing(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SLOW)
def test_more_random_meshes_that_get_pods_have_equal_tables(seed: int) -> None:
    assert_starts_are_equal(growing(seed))


def mesh(*entries: Any, **keys: Any) -> xs.Scenario:
    return xs.Scenario(
        name="growing",
        seed=3,
        duration="14s",
        mesh={"proxies": 12, "services": 3},
        control_plane={"kind": "istiod"},
        propagation={"strategy": "push", "protocol": "delta"},
        recording={"messages": False, "states": False, "queues": False},
        workload=[{"edit": "VirtualService", "every": "900ms", "from": "100ms"}, *entries],
    ).with_(**keys)


def world(of: xs.Scenario) -> GrowingFleetWorld:
    """At the end of the run."""
    return ended_as(GrowingFleetWorld, of)


def phases(of: xs.Scenario) -> list[int]:
    """Of the pods that come and stay, how many dial, are played by messages, are rows, are still to come."""
    at_end = world(of)
    phase = at_end._starts.phase[at_end.rows_of_start :]
    counts: list[int] = np.bincount(phase, minlength=4).tolist()
    return counts


UP = {"scale_up": {"pods": 5}, "service": "s1", "at": "2s"}
ROLL = {"rollout": "s0", "at": "1s", "termination_drain": "500ms"}


@pytest.mark.parametrize("keys", [{}, {"control_plane.replicas": 2, "propagation.protocol": "sotw"}])
def test_pods_of_a_scale_up_are_rows_once_they_are_ready(keys: dict[str, Any]) -> None:
    of = mesh(UP, {"traffic": {"from": "any", "to": "s0", "rate": "9/s"}}, **keys)
    assert_equal(of)
    assert phases(of) == [0, 0, 5, 0]
    recorder = by_rows(of)
    assert len(recorder.proxy_push_columns["proxy"]) > 0
    pods = build_tables(recorder)["traffic"]
    assert pods["proxy_id"].str.startswith("s1-0-").any()


def test_pods_of_the_last_rollout_are_rows_and_those_before_it_are_not() -> None:
    of = mesh(ROLL)
    assert_equal(of)
    assert phases(of) == [0, 0, 4, 0]
    again = of.with_(workload=[*of.workload, {**ROLL, "at": "13s"}])
    assert_equal(again)
    counts = phases(again)
    assert counts[SETTLED] == 0
    assert counts[PLAYED] + counts[TO_COME] == 4


def test_a_pod_that_is_not_ready_yet_is_played_by_messages() -> None:
    of = mesh({**UP, "ready_after": "20s"})
    assert_equal(of)
    assert phases(of) == [0, 5, 0, 0]


def test_no_pod_is_a_row_before_the_push_for_its_readiness() -> None:
    edits = {"edit": "VirtualService", "every": "20ms", "from": "2s", "until": "5s"}
    of = mesh(UP, edits, **{"control_plane.debounce": {"after": "0s", "max": "1s"}, "duration": "7s"})
    assert_equal(of)
    assert phases(of) == [0, 0, 5, 0]


def test_new_pods_that_somebody_may_restart_are_no_rows() -> None:
    of = mesh(UP, {"restart": {"proxies": 2}, "at": "8s"})
    assert_equal(of)
    at_end = world(of)
    assert at_end.rows == at_end.rows_of_start > 0


def test_new_pods_lose_their_istiod_as_rows_and_come_back() -> None:
    of = mesh(UP, {"restart_istiod": 0, "at": "9s", "down_for": "500ms"}, duration="26s")
    assert_equal(of)
    assert phases(of) == [0, 0, 5, 0]
    back = build_tables(by_rows(of))["deliveries"]
    back = back[back["carried_by"] == "reconnect"]
    assert back["proxy_id"].str.startswith("s1-0-").any()


def test_new_pods_that_renew_their_certificates_are_no_rows() -> None:
    certificates = {"agent.certificates.provider": "istiod"}
    of = mesh(UP, **certificates)
    assert_equal(of)
    assert phases(of) == [0, 0, 5, 0]
    short = mesh(UP, **certificates, **{"agent.certificates.ttl": "14s"})
    assert_equal(short)
    at_end = world(short)
    assert at_end.rows == at_end.rows_of_start
