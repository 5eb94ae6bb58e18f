"""The obvious model of the same thing: one change pushed to many proxies, each of them processes of its own.

It is written as one would in SimPy, or in salabim, without anything of the simulator but numbers: the order
of the push queue, the delay of each message, the costs. A proxy is istiod's end of its stream, the network,
its istio-agent and its Envoy. It gives the same instants to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Any, Protocol

import numpy as np
import simpy

import simulator as xs
from simulator.engine.delays import Constant
from simulator.engine.draws import Draws
from simulator.fleet.kernel import LIMIT, SERVERS
from simulator.scenario.fleet.world import FleetWorld


class ByProxy(Protocol):
    """A number for each proxy."""

    def __getitem__(self, proxy: int, /) -> int: ...


@dataclass(frozen=True)
class Numbers:
    """What the model is told. Times in ns.

    Attributes:
        order: Proxies in the order of the push queue.
        enqueued_ns: When they are put there.
        slots: Pushes in hand at once.
        cores: Of istiod.
        first_push_ns: Cost of the first push: the scope is computed.
        push_ns: Cost of each other.
        hop_ns: Through the istio-agent, either way.
        network_ns: By message and proxy, the time from istiod to the agent.
        main_thread_ns: By message.
        back_ns: By message and proxy, the way back of its ACK from the agent.
        ack_after: By message, the one after which its ACK leaves.
        active_at: The message by which the change takes effect, and
        active_ns: how long after it the workers have it.
    """

    order: list[int]
    enqueued_ns: int
    slots: int
    cores: int
    first_push_ns: int
    push_ns: int
    hop_ns: int
    network_ns: Sequence[ByProxy]
    main_thread_ns: list[int]
    back_ns: Sequence[ByProxy]
    ack_after: list[int]
    active_at: int
    active_ns: int

    def pushes(self) -> Iterator[int]:
        """The cost of each push, as they begin."""
        return chain([self.first_push_ns], repeat(self.push_ns))

    def starts(self) -> list[int]:
        """Proxies as their processes begin: those that get a slot at once ask for a core by number."""
        return sorted(self.order[: self.slots]) + self.order[self.slots :]


def scenario(proxies: int) -> xs.Scenario:
    """One change that all proxies see; nobody's connection ends and no stats are flushed meanwhile."""
    return xs.Scenario(
        name="twin",
        duration=f"{max(60, proxies // 2000)}s",
        mesh={"proxies": proxies, "services": 100, "endpoints": 5},
        control_plane={"kind": "istiod", "cpu": 8, "max_connection_age": "none"},
        network={"latency": {"lognormal": {"median": "2ms", "p99": "20ms"}}},
        envoy={"costs": {"stats_flush_per_cluster": "0s"}},
        recording={"messages": False, "states": False, "queues": False, "proxy_pushes": False},
        workload=[{"edit": "VirtualService", "at": "1s"}],
    )


def numbers(proxies: int) -> Numbers:
    """Numbers of that scenario: instants, costs and sizes from the arrays' own run of it."""
    of = scenario(proxies)
    fleet = FleetWorld(of, of.seed, 0)
    fleet.world().run()
    (rows,) = fleet._rows
    (move,) = {id(m): m for m in rows.streams._moves.values() if m.carried}.values()
    (change,) = move.carried
    ids = np.arange(proxies, dtype=np.int64)
    order = ids[rows.replica.random_order(ids, 0)].tolist()
    slots = int(rows.line._reg[LIMIT])
    assert 0 not in order[:slots], "p0 is no row: what the first push costs would not be seen"
    service = rows.line._service[np.concatenate(rows.streams.log.place)]
    return Numbers(
        order,
        change.instants[2],
        slots,
        int(rows.line._reg[SERVERS]),
        int(service.max()),
        int(service.min()),
        _hop_ns(of),
        [_network(of, proxies, m, "to_client") for m in range(len(move.sizes))],
        list(move.costs),
        [_network(of, proxies, m, "to_server") for m in range(len(move.sizes))],
        [request.after for request in move.requests],
        change.active,
        change.active_delay_ns,
    )


def _hop_ns(of: xs.Scenario) -> int:
    hop = of.agent.hop
    assert isinstance(hop, Constant), "it is the same for every message"
    return hop.value_ns


def _network(of: xs.Scenario, proxies: int, message: int, way: str) -> list[int]:
    u = Draws(of.seed, 0).uniform_array(
        f"network.latency.{way}", np.arange(proxies), np.full(proxies, message)
    )
    return of.network.latency.ns_array(u).tolist()


class _Drawn:
    """How long a message takes by proxy, drawn when it is asked for."""

    def __init__(self, of: xs.Scenario, message: int, way: str) -> None:
        self._draws, self._message, self._latency = Draws(of.seed, 0), message, of.network.latency
        self._purpose = f"network.latency.{way}"

    def __getitem__(self, proxy: int, /) -> int:
        return self._latency.ns(self._draws.uniform(self._purpose, proxy, self._message))


def drawing(told: Numbers) -> Numbers:
    """The same, but that the model draws the delays itself, one by one, as the event engine does."""
    of = scenario(1)
    return replace(
        told,
        network_ns=[_Drawn(of, message, "to_client") for message in range(len(told.network_ns))],
        back_ns=[_Drawn(of, message, "to_server") for message in range(len(told.back_ns))],
    )


