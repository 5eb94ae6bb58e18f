"""Fetching Wasm modules: tries, time-outs, back-off, substitutes, and the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from simulator.agent.settings import WasmSettings
from simulator.agent.wasm import Substitute, WasmModules
from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.xds.resources import Resource, Resources

HOUR = 3600 * S
FETCH = WasmSettings(fetch=Constant(2 * S))
DEAD = replace(FETCH, failure_rate=1.0, fetch=Constant(0))

Make = Callable[..., WasmModules]


def module_of(resource: Resource[object]) -> str | None:
    return resource.body if isinstance(resource.body, str) else None


def extensions(**modules: str | None) -> Resources:
    return Resources([Resource(name, 1, module) for name, module in modules.items()])


@pytest.fixture
def substituted() -> list[tuple[str, Substitute]]:
    return []


@pytest.fixture
def make(clock: Clock, draws: Draws, substituted: list[tuple[str, Substitute]]) -> Make:
    def make(settings: WasmSettings = FETCH, proxy: int = 0) -> WasmModules:
        return WasmModules(clock, draws, proxy, settings, module_of, lambda *what: substituted.append(what))

    return make


def test_extensions_without_a_remote_module_wait_for_nothing(make: Make) -> None:
    assert make().fetch_ns(extensions(lua=None)) == 0
    assert make().fetch_ns(Resources()) == 0


def test_all_modules_of_a_response_are_fetched_at_once(make: Make) -> None:
    assert make().fetch_ns(extensions(a="oci://a", b="oci://b", c=None)) == 2 * S


def test_a_response_waits_for_its_slowest_module(make: Make, draws: Draws) -> None:
    spread = replace(FETCH, fetch=Uniform(0, 10 * S))
    alone = [make(spread).fetch_ns(extensions(x=module)) for module in ("a", "b", "c")]
    assert len(set(alone)) == 3
    assert make(spread).fetch_ns(extensions(x="a", y="b", z="c")) == max(alone)


def test_a_module_is_fetched_once_and_not_before_it_has_arrived(clock: Clock, make: Make) -> None:
    wasm = make()
    assert wasm.fetch_ns(extensions(a="m")) == 2 * S
    clock.run(S)
    assert wasm.fetch_ns(extensions(b="m")) == 2 * S, "the file is not there yet"
    clock.run(3 * S)
    assert wasm.fetch_ns(extensions(a="m")) == 0


@pytest.mark.parametrize(
    ("unused_ns", "is_cached"), [(24 * HOUR, True), (25 * HOUR - 2 * S - 1, True), (25 * HOUR - 2 * S, False)]
)
def test_an_unused_module_goes_with_the_first_purge_after_a_day(
    clock: Clock, make: Make, unused_ns: int, is_cached: bool
) -> None:
    wasm = make()
    wasm.fetch_ns(extensions(a="m"))  # used last when it arrives, at 2 s; purges come at whole hours
    assert wasm.is_cached("m", 2 * S + unused_ns) is is_cached


def test_use_keeps_a_module(clock: Clock, make: Make) -> None:
    wasm = make()
    wasm.fetch_ns(extensions(a="m"))
    clock.run(20 * HOUR)
    wasm.fetch_ns(extensions(a="m"))
    assert wasm.is_cached("m", 44 * HOUR)
    assert not wasm.is_cached("m", 45 * HOUR)


def test_five_failures_with_their_waits_and_then_a_substitute(
    make: Make, substituted: list[tuple[str, Substitute]]
) -> None:
    waits_ms = [500, 750, 1125, 1687.5, 2531.25]  # before each is spread by half
    for proxy in range(50):
        fetch_ns = make(DEAD, proxy).fetch_ns(extensions(a="m"))
        assert sum(waits_ms) * 0.5 * MS <= fetch_ns <= sum(waits_ms) * 1.5 * MS
    assert substituted == [("m", Substitute.DENY_ALL)] * 50


def test_fail_open_lets_everything_pass(make: Make, substituted: list[tuple[str, Substitute]]) -> None:
    make(replace(DEAD, fail_open=True)).fetch_ns(extensions(a="m"))
    assert substituted == [("m", Substitute.ALLOW_ALL)]


def test_a_module_that_could_not_be_fetched_is_tried_again_by_the_next_response(make: Make) -> None:
    wasm = make(replace(DEAD, max_retries=1))
    first = wasm.fetch_ns(extensions(a="m"))
    assert first > 0
    assert wasm.fetch_ns(extensions(a="m")) not in (0, first)


def test_a_registry_that_hangs_costs_one_request_timeout_and_the_rest_of_the_fetch_timeout(
    make: Make, substituted: list[tuple[str, Substitute]]
) -> None:
    assert make(replace(FETCH, fetch=Constant(HOUR))).fetch_ns(extensions(a="m")) == 30 * S
    assert substituted
    one_try = replace(FETCH, fetch=Constant(HOUR), max_retries=1)
    fetch_ns = make(one_try).fetch_ns(extensions(a="m"))
    assert 15 * S + 250 * MS <= fetch_ns <= 15 * S + 750 * MS


def test_some_failures_are_overcome(make: Make, substituted: list[tuple[str, Substitute]]) -> None:
    fetches = [
        make(replace(FETCH, failure_rate=0.5), proxy).fetch_ns(extensions(a="m")) for proxy in range(200)
    ]
    at_once = sum(fetch_ns == 2 * S for fetch_ns in fetches)
    assert 65 <= at_once <= 135, "about half succeed at once"  # 5 standard deviations
    assert 0 < len(substituted) < 30, "and about 3 % not at all"


def test_before_the_run_begins_modules_are_just_there(draws: Draws) -> None:
    clock = Clock(start_ns=-1)
    wasm = WasmModules(clock, draws, 0, FETCH, module_of)
    assert wasm.fetch_ns(extensions(a="m")) == 0
    clock.run(0)
    assert wasm.fetch_ns(extensions(a="m")) == 0
    assert wasm.fetch_ns(extensions(a="n")) == 2 * S


def test_another_module_shifts_nobodys_draws(make: Make) -> None:
    spread = replace(FETCH, fetch=Uniform(0, 10 * S))
    alone = make(spread).fetch_ns(extensions(a="m"))
    wasm = make(spread)
    wasm.fetch_ns(extensions(z="other"))
    assert wasm.fetch_ns(extensions(a="m")) == alone
