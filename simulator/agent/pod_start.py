"""How a pod with a sidecar starts: the agent, Envoy and the application, and what the kubelet sees of them.

The proxy's container starts once its sandbox is there; the agent writes the bootstrap and executes Envoy,
waiting for nobody. When the application starts depends on how the sidecar was injected: in parallel, after
`pilot-agent wait` (holdApplicationUntilProxyStarts), or after the startup probe (native sidecar).
Left out: the back-off of a container that keeps being restarted, and the wait for the ConfigMap
istio-ca-root-cert.
Source: pkg/istio-agent/agent.go, pilot/cmd/pilot-agent/app/wait.go, files/injection-template.yaml; Kubernetes
pkg/kubelet/prober, pkg/kubelet/kuberuntime (SyncPod, startContainer).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.agent.readiness import failing_probe_ns, passing_probe_ns
from simulator.agent.settings import AgentSettings, ProbeSettings
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind


class ProxyContainerState(Enum):
    """Where the proxy's container stands."""

    PENDING = "Pending"
    BOOTSTRAPPING = "Bootstrapping"
    RUNNING = "Running"
    STARTED = "Started"
    READY = "Ready"
    TERMINATED = "Terminated"


class ProxyContainerSignal(Enum):
    """What happens to it."""

    INITIALIZED = "initialized"
    BOOTSTRAPPED = "bootstrapped"
    STARTUP_PROBE_PASSED = "startup probe passed"
    READINESS_PROBE_PASSED = "readiness probe passed"
    RESTARTED = "restarted"
    POD_DELETED = "pod deleted"


_S, _G = ProxyContainerState, ProxyContainerSignal
PROXY_CONTAINER = {
    (_S.PENDING, _G.INITIALIZED): (_S.BOOTSTRAPPING, "start_agent"),
    (_S.PENDING, _G.RESTARTED): (_S.PENDING, None),
    (_S.PENDING, _G.POD_DELETED): (_S.TERMINATED, None),
    (_S.BOOTSTRAPPING, _G.BOOTSTRAPPED): (_S.RUNNING, "execute_envoy"),
    (_S.BOOTSTRAPPING, _G.RESTARTED): (_S.BOOTSTRAPPING, "start_agent"),
    (_S.BOOTSTRAPPING, _G.POD_DELETED): (_S.TERMINATED, None),
    (_S.RUNNING, _G.STARTUP_PROBE_PASSED): (_S.STARTED, "await_readiness_probe"),
    (_S.RUNNING, _G.RESTARTED): (_S.BOOTSTRAPPING, "restart_envoy"),
    (_S.RUNNING, _G.POD_DELETED): (_S.TERMINATED, None),
    (_S.STARTED, _G.READINESS_PROBE_PASSED): (_S.READY, "check_pod_ready"),
    (_S.STARTED, _G.RESTARTED): (_S.BOOTSTRAPPING, "restart_envoy"),
    (_S.STARTED, _G.POD_DELETED): (_S.TERMINATED, None),
    (_S.READY, _G.RESTARTED): (_S.BOOTSTRAPPING, "restart_envoy"),
    (_S.READY, _G.POD_DELETED): (_S.TERMINATED, None),
    (_S.TERMINATED, _G.RESTARTED): (_S.TERMINATED, None),
}


def _nobody() -> None:
    """Who is not interested."""


def _note_nothing(_pod: object, _before: ProxyContainerState, _after: ProxyContainerState) -> None:
    """The container's states are in no table."""


