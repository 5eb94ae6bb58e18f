"""One real Envoy of a play, and what is kept about it."""

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
class PlayedEnvoy:
    """One Envoy of a play."""

    proxy: int
    name: str
    admin_port: int
    build: Builder
    sources: boot.Sources
    files: ConfigurationFiles | None
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    witness: Witness | None = None
    follower: LogFollower | None = None
    streams: int = 0
    polls: dict[tuple[str, str], int] | None = None
    links: tuple[Link, Link] | None = None
    taken: dict[str, int] = field(default_factory=dict)
    has_subscribed: bool = False
    is_over: bool = False
