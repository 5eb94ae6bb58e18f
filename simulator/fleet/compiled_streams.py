"""The compiled delivery (`delivery_kernel`) for `Streams`: moves as tables, state as its arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.engine.delays import Constant, Delay, Uniform
from simulator.engine.draws import Draws
from simulator.fleet import delivery_kernel as k
from simulator.fleet.compiled import DeliveryKernel, compiled_delivery
from simulator.fleet.errors import CannotTakeFleet

if TYPE_CHECKING:
    from simulator.fleet.batches import Batch
    from simulator.fleet.links import Direction
    from simulator.fleet.moves import Move
    from simulator.fleet.stats_flushes import StatsFlushes
    from simulator.fleet.stream_settings import StreamSettings

Ints = NDArray[np.int64]
Small = NDArray[np.int32]
Bits = NDArray[np.uint64]

LOADED_FROM = 20_000
"""Pushes of a run from which on loading the compiled delivery pays, where an earlier run has not: some ms,
for the push line has loaded LLVM by then, and a third of a microsecond is saved for each push (measured)."""


class CompiledStreams:
    """Delivers batches of pushes as `Streams` does, on the same state.

    Args:
        kernel: Compiled.
        settings: Of the streams.
        draws: The numbers of the run.
        entity: Proxies by place.
        parts: Both directions and the stats flushes.
        state: See `delivery_kernel.SENT_DOWN`.
    """

    def __init__(
        self,
        kernel: DeliveryKernel,
        settings: StreamSettings,
        draws: Draws,
        entity: Ints,
        parts: tuple[Direction, Direction, StatsFlushes],
        state: Ints,
    ) -> None:
        self._kernel, self._entity, self._state = kernel, entity, state
        self._down, self._up, self._flushes = parts
        interval_ns = 0 if self._flushes.is_off else settings.flush_interval_ns
        limits = settings.end_ns, settings.window_bytes, settings.eds_timeout_ns, interval_ns
        self._settings = np.array(limits, np.int64)
        self._flush_key = draws.keys([self._flushes.purpose])
        self._flush_law = np.array(_bounds(settings.flush_per_cluster), np.float64)
        self._rooms: dict[Direction, NDArray[np.float64]] = {}
        self._keys = {way: draws.keys([purpose for _, purpose in way.laws]) for way in parts[:2]}

    def deliver(self, moves: Sequence[Move], of: Ints, batch: Batch, ends_ns: Ints | None) -> tuple[int, int]:
        """Fills the columns of the batch; returns how many messages were sent, and their bytes.

        Raises:
            CannotTakeFleet: It comes to something that arrays do not play.
        """
        of_move, messages, requests = self._tables(moves)
        columns = np.empty((4, messages.shape[2], len(of)), np.int64)
        told = np.zeros(4, np.int64)
        flushes, law = self._flushes, (self._flush_key, self._flush_law)
        self._kernel.deliver(
            self._settings,
            batch.place,
            of,
            batch.sent_ns,
            of_move,
            messages,
            requests,
            self._drawn_ns(self._down, batch.place, messages.shape[2]),
            self._drawn_ns(self._up, batch.place, requests.shape[2]),
            self._state,
            flushes.state,
            np.empty(0, np.int64) if ends_ns is None else ends_ns,
            self._entity,
            *law,
            flushes.take_too_long(messages[k.CLUSTERS]),
            columns,
            told,
        )
        _check(int(told[k.IS_BEYOND]))
        batch.received_ns, batch.applied_ns = list(columns[k.RECEIVED]), list(columns[k.APPLIED])
        batch.workers_ns, batch.acked_ns = list(columns[k.WORKERS_BEFORE]), list(columns[k.ACKED])
        rows = np.bincount(of, minlength=len(moves)) if len(moves) > 1 else np.array([len(of)])
        count, size = (int((rows * of_move[what]).sum()) for what in (k.MESSAGES, k.BYTES))
        return count + int(told[k.SENT_BACK]), size + int(told[k.BYTES_BACK])

    def _tables(self, moves: Sequence[Move]) -> tuple[Ints, Ints, Ints]:
        """What the kernel knows of moves."""
        of_move = np.zeros((6, len(moves)), np.int64)
        messages = np.zeros((4, len(moves), max(len(move.sizes) for move in moves)), np.int64)
        requests = np.zeros((4, len(moves), max(len(move.requests) for move in moves)), np.int64)
        for number, move in enumerate(moves):
            count, total = len(move.sizes), sum(move.sizes)
            before = sum(move.sizes[:-1])
            of_move[:, number] = count, len(move.requests), before, total, *(move.warms or (-1, -1))
            delays = [-1 if delay is None else delay for delay in move.delays]
            delays += [-1] * (count - len(delays))
            for at, size in enumerate(move.sizes):
                down_ns = self._down.least_ns(size)
                messages[:, number, at] = down_ns, move.costs[at], move.clusters[at], delays[at]
            for at, request in enumerate(move.requests):
                back_ns = self._up.least_ns(request.size)
                requests[:, number, at] = request.after, back_ns, request.size, request.answers
        return of_move, messages, requests

    def _drawn_ns(self, way: Direction, place: Small, most: int) -> Ints:
        """What the next messages of a direction draw, by message and row; nothing where no law does."""
        if not way.laws:
            return np.empty((0, 0), np.int64)
        u, bits = self._room(way, (len(way.laws), most, len(place)))
        self._kernel.draw(self._keys[way], self._entity[place], way.sent[place], bits, u)
        # Numbers and delays are as long as each other: a delay takes the place of what it was drawn by.
        drawn_ns = u.view(np.int64)
        for number, (law, _) in enumerate(way.laws):
            for at in range(u.shape[1]):
                drawn_ns[number, at] = law.ns_array(u[number, at])
        for further_ns in drawn_ns[1:]:
            drawn_ns[0] += further_ns
        total_ns: Ints = drawn_ns[0]
        return total_ns

    def _room(self, way: Direction, shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], Bits]:
        """Memory for the numbers of a direction, and scratch: the same for every batch, for new pages cost
        more than draws."""
        size, count = math.prod(shape), shape[-1]
        room = self._rooms.get(way)
        if room is None or len(room) < size + count:
            room = self._rooms[way] = np.empty(size + count)
        return room[:size].reshape(shape), room[size : size + count].view(np.uint64)


def _bounds(law: Delay) -> tuple[float, float]:
    """Of an even law, or of one without spread; of others nobody asks."""
    if isinstance(law, Constant):
        return law.value_ns, law.value_ns
    return (law.low_ns, law.high_ns) if isinstance(law, Uniform) else (0, 0)


def _check(is_beyond: int) -> None:
    if is_beyond & k.WINDOW:
        raise CannotTakeFleet("responses larger than agent.window_bytes")
    if is_beyond & k.FLUSHES:
        raise CannotTakeFleet("a stats flush that takes longer than envoy.stats_flush_interval")
    if is_beyond & k.WARMING:
        raise CannotTakeFleet("endpoints that come behind their envoy.initial_fetch_timeout")


def is_worth_it(settings: StreamSettings, pushes: int) -> bool:
    """Whether what is compiled plays streams with these settings, and pays for a run of so many pushes."""
    is_loaded = compiled_delivery.cache_info().currsize > 0
    return isinstance(settings.flush_per_cluster, Constant | Uniform) and (is_loaded or pushes >= LOADED_FROM)


def compiled_streams(
    settings: StreamSettings,
    draws: Draws,
    entity: Ints,
    parts: tuple[Direction, Direction, StatsFlushes],
    state: Ints,
) -> CompiledStreams | None:
    """The compiled form; None where numba is missing."""
    kernel = compiled_delivery()
    return None if kernel is None else CompiledStreams(kernel, settings, draws, entity, parts, state)
