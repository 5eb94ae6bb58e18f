"""Joins virtual machines: agents that probe, istiod's WorkloadEntries, and the endpoints that follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.agent.health import HealthProbe, HealthProbeSettings
from simulator.control_plane.istiod.deployment import Deployment
from simulator.control_plane.istiod.workload_entries import WorkloadEntries, WorkloadEntrySettings
from simulator.engine.delays import Delay, draw_ns
from simulator.engine.events import Band
from simulator.envoy.startup import Server
from simulator.mesh.content import ConfigChange
from simulator.mesh.endpoints import Endpoint, Health
from simulator.mesh.kubernetes import Kubernetes
from simulator.mesh.lives import Life
from simulator.mesh.services import Proxy, Service
from simulator.scenario.mesh_start import Proxies
from simulator.scenario.schema import Scenario


class VirtualMachines:
    """All VMs of a mesh under istiod (an `istiod.workload_entries.EntryWrites`).

    Args:
        scenario: Their WorkloadGroup.
        deployment: The replicas of istiod.
        kubernetes: Who holds the entries.
        proxies: Every proxy by its id.
        endpoints_changed: Notes a change of a service's endpoints.
        latency: Of the network, for a report.
        api_call: Time of a write to the API server.
    """

    def __init__(
        self,
        scenario: Scenario,
        deployment: Deployment,
        kubernetes: Kubernetes,
        proxies: Proxies,
        endpoints_changed: Callable[[Service], ConfigChange],
        latency: Delay,
        api_call: Delay,
    ) -> None:
        group = scenario.mesh.workload_group
        self._clock = deployment.clock
        self._draws = deployment.draws
        self._kubernetes = kubernetes
        self._proxies = proxies
        self._endpoints_changed = endpoints_changed
        self._latency = latency
        self._reports: dict[int, int] = {}
        are_there = scenario.mesh.start.kind == "connected"
        settings = WorkloadEntrySettings(grace_ns=group.grace_period)
        self._entries = WorkloadEntries(
            deployment, settings, proxies.vms, api_call, self, are_there=are_there
        )
        self._entries.on_connected = self._connected
        probe = HealthProbeSettings(group.probe_period, group.success_threshold, group.failure_threshold)
        self._probes = {
            vm: HealthProbe(
                self._clock, self._draws, vm, probe, self._sender(vm), True if are_there else None
            )
            for vm in proxies.vms
        }

    # --- agents

    def follow(self, server: Server) -> None:
        """A VM's Envoy starts: its workload is probed when it is ready for the first time."""
        probe = self._probes.get(server.process.proxy)
        if probe is not None and not probe.is_ready:
            server.on_ready = probe.envoy_ready

    def unhealthy(self, vm: int, is_on: bool) -> None:
        """The workload answers nobody, or does again."""
        life = Life.GONE if is_on else Life.SERVING
        self._kubernetes.lives.note(vm, self._clock.now_ns, life)
        self._probes[vm].set(not is_on)

    def _connected(self, vm: int) -> None:
        if self._clock.now_ns >= 0:
            self._probes[vm].connected()

    def _sender(self, vm: int) -> Callable[[bool], None]:
        """HealthInformation on the VM's stream; without one it is sent with the next."""

        def send(is_healthy: bool) -> None:
            if not self._entries.is_connected(vm):
                return
            number = self._reports[vm] = self._reports.get(vm, -1) + 1
            delay_ns = draw_ns(self._latency, self._draws, "agent.health_report", vm, number)
            self._clock.after(
                delay_ns,
                lambda: self._entries.report(vm, is_healthy=is_healthy),
                band=Band.MESSAGE,
                entity=vm,
            )

        return send

    # --- entries in the API server

    def written(self, vm: int, *, is_healthy: bool) -> None:
        """The VM is an endpoint of its service, healthy or not."""
        proxy, service = self._service(vm)
        if service is not None:
            health = Health.HEALTHY if is_healthy else Health.UNHEALTHY
            before = self._kubernetes.endpoints_wanted(service).get(vm)
            endpoint = Endpoint(vm, zone=proxy.zone) if before is None else before
            self._kubernetes.entry_written(
                service, replace(endpoint, health=health), self._endpoints_changed(service)
            )

    def removed(self, vm: int) -> None:
        """It is an endpoint no more; whoever knows its address may still ask it."""
        _, service = self._service(vm)
        if service is not None:
            self._kubernetes.entry_removed(service, vm, self._endpoints_changed(service))

    def _service(self, vm: int) -> tuple[Proxy, Service | None]:
        proxy = self._proxies[vm]
        return proxy, proxy.service
