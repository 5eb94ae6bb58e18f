"""Every process that is started is ended, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.lab.processes import MOST_ENVOYS, Processes, TooManyEnvoys

SLEEP = ["/bin/sleep", "60"]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie of ours has ended as well.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_processes_end_with_the_block_that_started_them(tmp_path: Path) -> None:
    with Processes() as processes:
        process = processes.start(SLEEP, tmp_path / "log")
        assert process.poll() is None
    assert process.poll() == -signal.SIGKILL


def test_processes_end_when_something_breaks(tmp_path: Path) -> None:
    started = []

    def break_in_the_middle() -> None:
        with Processes() as processes:
            started.append(processes.start(SLEEP, tmp_path / "log"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_in_the_middle()
    assert started[0].poll() is not None


def test_their_number_is_bounded(tmp_path: Path) -> None:
    with Processes() as processes:
        for _ in range(MOST_ENVOYS):
            processes.start(["/bin/true"], tmp_path / "log")
        with pytest.raises(TooManyEnvoys):
            processes.start(["/bin/true"], tmp_path / "log")


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
def test_processes_end_when_python_is_killed_outright(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from simulator.lab.processes import Processes\n"
        "with Processes() as processes:\n"
        "    print(processes.start(['/bin/sleep', '60'], Path(sys.argv[1])).pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as python:
        assert python.stdout is not None
        pid = int(python.stdout.readline())
        assert is_alive(pid)
        python.kill()
    give_up = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not is_alive(pid)
