"""Rows lose their streams when their istiod ends, and come back.

Dials that come to nothing are arrays (fleet/redials.py). A dial that may be let in is put on the clock, and
istiod's end of the stream is a real connection (connections.py) until the row has what it asked for;
what left for it is handed on in arrays, with that of others. When the streams end is known beforehand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.engine.events import Band, Clock, rank
from simulator.fleet.batches import Batch
from simulator.fleet.redials import Redials
from simulator.fleet.streams import NEVER, Ints, Small, Streams
from simulator.recording.recorder import Recorder
from simulator.scenario.fleet.connections import RowConnection, RowRequest, RowStream
from simulator.xds.resource_types import EDS

if TYPE_CHECKING:
    from simulator.control_plane.istiod.deployment import Deployment
    from simulator.control_plane.istiod.push_context import KnownChanges
    from simulator.mesh.services import Service
    from simulator.mesh.visibility import VisibilityClass
    from simulator.scenario.fleet.replica import FleetReplica
    from simulator.scenario.fleet.rows import ReplicaRows
    from simulator.scenario.fleet.starts import Starts

_TOGETHER = 4096
"""So many rows at most wait to be handed on; affects speed and memory alone."""

Places = NDArray[np.int64]


class Reconnects:
    """See the module.

    Args:
        clock: Time.
        deployment: The istiods that all rows dial.
        recorder: Counts messages and streams.
        streams: The way to the rows.
        redials: Their dials.
        entity: The proxies, by place.
        group: Their groups.
        requests: What streams begin with, by group, as in `RedialSettings.sizes`; None for none.
        ends_ns: By number of an istiod when it ends, in order.
        ages_ns: When the streams of the start are old enough to end, by place.
        end_ns: End of the run.
        is_delta: The protocol of the streams.
        have_ends: Whether streams end within the run, with an istiod or by age.
        starts: How proxies start that become rows; None where all that do are rows from the start.
    """

    def __init__(
        self,
        clock: Clock,
        deployment: Deployment,
        recorder: Recorder,
        streams: Streams,
        redials: Redials,
        entity: Ints,
        group: Small,
        requests: list[Sequence[RowRequest | None]],
        ends_ns: Mapping[int, Sequence[int]],
        ages_ns: Ints,
        end_ns: int,
        *,
        is_delta: bool,
        have_ends: bool = True,
        starts: Starts | None = None,
    ) -> None:
        self.starts = starts
        self._clock, self._deployment, self._recorder = clock, deployment, recorder
        self._streams, self.redials = streams, redials
        self._entity, self._group, self._requests = entity, group, requests
        self._ends_ns, self._end_ns = ends_ns, end_ns
        self._is_delta = is_delta
        self._ages_ns = ages_ns
        self._by_age = np.lexsort((entity, ages_ns))[: int((ages_ns <= end_ns).sum())]
        self._aged = 0
        """Of the streams of the start, by their age, so many have ended or are on the clock."""
        self._stream_ends_ns = np.full(len(entity), NEVER, np.int64)
        if have_ends:
            streams.ends_ns = self._stream_ends_ns
        self._lost_ns = np.full(len(entity), NEVER, np.int64)
        self._rows: dict[FleetReplica, ReplicaRows] = {}
        self._known: dict[FleetReplica, KnownChanges] = {}
        """What each istiod knows of changes, and knew that has ended."""
        self._open: dict[int, RowConnection] = {}
        """Connections that are played by messages, by place."""
        self._reset: list[int] = []
        self._admits_ns = 0
        """Before that instant those who run, and whom kube-proxy knows, let nobody in."""
        self._done: list[RowConnection] = []

    def begin(self, rows: ReplicaRows) -> None:
        """An istiod runs, with these rows."""
        replica = rows.replica
        replica.reconnects = self
        self._rows[replica], self._known[replica] = rows, replica.known
        connected = rows.line.connected()
        self._stream_ends_ns[connected] = np.minimum(self._ages_ns[connected], self._next_end_ns(replica))

    def _next_end_ns(self, replica: FleetReplica) -> int:
        ends_ns = self._ends_ns.get(replica.number, ())
        later = bisect_right(ends_ns, self._clock.now_ns)
        return ends_ns[later] if later < len(ends_ns) else NEVER

    # --- proxies that start (starts.py)

    def learn(self, group: int, requests: Sequence[RowRequest]) -> None:
        """What streams of a group begin with of which there was no row so far."""
        self._requests[group] = requests

    def settled_in(self, place: int, rows: ReplicaRows, ages_ns: int | None) -> None:
        """A proxy is a row from here on, with a stream that is old enough then."""
        ends_ns = self._next_end_ns(rows.replica)
        self._stream_ends_ns[place] = ends_ns if ages_ns is None else min(ends_ns, ages_ns)

    # --- streams that are old enough

    def puts_an_end(self, horizon: tuple[int, int]) -> bool:
        """Whether a stream of the start is old enough before that place in time: its end is on the clock
        then."""
        if self._aged == len(self._by_age):
            return False
        place = int(self._by_age[self._aged])
        ages_ns, proxy = int(self._ages_ns[place]), int(self._entity[place])
        if (ages_ns, rank(Band.TIMER, proxy)) >= horizon:
            return False
        self._aged += 1
        self._clock.at(ages_ns, lambda: self.end(place, None), band=Band.TIMER, entity=proxy)
        return True

    def _is_old(self, connection: RowConnection) -> None:
        self.end(connection.place, connection.rows)

    def end(self, place: int, rows: ReplicaRows | None) -> None:
        """The stream of a row ends that is pushed to in arrays, if it is there still: at this istiod; None
        for that which has had it from the start."""
        now_ns = self._clock.now_ns
        holders = [r for r in self._rows.values() if rows in (None, r) and r.line.is_connected(place)]
        if self._stream_ends_ns[place] != now_ns or not holders:
            return
        (rows,) = holders
        line = rows.line
        if line.is_in_hand(place):
            self._streams.note_odd(np.array([place], np.int32))  # istiod finishes what comes to nobody
            return
        if line.holds(place):
            line.hand_on()
        elif any(connection.place == place for connection in self._done):
            self.hand_on()
        line.leave(place)
        rows.replica.rows_connected -= 1
        self._lost_ns[place] = now_ns
        self.redials.lost(np.array([place]), now_ns)

    # --- dials

    def before_change(self, *, is_behind_messages: bool) -> None:
        """Who runs, or whom kube-proxy knows, becomes another: dials so far met what was there."""
        self._refuse_before(self._clock.now_ns + is_behind_messages)
        self._admits_ns = 0

    def _refuse_before(self, t_ns: int) -> None:
        if not self.redials.none_before(t_ns):
            self.redials.refuse_before(t_ns, self._admits_from_ns())

    def _admits_from_ns(self) -> list[int]:
        """Of each backend that kube-proxy knows from when on it may let somebody in."""
        deployment = self._deployment
        known = [
            replica.doorway.admits_from_ns() if replica is not None and replica.is_ready else NEVER
            for replica in deployment.known_backends()
        ]
        # Where it knows those of another revision alone, a dial counts as well.
        return known or [NEVER] * bool(deployment.in_service)

    def puts_a_dial(self, horizon: tuple[int, int]) -> bool:
        """Whether somebody may be let in before that place in time: the first dial is on the clock then."""
        if self.redials.none_before(horizon[0] + 1):
            return False
        if not self._deployment.in_service or not self._deployment.replicas:
            return False
        if self._admits_ns <= horizon[0]:
            self._admits_ns = min(self._admits_from_ns())
        if self._admits_ns > horizon[0]:
            return False
        self._refuse_before(horizon[0])
        place = self.redials.first(horizon[0])
        if place is None:
            return False
        dial_ns, proxy = int(self.redials.dial_ns[place]), int(self._entity[place])
        if (dial_ns, rank(Band.MESSAGE, proxy)) >= horizon:
            return False
        self._clock.at(dial_ns, lambda: self._dial(place, proxy), band=Band.MESSAGE, entity=proxy)
        return True

    def _dial(self, place: int, proxy: int) -> None:
        redials, deployment, now_ns = self.redials, self._deployment, self._clock.now_ns
        is_start = self.starts is not None and self.starts.is_dialling(place)
        if is_start:
            self._refuse_before(now_ns + 1)
        if redials.dial_ns[place] != now_ns:
            self._clock.discount()  # it was refused with others
            return
        redials.arrived(place)
        if is_start and self.starts is not None:
            self.starts.dial(place)
            return
        deployment.note_dials(proxy, int(redials.dialled[place]))
        on_reset = lambda ended: self._reset.append(ended.place)  # noqa: E731
        stream = RowStream(place, proxy, on_reset, is_delta=self._is_delta)
        stream.server = deployment.on_connect(stream)  # type: ignore[arg-type, assignment]
        if stream.server is None:
            redials.dialled[place] = deployment.forget_dials(proxy)
            redials.lost(np.array([place]), now_ns)
            return
        self._open[place] = stream.server
        for request, there_ns in zip(
            self._requests[self._group[place]], redials.requests_ns[:, place].tolist(), strict=False
        ):
            if request is not None and there_ns <= self._end_ns:
                self._clock.at(there_ns, self._arrival(stream, request), band=Band.MESSAGE, entity=proxy)

    def _arrival(self, stream: RowStream, request: RowRequest) -> Callable[[], None]:
        def arrive() -> None:
            if stream.is_open:
                assert stream.server is not None
                self._recorder.count_message(self._clock.now_ns, request.size_bytes)
                stream.server.on_request(request)  # type: ignore[arg-type]

        return arrive

    # --- istiod's end

    def connection(
        self, replica: FleetReplica, stream: RowStream, class_: VisibilityClass, zone: int
    ) -> RowConnection:
        """Istiod's end of a stream that is let in."""
        group = int(self._group[stream.place])
        to_come = sum(request is not None for request in self._requests[group])
        rows = self._rows[replica]
        return RowConnection(rows, stream, class_, zone, group, to_come, self._settled, self._is_old)

    def opened(self, connection: RowConnection) -> None:
        """It is in the table of connections."""
        replica = connection.rows.replica
        ends_ns = self._next_end_ns(replica)
        if connection.ages_ns is not None:
            ends_ns = min(ends_ns, connection.ages_ns)
        self._stream_ends_ns[connection.place] = ends_ns
        behind = self._deployment.behind(replica)
        others = [known for of, known in self._known.items() if of is not replica] if behind else []
        if any(known.get(change.number) is not None for known in others for change in behind):
            connection.is_odd = True  # it may have what its istiod has not yet, and lose it
        lost_ns, now_ns = int(self._lost_ns[connection.place]), self._clock.now_ns
        self._recorder.connectedness.reconnected(now_ns, now_ns if lost_ns == NEVER else lost_ns)
        self._lost_ns[connection.place] = NEVER

    def _settled(self, connection: RowConnection) -> None:
        place = connection.place
        line = connection.rows.line
        if line.is_in_hand(place):
            return
        connection.is_settled = True
        line.settle(place)
        del self._open[place]
        self.redials.dialled[place] = self._deployment.forget_dials(connection.proxy)
        self._done.append(connection)
        if len(self._done) >= _TOGETHER:
            self.hand_on()

    def in_hand(self, rows: ReplicaRows) -> tuple[Places, Ints]:
        """Rows of an istiod whose worker is busy, and since when: while it answers, a push in hand waits for
        it."""
        places, since_ns = rows.line.in_hand()
        if not self._open:
            return places, since_ns
        others = ~np.isin(places, list(self._open))
        busy = [(c.place, c.busy_since_ns) for c in self._unsettled(rows) if c.busy_since_ns is not None]
        own_places, own_since_ns = np.array(busy, np.int64).reshape(-1, 2).T
        return np.concatenate([places[others], own_places]), np.concatenate([since_ns[others], own_since_ns])

    def _unsettled(self, rows: ReplicaRows) -> list[RowConnection]:
        return [connection for connection in self._open.values() if connection.rows is rows]

    def _connected(self, rows: ReplicaRows) -> Places:
        """Places of the rows whose streams an istiod has in its table."""
        connected = rows.line.connected()
        if self.starts is None:
            return connected
        return connected[~np.isin(connected, self.starts.played())]

    def told_of(self, replica: FleetReplica, service: Service) -> NDArray[np.bool_]:
        """By place, whose streams an istiod holds that have the service's endpoints."""
        rows = self._rows[replica]
        told = np.zeros(len(self._entity), bool)
        told[self._connected(rows)] = True
        cluster = service.cluster_names()[0]
        for connection in self._unsettled(rows):
            told[connection.place] &= connection.watches(EDS) and cluster in connection.names(EDS)
        return told

    def learns_of_nothing(self, rows: ReplicaRows) -> None:
        """What left by now does not carry what an istiod learns of, though it would be made of the same."""
        self.hand_on()
        for connection in self._unsettled(rows):
            if connection.answers:
                connection.is_odd = True

    # --- what left goes on its way

    def hand_on(self) -> None:
        """What left for rows that are settled."""
        done, self._done = self._done, []
        odd = [connection.place for connection in done if connection.is_odd]
        if odd:
            self._streams.note_odd(np.array(odd, np.int32))
        of_rows: dict[ReplicaRows, list[RowConnection]] = {}
        for connection in done:
            if not connection.is_odd:
                of_rows.setdefault(connection.rows, []).append(connection)
        for rows, connections in of_rows.items():
            rows.takes_over()
            self._hand_on_answers([c for c in connections if c.answers])
            pushed = [c for c in connections if c.pushes]
            for at in range(max((len(c.pushes) for c in pushed), default=0)):
                self._hand_on_pushes([c for c in pushed if at < len(c.pushes)], at)

    def _hand_on_answers(self, done: Sequence[RowConnection]) -> None:
        if not done:
            return
        making = done[0].rows.making
        place = np.array([c.place for c in done], np.int32)
        made = np.array(
            [making.number(c.group, None, c.answered_from, [g for _, g in c.answers]) for c in done], np.int64
        )
        sents = _columns([[sent_ns for sent_ns, _ in c.answers] for c in done])
        last_ns = np.array([c.answers[-1][0] for c in done], np.int64)
        batch = Batch.leaving(place, last_ns, last_ns)
        batch.sents = sents
        begins = _columns([[begin_ns for begin_ns, _ in c.worked] for c in done])
        ends = _columns([[end_ns for _, end_ns in c.worked] for c in done])
        batch.worked = list(zip(begins, ends, strict=True))
        self._streams.deliver(batch, made)
        self.redials.answered(place)

    def _hand_on_pushes(self, done: Sequence[RowConnection], at: int) -> None:
        making, pushes = done[0].rows.making, [c.pushes[at] for c in done]
        made = []
        for connection, push in zip(done, pushes, strict=True):
            context = push.request.context
            made.append(making.number(connection.group, push.request, context, push.responses))  # type: ignore[arg-type]
        place = np.array([c.place for c in done], np.int32)
        dequeued, sent, began = (
            np.array(column, np.int64)
            for column in zip(*((p.dequeued_ns, p.sent_ns, p.began_ns) for p in pushes), strict=True)
        )
        batch = Batch.leaving(place, dequeued, sent)
        batch.since_ns = began
        self._streams.deliver(batch, np.array(made, np.int64))

    def _hand_on_unsettled(self, rows: ReplicaRows) -> None:
        """What left for rows whose connection ends, or the run, before they have all."""
        for connection in self._unsettled(rows):
            if connection.busy_since_ns is not None:
                # What came in the meantime is never read.
                connection.worked.append((connection.busy_since_ns - 1, NEVER))
            self._done.append(connection)
        self.hand_on()

    # --- an istiod ends, and the run

    def ending(self, replica: FleetReplica) -> Places:
        """An istiod is about to end: whose streams it has in its table."""
        self.before_change(is_behind_messages=False)
        rows, now_ns = self._rows[replica], self._clock.now_ns
        connected = self._connected(rows)
        assert ((self._stream_ends_ns[connected] == now_ns) | self._streams.is_odd[connected]).all(), (
            "an istiod ends, and nobody foresaw when"
        )
        rows.line.hand_on()
        self._hand_on_unsettled(rows)
        rows.end()
        return connected

    def ended(self, replica: FleetReplica, connected: Places) -> None:
        """It has ended, and all its streams with it."""
        rows, now_ns = self._rows.pop(replica), self._clock.now_ns
        for connection in self._unsettled(rows):
            connection.reset()
            del self._open[connection.place]
            self.redials.dialled[connection.place] = self._deployment.forget_dials(connection.proxy)
        self._lost_ns[connected] = now_ns
        lost = np.union1d(connected, np.array(self._reset, np.int64))
        self._reset.clear()
        self.redials.lost(lost, now_ns)

    def finish(self) -> Ints:
        """The run is over: to which proxies something happened that is not for rows."""
        self._refuse_before(self._end_ns + 1)
        for rows in self._rows.values():
            self._hand_on_unsettled(rows)
        return self._entity[self._streams.is_odd]


def _columns(rows: Sequence[Sequence[int]]) -> list[Ints]:
    """Instants by position; `NEVER` where there are not so many."""
    most = max(map(len, rows))
    padded = [[*row, *[NEVER] * (most - len(row))] for row in rows]
    return list(np.array(padded, np.int64).T)
