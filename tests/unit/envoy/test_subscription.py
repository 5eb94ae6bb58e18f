"""initial_fetch_timeout: armed by the subscription, disarmed by an update or a rejection, fired at most
once."""

from __future__ import annotations

import pytest

from simulator.engine.clock import S
from simulator.engine.events import Clock
from simulator.envoy.process import Process
from simulator.envoy.subscription import Subscription
from simulator.xds.resource_types import EDS
from simulator.xds.resources import Names
from tests.unit.envoy.conftest import MakeProcess


def started(
    process: Process, names: str = "abc", has_timer: bool = True
) -> tuple[Subscription, list[list[str]]]:
    """A subscription, and what its owner is told."""
    told: list[list[str]] = []
    subscription = Subscription(process, EDS, Names(names), has_timer, lambda names: told.append(list(names)))
    subscription.start()
    return subscription, told


def test_what_was_not_answered_times_out_once(clock: Clock, process: Process) -> None:
    subscription, told = started(process)
    clock.run(2 * S - 1)
    assert told == []
    clock.run(10 * S)
    assert told == [["a", "b", "c"]]
    assert not subscription.is_waiting
    assert process.row.fetch_timeouts == {"eds": 3}


def test_an_answer_to_some_leaves_the_others_waiting_t3(clock: Clock, process: Process) -> None:
    subscription, told = started(process)
    assert list(subscription.answered(Names("bx"))) == ["b"]
    clock.run(10 * S)
    assert told == [["a", "c"]]
    assert process.row.fetch_timeouts == {"eds": 2}


def test_an_answer_to_all_disarms_the_timer(clock: Clock, process: Process) -> None:
    subscription, told = started(process)
    subscription.answered(Names("abc"), "rejected")
    clock.run(10 * S)
    assert clock.events == 0
    assert told == []
    assert process.row.fetch_timeouts == {}
    assert not subscription.answered(Names("abc")), "a later answer finds nobody waiting"


@pytest.mark.parametrize(("timeout_ns", "has_timer"), [(0, True), (2 * S, False)])
def test_without_a_timer_it_waits_for_ever_t5(
    clock: Clock, make_process: MakeProcess, timeout_ns: int, has_timer: bool
) -> None:
    process = make_process(initial_fetch_timeout_ns={"eds": timeout_ns})
    subscription, told = started(process, has_timer=has_timer)
    clock.run(1000 * S)
    assert told == []
    assert subscription.is_waiting


def test_names_dropped_are_not_waited_for(clock: Clock, process: Process) -> None:
    subscription, told = started(process)
    subscription.drop(Names("ab"))
    assert subscription.is_waiting
    subscription.drop(Names("c"))
    assert not subscription.is_waiting
    clock.run(10 * S)
    assert told == []


def test_a_removed_resource_takes_the_timer_away_and_releases_nobody_t7(
    clock: Clock, process: Process
) -> None:
    subscription, told = started(process)
    subscription.never_release(Names("abc"))
    clock.run(10 * S)
    assert told == []
    assert process.row.fetch_timeouts == {}


def test_a_timer_waits_for_the_main_thread_and_an_answer_before_it_wins(
    clock: Clock, process: Process
) -> None:
    subscription, told = started(process)
    process.main_thread.submit(3 * S, lambda: subscription.answered(Names("abc")) and None)
    clock.run(10 * S)
    assert told == []


def test_a_process_that_ended_times_nothing_out(clock: Clock, process: Process) -> None:
    _, told = started(process)
    process.is_exited = True
    clock.run(10 * S)
    assert told == []


def test_the_first_subscription_of_a_process_is_told_once(make_process: MakeProcess) -> None:
    process = make_process()
    firsts: list[None] = []
    process.on_first_subscription = lambda: firsts.append(None)
    started(process)
    started(process)
    assert len(firsts) == 1
