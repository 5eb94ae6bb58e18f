"""The istiod replica whose connections stand in the arrays' push line, and what it makes for their groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.connection import Connection
from simulator.control_plane.istiod.generator import Generated
from simulator.control_plane.istiod.push_context import (
    CarriedByAnswer,
    CarriedByPush,
    KnownChanges,
    PushContext,
)
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.control_plane.istiod.replica import Replica
from simulator.engine.events import Call
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.line import PushLine
from simulator.mesh.content import ConfigChange
from simulator.mesh.services import Proxy, Service
from simulator.mesh.visibility import VisibilityClass
from simulator.scenario.fleet.connections import RowConnection, RowStream
from simulator.scenario.fleet.start_connections import StartConnection
from simulator.xds.resource_types import EDS, ResourceType
from simulator.xds.resources import NO_NAMES, Names

if TYPE_CHECKING:
    from simulator.scenario.fleet.reconnects import Reconnects
    from simulator.scenario.fleet.starts import Starts
    from simulator.wire.stream import Stream


class FleetReplica(Replica):
    """A replica whose push queue, slots and cores are those of a `PushLine`.

    Attributes:
        line: The line, from the beginning of the run on; before, nothing is pushed.
        fleet: The proxies of the arrays, by place.
        came_to_nothing: When it learned of changes to which it had nothing to say, of which together, and by
            place whose streams it held; None for all.
        reconnects: How rows come back that have lost their streams; None where none ever does.
        starts: How proxies start that become rows; None where all that do are rows from the start.
        rows_connected: How many streams of the arrays are initialized.
        learns_of_nothing: Called before: what was sent by then does not carry them, what is sent from then on
            may, though it is made from the same context.
    """

    line: PushLine[Connection]
    fleet: NDArray[np.int64]
    came_to_nothing: list[tuple[int, list[int], NDArray[np.bool_] | None]]
    learns_of_nothing: Callable[[], object]
    reconnects: Reconnects | None = None
    starts: Starts | None = None
    rows_connected: int

    def take_line(self, line: PushLine[Connection], fleet: NDArray[np.int64]) -> None:
        """From here on the line is the queue, the sender and the CPU."""
        assert self.cpu.is_idle, "a core was busy before the run"
        assert self.sender.depth == 0, "a push was in line before the run"
        self.line, self.fleet, self.came_to_nothing = line, fleet, []
        self.rows_connected = len(line.connected())
        self.cpu = _Cpu(line)  # type: ignore[assignment]  # what a replica uses of a MultiServer
        self.sender = _Sender(line)

    @property
    def connection_count(self) -> int:
        """How many streams are initialized, those of the arrays included."""
        return self.rows_connected + len(self.connections)

    def enqueue_all(self, request: PushRequest, push: int) -> None:
        """Every connection is enqueued, in random order."""
        line = self.line
        # Who starts in the arrays stands in a place of theirs, as whoever reconnects.
        others = [c for c in self.connections if line.place_of(c) >= line.fleet_size]
        places, idle = line.idle(others)
        proxies = np.concatenate([self.fleet[places], np.array([c.proxy for c in idle], np.int64)])
        places = np.concatenate([places, np.array([line.place_of(c) for c in idle], np.int64)])
        order = self.random_order(proxies, push)
        del proxies
        line.enqueue_all(places[order], others, request)

    # --- rows that lose their streams, and come back (reconnects.py)

    def make_connection(self, stream: Stream, proxy: Proxy) -> Connection:
        """Its end of a stream that is let in."""
        of_row: object = stream
        if not isinstance(of_row, RowStream):
            made = None if self.starts is None else self.starts.connection(self, stream, proxy)
            return super().make_connection(stream, proxy) if made is None else made
        assert self.reconnects is not None, "a row dials, and none has lost its stream"
        return self.reconnects.connection(self, of_row, self.shared.visibility.of(proxy), proxy.zone)

    def add(self, connection: Connection) -> None:
        """Into the table of connections."""
        if isinstance(connection, RowConnection):
            assert self.reconnects is not None, "a row connects, and none has lost its stream"
            connection.context, connection.token_ns = self.context, self.clock.now_ns
            self.rows_connected += 1
            self.reconnects.opened(connection)
            self.line.join(connection.place, connection)
            connection.initialized()
            return
        if isinstance(connection, StartConnection) and not connection.is_pod:
            self.line.join(connection.place, connection)
        super().add(connection)

    def settle(self, connection: StartConnection) -> None:
        """Its proxy is a row from here on."""
        if connection.is_pod:
            self.line.move_in(connection, connection.place)
        else:
            self.line.settle(connection.place)
        del self.connections[connection]
        self.rows_connected += 1

    def pod_ready(self, pod: int) -> None:
        """Its own proxy alone is pushed to."""
        super().pod_ready(pod)
        if self.starts is not None:
            self.starts.note_ready(pod, self)

    def push_ended(
        self,
        connection: Connection,
        request: PushRequest,
        dequeued_ns: int,
        sent_ns: int | None,
        types: tuple[str, ...],
    ) -> None:
        """The push of one connection that is played by messages is over."""
        super().push_ended(connection, request, dequeued_ns, sent_ns, types)
        if isinstance(connection, StartConnection) and self.starts is not None:
            self.starts.look_at(connection)

    def connection_ended(self, connection: Connection, push: PushRequest | None) -> None:
        """Its stream is gone."""
        if isinstance(connection, RowConnection):
            self.doorway.forget(connection)
        else:
            super().connection_ended(connection, push)

    def stop(self) -> None:
        """SIGTERM: rows lose their streams with all others."""
        assert self.reconnects is not None, "an istiod of rows ends, and nobody foresaw it"
        places = self.reconnects.ending(self)
        super().stop()
        self.reconnects.ended(self, places)

    def _nothing_new(self, service: Service, key: str, changes: tuple[ConfigChange, ...]) -> None:
        if changes:
            self.learns_of_nothing()
        super()._nothing_new(service, key, changes)

    def _tell_nothing_new(self, service: Service, changes: list[int]) -> None:
        super()._tell_nothing_new(service, changes)
        is_told = None if self.reconnects is None else self.reconnects.told_of(self, service)
        self.came_to_nothing.append((self.clock.now_ns, changes, is_told))


@dataclass(frozen=True, slots=True)
class _Cpu:
    """The cores, as a replica uses them."""

    line: PushLine[Connection]

    def submit(self, entity: int, cost_ns: Callable[[], int] | int, done: Call) -> None:
        self.line.submit(entity, cost_ns, done)

    def stop(self) -> None:
        """With the line."""

    @property
    def busy_ns(self) -> int:
        return self.line.busy_ns

    @property
    def queue_length(self) -> int:
        return self.line.queue_length


@dataclass(frozen=True, slots=True)
class _Sender:
    """The queue and the slots, as a replica uses them (istiod/throttle.py: Sender)."""

    line: PushLine[Connection]

    @property
    def depth(self) -> int:
        return self.line.depth

    def begin(self, connections: Sequence[Connection], request: PushRequest) -> None:
        raise AssertionError("a push is for the arrays too: FleetReplica.enqueue_all")

    def enqueue(self, connection: Connection, request: PushRequest) -> None:
        self.line.enqueue(connection, request)

    def done(self, connection: Connection) -> None:
        self.line.done(connection)

    def forget(self, connection: Connection) -> None:
        self.line.forget(connection)

    def stop(self) -> None:
        self.line.stop()


@dataclass(slots=True, eq=False)
class GroupConnection:
    """What the generator asks of a connection, for all proxies of one class and zone: their subscriptions
    are those that one of them made, and never change.

    Attributes:
        subscribed: Names by subscribed type.
    """

    class_: VisibilityClass
    zone: int
    context: PushContext
    sent_names: dict[ResourceType, Names]
    subscribed: dict[ResourceType, Names]
    is_delta: bool

    @classmethod
    def of(cls, connection: Connection, types: Iterable[ResourceType]) -> GroupConnection:
        """The group that this connection belongs to."""
        subscribed = {type_: connection.names(type_) for type_ in types if connection.watches(type_)}
        return cls(
            connection.class_,
            connection.zone,
            connection.context,
            dict(connection.sent_names),
            subscribed,
            connection.is_delta,
        )

    def learn(self, subscribed: dict[ResourceType, Names], sent_names: Mapping[ResourceType, Names]) -> None:
        """What its proxies subscribe, and hold of wildcard types, when the first of them is a row."""
        self.subscribed, self.sent_names = subscribed, dict(sent_names)

    def anew(self, context: PushContext) -> GroupConnection:
        """The same, to another replica."""
        return replace(self, context=context, sent_names=dict(self.sent_names))

    def watches(self, type_: ResourceType) -> bool:
        """Whether the type is requested."""
        return type_ in self.subscribed

    def names(self, type_: ResourceType) -> Names:
        """Names subscribed; empty for a wildcard type."""
        return self.subscribed.get(type_, NO_NAMES)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What one push sends to the proxies of a group, or what is answered to them when they connect.

    Attributes:
        request: The push; None for answers.
        context: What it is made from.
        known: What the replica knows of the changes.
    """

    group: int
    request: PushRequest | None
    context: PushContext
    known: KnownChanges
    responses: tuple[Generated, ...]

    def sender(self, response: Generated) -> CarriedByPush | CarriedByAnswer:
        """The response, to the ledger."""
        context = self.context
        if self.request is None:
            return CarriedByAnswer(self.known, "reconnect", context, 0, response.live)
        if self.request.only_endpoints:
            # It leaves the context of the connection as it was (Connection._take_push), older than anything
            # that istiod learned while this was made: the live endpoint index alone says what it holds.
            context = replace(context, order=-1, endpoints_order=-1)
        return CarriedByPush(self.known, self.request.rounds, context, 0, 0, response.live)


