"""The poll loops of all proxies of the arrays, and the server that they share with others.

Between two publications a poll alters nothing for anybody else but the server's queue, and the next poll of a
loop comes at least ``refresh_delay`` after the one before. So polls are worked out in *windows* of that
length: the requests of a window are sorted as the clock would handle them, the server is a recursion over
them (`poll_server`), and what the answers do is done proxy by proxy on the main threads (`updates`). Within a
window requests are served in *slices*, up to the instant that is asked for; a slice ends early where an
answer that is to be applied may start a loop at once (a cluster that warms), and where what the proxy has
applied by then decides what an answer carries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.loops import ANSWERED, AWAY, FREE, NEVER, NO_OPEN, Loops, LoopSettings
from simulator.fleet.poll_server import Capacity
from simulator.fleet.subscriptions import NOTHING, Subscriptions
from simulator.fleet.updates import Arrived, Updates
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PollingSettings:
    """What is equal for all loops.

    Attributes:
        loops: What concerns each loop.
        bytes_per_second: Bandwidth; None for no limit.
        service_time: Of each poll; None for what its answer costs.
        envelope_bytes: Size of a message without content.
        end_ns: End of the run.
    """

    loops: LoopSettings
    bytes_per_second: int | None
    service_time: Delay | None
    envelope_bytes: int
    end_ns: int


class Polls:
    """See the module.

    Args:
        clock: Time.
        draws: Random numbers of the run.
        subscriptions: What there is to ask for, and what is published of it.
        answers: What answers do to the proxies.
        servers: Polls served at the same time.
        entity: The proxies, by place.
    """

    def __init__(
        self,
        settings: PollingSettings,
        clock: Clock,
        draws: Draws,
        subscriptions: Subscriptions[Resources, Names],
        answers: Updates,
        servers: int,
        entity: Ints,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._subscriptions, self._updates, self._entity = subscriptions, answers, entity
        self._loops = Loops(settings.loops, draws, subscriptions, entity)
        self._capacity = Capacity(servers)
        self._others: deque[tuple[int, int, Callable[[], int]]] = deque()
        self._is_offered = False
        self.messages = self.bytes = 0
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._order_ns: Ints = np.empty(0, np.int64)
        self._cursor = 0
        self._window_end_ns = 0
        self._extras: NDArray[np.int64] = np.empty(0, np.int64)
        self._answered: list[NDArray[np.int64]] = []
        self._opened = 0
        self._is_over = False
        self._left = 0
        self._may_warm = False

    # --- what others see of it

    @property
    def busy_ns(self) -> int:
        """Time that the server was busy."""
        return self._capacity.busy_ns

    @property
    def jobs(self) -> int:
        """Polls served."""
        return self._capacity.jobs

    @property
    def queue_length(self) -> int:
        """Polls that wait at the end of the run."""
        return self._left

    # --- the others in the queue (propagation/http_server.py: Serving)

    def submit(self, serve: Callable[[], int], entity: int) -> None:
        """A poll of a proxy that is played by messages arrives."""
        self._others.append((self._clock.now_ns, entity, serve))
        self.advance(self._clock.now_ns, is_strict=True)

    def ahead(self, horizon_ns: int) -> None:
        """Everything before the horizon that somebody on the clock waits for happens."""
        if self._others and not self._is_offered:
            self.advance(horizon_ns - 1)

    def _offer(self, last_ns: int, *, is_strict: bool) -> bool:
        """The first of the others is next; whether it was served at once."""
        arrived_ns, _, _ = self._others[0]
        start_ns = max(arrived_ns, self._capacity.free_ns)
        if start_ns == arrived_ns == self._clock.now_ns:
            self._serve_other()
            return True
        waited = start_ns > arrived_ns
        if start_ns < last_ns or (start_ns == last_ns and not (is_strict and waited)):
            self._is_offered = True
            self._clock.at(start_ns, self._serve_other, band=Band.COMPLETION)
        return False

    def _serve_other(self) -> None:
        _, _, serve = self._others.popleft()
        self._is_offered = False
        self._capacity.take(self._clock.now_ns, serve())

    # --- time

    def before_publication(self) -> None:
        """What is published changes now: polls that were served before are answered as before."""
        self.advance(self._clock.now_ns, is_strict=True)

    def after_publication(self) -> None:
        """It has changed."""
        self._may_warm = True

    def finish(self) -> None:
        """The run is over."""
        end_ns = self._settings.end_ns
        self.advance(end_ns)
        # Who waits now waits on: it times out and asks again.
        self._left, self._is_over = len(self._others), True
        self._others.clear()
        self.advance(end_ns)
        while not self._work_off(end_ns + 1):
            self.advance(end_ns)

    def advance(self, last_ns: int, *, is_strict: bool = False) -> None:
        """Every request is served that starts up to an instant; at that instant itself, if `is_strict`, only
        those that need not wait."""
        while not self._is_offered and self._slice(last_ns, is_strict):
            pass

    # --- windows

    def _open_window(self, last_ns: int) -> bool:
        """The requests of the next window, in order; whether there may be any in time."""
        loops = self._loops
        loops.reuse()
        self._extras = np.empty(0, np.int64)
        away = np.flatnonzero(loops.state == AWAY)
        first_ns = int(loops.departs_ns[away].min(initial=NEVER))
        for ids in self._answered:
            first_ns = min(first_ns, int(loops.instant[ids].min(initial=NEVER)) // 2)
        if first_ns > last_ns or self._window_end_ns > self._settings.end_ns:
            return False
        end_ns = max(self._window_end_ns, first_ns) + self._settings.loops.refresh_ns
        self._window_end_ns = end_ns = min(end_ns, self._settings.end_ns + 1)
        arrival_ns = loops.arrival_ns[away]
        chosen = np.flatnonzero(arrival_ns < end_ns)
        self._order = loops.in_order(away[chosen])
        self._order_ns = loops.arrival_ns[self._order]
        self._cursor = 0
        if self._may_warm:
            on_the_way = any(self._has_clusters(ids).any() for ids in self._answered)
            self._may_warm = on_the_way or bool(self._warms(np.flatnonzero(loops.state != FREE)).any())
        return True

    def _warms(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Requests whose answer may make clusters warm."""
        loops = self._loops
        sub, subscriptions = loops.sub[ids], self._subscriptions
        warms: NDArray[np.bool_] = subscriptions.is_cds[sub] & (
            loops.version[ids] != subscriptions.current[sub]
        )
        return warms

    # --- slices

    def _slice(self, last_ns: int, is_strict: bool) -> bool:
        """Serves some requests; whether there may be more in time."""
        if self._cursor == len(self._order) and not self._has_extras_in_window():
            return self._go_on(last_ns, is_strict)
        warm_ns = self._first_warming_ns()
        cut_ns = min(last_ns, warm_ns - 1, self._window_end_ns - 1)
        ids, is_main = self._candidates(cut_ns)
        is_whole = warm_ns > last_ns
        if self._others:
            before = self._before_others(ids)
            if before < len(ids):
                ids, is_main = ids[:before], is_main[:before]
                if not len(ids):
                    return self._offer(last_ns, is_strict=is_strict)
        if not len(ids):
            if self._others and not self._is_behind_rows() and is_whole:
                return self._offer(last_ns, is_strict=is_strict)
            if is_whole and cut_ns == last_ns:
                return False
            self._work_off(self._next_ns())
            return True
        wanted = len(ids)
        ids, is_main = self._uncontested(ids, is_main)
        if not len(ids):
            return True
        count = self._leave_waiting(ids) if self._is_over else self._serve(ids, last_ns, is_strict=is_strict)
        self._consume(ids[:count], is_main[:count])
        if count < len(ids):
            return False
        if count < wanted or not is_whole:
            self._work_off(self._next_ns())
        return True

    def _go_on(self, last_ns: int, is_strict: bool) -> bool:
        """The requests of the window are served."""
        if not self._work_off(self._window_end_ns) or self._has_extras_in_window():
            return True
        is_behind = not self._others or self._is_behind_rows()
        if is_behind and self._open_window(last_ns):
            return True
        return bool(self._others) and self._offer(last_ns, is_strict=is_strict)

    def _has_extras_in_window(self) -> bool:
        loops = self._loops
        return bool(len(self._extras)) and bool((loops.arrival_ns[self._extras] < self._window_end_ns).any())

    def _next_ns(self) -> int:
        """Every request that is not served arrives then or later."""
        loops = self._loops
        next_ns = self._window_end_ns
        if self._cursor < len(self._order):
            next_ns = min(next_ns, int(self._order_ns[self._cursor]))
        if len(self._extras):
            next_ns = min(next_ns, int(loops.arrival_ns[self._extras].min()))
        return next_ns

    def _first_warming_ns(self) -> int:
        """Before then no loop can be started by an answer that is given already."""
        loops = self._loops
        first_ns = NEVER
        if not self._may_warm:
            return first_ns
        # A request that arrives at that instant itself comes before one that is sent at it.
        least_ns = max(1, self._updates.least_ns + loops.shortest_ns)
        for ids in self._answered:
            those = ids[self._has_clusters(ids)]
            if len(those):
                first_ns = min(first_ns, int(loops.instant[those].min()) // 2 + least_ns)
        return first_ns

    def _has_clusters(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Updates at or before proxies that may make clusters warm."""
        loops = self._loops
        has: NDArray[np.bool_] = self._subscriptions.is_cds[loops.sub[ids]] & (loops.answer[ids] != NOTHING)
        return has

    def _candidates(self, cut_ns: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Requests that arrive up to then, in order, and which of them are the window's own."""
        loops = self._loops
        end = self._cursor + int(np.searchsorted(self._order_ns[self._cursor :], cut_ns, "right"))
        ids = self._order[self._cursor : end]
        if loops.has_cancelled and len(ids):
            is_left = loops.state[ids] == AWAY
            if not is_left.all():
                # Those at the beginning are passed over for good; then as many as stand together.
                begin = int(is_left.argmax()) if is_left.any() else len(ids)
                self._cursor += begin
                ids, is_left = ids[begin:], is_left[begin:]
                if not is_left.all():
                    ids = ids[: int((~is_left).argmax())]
                    cut_ns = min(cut_ns, int(loops.arrival_ns[ids[-1]]))
        is_main = np.ones(len(ids), bool)
        if len(self._extras):
            extra = self._extras[loops.arrival_ns[self._extras] <= cut_ns]
            if len(extra):
                both = np.concatenate([ids, extra])
                order = np.lexsort((loops.turn[both], loops.place[both], loops.arrival_ns[both]))
                ids, is_main = both[order], order < len(ids)
        return ids, is_main

    def _consume(self, ids: NDArray[np.int64], is_main: NDArray[np.bool_]) -> None:
        loops = self._loops
        self._cursor += int(is_main.sum())
        if len(self._extras) and not is_main.all():
            self._extras = self._extras[loops.state[self._extras] == AWAY]

    def _before_others(self, ids: NDArray[np.int64]) -> int:
        """How many of these come before the first request of others."""
        loops = self._loops
        arrived_ns, entity, _ = self._others[0]
        arrival_ns = loops.arrival_ns[ids]
        count = int(np.searchsorted(arrival_ns, arrived_ns))
        until = int(np.searchsorted(arrival_ns, arrived_ns, "right"))
        return count + int((self._entity[loops.place[ids[count:until]]] < entity).sum())

    def _is_behind_rows(self) -> bool:
        """Whether requests that are not known yet may come before the first of others."""
        return self._others[0][0] >= self._window_end_ns

    def _uncontested(
        self, ids: NDArray[np.int64], is_main: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """As many as can be served together: an answer may start loops, and what it carries may depend on one
        before it."""
        loops = self._loops
        if self._may_warm:
            warms = np.flatnonzero(self._warms(ids))
            if len(warms):
                least_ns = 2 * loops.shortest_ns + self._updates.least_ns
                until_ns = int(loops.arrival_ns[ids[warms[0]]]) + max(0, least_ns - 1)
                count = int(np.searchsorted(loops.arrival_ns[ids], until_ns, "right"))
                ids, is_main = ids[:count], is_main[:count]
        if loops.doubles and not self._is_over:
            count = self._clear(ids)
            ids, is_main = ids[:count], is_main[:count]
        return ids, is_main

    def _clear(self, ids: NDArray[np.int64]) -> int:
        """How many of these can be served before it matters what a proxy has applied by then of an answer to
        another loop of the same subscription."""
        loops = self._loops
        keys = loops.key[ids]
        _, first = np.unique(keys, return_index=True)
        is_again = np.ones(len(ids), bool)
        is_again[first] = False
        unclear = np.flatnonzero(is_again | (loops.unapplied[keys] > 0))
        if not len(unclear):
            return len(ids)
        if unclear[0] > 0:
            return int(unclear[0])
        # What the proxy has applied when this one is served.
        before, start_ns = loops.unapplied[keys[0]], max(self._next_ns(), self._capacity.free_ns)
        if not self._work_off(self._waits_end_ns(start_ns)):
            return 0
        return int(loops.state[ids[0]] == AWAY and loops.unapplied[keys[0]] == before)

    def _waits_end_ns(self, until_ns: int) -> int:
        """Until then no request that waits times out: what is at proxies is all there is for them to do."""
        loops = self._loops
        end = int(np.searchsorted(self._order_ns, until_ns))
        waiting = self._order[self._cursor : end]
        waiting = waiting[loops.state[waiting] == AWAY]
        first_ns = int(loops.departs_ns[waiting].min(initial=NEVER)) + self._settings.loops.timeout_ns
        if first_ns < until_ns:
            raise CannotTakeFleet("polls that time out while a cluster of the proxy warms")
        return until_ns

    # --- the server

    def _serve(self, ids: NDArray[np.int64], last_ns: int, *, is_strict: bool) -> int:
        loops = self._loops
        settings, subscriptions = self._settings, self._subscriptions
        sub, key = loops.sub[ids], loops.key[ids]
        answer = subscriptions.current[sub]
        is_new = answer != loops.version[ids]
        has_new = bool(is_new.any())
        service = self._service_ns(ids, sub, key, is_new)
        arrival_ns = loops.arrival_ns[ids]
        starts = self._capacity.serve(arrival_ns, service, last_ns, is_strict=is_strict)
        count = len(starts)
        if not count:
            return 0
        if count < len(ids):
            ids, sub, key = ids[:count], sub[:count], key[:count]
            answer, is_new = answer[:count], is_new[:count]
            service, arrival_ns = service[:count], arrival_ns[:count]
        if settings.service_time is not None and not isinstance(settings.service_time, Constant):
            loops.served[key] += 1
        if self._opened:
            self._read_acks(ids, sub, key, arrival_ns)
        self._count_requests(sub)
        left_ns = starts + service
        back_ns = left_ns + loops.back_ns(ids)
        if has_new:
            new = np.flatnonzero(is_new)
            loops.answer[ids] = np.where(is_new, answer, NOTHING)
            size = subscriptions.size_bytes[sub[new]] + settings.envelope_bytes
            self.messages += len(new)
            self.bytes += int(size.sum())
            if settings.bytes_per_second is not None:
                back_ns[new] += size * S // settings.bytes_per_second
            self._carry(ids[new], sub[new], key[new], answer[new], starts[new], left_ns[new])
        else:
            loops.answer[ids] = NOTHING
        due_ns = loops.departs_ns[ids] + settings.loops.timeout_ns
        is_late = back_ns > due_ns
        loops.instant[ids] = 2 * np.where(is_late, due_ns, back_ns) + is_late
        loops.state[ids] = ANSWERED
        self._answered.append(ids)
        return count

    def _leave_waiting(self, ids: NDArray[np.int64]) -> int:
        """The run ends before these are served."""
        loops = self._loops
        if self._opened:
            _, first = np.unique(loops.key[ids], return_index=True)
            one = ids[first]
            self._read_acks(one, loops.sub[one], loops.key[one], loops.arrival_ns[one])
        self._count_requests(loops.sub[ids])
        self._left += len(ids)
        loops.answer[ids] = NOTHING
        loops.instant[ids] = 2 * (loops.departs_ns[ids] + self._settings.loops.timeout_ns) + 1
        loops.state[ids] = ANSWERED
        self._answered.append(ids)
        return len(ids)

    def _service_ns(
        self, ids: NDArray[np.int64], sub: NDArray[np.int32], key: Ints, is_new: NDArray[np.bool_]
    ) -> Ints:
        loops = self._loops
        law, subscriptions = self._settings.service_time, self._subscriptions
        if law is None:
            service: Ints = np.where(is_new, subscriptions.answer_ns[sub], subscriptions.unchanged_ns)
            return service
        if isinstance(law, Constant):
            return np.full(len(ids), law.value_ns, np.int64)
        return loops.service_ns(law, ids)

    def _count_requests(self, sub: NDArray[np.int32]) -> None:
        self.messages += len(sub)
        self.bytes += int(self._subscriptions.request_bytes[sub].sum())

    def _read_acks(self, ids: NDArray[np.int64], sub: NDArray[np.int32], key: Ints, arrival_ns: Ints) -> None:
        """A request states the version last accepted (propagation/http_server.py: Acknowledgements)."""
        loops = self._loops
        if loops.doubles and ((loops.opened_by[key] != ids) & (loops.opened_ns[key] > arrival_ns)).any():
            raise CannotTakeFleet("polls of two loops of one subscription that wait at once")
        acks = np.flatnonzero(loops.open_version[key] == loops.version[ids])
        if not len(acks):
            return
        keys = key[acks]
        self._updates.acked(
            sub[acks],
            loops.place[ids[acks]],
            loops.open_from[keys],
            loops.open_to[keys],
            arrival_ns[acks],
        )
        loops.open_version[keys] = NO_OPEN
        self._opened -= len(acks)

    def _carry(
        self,
        ids: NDArray[np.int64],
        sub: NDArray[np.int32],
        key: Ints,
        answer: NDArray[np.int32],
        starts: Ints,
        left_ns: Ints,
    ) -> None:
        """What these answers carry: what was published since the last one that is applied."""
        loops = self._loops
        seen = np.where(loops.applied_ns[key] < starts, loops.seen[key], loops.seen_before[key])
        loops.carry_from[ids], loops.carry_to[ids] = seen, self._subscriptions.publications
        loops.started_ns[ids], loops.left_ns[ids] = starts, left_ns
        loops.unapplied[key] += 1
        carries = self._updates.sent(sub, loops.place[ids], seen, loops.arrival_ns[ids], starts, left_ns)
        if carries.any():
            keys = key[carries]
            self._opened += int((loops.open_version[keys] == NO_OPEN).sum())
            loops.open_version[keys] = answer[carries]
            loops.opened_by[keys], loops.opened_ns[keys] = ids[carries], starts[carries]
            loops.open_from[keys], loops.open_to[keys] = (
                seen[carries],
                self._subscriptions.publications,
            )

    # --- the proxies

    def _work_off(self, until_ns: int) -> bool:
        """What is at the proxies before then is handled by their main threads, in order; whether all of it.
        Not what may come after the answer to a loop that one of them starts."""
        loops = self._loops
        if not self._answered:
            return True
        first_ns = min(until_ns, self._first_warming_ns())
        ids = self._answered[0] if len(self._answered) == 1 else np.concatenate(self._answered)
        instant = loops.instant[ids]
        is_ready = instant < 2 * first_ns
        is_all = first_ns == until_ns or not (instant[~is_ready] < 2 * until_ns).any()
        self._answered = []
        if not is_ready.all():
            self._answered.append(ids[~is_ready])
            ids, instant = ids[is_ready], instant[is_ready]
        if len(ids):
            self._handle(ids[_ranked(instant)])
        return is_all

    def _handle(self, ids: NDArray[np.int64]) -> None:
        """Of each proxy the first of these jobs, then the second, and so on."""
        loops = self._loops
        mark = self._updates.mark
        while len(ids):
            places, at = loops.place[ids], np.arange(len(ids), dtype=np.int32)
            mark[places[::-1]] = at[::-1]
            is_first = mark[places] == at
            if is_first.all():
                self._jobs(ids)
                break
            self._jobs(ids[is_first])
            ids = ids[~is_first]

    def _jobs(self, ids: NDArray[np.int64]) -> None:
        """One job of each of these proxies."""
        loops = self._loops
        instant = loops.instant[ids]
        at_ns = instant >> 1
        is_new = loops.answer[ids] != NOTHING
        has_new = bool(is_new.any())
        if loops.doubles:
            dropped = at_ns > loops.stopped_ns[ids]
            if dropped.any():
                gone = ids[dropped]
                loops.unapplied[loops.key[gone[loops.answer[gone] != NOTHING]]] -= 1
                loops.drop(gone)
                ids, at_ns, is_new, instant = (a[~dropped] for a in (ids, at_ns, is_new, instant))
        place = loops.place[ids]
        if not has_new:
            done_ns = self._updates.idle_jobs(place, at_ns)
        else:
            done_ns = self._jobs_with_content(ids, place, at_ns, is_new, (instant & 1).astype(bool))
        loops.turns += 2
        if loops.doubles:
            stopped = loops.stopped_ns[ids] <= done_ns
            if stopped.any():
                loops.drop(ids[stopped])
                ids, done_ns = ids[~stopped], done_ns[~stopped]
        loops.wait(ids, done_ns)

    def _jobs_with_content(
        self,
        ids: NDArray[np.int64],
        place: NDArray[np.int32],
        at_ns: Ints,
        is_new: NDArray[np.bool_],
        is_late: NDArray[np.bool_],
    ) -> Ints:
        loops = self._loops
        key = loops.key[ids]
        loops.unapplied[key[is_new]] -= 1
        applies = is_new & ~is_late
        which = np.flatnonzero(applies)
        chosen = ids[which]
        arrived = Arrived(
            loops.sub[chosen],
            place[which],
            loops.answer[chosen],
            loops.carry_from[chosen],
            loops.carry_to[chosen],
            loops.arrival_ns[chosen],
            loops.started_ns[chosen],
            loops.left_ns[chosen],
            at_ns[which],
            at_ns[which] > loops.superseded_ns[chosen],
            loops.stopped_ns[chosen],
        )
        done_ns = self._updates.jobs(place, at_ns, which, arrived, self._updates.least_ns)
        kept = done_ns[which] < loops.stopped_ns[chosen]
        self._accept(chosen[kept], done_ns[which][kept])
        for begun in self._updates.take_warmed():
            self._extras = np.concatenate([self._extras, loops.start(*begun)])
        for place_, sub, t_ns in self._updates.take_served():
            loops.stop_older(self._subscriptions.layout.keys(place_, sub), t_ns)
        return done_ns

    def _accept(self, ids: NDArray[np.int64], done_ns: Ints) -> None:
        """The next request states the version."""
        loops = self._loops
        key = loops.key[ids]
        loops.version[ids] = loops.answer[ids]
        loops.seen_before[key] = loops.seen[key]
        loops.seen[key] = np.maximum(loops.seen[key], loops.carry_to[ids])
        loops.applied_ns[key] = done_ns

    # --- loops that come and go while a cluster warms


def _ranked(instant: Ints) -> NDArray[np.int64]:
    """Positions by instant, those of one instant in the order they are in."""
    first = int(instant.min())
    bits = max(1, (len(instant) - 1).bit_length())
    if int(instant.max()) - first < 1 << (62 - bits):
        packed = ((instant - first) << bits) | np.arange(len(instant))
        packed.sort()
        ranked: NDArray[np.int64] = packed & ((1 << bits) - 1)
        return ranked
    return np.argsort(instant, kind="stable")
