"""Init::Manager: waits for targets, then tells its watcher. A pure counter: no timer, no failure.

A target here may stand for many of Envoy's at once (all listeners of one LDS update): it has a weight, and
becomes ready in parts. Source: source/common/init/manager_impl.cc, target_impl.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.engine.machine import Machine, bind


class InitManagerState(Enum):
    """Init::Manager::State."""

    UNINITIALIZED = "Uninitialized"
    INITIALIZING = "Initializing"
    INITIALIZED = "Initialized"


class InitManagerSignal(Enum):
    """What happens to an init manager."""

    INITIALIZE = "initialize"
    TARGETS_READY = "targets_ready"


_S, _G = InitManagerState, InitManagerSignal
INIT_MANAGER = {
    (_S.UNINITIALIZED, _G.INITIALIZE): (_S.INITIALIZING, "start_targets"),
    (_S.INITIALIZING, _G.TARGETS_READY): (_S.INITIALIZED, "tell_watcher"),
}


class InitManager:
    """Waits for the targets added to it.

    A target added before `initialize` is started by it, in order; one added while initializing is started at
    once and waited for as well; adding one later is a programming error.
    """

    __slots__ = ("_count", "_entered", "_machine", "_targets", "_watcher")

    def __init__(self, entered: Callable[[InitManagerState], None] | None = None) -> None:
        self._entered = entered
        self._machine = Machine(_S.UNINITIALIZED, _ROWS, self, InitManager._note)
        self._targets: list[Callable[[], None]] = []
        self._watcher: Callable[[], None] | None = None
        self._count = 0

    def _note(self, _before: InitManagerState, after: InitManagerState) -> None:
        if self._entered is not None:
            self._entered(after)

    @property
    def state(self) -> InitManagerState:
        """Present state."""
        return self._machine.state

    @property
    def unready(self) -> int:
        """Targets still waited for."""
        return self._count

    def add(self, start: Callable[[], None], weight: int = 1) -> None:
        """Adds ``weight`` targets that ``start`` starts."""
        assert self.state is not _S.INITIALIZED, "a target was added to an initialized manager"
        self._count += weight
        if self.state is _S.INITIALIZING:
            start()
        else:
            self._targets.append(start)

    def initialize(self, watcher: Callable[[], None]) -> None:
        """Starts all targets; the watcher is told when all are ready, at once if there are none."""
        self._watcher = watcher
        # One more than the targets, so that targets ready at once cannot finish the manager half-way
        # through its list.
        self._count += 1
        self._machine.fire(_G.INITIALIZE)
        self.ready()

    def start_targets(self) -> None:
        """Starts what was remembered."""
        targets, self._targets = self._targets, []
        for start in targets:
            start()

    def ready(self, weight: int = 1) -> None:
        """That many targets became ready."""
        self._count -= weight
        assert self._count >= 0, "more targets ready than were added"
        if self._count == 0 and self.state is _S.INITIALIZING:
            self._machine.fire(_G.TARGETS_READY)

    def tell_watcher(self) -> None:
        """All are ready."""
        assert self._watcher is not None
        self._watcher()


_ROWS = bind(INIT_MANAGER, InitManager)
TABLES = {"init_manager": (INIT_MANAGER, _S.UNINITIALIZED, (_S.INITIALIZED,))}
