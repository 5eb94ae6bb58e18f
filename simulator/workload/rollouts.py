"""Rollouts and scale-ups of services: one Deployment for each service they touch."""

from __future__ import annotations

from dataclasses import replace

from simulator.engine.draws import Draws
from simulator.engine.events import Clock
from simulator.mesh.kubernetes import Kubernetes
from simulator.mesh.services import Service
from simulator.workload.contract import MeshActions, Pod
from simulator.workload.deployment import Deployment, RollingUpdate
from simulator.workload.entries import RolloutEntry, ScaleUpEntry
from simulator.workload.pods import ServicePods
from simulator.workload.selection import drawn_service
from simulator.workload.timeline import Happening


class Rollouts:
    """The Deployments behind the services.

    Args:
        clock: Whose time passes.
        draws: Random numbers.
        kubernetes: The API server.
        actions: Start and stop proxies.
    """

    def __init__(self, clock: Clock, draws: Draws, kubernetes: Kubernetes, actions: MeshActions) -> None:
        self._clock = clock
        self._draws = draws
        self._kubernetes = kubernetes
        self._actions = actions
        self._by_service: dict[Service, tuple[Deployment[Pod], ServicePods]] = {}

    def deployment(self, service: Service) -> Deployment[Pod]:
        """The Deployment behind a service."""
        return self._of(service)[0]

    def roll(self, happening: Happening, entry: RolloutEntry) -> None:
        """Replaces the pods of a service."""
        service = self._service(happening, entry.service, entry.namespace)
        if service is None:
            return
        deployment, pods = self._of(service)
        pods.settings, pods.cause = entry.pods, "rollout"
        if entry.new_service_account:
            pods.use_new_service_account(deployment.generation + 1)
        deployment.roll(RollingUpdate(entry.max_surge, entry.max_unavailable, entry.pods.min_ready_ns))

    def scale_up(self, happening: Happening, entry: ScaleUpEntry) -> None:
        """Adds pods to a service. How pods end stays as it was."""
        service = self._service(happening, entry.service, entry.namespace)
        if service is None:
            return
        deployment, pods = self._of(service)
        pods.settings = replace(pods.settings, ready_after=entry.ready_after)
        pods.cause = "scale_up"
        deployment.scale_up(entry.count)

    def _service(self, happening: Happening, given: Service | None, namespace: str | None) -> Service | None:
        if given is not None:
            return given
        services = [s for s in self._actions.services() if namespace in (None, s.namespace)]
        if not services:
            return None
        return drawn_service(services, self._draws, happening.label, happening.index)

    def _of(self, service: Service) -> tuple[Deployment[Pod], ServicePods]:
        if service not in self._by_service:
            first = self._actions.pods_of(service)
            pods = ServicePods(self._clock, self._draws, self._kubernetes, self._actions, service, first)
            self._by_service[service] = Deployment(self._clock, pods, first, service.entity), pods
        return self._by_service[service]
