"""A certificate in a Secret volume, as pods had it before Istio 1.5.

The kubelet writes a changed Secret into the volume when it next synchronizes the pod. The agent watches the
files and gathers what happens within 10 s; then it starts a new Envoy that reads them: a hot restart. The
Secret is optional for the pod; with certificates for the control plane the agent waits for the files before
it executes Envoy, for two minutes.
Source: pkg/envoy/watcher.go at 1.4.10 (defaultMinDelay), pilot/cmd/pilot-agent/main.go (waitForCerts, 2m),
install/kubernetes/helm/istio/files/injection-template.yaml (optional: true).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from simulator.engine.clock import S
from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.engine.machine import Machine, bind
from simulator.mesh.kubelet import KubeletRhythm, KubeletSettings

WAIT_FOR_FILES_NS = 120 * S


class Secret(Protocol):
    """What the agent needs to know of the Secret."""

    @property
    def revision(self) -> int:
        """Counts its certificates."""


@dataclass(frozen=True, slots=True)
class MountSettings:
    """How a volume follows its Secret, and Envoy the volume.

    Attributes:
        kubelet: How often the pod is synchronized.
        min_delay_ns: defaultMinDelay: how long the agent gathers changes of files.
        waits_for_files: Envoy is executed when the files are there, or after two minutes.
    """

    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    min_delay_ns: int = 10 * S
    waits_for_files: bool = True


class MountState(Enum):
    """Where the volume and its Envoy stand."""

    EMPTY = "Empty"
    OUTDATED = "Outdated"
    GATHERING = "Gathering"
    RESTARTING = "Restarting"
    IN_USE = "InUse"
    GONE = "Gone"


class MountSignal(Enum):
    """What happens to them."""

    SECRET_WRITTEN = "secret written"
    SYNCHRONIZED = "synchronized"
    FIRST_FILES = "first files"
    GATHERED = "gathered"
    TAKEN_OVER = "taken over"
    POD_GONE = "pod gone"


_S, _G = MountState, MountSignal
MOUNT: dict[tuple[MountState, MountSignal], tuple[MountState, str | None]] = {
    (_S.EMPTY, _G.SECRET_WRITTEN): (_S.OUTDATED, "await_kubelet"),
    (_S.OUTDATED, _G.SECRET_WRITTEN): (_S.OUTDATED, None),
    (_S.OUTDATED, _G.SYNCHRONIZED): (_S.GATHERING, "gather"),
    (_S.OUTDATED, _G.FIRST_FILES): (_S.IN_USE, "execute_envoy"),
    (_S.GATHERING, _G.SECRET_WRITTEN): (_S.GATHERING, None),
    (_S.GATHERING, _G.GATHERED): (_S.RESTARTING, "restart_envoy"),
    (_S.RESTARTING, _G.SECRET_WRITTEN): (_S.RESTARTING, None),
    (_S.RESTARTING, _G.TAKEN_OVER): (_S.IN_USE, "compare"),
    (_S.IN_USE, _G.SECRET_WRITTEN): (_S.OUTDATED, "await_kubelet"),
    **{(state, _G.POD_GONE): (_S.GONE, None) for state in _S if state is not _S.GONE},
}


def _note_nothing(_own: object, _before: MountState, _after: MountState) -> None:
    """The states are in no table: the rows of certificates are."""


class MountedCertificate:
    """The volume with the certificate of one pod, and the agent that watches it.

    Args:
        clock: Time.
        draws: Random numbers of the run.
        pod: Id of its proxy.
        settings: How.
        secret: What the Secret holds now; None where there is none.
        on_mounted: Told what the kubelet wrote into the volume.
        hot_restart: Starts a new Envoy; calls back when it has taken over.
    """

    __slots__ = (
        "_clock",
        "_execute",
        "_hot_restart",
        "_machine",
        "_on_mounted",
        "_patience",
        "_pod",
        "_rhythm",
        "_secret",
        "_settings",
        "_timer",
        "mounted",
    )

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        pod: int,
        settings: MountSettings,
        secret: Callable[[], Secret | None],
        on_mounted: Callable[[], None],
        hot_restart: Callable[[Callable[[], None]], None],
    ) -> None:
        self._clock = clock
        self._pod = pod
        self._settings = settings
        self._secret = secret
        self._on_mounted = on_mounted
        self._hot_restart = hot_restart
        self._rhythm = KubeletRhythm(draws, pod, settings.kubelet.interval, clock.now_ns)
        self._timer: After | None = None
        self._patience: After | None = None
        self._execute: Callable[[], None] | None = None
        self.mounted = secret()
        """What the volume holds."""
        self._machine = Machine(_S.EMPTY if self.mounted is None else _S.IN_USE, _ROWS, self, _note_nothing)

    @property
    def state(self) -> MountState:
        """Where the volume and its Envoy stand."""
        return self._machine.state

    # --- what happens to it

    def when_there(self, execute: Callable[[], None]) -> None:
        """Envoy is to be executed: at once, or when the agent has the files it waits for."""
        if self.mounted is not None or not self._settings.waits_for_files:
            execute()
            return
        self._execute = execute
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._clock.after(
            WAIT_FOR_FILES_NS, self.execute_envoy, band=Band.TIMER, entity=self._pod
        )

    def secret_written(self) -> None:
        """The Secret has a new certificate."""
        self._machine.fire(_G.SECRET_WRITTEN)

    def gone(self) -> None:
        """The pod is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._execute = None
        if self.state is not _S.GONE:
            self._machine.fire(_G.POD_GONE)

    # --- actions

    def await_kubelet(self) -> None:
        """The kubelet writes it when it next synchronizes the pod."""
        next_ns = self._rhythm.skip_to(self._clock.now_ns)
        self._timer = self._clock.at(next_ns, self._synchronized, band=Band.TIMER, entity=self._pod)

    def gather(self) -> None:
        """The agent saw the first file change and waits for more."""
        self._timer = self._clock.after(
            self._settings.min_delay_ns,
            lambda: self._machine.fire(_G.GATHERED),
            band=Band.TIMER,
            entity=self._pod,
        )

    def restart_envoy(self) -> None:
        """A new Envoy reads the files."""
        self._hot_restart(self._taken_over)

    def compare(self) -> None:
        """The Secret may have changed again meanwhile."""
        if self._secret() is not self.mounted:
            self._machine.fire(_G.SECRET_WRITTEN)

    def execute_envoy(self) -> None:
        """The files that the agent waited for are there, or it waited long enough."""
        execute, self._execute = self._execute, None
        if execute is not None:
            execute()

    # --- the steps between

    def _synchronized(self) -> None:
        self._rhythm.advance()
        self.mounted = self._secret()
        self._on_mounted()
        self._machine.fire(_G.SYNCHRONIZED if self._execute is None else _G.FIRST_FILES)

    def _taken_over(self) -> None:
        if self.state is _S.RESTARTING:
            self._machine.fire(_G.TAKEN_OVER)


_ROWS = bind(MOUNT, MountedCertificate)
TABLES = {"mounted_certificate": (MOUNT, _S.EMPTY, (_S.GONE,))}
