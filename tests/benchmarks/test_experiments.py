"""How busy an experiment keeps the processors it is given."""

from __future__ import annotations

import os
import time

import psutil
import pytest

import simulator as xs
from simulator.experiment.executors import processors
from tests.many import tiny

RUNS = 1000


@pytest.mark.benchmark
def test_a_thousand_short_runs_keep_two_processors_busy() -> None:
    if processors() != 2:
        pytest.skip("needs exactly two processors, or what others do cannot be told apart")
    workers: dict[int, float] = {}

    def watch(progress: object) -> None:
        if getattr(progress, "done", 0) == RUNS:  # all have ended, and the workers are still there
            for worker in psutil.Process().children():
                times = worker.cpu_times()
                workers[worker.pid] = times.user + times.system

    def everybody() -> float:
        times = psutil.cpu_times()
        return times.user + times.system + times.nice + times.irq + times.softirq

    began, own, all_before = time.perf_counter(), time.process_time(), everybody()
    over = {"network.latency": ["1ms", "2ms"]}
    done = xs.sweep(tiny(), over, replications=RUNS // 2, executor="processes:2", progress=watch)
    # Until the last run has ended: what follows is no longer the business of the workers.
    wall, own = time.perf_counter() - began, time.process_time() - own
    busy = sum(workers.values())
    others = max(everybody() - all_before - busy - own, 0.0)
    share = busy / (2 * wall - others)
    print(
        f"\n{len(done.runs):,} runs of {busy / RUNS * 1e3:.1f} ms in {wall:.1f} s: workers keep {share:.2f} "
        f"of two processors busy, parent takes {own / RUNS * 1e3:.2f} ms a run; others took {others:.1f} s"
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
