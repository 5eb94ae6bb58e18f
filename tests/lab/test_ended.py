"""What is interrupted leaves nothing behind: no process, no port, no shared memory, no file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SCENARIO = """
name: two-processes
duration: 60s
mesh: {proxies: 1}
envoy: {preset: envoy, drain_time: 30s, parent_shutdown_time: 40s}
control_plane: {kind: scripted, resources: {clusters: {count: 1}, listeners: {count: 1}}}
workload: [{hot_restart: {proxies: [p0]}, at: 1s}]
"""
"""From its first second on a parent and a child run, which share memory."""

SHARED = Path("/dev/shm")


@dataclass(frozen=True)
class Running:
    """An Envoy that runs."""

    pid: int
    admin_port: int
    shared_memory: Path


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_an_interrupted_play_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    scenario, temporary = tmp_path / "scenario.yaml", tmp_path / "temporary"
    scenario.write_text(SCENARIO)
    temporary.mkdir()
    command = [sys.executable, "-c", "from simulator.cli.main import main; raise SystemExit(main())"]
    with subprocess.Popen(
        [*command, "lab", "run", str(scenario)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as play:
        wait_until(lambda: len(envoys(temporary)) == 2)
        running = envoys(temporary)
        assert any(one.shared_memory.exists() for one in running)
        assert any(listens(one.admin_port) for one in running)
        play.send_signal(number)
        _, told = play.communicate(timeout=120)

    wait_until(lambda: not envoys(temporary) and not list(temporary.iterdir()))
    assert not any(one.shared_memory.exists() or listens(one.admin_port) for one in running)
    assert "Traceback" not in told


def envoys(directory: Path) -> list[Running]:
    """Running processes whose bootstrap lies under the directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().decode().split("\0")
                bootstrap = words[words.index("--config-path") + 1]
                is_ours = Path(bootstrap).is_relative_to(directory)
                admin = json.loads(Path(bootstrap).read_text())["admin"] if is_ours else {}
            except (OSError, ValueError, IndexError):
                continue
            if is_ours:
                base_id = int(words[words.index("--base-id") + 1])
                port = admin["address"]["socket_address"]["port_value"]
                found.append(Running(int(process.name), port, SHARED / f"envoy_shared_memory_{base_id * 10}"))
    return found


def listens(port: int) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)
