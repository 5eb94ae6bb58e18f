"""The rows of one replica: the proxies of the arrays whose streams it holds, and its push line with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.connection import Connection
from simulator.fleet.answers import Answers
from simulator.fleet.deliveries import Held, read_acks
from simulator.fleet.line import PushLine
from simulator.fleet.streams import Streams
from simulator.recording.recorder import Recorder
from simulator.scenario.fleet_replica import FleetReplica, GroupMaking


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaRows:
    """See the module.

    Attributes:
        entity: The proxies, by place, ascending.
        group: Their groups.
    """

    replica: FleetReplica
    entity: NDArray[np.int64]
    group: NDArray[np.int32]
    making: GroupMaking
    streams: Streams
    line: PushLine[Connection]

    def close(self, recorder: Recorder) -> None:
        """The run is over: what is sent is counted, and when the last push of each round was sent."""
        self.line.hand_on()
        recorder.xds_messages += self.streams.messages
        recorder.xds_bytes += self.streams.bytes
        log = self.streams.log
        if not log.place:
            return
        requests, sent = np.concatenate(log.request), np.concatenate(log.sent_ns)
        sends = self._sends(np.concatenate(log.made), sent)
        last = np.full(len(self.line.requests), -1, np.int64)
        np.maximum.at(last, requests[sends], sent[sends])
        for number in np.flatnonzero(last >= 0).tolist():
            for push in self.line.requests[number].rounds:
                row = recorder.push_rows[push]
                row.t_last_sent_ns = max(row.t_last_sent_ns or 0, int(last[number]))

    def _sends(self, made: NDArray[np.int32], sent_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pushes sent something."""
        has_any = np.array([bool(m.responses) for m in self.making.made] + [False])
        sends: NDArray[np.bool_] = has_any[made] & (sent_ns >= 0)
        return sends

    def held(self, end_ns: int, *, is_delta: bool) -> Held:
        """What reached them, for the table of deliveries."""
        batches = self.streams.batches
        answers = Answers(len(self.entity), is_delta=is_delta)
        read_acks(batches, len(self.entity), self.line.in_hand(), end_ns, answers)
        return Held(self.replica.number, batches, self.entity, self.group)

    def proxy_pushes(self) -> Mapping[str, Any]:
        """Every push to one of them, as columns; -1 stands for a missing number."""
        log, requests = self.streams.log, self.line.requests
        which = _joined(log.request, np.int32)
        place, sent = _joined(log.place, np.int32), _joined(log.sent_ns, np.int64)
        made = _joined(log.made, np.int32)
        sends = self._sends(made, sent)
        starts = np.array([r.start_ns for r in requests], np.int64)[which]
        types = [[g.type.name for g in m.responses] for m in self.making.made]
        shown = np.empty(len(types) + 1, object)
        for seat, names in enumerate([*types, []]):
            shown[seat] = names
        return {
            "push_id": np.array([r.rounds[-1] for r in requests], np.int64)[which],
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
