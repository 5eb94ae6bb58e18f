from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simpy import Environment

from simulator.engine.clock import MS, S
from simulator.engine.events import Band, Clock, Deadlines, EventBudgetExceeded

Log = list[tuple[int, str]]


def test_run_includes_its_last_instant_and_leaves_the_clock_there(clock: Clock) -> None:
    log: list[int] = []
    for t_ns in (5, 10, 11):
        clock.at(t_ns, lambda: log.append(clock.now_ns))
    clock.run(10)
    assert log == [5, 10]
    assert clock.now_ns == 10
    clock.run(20)
    assert log == [5, 10, 11]
    assert clock.now_ns == 20


def test_what_happens_at_the_last_instant_may_cause_more_at_the_last_instant(clock: Clock) -> None:
    log: list[str] = []
    clock.at(10, lambda: clock.after(0, lambda: log.append("caused"), band=Band.COMPLETION, entity=2**40 - 1))
    clock.run(10)
    assert log == ["caused"]


def test_running_to_the_present_handles_what_is_due_now(clock: Clock) -> None:
    log: list[int] = []
    clock.after(0, lambda: log.append(0))
    clock.run(0)
    assert log == [0]


def test_ties_go_by_band_then_entity_then_insertion(clock: Clock) -> None:
    keys = [(band, entity, copy) for band in Band for entity in (0, 1, 2**40 - 1) for copy in (0, 1)]
    log: list[tuple[int, int, int]] = []
    insertion_last = sorted(keys, key=lambda key: key[2])
    for key in sorted(insertion_last, key=lambda key: (-key[0], -key[1])):
        clock.at(7, lambda key=key: log.append(key), band=key[0], entity=key[1])  # type: ignore[misc]
    clock.run(7)
    assert log == keys


def test_the_contracts_order_workload_then_messages_then_timers_then_completions_then_dispatches() -> None:
    order = [Band.WORKLOAD, Band.MESSAGE, Band.TIMER, Band.COMPLETION, Band.DISPATCH]
    assert sorted(Band) == order


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(Band), st.integers(0, 2)), max_size=20))
def test_the_order_is_total_whatever_the_insertions(entries: list[tuple[int, Band, int]]) -> None:
    clock, log = Clock(), []
    for number, (t_ns, band, entity) in enumerate(entries):
        key = (t_ns, band, entity, number)
        clock.at(t_ns, lambda key=key: log.append(key), band=band, entity=entity)  # type: ignore[misc]
    clock.run(5)
    assert log == sorted(log)
    assert len(log) == len(entries) == clock.events


def test_a_cancelled_callback_does_not_happen_and_does_not_count(clock: Clock) -> None:
    log: list[str] = []
    kept = clock.after(5, lambda: log.append("kept"))
    dropped = clock.after(5, lambda: log.append("dropped"))
    dropped.cancel()
    assert (kept.is_pending, dropped.is_pending) == (True, False)
    clock.run(10)
    assert log == ["kept"]
    assert clock.events == 1
    assert not kept.is_pending


def test_cancelling_what_happened_changes_nothing(clock: Clock) -> None:
    log: list[str] = []
    entry = clock.after(5, lambda: log.append("once"))
    clock.run(5)
    entry.cancel()
    clock.run(10)
    assert log == ["once"]
    assert clock.events == 1


def test_one_of_two_at_the_same_instant_may_cancel_the_other(clock: Clock) -> None:
    log: list[str] = []
    timer = clock.at(5, lambda: log.append("timed out"), band=Band.TIMER)
    clock.at(5, timer.cancel, band=Band.MESSAGE)
    clock.run(5)
    assert log == []
    assert clock.events == 1


def test_a_callback_knows_when_it_happens(clock: Clock) -> None:
    clock.run(3)
    assert clock.at(10, int).time_ns == 10
    assert clock.after(10, int).time_ns == 13


def test_the_past_is_refused(clock: Clock) -> None:
    clock.run(10)
    with pytest.raises(AssertionError, match="1 ns in the past"):
        clock.at(9, int)
    with pytest.raises(AssertionError, match="5 ns in the past"):
        clock.after(-5, int)
    with pytest.raises(AssertionError, match="before now"):
        clock.run(9)


