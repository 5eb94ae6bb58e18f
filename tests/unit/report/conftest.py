"""Results made by the real recorder from a few instants, for figures to be drawn of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from simulator.engine.clock import MS
from simulator.recording import Recorder
from simulator.results.result import Result

ORDER = ("bootstrapped", "primary_initialized", "rtds_initialized", "cds_subscribed", "cds_initialized",
         "clusters_initialized", "listeners_initialized", "workers_started", "ready")  # fmt: skip

Start = Mapping[str, Any]
State = tuple[Any, ...]
Recorded = Callable[..., Result]


def start(
    *instants_ms: float | None,
    connected_ms: float | None = 60,
    timed_out: Mapping[str, int] | None = None,
    outcome: str = "live",
    epoch: int = 0,
    begins_ms: float = 0,
) -> Start:
    """One start: the instants of ORDER since process start, as many as were reached."""
    return {
        "instants": dict(zip(ORDER, instants_ms, strict=False)),
        "connected": connected_ms,
        "timed_out": dict(timed_out or {}),
        "outcome": outcome,
        "epoch": epoch,
        "begins": begins_ms,
    }


@pytest.fixture
def recorded() -> Recorded:
    """A function (starts, states, duration) -> Result; each first epoch is the next proxy's."""

    def record(starts: Iterable[Start] = (), states: Iterable[State] = (), duration: str = "60s") -> Result:
        starts = list(starts)
        first_starts = sum(each["epoch"] == 0 for each in starts)
        recorder = Recorder([f"p{i}" for i in range(max(1, first_starts))], messages=True, states=True)
        proxy = -1
        for each in starts:
            proxy += each["epoch"] == 0
            begins_ns = int(each["begins"] * MS)
            row = recorder.startup(proxy, each["epoch"], "start", begins_ns)
            for name, instant in {**each["instants"], "connected": each["connected"]}.items():
                if instant is not None:
                    setattr(row, f"t_{name}_ns", begins_ns + int(instant * MS))
            row.fetch_timeouts = dict(each["timed_out"])
            row.outcome = each["outcome"]
        for at_ms, machine, name, state, *detail in states:
            recorder.state(int(at_ms * MS), 0, machine, name, state, *detail)
        return Result.from_recorder(recorder, {"name": "drawn", "scenario": {"duration": duration}})

    return record


@pytest.fixture
def begin() -> Callable[..., Start]:
    """The function `start` of this file."""
    return start


STAGE_INSTANTS = ("observed", "debounced", "enqueued", "dequeued", "sent", "received", "applied", "active")


class MeshRun:
    """A run of a mesh recorded by hand: deliveries by the time each stage took, queues and requests."""

    def __init__(self, proxies: int = 4) -> None:
        self.recorder = Recorder([f"p{i}" for i in range(proxies)], messages=False, states=False)

    def change(
        self,
        kind: str,
        stages_ms: Iterable[Iterable[float]],
        outcome: str = "active",
        carried_by: str = "push",
    ) -> None:
        """One change a second after the one before: for each proxy the milliseconds of its stages."""
        rows = [list(spent) for spent in stages_ms]
        t_ns = (len(self.recorder.change_rows) + 1) * 1000 * MS
        change = self.recorder.change(kind, f"{kind}-{t_ns}", t_ns, len(rows))
        for proxy, spent in enumerate(rows):
            row = self.recorder.delivery(change, proxy, t_ns)
            at_ns = t_ns
            for name, ms in zip(STAGE_INSTANTS, spent, strict=False):
                at_ns += round(ms * MS)
                setattr(row, f"t_{name}_ns", at_ns)
            row.carried_by, row.t_acked_ns = carried_by, row.t_applied_ns
            row.outcome = outcome if len(spent) == len(STAGE_INSTANTS) else "pending"

    def result(self, duration: str = "60s", warm_up: str = "0s") -> Result:
        """The result of what was recorded."""
        manifest = {"name": "mesh", "scenario": {"duration": duration, "warm_up": warm_up}}
        return Result.from_recorder(self.recorder, manifest)


@pytest.fixture
def mesh() -> MeshRun:
    """A run of four proxies to which nothing has happened yet."""
    return MeshRun()