def simpy_twin(of: Numbers) -> tuple[list[int], list[int]]:  # noqa: C901 -- as one would write it
    """Instants at which the change takes effect and at which istiod has the last ACK, by proxy."""
    env = simpy.Environment(of.enqueued_ns)
    slots, cores = simpy.Resource(env, of.slots), simpy.PriorityResource(env, of.cores)
    costs, active, acked = of.pushes(), [-1] * len(of.order), [-1] * len(of.order)

    def connection(proxy: int) -> Any:
        with slots.request() as slot:
            yield slot
            with cores.request(priority=(env.now, proxy)) as core:
                yield core
                yield env.timeout(next(costs))
        from_istiod, inbox = simpy.Store(env), simpy.Store(env)
        env.process(link(proxy, from_istiod, env.now))
        env.process(agent(from_istiod, inbox))
        env.process(envoy(proxy, inbox))

    def link(proxy: int, to_agent: simpy.Store, sent_ns: int) -> Any:
        for message, delays in enumerate(of.network_ns):
            arrives_ns = sent_ns + delays[proxy]
            if arrives_ns > env.now:
                yield env.timeout(arrives_ns - env.now)
            yield to_agent.put((env.now, message))

    def agent(from_istiod: simpy.Store, to_envoy: simpy.Store) -> Any:
        for _ in of.network_ns:
            arrived_ns, message = yield from_istiod.get()
            yield env.timeout(arrived_ns + of.hop_ns - env.now)
            yield to_envoy.put(message)

    def envoy(proxy: int, inbox: simpy.Store) -> Any:
        for _ in of.network_ns:
            message = yield inbox.get()
            yield env.timeout(of.main_thread_ns[message])
            if message == of.active_at:
                active[proxy] = env.now + of.active_ns
            for at, after in enumerate(of.ack_after):
                if after == message:
                    env.process(ack(proxy, of.back_ns[at][proxy]))

    def ack(proxy: int, takes_ns: int) -> Any:
        yield env.timeout(of.hop_ns)
        yield env.timeout(takes_ns)
        acked[proxy] = max(acked[proxy], env.now)

    for proxy in of.starts():
        env.process(connection(proxy))
    env.run()
    return active, acked


def salabim_twin(of: Numbers) -> tuple[list[int], list[int]]:  # noqa: C901 -- as one would write it
    """The same in salabim."""
    import salabim as sim

    sim.yieldless(False)
    env = sim.Environment(trace=False)
    slots, cores = sim.Resource("slots", of.slots), sim.Resource("cores", of.cores)
    costs, active, acked = of.pushes(), [-1] * len(of.order), [-1] * len(of.order)

    class Message(sim.Component):
        def setup(self, message: int, arrived_ns: float) -> None:
            self.message, self.arrived_ns = message, arrived_ns

    class Connection(sim.Component):
        def setup(self, proxy: int) -> None:
            self.proxy = proxy

        def process(self) -> Any:
            yield self.request(slots)
            # salabim's priorities are numbers: the instant, then the proxy, of which there are few.
            yield self.request((cores, 1, env.now() + self.proxy / 2**12))
            yield self.hold(next(costs))
            self.release(cores)
            self.release(slots)
            from_istiod, inbox = sim.Store(), sim.Store()
            Link(proxy=self.proxy, to_agent=from_istiod, sent_ns=env.now())
            Agent(from_istiod=from_istiod, to_envoy=inbox)
            Envoy(proxy=self.proxy, inbox=inbox)

    class Link(sim.Component):
        def setup(self, proxy: int, to_agent: Any, sent_ns: float) -> None:
            self.proxy, self.to_agent, self.sent_ns = proxy, to_agent, sent_ns

        def process(self) -> Any:
            for message, delays in enumerate(of.network_ns):
                arrives_ns = self.sent_ns + delays[self.proxy]
                if arrives_ns > env.now():
                    yield self.hold(till=arrives_ns)
                yield self.to_store(self.to_agent, Message(message=message, arrived_ns=env.now()))

    class Agent(sim.Component):
        def setup(self, from_istiod: Any, to_envoy: Any) -> None:
            self.from_istiod, self.to_envoy = from_istiod, to_envoy

        def process(self) -> Any:
            for _ in of.network_ns:
                message = yield self.from_store(self.from_istiod)
                yield self.hold(till=message.arrived_ns + of.hop_ns)
                yield self.to_store(self.to_envoy, message)

    class Envoy(sim.Component):
        def setup(self, proxy: int, inbox: Any) -> None:
            self.proxy, self.inbox = proxy, inbox

        def process(self) -> Any:
            for _ in of.network_ns:
                message = (yield self.from_store(self.inbox)).message
                yield self.hold(of.main_thread_ns[message])
                if message == of.active_at:
                    active[self.proxy] = round(env.now()) + of.enqueued_ns + of.active_ns
                for at, after in enumerate(of.ack_after):
                    if after == message:
                        Ack(proxy=self.proxy, takes_ns=of.back_ns[at][self.proxy])

    class Ack(sim.Component):
        def setup(self, proxy: int, takes_ns: int) -> None:
            self.proxy, self.takes_ns = proxy, takes_ns

        def process(self) -> Any:
            yield self.hold(of.hop_ns)
            yield self.hold(self.takes_ns)
            acked[self.proxy] = max(acked[self.proxy], round(env.now()) + of.enqueued_ns)

    for proxy in of.starts():
        Connection(proxy=proxy)
    env.run()
    return active, acked
