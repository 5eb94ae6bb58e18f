"""Small runs, recorded by hand, whose every number can be worked out on paper."""

import pytest

from simulator.engine.clock import MS, S
from simulator.recording.recorder import Recorder
from simulator.results.result import Result

PHASES = (
    "t_bootstrapped_ns",
    "t_primary_initialized_ns",
    "t_rtds_initialized_ns",
    "t_connected_ns",
    "t_cds_subscribed_ns",
    "t_cds_initialized_ns",
    "t_clusters_initialized_ns",
    "t_listeners_initialized_ns",
    "t_workers_started_ns",
    "t_ready_ns",
)


def record_start(recorder: Recorder, proxy: int, times_ms: list[int], timeouts: dict[str, int]) -> None:
    """One start whose phases end at the given times; phases without one are not reached."""
    row = recorder.startup(proxy, 0, "start", 0)
    for instant, time_ms in zip(PHASES, times_ms, strict=False):
        setattr(row, instant, time_ms * MS)
    row.fetch_timeouts.update(timeouts)
    row.outcome = "live" if len(times_ms) == len(PHASES) else "initializing"


def record_delivery(
    recorder: Recorder, change_id: int, proxy: int, active_ms: int | None, outcome: str
) -> None:
    """One delivery of a change that is active, or not, so long after it happened."""
    t_changed_ns = recorder.change_rows[change_id][3]
    row = recorder.delivery(change_id, proxy, t_changed_ns)
    row.outcome = outcome
    if active_ms is not None:
        row.t_applied_ns = t_changed_ns + active_ms * MS // 2
        row.t_active_ns = t_changed_ns + active_ms * MS


def small_run() -> Recorder:
    """Two Envoys, one of them stuck on EDS, and three changes of different fates."""
    recorder = Recorder(["p0", "p1"], messages=True, states=True)
    record_start(recorder, 1, [40, 41, 41, 42, 43, 1043], {"eds": 2, "rds": 1})
    record_start(recorder, 0, [50, 51, 51, 52, 53, 1053, 2053, 3053, 4053, 4060], {})
    for t_ns, kind, name in ((1 * S, "cds", "c0"), (2 * S, "cds", "c1"), (3 * S, "rds", "r0")):
        recorder.change(kind, name, t_ns, 2)
    record_delivery(recorder, 2, 1, None, "pending")
    record_delivery(recorder, 2, 0, 100, "active")
    record_delivery(recorder, 0, 0, 1500, "active")
    record_delivery(recorder, 0, 1, 500, "active")
    record_delivery(recorder, 1, 0, 1000, "superseded")
    record_delivery(recorder, 1, 1, None, "rejected")
    recorder.message(60 * MS, 0, 0, 1, "request", "cds", "", "", "", (), 20)
    recorder.message(61 * MS, 0, 0, 1, "response", "cds", "1", "a", "", ("c0", "c1", "c2", "x"), 300)
    recorder.message(63 * MS, 0, 0, 1, "request", "cds", "1", "a", "", (), 25)
    recorder.message(63 * MS, 1, 0, 2, "request", "lds", "", "b", "bad listener", (), 60)
    recorder.state(62 * MS, 0, "cluster", ("c0", "c1", "c2"), "warming", "eds")
    recorder.state(70 * MS, 0, "cluster", ("c0", "c1"), "active")
    recorder.traffic(0, S, 0, "l0", "200", False, 9.0, 9.0)
    recorder.traffic(0, S, 0, "l0", "UH", True, 1.0, 1.0)
    recorder.counters.add(0, "cluster_manager.cds.update_success")
    recorder.warn("something to know")
    recorder.events = 1234
    return recorder


@pytest.fixture
def recorder() -> Recorder:
    """The small run, for tests that change it."""
    return small_run()


@pytest.fixture(scope="session")
def result() -> Result:
    """The result of the small run, shared: tests leave it as it is."""
    return Result.from_recorder(
        small_run(), {"name": "by-hand", "scenario": {"duration": "10s", "warm_up": "0s"}}
    )


@pytest.fixture(scope="session")
def empty_result() -> Result:
    """The result of a run in which nothing happened."""
    return Result.from_recorder(Recorder([], messages=True, states=True), {"name": "nothing"})
