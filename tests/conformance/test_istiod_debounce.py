"""The debounce of istiod, rule by rule (pilot/pkg/xds/discovery.go:debounce)."""

from __future__ import annotations

import pytest

from simulator.control_plane.istiod.debounce import DebounceSettings
from simulator.engine.clock import MS, S
from simulator.engine.events import Band, Clock
from tests.unit.control_plane.istiod.pushes import Playing, request


def ms(instants_ns: list[int]) -> list[float]:
    return [t_ns / MS for t_ns in instants_ns]


def test_an_isolated_event_is_pushed_after_exactly_the_quiet_time(clock: Clock) -> None:
    playing = Playing(clock)
    playing.event(0)
    clock.run(60 * S)
    assert ms(playing.at_ns) == [100]


def test_a_stream_that_never_pauses_is_pushed_when_the_maximum_is_seen_to_be_reached(clock: Clock) -> None:
    playing = Playing(clock)
    playing.every(50 * MS, 0, 60 * S)
    clock.run(120 * S)
    assert ms(playing.at_ns) == [10_000, 20_050, 30_100, 40_150, 50_200, 60_050]
    assert ms(playing.first_ns) == [0, 10_050, 20_100, 30_150, 40_200, 50_250]
    assert sum(playing.events) == 1200
    assert playing.debounce.committed == 1200


def test_while_a_push_is_built_no_other_begins_and_the_next_carries_the_whole_window(clock: Clock) -> None:
    playing = Playing(clock, build_ns=30 * S)
    playing.event(0)
    playing.every(50 * MS, 200 * MS, 45 * S)
    clock.run(40 * S)
    assert ms(playing.at_ns) == [100, 30_100]
    # 0.20, 0.25, ... 30.10 s: the event of the very instant goes before the end of the push.
    assert playing.events == [1, 599]
    assert playing.first_ns[1] == 200 * MS


def test_a_stream_alone_waits_for_the_maximum_and_then_for_each_build(clock: Clock) -> None:
    playing = Playing(clock, build_ns=30 * S)
    playing.every(50 * MS, 0, 80 * S)
    clock.run(75 * S)
    assert ms(playing.at_ns) == [10_000, 40_000, 70_000]


def test_a_batch_that_is_quiet_by_the_end_of_a_push_follows_at_once(clock: Clock) -> None:
    playing = Playing(clock, build_ns=3 * S)
    playing.every(500 * MS, 0, 20 * S)
    clock.run(7 * S)
    assert ms(playing.at_ns) == [100, 3_100, 6_100]


def test_a_timer_that_fires_during_a_push_is_lost_and_the_end_of_the_push_takes_its_place(
    clock: Clock,
) -> None:
    playing = Playing(clock, build_ns=200 * MS)
    for t_ns in (0, 150 * MS, 300 * MS):
        playing.event(t_ns)
    clock.run(10 * S)
    assert ms(playing.at_ns) == [100, 400]
    assert playing.events == [1, 2]


def test_a_batch_that_is_not_quiet_by_the_end_of_a_push_waits_for_the_rest(clock: Clock) -> None:
    playing = Playing(clock, build_ns=200 * MS)
    playing.event(0)
    playing.event(270 * MS)
    clock.run(10 * S)
    assert ms(playing.at_ns) == [100, 370]


def test_the_age_of_a_batch_counts_from_its_own_first_event(clock: Clock) -> None:
    playing = Playing(clock, build_ns=9 * S)
    playing.event(0)
    playing.every(50 * MS, 5 * S, 30 * S)
    clock.run(16 * S)
    # The push ends at 9.1 s, when the batch is 4.1 s old; it is pushed at 15 s, ten after its first event.
    assert ms(playing.at_ns) == [100, 15_000]


@pytest.mark.parametrize(("spacing_ms", "pushes"), [(90, 6), (101, 595)])
def test_one_step_across_the_quiet_time_turns_six_pushes_a_minute_into_six_hundred(
    clock: Clock, spacing_ms: int, pushes: int
) -> None:
    playing = Playing(clock)
    playing.every(spacing_ms * MS, 0, 60 * S)
    clock.run(61 * S)
    assert len(playing.at_ns) == pytest.approx(pushes, abs=1)


@pytest.mark.parametrize("band", [Band.WORKLOAD, Band.MESSAGE])
def test_an_event_at_the_instant_of_the_timer_goes_before_it(clock: Clock, band: Band) -> None:
    playing = Playing(clock)
    playing.event(0)
    clock.run(50 * MS)  # the timer is on the agenda before the event is
    clock.at(100 * MS, lambda: playing.debounce.on_event(request("Gateway/ns0/a")), band=band, entity=9)
    clock.run(S)
    assert (ms(playing.at_ns), playing.events) == ([200], [2])


def test_all_kinds_share_one_debounce(clock: Clock) -> None:
    playing = Playing(clock)
    playing.event(0, "VirtualService/ns0/a")
    playing.event(60 * MS, "Endpoints/ns0/b")
    clock.run(10 * S)
    assert ms(playing.at_ns) == [160]
    assert playing.requests[0].kinds == ("VirtualService", "Endpoints")


def test_endpoints_that_are_not_gathered_are_pushed_at_once_even_during_a_push(clock: Clock) -> None:
    playing = Playing(clock, DebounceSettings(endpoints=False), build_ns=3 * S)
    playing.event(0, "VirtualService/ns0/a")
    for t_ns in (50 * MS, 1 * S):
        playing.event(t_ns, "Endpoints/ns0/b")
    playing.event(2 * S, "Endpoints/ns0/b", "ServiceEntry/ns0/b")
    clock.run(60 * S)
    assert [t_ns for t_ns, _ in playing.bypassed] == [50 * MS, 1 * S]
    # They set nothing back, and what is not about endpoints alone is gathered.
    assert ms(playing.at_ns) == [100, 3_100]
    assert playing.debounce.committed == 4
