"""From istiod's Send to the workers of every proxy of the arrays, and back with the ACK.

What a push does to a proxy depends on the state that the proxy is in and on what the push sends: a `Move`,
worked out once for all proxies in the same place. What is a proxy's own is arithmetic over arrays: the delay
of each message and the order kept (a running maximum), the FIFO main thread (another one) with the stats
flushes that hold it up, the workers (a third).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws
from simulator.fleet import delivery_kernel as k
from simulator.fleet.batches import Batch
from simulator.fleet.columns import chosen, delay_of, distinct, rounds, spread
from simulator.fleet.compiled_streams import CompiledStreams, compiled_streams, is_worth_it
from simulator.fleet.errors import CannotTakeFleet, OddRows
from simulator.fleet.history import Chains, History
from simulator.fleet.links import Direction
from simulator.fleet.moves import NULL, Move, Moving, Request
from simulator.fleet.push_log import PushLog
from simulator.fleet.standing import Standing
from simulator.fleet.stats_flushes import StatsFlushes
from simulator.fleet.stream_settings import StreamSettings
from simulator.fleet.views import Views

Ints = NDArray[np.int64]
Small = NDArray[np.int32]

NEVER = 2**62
"""Behind the end of every run: of what is lost."""

_BITS_OF_MADE, _BITS_OF_LATE = 22, 18
"""Of the number of a move: state, what the push sends, what is late of CDS and of LDS together."""


class Folds(Protocol):
    """What counts batches instead of keeping them (fleet/folding.py)."""

    def take(self, batch: Batch) -> None:
        """One more, in order."""


class Streams:
    """The way to all proxies of the arrays; takes what the line did.

    Args:
        entity: The proxies, by place.
        state: The state each is in at first.
        views: Told what the workers hold, where requests are sent.
    """

    def __init__(
        self,
        settings: StreamSettings,
        draws: Draws,
        entity: Ints,
        state: Small,
        moving: Moving,
        views: Views | None = None,
    ) -> None:
        self.views = views
        count = len(entity)
        self._settings, self.moving, self._entity = settings, moving, entity
        self._draws, self._pushes = draws, 0
        self._compiled: CompiledStreams | None = None
        self._state = state.astype(np.int64)
        self._table = table = np.tile(np.array(k.AT_FIRST, np.int64), (count, 1))
        self._down = Direction(settings, draws, "network.latency.to_client", entity, table.T[:2])
        self._up = Direction(settings, draws, "network.latency.to_server", entity, table.T[2:4])
        self._flushes = StatsFlushes(settings, draws, entity)
        self._busy_until_ns, self._workers_ns, self._unread, self.main_thread_busy_ns = table.T[4:]
        self._seat = np.empty(count, np.int32)
        self._cds, self._lds = History(count), History(count)
        self._late = Chains()
        self._moves: dict[int, Move | None] = {}
        self.batches: list[Batch] = []
        """What reached the proxies, in order: until somebody folds it."""
        self.folding: Folds | None = None
        self.log = PushLog()
        self.messages = 0
        self.bytes = 0
        self.ends_ns: Ints | None = None
        """When the stream of each ends, known beforehand; None where none ever does."""
        self.since: Ints | None = None
        """The first change that concerns each, where not all have been rows from the start; `NEVER` for
        none."""
        self.owner = 0
        """Whose pushes are taken."""
        self._openings = np.zeros(count, np.int64)
        self.is_odd = np.zeros(count, bool)
        """Rows to whom something happened that is not for rows, and
        has_odd: whether there are any."""
        self.has_odd = False

    def forget_moves(self) -> None:
        """What pushes do is worked out anew from here on."""
        self._moves.clear()

    def sent(self) -> Ints:
        """How many messages each proxy and istiod sent to each other."""
        sent: Ints = self._down.sent + self._up.sent - self._openings
        return sent

    def take(self, place: Small, request: Small, made: Small, dequeued_ns: Ints, sent_ns: Ints) -> None:
        """See pushes_over.Taker."""
        self.log.add(place, request, made, dequeued_ns, sent_ns)
        worked = sent_ns >= 0
        if not worked.all():
            place, made, dequeued_ns, sent_ns = (
                place[worked],
                made[worked],
                dequeued_ns[worked],
                sent_ns[worked],
            )
        # Each proxy once: later pushes of the same one build on what the earlier ones leave.
        for rows in rounds(place, self._seat):
            self.deliver(Batch.leaving(place[rows], dequeued_ns[rows], sent_ns[rows]), made[rows])

    def _late_at(self, place: Small, sent_ns: Ints) -> Ints:
        """What is late of both types, as a number; 0 is nothing."""
        late, lds = self._cds.late(place, sent_ns), self._lds.late(place, sent_ns)
        rows = np.flatnonzero((late > 0) | (lds > 0))
        if len(rows):
            cds = self._late.longer(np.zeros(len(rows), np.int64), late[rows])
            late[rows] = self._late.longer(cds, lds[rows])
            if len(self._late.contents) >= 1 << _BITS_OF_LATE:
                raise CannotTakeFleet("so many ways in which messages to proxies are late")
        return late

    def deliver(self, batch: Batch, made: NDArray[np.integer]) -> None:
        """What leaves for these proxies, each once, goes on its way.

        Args:
            batch: When it leaves; the rest of it is filled in.
            made: What it is.
        """
        if self.has_odd:
            is_known = ~self.is_odd[batch.place]
            batch, made = batch.part(is_known), made[is_known]
        if not len(made):
            return
        late = self._late_at(batch.place, batch.sent_at(0))
        key = (self._state[batch.place] << _BITS_OF_MADE | made) << _BITS_OF_LATE | late
        found = distinct(key)
        moves = [self._move(int(number)) for number in found]
        of = np.zeros(len(key), np.int64) if len(moves) == 1 else np.searchsorted(found, key)
        known = [move for move in moves if move is not None]
        if len(known) < len(moves):
            is_known = np.array([move is not None for move in moves])[of]
            self.note_odd(batch.place[~is_known])
            batch = batch.part(is_known)
            of = (np.cumsum([move is not None for move in moves]) - 1)[of[is_known]]
        if len(of):
            self._make(batch, known, of)

    def note_odd(self, place: Small) -> None:
        """What happens to these is not for rows: what they do no longer counts."""
        self.is_odd[place] = self.has_odd = True

    def _make(self, batch: Batch, moves: list[Move], of: Ints) -> None:
        """The proxies of a batch make these moves, row by row."""
        batch.owner = self.owner
        if self._settings.answers_differ:
            batch.all_moves, batch.of = moves, None if len(moves) == 1 else of
            batch.ends_ns = None if self.ends_ns is None else self.ends_ns[batch.place]
        compiled = self._compiled_form(batch)
        if compiled is None:
            self._fill(moves, of, batch)
        else:
            messages, size = compiled.deliver(moves, of, batch, self.ends_ns)
            self.messages += messages
            self.bytes += size
        self._settle(moves, of, batch)
        if self.folding is None:
            self.batches.append(batch)
        else:
            self.folding.take(batch)

    def _compiled_form(self, batch: Batch) -> CompiledStreams | None:
        """What takes the place of `_fill` where it pays; results are the same."""
        if batch.sents is not None:
            return None
        if self._compiled is None:
            self._pushes += len(batch.place)
            pushes = max(self._pushes, len(self._entity))
            if self.views is None and is_worth_it(self._settings, pushes):
                parts = self._down, self._up, self._flushes
                self._compiled = compiled_streams(
                    self._settings, self._draws, self._entity, parts, self._table
                )
        return self._compiled

    def _fill(self, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        """The columns of the batch, message by message."""
        length = max(len(move.sizes) for move in moves)
        if batch.sents is None:
            self._check_window(moves, of, batch)
        self._count(moves, of)
        for at in range(length):
            self._one_message(at, moves, of, batch)
        if batch.sents is not None:
            self._check_windows(moves, of, batch)
        self._check_warming(moves, of, batch)
        batch.acked_ns = [np.full(len(of), NULL, np.int64) for _ in range(length)]
        for at in range(max(len(move.requests) for move in moves)):
            self._one_request(at, moves, of, batch)
        batch.read_own_acks()

    def _move(self, key: int) -> Move | None:
        """None for what rows do not do."""
        move = self._moves.get(key)
        if move is None and key not in self._moves:
            rest, late = divmod(key, 1 << _BITS_OF_LATE)
            state, made = divmod(rest, 1 << _BITS_OF_MADE)
            cds, lds = self._late.contents[late] or (0, 0)
            late_cds, late_lds = self._cds.chains.contents[cds], self._lds.chains.contents[lds]
            with suppress(OddRows):
                move = self.moving.move(state, made, late_cds, late_lds)
            self._moves[key] = move
        return move

    def _check_window(self, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        """A Send that HTTP/2 flow control would hold back holds its slot as well: not in arrays."""
        place = batch.place
        before = np.array([sum(m.sizes[:-1]) for m in moves], np.int64)[of]
        total = np.array([sum(m.sizes) for m in moves], np.int64)[of]
        unread = np.where(self._down.last_ns[place] > batch.sent_ns, self._unread[place], 0)
        self._unread[place] = unread + total
        self._check_unread(unread + before)

    def _check_windows(self, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        """The same of messages that leave one after the other on a new stream, when they have arrived."""
        sizes = [
            np.array([m.sizes[at] if at < len(m.sizes) else 0 for m in moves], np.int64)[of]
            for at in range(len(batch.received_ns))
        ]
        for at in range(len(sizes)):
            sent_ns = batch.sent_at(at)
            self._check_unread(
                sum(np.where(batch.received_ns[of_] > sent_ns, sizes[of_], 0) for of_ in range(at))
            )
        self._unread[batch.place] = sum(sizes)

    def _check_unread(self, unread: Ints | int) -> None:
        if np.any(unread >= self._settings.window_bytes):
            raise CannotTakeFleet("responses larger than agent.window_bytes")

    def _count(self, moves: Sequence[Move], of: Ints) -> None:
        self.messages += int(np.array([len(m.sizes) for m in moves], np.int64)[of].sum())
        self.bytes += int(np.array([sum(m.sizes) for m in moves], np.int64)[of].sum())

    def _one_message(self, at: int, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        has = np.array([at < len(m.sizes) for m in moves])
        columns = [
            np.array([getattr(m, name)[at] if at < len(m.sizes) else 0 for m in moves], np.int64)
            for name in ("sizes", "costs", "clusters")
        ]
        delay = np.array([delay_of(m, at) for m in moves], np.int64)
        if has.all():
            rows: NDArray[np.bool_] | slice = slice(None)
        else:
            rows = has[of]
        which, place = of[rows], batch.place[rows]
        size, cost, clusters = (column[which] for column in columns)
        received = self._down.arrival_ns(place, batch.sent_at(at)[rows], size)
        applied = self._worked(place, received, cost, clusters)
        before = self._workers_ns[place]
        self._workers_ns[place] = np.where(
            delay[which] >= 0, np.maximum(before, applied + delay[which]), before
        )
        if self.views is not None:
            view = np.array([m.views[at] if at < len(m.views) else NULL for m in moves], np.int32)[which]
            self.views.note(place, self._workers_ns[place], np.where(delay[which] >= 0, view, NULL))
        for columns_, values in (
            (batch.received_ns, received),
            (batch.applied_ns, applied),
            (batch.workers_ns, before),
        ):
            columns_.append(spread(values, rows, len(of)))

    def _worked(self, place: Small, received: Ints, cost: Ints | int, clusters: Ints) -> Ints:
        """When main threads are done with a job each that came at these instants."""
        busy = self._busy_until_ns[place]
        start = np.maximum(received, busy)
        done: Ints = start.copy()
        done += cost
        if not self._flushes.is_off:
            done += self._flushes.stall_ns(place, start, busy, clusters)
        self._busy_until_ns[place] = done
        self.main_thread_busy_ns[place] += np.where(done <= self._settings.end_ns, done - start, 0)
        return done

    # --- proxies that become rows in the run

    def begin(self, place: NDArray[np.int64], constructed_ns: Ints) -> None:
        """Envoys of these places are constructed in the run, at these instants."""
        self._flushes.begin(place, constructed_ns)

    def standing(self, place: int) -> Standing:
        """Where the proxy of a place stands."""
        up, down = self._up, self._down
        return Standing(
            int(up.sent[place]),
            int(up.last_ns[place]),
            int(down.sent[place]),
            int(down.last_ns[place]),
            int(self._busy_until_ns[place]),
            int(self.main_thread_busy_ns[place]),
            *self._flushes.standing(place),
            int(self._openings[place]),
            int(self._workers_ns[place]),
        )

    def settle_in(self, place: int, state: int, standing: Standing) -> None:
        """A proxy becomes a row, in this state."""
        self._state[place] = state
        self._up.sent[place], self._up.last_ns[place] = standing.sent_up, standing.last_up_ns
        self._down.sent[place], self._down.last_ns[place] = standing.sent_down, standing.last_down_ns
        self._busy_until_ns[place], self.main_thread_busy_ns[place] = standing.busy_until_ns, standing.busy_ns
        self._flushes.continue_from(place, standing[6:9])
        self._openings[place], self._workers_ns[place] = standing.opened, standing.workers_ns

    # --- streams that end, and new ones (fleet/redials.py)

    def closed_ns(self, place: Small, at_ns: Ints, clusters: Ints) -> Ints:
        """When proxies have closed a stream that istiod ends at these instants."""
        return self._worked(place, self._down.arrival_ns(place, at_ns, 0), 0, clusters)

    def opens_ns(self, place: Small, left_ns: Ints) -> Ints:
        """When streams are at istiod that proxies, each once, open at these instants."""
        self._openings[place] += 1  # on its way before any message
        return self._up.arrival_ns(place, left_ns, 0)

    def asked_ns(self, place: Small, left_ns: Ints, size: Ints) -> Ints:
        """When what proxies send at these instants is at istiod."""
        return self._up.arrival_ns(place, left_ns, size)

    def _check_warming(self, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        """A cluster whose endpoints arrive behind its fetch timeout goes into service without: not in
        arrays."""
        timeout_ns = self._settings.eds_timeout_ns
        for number, move in enumerate(moves):
            if timeout_ns == 0 or move.warms is None:
                continue
            begin, end = (
                column[at]
                for column, at in zip((batch.applied_ns, batch.received_ns), move.warms, strict=True)
            )
            if ((end - begin > timeout_ns) & (of == number)).any():
                raise CannotTakeFleet("endpoints that come behind their envoy.initial_fetch_timeout")

    def _one_request(self, at: int, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        """The request at this position of each move leaves with the end of a main-thread job."""
        none = Request(0, 0, NULL)
        asked = [m.requests[at] if at < len(m.requests) else none for m in moves]
        has = np.array([at < len(m.requests) for m in moves])
        after, size, answers = (np.array(column, np.int64)[of] for column in zip(*asked, strict=True))
        rows: NDArray[np.bool_] | slice = slice(None) if has.all() else has[of]
        left = chosen(batch.applied_ns, after, [request.after for request in asked])
        ends_ns = None if self.ends_ns is None else self.ends_ns[batch.place]
        if ends_ns is not None:
            # Nothing leaves on a stream that has ended, and what is under way by then is lost.
            rows = has[of] & (left < ends_ns)
        arrived = self._up.arrival_ns(batch.place[rows], left[rows], size[rows])
        if ends_ns is not None:
            arrived = np.where(arrived < ends_ns[rows], arrived, NEVER)
        in_time = arrived <= self._settings.end_ns
        self.messages += int(in_time.sum())
        self.bytes += int(size[rows][in_time].sum())
        arrived = spread(arrived, rows, len(of))
        if ends_ns is not None:
            arrived[has[of] & (left >= ends_ns)] = NEVER
        for message in dict.fromkeys(request.answers for request in asked):
            if message >= 0:
                those = answers == message
                batch.acked_ns[message][those] = arrived[those]

    def _settle(self, moves: Sequence[Move], of: Ints, batch: Batch) -> None:
        place = batch.place
        self._state[place] = np.array([m.state for m in moves], np.int64)[of]
        for history, name in ((self._cds, "cds"), (self._lds, "lds")):
            for number, move in enumerate(moves):
                carries: tuple[int, int] | None = getattr(move, name)
                if carries is None:
                    continue
                at, content = carries
                those = slice(None) if len(moves) == 1 else of == number
                history.add(place[those], batch.sent_ns[those], batch.applied_ns[at][those], content)
        for number, move in enumerate(moves):
            if move.carried:
                rows = slice(None) if len(moves) == 1 else np.flatnonzero(of == number)
                batch.moves.append((rows, move))
