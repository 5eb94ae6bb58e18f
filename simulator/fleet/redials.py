"""Proxies of the arrays that have no stream: back-off, dial, be refused, again.

What `envoy/ads_mux.py` and `wire/stream.py` do event by event, for all at once: the end of a stream reaches
the proxy behind all that was under way, its main thread closes it, and after a wait by full jitter the next
one is opened, with all requests behind it. An Envoy that starts dials in the same way, and asks for clusters
alone, until one of its streams is let in. A dial that is refused has no effect on anybody else, so those of a
long time are worked off together; one that may be let in is handed to istiod at its instant (`first`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import MS
from simulator.engine.delays import Constant, Delay
from simulator.engine.draws import Draws
from simulator.fleet.streams import NEVER, Ints, Small, Streams
from simulator.wire.backoff import BackoffSettings

NO_REQUEST = -1
"""Size of a request that proxies of a group do not send."""

_WINDOW_NS = 100 * MS
"""So far ahead dials are looked at together; affects speed alone."""

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RedialSettings:
    """What proxies have in common.

    Attributes:
        backoff: Of Envoy's stream.
        stream_open: From the first packet to a stream on which requests travel.
        sizes: Bytes of the requests with which a stream begins, in order, by kind; `NO_REQUEST` for none.
        clusters: Cluster objects by kind, for the stats flush.
        backend: Which of so many backends takes the so many-th dial of each proxy.
        end_ns: End of the run.
    """

    backoff: BackoffSettings
    stream_open: Delay
    sizes: Ints
    clusters: Ints
    backend: Callable[[Draws, Ints, Ints, int], Ints]
    end_ns: int


class Redials:
    """See the module.

    Args:
        settings: Of all.
        draws: Random numbers.
        streams: The way between proxies and istiod.
        entity: The proxies, by place.
        kind: Their groups; whatever else dials in a way of its own has a number of its own.

    Attributes:
        kind: May change.
        dial_ns: When the stream that each opens is at istiod; `NEVER` where none is on its way.
        left_ns: When it was opened.
        linked_ns: When its first packet is there.
        requests_ns: When the requests behind it are there; `NEVER` for none.
        dialled: Dials so far for which there was a backend, the first stream's not counted.
        drawn: Waits so far.
        opened: Streams so far of which it was drawn how long opening takes.
    """

    def __init__(
        self, settings: RedialSettings, draws: Draws, streams: Streams, entity: Ints, kind: Small
    ) -> None:
        count = len(entity)
        self._settings, self._draws, self._streams = settings, draws, streams
        self._entity, self.kind = entity, kind
        self._sizes, self._clusters = settings.sizes, settings.clusters
        self.dial_ns = np.full(count, NEVER, np.int64)
        self.left_ns, self.linked_ns = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.requests_ns = np.full((self._sizes.shape[1], count), NEVER, np.int64)
        self.dialled, self.drawn, self.opened = (np.zeros(count, np.int32) for _ in range(3))
        self._failures = np.zeros(count, np.int8)
        """Waits since a response was processed; as many as make the longest are enough."""
        self._intervals = _intervals(settings.backoff)
        self._near: Places = np.empty(0, np.int64)
        self._near_ns = 0
        """Who dials before that instant."""
        self._next_ns: int | None = 0
        """Nobody's stream is at istiod before; None where it is to be looked for."""

    def learn(self, kind: int, sizes: Sequence[int], clusters: int) -> None:
        """How proxies of a kind dial, of which there was none so far."""
        more = len(sizes) - self._sizes.shape[1]
        if more > 0:
            self._sizes = np.pad(self._sizes, ((0, 0), (0, more)), constant_values=NO_REQUEST)
            self.requests_ns = np.pad(self.requests_ns, ((0, more), (0, 0)), constant_values=NEVER)
        self._sizes[kind, : len(sizes)], self._clusters[kind] = sizes, clusters

    def interval_ns(self, place: int) -> int:
        """The interval of the next wait."""
        return int(self._intervals[self._failures[place]])

    def begin(self, place: Places, left_ns: Ints) -> None:
        """Envoys dial for the first time at these instants, and have nothing to say but what their kind
        does."""
        self.dialled[place] = -1
        in_time = left_ns <= self._settings.end_ns
        self._dial(place[in_time], left_ns[in_time])

    def lost(self, place: Places, at_ns: Ints | int) -> None:
        """Istiod ends their streams, or refuses them, at these instants."""
        if not len(place):
            return
        at = np.broadcast_to(np.asarray(at_ns, np.int64), place.shape)
        clusters = self._clusters[self.kind[place]]
        closed_ns = self._streams.closed_ns(place.astype(np.int32), at, clusters)
        left_ns = closed_ns + self._wait_ns(place)
        self.dial_ns[place] = NEVER
        in_time = left_ns <= self._settings.end_ns
        self._dial(place[in_time], left_ns[in_time])

    def _wait_ns(self, place: Places) -> Ints:
        """Whole ms, uniform below the interval (wire/backoff.py)."""
        purpose, drawn, failures = "envoy.reconnect_backoff.ads", self.drawn[place], self._failures[place]
        u = self._draws.uniform_array(purpose, self._entity[place], drawn)
        self.drawn[place] = drawn + 1
        self._failures[place] = np.minimum(failures + 1, len(self._intervals) - 1)
        waits: Ints = (u * (self._intervals[failures] // MS)).astype(np.int64) * MS
        return waits

    def _dial(self, place: Places, left_ns: Ints) -> None:
        small, streams = place.astype(np.int32), self._streams
        # The stream is opened first; what opening takes delays the requests, not the link.
        linked_ns = streams.opens_ns(small, left_ns)
        opens_ns = linked_ns + self._open_ns(place)
        self.left_ns[place], self.linked_ns[place], self.dial_ns[place] = left_ns, linked_ns, opens_ns
        self._next_ns = None
        for requests_ns, sizes in zip(self.requests_ns, self._sizes.T, strict=True):
            size = sizes[self.kind[place]]
            asks = size != NO_REQUEST
            there_ns = streams.asked_ns(small[asks], left_ns[asks], size[asks])
            requests_ns[place[asks]] = np.maximum(there_ns, opens_ns[asks])
        near = opens_ns < self._near_ns
        if near.any():
            self._near = np.concatenate([self._near, place[near]])

    def _open_ns(self, place: Places) -> Ints | int:
        law = self._settings.stream_open
        if isinstance(law, Constant):
            return law.value_ns
        opened = self.opened[place]
        self.opened[place] = opened + 1
        return law.ns_array(self._draws.uniform_array("envoy.costs.stream_open", self._entity[place], opened))

    def answered(self, place: Small) -> None:
        """They processed a response: the next wait is a first one."""
        self._failures[place] = 0

    def arrived(self, place: int) -> None:
        """The stream that it opened is at istiod."""
        self.dial_ns[place] = NEVER
        self._near = self._near[self._near != place]
        self._next_ns = None

    # --- dials that come to nothing, and the first that may not

    def none_before(self, t_ns: int) -> bool:
        """Whether it is known without much ado that nobody's stream is at istiod before that instant."""
        if self._next_ns is None:
            self._next_ns = min(int(self.dial_ns[self._near].min(initial=NEVER)), self._near_ns)
        return t_ns <= self._next_ns

    def refuse_before(self, t_ns: int, admits_from_ns: Sequence[int]) -> None:
        """Every dial before that instant that meets nobody who lets it in is refused, and those that follow
        from it.

        Args:
            t_ns: The instant.
            admits_from_ns: Of each backend whom kube-proxy knows, in order, from when on it may let somebody
                in; `NEVER` for one that is not there.
        """
        self._next_ns = None
        while self._near_ns < t_ns:
            if self._near_ns < t_ns - _WINDOW_NS:
                # A long time, of which nobody asks for the order.
                self._near_ns = t_ns
                self._near = np.flatnonzero(self.dial_ns < t_ns)
            else:
                self._look_ahead()
        while True:
            near_ns = self.dial_ns[self._near]
            due = np.flatnonzero(near_ns < t_ns)
            if len(due) and admits_from_ns:
                due = due[near_ns[due] < self._from_ns(self._near[due], admits_from_ns)]
            if not len(due):
                return
            place, at_ns = self._near[due], near_ns[due]
            self._near = np.delete(self._near, due)
            if admits_from_ns:
                self.dialled[place] += 1
            self.lost(place, at_ns)

    def _from_ns(self, place: Places, admits_from_ns: Sequence[int]) -> Ints:
        """From when on the backends that kube-proxy chooses for these dials let somebody in."""
        if len(admits_from_ns) == 1:
            return np.full(len(place), admits_from_ns[0], np.int64)
        dials = self.dialled[place].astype(np.int64) + 1
        chosen = self._settings.backend(self._draws, self._entity[place], dials, len(admits_from_ns))
        return np.array(admits_from_ns, np.int64)[chosen]

    def _look_ahead(self) -> None:
        self._near_ns += _WINDOW_NS
        self._near = np.flatnonzero(self.dial_ns < self._near_ns)

    def first(self, until_ns: int) -> int | None:
        """The place whose dial is the first at istiod, by (instant, entity); None if none is by then."""
        while True:
            if len(self._near):
                near_ns = self.dial_ns[self._near]
                first_ns = near_ns.min()
                if first_ns < self._near_ns:
                    return int(self._near[near_ns == first_ns].min()) if first_ns <= until_ns else None
            if self._near_ns > until_ns:
                return None
            self._look_ahead()


def _intervals(backoff: BackoffSettings) -> Ints:
    """The interval of the first wait, of the second and so on, up to the longest."""
    intervals = [backoff.base_ns]
    while intervals[-1] != (longer := min(2 * intervals[-1], backoff.max_ns)):
        intervals.append(longer)
    return np.array(intervals, np.int64)
