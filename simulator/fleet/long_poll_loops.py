"""The arrays of long polls: a row for each loop, each subscription of a proxy, each proxy; what is drawn.

Delays that are even or constant are worked out in the kernel. Those of other laws are calls of numpy and
scipy: the next `MESSAGES_AHEAD` messages of each loop have theirs drawn beforehand, those of all loops at
once, when one of them has no more. A loop that starts while a cluster warms draws what the first one of its
key drew at the same message: these numbers are kept by key.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.delays import Constant, Delay, Uniform
from simulator.engine.draws import Draws
from simulator.fleet import long_poll_state as s
from simulator.fleet.stats_flushes import StatsFlushes
from simulator.fleet.subscriptions import Subscriptions
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]

MESSAGES_AHEAD = 4
SERVICES_AHEAD = 8
"""So many of each subscription: two for each request."""

BEFORE = -(2**40)
"""Places among those that are held, of who has been held since before the run: this, plus the proxy."""

_ROOM = 1024
_LOOPS_IN_A_BUCKET = 16
_FEWEST_BUCKETS, _MOST_BUCKETS = 64, 2**17


@dataclass(frozen=True, slots=True)
class LongPollingSettings:
    """What is equal for all loops.

    Attributes:
        wait: How long the server holds a request.
        gives_up_ns: How long a request may take.
        latency: Of each message.
        bytes_per_second: Bandwidth; None for no limit.
        service_time: Of each request; None for what its answer costs.
        envelope_bytes: Size of a message without content.
        replica: Whom they ask.
        end_ns: End of the run.
    """

    wait: Uniform
    gives_up_ns: int
    latency: Delay
    bytes_per_second: int | None
    service_time: Delay | None
    envelope_bytes: int
    replica: int
    end_ns: int


class LongPollLoops:
    """See the module.

    Args:
        draws: Random numbers of the run.
        subscriptions: What there is to ask for.
        clusters: Cluster objects of each proxy.
        entity: The proxies, by place.

    Attributes:
        reg: Scalars (`long_poll_state`), and so on, a row for each:
        loops: loop,
        keys: subscription of a proxy,
        places: proxy,
        subs: subscription of a group.
        heap: What is to come soon,
        buckets: and later: by bucket the first loop.
        spare: Rows of loops that are free.
        bits: Keys of the draws that the kernel makes, those of `law`.
        up: By loop, what its messages take to the server,
        down: and back.
        service: By key, what its services take.
        fresh_up: By key, what the first messages of any loop take to the server,
        fresh_down: and back.
    """

    def __init__(
        self,
        settings: LongPollingSettings,
        draws: Draws,
        subscriptions: Subscriptions[Resources, Names],
        flushes: StatsFlushes,
        clusters: Ints,
        entity: Ints,
    ) -> None:
        self._settings, self._draws = settings, draws
        self._subscriptions, self._entity = subscriptions, entity
        self._keys_of_draws(flushes)
        self._make_registers(flushes)
        self._make_rows(clusters)
        self._make_agenda()
        self.up, self.down, self.fresh_up, self.fresh_down, self.service = self._rooms_for_draws()
        self.learn()

    def _keys_of_draws(self, flushes: StatsFlushes) -> None:
        names = [f"{one.type_name}/{one.name}" for one in self._subscriptions.all]
        keys = self._draws.keys
        self.bits = keys([*(f"long_poll.wait.{name}" for name in names), flushes.purpose])
        self._up_key = keys([f"network.latency.to_server.{name}" for name in names])
        self._down_key = keys([f"network.latency.to_client.{name}" for name in names])
        self._service_key = keys([f"istiod.poll/{self._settings.replica}/{name}" for name in names])

    def _make_registers(self, flushes: StatsFlushes) -> None:
        settings, reg = self._settings, np.zeros(s.REGISTERS, np.int64)
        self.reg = reg
        reg[s.ARMED_NS], reg[s.LAST_BUCKET] = s.NEVER, -1
        reg[s.END_NS], reg[s.GIVES_UP_NS] = settings.end_ns, settings.gives_up_ns
        if isinstance(settings.latency, Constant):
            reg[s.LATENCY_UP_NS] = reg[s.LATENCY_DOWN_NS] = settings.latency.value_ns
        reg[s.BANDWIDTH], reg[s.ENVELOPE] = settings.bytes_per_second or 0, settings.envelope_bytes
        low_ns, high_ns, reg[s.FLUSH_INTERVAL_NS] = flushes.bounds
        reg[s.FLUSH_EACH_NS] = int(high_ns + 1)
        wait = settings.wait
        self.law = np.array([wait.low_ns, wait.high_ns, low_ns, high_ns], np.float64)

    # --- rows

    def _make_rows(self, clusters: Ints) -> None:
        layout, all_ = self._subscriptions.layout, self._subscriptions.all
        count = len(layout.key_sub)
        self.subs = np.zeros((len(all_), s.SUB_WIDTH), np.int64)
        self.subs[:, s.SEAT] = [one.seat for one in all_]
        self.subs[:, s.REQUEST_BYTES] = self._subscriptions.request_bytes
        self.keys = np.zeros((count, s.KEY_WIDTH), np.int64)
        self.keys[:, s.NEWEST], self.keys[:, s.OLDER] = np.arange(count), s.NO_LOOP
        self.keys[:, s.APPLIED_NS], self.keys[:, s.OPEN] = -1, s.NO_OPEN
        self.places = np.zeros((len(self._entity), s.PLACE_WIDTH), np.int64)
        self.places[:, s.BUSY_UNTIL_NS], self.places[:, s.CLUSTERS] = -1, clusters
        self.places[layout.key_place[::-1], s.FIRST_KEY] = np.arange(count)[::-1]
        loops = self.loops = np.zeros((count + _ROOM, s.LOOP), np.int64)
        own = loops[:count]
        own[:, s.PLACE], own[:, s.SUB], own[:, s.KEY] = layout.key_place, layout.key_sub, np.arange(count)
        own[:, s.SENT] = np.array([one.sent for one in all_], np.int64)[layout.key_sub]
        own[:, s.DEPARTS_NS] = -1
        loops[:, s.SUPERSEDED_NS] = loops[:, s.STOPPED_NS] = s.NEVER
        # Who has been held since long ago is met in the middle of its wait (propagation/long_poll.py).
        entity = self._entity[layout.key_place]
        u = self._draws.uniform_of(self.bits[layout.key_sub], entity, np.full(count, -1, np.int64))
        own[:, s.STATE], own[:, s.HOLD] = s.HELD, BEFORE + entity
        own[:, s.EXPIRES_NS] = self._settings.wait.residual_ns_array(u)
        self.spare = np.zeros(len(loops), np.int64)
        self._spare(count)

    def _spare(self, first: int) -> None:
        """The rows from the first on are free."""
        those = np.arange(len(self.loops) - 1, first - 1, -1)
        self.spare[self.reg[s.SPARE] : self.reg[s.SPARE] + len(those)] = those
        self.reg[s.SPARE] += len(those)

    def _make_agenda(self) -> None:
        """What each loop waits for stands in its bucket."""
        count, reg, loops = len(self.keys), self.reg, self.loops
        wanted = 1 << (count // _LOOPS_IN_A_BUCKET).bit_length()
        number = min(max(wanted, _FEWEST_BUCKETS), _MOST_BUCKETS)
        reg[s.BUCKET_NS] = int(self._settings.wait.high_ns) // (number - 2) + 1
        self.buckets = np.full(number, s.NO_LOOP, np.int64)
        loops[:count, s.AT_NS], loops[:, s.BUCKET] = loops[:count, s.EXPIRES_NS], s.NO_BUCKET
        loops[:count, s.SERIAL] = np.arange(count)
        reg[s.SEQUENCE] = count
        those = np.flatnonzero(loops[:count, s.AT_NS] <= reg[s.END_NS])
        bucket = loops[those, s.AT_NS] // reg[s.BUCKET_NS] % number
        order = np.argsort(bucket, kind="stable")
        those, bucket = those[order], bucket[order]
        loops[those, s.BUCKET] = bucket
        is_first = np.r_[True, bucket[1:] != bucket[:-1]][: len(those)]
        self.buckets[bucket[is_first]] = those[is_first]
        loops[those, s.PREVIOUS] = np.where(is_first, s.NO_LOOP, np.roll(those, 1))
        loops[those, s.NEXT] = np.where(np.roll(is_first, -1), s.NO_LOOP, np.roll(those, -1))
        self._make_heap()

    def _make_heap(self) -> None:
        """Room for all loops, and for as many that left it without being taken out."""
        count = len(self.loops)
        self.heap = np.zeros((2 * count, 4), np.int64)
        self.reg[s.MOST_STALE] = count - 2 * s.ROOM

    def make_room(self) -> None:
        """For more loops, or for the heap."""
        reg = self.reg
        if reg[s.STALE] > reg[s.MOST_STALE]:
            held = self.heap[: reg[s.HEAP]]
            held = held[self.loops[held[:, 3], s.SERIAL] == held[:, 2]]
            # Sorted it is a heap as well.
            self.heap[: len(held)] = held[np.lexsort((held[:, 2], held[:, 1], held[:, 0]))]
            reg[s.HEAP], reg[s.STALE] = len(held), 0
        if reg[s.SPARE] < reg[s.MOST_AWAITED]:
            count = len(self.loops)
            self._grow(count // 4 + int(reg[s.MOST_AWAITED]))
            self._spare(count)

    def _grow(self, by: int) -> None:
        more = np.zeros((by, s.LOOP), np.int64)
        more[:, s.BUCKET] = s.NO_BUCKET
        self.loops = np.concatenate([self.loops, more])
        self.spare = np.concatenate([self.spare, np.zeros(by, np.int64)])
        held = self.heap[: self.reg[s.HEAP]]
        self._make_heap()
        self.heap[: len(held)] = held
        if self.up.size:
            drawn = np.zeros((by, MESSAGES_AHEAD), np.int64)
            self.up, self.down = np.concatenate([self.up, drawn]), np.concatenate([self.down, drawn])

    # --- what is published

    def learn(self) -> None:
        """Contents, and what answers cost, are those that are published now."""
        subscriptions, law = self._subscriptions, self._settings.service_time
        self.reg[s.PUBLICATIONS] = subscriptions.publications
        self.subs[:, s.CURRENT] = subscriptions.current
        self.subs[:, s.SIZE] = subscriptions.size_bytes
        if isinstance(law, Constant):
            self.subs[:, s.SERVICE_NS] = self.reg[s.UNCHANGED_NS] = law.value_ns
        elif law is None:
            self.subs[:, s.SERVICE_NS] = subscriptions.answer_ns
            self.reg[s.UNCHANGED_NS] = subscriptions.unchanged_ns

    # --- draws

    def _rooms_for_draws(self) -> list[Ints]:
        """Of messages, of those of new loops, and of services; empty where nothing is drawn."""
        law = self._settings.service_time
        messages = 0 if isinstance(self._settings.latency, Constant) else len(self.loops)
        services = 0 if law is None or isinstance(law, Constant) else len(self.keys)
        shapes = [(messages, MESSAGES_AHEAD)] * 2 + [(0, MESSAGES_AHEAD)] * 2 + [(services, SERVICES_AHEAD)]
        return [np.zeros(shape, np.int64) for shape in shapes]

    def draw(self) -> None:
        """The next messages and services of all loops have their delays."""
        if self.up.size:
            self._draw_messages()
        if self.service.size:
            self._draw_services()

    def _draw_messages(self) -> None:
        loops, law = self.loops, self._settings.latency
        for ahead in range(MESSAGES_AHEAD):
            those = np.flatnonzero(
                (loops[:, s.STATE] != s.FREE) & (loops[:, s.SENT] + ahead >= loops[:, s.DRAWN])
            )
            message, sub = loops[those, s.SENT] + ahead, loops[those, s.SUB]
            entity = self._entity[loops[those, s.PLACE]]
            for keys, drawn in ((self._up_key, self.up), (self._down_key, self.down)):
                u = self._draws.uniform_of(keys[sub], entity, message)
                drawn[those, message % MESSAGES_AHEAD] = law.ns_array(u)
        loops[:, s.DRAWN] = loops[:, s.SENT] + MESSAGES_AHEAD

    def _draw_services(self) -> None:
        keys, law, layout = self.keys, self._settings.service_time, self._subscriptions.layout
        assert law is not None, "services are drawn that cost what they cost"
        for ahead in range(SERVICES_AHEAD):
            those = np.flatnonzero(keys[:, s.SERVED] + ahead >= keys[:, s.SERVICE_DRAWN])
            number, entity = keys[those, s.SERVED] + ahead, self._entity[layout.key_place[those]]
            u = self._draws.uniform_of(self._service_key[layout.key_sub[those]], entity, number)
            self.service[those, number % SERVICES_AHEAD] = law.ns_array(u)
        keys[:, s.SERVICE_DRAWN] = keys[:, s.SERVED] + SERVICES_AHEAD

    def draw_fresh(self) -> None:
        """What the first messages of new loops take."""
        layout, law = self._subscriptions.layout, self._settings.latency
        entity, count = self._entity[layout.key_place], len(self.keys)
        message = np.broadcast_to(np.arange(MESSAGES_AHEAD), (count, MESSAGES_AHEAD))
        made = []
        for keys in (self._up_key, self._down_key):
            u = self._draws.uniform_of(keys[layout.key_sub][:, None], entity[:, None], message)
            made.append(np.ascontiguousarray(law.ns_array(u)))
        self.fresh_up, self.fresh_down = made
        self.reg[s.IS_FRESH] = 1
