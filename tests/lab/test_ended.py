"""What is interrupted leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCENARIO = Path(__file__).parents[2] / "scenarios" / "first-start.yaml"


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_an_interrupted_play_ends_its_envoys(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from simulator.cli.main import main; raise SystemExit(main())"]
    with subprocess.Popen(
        [*command, "lab", "run", str(SCENARIO)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as play:
        wait_until(lambda: bool(envoys(tmp_path)))
        play.send_signal(number)
        _, told = play.communicate(timeout=120)

    wait_until(lambda: not envoys(tmp_path))
    assert "Traceback" not in told


def envoys(directory: Path) -> list[str]:
    """Command lines of running processes that name a file under the directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if "--config-path" in line and str(directory) in line:
                found.append(line)
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)
