"""The debounce as a machine, beside its algorithm written down plainly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from simulator.control_plane.istiod.debounce import DebounceSettings, DebounceState
from simulator.engine.clock import MS, S
from simulator.engine.events import After, Band, Clock
from tests.unit.control_plane.istiod.pushes import Playing


class Plain:
    """One goroutine that selects over events, the timer and the end of a push, with its five variables."""

    def __init__(self, clock: Clock, settings: DebounceSettings, build_ns: int) -> None:
        self.clock, self.settings, self.build_ns = clock, settings, build_ns
        self.n, self.first_ns, self.last_ns = 0, 0, 0
        self.is_free = True
        self.timer: After | None = None
        self.pushes: list[tuple[int, int, int]] = []

    def arm(self, delay_ns: int) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.clock.after(delay_ns, self.fire, band=Band.TIMER)

    def event(self) -> None:
        self.last_ns = self.clock.now_ns
        if self.n == 0:
            self.first_ns = self.clock.now_ns
            self.arm(self.settings.after_ns)
        self.n += 1

    def fire(self) -> None:
        if self.is_free:
            self.evaluate()

    def finished(self) -> None:
        self.is_free = True
        self.evaluate()

    def evaluate(self) -> None:
        now_ns = self.clock.now_ns
        quiet_ns = now_ns - self.last_ns
        if now_ns - self.first_ns >= self.settings.max_ns or quiet_ns >= self.settings.after_ns:
            if self.n:
                self.is_free = False
                self.pushes.append((now_ns, self.first_ns, self.n))
                self.n = 0
                self.clock.after(self.build_ns, self.finished, band=Band.COMPLETION)
        else:
            self.arm(self.settings.after_ns - quiet_ns)


@given(
    st.lists(st.integers(0, 15), max_size=40),
    st.integers(1, 10),
    st.integers(1, 40),
    st.integers(0, 30),
)
def test_the_machine_does_what_the_plain_algorithm_does(
    gaps: list[int], after_ns: int, max_ns: int, build_ns: int
) -> None:
    clock = Clock(event_budget=10_000)
    settings = DebounceSettings(after_ns, max_ns)
    plain, playing = Plain(clock, settings, build_ns), Playing(clock, settings, build_ns)
    t_ns = 0
    for gap in gaps:
        t_ns += gap
        clock.at(t_ns, plain.event, band=Band.WORKLOAD)
        playing.event(t_ns)
    clock.run(10_000)
    assert list(zip(playing.at_ns, playing.first_ns, playing.events, strict=True)) == plain.pushes
    assert playing.debounce.committed == len(gaps)


def test_states_follow_events_and_pushes(clock: Clock) -> None:
    playing = Playing(clock, build_ns=S)
    debounce = playing.debounce
    assert debounce.state is DebounceState.IDLE
    playing.event(0)
    clock.run(0)
    assert (debounce.state, debounce.events) == (DebounceState.GATHERING, 1)
    clock.run(100 * MS)
    assert (debounce.state, debounce.events) == (DebounceState.PUSHING, 0)
    playing.event(200 * MS)
    clock.run(500 * MS)
    assert debounce.state is DebounceState.PUSHING_AND_GATHERING
    clock.run(1_100 * MS)
    assert debounce.state is DebounceState.PUSHING
    assert debounce.committed == 1
    clock.run(10 * S)
    assert (debounce.state, debounce.committed) == (DebounceState.IDLE, 2)


def test_a_push_may_be_over_before_it_is_told(clock: Clock) -> None:
    playing = Playing(clock, build_ns=None)
    playing.event(0)
    playing.event(S)
    clock.run(10 * S)
    assert playing.at_ns == [100 * MS, 1_100 * MS]
    assert playing.debounce.state is DebounceState.IDLE


def test_a_batch_is_pushed_as_one_request_with_all_keys_and_reasons(clock: Clock) -> None:
    playing = Playing(clock)
    for number in range(5):
        playing.event(number * MS, f"VirtualService/ns0/{number % 3}")
    clock.run(S)
    assert tuple(playing.requests[0].keys) == tuple(f"VirtualService/ns0/{n}" for n in range(3))
    assert playing.requests[0].reasons == {"config": 5}


def test_the_number_of_gathered_events_is_told(clock: Clock) -> None:
    playing = Playing(clock)
    playing.every(10 * MS, 0, 30 * MS)
    clock.run(S)
    assert playing.gathered == [1, 2, 3, 0]


def test_what_a_stopped_process_gathered_is_lost(clock: Clock) -> None:
    playing = Playing(clock)
    playing.event(0)
    clock.run(50 * MS)
    playing.debounce.stop()
    clock.run(S)
    assert playing.at_ns == []
    assert playing.debounce.events == 0
