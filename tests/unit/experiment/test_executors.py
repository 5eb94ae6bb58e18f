"""Executors are named by a text; worker processes may die; nobody else notices."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from simulator.experiment.errors import ExperimentError
from simulator.experiment.executors import check_executor, open_executor
from simulator.experiment.worker_processes import WorkerDied, WorkerProcesses, send
from tests.unit.experiment.calls import fails_later, later_than, touch_after


@pytest.mark.parametrize(
    "text", ["serial", "processes", "processes:3", "dask://host:8786", "dask://[::1]:8786"]
)
def test_known_executors(text: str) -> None:
    check_executor(text)


@pytest.mark.parametrize(
    "text",
    ["", "fast", "processes:", "processes:0", "processes:x", "dask://", "dask://host", "dask://host:0",
     "dask://host:99999", "tcp://host:8786"],
)  # fmt: skip
def test_unknown_executors_are_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="executor"):
        check_executor(text)


def test_an_executor_of_the_caller_stays_open() -> None:
    with ThreadPoolExecutor(2) as own:
        with open_executor(own) as players:
            assert players.executor is own
            assert players.at_once() == 4
        assert own.submit(os.getpid).result() == os.getpid()


@pytest.mark.slow
def test_a_dask_scheduler_that_does_not_answer_is_refused(monkeypatch) -> None:
    pytest.importorskip("distributed", reason="needs the extra `dask`")
    monkeypatch.setattr("simulator.experiment.executors._DASK_WAIT", "0.2s")
    with pytest.raises(ExperimentError, match="no scheduler answers"), open_executor("dask://127.0.0.1:1"):
        pass


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_call_made_again(tmp_path) -> None:
    pool = WorkerProcesses(1)
    try:
        first = pool.submit(os.getpid).result()
        threading.Timer(0.3, lambda: os.kill(first, signal.SIGKILL)).start()
        slow = pool.submit(time.sleep, 0.6)
        after = pool.submit(os.getpid)
        assert slow.result() is None
        assert after.result() != first
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
def test_a_call_that_kills_its_worker_every_time_fails_alone() -> None:
    pool = WorkerProcesses(2)
    try:
        deadly = pool.submit(os._exit, 7)
        harmless = [pool.submit(pow, 2, n) for n in range(10)]
        assert [future.result() for future in harmless] == [2**n for n in range(10)]
        with pytest.raises(WorkerDied, match=r"3 times .*exit status 7"):
            deadly.result()
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
def test_of_the_calls_a_worker_had_in_hand_only_the_deadly_one_fails() -> None:
    pool = WorkerProcesses(1)
    try:
        warm(pool)
        calls = [
            pool.submit(*call)
            for call in [(pow, 2, 0), (pow, 2, 1), (os._exit, 7), *[(pow, 2, n) for n in range(9)]]
        ]
        deadly = calls.pop(2)
        assert [future.result(timeout=60) for future in calls] == [1, 2, *[2**n for n in range(9)]]
        with pytest.raises(WorkerDied, match=r"3 times .*exit status 7"):
            deadly.result()
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
def test_what_ends_later_keeps_no_worker_from_its_next_call_and_results_keep_their_order(tmp_path) -> None:
    pool = WorkerProcesses(1)
    try:
        warm(pool)
        ended: list[int] = []
        calls = [(later_than, tmp_path / "x"), (touch_after, 0.0, tmp_path / "x"), (abs, -3)]
        futures = [pool.submit(*call) for call in calls]
        for place, future in enumerate(futures):
            future.add_done_callback(lambda _, place=place: ended.append(place))
        assert [future.result() for future in futures] == ["there", None, 3]
        assert ended == [0, 1, 2]
        with pytest.raises(ZeroDivisionError):
            pool.submit(fails_later).result()
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
def test_a_long_call_has_none_behind_it_that_another_worker_could_make(tmp_path) -> None:
    pool = WorkerProcesses(2)
    try:
        warm(pool)
        for future in [pool.submit(time.sleep, 0.6) for _ in range(2)]:
            future.result()
        long = pool.submit(time.sleep, 60)
        for future in [pool.submit(abs, -1) for _ in range(5)]:
            assert future.result(timeout=30) == 1
        assert not long.done()
    finally:
        pool.shutdown(cancel_futures=True)


def warm(pool: WorkerProcesses) -> None:
    """From here on each worker is given several calls at once: its last one was short, not so its first."""
    for _ in range(4):
        for future in [pool.submit(time.sleep, 0.02) for _ in range(2)]:
            future.result()


@pytest.mark.slow
def test_a_worker_makes_no_further_call_when_nobody_waits_for_it(tmp_path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = [sys.executable, "-m", "simulator.experiment.worker"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as worker:
        assert worker.stdin is not None
        for path in (first, second):
            send(worker.stdin, pickle.dumps((touch_after, (0.5, path), {})))
        worker.stdin.close()
        assert worker.wait(timeout=60) == 0
    assert not second.exists()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path)}  # noqa: PTH100


@pytest.mark.slow
def test_an_exception_comes_back_and_prints_do_not_disturb(capfd) -> None:
    pool = WorkerProcesses(1)
    try:
        assert pool.submit(print, "noise").result() is None
        with pytest.raises(ValueError, match="invalid literal"):
            pool.submit(int, "x").result()
        assert pool.submit(abs, -3).result() == 3
    finally:
        pool.shutdown(cancel_futures=True)
    assert "noise" in capfd.readouterr().err


@pytest.mark.slow
def test_shutting_down_at_once_leaves_no_process() -> None:
    pool = WorkerProcesses(2)
    futures = [pool.submit(time.sleep, 60) for _ in range(5)]
    while len(pool.pids) < 2:
        time.sleep(0.05)
    pids = pool.pids
    pool.shutdown(cancel_futures=True)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert all(future.done() for future in futures)
