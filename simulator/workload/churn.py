"""Endpoint churn: addresses of a service leave and come back.

Happenings of one service alternate: an endpoint leaves, the next happening brings it back, the one after
takes the next endpoint in turn. So a service is never short of more than one, and every happening changes
what EDS says. An address that left answers nobody, as after a crash or an eviction without grace; a proxy in
its pod lives on.
"""

from __future__ import annotations

from simulator.engine.draws import Draws
from simulator.mesh.endpoints import Endpoint
from simulator.mesh.kubernetes import Kubernetes
from simulator.mesh.services import Service
from simulator.workload.contract import MeshActions
from simulator.workload.entries import EndpointsEntry
from simulator.workload.selection import ServicesInTurn
from simulator.workload.timeline import Happening


class Churn:
    """Takes endpoints out of services and brings them back.

    Args:
        draws: Random numbers.
        kubernetes: The API server.
        actions: Note the changes.
    """

    def __init__(self, draws: Draws, kubernetes: Kubernetes, actions: MeshActions) -> None:
        self._draws = draws
        self._kubernetes = kubernetes
        self._actions = actions
        self._services: dict[str, ServicesInTurn] = {}
        self._out: dict[Service, Endpoint] = {}

    def happen(self, happening: Happening, entry: EndpointsEntry) -> None:
        """One endpoint leaves or comes back. Nothing happens to a service that has none."""
        service = self._service(happening.label, entry)
        if service is None:
            return
        back = self._out.pop(service, None)
        if back is not None and not self._kubernetes.is_deleted(back.id):
            self._kubernetes.endpoint_added(service, back, self._actions.endpoints_changed(service))
            return
        endpoints = self._kubernetes.endpoints_wanted(service)
        if endpoints.serving_ids:
            # One that came back stands last: so the first has been in longest.
            leaving = self._out[service] = endpoints.by_id[endpoints.serving_ids[0]]
            self._kubernetes.pod_gone(service, leaving.id, self._actions.endpoints_changed(service))

    def _service(self, label: str, entry: EndpointsEntry) -> Service | None:
        if entry.service is not None:
            return entry.service
        services = [s for s in self._actions.services() if entry.namespace in (None, s.namespace)]
        if not services:
            return None
        return self._services.setdefault(label, ServicesInTurn(self._draws, label)).next(services)
