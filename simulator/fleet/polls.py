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
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.engine.draws import Draws
from simulator.engine.events import After, Band, Clock
from simulator.fleet.loops import AWAY, FREE, NEVER, Loops
from simulator.fleet.poll_answers import PolledAnswers
from simulator.fleet.poll_service import PollingSettings, PollService
from simulator.fleet.poll_window import Window
from simulator.fleet.subscriptions import Subscriptions
from simulator.fleet.updates import Updates
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Ids = NDArray[np.int64]


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
        self._window = Window(self._loops)
        self._answers = PolledAnswers(self._loops, self._window, subscriptions, answers)
        self._service = PollService(settings, self._loops, subscriptions, answers, self._answers, servers)
        self._capacity = self._service.capacity
        self._others: deque[tuple[int, int, Callable[[], int]]] = deque()
        self._offered: After | None = None
        """The service of the first of them, if the clock was told of it."""
        self._came: NDArray[np.bool_] | None = None
        """Who came to the istiod that answers now; None for everybody."""
        self._is_over = False

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
        return self._service.left

    @property
    def messages(self) -> int:
        """Requests and answers with content."""
        return self._service.messages

    @property
    def bytes(self) -> int:
        """Their sizes."""
        return self._service.bytes

    # --- the others in the queue (propagation/http_server.py: Serving)

    def submit(self, serve: Callable[[], int], entity: int) -> None:
        """A poll of a proxy that is played by messages arrives."""
        self._others.append((self._clock.now_ns, entity, serve))
        self.advance(self._clock.now_ns, is_strict=True)

    @property
    def next_ns(self) -> int:
        """The first of the others is served then or later, unless the clock was told when."""
        if not self._others or self._offered:
            return NEVER
        return max(self._others[0][0], self._capacity.free_ns)

    def ahead(self, horizon_ns: int) -> bool:
        """Everything before the horizon that somebody on the clock waits for happens; whether the clock was
        told when."""
        if self._others and not self._offered:
            self.advance(horizon_ns - 1)
            return self._offered is not None
        return False

    def _offer(self, last_ns: int, *, is_strict: bool) -> bool:
        """The first of the others is next; whether it was served at once."""
        arrived_ns, _, _ = self._others[0]
        start_ns = max(arrived_ns, self._capacity.free_ns)
        if start_ns == arrived_ns == self._clock.now_ns:
            self._serve_other()
            return True
        waited = start_ns > arrived_ns
        if start_ns < last_ns or (start_ns == last_ns and not (is_strict and waited)):
            self._offered = self._clock.at(start_ns, self._serve_other, band=Band.COMPLETION)
        return False

    def _serve_other(self) -> None:
        _, _, serve = self._others.popleft()
        self._offered = None
        self._capacity.take(self._clock.now_ns, serve())

    # --- time

    def before_publication(self) -> None:
        """What is published changes now: polls that were served before are answered as before."""
        self.advance(self._clock.now_ns, is_strict=True)

    def after_publication(self) -> None:
        """It has changed."""
        self._answers.may_warm = True

    def work_off(self) -> None:
        """Answers that are at the proxies by now are worked off."""
        now_ns = self._clock.now_ns
        self.advance(now_ns, is_strict=True)
        while not self._answers.work_off(self._without_time_outs(now_ns)):
            self.advance(now_ns, is_strict=True)

    # --- istiods that end and start

    @property
    def clients(self) -> NDArray[np.bool_] | None:
        """Who has come to the istiod that answers now, by place; None for everybody."""
        if self._came is None:
            return None
        clients = self._came.copy()
        clients[self._loops.waiting(self._clock.now_ns + 1)] = True
        return clients

    def before_end(self) -> None:
        """The istiod ends now: it has told how busy it was before. Who waits for it is answered."""
        self.advance(self._clock.now_ns - 1)

    def another_starts(self) -> None:
        """There are two: who has not come to the first one since the one before it ended may go to either."""
        clients = self.clients
        if clients is not None:
            self._updates.note_touched(np.flatnonzero(~clients).astype(np.int32))

    def go_on_with(
        self, replica: int, free_ns: list[int], waiting: Sequence[Callable[[], int]], busy_ns: int, jobs: int
    ) -> tuple[list[int], list[Callable[[], int]]]:
        """The istiod they asked has ended, and another process answers. Those who still wait for the one that
        ended are touched.

        Args:
            replica: The other one's number.
            free_ns: When each of its servers is free, a heap.
            waiting: Others who wait for it already.
            busy_ns: How long it has served.
            jobs: How many.

        Returns:
            The same of the one that ended: when its servers are free, and others who wait for it.
        """
        now_ns = self._clock.now_ns
        self.advance(now_ns - 1)
        self._updates.note_touched(self._loops.waiting(now_ns))
        before = self._capacity.hand_over(), [serve for _, _, serve in self._others]
        if self._offered is not None:
            self._offered.cancel()
            self._offered = None
        self._others = deque((now_ns - 1, 0, serve) for serve in waiting)
        self._capacity.take_over(free_ns, busy_ns, jobs)
        self._came = np.zeros(len(self._entity), bool)
        self._loops.ask(replica)
        return before

    # --- the end

    def finish(self) -> None:
        """The run is over."""
        end_ns = self._settings.end_ns
        self.advance(end_ns)
        # Who waits now waits on: it times out and asks again.
        self._service.left, self._is_over = len(self._others), True
        self._others.clear()
        self.advance(end_ns)
        while not self._answers.work_off(end_ns + 1):
            self.advance(end_ns)

    def advance(self, last_ns: int, *, is_strict: bool = False) -> None:
        """Every request is served that starts up to an instant; at that instant itself, if `is_strict`, only
        those that need not wait."""
        while not self._offered and self._slice(last_ns, is_strict):
            pass

    # --- windows

    def _open_window(self, last_ns: int) -> bool:
        """The requests of the next window, in order; whether there may be any in time."""
        loops, answers, window = self._loops, self._answers, self._window
        loops.reuse()
        answers.gather()
        away = np.flatnonzero(loops.state == AWAY)
        first_ns = min(int(loops.departs_ns[away].min(initial=NEVER)), answers.first_ns)
        if first_ns > last_ns or window.end_ns > self._settings.end_ns:
            return False
        end_ns = max(window.end_ns, first_ns) + self._settings.loops.refresh_ns
        window.open(away, min(end_ns, self._settings.end_ns + 1))
        if answers.may_warm:
            waiting = np.flatnonzero(loops.state != FREE)
            answers.may_warm = answers.bring_clusters or bool(answers.would_warm(waiting).any())
        return True

    # --- slices

    def _slice(self, last_ns: int, is_strict: bool) -> bool:
        """Serves some requests; whether there may be more in time."""
        if self._window.is_served:
            return self._go_on(last_ns, is_strict)
        warm_ns = self._answers.first_warming_ns
        cut_ns = min(last_ns, warm_ns - 1, self._window.end_ns - 1)
        ids, is_main = self._window.until(cut_ns)
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
            self._answers.work_off(self._window.next_ns)
            return True
        wanted = len(ids)
        ids, is_main = self._uncontested(ids, is_main)
        if not len(ids):
            return True
        count = self._serve(ids, last_ns, is_strict)
        self._window.consume(ids[:count], is_main[:count])
        if count < len(ids):
            return False
        if count < wanted or not is_whole:
            self._answers.work_off(self._window.next_ns)
        return True

    def _serve(self, ids: Ids, last_ns: int, is_strict: bool) -> int:
        """As many of these as start in time; after the end of the run nobody is served."""
        if self._is_over:
            self._service.leave_waiting(ids)
            return len(ids)
        count = self._service.serve(ids, last_ns, is_strict=is_strict)
        if self._came is not None:
            self._came[self._loops.place[ids[:count]]] = True
        return count

    def _go_on(self, last_ns: int, is_strict: bool) -> bool:
        """The requests of the window are served."""
        if not self._answers.work_off(self._window.end_ns) or self._window.has_extras:
            return True
        is_behind = not self._others or self._is_behind_rows()
        if is_behind and self._open_window(last_ns):
            return True
        return bool(self._others) and self._offer(last_ns, is_strict=is_strict)

    def _before_others(self, ids: Ids) -> int:
        """How many of these come before the first request of others."""
        loops = self._loops
        arrived_ns, entity, _ = self._others[0]
        arrival_ns = loops.arrival_ns[ids]
        count = int(np.searchsorted(arrival_ns, arrived_ns))
        until = int(np.searchsorted(arrival_ns, arrived_ns, "right"))
        return count + int((self._entity[loops.place[ids[count:until]]] < entity).sum())

    def _is_behind_rows(self) -> bool:
        """Whether requests that are not known yet may come before the first of others."""
        return self._others[0][0] >= self._window.end_ns

    def _uncontested(
        self, ids: Ids, is_main: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """As many as can be served together: an answer may start loops, and what it carries may depend on one
        before it."""
        loops = self._loops
        if self._answers.may_warm:
            warms = np.flatnonzero(self._answers.would_warm(ids))
            if len(warms):
                least_ns = 2 * loops.shortest_ns + self._updates.least_ns
                until_ns = int(loops.arrival_ns[ids[warms[0]]]) + max(0, least_ns - 1)
                count = int(np.searchsorted(loops.arrival_ns[ids], until_ns, "right"))
                ids, is_main = ids[:count], is_main[:count]
        if loops.doubles:
            count = self._sure_to_leave(ids) if self._is_over else self._clear(ids)
            ids, is_main = ids[:count], is_main[:count]
        return ids, is_main

    def _clear(self, ids: Ids) -> int:
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
        before, start_ns = loops.unapplied[keys[0]], max(self._window.next_ns, self._capacity.free_ns)
        if not self._answers.work_off(self._without_time_outs(start_ns)):
            return 0
        return int(loops.state[ids[0]] == AWAY and loops.unapplied[keys[0]] == before)

    def _sure_to_leave(self, ids: Ids) -> int:
        """How many of these that nobody serves any more leave before the answer to a newer loop of the same
        subscription ends theirs."""
        loops = self._loops
        keys = loops.key[ids]
        unsure = np.flatnonzero((loops.newest[keys] != ids) & (loops.unapplied[keys] > 0))
        if not len(unsure):
            return len(ids)
        if unsure[0] > 0:
            return int(unsure[0])
        # Whatever a proxy has to do before then is known: who arrives later times out later.
        if not self._answers.work_off(int(loops.departs_ns[ids[0]])):
            return 0
        return int(loops.state[ids[0]] == AWAY)

    def _without_time_outs(self, until_ns: int) -> int:
        """Until then no request that waits times out: what is at proxies is all there is for them to do.
        Where one does, they are touched."""
        loops = self._loops
        waiting = self._window.not_served_before(until_ns)
        due_ns = loops.departs_ns[waiting] + self._settings.loops.timeout_ns
        self._updates.note_touched(loops.place[waiting[due_ns < until_ns]])
        return until_ns
