"""What is measured to learn Envoy's costs: named rows of (size, time), gathered on a bench.

A row's time is from a response written to its ACK read (the loopback round trip is in it), unless it says
otherwise. `cost_solution` turns rows into costs.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from simulator.lab.bench import Bench, Encoded, within
from simulator.lab.fits import Point
from simulator.lab.protobufs import packed
from simulator.mesh.configuration import Cluster, ClusterLoadAssignment, Listener, RouteConfiguration
from simulator.scenario.schema import Scenario
from simulator.xds.resource_types import CDS, EDS, LDS, RDS
from simulator.xds.resources import Fault, Resource

Rows = dict[str, list[Point]]
Step = Callable[[], Awaitable[None]]

FORMS: Final = ("sotw", "delta")
CLUSTERS: Final = (1, 50, 200, 500, 1000)
EDS_CLUSTERS: Final = (1, 50, 200, 500)
LISTENERS: Final = (1, 20, 60, 120)
ENDPOINTS: Final = (1, 200, 1000, 3000)
VIRTUAL_HOSTS: Final = (1, 200, 1000, 3000)
BURST: Final = 100
_REPEATS: Final = 4
_STARTS: Final = 4
_PAUSE_S: Final = 0.05
_FLUSH_SIZES: Final = (500, 1000, 2000)


def bench_scenario(**sections: Any) -> Scenario:
    """A scenario for the bench; no statistics are flushed while something else is measured."""
    envoy = {"preset": "envoy", "stats_flush_interval": "299s", **sections.pop("envoy", {})}
    return Scenario(name="bench", duration="1s", envoy=envoy, control_plane={"kind": "scripted"}, **sections)


def _static(name: str, revision: int = 1) -> Resource[Any]:
    return Resource(name, revision, Cluster("static", endpoints=1))


def _eds(name: str, revision: int = 1) -> Resource[Any]:
    return Resource(name, revision, Cluster("eds"))


def _assignment(name: str, revision: int = 1) -> Resource[Any]:
    return Resource(name, revision, ClusterLoadAssignment(1))


def _listener(name: str, edition: int = 1) -> Resource[Any]:
    return Resource(name, edition, Listener(inline_route=RouteConfiguration("c0"), edition=edition))


def _rds_listener(name: str, route: str) -> Resource[Any]:
    return Resource(name, 1, Listener(route_name=route))


def _route(name: str, virtual_hosts: int, revision: int = 1) -> Resource[Any]:
    return Resource(name, revision, RouteConfiguration("c0", virtual_hosts=virtual_hosts))


def _endpoints(name: str, count: int, revision: int) -> Encoded:
    """An assignment of so many different endpoints, one of which differs from revision to revision."""
    hosts = [(f"127.{1 + i // 60000}.{i // 250 % 240}.{1 + i % 250}", 9) for i in range(count)]
    hosts[0] = hosts[0][0], 9 + revision
    localities = endpoint_components_pb2.LocalityLbEndpoints(
        lb_endpoints=[
            endpoint_components_pb2.LbEndpoint(
                endpoint=endpoint_components_pb2.Endpoint(
                    address=address_pb2.Address(
                        socket_address=address_pb2.SocketAddress(address=host, port_value=port)
                    )
                )
            )
            for host, port in hosts
        ]
    )
    built = endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=[localities])
    return Encoded(name, f"{count}.{revision}", packed(built))


class CostRows:
    """Gathers rows, round by round."""

    def __init__(self) -> None:
        self.rows: Rows = defaultdict(list)

    def note(self, row: str, size: int, ns: float) -> None:
        """One more time of a row."""
        self.rows[row].append((size, ns / 1e3))

    # --- benches

    def _put_least(self, bench: Bench) -> None:
        """One cluster, one listener and its route: what every bench starts with."""
        bench.put(CDS, [bench.encoded(CDS, _static("c0"))])
        bench.put(LDS, [bench.encoded(LDS, _rds_listener("l0", "r0"))])
        bench.put(RDS, [bench.encoded(RDS, _route("r0", 1))])

    async def _started(self, bench: Bench) -> Bench:
        self._put_least(bench)
        await bench.start()
        await bench.until_answered(CDS, LDS, RDS)
        return bench

    # --- start-up

    async def static_starts(self) -> None:
        """Process start to workers, of a bootstrap that waits for nothing."""
        for _ in range(_STARTS):
            scenario = bench_scenario().with_(control_plane={"kind": "none"})
            async with Bench(scenario, is_told=True) as bench:
                await bench.start()
                self.note("start.static", 0, await bench.told("workers_started") - bench.t_started_ns)

    async def xds_starts(self) -> None:
        """Process start, stream, and what the first of each type costs."""
        for kind in ("static", "eds"):
            for _ in range(_STARTS):
                async with Bench(bench_scenario(propagation={"protocol": "sotw"}), is_told=True) as bench:
                    self._put_least(bench)
                    if kind == "eds":
                        bench.put(CDS, [bench.encoded(CDS, _eds("c0"))])
                        bench.put(EDS, [bench.encoded(EDS, _assignment("c0"))])
                    await bench.start()
                    workers_ns = await bench.told("workers_started")
                    subscribed_ns = await bench.told("cds_subscribed")
                    asked, sent = bench.asked_ns, bench.answered_ns
                    self.note("start.subscribed", 0, subscribed_ns - bench.t_started_ns)
                    self.note("start.stream", 0, asked["cds"] - subscribed_ns)
                    self.note("start.rds", 0, workers_ns - sent["rds"])
                    self.note("start.lds", 0, asked["rds"] - sent["lds"])
                    if kind == "static":
                        self.note("start.cds_static", 1, asked["lds"] - sent["cds"])
                    else:
                        self.note("start.cds_eds", 1, asked["eds"] - sent["cds"])
                        self.note("start.eds", 1, asked["lds"] - sent["eds"])
                    for ns in bench.turnarounds_ns:
                        self.note("server.answer", 0, ns)

    async def eds_starts(self, form: str) -> None:
        """First assignments of more and more clusters: at start-up, from EDS answered to LDS asked for."""
        for n in EDS_CLUSTERS:
            async with Bench(bench_scenario(propagation={"protocol": form})) as bench:
                self._put_least(bench)
                names = [f"e{i}" for i in range(n)]
                bench.put(CDS, [bench.encoded(CDS, _eds(name)) for name in names])
                bench.put(EDS, [bench.encoded(EDS, _assignment(name)) for name in names])
                await bench.start()
                await bench.until_answered(CDS, EDS, LDS)
                self.note(f"eds.{form}.first", n, bench.asked_ns["lds"] - bench.answered_ns["eds"])

    # --- CDS

    async def static_clusters(self, form: str) -> None:
        """Static clusters: added, sent again, one changed, all changed, removed, in growing numbers."""
        async with Bench(bench_scenario(propagation={"protocol": form})) as bench:
            await self._started(bench)
            for n in CLUSTERS:
                names = [f"k{n}.{i}" for i in range(n)]
                news = [bench.encoded(CDS, _static(name)) for name in names]
                await self._cost(bench, f"cds.{form}.added_static", n, CDS, news)
                for k in range(_REPEATS):
                    await self._cost(bench, f"cds.{form}.unchanged", n, CDS, news if form == "delta" else ())
                    one = bench.encoded(CDS, _static(names[0], 10 + k))
                    await self._cost(bench, f"cds.{form}.one_changed", n, CDS, [one])
                    news[0] = one
                for k in range(2):
                    changed = [bench.encoded(CDS, _static(name, 20 + k)) for name in names]
                    await self._cost(bench, f"cds.{form}.changed_static", n, CDS, changed)
                await self._cost(bench, f"cds.{form}.removed", n, CDS, removed=names)

    async def eds_clusters(self, form: str) -> None:
        """EDS clusters and their assignments: added, one assignment changed, all clusters changed."""
        async with Bench(bench_scenario(propagation={"protocol": form})) as bench:
            await self._started(bench)
            for n in EDS_CLUSTERS:
                names = [f"e{n}.{i}" for i in range(n)]
                bench.put(EDS, [bench.encoded(EDS, _assignment(name)) for name in names])
                asked = bench.next_request(EDS)
                sent_ns, acked = bench.push(CDS, [bench.encoded(CDS, _eds(name)) for name in names])
                self.note(f"cds.{form}.added_eds", n, await within(asked) - sent_ns)
                await within(acked)
                await _pause(n)
                for k in range(_REPEATS):
                    one = bench.encoded(EDS, _assignment(names[0], 2 + k))
                    await self._cost(bench, f"eds.{form}.one_changed", n, EDS, [one])
                await self._eds_clusters_changed(bench, form, names)
                bench.drop(EDS, names)
                await within(bench.push(CDS, removed=names)[1])
                await _pause(n)

    async def _eds_clusters_changed(self, bench: Bench, form: str, names: Sequence[str]) -> None:
        """State-of-the-world asks for the assignments again; delta does not, so that they are pushed (W4)."""
        changed = [bench.encoded(CDS, _eds(name, 2)) for name in names]
        assignments = [bench.encoded(EDS, _assignment(name)) for name in names]
        row = f"cds.{form}.changed_eds"
        if form == "sotw":
            bench.put(EDS, assignments)
            asked = bench.next_request(EDS)
            sent_ns, acked = bench.push(CDS, changed)
            self.note(row, len(names), await within(asked) - sent_ns)
        else:
            sent_ns, acked = bench.push(CDS, changed)
            bench.push(EDS, assignments)
            self.note(row, len(names), await within(acked) - sent_ns)
        await within(acked)
        await _pause(len(names))

    async def endpoints(self, form: str) -> None:
        """One EDS cluster with more and more endpoints, one of which changes."""
        async with Bench(bench_scenario(propagation={"protocol": form})) as bench:
            await self._started(bench)
            bench.put(EDS, [_endpoints("e0", 1, 0)])
            asked = bench.next_request(EDS)
            _, acked = bench.push(CDS, [bench.encoded(CDS, _eds("e0"))])
            await within(asked)
            await within(acked)
            for e in ENDPOINTS:
                await within(bench.push(EDS, [_endpoints("e0", e, 0)])[1])
                await _pause(e // 10)
                for k in range(_REPEATS):
                    await self._cost(bench, f"eds.{form}.endpoints", e, EDS, [_endpoints("e0", e, 1 + k)])

    # --- LDS, RDS

    async def listeners(self, form: str) -> None:
        """Listeners with their routes in line: added, sent again, one changed, one removed."""
        async with Bench(bench_scenario(propagation={"protocol": form})) as bench:
            await self._started(bench)
            for n in LISTENERS:
                names = [f"k{n}.{i}" for i in range(n)]
                news = [bench.encoded(LDS, _listener(name)) for name in names]
                await self._cost(bench, f"lds.{form}.added", n, LDS, news)
                for k in range(_REPEATS):
                    await self._cost(bench, f"lds.{form}.unchanged", n, LDS, news if form == "delta" else ())
                    one = bench.encoded(LDS, _listener(names[0], 2 + k))
                    await self._cost(bench, f"lds.{form}.one_changed", n, LDS, [one])
                    news[0] = one
                    extra = bench.encoded(LDS, _listener(f"x{n}.{k}"))
                    await within(bench.push(LDS, [extra])[1])
                    await self._cost(bench, f"lds.{form}.one_removed", n, LDS, removed=[extra.name])
                await within(bench.push(LDS, removed=names)[1])
                await _pause(5 * n)
            for k in range(_REPEATS):
                bench.put(RDS, [bench.encoded(RDS, _route(f"r.{k}", 1))])
                asked = bench.next_request(RDS)
                sent_ns, _ = bench.push(LDS, [bench.encoded(LDS, _rds_listener(f"r.{k}", f"r.{k}"))])
                self.note(f"lds.{form}.starts_rds", 1, await within(asked) - sent_ns)
                answered_ns, acked = bench.answers[RDS]
                self.note(f"rds.{form}.first", 1, await within(acked) - answered_ns)
                await _pause(1)

    async def routes(self, form: str) -> None:
        """A route table with more and more virtual hosts; a burst of small ones; one that is refused."""
        async with Bench(bench_scenario(propagation={"protocol": form})) as bench:
            await self._started(bench)
            for v in VIRTUAL_HOSTS:
                await within(bench.push(RDS, [bench.encoded(RDS, _route("r0", v))])[1])
                await _pause(v // 20)
                for k in range(5 * _REPEATS if v == 1 else _REPEATS):
                    one = bench.encoded(RDS, _route("r0", v, 2 + k))
                    await self._cost(bench, f"rds.{form}.one_changed", v, RDS, [one])
            small = [bench.encoded(RDS, _route("r0", 1, 100 + k)) for k in range(BURST)]
            pushed = [bench.push(RDS, [one]) for one in small]
            first_ns = await within(pushed[0][1])
            self.note("rds.burst", 1, (await within(pushed[-1][1]) - first_ns) / (BURST - 1))
            for k in range(_REPEATS):
                broken = Resource("r0", 300 + k, RouteConfiguration("c0"), fault=Fault.DECODE)
                await self._cost(bench, "rds.refused", 1, RDS, [bench.encoded(RDS, broken)])

    # --- statistics

    async def flushes(self) -> None:
        """How long a flush stops the main thread, by what waits behind it: small pushes without a pause."""
        scenario = bench_scenario(envoy={"stats_flush_interval": "500ms"}, propagation={"protocol": "delta"})
        async with Bench(scenario) as bench:
            await self._started(bench)
            held = 1
            for n in _FLUSH_SIZES:
                news = [bench.encoded(CDS, _static(f"k{i}")) for i in range(held, n)]
                await within(bench.push(CDS, news)[1])
                held = n
                await _pause(n)
                routes = [bench.encoded(RDS, _route("r0", 1, 2 + k)) for k in range(2)]
                begun = time.monotonic()
                times: list[int] = []
                while time.monotonic() - begun < 3.0:
                    times.append(await bench.cost_ns(RDS, [routes[len(times) % 2]]))
                usual_ns = sorted(times)[len(times) // 2]
                # There were six flushes; each held up one push, but for the moment before that was sent.
                for ns in sorted(times)[-5:]:
                    self.note("flush", n, max(0, ns - usual_ns))

    async def _cost(
        self,
        bench: Bench,
        row: str,
        size: int,
        type_: Any,
        changed: Sequence[Encoded] = (),
        removed: Sequence[str] = (),
    ) -> None:
        self.note(row, size, await bench.cost_ns(type_, changed, removed))
        await _pause(size)


async def _pause(size: int) -> None:
    """What a large update leaves to be done, done."""
    await asyncio.sleep(_PAUSE_S + size / 5000)


def plan(rows: CostRows) -> list[tuple[str, Step]]:
    """What one round measures over streams, in order."""
    steps: list[tuple[str, Step]] = [("static starts", rows.static_starts), ("starts", rows.xds_starts)]
    for form in FORMS:
        steps += [
            (f"starts with EDS clusters, {form}", partial(rows.eds_starts, form)),
            (f"static clusters, {form}", partial(rows.static_clusters, form)),
            (f"EDS clusters, {form}", partial(rows.eds_clusters, form)),
            (f"endpoints, {form}", partial(rows.endpoints, form)),
            (f"listeners, {form}", partial(rows.listeners, form)),
            (f"routes, {form}", partial(rows.routes, form)),
        ]
    return [*steps, ("statistics", rows.flushes)]
