"""Upgrades by revision: a second control plane beside the first, and proxies that move to it by restart.

A proxy belongs to the revision whose injector made it, so it moves when its namespace was relabelled and its
pod is created anew: namespace by namespace, each Deployment in it is rolled. Both control planes watch and
process everything all the while. Rolling back is the same the other way; the control plane left behind stays.
Source: manifests/charts/istio-control/istio-discovery/values.yaml (revision); istio.io, canary upgrades.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.engine.events import Band, Clock
from simulator.workload.contract import MeshActions
from simulator.workload.entries import MigrateRevisionEntry, RolloutEntry
from simulator.workload.istiod_pods import IstiodPods
from simulator.workload.rollouts import Rollouts
from simulator.workload.timeline import Happening


class Revisions:
    """Carries out migrations.

    Args:
        clock: Whose time passes.
        actions: Label namespaces, restart gateways.
        rollouts: Roll Deployments.
        istiod: Installs control planes; None where no happening concerns them.
    """

    def __init__(
        self, clock: Clock, actions: MeshActions, rollouts: Rollouts, istiod: IstiodPods | None
    ) -> None:
        self._clock = clock
        self._actions = actions
        self._rollouts = rollouts
        self._istiod = istiod
        self._installed = {"default": True}
        """Whether a control plane takes connections."""

    def migrate(self, happening: Happening, entry: MigrateRevisionEntry) -> None:
        """Installs the control plane if there is none of that name, then moves namespace by namespace."""
        if self._installed.get(entry.to):
            self._move_all(happening, entry)
        elif entry.to not in self._installed:
            assert self._istiod is not None, "nobody told the workload of istiod's pods"
            self._installed[entry.to] = False
            self._istiod.install(entry.to, entry.replicas, lambda: self._ready(happening, entry))

    def _ready(self, happening: Happening, entry: MigrateRevisionEntry) -> None:
        self._installed[entry.to] = True
        self._move_all(happening, entry)

    def _move_all(self, happening: Happening, entry: MigrateRevisionEntry) -> None:
        namespaces = list(dict.fromkeys(service.namespace for service in self._actions.services()))
        for number, namespace in enumerate(namespaces):
            self._after(number * entry.every_ns, self._mover(happening, entry, namespace))
        self._after(len(namespaces) * entry.every_ns, lambda: self._move_gateways(entry))

    def _mover(self, happening: Happening, entry: MigrateRevisionEntry, namespace: str) -> Callable[[], None]:
        def move() -> None:
            self._actions.label_namespace(namespace, entry.to)
            for service in self._actions.services():
                if service.namespace == namespace:
                    rollout = RolloutEntry(entry.arrivals, service, pods=entry.pods)
                    self._rollouts.roll(happening, rollout)

        return move

    def _move_gateways(self, entry: MigrateRevisionEntry) -> None:
        for proxy in self._actions.gateways():
            self._actions.move_gateway(proxy, entry.to)

    def _after(self, delay_ns: int, call: Callable[[], None]) -> None:
        self._clock.after(delay_ns, call, band=Band.WORKLOAD)
