"""Ready means CDS, LDS, live and, with DNS capture, the name table; the kubelet sees it at its next probe."""

from __future__ import annotations

import itertools

import pytest

from simulator.agent.readiness import Condition, Readiness, failing_probe_ns, passing_probe_ns
from simulator.agent.settings import READINESS_PROBE, STARTUP_PROBE, ProbeSettings
from simulator.engine.clock import MS, S

C = Condition


@pytest.mark.parametrize("order", list(itertools.permutations([C.CDS, C.LDS, C.LIVE])))
def test_ready_with_the_last_condition_in_whatever_order(order: tuple[Condition, ...]) -> None:
    told: list[str] = []
    readiness = Readiness(False, lambda: told.append("ready"))
    for condition in order[:2]:
        readiness.met(condition)
    assert (readiness.is_ready, readiness.missing, told) == (False, order[2:], [])
    readiness.met(order[2])
    assert (readiness.is_ready, readiness.missing, told) == (True, (), ["ready"])


def test_a_live_envoy_that_got_no_listeners_is_not_ready() -> None:
    readiness = Readiness(False, lambda: None)
    readiness.met(C.LIVE)
    readiness.met(C.CDS)
    readiness.met(C.CDS)
    assert not readiness.is_ready


def test_with_dns_capture_the_name_table_counts() -> None:
    readiness = Readiness(True, lambda: None)
    for condition in (C.CDS, C.LDS, C.LIVE):
        readiness.met(condition)
    assert readiness.missing == (C.NAME_TABLE,)
    readiness.met(C.NAME_TABLE)
    assert readiness.is_ready


def test_without_dns_capture_a_name_table_changes_nothing() -> None:
    readiness = Readiness(False, lambda: None)
    readiness.met(C.NAME_TABLE)
    assert readiness.missing == (C.CDS, C.LDS, C.LIVE)


def test_ready_is_told_once_and_stays() -> None:
    told: list[str] = []
    readiness = Readiness(False, lambda: told.append("ready"))
    for condition in (C.CDS, C.LDS, C.LIVE, C.CDS, C.LIVE):
        readiness.met(condition)
    assert told == ["ready"]


@pytest.mark.parametrize(
    ("ready_ms", "passes_ms"),
    [(0, 3250), (3250, 3250), (3251, 4250), (9000, 9250)],
    ids=["ready before the container is probed", "just at a tick", "just behind one", "later"],
)
def test_a_startup_probe_passes_at_its_first_tick_after_readiness(ready_ms: int, passes_ms: int) -> None:
    assert passing_probe_ns(STARTUP_PROBE, 250 * MS, 3 * S, ready_ms * MS) == passes_ms * MS


def test_without_a_startup_probe_one_misses_up_to_a_whole_readiness_period() -> None:
    assert passing_probe_ns(READINESS_PROBE, S, 3 * S, S + 1) == 16 * S


def test_a_container_that_is_never_ready_fails_with_the_last_allowed_probe() -> None:
    assert failing_probe_ns(STARTUP_PROBE, 250 * MS, 3 * S) == 3250 * MS + 599 * S
    assert failing_probe_ns(ProbeSettings(2 * S, 3), 0, 5 * S) == 10 * S