class GroupMaking:
    """What the replica makes for groups (fleet/push_requests.py: Making).

    Args:
        replica: Makes it.
        groups: As connections.
        made: What was made so far, by number; of all replicas that make it for the same proxies.
    """

    def __init__(self, replica: Replica, groups: list[GroupConnection], made: list[Made]) -> None:
        self._replica, self.groups, self.made = replica, groups, made
        self._numbers: dict[object, int] = {}
        self._answers: dict[object, tuple[list[Generated], int]] = {}
        self._answered_in: object = None

    def sends(self, made: int) -> bool:
        """Whether a push that made this sent anything."""
        return bool(self.made[made].responses)

    def concerns(self, group: int, request: PushRequest) -> bool:
        """See Making."""
        connection = self.groups[group]
        return self._replica.generator.concerns(request, connection.class_, is_delta=connection.is_delta)

    def edition(self) -> object:
        """See Making."""
        replica = self._replica
        return replica.generator.assignments, replica.known.count, replica.cache.clearings

    def learned(self) -> int:
        """See Making."""
        return self._replica.cache.stored + self._replica.generator.scopes_computed

    def make(self, group: int, request: PushRequest) -> tuple[int, int]:
        """See Making."""
        connection = self.groups[group]
        assert isinstance(request.context, PushContext)
        connection.context = request.context
        made, cost_ns = self._replica.generator.push(connection, request)
        return self.number(group, request, request.context, made), cost_ns

    def number(
        self, group: int, request: PushRequest | None, context: PushContext, made: Sequence[Generated]
    ) -> int:
        """The number of what was made."""
        if self._replica.cache.evictions:
            raise CannotTakeFleet("control_plane.cache.size smaller than what it holds")
        key = group, request, context, *((g.type, g.resources, g.removed, g.live) for g in made)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.made)
            self.made.append(Made(group, request, context, self._replica.known, tuple(made)))
        return number

    def answer(
        self, connection: Connection, group: int, type_: ResourceType, added: Names
    ) -> tuple[list[Generated], int]:
        """What a connection of a group is answered, and its cost; worked out again where that may be
        another."""
        edition = self.edition(), self.learned()
        if edition != self._answered_in:
            self._answers.clear()
            self._answered_in = edition
        cache, token_ns = self._replica.cache, connection.token_ns
        key = group, type_, added, connection.context, cache.stores(token_ns), connection.watches(EDS)
        found = self._answers.get(key)
        if found is None:
            found = self._replica.generator.answer(connection, type_, added, token_ns)
            if self.learned() == edition[1]:
                self._answers[key] = found
        elif type_.wildcard and found[0]:
            connection.sent_names[type_] = found[0][0].resources.names
        return found
