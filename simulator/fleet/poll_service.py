"""What the server does with polls of the arrays: how long each takes, what it brings and acknowledges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.clock import S
from simulator.engine.delays import Constant, Delay
from simulator.fleet.loops import ANSWERED, NO_OPEN, Loops, LoopSettings
from simulator.fleet.poll_answers import PolledAnswers
from simulator.fleet.poll_server import Capacity
from simulator.fleet.subscriptions import NOTHING, Subscriptions
from simulator.fleet.updates import Updates
from simulator.xds.resources import Names, Resources

Ints = NDArray[np.int64]
Ids = NDArray[np.int64]


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


class PollService:
    """See the module.

    Args:
        loops: Whose requests it serves.
        subscriptions: What there is to ask for, and what is published of it.
        updates: Told which changes leave and which are acknowledged.
        answers: Given to the proxies.
        servers: Polls served at the same time.

    Attributes:
        capacity: The servers.
        messages: Requests and answers with content so far.
        bytes: Their sizes.
        left: Polls that wait at the end of the run.
    """

    def __init__(
        self,
        settings: PollingSettings,
        loops: Loops,
        subscriptions: Subscriptions[Resources, Names],
        updates: Updates,
        answers: PolledAnswers,
        servers: int,
    ) -> None:
        self._settings, self._loops, self._subscriptions = settings, loops, subscriptions
        self._updates, self._answers = updates, answers
        self.capacity = Capacity(servers)
        self.messages = self.bytes = self.left = 0
        self._opened = 0
        """Answers that carried changes and are not acknowledged."""

    def serve(self, ids: Ids, last_ns: int, *, is_strict: bool) -> int:
        """Serves as many of these, in order of arrival, as start in time; how many.

        Args:
            last_ns: The latest start.
            is_strict: Who had to wait does not start at that very instant.
        """
        loops = self._loops
        settings, subscriptions = self._settings, self._subscriptions
        sub, key = loops.sub[ids], loops.key[ids]
        answer = subscriptions.current[sub]
        is_new = subscriptions.version[sub] != loops.version[ids]
        has_new = bool(is_new.any())
        service = self._service_ns(ids, sub, key, is_new)
        arrival_ns = loops.arrival_ns[ids]
        starts = self.capacity.serve(arrival_ns, service, last_ns, is_strict=is_strict)
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
        if loops.may_break:
            loops.started_ns[ids] = starts
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
        loops.lose_answers(ids)
        loops.come_back(ids, back_ns)
        self._answers.add(ids)
        return count

    def leave_waiting(self, ids: Ids) -> None:
        """The run ends before these are served."""
        loops = self._loops
        if self._opened:
            _, first = np.unique(loops.key[ids], return_index=True)
            one = ids[first]
            self._read_acks(one, loops.sub[one], loops.key[one], loops.arrival_ns[one])
        self._count_requests(loops.sub[ids])
        self.left += len(ids)
        loops.answer[ids] = NOTHING
        loops.instant[ids] = 2 * (loops.departs_ns[ids] + self._settings.loops.timeout_ns) + 1
        loops.state[ids] = ANSWERED
        self._answers.add(ids)

    def _service_ns(self, ids: Ids, sub: NDArray[np.int32], key: Ints, is_new: NDArray[np.bool_]) -> Ints:
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

    def _read_acks(self, ids: Ids, sub: NDArray[np.int32], key: Ints, arrival_ns: Ints) -> None:
        """A request states the version last accepted (propagation/http_server.py: Acknowledgements)."""
        loops = self._loops
        if loops.doubles:
            # Two loops of one subscription wait at once.
            both = (loops.opened_by[key] != ids) & (loops.opened_ns[key] > arrival_ns)
            self._updates.note_touched(loops.place[ids[both]])
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
        ids: Ids,
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
            loops.open_version[keys] = self._subscriptions.version[sub[carries]]
            loops.opened_by[keys], loops.opened_ns[keys] = ids[carries], starts[carries]
            loops.open_from[keys], loops.open_to[keys] = (
                seen[carries],
                self._subscriptions.publications,
            )
