"""Citadel, Galley and the injector as processes: how they start, what they wait for, what their loss does.

At an installation the Secrets with the components' certificates do not exist before Citadel runs: until then
the volumes of the others cannot be mounted, and the kubelet tries again with growing waits. A component that
restarts finds its Secret. Galley's streams and Pilot's synchronization are modules of their own.
Source: install/kubernetes/helm at 1.4.10 (controlPlaneSecurityEnabled; webhook failurePolicy Fail);
kubernetes pkg/util/goroutinemap/exponentialbackoff (500 ms, doubled up to 2m2s).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from simulator.engine.clock import MS, S
from simulator.engine.delays import draw_ns
from simulator.engine.events import Band, Clock
from simulator.engine.machine import Machine, bind

if TYPE_CHECKING:
    from simulator.control_plane.components.citadel import Citadel
    from simulator.control_plane.components.galley import Galley
    from simulator.control_plane.components.settings import LifecycleSettings
    from simulator.engine.draws import Draws
    from simulator.recording.recorder import Recorder

CITADEL, GALLEY, INJECTOR = "citadel", "galley", "injector"
COMPONENTS = (CITADEL, GALLEY, INJECTOR)
"""The processes beside Pilot."""

MOUNT_RETRY_NS, LONGEST_MOUNT_RETRY_NS = 500 * MS, 122 * S


class ComponentState(Enum):
    """Where a component stands."""

    DOWN = "down"
    MOUNTING = "waiting for its Secret"
    STARTING = "starting"
    SERVING = "serving"
    READY = "ready"


class ComponentSignal(Enum):
    """What happens to it."""

    CREATED = "created"
    MOUNTED = "mounted"
    STARTED = "started"
    PROBED = "probed"
    TERMINATED = "terminated"


_S, _G = ComponentState, ComponentSignal
COMPONENT: dict[tuple[ComponentState, ComponentSignal], tuple[ComponentState, str | None]] = {
    (_S.DOWN, _G.CREATED): (_S.MOUNTING, "mount"),
    (_S.MOUNTING, _G.MOUNTED): (_S.STARTING, "start"),
    (_S.STARTING, _G.STARTED): (_S.SERVING, "serve"),
    (_S.SERVING, _G.PROBED): (_S.READY, "tell_ready"),
    **{(state, _G.CREATED): (state, None) for state in _S if state is not _S.DOWN},
    **{(state, _G.TERMINATED): (_S.DOWN, "end") for state in _S},
}


class Component:
    """One process."""

    def __init__(self, components: Components, name: str, state: ComponentState) -> None:
        self.name = name
        self._components = components
        self._machine = Machine(state, _ROWS, self, Component._entered)
        self._lives = 0
        self._started_ns = 0

    def _entered(self, _before: ComponentState, after: ComponentState) -> None:
        parts = self._components
        parts.recorder.component(parts.clock.now_ns, self.name, 0, after.value)

    @property
    def is_ready(self) -> bool:
        """Whether others can use it."""
        return self._machine.state is _S.READY

    def create(self) -> None:
        """Its pod is there, or its container starts again."""
        self._machine.fire(_G.CREATED)

    def terminate(self) -> None:
        """It ends."""
        self._lives += 1
        self._machine.fire(_G.TERMINATED)

    def mount(self) -> None:
        """Its certificate comes from Citadel."""
        self._components.when_mounted(self.name, self._alive(_G.MOUNTED))

    def start(self) -> None:
        """The process starts."""
        parts = self._components
        self._started_ns = parts.clock.now_ns
        delay_ns = draw_ns(parts.settings.start, parts.draws, f"components.start.{self.name}", 0, self._lives)
        parts.clock.after(delay_ns, self._alive(_G.STARTED), band=Band.TIMER)

    def serve(self) -> None:
        """It works; the kubelet notices later."""
        parts = self._components
        parts.on_serving(self.name)
        if self.name == CITADEL:  # it has no readiness probe
            self._machine.fire(_G.PROBED)
            return
        settings, now_ns = parts.settings, parts.clock.now_ns
        first_ns = self._started_ns + settings.initial_delay_ns
        late_ns = max(0, now_ns - first_ns)
        probe_ns = first_ns + -(-late_ns // settings.period_ns) * settings.period_ns
        parts.clock.at(probe_ns, self._alive(_G.PROBED), band=Band.TIMER)

    def tell_ready(self) -> None:
        """Its Service has it."""
        self._components.on_ready(self.name)

    def end(self) -> None:
        """What it did stops."""
        self._components.on_ended(self.name)

    def _alive(self, signal: ComponentSignal) -> Callable[[], None]:
        """Fires the signal if the process has not ended meanwhile."""
        life = self._lives

        def fire() -> None:
            if life == self._lives:
                self._machine.fire(signal)

        return fire


_ROWS = bind(COMPONENT, Component)
TABLES = {"component": (COMPONENT, _S.DOWN, ())}


class Components:
    """The processes beside Pilot.

    Args:
        clock: Whose time passes.
        draws: Random numbers, keyed by component.
        recorder: Where their states go.
        settings: How they start.
        galley: What Galley does; None where it does not hand over configuration.
        are_running: They run since long ago; else they are installed when `install` is called.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        recorder: Recorder,
        settings: LifecycleSettings,
        galley: Galley | None,
        *,
        are_running: bool,
    ) -> None:
        self.clock = clock
        self.draws = draws
        self.recorder = recorder
        self.settings = settings
        self._galley = galley
        self.citadel: Citadel | None = None
        """What Citadel does for workloads; None where nobody asks it."""
        self._has_secrets = are_running or not settings.needs_citadel
        self._mounting: list[tuple[int, Callable[[], None]]] = []
        self._injecting: list[Callable[[], None]] = []
        state = _S.READY if are_running else _S.DOWN
        self._by_name = {name: Component(self, name, state) for name in COMPONENTS}

    def install(self) -> None:
        """All pods are created at once."""
        for component in self._by_name.values():
            component.create()

    def restart(self, name: str, down_for_ns: int) -> None:
        """One component ends and is started again so much later."""
        component = self._by_name[name]
        component.terminate()
        self.clock.after(down_for_ns, component.create, band=Band.TIMER)

    def when_mounted(self, name: str, call: Callable[[], None]) -> None:
        """Calls back once the volume with the Secret of a component, or of Pilot, is mounted."""
        if self._has_secrets or name == CITADEL:
            call()
        else:
            self._mounting.append((self.clock.now_ns, call))

    def when_injecting(self, call: Callable[[], None]) -> None:
        """Calls back once pods can be created: while the injector is away its webhook fails, and so does
        the creation of pods with a sidecar. The ReplicaSet's back-off is left out."""
        if self._by_name[INJECTOR].is_ready:
            call()
        else:
            self._injecting.append(call)

    def on_serving(self, name: str) -> None:
        """A process works."""
        if name == GALLEY and self._galley is not None:
            self._galley.start()
        if name == CITADEL and self.citadel is not None:
            self.citadel.start()
        if name == CITADEL and not self._has_secrets:
            self._has_secrets = True
            waiting, self._mounting = self._mounting, []
            for since_ns, call in waiting:
                self.clock.at(_next_mount_ns(since_ns, self.clock.now_ns), call, band=Band.TIMER)

    def on_ready(self, name: str) -> None:
        """Others can use it."""
        if name == INJECTOR:
            waiting, self._injecting = self._injecting, []
            for call in waiting:
                call()

    def on_ended(self, name: str) -> None:
        """A process ended. What Citadel wrote stays."""
        if name == GALLEY and self._galley is not None:
            self._galley.stop()
        if name == CITADEL and self.citadel is not None:
            self.citadel.stop()


def _next_mount_ns(since_ns: int, now_ns: int) -> int:
    """The kubelet's first attempt at or after `now_ns`, of those that began at `since_ns`."""
    attempt_ns, wait_ns = since_ns, MOUNT_RETRY_NS
    while attempt_ns < now_ns:
        attempt_ns += wait_ns
        wait_ns = min(2 * wait_ns, LONGEST_MOUNT_RETRY_NS)
    return attempt_ns
