"""What one event costs. Times are printed, for they differ from machine to machine; counts are asserted."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from simpy import Environment

from simulator.engine.clock import S
from simulator.engine.events import Band, Clock, Deadlines
from simulator.engine.servers import SerialServer

pytestmark = pytest.mark.benchmark

IN_FLIGHT = 100
EVENTS = 1_000_000


def microseconds_each(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) / EVENTS * 1e6


def bare_simpy() -> float:
    """The same work by SimPy alone: time-outs with a callback, each making the next one."""
    env, left = Environment(0), EVENTS - IN_FLIGHT

    def again(event: object) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            env.timeout(1000).callbacks.append(again)

    for start in range(IN_FLIGHT):
        env.timeout(start).callbacks.append(again)
    return microseconds_each(env.run)


def test_a_million_callbacks() -> None:
    clock, left = Clock(), EVENTS - IN_FLIGHT

    def again() -> None:
        nonlocal left
        if left > 0:
            left -= 1
            clock.after(1000, again, band=Band.MESSAGE, entity=3)

    for start in range(IN_FLIGHT):
        clock.at(start, again)
    each = microseconds_each(lambda: clock.run(100 * S))
    print(f"\na callback: {each:.2f} us; by bare SimPy: {bare_simpy():.2f} us")
    assert clock.events == EVENTS


def test_a_million_jobs_of_a_serial_server() -> None:
    clock = Clock()
    server, left = SerialServer(clock), EVENTS - IN_FLIGHT

    def again() -> None:
        nonlocal left
        if left > 0:
            left -= 1
            server.submit(1000, again)

    for _ in range(IN_FLIGHT):
        server.submit(1000, again)
    each = microseconds_each(lambda: clock.run(100 * S))
    print(f"\na job of a serial server: {each:.2f} us")
    assert clock.events == server.jobs == EVENTS


def test_a_million_deadlines_that_do_not_expire() -> None:
    clock = Clock()
    deadlines = Deadlines(clock)

    def arm_and_cancel() -> None:
        for _ in range(EVENTS):
            deadlines.arm(15 * S, int).cancel()
        clock.run(20 * S)

    print(f"\na deadline armed and cancelled: {microseconds_each(arm_and_cancel):.2f} us")
    assert clock.events == 0