def test_what_has_stood_since_an_earlier_instant_leads_to_what_is_still_to_come(clock: Clock) -> None:
    seen: list[int] = []
    clock.run(10)
    with clock.as_of(4):
        assert clock.now_ns == 4
        clock.after(6, lambda: seen.append(clock.now_ns))
        clock.after(9, lambda: seen.append(clock.now_ns))
    assert clock.now_ns == 10
    clock.run(20)
    assert seen == [10, 13]


def test_what_would_have_happened_already_is_refused(clock: Clock) -> None:
    clock.run(10)
    with pytest.raises(AssertionError, match="before now"), clock.as_of(4):
        clock.after(5, int)
    with pytest.raises(AssertionError, match="still to come"), clock.as_of(11):
        pass


def test_time_that_is_no_whole_number_is_refused(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="not in float"):
        clock.after(1.5, int)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="whole nanoseconds"):
        Clock(Environment(0.0))


@pytest.mark.parametrize("entity", [-1, 2**40])
def test_an_entity_that_would_leave_its_band_is_refused(clock: Clock, entity: int) -> None:
    with pytest.raises(AssertionError, match="leave its band"):
        clock.after(1, int, entity=entity)


def test_an_environment_that_already_ran_is_taken_over_where_it_stands() -> None:
    env = Environment(0)
    env.timeout(40)
    env.run(50)
    clock = Clock(env)
    assert clock.env is env
    assert clock.now_ns == 50


def test_something_that_rearms_itself_without_end_is_stopped_by_the_budget() -> None:
    clock = Clock(event_budget=1000)

    def again() -> None:
        clock.after(0, again)

    again()
    with pytest.raises(EventBudgetExceeded, match="more than 1000 events by 0 ns"):
        clock.run(1)


def test_a_budget_that_just_suffices_is_no_error() -> None:
    clock = Clock(event_budget=3)
    for t_ns in (1, 2, 3):
        clock.at(t_ns, int)
    clock.run(10)
    assert clock.events == 3


def test_an_exception_in_a_callback_leaves_run_as_it_is(clock: Clock) -> None:
    def fail() -> None:
        raise LookupError("in the model")

    clock.after(5, fail)
    with pytest.raises(LookupError, match="in the model"):
        clock.run(10)
    assert clock.now_ns == 5


def test_a_process_runs_beside_callbacks_and_before_them_at_one_instant(clock: Clock) -> None:
    log: Log = []

    def loop() -> Generator[Any, Any, None]:
        for _ in range(2):
            yield clock.env.timeout(10)
            log.append((clock.now_ns, "process"))

    clock.at(10, lambda: log.append((10, "callback")), band=Band.WORKLOAD)
    clock.process(loop())
    clock.run(100)
    assert log == [(10, "process"), (10, "callback"), (20, "process")]


def test_a_failing_process_fails_the_run(clock: Clock) -> None:
    def fail() -> Generator[Any, Any, None]:
        yield clock.env.timeout(1)
        raise LookupError("in the process")

    clock.process(fail())
    with pytest.raises(LookupError, match="in the process"):
        clock.run(10)


def test_a_clock_far_from_zero_loses_no_nanosecond(clock: Clock) -> None:
    clock.run(2**62)
    log: list[int] = []
    clock.after(1, lambda: log.append(clock.now_ns))
    clock.run(2**62 + 2)
    assert log == [2**62 + 1]


# Deadlines


