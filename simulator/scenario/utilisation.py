"""How busy the stations of istiod were: which of them could have been the bottleneck."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.control_plane.istiod.replica import Replica
from simulator.recording.recorder import Recorder

__all__ = ["of_replicas"]


def of_replicas(
    replicas: Mapping[int, Replica], recorder: Recorder, duration_ns: int, procs: int, throttle: int
) -> dict[str, float]:
    """Station -> share of the run that it was busy, in the busiest of the replicas that run at the end."""
    building: dict[int, int] = {}
    for row in recorder.push_rows:
        if row.t_started_ns is not None and row.t_started_ns >= 0:
            until_ns = duration_ns if row.t_context_ready_ns is None else row.t_context_ready_ns
            building[row.replica] = building.get(row.replica, 0) + until_ns - row.t_started_ns
    pushing = {} if recorder.push_tally is None else dict(recorder.push_tally.in_hand_ns)
    for _, _, pusher, _, _, dequeued_ns, sent_ns, _ in recorder.proxy_push_rows:
        if sent_ns is not None:
            pushing[pusher] = pushing.get(pusher, 0) + sent_ns - dequeued_ns
    further = recorder.proxy_push_columns
    if further:
        sent = further["t_sent_ns"] >= 0
        in_hand_ns = further["t_sent_ns"] - further["t_dequeued_ns"]
        for number in sorted(replicas):
            its = sent & (further["replica"] == number)
            pushing[number] = pushing.get(number, 0) + int(in_hand_ns[its].sum())
    busy: dict[str, float] = {}
    for number, replica in sorted(replicas.items()):
        for station, busy_ns, servers in (
            ("registry queue", replica.registry.busy_ns, 1),
            ("PushContext", building.get(number, 0), 1),
            ("push queue", pushing.get(number, 0), throttle),
            ("generation", replica.cpu.busy_ns, procs),
        ):
            share = min(1.0, busy_ns / (duration_ns * servers)) if duration_ns else 0.0
            busy[station] = max(busy.get(station, 0.0), share)
    return busy
