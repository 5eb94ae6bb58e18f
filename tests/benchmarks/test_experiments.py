"""How busy an experiment keeps the processors it is given."""

from __future__ import annotations

import time

import pytest

import simulator as xs
from simulator.experiment.executors import processors
from tests.many import tiny


@pytest.mark.benchmark
def test_a_thousand_short_runs_keep_two_processors_busy() -> None:
    psutil = pytest.importorskip("psutil")
    if processors() < 2:
        pytest.skip("needs two processors")
    busy: dict[int, float] = {}

    def watch(progress: object) -> None:
        for worker in psutil.Process().children():
            times = worker.cpu_times()
            busy[worker.pid] = times.user + times.system

    began, own = time.perf_counter(), time.process_time()
    done = xs.sweep(
        tiny(), {"network.latency": ["1ms", "2ms"]}, replications=500, executor="processes:2", progress=watch
    )
    wall, own = time.perf_counter() - began, time.process_time() - own
    share = sum(busy.values()) / (2 * wall)
    print(
        f"\n{len(done.runs):,} runs of {sum(busy.values()) / len(done.runs) * 1e3:.1f} ms in {wall:.1f} s: "
        f"workers keep {share:.2f} of two processors busy, the parent {own / wall:.2f} of one"
    )
    assert done.runs["error"].isna().all()
    assert share >= 0.85
