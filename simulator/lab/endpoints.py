"""What stands behind the Envoys of a play: endpoints, their health and DNS, as the scenario has them."""

from __future__ import annotations

from functools import partial

from simulator.engine.delays import Delay, draw_ns
from simulator.engine.draws import Draws
from simulator.lab.network import Ports
from simulator.lab.upstreams import Resolver, Upstream
from simulator.scenario.schema import ClusterMapping, Scenario


class Endpoints:
    """One upstream for all clusters, and a resolver for each cluster whose names must be resolved."""

    def __init__(self, scenario: Scenario, draws: Draws, ports: Ports) -> None:
        self._scenario = scenario
        self._draws = draws
        self._refused_port = ports.free()
        self._checks = 0
        self._questions = 0
        self._port = 0
        self._upstream = Upstream(self._health_status, self._health_delay_s)
        self._resolvers: dict[str, Resolver] = {}
        self._resolver_ports: dict[str, int] = {}

    async def start(self) -> None:
        """Everything listens."""
        self._port = await self._upstream.start()
        given = self._scenario.control_plane.resources
        names = [named.name for named in given.named_clusters]
        names += [named.name for named in self._scenario.envoy.static.named_clusters]
        names += [
            name for push in self._scenario.control_plane.pushes if push.type == "cds" for name in push.add
        ]
        for name in names:
            mapping = self._mapping(name)
            if mapping.type == "strict_dns" and name not in self._resolvers:
                delay = None if mapping.resolver.kind == "never" else mapping.resolver.after
                server = Resolver(partial(self._dns_delay_s, delay))
                self._resolvers[name] = server
                self._resolver_ports[name] = await server.start()

    async def stop(self) -> None:
        """Nothing listens any more."""
        await self._upstream.stop()
        for resolver in self._resolvers.values():
            resolver.stop()

    def port_of(self, cluster: str) -> int:
        """Where the endpoints of a cluster listen; nobody does where health checks are to be refused."""
        check = self._scenario.control_plane.resources.health_check
        is_refused = (
            check is not None and check.answers.kind == "refuse" and self._mapping(cluster).health_check
        )
        return self._refused_port if is_refused else self._port

    def resolver_of(self, cluster: str) -> int:
        """The resolver of a STRICT_DNS cluster's names: the machine's own knows localhost without asking."""
        return self._resolver_ports[cluster]

    def _mapping(self, cluster: str) -> ClusterMapping:
        static = {named.name: named.mapping for named in self._scenario.envoy.static.named_clusters}
        if cluster in static:
            return static[cluster]
        return self._scenario.control_plane.resources.cluster_named(cluster).mapping

    def _health_status(self) -> int:
        check = self._scenario.control_plane.resources.health_check
        return 503 if check is not None and check.answers.kind == "fail" else 200

    def _health_delay_s(self) -> float | None:
        check = self._scenario.control_plane.resources.health_check
        if check is None:
            return 0.0
        self._checks += 1
        return None if check.answers.kind == "never" else self._drawn(check.answers.after, self._checks)

    def _dns_delay_s(self, delay: Delay | None) -> float | None:
        self._questions += 1
        return None if delay is None else self._drawn(delay, self._questions)

    def _drawn(self, delay: Delay, index: int) -> float:
        return draw_ns(delay, self._draws, "lab.endpoint", 0, index) / 1e9
