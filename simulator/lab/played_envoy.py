"""One real Envoy of a play, its processes, and what is kept about them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from simulator.lab import bootstrap as boot
from simulator.lab.file_tree import ConfigurationFiles
from simulator.lab.log import LogFollower
from simulator.lab.protobufs import Builder
from simulator.lab.witness import Witness
from simulator.wire.link import Link


@dataclass(slots=True, eq=False)
class PlayedProcess:
    """One process of an Envoy: there is one more for each hot restart.

    Attributes:
        caller: Which it is.
        admin_port: Where its admin endpoint listens.
        build: Builds protobufs for it.
        command: Starts it.
        log: Where it writes.
        is_over: Nothing it says counts any more.
    """

    caller: boot.Caller
    admin_port: int
    build: Builder
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    witness: Witness | None = None
    follower: LogFollower | None = None
    taken: dict[str, int] = field(default_factory=dict)
    is_over: bool = False

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and not self.is_over


@dataclass(slots=True, eq=False)
class PlayedEnvoy:
    """One Envoy of a play.

    Attributes:
        processes: By epoch; the last is the newest.
        streams: How many they opened so far.
        polls: Numbers of what is polled, by epoch, type and name.
    """

    proxy: int
    name: str
    directory: Path
    files: ConfigurationFiles | None
    processes: list[PlayedProcess] = field(default_factory=list)
    streams: int = 0
    polls: dict[tuple[int, str, str], int] = field(default_factory=dict)
    links: tuple[Link, Link] | None = None
    has_subscribed: bool = False

    @property
    def newest(self) -> PlayedProcess:
        """The process that takes over, or has."""
        return self.processes[-1]

    @property
    def is_running(self) -> bool:
        """Whether any process is."""
        return any(process.is_running for process in self.processes)
