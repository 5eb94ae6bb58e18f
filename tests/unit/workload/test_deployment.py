"""A RollingUpdate never has too many pods nor too few available ones, and ends with all of them new."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.events import Clock
from simulator.workload.deployment import Deployment, RollingUpdate
from simulator.workload.entries import Portion


class Driver:
    """Pods named (generation, number) that are ready after what `after_ns` says."""

    def __init__(self, clock: Clock, after_ns: Callable[[tuple[int, int]], int | None]) -> None:
        self.clock = clock
        self.after_ns = after_ns
        self.log: list[tuple[int, str, tuple[int, int]]] = []
        self.alive: set[tuple[int, int]] = set()
        self.readies: set[tuple[int, int]] = set()

    def create(self, generation: int, number: int) -> tuple[int, int]:
        return generation, number

    def start(self, pod: tuple[int, int], on_ready: Callable[[], None]) -> None:
        self.alive.add(pod)
        self._note("create", pod)
        after_ns = self.after_ns(pod)
        if after_ns == 0:
            on_ready()
        elif after_ns is not None:
            self.clock.after(after_ns, on_ready)

    def ready(self, pod: tuple[int, int]) -> None:
        assert pod in self.alive
        self.readies.add(pod)
        self._note("ready", pod)

    def delete(self, pod: tuple[int, int]) -> None:
        self.alive.remove(pod)
        self.readies.discard(pod)
        self._note("delete", pod)

    def _note(self, what: str, pod: tuple[int, int]) -> None:
        self.log.append((self.clock.now_ns, what, pod))

    def times(self, what: str) -> list[int]:
        return [t_ns for t_ns, text, _ in self.log if text == what]


def deployment(
    clock: Clock, replicas: int, after_ns: Callable[[tuple[int, int]], int | None] = lambda pod: 10
) -> tuple[Deployment[tuple[int, int]], Driver]:
    driver = Driver(clock, after_ns)
    pods = [(0, number) for number in range(replicas)]
    driver.alive.update(pods)
    driver.readies.update(pods)
    return Deployment(clock, driver, pods), driver


def number(count: int) -> Portion:
    return Portion(count=count)


def test_one_more_pod_at_a_time_replaces_them_one_by_one(clock: Clock) -> None:
    pods, driver = deployment(clock, 3)
    pods.roll(RollingUpdate(number(1), number(0)))
    clock.run(100)
    assert driver.times("create") == [0, 10, 20]
    assert driver.times("ready") == [10, 20, 30]
    assert driver.times("delete") == [10, 20, 30]
    assert pods.pods == ((1, 0), (1, 1), (1, 2))
    assert pods.is_complete


def test_the_defaults_of_kubernetes_move_a_quarter_up_and_a_quarter_down(clock: Clock) -> None:
    quarter = Portion(share=Fraction(1, 4))
    pods, driver = deployment(clock, 10)
    pods.roll(RollingUpdate(quarter, quarter))
    # Surge 3 (rounded up), unavailable 2 (rounded down): 3 new at once, then 2 old ones go, and 2 new come.
    assert driver.times("create") == [0] * 5
    assert driver.times("delete") == [0] * 2
    clock.run(100)
    assert pods.is_complete


def test_nothing_up_and_nothing_down_still_moves_one_pod(clock: Clock) -> None:
    pods, driver = deployment(clock, 2)
    pods.roll(RollingUpdate(number(0), number(0)))
    clock.run(100)
    assert driver.times("delete") == [0, 10]
    assert driver.times("create") == [0, 10]
    assert pods.is_complete


def test_ready_is_not_available_until_min_ready_seconds_passed(clock: Clock) -> None:
    pods, driver = deployment(clock, 1)
    pods.roll(RollingUpdate(number(1), number(0), min_ready_ns=7))
    clock.run(100)
    assert driver.times("ready") == [10]
    assert driver.times("delete") == [17]


def test_a_pod_that_never_turns_ready_holds_the_rollout(clock: Clock) -> None:
    pods, driver = deployment(clock, 4, lambda pod: None if pod == (1, 0) else 10)
    pods.roll(RollingUpdate(number(1), number(0)))
    clock.run(100)
    assert driver.times("delete") == []
    assert not pods.is_complete
    pods.roll(RollingUpdate(number(1), number(0)))  # a new template: the unready pod goes first
    clock.run(200)
    assert driver.log[1][1:] == ("delete", (1, 0))
    assert pods.is_complete


def test_unready_old_pods_go_only_as_far_as_the_total_allows(clock: Clock) -> None:
    pods, _ = deployment(clock, 4, lambda pod: None)
    strategy = RollingUpdate(number(2), number(0))
    pods.roll(strategy)
    pods.scale_up(4)
    assert [pod[0] for pod in pods.pods] == [0] * 4 + [1] * 6
    # 8 wanted, 10 there, 4 of them available: 10 - 8 may go although 6 are unready, and make room for 2 new.
    pods.roll(strategy)
    assert [pod[0] for pod in pods.pods] == [0] * 4 + [1] * 4 + [2] * 2


def test_pods_deleted_before_they_are_ready_are_never_told_ready(clock: Clock) -> None:
    pods, driver = deployment(clock, 3, lambda pod: 50)
    pods.roll(RollingUpdate(number(3), number(0)))
    clock.run(20)
    pods.roll(RollingUpdate(number(3), number(0)))
    clock.run(200)
    assert {pod[0] for _, what, pod in driver.log if what == "ready"} == {2}
    assert pods.is_complete


def test_scaling_up_creates_the_pods_at_once_also_while_rolling(clock: Clock) -> None:
    pods, driver = deployment(clock, 2)
    pods.scale_up(3)
    assert driver.times("create") == [0, 0, 0]
    assert pods.pods == ((0, 0), (0, 1), (0, 2), (0, 3), (0, 4))
    clock.run(100)
    assert pods.is_complete
    pods.roll(RollingUpdate(number(1), number(0)))
    pods.scale_up(2)
    clock.run(300)
    assert len(pods.pods) == 7
    assert pods.is_complete


@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    delays=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    again_ns=st.integers(0, 60),
)
def test_the_fences_hold_at_every_instant_and_every_rollout_ends(
    replicas: int, surge: int, unavailable: int, delays: list[int], again_ns: int
) -> None:
    clock = Clock()
    pods, driver = deployment(clock, replicas, lambda pod: delays[sum(pod) % len(delays)])
    strategy = RollingUpdate(number(surge), number(unavailable))
    most_unavailable = 1 if surge == unavailable == 0 else unavailable

    def check() -> None:
        assert len(driver.alive) <= replicas + surge
        assert len(driver.readies) >= replicas - most_unavailable

    pods.roll(strategy)
    clock.run(again_ns)
    check()
    pods.roll(strategy)
    for t_ns in range(again_ns, again_ns + 600):
        clock.run(t_ns)
        check()
    assert pods.is_complete
    assert driver.alive == {(2, i) for i in range(replicas)}


@pytest.mark.parametrize(("replicas", "expected"), [(1, (1, 0)), (4, (1, 1)), (10, (3, 2))])
def test_fenceposts_round_in_favour_of_availability(replicas: int, expected: tuple[int, int]) -> None:
    quarter = Portion(share=Fraction(1, 4))
    assert RollingUpdate(quarter, quarter).fenceposts(replicas) == expected
