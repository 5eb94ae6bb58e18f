"""How busy an experiment keeps the processors it is given."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

import simulator as xs
from simulator.experiment.executors import processors
from simulator.experiment.worker_processes import WorkerProcesses
from tests.many import tiny

RUNS = 1000
PUSHES = [
    {"at": f"{200 + 30 * number}ms", "type": kind, "change": [name]}
    for number, (kind, name) in enumerate([("eds", "c0"), ("rds", "r0")] * 7)
]
"""So many that a run takes some 20 ms."""


def startup_s() -> float:
    """Processor seconds until a worker can make its first call."""
    with WorkerProcesses(1) as pool:
        seconds: float = pool.submit(time.process_time).result()
        return seconds


@pytest.mark.benchmark
def test_a_thousand_runs_of_20_ms_keep_two_processors_busy(tmp_path: Path) -> None:
    """Processor time that the workers spend on runs, in relation to what two processors had to give from the
    first line to the last table, records written and synced on the way. What others used meanwhile was not
    there to be had; the start of the workers, the parent and idleness count as lost.
    """
    if processors() != 2:
        pytest.skip("needs exactly two processors, or what others do cannot be told apart")
    startup = startup_s()
    workers: dict[int, float] = {}
    last: list[float] = []

    def watch(progress: object) -> None:
        if getattr(progress, "done", 0) == RUNS:  # all have ended, and the workers are still there
            last.append(time.perf_counter())
            for worker in psutil.Process().children():
                times = worker.cpu_times()
                workers[worker.pid] = times.user + times.system

    began, own, all_before = time.perf_counter(), time.process_time(), everybodys()
    over = {"network.latency": ["1ms", "2ms"]}
    scenario = tiny(duration="4s", pushes=PUSHES)
    given = {"replications": RUNS // 2, "executor": "processes:2", "out": tmp_path, "progress": watch}
    done = xs.sweep(scenario, over, **given)  # type: ignore[arg-type]
    wall, own = time.perf_counter() - began, time.process_time() - own
    playing = sum(workers.values()) - 2 * startup
    others = max(everybodys() - all_before - sum(workers.values()) - own, 0.0)
    share = playing / (2 * wall - others)
    print(
        f"\n{len(done.runs):,} runs of {playing / RUNS * 1e3:.1f} ms in {wall:.1f} s, of which "
        f"{last[0] - began:.1f} s until the last has ended: {share:.2f} of two processors play, start of the "
        f"workers {2 * startup:.1f} s, parent {own:.1f} s; others took {others:.1f} s"
    )
    assert done.runs["error"].isna().all()
    assert share >= 0.85


def everybodys() -> float:
    """Processor seconds that anybody on this machine has used."""
    times = psutil.cpu_times()
    return times.user + times.system + times.nice + times.irq + times.softirq


def ours() -> float:
    """Processor seconds of this process and of those of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.mark.benchmark
def test_two_worker_processes_use_most_of_two_processors_for_what_one_process_has_to_do() -> None:
    """The same sweep, serial and by two processes: the work that it is (processor seconds of the serial one)
    in relation to what two processors had to give meanwhile, so that neither the machine's speed nor what
    others do decides. Starting the workers, and tables that one process makes at the end, count as lost; on
    a machine whose processors share a core the same work also takes longer when both are busy.
    """
    if processors() != 2:
        pytest.skip("needs exactly two processors, or what others do cannot be told apart")
    runs, over = 400, {"network.latency": ["1ms", "2ms"]}
    wall, work, others = {}, {}, {}
    for executor in ("serial", "processes:2"):
        began, all_before, before = time.perf_counter(), everybodys(), ours()
        done = xs.sweep(tiny(), over, replications=runs // 2, executor=executor)
        wall[executor], work[executor] = time.perf_counter() - began, ours() - before
        others[executor] = max(everybodys() - all_before - work[executor], 0.0)
        assert done.runs["error"].isna().all()
    efficiency = work["serial"] / (2 * wall["processes:2"] - others["processes:2"])
    print(
        f"\n{runs} runs: {wall['serial']:.1f} s serial, {wall['processes:2']:.1f} s by two processes "
        f"({wall['serial'] / wall['processes:2']:.2f} times as fast); work {work['serial']:.1f} s, then "
        f"{work['processes:2']:.1f} s; others {others['serial']:.1f} s, {others['processes:2']:.1f} s: "
        f"parallel efficiency {efficiency:.0%}"
    )
    assert efficiency > 0.5
