"""Requests of proxies that are rows: what their workers hold from when on, integrated as for any sender."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.envoy.data_plane import Published
from simulator.envoy.settled import SettledEnvoy
from simulator.fleet.views import Views
from simulator.mesh.services import Proxy, Service
from simulator.mesh.visibility import VisibilityClass
from simulator.scenario.mesh_traffic import MeshTraffic
from simulator.workload.mesh_traffic import RoutingView


class FleetTraffic:
    """The requests of all rows.

    Args:
        traffic: Where requests go, and who writes what became of them.
        classes: What the proxies of each group see.
        entity: The rows, ascending, and
        group: their groups.
    """

    def __init__(
        self,
        traffic: MeshTraffic,
        classes: Sequence[VisibilityClass],
        entity: NDArray[np.int64],
        group: NDArray[np.int32],
    ) -> None:
        self._traffic, self._classes = traffic, classes
        self._entity, self._group = entity, group
        self._numbers: dict[tuple[RoutingView, ...], int] = {}
        self._contents: list[tuple[RoutingView, ...]] = []

    def view(self, group: int, envoy: SettledEnvoy) -> int:
        """Number of what requests of the group's proxies meet there."""
        published = Published(
            listeners=envoy.listeners, routes=envoy.routes, clusters=envoy.clusters, hosts=envoy.hosts
        )
        views = self._traffic.views(published, self._classes[group])
        number = self._numbers.get(views)
        if number is None:
            number = self._numbers[views] = len(self._contents)
            self._contents.append(views)
        return number

    def write(
        self,
        held: Views,
        proxies: Mapping[int, Proxy],
        places_of: Callable[[Service], NDArray[np.int64]],
    ) -> None:
        """What became of all requests, at the end of the run.

        Args:
            held: What the workers held.
            proxies: Rows by id.
            places_of: The rows that are pods of a service.
        """
        senders = self._traffic.senders()
        if senders is None:
            places = np.arange(len(self._entity))
        else:
            places = np.unique(np.concatenate([np.empty(0, np.int64), *(places_of(s) for s in senders)]))
        contents = self._contents
        for place, since in held.of(places):
            proxy, class_ = proxies[int(self._entity[place])], self._classes[int(self._group[place])]
            self._traffic.write_held(proxy, class_, [(t_ns, contents[number]) for t_ns, number in since])