def test_equal_deadlines_expire_in_the_order_they_were_armed(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    for t_ns in (0, 3, 3, 8):
        clock.run(t_ns)
        name = f"armed at {t_ns} as number {len(log)}"
        deadlines.arm(15, lambda name=name: log.append((clock.now_ns, name)))  # type: ignore[misc]
    clock.run(100)
    assert [t_ns for t_ns, _ in log] == [15, 18, 18, 23]
    assert clock.events == 4


def test_deadlines_of_different_durations_expire_by_time(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    for duration_ns in (30, 10, 20):
        deadlines.arm(duration_ns, lambda d=duration_ns: log.append(d))  # type: ignore[misc]
    clock.run(100)
    assert log == [10, 20, 30]


def test_a_cancelled_deadline_neither_expires_nor_counts(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    armed = [deadlines.arm(15, lambda i=i: log.append(i)) for i in range(4)]  # type: ignore[misc]
    assert armed[0].due_ns == 15
    armed[0].cancel()
    armed[2].cancel()
    assert [deadline.is_pending for deadline in armed] == [False, True, False, True]
    clock.run(100)
    assert log == [1, 3]
    assert clock.events == 2
    assert not armed[1].is_pending


def test_ten_thousand_cancelled_deadlines_put_one_entry_on_the_agenda(clock: Clock) -> None:
    deadlines = Deadlines(clock)
    for _ in range(10_000):
        deadlines.arm(15 * S, int).cancel()
    agenda = clock.env._queue
    assert len(agenda) == 1
    clock.run(20 * S)
    assert clock.events == 0


def test_answers_that_come_quickly_cost_one_wake_up_per_duration_not_per_request(clock: Clock) -> None:
    deadlines = Deadlines(clock)
    wake_ups = 0
    for second in range(1000):
        clock.run(second * S)
        deadline = deadlines.arm(15 * S, int)
        before = clock.env.peek()
        clock.after(10 * MS, deadline.cancel)
        clock.run(second * S + 20 * MS)
        wake_ups += clock.env.peek() != before
    assert wake_ups < 1000 / 15 + 2
    assert clock.events == 1000  # the answers


def test_cancelling_an_expired_deadline_changes_nothing(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    deadline = deadlines.arm(5, lambda: log.append("once"))
    clock.run(5)
    deadline.cancel()
    clock.run(20)
    assert log == ["once"]


def test_an_answer_at_the_very_instant_of_its_deadline_is_in_time(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    deadline = deadlines.arm(15, lambda: log.append("timed out"), entity=7)
    clock.at(15, deadline.cancel, band=Band.MESSAGE, entity=9)
    clock.run(100)
    assert log == []


def test_one_expiring_deadline_may_cancel_another_of_the_same_instant(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    deadlines.arm(15, lambda: second.cancel())
    second = deadlines.arm(15, lambda: log.append("second"))
    clock.run(100)
    assert log == []
    assert clock.events == 1


def test_a_deadline_may_arm_the_next_one_of_its_duration(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []

    def again() -> None:
        log.append(clock.now_ns)
        if len(log) < 3:
            deadlines.arm(10, again)

    deadlines.arm(10, again)
    clock.run(100)
    assert log == [10, 20, 30]


def test_deadlines_take_their_entitys_place_among_the_timers_of_an_instant(clock: Clock) -> None:
    deadlines, log = Deadlines(clock), []
    for entity in (4, 1, 3):
        deadlines.arm(15, lambda e=entity: log.append(e), entity=entity)  # type: ignore[misc]
    for entity in (5, 2, 0):
        clock.at(15, lambda e=entity: log.append(e), band=Band.TIMER, entity=entity)  # type: ignore[misc]
    clock.at(15, lambda: log.append(-1), band=Band.COMPLETION)
    clock.run(15)
    assert log == [0, 1, 2, 3, 4, 5, -1]


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([0, 5, 15]), st.none() | st.integers(0, 20)),
        max_size=25,
    )
)
def test_deadlines_expire_exactly_as_separate_timers_would(plan: list[tuple[int, int, int | None]]) -> None:
    def expiries(with_deadlines: bool) -> tuple[list[tuple[int, int]], int]:
        clock, log = Clock(), []
        deadlines = Deadlines(clock)

        def arm(number: int, duration_ns: int, cancel_after_ns: int | None) -> None:
            def expire() -> None:
                log.append((clock.now_ns, number))

            armed = (
                deadlines.arm(duration_ns, expire, entity=number)
                if with_deadlines
                else clock.after(duration_ns, expire, entity=number)
            )
            if cancel_after_ns is not None:
                clock.after(cancel_after_ns, armed.cancel, band=Band.MESSAGE)

        for number, (t_ns, duration_ns, cancel_after_ns) in enumerate(plan):
            clock.at(
                t_ns, lambda n=number, d=duration_ns, c=cancel_after_ns: arm(n, d, c), band=Band.WORKLOAD
            )  # type: ignore[misc]
        clock.run(1000)
        return log, clock.events

    assert expiries(with_deadlines=True) == expiries(with_deadlines=False)
