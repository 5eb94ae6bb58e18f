"""Rows of times that need no stream: start-up by REST, and files replaced while Envoy runs."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from google.protobuf import json_format

from simulator.lab.bench import PATIENCE_S, Bench, BenchFailed
from simulator.lab.cost_rows import CostRows, bench_scenario
from simulator.lab.file_tree import ConfigurationFiles
from simulator.lab.protobufs import Builder
from simulator.lab.rest_server import RestServer
from simulator.lab.streams import encoded
from simulator.mesh.configuration import Cluster, ClusterLoadAssignment, Listener, RouteConfiguration
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import CDS, EDS, LDS, RDS, ResourceType
from simulator.xds.resources import Resource, Resources

_STARTS: Final = 4
_REPLACED: Final = 12
_PAUSE_S: Final = 0.1

_HELD: Final = {
    CDS: Resources((Resource("c0", 1, Cluster("eds")),)),
    EDS: Resources((Resource("c0", 1, ClusterLoadAssignment(1)),)),
    LDS: Resources((Resource("l0", 1, Listener(route_name="r0")),)),
    RDS: Resources((Resource("r0", 1, RouteConfiguration("c0")),)),
}


class _Polled:
    """Answers polls at once, and dates them (rest_server.PollHandler)."""

    def __init__(self) -> None:
        self.build: Builder | None = None
        self.asked_ns: dict[str, int] = {}
        self.answered_ns: dict[str, int] = {}

    def proxy_named(self, node: str) -> int:
        """There is one."""
        return 0

    def builder(self, proxy: int) -> Builder:
        """Its builder."""
        assert self.build is not None
        return self.build

    def fail(self, error: BaseException) -> None:
        """The bench misses the answer and says so."""
        raise error

    async def until_asked(self, name: str) -> None:
        """Until a type was asked for; raises BenchFailed if it never is."""
        for _ in range(int(PATIENCE_S / 0.01)):
            if name in self.asked_ns:
                return
            await asyncio.sleep(0.01)
        raise BenchFailed(f"Envoy does not ask for {name} by polling")

    def on_poll(
        self, request: DiscoveryRequest, respond: Callable[[DiscoveryResponse | None], None], epoch: int
    ) -> bool:
        """Takes a request. The answer is written when it is encoded, which takes this machine some time."""
        name = request.type.name
        self.asked_ns.setdefault(name, time.time_ns())
        response = DiscoveryResponse(request.type, "1", "1", _HELD[request.type])
        begun_ns = time.time_ns()
        json_format.MessageToJson(encoded(response, self.builder(0)))
        ended_ns = time.time_ns()
        self.answered_ns.setdefault(name, ended_ns + (ended_ns - begun_ns))
        respond(response)
        return True


async def rest_starts(rows: CostRows) -> None:
    """Start-up by polling: from an answer to the request of the next type."""
    scenario = bench_scenario(propagation={"strategy": "poll", "refresh_delay": "1m"})
    for _ in range(_STARTS):
        polled = _Polled()
        server = RestServer(polled)
        try:
            async with Bench(scenario) as bench:
                polled.build = bench.build
                await bench.start(await server.start())
                await polled.until_asked("rds")
                for before, after in (("cds", "eds"), ("eds", "lds"), ("lds", "rds")):
                    rows.note(f"rest.{before}", 1, polled.asked_ns[after] - polled.answered_ns[before])
        finally:
            await server.stop()


async def replaced_files(rows: CostRows) -> None:
    """A route table's file replaced: from its rename, or the swap of its directory, to its acceptance."""
    for watch in ("path", "directory"):
        scenario = bench_scenario(propagation={"strategy": "file", "watch": watch})
        async with Bench(scenario, is_told=True) as bench:
            bench.files.replace({_key(type_): ("1", held) for type_, held in _HELD.items()}, bench.build)
            await bench.start()
            await bench.told("workers_started")
            await asyncio.sleep(0.5)
            for k in range(_REPLACED):
                changed = Resources((Resource("r0", 2 + k, RouteConfiguration("c0")),))
                await asyncio.sleep(_PAUSE_S)
                staged, place = _staged(bench, k, changed)
                bench.follow()
                bench.forget("file_accepted rds")
                # The clock is read before: Envoy may be woken in the middle of the rename.
                renamed_ns = time.time_ns()
                staged.rename(place)
                rows.note(f"file.{watch}", 1, await bench.told("file_accepted rds") - renamed_ns)


def _staged(bench: Bench, number: int, changed: Resources) -> tuple[Path, Path]:
    """What is to be renamed, and to what: a file, or the link to a directory of files."""
    place = bench.files.path(*_key(RDS))
    staged = ConfigurationFiles(bench.root / f"staged-{number}", is_directory=False)
    staged.replace({_key(RDS): (str(2 + number), changed)}, bench.build)
    link = place.parent
    if not link.is_symlink():
        return staged.path(*_key(RDS)), place
    directory = link.with_name(f"staged-{number}")
    shutil.copytree(link, directory)
    staged.path(*_key(RDS)).rename(directory / place.name)
    new = link.with_name(f"{link.name}.new")
    new.symlink_to(directory.name)
    return new, link


def _key(type_: ResourceType) -> tuple[ResourceType, str]:
    return type_, "" if type_.wildcard else next(iter(_HELD[type_].names))
