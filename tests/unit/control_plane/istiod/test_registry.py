"""The registry's queue: one worker, in order, failed tasks once more after a second."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.control_plane.istiod.registry import RegistryQueue, RegistrySettings
from simulator.engine.clock import MS, S
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.engine.servers import kiefer_wolfowitz

Log = list[tuple[int, object]]


def queue_of(
    clock: Clock, draws: Draws, cost_ns: int = 10 * MS, failure_rate: float = 0.0, **given: object
) -> RegistryQueue:
    settings = RegistrySettings(failure_rate=failure_rate)
    return RegistryQueue(clock, 0, settings, lambda _entity, _run: cost_ns, draws, **given)  # type: ignore[arg-type]


def note(clock: Clock, log: Log, what: object) -> partial[None]:
    return partial(lambda: log.append((clock.now_ns, what)))


def test_tasks_are_done_one_after_another_and_take_effect_at_the_end(clock: Clock, draws: Draws) -> None:
    queue, log = queue_of(clock, draws), Log()
    queue.start()
    for name in ("a", "b", "c"):
        queue.push(note(clock, log, name))
    clock.run(S)
    assert log == [(10 * MS, "a"), (20 * MS, "b"), (30 * MS, "c")]
    assert queue.busy_ns == 30 * MS


def test_a_slow_task_delays_all_behind_it(clock: Clock, draws: Draws) -> None:
    costs = {0: 900 * MS, 1: MS}
    log = Log()
    queue = RegistryQueue(clock, 0, RegistrySettings(), lambda entity, _run: costs[entity], draws)
    queue.start()
    queue.push(note(clock, log, "slow"), 0)
    for _ in range(3):
        queue.push(note(clock, log, "quick"), 1)
    clock.run(2 * S)
    assert [t_ns // MS for t_ns, _ in log] == [900, 901, 902, 903]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=25))
def test_the_queue_is_one_server_in_order_of_arrival(tasks: list[tuple[int, int]]) -> None:
    clock, ends = Clock(), []
    arrivals = np.cumsum([gap for gap, _ in tasks], dtype=np.int64)
    costs = np.array([cost for _, cost in tasks], np.int64)
    queue = RegistryQueue(clock, 0, RegistrySettings(), lambda entity, _run: int(costs[entity]), Draws(1))
    queue.start()
    for entity, t_ns in enumerate(arrivals.tolist()):
        push = partial(queue.push, lambda: ends.append(clock.now_ns), entity)
        clock.at(t_ns, push, band=Band.WORKLOAD, entity=entity)
    clock.run(10_000)
    assert ends == kiefer_wolfowitz(arrivals, costs, 1)[1].tolist()


def test_nothing_is_done_before_the_informers_have_synced(clock: Clock, draws: Draws) -> None:
    queue, log = queue_of(clock, draws), Log()
    queue.push(note(clock, log, "listed"))
    queue.push(note(clock, log, "listed"))
    clock.run(S)
    assert (log, queue.queue_length) == ([], 2)
    queue.start()
    queue.push(note(clock, log, "watched"))
    clock.run(S + 20 * MS)
    assert queue.is_synced
    assert [what for _, what in log] == ["listed", "listed"]
    clock.run(2 * S)
    assert log[-1] == (S + 30 * MS, "watched")


def test_a_queue_is_not_synced_while_what_was_listed_is_not_done(clock: Clock, draws: Draws) -> None:
    queue = queue_of(clock, draws)
    queue.push(int)
    queue.start()
    clock.run(9 * MS)
    assert not queue.is_synced
    clock.run(10 * MS)
    assert queue.is_synced


def test_an_effect_comes_before_the_timers_of_its_instant(clock: Clock, draws: Draws) -> None:
    queue, log = queue_of(clock, draws, cost_ns=0), Log()
    queue.start()
    clock.run(5)
    clock.at(10, note(clock, log, "timer"), band=Band.TIMER)
    clock.at(10, lambda: queue.push(note(clock, log, "effect")), band=Band.WORKLOAD)
    clock.run(10)
    assert log == [(10, "effect"), (10, "timer")]


def test_a_task_pushed_by_a_task_goes_behind_those_waiting(clock: Clock, draws: Draws) -> None:
    queue, log = queue_of(clock, draws), Log()
    queue.start()
    queue.push(lambda: queue.push(note(clock, log, "pushed by the first")))
    queue.push(note(clock, log, "second"))
    clock.run(S)
    assert log == [(20 * MS, "second"), (30 * MS, "pushed by the first")]


class FirstRunOf:
    """Draws by which the first run of one entity fails and nothing else does."""

    def __init__(self, entity: int) -> None:
        self.failing = entity

    def uniform(self, _purpose: str, entity: int, index: int) -> float:
        return 0.0 if (entity, index) == (self.failing, 0) else 0.99


def test_a_failed_task_is_queued_again_after_a_second_and_holds_up_nobody(clock: Clock) -> None:
    queue, log = queue_of(clock, FirstRunOf(1), failure_rate=0.5), Log()  # type: ignore[arg-type]
    queue.start()
    queue.push(note(clock, log, "failing"), 1)
    queue.push(note(clock, log, "fine"), 2)
    clock.run(5 * S)
    assert log == [(20 * MS, "fine"), (10 * MS + S + 10 * MS, "failing")]


def test_failures_come_at_their_rate_and_every_task_gets_done(clock: Clock, draws: Draws) -> None:
    queue, done = queue_of(clock, draws, cost_ns=1, failure_rate=0.25), Log()
    queue.start()
    for entity in range(4_000):
        queue.push(note(clock, done, entity), entity)
    clock.run(100 * S)
    assert len(done) == 4_000
    runs = queue.busy_ns  # a ns each
    # Geometric: 4/3 runs a task, variance 4/9; four standard errors of the sum.
    assert abs(runs - 4_000 * 4 / 3) < 4 * (4_000 * 4 / 9) ** 0.5


def test_another_entitys_tasks_change_nobodys_draws(draws: Draws) -> None:
    def runs_of(entities: list[int]) -> list[tuple[int, int]]:
        clock = Clock(event_budget=10_000)
        asked: list[tuple[int, int]] = []

        def cost_ns(entity: int, run: int) -> int:
            asked.append((entity, run))
            return 1

        queue = RegistryQueue(clock, 0, RegistrySettings(failure_rate=0.5), cost_ns, draws)
        queue.start()
        for entity in entities:
            queue.push(int, entity)
        clock.run(100 * S)
        return asked

    alone = runs_of([7, 7, 7])
    among = runs_of([3, 7, 4, 7, 3, 7])
    assert sorted(run for run in among if run[0] == 7) == sorted(alone)


def test_the_number_of_waiting_tasks_is_told(clock: Clock, draws: Draws) -> None:
    depths: list[int] = []
    queue = queue_of(clock, draws, on_depth=depths.append)
    queue.start()
    queue.push(int)
    queue.push(int)
    clock.run(S)
    assert depths == [0, 1, 2, 1, 0]  # the marker was served at once


def test_a_stopped_queue_does_nothing_more(clock: Clock) -> None:
    queue, log = queue_of(clock, Draws(1), failure_rate=1.0), Log()
    queue.start()
    queue.push(note(clock, log, "fails"), 1)
    clock.run(50 * MS)
    queue.push(note(clock, log, "in service"), 2)
    queue.stop()
    clock.run(10 * S)
    assert (log, queue.queue_length) == ([], 0)


def test_replicas_draw_apart(draws: Draws) -> None:
    def failed(replica: int) -> list[int]:
        clock, done = Clock(event_budget=100_000), []
        settings = RegistrySettings(retry_ns=1000 * S, failure_rate=0.5)
        queue = RegistryQueue(clock, replica, settings, lambda _entity, _run: 1, draws)
        queue.start()
        for entity in range(50):
            queue.push(partial(done.append, entity), entity)
        clock.run(S)
        return done

    assert failed(0) != failed(1)
    assert failed(0) == failed(0)


def test_without_failures_nothing_is_drawn(clock: Clock) -> None:
    queue, log = queue_of(clock, None), Log()  # type: ignore[arg-type]
    queue.start()
    queue.push(note(clock, log, "done"))
    clock.run(S)
    assert log == [(10 * MS, "done")]
