"""Plays the timeline: each happening at its instant, handed to whoever carries out its kind."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.engine.draws import Draws
from simulator.engine.events import Band, Clock
from simulator.mesh.kubernetes import Kubernetes
from simulator.workload.churn import Churn
from simulator.workload.contract import COMPONENTS, NODE_AGENT, ComponentActions, MeshActions
from simulator.workload.edits import Edits
from simulator.workload.entries import (
    AddIstiodEntry,
    CaOutageEntry,
    EditEntry,
    EndpointsEntry,
    HotRestartEntry,
    MigrateRevisionEntry,
    PartitionEntry,
    RestartComponentEntry,
    RestartEntry,
    RestartIstiodEntry,
    RolloutEntry,
    RolloutIstiodEntry,
    RootRotationEntry,
    ScaleUpEntry,
    SlowReaderEntry,
    UnhealthyEntry,
)
from simulator.workload.incidents import Incidents
from simulator.workload.istiod_pods import IstiodPods
from simulator.workload.revisions import Revisions
from simulator.workload.rollouts import Rollouts
from simulator.workload.timeline import Happening


class Workload:
    """What happens to the mesh, as it runs.

    Args:
        clock: Whose time passes.
        draws: Random numbers.
        kubernetes: The API server.
        actions: What is done to proxies, replicas and content.
        istiod: The pods of istiod; None where no happening concerns them.
        components: What is done to the components before istiod; None where there are none.
    """

    def __init__(
        self,
        clock: Clock,
        draws: Draws,
        kubernetes: Kubernetes,
        actions: MeshActions,
        istiod: IstiodPods | None = None,
        components: ComponentActions | None = None,
    ) -> None:
        self._clock = clock
        self._actions = actions
        self._next = 0
        self._timeline: Sequence[Happening] = ()
        self.edits = Edits(draws, actions.services, actions.edit)
        self.churn = Churn(draws, kubernetes, actions)
        self.rollouts = Rollouts(clock, draws, kubernetes, actions)
        self.incidents = Incidents(clock, draws, actions)
        self.istiod = istiod
        self._components = components
        self.revisions = Revisions(clock, actions, self.rollouts, istiod)

    def play(self, timeline: Sequence[Happening]) -> None:
        """Begins to play; only the next happening is on the agenda."""
        self._timeline = timeline
        self._next = 0
        self._await_next()

    def _await_next(self) -> None:
        if self._next < len(self._timeline):
            self._clock.at(self._timeline[self._next].t_ns, self._happen, band=Band.WORKLOAD)

    def _happen(self) -> None:
        happening = self._timeline[self._next]
        self._next += 1
        # First the next one: those of one instant then stand together, before what this one brings about.
        self._await_next()
        self.carry_out(happening)

    def carry_out(self, happening: Happening) -> None:
        """Does what an entry says, now."""
        match happening.entry:
            case EditEntry() as entry:
                self.edits.happen(happening, entry)
            case EndpointsEntry() as entry:
                self.churn.happen(happening, entry)
            case RolloutEntry() as entry:
                self.rollouts.roll(happening, entry)
            case ScaleUpEntry() as entry:
                self.rollouts.scale_up(happening, entry)
            case PartitionEntry() | SlowReaderEntry() | UnhealthyEntry() as entry:
                self.incidents.begin(happening, entry)
            case RestartEntry() | HotRestartEntry() as entry:
                self.incidents.restart(happening, entry)
            case MigrateRevisionEntry() as entry:
                self.revisions.migrate(happening, entry)
            case CaOutageEntry() | RootRotationEntry() as entry:
                self._to_authority(entry)
            case RestartComponentEntry() as entry:
                self._restart_component(entry)
            case RestartIstiodEntry() | AddIstiodEntry() | RolloutIstiodEntry() as entry:
                self._to_istiod(entry)

    def _to_authority(self, entry: CaOutageEntry | RootRotationEntry) -> None:
        if isinstance(entry, CaOutageEntry):
            self.incidents.ca_outage(entry)
        else:
            self.incidents.root_rotation()

    def _restart_component(self, entry: RestartComponentEntry) -> None:
        if entry.component == NODE_AGENT:
            self._actions.restart_node_agent(entry.node, entry.down_for_ns)
            return
        assert self._components is not None, "there are no components"
        assert self.istiod is not None, "nobody told the workload of Pilot's pods"
        for name in COMPONENTS if entry.component == "all" else (entry.component,):
            self._components.restart(name, entry.down_for_ns)
        if entry.component == "all":
            for replica in range(self.istiod.count):
                self.istiod.restart(replica, entry.down_for_ns)

    def _to_istiod(self, entry: RestartIstiodEntry | AddIstiodEntry | RolloutIstiodEntry) -> None:
        assert self.istiod is not None, "nobody told the workload of istiod's pods"
        match entry:
            case RestartIstiodEntry():
                self.istiod.restart(entry.replica, entry.down_for_ns)
            case AddIstiodEntry():
                self.istiod.add(entry.count)
            case RolloutIstiodEntry():
                self.istiod.rollout(entry.max_surge, entry.max_unavailable)
