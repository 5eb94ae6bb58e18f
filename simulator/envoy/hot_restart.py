"""Hot restart: a child process takes over from its parent while both run.

The child starts with the next epoch and initializes like any other; the parent goes on serving, with xDS and
all, however long that takes. The listen sockets are the parent's own, handed over, so a new connection is
accepted by one of the two at any time. When the child's workers run it tells the parent to drain: the parent
stops listening and discourages its connections for the drain time; parent-shutdown-time after it was told it
is ended, and what is still connected is cut. Connections are never handed over.
Left out: the parent's admin endpoint, which closes when the child boots; statistics taken over; a child with
another concurrency, which may lose what waits in an accept queue.
Source: source/server/{hot_restart_impl,hot_restarting_parent,server,drain_manager_impl}.cc; rule W11.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from simulator.engine.events import After, Band
from simulator.engine.machine import Machine, bind
from simulator.envoy.startup import Server


class HotRestartState(Enum):
    """How far the child has taken over."""

    CHILD_INITIALIZING = "CHILD_INITIALIZING"
    PARENT_TOLD = "PARENT_TOLD"
    PARENT_DRAINING = "PARENT_DRAINING"
    PARENT_TERMINATED = "PARENT_TERMINATED"
    ABANDONED = "ABANDONED"


class HotRestartSignal(Enum):
    """What happens to the two."""

    WORKERS_STARTED = "workers_started"
    DRAIN_REQUESTED = "drain_requested"
    SHUTDOWN_TIME_OVER = "shutdown_time_over"
    CHILD_EXITED = "child_exited"
    GRANDCHILD_BOOTS = "grandchild_boots"
    KILLED = "killed"


_S, _G = HotRestartState, HotRestartSignal
HOT_RESTART = {
    (_S.CHILD_INITIALIZING, _G.WORKERS_STARTED): (_S.PARENT_TOLD, "tell_parent"),
    (_S.CHILD_INITIALIZING, _G.CHILD_EXITED): (_S.ABANDONED, None),
    (_S.PARENT_TOLD, _G.DRAIN_REQUESTED): (_S.PARENT_DRAINING, "drain_parent"),
    (_S.PARENT_DRAINING, _G.SHUTDOWN_TIME_OVER): (_S.PARENT_TERMINATED, "terminate_parent"),
    (_S.PARENT_TOLD, _G.GRANDCHILD_BOOTS): (_S.PARENT_TERMINATED, "terminate_parent"),
    (_S.PARENT_DRAINING, _G.GRANDCHILD_BOOTS): (_S.PARENT_TERMINATED, "terminate_parent"),
    (_S.CHILD_INITIALIZING, _G.KILLED): (_S.PARENT_TERMINATED, "terminate_parent"),
    (_S.PARENT_TOLD, _G.KILLED): (_S.PARENT_TERMINATED, "terminate_parent"),
    (_S.PARENT_DRAINING, _G.KILLED): (_S.PARENT_TERMINATED, "terminate_parent"),
}


class HotRestart:
    """One hot restart of one Envoy.

    Args:
        parent: The process that serves.
        child: Its successor, not started yet.
        on_drained: Told when the parent stops listening.
        on_terminated: Told when it ends.
    """

    def __init__(
        self,
        parent: Server,
        child: Server,
        on_drained: Callable[[], None],
        on_terminated: Callable[[], None],
    ) -> None:
        self._parent = parent
        self._child = child
        self._on_drained = on_drained
        self._on_terminated = on_terminated
        self._timer: After | None = None
        self._machine = Machine(_S.CHILD_INITIALIZING, _ROWS, self, HotRestart._entered)
        child.on_workers_started.append(lambda: self._machine.fire(_G.WORKERS_STARTED))

    def _entered(self, _before: HotRestartState, after: HotRestartState) -> None:
        self._child.process.enter("hot_restart", f"epoch {self._child.process.row.epoch}", after.value)

    @property
    def state(self) -> HotRestartState:
        """How far the child has taken over."""
        return self._machine.state

    def child_exited(self) -> None:
        """The child could not start: the parent goes on as if nothing had been."""
        self._machine.fire(_G.CHILD_EXITED)

    def grandchild_boots(self) -> None:
        """The child becomes a parent itself: it ends its own at once (server.cc, shutdownAdmin)."""
        self._end(_G.GRANDCHILD_BOOTS)

    def kill(self) -> None:
        """The container with both processes ends."""
        self._end(_G.KILLED)

    def _end(self, signal: HotRestartSignal) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.state not in (_S.PARENT_TERMINATED, _S.ABANDONED):
            self._machine.fire(signal)

    # --- actions

    def tell_parent(self) -> None:
        """One message between the two, worked off by the parent's main thread."""
        process = self._child.process
        self._after(process.costs.ns("hot_restart_drain"), _G.DRAIN_REQUESTED)

    def drain_parent(self) -> None:
        """The parent stops listening; the child's timer for its end is armed."""
        self._parent.listeners.stop_listening()
        self._on_drained()
        self._after(self._child.process.settings.parent_shutdown_ns, _G.SHUTDOWN_TIME_OVER)

    def terminate_parent(self) -> None:
        """SIGTERM, without further waiting."""
        self._parent.stop()
        self._on_terminated()

    def _after(self, delay_ns: int, signal: HotRestartSignal) -> None:
        process = self._child.process
        self._timer = process.clock.after(
            delay_ns, lambda: self._machine.fire(signal), band=Band.TIMER, entity=process.proxy
        )


_ROWS = bind(HOT_RESTART, HotRestart)
TABLES = {
    "hot_restart": (HOT_RESTART, _S.CHILD_INITIALIZING, (_S.PARENT_TERMINATED, _S.ABANDONED)),
}
