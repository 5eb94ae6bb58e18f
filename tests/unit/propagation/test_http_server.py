"""The server's end of polling and long polling: capacity, acknowledgements, connections."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.engine.servers import kiefer_wolfowitz
from simulator.propagation.http_server import Acknowledgements, PinnedConnection, Reply, Slots
from simulator.xds.messages import DiscoveryRequest, DiscoveryResponse
from simulator.xds.resource_types import CDS, EDS
from simulator.xds.resources import NO_RESOURCES, Names


class Jobs:
    """Jobs that write down when their service starts."""

    def __init__(self, clock: Clock, servers: int) -> None:
        self.clock = clock
        self.depths: list[int] = []
        self.starts: list[int] = []
        self.slots = Slots(clock, servers, self.depths.append)

    def at(self, t_ns: int, cost_ns: int) -> None:
        self.clock.at(t_ns, partial(self.slots.submit, partial(self.serve, cost_ns)), band=Band.MESSAGE)

    def serve(self, cost_ns: int) -> int:
        self.starts.append(self.clock.now_ns)
        return cost_ns


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_slots_serve_as_a_fifo_multi_server_does(clock: Clock, draws: Draws, servers: int) -> None:
    numbers = np.arange(500)
    arrivals = np.cumsum((draws.uniform_array("gap", 0, numbers) * 10).astype(np.int64))
    costs = (draws.uniform_array("cost", 0, numbers) * 10 * servers).astype(np.int64)
    jobs = Jobs(clock, servers)
    for arrival, cost in zip(arrivals.tolist(), costs.tolist(), strict=True):
        jobs.at(arrival, cost)
    clock.run(100_000)
    assert jobs.starts == kiefer_wolfowitz(arrivals, costs, servers)[0].tolist()
    assert jobs.slots.busy_ns == costs.sum()
    assert jobs.slots.jobs == 500


def test_a_free_slot_costs_no_event_and_a_wait_one(clock: Clock) -> None:
    jobs = Jobs(clock, 1)
    jobs.at(0, 10)
    jobs.at(20, 10)
    clock.run(100)
    assert clock.events == 2
    jobs.at(100, 10)
    jobs.at(105, 10)
    clock.run(200)
    assert clock.events == 5
    assert jobs.depths == [1, 0]
    assert jobs.starts == [0, 20, 100, 110]


def request(version: str = "", error: str | None = None, node: int = 3) -> DiscoveryRequest:
    return DiscoveryRequest(EDS, Names(("c0",)), version, error_detail=error, node=node)


def response(version: str, *changes: int) -> DiscoveryResponse:
    return DiscoveryResponse(EDS, version, "", NO_RESOURCES, changes)


class TestAcknowledgements:
    def test_the_request_that_states_the_version_is_the_ack(self) -> None:
        acked: list[object] = []
        acknowledgements = Acknowledgements(lambda *told: acked.append(told))
        acknowledgements.on_answer(request(), response("2", 7, 8))
        acknowledgements.on_request(request("1"), 50)
        acknowledgements.on_request(request("2", node=4), 60)
        assert acked == []
        acknowledgements.on_request(request("2"), 70)
        acknowledgements.on_request(request("2"), 80)
        assert acked == [((7, 8), 3, 70)]

    def test_a_request_that_tells_an_error_is_none(self) -> None:
        acked: list[object] = []
        acknowledgements = Acknowledgements(lambda *told: acked.append(told))
        acknowledgements.on_answer(request(), response("2", 7))
        acknowledgements.on_request(request("2", error="refused"), 70)
        acknowledgements.on_request(request("2"), 80)
        assert acked == []

    def test_a_newer_answer_takes_the_place_of_one_not_acknowledged(self) -> None:
        acked: list[object] = []
        acknowledgements = Acknowledgements(lambda *told: acked.append(told))
        acknowledgements.on_answer(request(), response("2", 7))
        acknowledgements.on_answer(request(), response("3", 8))
        acknowledgements.on_answer(request(), None)
        acknowledgements.on_request(request("3"), 70)
        assert acked == [((8,), 3, 70)]


class Answering:
    """A server that counts."""

    def __init__(self, replica: int) -> None:
        self.replica = replica
        self.takes = True
        self.asked = 0

    def on_poll(self, request: DiscoveryRequest, respond: Reply) -> bool:
        self.asked += 1
        return self.takes


class TestPinnedConnection:
    def connect(self, servers: list[Answering], proxy: int = 0) -> PinnedConnection:
        return PinnedConnection(lambda: servers, Draws(5), proxy)

    def ask(self, connection: PinnedConnection) -> bool:
        return connection.on_poll(DiscoveryRequest(CDS), lambda *_: None)  # type: ignore[arg-type]

    def test_it_stays_with_one_replica(self) -> None:
        servers = [Answering(i) for i in range(4)]
        connection = self.connect(servers)
        assert all(self.ask(connection) for _ in range(20))
        assert sorted(s.asked for s in servers) == [0, 0, 0, 20]
        assert servers[connection.replica].asked == 20

    def test_proxies_spread_over_the_replicas(self) -> None:
        servers = [Answering(i) for i in range(4)]
        for proxy in range(400):
            self.ask(self.connect(servers, proxy))
        assert all(70 < s.asked < 130 for s in servers)

    def test_it_moves_when_its_replica_is_no_longer_ready(self) -> None:
        servers = [Answering(0), Answering(1)]
        connection = self.connect(servers)
        self.ask(connection)
        servers.remove(next(s for s in servers if s.replica == connection.replica))
        assert self.ask(connection)
        assert connection.replica == servers[0].replica

    def test_without_a_replica_it_fails(self) -> None:
        assert not self.ask(self.connect([]))

    def test_a_connection_that_failed_is_opened_anew(self) -> None:
        servers = [Answering(i) for i in range(8)]
        connection = self.connect(servers)
        for server in servers:
            server.takes = False
        for _ in range(12):
            assert not self.ask(connection)
        assert sum(1 for s in servers if s.asked) > 2
