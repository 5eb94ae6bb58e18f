"""How many wait in the queues of the control plane."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.recording.rows import QueueRecord


@dataclass(slots=True, eq=False)
class _Depth:
    """What was last noted of one queue; every queue is empty when the clock starts."""

    t_ns: int = -1
    depth: int = 0
    rises: bool = False
    row: int = -1


class QueueDepths:
    """The depths of all queues: within one instant its peaks, and what stands at its end."""

    __slots__ = ("_last", "rows")

    def __init__(self) -> None:
        self.rows: list[QueueRecord] = []
        self._last: dict[tuple[int, str], _Depth] = {}

    def note(self, t_ns: int, replica: int, queue: str, depth: int) -> None:
        """So many wait in a queue of a replica from now on."""
        last = self._last.get((replica, queue))
        if last is None:
            last = self._last[replica, queue] = _Depth()
        if depth == last.depth:
            return
        rises = depth > last.depth
        if t_ns == last.t_ns and rises == last.rises:
            self.rows[last.row] = (t_ns, replica, queue, depth)
        else:
            last.row = len(self.rows)
            self.rows.append((t_ns, replica, queue, depth))
        last.t_ns, last.depth, last.rises = t_ns, depth, rises
