"""The rows of one replica: the proxies of the arrays whose streams it holds, and its push line with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.connection import Connection
from simulator.fleet.answers import Answers
from simulator.fleet.deliveries import Announced, delivery_parts, read_acks
from simulator.fleet.errors import CannotTakeFleet, SeveralLooked
from simulator.fleet.folding import Folding
from simulator.fleet.followers import Follower, told_twice
from simulator.fleet.line import PushLine
from simulator.fleet.push_log import PushLog
from simulator.fleet.streams import Ints, Small, Streams
from simulator.recording.push_tally import PushTally
from simulator.recording.recorder import Recorder
from simulator.scenario.fleet.replica import FleetReplica, GroupMaking


class ReplicaRows:
    """See the module; takes what the line did.

    Args:
        replica: Whose streams they are.
        entity: The proxies, by place, ascending.
        group: Their groups.
        making: Makes their responses.
        streams: The way to them.
        end_ns: End of the run.
        is_delta: The protocol of their streams.

    Attributes:
        line: The push line; set right after.
        number: Counts those that share streams.
        is_last: No other replica holds their streams after this one.
        is_delta: See above.
    """

    line: PushLine[Connection]

    def __init__(
        self,
        replica: FleetReplica,
        entity: Ints,
        group: Small,
        making: GroupMaking,
        streams: Streams,
        end_ns: int,
        *,
        is_delta: bool,
    ) -> None:
        self.is_delta = is_delta
        self.replica, self.entity, self.group = replica, entity, group
        self.making, self.streams = making, streams
        self._end_ns = end_ns
        self._folding: Folding | None = None
        self._counts = False
        self._log = PushLog()
        self.number = 0
        self._has_ended = False
        self.is_last = True
        self._before: ReplicaRows | None = None

    def take(self, place: Small, request: Small, made: Small, dequeued_ns: Ints, sent_ns: Ints) -> None:
        """What the line did goes on its way (fleet/pushes_over.py: Taker)."""
        if self.replica.reconnects is not None:
            # What they were answered comes before what they are pushed.
            self.replica.reconnects.hand_on()
        self.takes_over()
        self.streams.take(place, request, made, dequeued_ns, sent_ns)
        if self._folding is not None:
            self._folding.settle(int(sent_ns.max()), self._in_hand(), self.number)

    def takes_over(self) -> None:
        """What is sent from here on is sent by this replica."""
        self.streams.owner, self.streams.log = self.number, self._log

    def _in_hand(self) -> tuple[NDArray[np.int64], Ints]:
        """Places whose worker is busy, and since when."""
        reconnects = self.replica.reconnects
        return self.line.in_hand() if reconnects is None else reconnects.in_hand(self)

    def forget_moves(self) -> None:
        """What is sent from here on carries more than what was sent before."""
        self.line.hand_on()
        if self.replica.reconnects is not None:
            self.replica.reconnects.learns_of_nothing(self)
        self.streams.forget_moves()

    def follow(self, before: ReplicaRows) -> None:
        """The replica may get streams that another one has."""
        self._before, before.is_last = before, False
        self.number = before.number + 1

    @property
    def _came_to_nothing(self) -> list[tuple[int, int, list[int], NDArray[np.bool_] | None]]:
        """What came to nothing at the replica, and at those before it, with the number of each."""
        before = [] if self._before is None else self._before._came_to_nothing
        number = self.replica.number
        own = [(number, *of) for of in self.replica.came_to_nothing if of[2] is None or of[2].any()]
        return before + own

    def end(self) -> None:
        """The replica ends, or the run, and all that was sent is on its way: what was not read by then never
        is."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._folding is not None:
            self._folding.read_last(self._in_hand(), self.number)
            return
        count = len(self.entity)
        own = [batch for batch in self.streams.batches if batch.owner == self.number]
        read_acks(own, count, self._in_hand(), self._end_ns, Answers(count, is_delta=self.is_delta))

    def fold(self, recorder: Recorder) -> None:
        """From here on deliveries are counted, not kept."""
        if self._counts:
            return
        self._counts = True
        self._fold_deliveries(recorder)
        if not recorder.keeps_proxy_pushes:
            tally = recorder.push_tally = recorder.push_tally or PushTally()
            self._log.count_into(
                tally, self.replica.number, lambda n: self.line.requests[n].start_ns, self.making.sends
            )

    def _fold_deliveries(self, recorder: Recorder) -> None:
        if self.streams.folding is None:
            folding = Folding(recorder, self.entity, self.group, self._end_ns, self.streams.since)
            ended = self._ended()
            for batch in self.streams.batches:
                folding.take(batch, is_read=batch.owner in ended)
            self.streams.batches.clear()
            self.streams.folding = folding
        assert isinstance(self.streams.folding, Folding)
        self._folding = self.streams.folding

    # --- the end of the run

    def _ended(self) -> dict[int, None]:
        """Numbers of those, of it and of the ones before it, that have ended."""
        before = {} if self._before is None else self._before._ended()
        return before | ({self.number: None} if self._has_ended else {})

    def deliveries(self, announced: Sequence[Announced]) -> Callable[[], Iterator[Mapping[str, Any]]]:
        """Gives the rows of the deliveries table, when all ACKs are read; of replicas that share streams the
        last one does."""
        assert self.is_last, "the deliveries of shared streams are those of the last replica"
        if self._folding is not None:
            if self._came_to_nothing:
                raise CannotTakeFleet(
                    "endpoints that leave and are back before istiod looked, where deliveries are counted"
                )
            self._folding.finish(announced)
            return partial(self._folding.rows, announced)
        followers = self._followers(announced)
        return partial(
            delivery_parts,
            announced,
            self.streams.batches,
            self.entity,
            self.group,
            self._end_ns,
            followers,
            self.streams.since,
        )

    def _followers(self, announced: Sequence[Announced]) -> dict[int, list[Follower]]:
        """The changes that came to nothing at the replica, or at those before it."""
        latest: dict[object, int] = {}
        before: dict[int, int | None] = {}
        for change in announced:
            if change.endpoints is not None:
                before[change.change] = latest.get(change.endpoints)
                latest[change.endpoints] = change.change
        followers: dict[int, list[Follower]] = {}
        for replica, t_ns, numbers, is_told in self._came_to_nothing:
            for number in numbers if numbers[0] in before else ():
                looked = followers.setdefault(number, [])
                if any(told_twice(follower.is_told, is_told) for follower in looked):
                    raise SeveralLooked(
                        "endpoints that leave and are back before two istiods looked, whose proxies reconnect"
                    )
                looked.append(Follower(t_ns, before[numbers[0]], number == numbers[-1], replica, is_told))
        return followers

    def close(self, recorder: Recorder) -> None:
        """The run is over: what is sent is counted, and when the last push of each round was sent."""
        if self.is_last:
            recorder.xds_messages += self.streams.messages
            recorder.xds_bytes += self.streams.bytes
        for number, last_ns in self._log.last_sent_ns(self.making.sends).items():
            for push in self.line.requests[number].rounds:
                row = recorder.push_rows[push]
                row.t_last_sent_ns = max(row.t_last_sent_ns or 0, last_ns)

    def _sends(self, made: NDArray[np.int32], sent_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pushes sent something."""
        has_any = np.array([bool(m.responses) for m in self.making.made] + [False])
        sends: NDArray[np.bool_] = has_any[made] & (sent_ns >= 0)
        return sends

    @property
    def has_pushed(self) -> bool:
        """Whether there are pushes to one of them that are not counted only."""
        return bool(self._log.place)

    def proxy_pushes(self) -> Mapping[str, Any]:
        """Every push to one of them, as columns; -1 stands for a missing number."""
        log, requests = self._log, self.line.requests
        which = _joined(log.request, np.int32)
        place, sent = _joined(log.place, np.int32), _joined(log.sent_ns, np.int64)
        made = _joined(log.made, np.int32)
        sends = self._sends(made, sent)
        # A push for one connection alone, which is never a row, is of no round.
        rounds = [r.rounds[-1] if r.rounds else -1 for r in requests]
        starts = np.array([r.start_ns for r in requests], np.int64)[which]
        types = [[g.type.name for g in m.responses] for m in self.making.made]
        shown = np.empty(len(types) + 1, object)
        for seat, names in enumerate([*types, []]):
            shown[seat] = names
        return {
            "push_id": np.array(rounds, np.int64)[which],
            "proxy": self.entity[place],
            "replica": np.full(len(place), self.replica.number, np.int64),
            "t_start_ns": starts,
            "t_enqueued_ns": starts,
            "t_dequeued_ns": _joined(log.dequeued_ns, np.int64),
            "t_sent_ns": np.where(sends, sent, -1),
            "types": shown[np.where(sends, made, -1)],
        }


def _joined(parts: list[Any], kind: type) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, kind)
