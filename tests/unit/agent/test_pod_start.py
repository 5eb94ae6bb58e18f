"""From the kubelet's first sight of a pod until it finds it ready, in each way to inject a sidecar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from simulator.agent.pod_start import PodStart, ProxyContainerState
from simulator.agent.settings import AgentSettings, ProbeSettings, TerminationSettings
from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Clock

SETTINGS = AgentSettings(init=Constant(S), bootstrap=Constant(300 * MS), app_start=Constant(2 * S))
NATIVE = replace(SETTINGS, termination=TerminationSettings(native_sidecars=True))
HELD = replace(SETTINGS, hold_application_until_proxy_starts=True)
UNPROBED = replace(SETTINGS, startup_probe=replace(SETTINGS.startup_probe, enabled=False))

HALF = 500 * MS


class HalfwayDraws(Draws):
    """Every draw is one half: a probe's phase is half its period."""

    def uniform(self, purpose: str, entity: int = 0, index: int = 0) -> float:
        return 0.5


class Pod:
    """A pod, and what became of it. Envoy is ready `envoy_ns` after it was started; None: never."""

    def __init__(
        self, clock: Clock, settings: AgentSettings, envoy_ns: int | None, draws: Draws, **more: object
    ) -> None:
        self.clock = clock
        self.envoy_ns = envoy_ns
        self.log: list[tuple[int, str]] = []
        self.start = PodStart(
            clock,
            draws,
            7,
            settings,
            start_envoy=self.on_start,
            kill_envoy=self.noting("killed"),
            on_app_started=self.noting("app"),
            on_ready=self.noting("ready"),
            on_unready=self.noting("unready"),
            **more,  # type: ignore[arg-type]
        )
        self.start.begin()

    def noting(self, what: str) -> Callable[[], None]:
        return lambda: self.log.append((self.clock.now_ns // MS, what))

    def on_start(self) -> None:
        self.noting("envoy")()
        if self.envoy_ns == 0:
            self.start.proxy_ready()
        elif self.envoy_ns is not None:
            self.clock.after(self.envoy_ns, self.start.proxy_ready)

    def run(self, seconds: float) -> list[tuple[int, str]]:
        self.clock.run(self.clock.now_ns + int(seconds * S))
        return self.log


MakePod = Callable[..., Pod]


@pytest.fixture
def make_pod(clock: Clock) -> MakePod:
    def make(settings: AgentSettings = SETTINGS, envoy_ns: int | None = 3 * S, **more: object) -> Pod:
        return Pod(clock, settings, envoy_ns, HalfwayDraws(0), **more)

    return make


def test_by_default_the_application_starts_beside_the_proxy(make_pod: MakePod) -> None:
    # Envoy is ready at 4.3 s; the startup probe ticks at half seconds, readiness is probed right behind it.
    assert make_pod().run(60) == [(1000, "app"), (1300, "envoy"), (4500, "ready")]


def test_an_application_may_be_ready_before_its_proxy(make_pod: MakePod) -> None:
    ready: list[str] = []
    pod = make_pod(on_app_ready=lambda: ready.append("app"))
    pod.run(1.9)
    assert ready == []
    pod.run(2.1)
    assert ready == ["app"]
    pod.run(60)
    assert ready == ["app"]


def test_a_pod_is_ready_when_its_application_is(make_pod: MakePod) -> None:
    assert make_pod(app_start_ns=20 * S).run(60)[-1] == (21_000, "ready")


def test_a_native_sidecar_holds_the_application_until_its_startup_probe_passes(make_pod: MakePod) -> None:
    assert make_pod(NATIVE).run(60) == [(1300, "envoy"), (4500, "app"), (6500, "ready")]


def test_hold_application_polls_every_half_second_of_the_containers_life(make_pod: MakePod) -> None:
    # The container started at 1 s: polls at 1.5, 2, ...; ready at 4.3 s; then probing begins.
    assert make_pod(HELD, app_start_ns=0).run(60) == [(1300, "envoy"), (4500, "app"), (4500, "ready")]


def test_hold_application_asks_first_after_one_period(make_pod: MakePod) -> None:
    settings = replace(HELD, bootstrap=Constant(0))
    assert make_pod(settings, envoy_ns=0).run(60)[:2] == [(1000, "envoy"), (1500, "app")]


def test_a_held_container_is_probed_only_when_its_hook_is_over(make_pod: MakePod) -> None:
    # The wait ends at 5 s; the next tick of the startup probe is at 5.5 s.
    log = make_pod(HELD, envoy_ns=3500 * MS, app_start_ns=0).run(60)
    assert log[1:] == [(5000, "app"), (5500, "ready")]


def test_native_sidecars_need_no_hold(make_pod: MakePod) -> None:
    both = replace(NATIVE, hold_application_until_proxy_starts=True)
    # A held application would start with the poll at 5 s; the startup probe passes at 5.5 s.
    assert make_pod(both, envoy_ns=3600 * MS).run(60)[1] == (5500, "app")


def test_hold_application_gives_up_after_a_minute(make_pod: MakePod) -> None:
    pod = make_pod(HELD, envoy_ns=None)
    assert pod.run(61.4) == [
        (1300, "envoy"),
        (61_000, "app"),  # unprotected
        (61_000, "killed"),
        (61_300, "envoy"),
    ]


@pytest.mark.parametrize(("envoy_ms", "gives_up"), [(59_200, False), (59_201, True)])
def test_ready_behind_the_last_poll_is_given_up_all_the_same(
    make_pod: MakePod, envoy_ms: int, gives_up: bool
) -> None:
    # The last poll is at 60.5 s, a minute after the container's start the wait ends.
    log = make_pod(HELD, envoy_ns=envoy_ms * MS).run(61.1)
    assert ((61_000, "killed") in log) is gives_up


def test_without_a_startup_probe_the_pod_waits_for_the_next_readiness_tick(make_pod: MakePod) -> None:
    # Ticks at 7.5, 22.5, ...
    assert make_pod(UNPROBED).run(60)[-1] == (7500, "ready")


def test_before_1_20_readiness_was_probed_every_two_seconds(make_pod: MakePod) -> None:
    probe = ProbeSettings(2 * S, 30, initial_delay_ns=S)
    assert make_pod(replace(UNPROBED, readiness_probe=probe)).run(60)[-1] == (5000, "ready")


def test_nothing_is_probed_in_the_initial_delay(make_pod: MakePod) -> None:
    late_start = replace(SETTINGS, startup_probe=ProbeSettings(S, 600, initial_delay_ns=10 * S))
    assert make_pod(late_start).run(60)[-1] == (11_500, "ready")
    late_ready = replace(SETTINGS, readiness_probe=ProbeSettings(15 * S, 4, initial_delay_ns=10 * S))
    pod = make_pod(late_ready)  # begins at 60 s: ticks at 67.5, 82.5, ...
    assert pod.run(60)[-1] == (82_500, "ready")


def test_a_startup_probe_that_never_passes_restarts_the_container(make_pod: MakePod) -> None:
    few = replace(SETTINGS, startup_probe=ProbeSettings(S, 3))
    pod = make_pod(few, envoy_ns=None)
    log = pod.run(5)  # probed from 1.3 s on: fails at 1.5, 2.5, 3.5
    assert log == [(1000, "app"), (1300, "envoy"), (3500, "killed"), (3800, "envoy")]
    pod.start.proxy_ready()
    assert pod.run(5)[-1] == (5500, "ready")


def test_ready_just_before_the_last_failure_is_in_time(make_pod: MakePod) -> None:
    few = replace(SETTINGS, startup_probe=ProbeSettings(S, 3))
    assert make_pod(few, envoy_ns=2200 * MS).run(60)[-1] == (3500, "ready")


def test_a_restart_in_place_takes_the_proxy_and_leaves_the_application(make_pod: MakePod) -> None:
    pod = make_pod()
    pod.run(10)
    assert pod.start.is_ready
    pod.start.restart()
    assert pod.run(10)[3:] == [
        (10_000, "killed"),
        (10_000, "unready"),
        (10_300, "envoy"),
        (13_500, "ready"),
    ]


def test_a_restart_before_envoy_runs_kills_nothing(make_pod: MakePod) -> None:
    pod = make_pod()
    pod.start.restart()
    pod.run(1.1)
    pod.start.restart()
    assert pod.run(1) == [(1000, "app"), (1400, "envoy")]


@pytest.mark.parametrize("seconds", [0.5, 1.1, 2, 4.4, 10])
def test_a_deleted_pod_comes_to_nothing(make_pod: MakePod, seconds: float) -> None:
    pod = make_pod(HELD)
    before = list(pod.run(seconds))
    pod.start.delete()
    assert pod.run(100) == before
    assert pod.start.state is ProxyContainerState.TERMINATED


def test_a_gateway_has_no_application_to_wait_for(make_pod: MakePod) -> None:
    assert make_pod(is_gateway=True).run(60) == [(1300, "envoy"), (4500, "ready")]


def test_an_envoy_that_is_ready_at_once_does_not_confuse_the_kubelet(make_pod: MakePod) -> None:
    assert make_pod(envoy_ns=0).run(60)[-1] == (3000, "ready"), "the application's 2 s"
    assert make_pod(UNPROBED, envoy_ns=0, app_start_ns=0).run(60)[-1] == (61_300, "ready")


def test_draws_belong_to_the_pod(clock: Clock, draws: Draws) -> None:
    settings = replace(SETTINGS, init=Uniform(0, 10 * S), app_start=Constant(0))

    def ready_ms(pods: list[int], watched: int) -> int:
        clock = Clock()
        found: list[int] = []
        for pod in pods:
            start = PodStart(
                clock,
                draws,
                pod,
                settings,
                start_envoy=lambda: None,
                on_ready=lambda: found.append(clock.now_ns),
            )
            start.begin()
            if pod == watched:
                seen = start
        clock.run(12 * S)
        seen.proxy_ready()
        clock.run(20 * S)
        return found[0]

    assert ready_ms([3], 3) == ready_ms([1, 2, 3, 4], 3) != ready_ms([4], 4)
