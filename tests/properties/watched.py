"""A mesh whose Envoys are watched: what their workers hold at each moment, beside what the tables say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import simulator as xs
from simulator.control_plane.istiod.deployment import Deployment
from simulator.envoy.data_plane import DataPlane, Published
from simulator.envoy.startup import Server
from simulator.experiment.provenance import manifest
from simulator.mesh.configuration import ClusterLoadAssignment
from simulator.mesh.services import Proxy
from simulator.mesh.visibility import VisibilityClass
from simulator.scenario.build_mesh import MeshWorld
from simulator.xds.resources import Resource, Resources

Content = dict[str, Resources]
"""By type: what is held."""


def content_of(published: Published) -> Content:
    return {
        "cds": published.clusters,
        "eds": published.hosts,
        "lds": published.listeners,
        "rds": published.routes,
    }


@dataclass(frozen=True)
class Backwards:
    """A resource that gave way to an older revision of itself.

    Attributes:
        is_replaced: An assignment came with a new object of its cluster, which has a subscription of its own.
    """

    t_ns: int
    proxy: str
    type: str
    name: str
    is_replaced: bool


@dataclass
class _Watched(list[Server]):
    """The Envoys of a run, each watched from its start."""

    names: dict[int, str]
    held: dict[int, Content] = field(default_factory=dict)
    held_before: dict[int, tuple[int, Content]] = field(default_factory=dict)
    backwards: list[Backwards] = field(default_factory=list)

    def append(self, server: Server) -> None:
        super().append(server)
        self.held[server.process.proxy] = {}
        DataPlane(server, lambda t_ns, published: self._note(t_ns, server, content_of(published)))

    def _note(self, t_ns: int, server: Server, content: Content) -> None:
        proxy = server.process.proxy
        if server.process.is_exited:
            return
        before = self._before(t_ns, proxy)
        self.held[proxy] = content
        for type_name, resources in content.items():
            for resource in resources if before else ():
                older = before[type_name].get(resource.name)
                if older is None or older.revision <= resource.revision or _same_hosts(older, resource):
                    continue
                clusters = [one["cds"].get(resource.name) for one in (before, content)]
                is_replaced = type_name == "eds" and clusters[0] is not clusters[1]
                self.backwards.append(
                    Backwards(t_ns, self.names[proxy], type_name, resource.name, is_replaced=is_replaced)
                )

    def _before(self, t_ns: int, proxy: int) -> Content:
        """What a proxy held before this instant. One instant may publish in steps, a cluster's hosts before
        the cluster; no request sees between them, so what was noted of the earlier steps is taken back."""
        noted_ns, before = self.held_before.get(proxy, (-1, {}))
        if noted_ns == t_ns:
            name = self.names[proxy]
            self.backwards[:] = [one for one in self.backwards if (one.t_ns, one.proxy) != (t_ns, name)]
            return before
        self.held_before[proxy] = (t_ns, self.held[proxy])
        return self.held[proxy]


@dataclass(frozen=True)
class Play:
    """A run and what its Envoys held."""

    scenario: xs.Scenario
    result: xs.Result
    mesh: MeshWorld
    watched: _Watched

    @property
    def backwards(self) -> list[Backwards]:
        """Every time that an Envoy's workers went back to what they had before."""
        return self.watched.backwards

    def differences(self) -> Iterator[str]:
        """What live Envoys hold in the end that is not what the API server says."""
        deployment: Deployment = self.mesh._deployment
        content = deployment.content(deployment.written())
        for server in self.watched:
            proxy = server.process.proxy
            if server.process.is_exited or self.watched.held[proxy] == {}:
                continue
            known = deployment.proxies[proxy]
            class_ = deployment.visibility.of(known)
            expected = {name: content.of(name, class_) for name in ("cds", "lds", "rds")}
            expected["eds"] = self._endpoints(class_)
            yield from self._differing(known, expected, self.watched.held[proxy])

    def _endpoints(self, class_: VisibilityClass) -> Resources:
        deployment = self.mesh._deployment
        made: list[Resource[object]] = []
        for service in class_.services:
            made += deployment.factory.assignments(service, deployment.kubernetes.endpoints(service))
        return Resources(made)

    @staticmethod
    def _differing(proxy: Proxy, expected: Content, held: Content) -> Iterator[str]:
        for type_name, resources in expected.items():
            mine = held[type_name]
            if {*mine.names} != {*resources.names}:
                yield f"{proxy.name} has {type_name} {list(mine.names)}, not {list(resources.names)}"
                continue
            for resource in resources:
                own = mine[resource.name]
                # Assignments are made anew for an endpoint that left and came back, clusters for accounts
                # that a replica sees for the first time.
                is_older = type_name != "eds" and own.revision < resource.revision
                if is_older or (own.body != resource.body and not _same_hosts(own, resource)):
                    yield f"{proxy.name} has {type_name} {own}, not {resource}"


def _same_hosts(one: Resource[object], other: Resource[object]) -> bool:
    """Whether two assignments offer the same hosts, in whichever order: endpoints come and go unready."""
    bodies = one.body, other.body
    return (
        isinstance(bodies[0], ClusterLoadAssignment)
        and isinstance(bodies[1], ClusterLoadAssignment)
        and sorted(bodies[0].addresses) == sorted(bodies[1].addresses)
    )


def play(scenario: xs.Scenario) -> Play:
    """Runs a scenario with istiod and watches its Envoys."""
    mesh = MeshWorld(scenario, scenario.seed, 0)
    world = mesh.world()
    watched = world.servers = _Watched(world.recorder.proxy_names)
    world.run()
    result = xs.Result.from_recorder(world.recorder, manifest(scenario, scenario.seed, 0))
    return Play(scenario, result, mesh, watched)
