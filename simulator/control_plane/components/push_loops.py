"""How connections were pushed to before there was a push queue: each push goes through them by itself.

1.0: a token for each connection (25 a second, 100 saved up). 1.1 and 1.2: as many at a time as the throttle
says, and a push that is overtaken by a newer one is abandoned. In both, a connection whose worker is busy is
waited for, 5 s at most, then put at the end of its push; it is given up after more than 10 s. Nothing is
merged in a queue; connections that an abandoned push has not come to get the newer one, which knows all.
Source: pilot/pkg/proxy/envoy/v2/ads.go (AdsPushAll, startPush), discovery.go at 1.0.9 and 1.1.17;
istio/istio#14350. What one push does to another that waits for the same connection is inferred.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from simulator.control_plane.istiod.push_queue import Connection
from simulator.control_plane.istiod.push_request import PushRequest
from simulator.engine.clock import S
from simulator.engine.events import After, Band, Clock
from simulator.engine.servers import TokenBucket


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The loop of a version.

    Attributes:
        per_second: Pushes a second; None for no such limit.
        burst: Pushes that may be saved up.
        is_throttled: Whether the throttle bounds how many are in progress.
        is_abandoned: Whether a push ends where a newer one has begun.
        patience_ns: How long a busy connection is waited for (PushTimeout).
        gives_up_ns: How long it may fail before its push gives it up.
    """

    per_second: int | None = None
    burst: int = 1
    is_throttled: bool = False
    is_abandoned: bool = False
    patience_ns: int = 5 * S
    gives_up_ns: int = 10 * S


RATED_LOOP = LoopSettings(per_second=25, burst=100)
PATIENT_LOOP = LoopSettings(is_throttled=True, is_abandoned=True)


class _Loop(Generic[Connection]):
    """One push on its way through the connections."""

    __slots__ = ("failed_ns", "has_token", "is_asleep", "timer", "waiting")

    def __init__(self, connections: Sequence[Connection], request: PushRequest) -> None:
        self.waiting: deque[tuple[Connection, PushRequest]] = deque((c, request) for c in connections)
        self.failed_ns: dict[Connection, int] = {}
        self.has_token = False
        self.is_asleep = False
        self.timer: After | None = None


class PushLoops(Generic[Connection]):
    """All pushes under way (a `throttle.Sender`).

    Args:
        clock: Whose time passes.
        settings: Of the version.
        throttle: PILOT_PUSH_THROTTLE, where the version has it.
        start_push: Told the connection, its request and the present instant.
        on_depth: Told how many connections wait, when that changed.
    """

    def __init__(
        self,
        clock: Clock,
        settings: LoopSettings,
        throttle: int,
        start_push: Callable[[Connection, PushRequest, int], object],
        on_depth: Callable[[int], object] | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._limit = throttle if settings.is_throttled else None
        self._bucket = None
        if settings.per_second is not None:
            self._bucket = TokenBucket(settings.burst, S // settings.per_second)
        self._start_push = start_push
        self._on_depth = on_depth
        self._loops: dict[_Loop[Connection], None] = {}
        self._busy: dict[Connection, None] = {}
        self._is_stopped = False
        self.given_up = 0
        """Connections that a push gave up."""

    @property
    def depth(self) -> int:
        """Connections that pushes have not come to."""
        return sum(len(loop.waiting) for loop in self._loops)

    def begin(self, connections: Sequence[Connection], request: PushRequest) -> None:
        """A push begins its way."""
        loop: _Loop[Connection] = _Loop(connections, request)
        if self._settings.is_abandoned and not request.only_endpoints:
            self._take_over(loop)
        self._loops[loop] = None
        self._tell_depth()
        self._go_on(loop)

    def enqueue(self, connection: Connection, request: PushRequest) -> None:
        """A push of one connection."""
        self.begin([connection], request)

    def _take_over(self, newer: _Loop[Connection]) -> None:
        """Older pushes end: what they had not come to is the newer one's."""
        left: dict[Connection, PushRequest] = {}
        for loop in list(self._loops):
            for connection, request in loop.waiting:
                left[connection] = left[connection].merged(request) if connection in left else request
            self._end(loop)
        if left:
            newer.waiting = deque(
                (c, left[c].merged(request) if c in left else request) for c, request in newer.waiting
            )

    def done(self, connection: Connection) -> None:
        """Its worker is free again."""
        self._busy.pop(connection, None)
        for loop in list(self._loops):
            if loop in self._loops and not loop.is_asleep:
                self._go_on(loop)

    def forget(self, connection: Connection) -> None:
        """Its stream ended."""
        for loop in list(self._loops):
            if loop.waiting and loop.waiting[0][0] is connection:
                self._disarm(loop)
            loop.waiting = deque(entry for entry in loop.waiting if entry[0] is not connection)
            if loop in self._loops and not loop.is_asleep:
                self._go_on(loop)

    def stop(self) -> None:
        """The process ends."""
        self._is_stopped = True
        for loop in list(self._loops):
            self._end(loop)

    def _go_on(self, loop: _Loop[Connection]) -> None:
        while loop.waiting and not self._is_stopped and loop in self._loops:
            if self._limit is not None and len(self._busy) >= self._limit:
                return  # goes on when a push is done
            if not self._has_token(loop):
                return
            connection, request = loop.waiting[0]
            if connection in self._busy:
                self._await_worker(loop)
                return
            self._disarm(loop)
            loop.waiting.popleft()
            loop.has_token = False
            self._busy[connection] = None
            self._tell_depth()
            self._start_push(connection, request, self._clock.now_ns)
        if not loop.waiting:
            self._end(loop)

    def _await_worker(self, loop: _Loop[Connection]) -> None:
        """The next connection is busy: patience counts from when the loop came to it."""
        if loop.timer is None:
            patience_ns = self._settings.patience_ns
            loop.timer = self._clock.after(patience_ns, lambda: self._lose_patience(loop), band=Band.TIMER)

    def _has_token(self, loop: _Loop[Connection]) -> bool:
        """Whether it may push to one more now; else it goes on when it may."""
        if self._bucket is None or loop.has_token:
            return True
        wait_ns = self._bucket.take(self._clock.now_ns)
        loop.has_token = True
        if wait_ns == 0:
            return True
        loop.is_asleep = True

        def wake() -> None:
            loop.is_asleep = False
            if loop in self._loops:
                self._go_on(loop)

        self._clock.after(wait_ns, wake, band=Band.TIMER)
        return False

    def _lose_patience(self, loop: _Loop[Connection]) -> None:
        """A busy client: it comes again at the end, unless it has failed for too long."""
        loop.timer = None
        connection, request = loop.waiting.popleft()
        now_ns = self._clock.now_ns
        since_ns = loop.failed_ns.setdefault(connection, now_ns)
        if now_ns - since_ns > self._settings.gives_up_ns:
            self.given_up += 1
            self._tell_depth()
        else:
            loop.waiting.append((connection, request))
        self._go_on(loop)

    def _end(self, loop: _Loop[Connection]) -> None:
        self._disarm(loop)
        self._loops.pop(loop, None)
        self._tell_depth()

    @staticmethod
    def _disarm(loop: _Loop[Connection]) -> None:
        if loop.timer is not None:
            loop.timer.cancel()
            loop.timer = None

    def _tell_depth(self) -> None:
        if self._on_depth is not None:
            self._on_depth(self.depth)
