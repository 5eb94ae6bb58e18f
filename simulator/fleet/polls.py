"""The poll loops of all proxies of the arrays, and the server that they share with others.

Between two publications a poll alters nothing for anybody else but the server's queue, and the next poll of a
loop comes at least ``refresh_delay`` after the one before. So polls are worked out in *windows* of that
length: the requests of a window are sorted as the clock would handle them, the server is a recursion over
them (`poll_server`), and what the answers do is done proxy by proxy on the main threads (`answers`). Within a
window requests are served in *slices*, up to the instant that is asked for; a slice ends early where an
answer that is to be applied may start a loop at once (a cluster that warms), and where what the proxy has
applied by then decides what an answer carries.

Loops stand in *slots*. Each subscription of a proxy has a *key*, the number of its first slot; a second loop
of the same key lives while its cluster warms (rules W4, W5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Delay, Uniform
from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.fleet.answers import Answers, Arrived
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.poll_server import Capacity
from simulator.fleet.streams import distinct
from simulator.fleet.subscriptions import NOTHING, Subscriptions

Ints = NDArray[np.int64]

NEVER = 2**62
FREE, AWAY, ANSWERED = range(3)
"""Where a loop stands: none here, its request is on its way or waits, its answer is or will be at the proxy."""

_NO_OPEN = -2
_ROOM = 1024


@dataclass(frozen=True, slots=True)
class PollingSettings:
    """What is equal for all loops.

    Attributes:
        refresh_ns: ``refresh_delay``.
        timeout_ns: ``request_timeout``.
        latency: Of each message.
        bytes_per_second: Bandwidth; None for no limit.
        service_time: Of each poll; None for what its answer costs.
        envelope_bytes: Size of a message without content.
        end_ns: End of the run.
    """

    refresh_ns: int
    timeout_ns: int
    latency: Delay
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
        subscriptions: Subscriptions,
        answers: Answers,
        servers: int,
        entity: Ints,
    ) -> None:
        self._settings, self._clock, self._draws = settings, clock, draws
        self._subscriptions, self._answers, self._entity = subscriptions, answers, entity
        self._capacity = Capacity(servers)
        self._others: deque[tuple[int, int, Callable[[], int]]] = deque()
        self._is_offered = False
        self.messages = self.bytes = 0
        self._shortest_ns = int(settings.latency.ns(0.0))
        self._keys_of_draws()
        self._make_slots()
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._order_ns: Ints = np.empty(0, np.int64)
        self._cursor = 0
        self._window_end_ns = 0
        self._extras: NDArray[np.int64] = np.empty(0, np.int64)
        self._answered: list[NDArray[np.int64]] = []
        self._has_cancelled = False
        self._doubles = 0
        self._may_warm = False

    def _keys_of_draws(self) -> None:
        names = [f"{s.type_name}/{s.name}" for s in self._subscriptions.all]
        keys = self._draws.keys
        self._refresh_key = keys([f"envoy.refresh_delay.{name}" for name in names])
        self._up_key = keys([f"network.latency.to_server.{name}" for name in names])
        self._down_key = keys([f"network.latency.to_client.{name}" for name in names])
        self._service_key = keys([f"istiod.poll/0/{name}" for name in names])

    def _make_slots(self) -> None:
        layout = self._subscriptions.layout
        size = len(layout.key_sub)
        self._place, self._sub = layout.key_place.copy(), layout.key_sub.copy()
        self._key = np.arange(size, dtype=np.int64)
        self._state = np.full(size, AWAY, np.int8)
        self._version = np.zeros(size, np.int32)
        self._turn = np.arange(size, dtype=np.int64)
        self._turns = size
        self._is_new = np.zeros(size, bool)
        self._superseded_ns, self._stopped_ns = (np.full(size, NEVER, np.int64) for _ in range(2))
        self._instant = np.zeros(size, np.int64)
        self._answer = np.full(size, NOTHING, np.int32)
        self._carry_from, self._carry_to = (np.zeros(size, np.int32) for _ in range(2))
        self._started_ns, self._left_ns = (np.zeros(size, np.int64) for _ in range(2))
        self._free: list[int] = []
        self._cancelled: list[int] = []
        # By key.
        self._newest, self._older = np.arange(size, dtype=np.int64), np.full(size, -1, np.int64)
        self._unapplied = np.zeros(size, np.int8)
        self._seen, self._seen_before = (np.zeros(size, np.int32) for _ in range(2))
        self._applied_ns = np.full(size, -1, np.int64)
        self._served = np.zeros(size, np.int32)
        self._open_version = np.full(size, _NO_OPEN, np.int32)
        self._open_from, self._open_to = (np.zeros(size, np.int32) for _ in range(2))
        self._opened = 0
        self._begin_waits()

    def _begin_waits(self) -> None:
        """Who polls since long ago is met in the middle of a wait (propagation/poll.py)."""
        refresh_ns, sub = self._settings.refresh_ns, self._sub
        sent = np.array([s.sent for s in self._subscriptions.all], np.int64)[sub]
        u = self._draws.uniform_of(self._refresh_key[sub], self._entity[self._place], sent - 1)
        self._sent = sent
        self._departs_ns = Uniform(refresh_ns, 2 * refresh_ns).residual_ns_array(u)
        self._arrival_ns = np.zeros(len(sub), np.int64)
        self._send(np.arange(len(sub)))

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
        """Polls that wait, at the end of the run."""
        waiting = (self._state == AWAY) & (self._arrival_ns <= self._settings.end_ns)
        return int(waiting.sum()) + len(self._others)

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
        self._work_off(end_ns + 1)
        late = (self._state == AWAY) & (self._arrival_ns <= end_ns)
        self._count_requests(self._sub[late])

    def advance(self, last_ns: int, *, is_strict: bool = False) -> None:
        """Every request is served that starts up to an instant; at that instant itself, if `is_strict`, only
        those that need not wait."""
        while not self._is_offered and self._slice(last_ns, is_strict):
            pass

    # --- windows

    def _open_window(self, last_ns: int) -> bool:
        """The requests of the next window, in order; whether there may be any in time."""
        self._free += self._cancelled
        self._cancelled.clear()
        self._has_cancelled = False
        self._extras = np.empty(0, np.int64)
        away = np.flatnonzero(self._state == AWAY)
        first_ns = int(self._departs_ns[away].min(initial=NEVER))
        for ids in self._answered:
            first_ns = min(first_ns, int(self._instant[ids].min(initial=NEVER)) // 2)
        if first_ns > last_ns or self._window_end_ns > self._settings.end_ns:
            return False
        end_ns = max(self._window_end_ns, first_ns) + self._settings.refresh_ns
        self._window_end_ns = end_ns = min(end_ns, self._settings.end_ns + 1)
        arrival_ns = self._arrival_ns[away]
        chosen = np.flatnonzero(arrival_ns < end_ns)
        self._order = self._in_order(away[chosen])
        self._order_ns = self._arrival_ns[self._order]
        self._cursor = 0
        if self._may_warm:
            on_the_way = any(self._has_clusters(ids).any() for ids in self._answered)
            self._may_warm = on_the_way or bool(self._warms(away).any())
        return True

    def _warms(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Requests whose answer may make clusters warm."""
        sub, subscriptions = self._sub[ids], self._subscriptions
        warms: NDArray[np.bool_] = subscriptions.is_cds[sub] & (
            self._version[ids] != subscriptions.current[sub]
        )
        return warms

    def _in_order(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """By arrival, proxy, and turn."""
        arrival_ns = self._arrival_ns[ids]
        if not len(ids):
            return ids
        first_ns = int(arrival_ns.min())
        bits = max(1, (len(ids) - 1).bit_length())
        if int(arrival_ns.max()) - first_ns < 1 << (62 - bits):
            # One sort of numbers that hold the position costs a third of sorting positions by a key.
            packed = ((arrival_ns - first_ns) << bits) | np.arange(len(ids))
            packed.sort()
            ids = ids[packed & ((1 << bits) - 1)]
            arrival_ns = self._arrival_ns[ids]
            same = np.flatnonzero(arrival_ns[1:] == arrival_ns[:-1])
            # Those that arrive with another; few.
            tied = distinct(np.concatenate([same, same + 1]))
            those = ids[tied]
            ids[tied] = those[np.lexsort((self._turn[those], self._place[those], arrival_ns[tied]))]
            return ids
        return ids[np.lexsort((self._turn[ids], self._place[ids], arrival_ns))]

    # --- slices

    def _slice(self, last_ns: int, is_strict: bool) -> bool:
        """Serves some requests; whether there may be more in time."""
        if self._cursor == len(self._order) and not self._has_extras_in_window():
            self._work_off(self._window_end_ns)
            if self._has_extras_in_window():
                return True
            is_behind = not self._others or self._is_behind_rows()
            if is_behind and self._open_window(last_ns):
                return True
            return bool(self._others) and self._offer(last_ns, is_strict=is_strict)
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
            return self._work_off(self._next_ns())
        wanted = len(ids)
        ids, is_main = self._uncontested(ids, is_main)
        if not len(ids):
            return True
        count = self._serve(ids, last_ns, is_strict=is_strict)
        self._consume(ids[:count], is_main[:count])
        if count < len(ids):
            return False
        if count < wanted or not is_whole:
            self._work_off(self._next_ns())
        return True

    def _has_extras_in_window(self) -> bool:
        return bool(len(self._extras)) and bool(
            (self._arrival_ns[self._extras] < self._window_end_ns).any()
        )

    def _next_ns(self) -> int:
        """Every request that is not served arrives then or later."""
        next_ns = self._window_end_ns
        if self._cursor < len(self._order):
            next_ns = min(next_ns, int(self._order_ns[self._cursor]))
        if len(self._extras):
            next_ns = min(next_ns, int(self._arrival_ns[self._extras].min()))
        return next_ns

    def _first_warming_ns(self) -> int:
        """Before then no loop can be started by an answer that is given already."""
        first_ns = NEVER
        if not self._may_warm:
            return first_ns
        # A request that arrives at that instant itself comes before one that is sent at it.
        least_ns = max(1, self._answers.least_ns + self._shortest_ns)
        for ids in self._answered:
            those = ids[self._has_clusters(ids)]
            if len(those):
                first_ns = min(first_ns, int(self._instant[those].min()) // 2 + least_ns)
        return first_ns

    def _has_clusters(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Answers at or before proxies that may make clusters warm."""
        has: NDArray[np.bool_] = self._subscriptions.is_cds[self._sub[ids]] & (self._answer[ids] != NOTHING)
        return has

    def _candidates(self, cut_ns: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Requests that arrive up to then, in order, and which of them are the window's own."""
        end = self._cursor + int(np.searchsorted(self._order_ns[self._cursor :], cut_ns, "right"))
        ids = self._order[self._cursor : end]
        is_main = np.ones(len(ids), bool)
        if self._has_cancelled:
            gone = self._state[ids] != AWAY
            if gone.any():
                # Those before the first that is left are passed over for good, the others when it is served.
                kept = np.flatnonzero(~gone)
                if not len(kept):
                    self._cursor = end
                elif kept[0]:
                    self._cursor += int(kept[0])
                    ids, gone = ids[kept[0] :], gone[kept[0] :]
                first_gone = np.flatnonzero(gone)
                if len(kept) and len(first_gone):
                    ids = ids[: first_gone[0]]
                elif not len(kept):
                    ids = ids[:0]
                is_main = np.ones(len(ids), bool)
                if len(first_gone) and len(ids):
                    cut_ns = min(cut_ns, int(self._arrival_ns[ids[-1]]))
        if len(self._extras):
            extra = self._extras[self._arrival_ns[self._extras] <= cut_ns]
            if len(extra):
                both = np.concatenate([ids, extra])
                order = np.lexsort((self._turn[both], self._place[both], self._arrival_ns[both]))
                ids, is_main = both[order], order < len(ids)
        return ids, is_main

    def _consume(self, ids: NDArray[np.int64], is_main: NDArray[np.bool_]) -> None:
        self._cursor += int(is_main.sum())
        if len(self._extras) and not is_main.all():
            self._extras = self._extras[self._state[self._extras] == AWAY]

    def _before_others(self, ids: NDArray[np.int64]) -> int:
        """How many of these come before the first request of others."""
        arrived_ns, entity, _ = self._others[0]
        arrival_ns = self._arrival_ns[ids]
        count = int(np.searchsorted(arrival_ns, arrived_ns))
        until = int(np.searchsorted(arrival_ns, arrived_ns, "right"))
        return count + int((self._entity[self._place[ids[count:until]]] < entity).sum())

    def _is_behind_rows(self) -> bool:
        """Whether requests that are not known yet may come before the first of others."""
        return self._others[0][0] >= self._window_end_ns

    def _uncontested(
        self, ids: NDArray[np.int64], is_main: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """As many as can be served together: an answer may start loops, and what it carries may depend on one
        before it."""
        if self._may_warm:
            warms = np.flatnonzero(self._warms(ids))
            if len(warms):
                least_ns = 2 * self._shortest_ns + self._answers.least_ns
                until_ns = int(self._arrival_ns[ids[warms[0]]]) + max(0, least_ns - 1)
                count = int(np.searchsorted(self._arrival_ns[ids], until_ns, "right"))
                ids, is_main = ids[:count], is_main[:count]
        if self._doubles:
            keys = self._key[ids]
            _, first = np.unique(keys, return_index=True)
            again = np.ones(len(ids), bool)
            again[first] = False
            unclear = np.flatnonzero(again | (self._unapplied[keys] > 0))
            if len(unclear):
                if unclear[0] > 0:
                    return ids[: unclear[0]], is_main[: unclear[0]]
                # What the proxy has applied when this one is served is known only then.
                before = self._unapplied[keys[0]]
                start_ns = max(int(self._arrival_ns[ids[0]]), self._capacity.free_ns)
                self._work_off(min(start_ns, self._next_ns()))
                if self._state[ids[0]] != AWAY or self._unapplied[keys[0]] != before:
                    return ids[:0], is_main[:0]
                return ids[:1], is_main[:1]
        return ids, is_main

    # --- the server

    def _serve(self, ids: NDArray[np.int64], last_ns: int, *, is_strict: bool) -> int:
        settings, subscriptions = self._settings, self._subscriptions
        sub, key = self._sub[ids], self._key[ids]
        answer = subscriptions.current[sub]
        is_new = answer != self._version[ids]
        has_new = bool(is_new.any())
        service = self._service_ns(ids, sub, key, is_new)
        arrival_ns = self._arrival_ns[ids]
        starts = self._capacity.serve(arrival_ns, service, last_ns, is_strict=is_strict)
        count = len(starts)
        if not count:
            return 0
        if count < len(ids):
            ids, sub, key, answer, is_new = (a[:count] for a in (ids, sub, key, answer, is_new))
            service, arrival_ns = service[:count], arrival_ns[:count]
        if settings.service_time is not None and not isinstance(settings.service_time, Constant):
            self._served[key] += 1
        if self._opened:
            self._read_acks(ids, sub, key, arrival_ns)
        self._count_requests(sub)
        left_ns = starts + service
        back_ns = left_ns + self._latency_ns(self._down_key, ids)
        if has_new:
            new = np.flatnonzero(is_new)
            self._answer[ids] = np.where(is_new, answer, NOTHING)
            size = subscriptions.size_bytes[sub[new]] + settings.envelope_bytes
            self.messages += len(new)
            self.bytes += int(size.sum())
            if settings.bytes_per_second is not None:
                back_ns[new] += size * S // settings.bytes_per_second
            self._carry(ids[new], sub[new], key[new], answer[new], starts[new], left_ns[new])
        else:
            self._answer[ids] = NOTHING
        due_ns = self._departs_ns[ids] + settings.timeout_ns
        is_late = back_ns > due_ns
        self._instant[ids] = 2 * np.where(is_late, due_ns, back_ns) + is_late
        self._state[ids] = ANSWERED
        self._answered.append(ids)
        return count

    def _service_ns(
        self, ids: NDArray[np.int64], sub: NDArray[np.int32], key: Ints, is_new: NDArray[np.bool_]
    ) -> Ints:
        law, subscriptions = self._settings.service_time, self._subscriptions
        if law is None:
            service: Ints = np.where(is_new, subscriptions.answer_ns[sub], subscriptions.unchanged_ns)
            return service
        if isinstance(law, Constant):
            return np.full(len(ids), law.value_ns, np.int64)
        u = self._draws.uniform_of(
            self._service_key[sub], self._entity[self._place[ids]], self._served[key]
        )
        return law.ns_array(u)

    def _latency_ns(self, keys: NDArray[np.uint64], ids: NDArray[np.int64]) -> Ints | int:
        law = self._settings.latency
        if isinstance(law, Constant):
            return law.value_ns
        u = self._draws.uniform_of(
            keys[self._sub[ids]], self._entity[self._place[ids]], self._sent[ids]
        )
        return law.ns_array(u)

    def _count_requests(self, sub: NDArray[np.int32]) -> None:
        self.messages += len(sub)
        self.bytes += int(self._subscriptions.request_bytes[sub].sum())

    def _read_acks(
        self, ids: NDArray[np.int64], sub: NDArray[np.int32], key: Ints, arrival_ns: Ints
    ) -> None:
        """A request states the version last accepted (propagation/http_server.py: Acknowledgements)."""
        acks = np.flatnonzero(self._open_version[key] == self._version[ids])
        if not len(acks):
            return
        keys = key[acks]
        self._answers.acked(
            sub[acks], self._place[ids[acks]], self._open_from[keys], self._open_to[keys], arrival_ns[acks]
        )
        self._open_version[keys] = _NO_OPEN
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
        seen = np.where(self._applied_ns[key] < starts, self._seen[key], self._seen_before[key])
        self._carry_from[ids], self._carry_to[ids] = seen, self._subscriptions.publications
        self._started_ns[ids], self._left_ns[ids] = starts, left_ns
        self._unapplied[key] += 1
        carries = self._answers.sent(
            sub, self._place[ids], seen, self._arrival_ns[ids], starts, left_ns
        )
        if carries.any():
            keys = key[carries]
            self._opened += int((self._open_version[keys] == _NO_OPEN).sum())
            self._open_version[keys] = answer[carries]
            self._open_from[keys], self._open_to[keys] = seen[carries], self._subscriptions.publications

    # --- the proxies

    def _work_off(self, until_ns: int) -> bool:
        """What is at the proxies before then is handled by their main threads, in order."""
        if not self._answered:
            return True
        ids = self._answered[0] if len(self._answered) == 1 else np.concatenate(self._answered)
        instant = self._instant[ids]
        ready = instant < 2 * until_ns
        if not ready.all():
            self._answered = [ids[~ready]]
            ids, instant = ids[ready], instant[ready]
        else:
            self._answered = []
        if not len(ids):
            return True
        ids = ids[_ranked(instant)]
        mark = self._answers.mark
        while len(ids):
            places, at = self._place[ids], np.arange(len(ids), dtype=np.int32)
            mark[places[::-1]] = at[::-1]
            is_first = mark[places] == at
            if is_first.all():
                self._jobs(ids)
                break
            self._jobs(ids[is_first])
            ids = ids[~is_first]
        return True

    def _jobs(self, ids: NDArray[np.int64]) -> None:
        """One job of each of these proxies."""
        instant = self._instant[ids]
        at_ns = instant >> 1
        is_new = self._answer[ids] != NOTHING
        has_new = bool(is_new.any())
        if self._doubles:
            dropped = at_ns > self._stopped_ns[ids]
            if dropped.any():
                gone = ids[dropped]
                self._unapplied[self._key[gone[self._answer[gone] != NOTHING]]] -= 1
                self._drop(gone)
                ids, at_ns, is_new, instant = (a[~dropped] for a in (ids, at_ns, is_new, instant))
        place = self._place[ids]
        if not has_new:
            done_ns = self._answers.idle_jobs(place, at_ns)
        else:
            done_ns = self._jobs_with_content(ids, place, at_ns, is_new, (instant & 1).astype(bool))
        self._turns += 2
        if self._doubles:
            stopped = self._stopped_ns[ids] <= done_ns
            if stopped.any():
                self._drop(ids[stopped])
                ids, done_ns = ids[~stopped], done_ns[~stopped]
        self._wait(ids, done_ns)

    def _jobs_with_content(
        self,
        ids: NDArray[np.int64],
        place: NDArray[np.int32],
        at_ns: Ints,
        is_new: NDArray[np.bool_],
        is_late: NDArray[np.bool_],
    ) -> Ints:
        key = self._key[ids]
        self._unapplied[key[is_new]] -= 1
        applies = is_new & ~is_late
        which = np.flatnonzero(applies)
        chosen = ids[which]
        arrived = Arrived(
            self._sub[chosen],
            place[which],
            self._answer[chosen],
            self._carry_from[chosen],
            self._carry_to[chosen],
            self._arrival_ns[chosen],
            self._started_ns[chosen],
            self._left_ns[chosen],
            at_ns[which],
            at_ns[which] > self._superseded_ns[chosen],
            self._stopped_ns[chosen],
        )
        done_ns = self._answers.jobs(place, at_ns, which, arrived)
        kept = done_ns[which] < self._stopped_ns[chosen]
        self._accept(chosen[kept], done_ns[which][kept])
        for begun in self._answers.take_warmed():
            self._start_loops(*begun)
        for place_, sub, t_ns in self._answers.take_served():
            self._stop_older(self._subscriptions.layout.keys(place_, sub), t_ns)
        return done_ns

    def _accept(self, ids: NDArray[np.int64], done_ns: Ints) -> None:
        """The next request states the version."""
        key = self._key[ids]
        self._version[ids] = self._answer[ids]
        self._seen_before[key] = self._seen[key]
        self._seen[key] = np.maximum(self._seen[key], self._carry_to[ids])
        self._applied_ns[key] = done_ns

    def _wait(self, ids: NDArray[np.int64], done_ns: Ints) -> None:
        """The next request leaves refresh_delay x U[1, 2) later, in whole ms."""
        refresh_ns = self._settings.refresh_ns
        u = self._draws.uniform_of(
            self._refresh_key[self._sub[ids]], self._entity[self._place[ids]], self._sent[ids]
        )
        wait_ns = (u * (refresh_ns // MS)).astype(np.int64)
        wait_ns *= MS
        wait_ns += refresh_ns
        wait_ns += done_ns
        self._departs_ns[ids] = wait_ns
        self._sent[ids] += 1
        self._turn[ids] = self._turns
        self._send(ids)

    def _send(self, ids: NDArray[np.int64]) -> None:
        departs_ns = self._departs_ns[ids]
        arrival_ns = departs_ns + self._latency_ns(self._up_key, ids)
        if (arrival_ns - departs_ns).max(initial=0) > self._settings.timeout_ns:
            raise CannotTakeFleet("requests that take longer than propagation.request_timeout to arrive")
        self._arrival_ns[ids] = arrival_ns
        self._state[ids] = AWAY

    def _drop(self, ids: NDArray[np.int64]) -> None:
        """These loops were stopped, and nothing of them is under way any more."""
        self._state[ids] = FREE
        self._doubles -= len(ids)
        self._cancelled += ids.tolist()

    # --- loops that come and go while a cluster warms

    def _start_loops(self, place: NDArray[np.int32], subs: Sequence[int], t_ns: Ints) -> None:
        """A second loop for each of these subscriptions; its first request leaves at once."""
        started = []
        for sub in subs:
            keys = self._subscriptions.layout.keys(place, sub)
            slots = self._new_slots(len(keys))
            before = self._newest[keys]
            self._superseded_ns[before] = t_ns
            self._older[keys], self._newest[keys] = before, slots
            self._place[slots], self._sub[slots], self._key[slots] = place, sub, keys
            self._version[slots], self._sent[slots] = NOTHING, 1
            self._superseded_ns[slots] = self._stopped_ns[slots] = NEVER
            self._departs_ns[slots] = t_ns
            self._turn[slots] = self._turns
            self._turns += 1
            started.append(slots)
            self._doubles += len(slots)
        ids = np.concatenate(started)
        self._send(ids)
        self._extras = np.concatenate([self._extras, ids])

    def _new_slots(self, count: int) -> NDArray[np.int64]:
        while len(self._free) < count:
            size = len(self._state)
            grown = max(_ROOM, count, size // 8)
            for name in _BY_SLOT:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros(grown, column.dtype)]))
            self._free += range(size + grown - 1, size - 1, -1)
        slots = np.array(self._free[-count:][::-1], np.int64)
        del self._free[-count:]
        return slots

    def _stop_older(self, keys: NDArray[np.int64], t_ns: Ints) -> None:
        """The newer loop takes over: a request that has not left never does, and nobody waits for the answer
        to one that has."""
        older = self._older[keys]
        assert (older >= 0).all(), "a cluster that warms has two loops"
        self._older[keys] = -1
        self._stopped_ns[older] = t_ns
        never = older[(self._state[older] == AWAY) & (self._departs_ns[older] > t_ns)]
        if len(never):
            self._has_cancelled = True
            self._drop(never)


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


_BY_SLOT = (
    "_place",
    "_sub",
    "_key",
    "_state",
    "_version",
    "_turn",
    "_superseded_ns",
    "_stopped_ns",
    "_instant",
    "_answer",
    "_carry_from",
    "_carry_to",
    "_started_ns",
    "_left_ns",
    "_sent",
    "_departs_ns",
    "_arrival_ns",
)
