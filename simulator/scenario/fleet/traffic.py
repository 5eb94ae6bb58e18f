"""Requests of proxies that are rows: what their workers hold from when on, integrated as for any sender."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.envoy.data_plane import Published
from simulator.envoy.settled import SettledEnvoy
from simulator.fleet.streams import NEVER
from simulator.fleet.views import Views
from simulator.mesh.services import POD_IDS, Service
from simulator.mesh.visibility import VisibilityClass
from simulator.scenario.mesh_start import Proxies
from simulator.scenario.mesh_traffic import MeshTraffic
from simulator.workload.mesh_traffic import NOT_LISTENING, RoutingView
from simulator.xds.resources import Names


class FleetTraffic:
    """The requests of all rows.

    Args:
        traffic: Where requests go, and who writes what became of them.
        classes: What the proxies of each group see.
    """

    def __init__(self, traffic: MeshTraffic, classes: Sequence[VisibilityClass]) -> None:
        self._traffic, self._classes = traffic, classes
        self._numbers: dict[tuple[RoutingView, ...], int] = {}
        self._contents: list[tuple[RoutingView, ...]] = []

    def view(self, group: int, envoy: SettledEnvoy) -> int:
        """Number of what requests of the group's proxies meet there."""
        published = Published(
            listeners=envoy.listeners, routes=envoy.routes, clusters=envoy.clusters, hosts=envoy.hosts
        )
        return self.number(self._traffic.views(published, self._classes[group]))

    @property
    def nothing(self) -> int:
        """Number of what requests meet where the workers hold nothing."""
        return self.number(tuple(NOT_LISTENING for _ in self._traffic.views(Published(), self._classes[0])))

    def met(self, proxy: int) -> tuple[int | None, list[tuple[int, int]]]:
        """Since when the application of a proxy sends that was played by messages and is a row from here on,
        and what its requests met, as numbers, from when on."""
        begin_ns, met = self._traffic.hand_over(proxy)
        return begin_ns, [(t_ns, self.number(views)) for t_ns, views in met]

    def number(self, views: tuple[RoutingView, ...]) -> int:
        """Number of what requests of each entry meet."""
        number = self._numbers.get(views)
        if number is None:
            number = self._numbers[views] = len(self._contents)
            self._contents.append(views)
        return number

    def decided_by(self, group: int, envoy: SettledEnvoy) -> tuple[Names, Names]:
        """Clusters and route tables on which it depends what requests of the group's proxies meet."""
        return self._traffic.decided_by(Published(listeners=envoy.listeners), self._classes[group])

    def write(
        self,
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
        views: Views,
        proxies: Proxies,
        services: Sequence[Service],
        begins_ns: NDArray[np.int64] | None = None,
    ) -> None:
        """What became of all requests of these, at the end of the run.

        Args:
            entity: Proxies, by place, ascending.
            group: Their groups.
            views: What they hold from when on.
            proxies: All of the mesh.
            services: In order.
            begins_ns: When each begins to send, by place; `NEVER` for who does not. None: all do from 0 on.
        """
        senders = self._traffic.senders()
        if senders is None:
            places = np.arange(len(entity))
        else:
            beside = [proxies.with_sidecars(services.index(s)) for s in senders]
            is_beside = np.isin(entity, [p for of_one in beside for p in of_one])
            places = np.flatnonzero(is_beside | (entity >= POD_IDS))
        if begins_ns is not None:
            places = places[begins_ns[places] < NEVER]
        contents = self._contents
        for place, since in views.of(places):
            proxy, class_ = proxies[int(entity[place])], self._classes[int(group[place])]
            held = [(t_ns, contents[number]) for t_ns, number in since]
            begin_ns = 0 if begins_ns is None else int(begins_ns[place])
            self._traffic.write_held(proxy, class_, held, begin_ns)
