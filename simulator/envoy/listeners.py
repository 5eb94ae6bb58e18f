"""A listener object's life: pending or warming, active, draining.

A `ListenerBatch` stands for listener objects that came in one update and stand in one state; it is split when
they part. Source: source/common/listener_manager/{listener_manager_impl,listener_impl}.cc; rules S8, W8 to
W10.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from simulator.engine.machine import Machine, bind
from simulator.mesh.configuration import Listener
from simulator.xds.resources import NO_NAMES, Names, Resource, Resources

if TYPE_CHECKING:
    from simulator.envoy.init_manager import InitManager
    from simulator.envoy.process import Process


class ListenerOwner(Protocol):
    """What a listener object asks of the listener manager."""

    batches: list[ListenerBatch]
    process: Process
    server_init: InitManager

    def start_targets(self, batch: ListenerBatch) -> None:
        """Subscribes what the listeners refer to."""

    def swap_in(self, batch: ListenerBatch) -> None:
        """They are warm."""

    def start_drain(self, batch: ListenerBatch) -> None:
        """They were replaced or removed."""

    def forget(self, batch: ListenerBatch) -> None:
        """Their drain time is over."""


class ListenerState(Enum):
    """A listener object's life. ACTIVE_PENDING: in the active list, the workers not yet running."""

    CREATED = "CREATED"
    ACTIVE_PENDING = "ACTIVE_PENDING"
    WARMING = "WARMING"
    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    FILTER_CHAINS_DRAINING = "FILTER_CHAINS_DRAINING"
    GONE = "GONE"


class ListenerSignal(Enum):
    """What happens to a listener object."""

    INITIALIZE_WITH_SERVER = "initialize_with_server"
    INITIALIZE = "initialize"
    TARGETS_READY = "targets_ready"
    WORKERS_STARTED = "workers_started"
    REPLACED = "replaced"
    REPLACED_IN_PLACE = "replaced_in_place"
    REMOVED = "removed"
    STOPPED = "stopped"
    DRAIN_TIME_OVER = "drain_time_over"


_S, _G = ListenerState, ListenerSignal
LISTENER = {
    (_S.CREATED, _G.INITIALIZE_WITH_SERVER): (_S.ACTIVE_PENDING, "join_server_init"),
    (_S.CREATED, _G.INITIALIZE): (_S.WARMING, "start_targets"),
    (_S.ACTIVE_PENDING, _G.TARGETS_READY): (_S.ACTIVE_PENDING, "tell_server_init"),
    (_S.ACTIVE_PENDING, _G.WORKERS_STARTED): (_S.ACTIVE, None),
    (_S.ACTIVE_PENDING, _G.REMOVED): (_S.GONE, "leave_server_init"),
    (_S.WARMING, _G.TARGETS_READY): (_S.ACTIVE, "listen"),
    (_S.WARMING, _G.REMOVED): (_S.GONE, None),
    (_S.WARMING, _G.STOPPED): (_S.GONE, None),
    (_S.ACTIVE, _G.STOPPED): (_S.DRAINING, None),
    (_S.ACTIVE, _G.REPLACED): (_S.DRAINING, "drain"),
    (_S.ACTIVE, _G.REMOVED): (_S.DRAINING, "drain"),
    (_S.ACTIVE, _G.REPLACED_IN_PLACE): (_S.FILTER_CHAINS_DRAINING, "drain"),
    (_S.DRAINING, _G.DRAIN_TIME_OVER): (_S.GONE, "remove"),
    (_S.FILTER_CHAINS_DRAINING, _G.DRAIN_TIME_OVER): (_S.GONE, "remove"),
}


def listener_of(resource: Resource[object]) -> Listener:
    """The body of a listener resource."""
    assert isinstance(resource.body, Listener)
    return resource.body


class ListenerBatch:
    """Listener objects of one update in one state; split when they part."""

    __slots__ = ("_machine", "_manager", "configs", "in_place", "is_ready", "names")

    def __init__(self, manager: ListenerOwner, configs: Resources, in_place: Names = NO_NAMES) -> None:
        self._manager = manager
        self.configs = configs
        self.names = configs.names
        self.in_place = in_place
        self.is_ready = False
        self._machine = Machine(_S.CREATED, _ROWS, self, ListenerBatch._entered)

    def __repr__(self) -> str:
        return f"listener {self.names}"

    def _entered(self, _before: ListenerState, after: ListenerState) -> None:
        self._manager.process.enter("listener", self.names, after.value)

    @property
    def state(self) -> ListenerState:
        """Present state of all of them."""
        return self._machine.state

    def fire(self, signal: ListenerSignal) -> None:
        """Something happened to all of them."""
        self._machine.fire(signal)

    def split(self, names: Names) -> ListenerBatch:
        """Those of ``names`` as a batch of their own in the same state; the whole batch where all are
        meant."""
        names = self.names.intersect(names)
        if len(names) == len(self.names):
            return self
        part = ListenerBatch(self._manager, self.configs.only(names), self.in_place.intersect(names))
        part.is_ready = self.is_ready
        part._machine.state = self._machine.state
        self.configs = self.configs.without(names)
        self.names = self.configs.names
        self._manager.batches.append(part)
        return part

    # --- actions, all the manager's business

    def join_server_init(self) -> None:
        """One target of the server's init manager for each listener."""
        self._manager.server_init.add(self.start_targets, len(self.names))

    def start_targets(self) -> None:
        """RDS, SDS, ECDS and SRDS targets start in parallel, each with its own timer."""
        self._manager.start_targets(self)

    def tell_server_init(self) -> None:
        """Their targets are ready."""
        self.is_ready = True
        self._manager.server_init.ready(len(self.names))

    def leave_server_init(self) -> None:
        """A listener destroyed before the workers start releases its target."""
        if not self.is_ready:
            self._manager.server_init.ready(len(self.names))

    def listen(self) -> None:
        """Warmed: sockets listen, workers get it, the old one of the name is drained or overridden."""
        self._manager.swap_in(self)

    def drain(self) -> None:
        """New connections go elsewhere; existing ones may stay for the drain time."""
        self._manager.start_drain(self)

    def remove(self) -> None:
        """The drain time is over: remaining connections are closed and the object goes."""
        self._manager.forget(self)


_ROWS = bind(LISTENER, ListenerBatch)
TABLES = {"listener": (LISTENER, _S.CREATED, (_S.GONE,))}