class PodStart:
    """One pod from its arrival at a node until the kubelet finds all its containers ready.

    Args:
        clock: The clock of the run.
        draws: Random numbers of the run.
        pod: Id of its proxy.
        settings: Of its agent.
        start_envoy: Told to start Envoy, again after each restart of its container.
        kill_envoy: Told that Envoy ends, because its container is restarted.
        on_agent_started: Called when the agent starts, again after each restart of its container.
        on_app_started: Called when the application's containers start, ready or not.
        on_app_ready: Called when they are ready, whether the proxy is or not.
        on_ready: Called when the pod turns Ready.
        on_unready: Called when a restart makes a Ready pod unready.
        app_start_ns: In place of the settings' delay.
        is_gateway: There is no application besides the proxy.
    """

    __slots__ = (
        "_app_start_ns",
        "_clock",
        "_container_started_ns",
        "_draws",
        "_is_app_ready",
        "_is_app_started",
        "_kill_envoy",
        "_machine",
        "_on_agent_started",
        "_on_app_ready",
        "_on_app_started",
        "_on_ready",
        "_on_unready",
        "_pod",
        "_probed_from_ns",
        "_proxy_ready_ns",
        "_settings",
        "_start_envoy",
        "_starts",
        "_timers",
        "is_ready",
    )

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        pod: int,
        settings: AgentSettings,
        *,
        start_envoy: Callable[[], None],
        on_ready: Callable[[], None],
        kill_envoy: Callable[[], None] = _nobody,
        on_agent_started: Callable[[], None] = _nobody,
        on_app_started: Callable[[], None] = _nobody,
        on_app_ready: Callable[[], None] = _nobody,
        on_unready: Callable[[], None] = _nobody,
        app_start_ns: int | None = None,
        is_gateway: bool = False,
    ) -> None:
        self._clock = clock
        self._draws = draws
        self._pod = pod
        self._settings = settings
        self._start_envoy = start_envoy
        self._kill_envoy = kill_envoy
        self._on_agent_started = on_agent_started
        self._on_app_started = on_app_started
        self._on_app_ready = on_app_ready
        self._on_ready = on_ready
        self._on_unready = on_unready
        self._app_start_ns = app_start_ns
        self._machine = Machine(_S.PENDING, _ROWS, self, _note_nothing)
        self._starts = 0
        self._container_started_ns = 0
        self._probed_from_ns: int | None = None
        self._proxy_ready_ns: int | None = None
        self._timers: list[After] = []
        self._is_app_started = self._is_app_ready = is_gateway
        self.is_ready = False
        """Whether the pod is Ready."""

    @property
    def state(self) -> ProxyContainerState:
        """Where the proxy's container stands."""
        return self._machine.state

    # --- what happens to the pod

    def begin(self) -> None:
        """The kubelet learns of the pod."""
        self._at(self._clock.now_ns + self._drawn_ns(self._settings.init, "agent.init"), self._initialized)

    def proxy_ready(self) -> None:
        """The agent answers 200 from now on."""
        if self._proxy_ready_ns is not None or self.state not in (_S.RUNNING, _S.STARTED):
            return
        self._proxy_ready_ns = self._clock.now_ns
        if self._probed_from_ns is None:
            if self._is_held:
                self._await_end_of_wait()
        elif self.state is _S.RUNNING:
            self._await_startup_probe()
        else:
            self._await_readiness_tick()

    def restart(self) -> None:
        """The proxy's container is killed and started again, if it runs; the application's run on."""
        self._machine.fire(_G.RESTARTED)

    def delete(self) -> None:
        """The pod is deleted: it does not turn Ready any more."""
        self._cancel_timers()
        self._machine.fire(_G.POD_DELETED)

    # --- actions

    def start_agent(self) -> None:
        """The proxy's container starts, and with it an application that waits for nobody."""
        self._cancel_timers()
        now_ns = self._container_started_ns = self._clock.now_ns
        self._proxy_ready_ns = self._probed_from_ns = None
        bootstrap_ns = self._drawn_ns(self._settings.bootstrap, "agent.bootstrap", self._starts)
        self._starts += 1
        self._on_agent_started()
        self._at(now_ns + bootstrap_ns, self._bootstrapped)
        if self._is_held:
            self._at(now_ns + self._settings.wait_timeout_ns, self._give_up_waiting)
        elif not self._settings.termination.native_sidecars:
            self._start_app()

    def restart_envoy(self) -> None:
        """The container is killed while Envoy runs, and starts again."""
        self._kill_envoy()
        if self.is_ready:
            self.is_ready = False
            self._on_unready()
        self.start_agent()

    def execute_envoy(self) -> None:
        """The bootstrap is written. A container whose postStart hook still runs is not probed."""
        self._start_envoy()
        if not self._is_held:
            self._begin_probing()

    def await_readiness_probe(self) -> None:
        """The container counts as started: native sidecars let the application start now. The kubelet then
        probes readiness at once, not at its next tick."""
        self._cancel_timers()
        self._start_app()
        if self._proxy_ready_ns is None:
            return
        probe = self._settings.readiness_probe
        if self._clock.now_ns >= self._container_started_ns + probe.initial_delay_ns:
            self._machine.fire(_G.READINESS_PROBE_PASSED)
        else:
            self._await_readiness_tick()

    def check_pod_ready(self) -> None:
        """The proxy's container is ready; the pod is when the application's are, too."""
        if self.state is _S.READY and self._is_app_ready and not self.is_ready:
            self.is_ready = True
            self._on_ready()

    # --- the steps between

    @property
    def _is_held(self) -> bool:
        settings = self._settings
        return settings.hold_application_until_proxy_starts and not settings.termination.native_sidecars

    def _initialized(self) -> None:
        self._machine.fire(_G.INITIALIZED)

    def _bootstrapped(self) -> None:
        self._machine.fire(_G.BOOTSTRAPPED)

    def _await_end_of_wait(self) -> None:
        assert self._proxy_ready_ns is not None
        period_ns, started_ns = self._settings.wait_period_ns, self._container_started_ns
        polls = max(1, -(-(self._proxy_ready_ns - started_ns) // period_ns))
        if polls * period_ns < self._settings.wait_timeout_ns:
            self._cancel_timers()
            self._at(started_ns + polls * period_ns, self._end_waiting)

    def _end_waiting(self) -> None:
        self._start_app()
        self._begin_probing()

    def _give_up_waiting(self) -> None:
        # A failed postStart hook costs the container its life; the kubelet goes on with the others.
        self._start_app()
        self.restart()

    def _begin_probing(self) -> None:
        self._probed_from_ns = self._clock.now_ns
        probe = self._settings.startup_probe
        if not probe.enabled:
            self._machine.fire(_G.STARTUP_PROBE_PASSED)
        elif self._proxy_ready_ns is not None:
            self._await_startup_probe()
        else:
            self._at(
                failing_probe_ns(probe, self._phase_ns(probe, "startup"), self._since_ns(probe)), self.restart
            )

    def _await_startup_probe(self) -> None:
        self._cancel_timers()
        probe = self._settings.startup_probe
        self._at(self._passing_ns(probe, "startup"), lambda: self._machine.fire(_G.STARTUP_PROBE_PASSED))

    def _await_readiness_tick(self) -> None:
        probe = self._settings.readiness_probe
        self._at(self._passing_ns(probe, "readiness"), lambda: self._machine.fire(_G.READINESS_PROBE_PASSED))

    def _start_app(self) -> None:
        if self._is_app_started:
            return
        self._is_app_started = True
        self._on_app_started()
        delay_ns = self._app_start_ns
        if delay_ns is None:
            delay_ns = self._drawn_ns(self._settings.app_start, "agent.app_start")
        self._clock.after(delay_ns, self._app_ready, band=Band.TIMER, entity=self._pod)

    def _app_ready(self) -> None:
        self._is_app_ready = True
        self._on_app_ready()
        self.check_pod_ready()

    # --- probes and timers

    def _since_ns(self, probe: ProbeSettings) -> int:
        assert self._probed_from_ns is not None
        return max(self._probed_from_ns, self._container_started_ns + probe.initial_delay_ns)

    def _passing_ns(self, probe: ProbeSettings, name: str) -> int:
        assert self._proxy_ready_ns is not None
        ready_ns = max(self._proxy_ready_ns, self._clock.now_ns)
        return passing_probe_ns(probe, self._phase_ns(probe, name), self._since_ns(probe), ready_ns)

    def _phase_ns(self, probe: ProbeSettings, name: str) -> int:
        return int(self._draws.uniform(f"agent.{name}_probe", self._pod) * probe.period_ns)

    def _drawn_ns(self, delay: Delay, purpose: str, index: int = 0) -> int:
        return draw_ns(delay, self._draws, purpose, self._pod, index)

    def _at(self, t_ns: int, call: Callable[[], None]) -> None:
        self._timers.append(self._clock.at(t_ns, call, band=Band.TIMER, entity=self._pod))

    def _cancel_timers(self) -> None:
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()


_ROWS = bind(PROXY_CONTAINER, PodStart)
TABLES = {"proxy_container": (PROXY_CONTAINER, _S.PENDING, (_S.TERMINATED,))}
