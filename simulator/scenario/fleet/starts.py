"""Proxies that start in the run become rows.

Until istiod lets one of its streams in, an Envoy that has no content does nothing but dial: it is a row of
arrays (fleet/redials.py). From the dial that may be let in until it serves what it asked for it is an Envoy
like any other, with its start and its stream message by message; that concerns as few at a time as istiod's
limits let in. Once it has nothing to do and nothing is under way to it or from it, what it holds is a value,
and it is a row again, whose pushes are arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Clock
from simulator.envoy.delta_mux import DeltaMux
from simulator.envoy.main_thread import MainThreadPast
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.redials import Redials
from simulator.fleet.standing import Standing
from simulator.fleet.streams import NEVER, Ints, Small, Streams
from simulator.propagation.push import DeltaSession, SotwSession
from simulator.scenario.fleet.connections import RowRequest
from simulator.scenario.fleet.join_rows import settled_envoy
from simulator.scenario.fleet.start_connections import StartConnection
from simulator.xds.resource_types import CDS, EDS, LDS, RDS, RESOURCE_TYPES, ResourceType, resource_type
from simulator.xds.resources import NO_NAMES, Names

if TYPE_CHECKING:
    from simulator.control_plane.istiod.connection import Connection
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.control_plane.istiod.replica import Replica
    from simulator.envoy.ads_mux import GrpcMux
    from simulator.envoy.startup import Server
    from simulator.mesh.services import Proxy
    from simulator.recording.ledger import ChangeLedger
    from simulator.recording.rows import StartupRow
    from simulator.scenario.fleet.moves import ConcerningChange, Moves
    from simulator.scenario.fleet.reconnects import Reconnects
    from simulator.scenario.fleet.rows import ReplicaRows
    from simulator.wire.link import Link
    from simulator.wire.stream import Path, Stream

_TYPES = [resource_type(name) for name in RESOURCE_TYPES]

DIALS, PLAYED, SETTLED, TO_COME = range(4)
"""Where a proxy stands: it dials, in arrays; it is played by messages; it is a row for good; its pod is still
to come."""


class StartingEnvoys(Protocol):
    """Makes and forgets the Envoys that are played by messages."""

    def place_envoy(self, proxy: int) -> Server:
        """A new Envoy, about to be started."""

    def path_of(self, proxy: int) -> Path:
        """Its way to istiod."""

    def mux_of(self, server: Server) -> GrpcMux[Any]:
        """Its stream."""

    def is_done(self, proxy: int) -> bool:
        """Whether nothing comes to it any more but what istiod sends."""

    def requests_met(self, proxy: int) -> tuple[int | None, Sequence[tuple[int, int]]]:
        """Since when its application sends, and what requests met there so far, from when on
        (fleet/views.py); nobody follows them any more."""

    def forget_envoy(self, proxy: int) -> None:
        """It is a row."""


@dataclass(frozen=True, slots=True, eq=False)
class StartTimes:
    """By place.

    Attributes:
        started_ns: When the process starts; `NEVER` where that is not known yet.
        constructed_ns: When it has read its bootstrap, and dials.
    """

    started_ns: Ints
    constructed_ns: Ints


class Starts:
    """See the module.

    Args:
        clock: Time.
        deployment: The istiods.
        ledger: Of changes.
        envoys: Makes those that are played by messages.
        streams: The way to rows.
        moves: What becomes of rows.
        redials: Their dials.
        times: When each starts.
        phase: Where each stands.
        entity: The proxies, by place.
        group: Their groups.
        concerning: By group the changes that concern it; grow.
        rows: The rows of each istiod; grow.

    Attributes:
        phase: Where each stands.
        subscribed: By group, what its proxies subscribe, where that is known.
        by_messages: By place, from behind which of its messages to which one it was played by messages.
        reconnects: What becomes of rows that lose their streams; set right after.
    """

    reconnects: Reconnects

    def __init__(
        self,
        clock: Clock,
        deployment: Deployment,
        ledger: ChangeLedger[Names],
        envoys: StartingEnvoys,
        streams: Streams,
        moves: Moves,
        redials: Redials,
        times: StartTimes,
        phase: NDArray[np.int8],
        entity: Ints,
        group: Small,
        concerning: Sequence[Sequence[ConcerningChange]],
        rows: Sequence[ReplicaRows],
    ) -> None:
        self._clock, self._deployment, self._ledger, self._envoys = clock, deployment, ledger, envoys
        self._streams, self._moves, self._redials = streams, moves, redials
        self._times, self._entity, self._group = times, entity, group
        self._concerning, self._rows = concerning, rows
        self.phase, self._sends_from_ns = phase, np.maximum(times.started_ns, 0)
        self.by_messages = np.zeros((2, len(entity)), np.int64)
        self._since = streams.since = np.where(phase == SETTLED, 0, NEVER)
        self._places: dict[int, int] = {}
        """Of proxies that are played by messages."""
        self._servers: dict[int, Server] = {}
        self._unaware: dict[int, dict[Replica, None]] = {}
        """Of pods that came and are ready, which istiods do not know that yet, of those there were when the
        first did."""
        self.subscribed: dict[int, dict[ResourceType, Names]] = {}

    def begin(self) -> None:
        """They dial in arrays when they have started; else each is told of when it starts."""
        places = np.flatnonzero(self.phase == DIALS)
        self._redials.begin(places, self._times.constructed_ns[places])

    # --- who is there

    def in_arrays(self, t_ns: int) -> NDArray[np.bool_]:
        """By place, who exists for a happening of that instant and is not played by messages."""
        started_ns = self._times.started_ns
        # Of those that start at that instant the first stands before a happening, all others behind it.
        is_here: NDArray[np.bool_] = (started_ns < t_ns) | ((started_ns == t_ns) & (self._entity == 0))
        is_here &= self.phase != PLAYED
        return is_here

    def _first_change(self, place: int) -> int:
        """The first change that concerns it: that happened since its start."""
        started_ns, is_first = int(self._times.started_ns[place]), int(self._entity[place]) == 0
        return self._ledger.first_since(started_ns, includes=is_first)

    def is_dialling(self, place: int) -> bool:
        """Whether no stream of it was ever let in."""
        return bool(self.phase[place] == DIALS)

    def played(self) -> list[int]:
        """Places of those that are played by messages."""
        return list(self._places.values())

    def note(self, place: int, server: Server) -> None:
        """An Envoy starts that is played by messages."""
        proxy = int(self._entity[place])
        if self.phase[place] == TO_COME:
            self._times.started_ns[place] = self._clock.now_ns
        self.phase[place], self._places[proxy], self._servers[proxy] = PLAYED, place, server

    # --- a dial that may be let in

    def dial(self, place: int) -> None:
        """Its stream arrives now: from here on it is an Envoy, as it has stood since its start."""
        proxy, redials = int(self._entity[place]), self._redials
        left_ns, standing = int(redials.left_ns[place]), self._streams.standing(place)
        with self._clock.as_of(left_ns):
            server = self._envoys.place_envoy(proxy)
            self._continue(server, place, standing)
            server.constructed()
        server.process.main_thread.continue_from(
            MainThreadPast(
                standing.busy_until_ns,
                standing.busy_ns,
                standing.next_flush_ns,
                standing.flushes,
                standing.flushed_until_ns,
            )
        )
        row, sent_up = server.process.row, self._envoys.path_of(proxy).to_server.past[0]
        if row.t_cds_subscribed_ns != left_ns or sent_up != standing.sent_up:
            raise CannotTakeFleet("Envoys that ask for more than clusters as soon as they are constructed")
        self._note_past(row, place)
        first = self._first_change(place)
        for concerning in self._concerning[int(self._group[place])]:
            if concerning.change.id >= first:
                self._ledger.begin_late(concerning.change, proxy, concerning.parts)

    def _continue(self, server: Server, place: int, standing: Standing) -> None:
        """It has dialled in vain for so many times."""
        redials, proxy = self._redials, int(self._entity[place])
        path = self._envoys.path_of(proxy)
        # The last two messages, the stream's first packet and its request, leave once more.
        path.to_server.continue_from(standing.sent_up - 2, int(redials.linked_ns[place]))
        _continue_link(path.to_client, standing.sent_down, standing.last_down_ns)
        assert path.trouble is not None, "streams have their troubles"
        path.trouble.continue_from(standing.sent)
        self.by_messages[:, place] = standing.sent, NEVER
        server.process.costs.skip("stream_open", int(redials.opened[place]) - 1)
        backoff = self._envoys.mux_of(server).backoff
        backoff.continue_from(int(redials.drawn[place]), redials.interval_ns(place))
        self._deployment.note_dials(proxy, int(redials.dialled[place]))

    def _note_past(self, row: StartupRow, place: int) -> None:
        row.t_started_ns = int(self._times.started_ns[place])
        _note_constructed(row, int(self._times.constructed_ns[place]))

    # --- from then on

    def connection(self, replica: Replica, stream: Stream, proxy: Proxy) -> Connection | None:
        """Istiod's end of a stream of a proxy that starts; None for others."""
        place = self._places.get(proxy.id)
        if place is None:
            return None
        (rows,) = (rows for rows in self._rows if rows.replica is replica)
        is_reconnect = self._deployment.opened(stream) > 1
        return StartConnection(self, rows, place, stream, proxy, is_reconnect=is_reconnect)

    def look_at(self, connection: StartConnection) -> None:
        """Perhaps nothing is under way any more, as soon as its workers have what was published."""
        server = self._servers[connection.proxy]
        if connection.is_looked_at or not server.is_at_rest:
            return
        connection.is_looked_at = True

        def look() -> None:
            connection.is_looked_at = False
            if self._is_at_rest(connection):
                self._settle(connection)

        at_ns = max(self._clock.now_ns, server.process.workers.last_ns)
        self._clock.at(at_ns, look, band=Band.DISPATCH, entity=connection.proxy)

    def _is_at_rest(self, connection: StartConnection) -> bool:
        """Whether nothing is under way, and nothing that has happened is still to come."""
        replica, proxy = connection.rows.replica, connection.proxy
        return (
            connection.is_at_rest
            and connection in replica.connections
            and connection.rows.line.is_idle(connection.rows.line.place_of(connection))
            and (not connection.is_pod or self._is_known_ready(proxy))
            and self._servers[proxy].is_at_rest
            and self._servers[proxy].process.workers.last_ns <= self._clock.now_ns
            and self._envoys.is_done(proxy)
            and not self._ledger.has_open(proxy)
            and not self._deployment.behind(replica)
            and self._holds_all(connection)
            and self._knows_group(connection)
        )

    def note_ready(self, pod: int, replica: Replica) -> None:
        """An istiod learns that a pod is ready, and pushes to its proxy if that is connected there."""
        if pod not in self._unaware:
            self._unaware[pod] = dict.fromkeys(self._deployment.replicas.values())
        self._unaware[pod].pop(replica, None)

    def _is_known_ready(self, pod: int) -> bool:
        """Whether no istiod will push to it for that any more."""
        unaware = self._unaware.get(pod)
        return unaware is not None and not any(r in unaware for r in self._deployment.replicas.values())

    def _holds_all(self, connection: StartConnection) -> bool:
        """Whether it has all that istiod sent, and says so when it dials: what it refused it had before."""
        server = self._servers[connection.proxy]
        envoy, mux = settled_envoy(server), self._envoys.mux_of(server)
        held = {CDS: envoy.clusters, EDS: envoy.hosts, LDS: envoy.listeners, RDS: envoy.routes}
        for type_, resources in held.items():
            sent = connection.sent_names.get(type_, NO_NAMES) if type_.wildcard else connection.names(type_)
            says_less = isinstance(mux, DeltaMux) and len(mux.held(type_)) < len(sent)
            if len(resources) < len(sent) or says_less:
                return False
        return True

    def _knows_group(self, connection: StartConnection) -> bool:
        """Whether it subscribes what the others of its group do; the first one tells."""
        group = int(self._group[connection.place])
        subscribed = {type_: connection.names(type_) for type_ in _TYPES if connection.watches(type_)}
        known = self.subscribed.get(group)
        if known is None:
            self._learn(group, connection, subscribed)
            return True
        return known.keys() == subscribed.keys() and all(
            len(names) == len(known[type_]) and names.within(known[type_])
            for type_, names in subscribed.items()
        )

    def _learn(self, group: int, connection: StartConnection, subscribed: dict[ResourceType, Names]) -> None:
        self.subscribed[group] = subscribed
        for rows in self._rows:
            rows.making.groups[group].learn(subscribed, connection.sent_names)
        session = connection.session
        assert isinstance(session, DeltaSession | SotwSession), "a session is one or the other"
        requests = [
            RowRequest(request.type, session.names(request.type), request.size_bytes)
            for request in session.asked_again()
        ]
        self.reconnects.learn(group, requests)
        clusters = self._servers[connection.proxy].clusters.cluster_count()
        self._redials.learn(group, [request.size_bytes for request in requests], clusters)

    def _settle(self, connection: StartConnection) -> None:
        """It is a row from here on."""
        place, proxy, rows = connection.place, connection.proxy, connection.rows
        group = int(self._group[place])
        server = self._servers.pop(proxy)
        process, path = server.process, self._envoys.path_of(proxy)
        past = process.main_thread.past
        (sent_up, last_up_ns), (sent_down, last_down_ns) = path.to_server.past, path.to_client.past
        assert path.trouble is not None, "streams have their troubles"
        messages = self.by_messages[1, place] = path.trouble.messages
        opened = sent_up + sent_down - messages
        links = sent_up, _number(last_up_ns), sent_down, _number(last_down_ns)
        standing = Standing(*links, *past, opened, process.workers.last_ns)
        state = self._moves.begin(group, settled_envoy(server), len(self._concerning[group]))
        self._streams.settle_in(place, state, standing)
        begin_ns, met = self._envoys.requests_met(proxy)
        self._sends_from_ns[place] = NEVER if begin_ns is None else begin_ns
        if self._streams.views is not None:
            self._streams.views.take_over(place, met)
        redials = self._redials
        redials.kind[place], redials.drawn[place] = group, self._envoys.mux_of(server).backoff.drawn
        redials.opened[place] = process.costs.drawn("stream_open")
        redials.dialled[place] = self._deployment.forget_dials(proxy)
        redials.answered(np.array([place], np.int32))
        self.phase[place], self._since[place] = SETTLED, self._ledger.count
        del self._places[proxy]
        connection.is_settled = True
        rows.replica.settle(connection)
        self.reconnects.settled_in(place, rows, connection.ages_ns)
        self._envoys.forget_envoy(proxy)

    def is_old(self, connection: StartConnection) -> None:
        """The stream of a row is old enough that it has had since its start."""
        self.reconnects.end(connection.place, connection.rows)

    # --- the end of the run

    def finish(self, startup: Callable[[int, int], StartupRow], end_ns: int) -> None:
        """Whoever dials still has its row of the start, and changes concern it that happened since.

        Args:
            startup: Begins the row of the start of a proxy.
            end_ns: End of the run.
        """
        for place in np.flatnonzero(self.phase == DIALS).tolist():
            started_ns, constructed_ns = (
                int(times[place]) for times in (self._times.started_ns, self._times.constructed_ns)
            )
            proxy = int(self._entity[place])
            self._since[place] = self._first_change(place)
            if started_ns <= end_ns:
                row = startup(proxy, started_ns)
                if constructed_ns <= end_ns:
                    _note_constructed(row, constructed_ns)

    def send_from_ns(self) -> Ints:
        """When the application of each begins to send; `NEVER` for who is played by messages."""
        return np.where(self.phase == PLAYED, NEVER, self._sends_from_ns)

    def lives_ns(self, end_ns: int) -> Ints:
        """How long each has lived at the end of the run."""
        lives: Ints = end_ns - np.maximum(self._times.started_ns, 0)
        return lives


def _note_constructed(row: StartupRow, constructed_ns: int) -> None:
    """It asks for its clusters at once."""
    row.t_bootstrapped_ns = row.t_cds_subscribed_ns = constructed_ns
    row.t_primary_initialized_ns = row.t_rtds_initialized_ns = constructed_ns


def _continue_link(link: Link, sent: int, last_ns: int) -> None:
    link.continue_from(sent, None if last_ns < 0 else last_ns)


def _number(instant: int | None) -> int:
    return -1 if instant is None else instant
