"""Tables do not depend on who plays an experiment, in how many processes, or on how often it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pytest

import simulator as xs
from simulator.engine.draws import Draws
from simulator.results.records import read_record
from tests.many import TINY_YAML, bytes_of, mesh, tiny

ROOT = Path(__file__).parents[2]
OVER = {
    "network.latency": ["5ms", {"exponential": {"mean": "5ms"}}],
    "propagation.protocol": ["sotw", "delta"],
}


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    """A real cluster: a scheduler and two worker processes."""
    distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, scheduler_port=0
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


def swept(directory: Path, executor: object) -> dict[str, bytes]:
    xs.sweep(tiny(), OVER, replications=3, executor=executor, out=directory)
    return bytes_of(directory)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_every_executor_writes_the_same_bytes(tmp_path: Path, dask_address: str) -> None:
    serial = swept(tmp_path / "serial", "serial")
    assert len(serial) == 12 + 3
    assert swept(tmp_path / "one", "processes:1") == serial
    assert swept(tmp_path / "two", "processes:2") == serial
    assert swept(tmp_path / "dask", dask_address) == serial
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert swept(tmp_path / "pool", pool) == serial


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_mesh_is_the_same_from_every_executor(tmp_path: Path, dask_address: str) -> None:
    def compared(executor: str) -> dict[str, bytes]:
        directory = tmp_path / executor.partition(":")[0]
        over = {"propagation.strategy": ["push", "poll"]}
        xs.compare(mesh(), over, replications=2, executor=executor, out=directory)
        return bytes_of(directory)

    assert compared("processes:2") == compared("serial") == compared(dask_address)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_workers_that_cannot_reach_the_directory_hand_their_records_back(
    tmp_path: Path, dask_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial = swept(tmp_path / "serial", "serial")
    # Workers on another machine see no such directory.
    monkeypatch.setattr("simulator.experiment.journal.Journal.token", "elsewhere", raising=False)
    monkeypatch.setattr("simulator.experiment.journal._token_in", lambda _: "elsewhere")
    assert {n: b for n, b in swept(tmp_path / "far", dask_address).items() if ".token" not in n} == serial


PROGRAM = """
import sys
import simulator as xs
path, out, resume, replications = sys.argv[1:]
over = {"network.latency": ["1ms", "2ms", {"exponential": {"mean": "5ms"}}]}
try:
    xs.sweep(xs.load_scenario(path), over, replications=int(replications), executor="processes:2", out=out,
             resume=resume == "resume")
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(path: Path, out: Path, resume: bool = False, replications: int = 6) -> subprocess.Popen[bytes]:
    """A sweep of three cells in a process of its own, without a guard for its main module."""
    words = [str(path), str(out), "resume" if resume else "", str(replications)]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, start_new_session=True)


def finished(out: Path) -> dict[str, int]:
    """The records there are, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("runs/*.run")}


def tables(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in bytes_of(out).items() if not name.startswith(".")}


KILLED_OVER = {"network.latency": ["1ms", {"exponential": {"mean": "5ms"}}]}
KILLED_REPLICATIONS = 12
KILLED_RUNS = 24

NURSERY = f"""
import os, signal, sys
import simulator as xs
path, = sys.argv[1:]
scenario = xs.load_scenario(path)
import simulator.experiment.campaign

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the children ended
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        xs.sweep(scenario, {KILLED_OVER!r}, replications={KILLED_REPLICATIONS}, executor="processes:2",
                 out=line.strip())
        os._exit(0)
    print(pid, flush=True)
"""
"""Starts sweeps in processes of their own that need not import anything first; their workers do."""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Callable[[Path], psutil.Process]]:
    """A function out -> the process of a sweep of two cells into that directory."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_YAML)
    words = [sys.executable, "-c", NURSERY, str(path)]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, heard = process.stdin, process.stdout

        def sweep(out: Path) -> psutil.Process:
            told.write(f"{out}\n")
            told.flush()
            return psutil.Process(int(heard.readline()))

        yield sweep
        told.close()


def kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it was quicker
            process.kill()


def children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.children()
    return []


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_at_random_moments_ends_with_the_same_table(
    tmp_path: Path, nursery: Callable[[Path], psutil.Process]
) -> None:
    """kill -9 of the parent; of a worker and then of the parent; of all of them."""
    scenario = xs.load_scenario(tmp_path / "tiny.yaml")
    whole = tmp_path / "whole"
    draws = Draws(11)
    interrupted = 0
    with ThreadPoolExecutor(1) as players:
        given: dict[str, Any] = {"replications": KILLED_REPLICATIONS, "executor": players}
        xs.sweep(scenario, KILLED_OVER, **given, out=whole)
        for number in range(20):
            out = tmp_path / f"killed-{number}"
            process = nursery(out)
            # Killed when some number of runs is there, and a little later.
            wanted = int(draws.uniform("runs", number) * KILLED_RUNS)
            until = time.monotonic() + 120
            while len(finished(out)) < wanted and process.is_running() and time.monotonic() < until:
                time.sleep(0.002)
            time.sleep(draws.uniform("moment", number) * 0.05)
            if number % 3 == 1:
                kill(children(process)[:1])
                time.sleep(draws.uniform("later", number) * 0.05)
            workers = children(process)
            kill([process, *workers] if number % 3 == 2 else [process])
            psutil.wait_procs(workers, timeout=30)  # they end when they find nobody at the other end
            before = finished(out)
            interrupted += len(before) < KILLED_RUNS
            assert all(read_record(out / "runs" / name) is not None for name in before), "a torn record"
            xs.sweep(scenario, KILLED_OVER, **given, out=out, resume=True)
            after = finished(out)
            assert {name: after[name] for name in before} == before, "a finished run was played again"
            assert tables(out) == tables(whole), number
    assert interrupted >= 10, "most are to be killed while there is something left to do"


@pytest.mark.slow
def test_a_sweep_whose_workers_are_killed_ends_with_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_YAML)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert start(path, whole).wait(timeout=120) == 0
    process = start(path, out)
    kills = 0
    while process.poll() is None:
        if len(finished(out)) > 3 * kills and kills < 4:
            workers = psutil.Process(process.pid).children()
            if workers:
                workers[0].kill()
                kills += 1
        time.sleep(0.01)
    assert process.returncode == 0
    assert kills >= 2
    assert tables(out) == tables(whole)


@pytest.mark.slow
def test_an_interrupt_from_the_keyboard_leaves_tables_and_no_process(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_YAML)
    out = tmp_path / "out"
    process = start(path, out, replications=60)
    while len(finished(out)) < 5:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everybody in the foreground
    assert process.wait(timeout=30) == 130
    assert not any(worker.is_running() and worker.status() != "zombie" for worker in workers)
    assert [path.name for path in out.glob("runs/.*")] == [".token"], "workers were ended while they wrote"
    kept = xs.load_experiment(out)
    assert 5 <= len(kept.runs) < 180
    assert len(kept.runs) == len(finished(out))
