"""The cluster manager: its init helper, CDS, warming, and the gate that withholds the CDS ACK.

Source: source/common/upstream/cluster_manager_impl.cc (ClusterManagerInitHelper, addOrUpdateCluster,
updateClusterCounts), cds_api_impl.cc, cds_api_helper.cc; rules S2, S8, W1 to W7, N1, N4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from simulator.calibration.costs import cds_cost_ns
from simulator.envoy.clusters import (
    ClusterBatch,
    ClusterDiscovery,
    ClusterSignal,
    ClusterState,
    assignment_of,
    cluster_of,
)
from simulator.envoy.init_helper import InitHelper
from simulator.envoy.subscription import Subscription
from simulator.wire.contract import ConfigSource, Update
from simulator.xds.resource_types import CDS, EDS, SDS
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Difference, Fault, Names, Resource, Resources

if TYPE_CHECKING:
    from simulator.envoy.process import Process
    from simulator.envoy.providers import Providers


class EndpointDiscovery(ClusterDiscovery, Protocol):
    """What the cluster manager asks of EDS."""

    is_applying: bool

    def forget(self, names: Names) -> None:
        """No cluster object of these names is left."""


class ClusterManager:
    """Active and warming clusters of one Envoy; the consumer of CDS.

    Attributes:
        active: Clusters in service, from the bootstrap and from CDS.
        hosts: Assignments of the active EDS clusters.
        warming: Batches not yet in service.
    """

    def __init__(
        self,
        process: Process,
        source: ConfigSource,
        *,
        tell_primaries: Callable[[], None],
        tell_all: Callable[[], None],
    ) -> None:
        self.process = process
        self.source = source
        self.eds: EndpointDiscovery
        self.secrets: Providers
        self.secrets_of_listeners: Callable[[], Names] = lambda: NO_NAMES
        self.active = NO_RESOURCES
        self.hosts = NO_RESOURCES
        self.warming: list[ClusterBatch] = []
        self._static = process.settings.static_clusters
        self._known = NO_RESOURCES
        self._leaving = NO_NAMES
        self._cds_paused = False
        self._cds: Subscription | None = None
        self.init_helper = InitHelper(
            process,
            source,
            start_cds=self.start_cds if process.settings.has_xds else None,
            tell_primaries=tell_primaries,
            tell_all=tell_all,
        )

    # --- state others ask for

    @property
    def has_path_source(self) -> bool:
        """Configuration comes from files, so that EDS clusters are primary."""
        return self.source.is_path

    @property
    def known_names(self) -> Names:
        """Clusters that exist, active or warming: what an inline route may name."""
        return self._static.names.union(self._known.names).union(self._leaving)

    @property
    def known_resources(self) -> Resources:
        """Clusters that CDS holds, in their newest configuration."""
        return self._known

    @property
    def warming_names(self) -> Names:
        """Clusters not yet in service (or not in their newest configuration)."""
        names = NO_NAMES
        for batch in self.warming:
            names = names.union(batch.names)
        return names

    def cluster_count(self) -> int:
        """Cluster objects, for the cost of a stats flush."""
        return len(self.active) + sum(len(b.names) for b in self.warming)

    def without_hosts(self, batch: ClusterBatch) -> Names:
        """Clusters of the batch that have no endpoint to check."""
        if batch.sample.kind != "eds":
            return NO_NAMES if batch.sample.endpoints > 0 else batch.names
        with_hosts = batch.hosts.grouped("has endpoints", lambda r: assignment_of(r).endpoints > 0).get(
            True, NO_NAMES
        )
        return batch.names.minus(with_hosts)

    # --- start-up

    def load_static(self) -> None:
        """Bootstrap clusters; the primaries among them initialize here."""
        for batch in self._batches(self._static, self._static.names, is_static=True):
            self.track(batch)
            self.init_helper.add(batch)
        self.init_helper.on_static_load_complete()

    def start_cds(self) -> None:
        """Starts the CDS subscription."""
        process = self.process
        process.row.t_cds_subscribed_ns = process.now_ns
        self._cds = Subscription(
            process, CDS, Names((CDS.name,)), self.source.has_fetch_timeout, self._on_cds_timeout
        )
        self._cds.start()
        self.source.subscribe(CDS, NO_NAMES, self)

    def _on_cds_timeout(self, _names: Names) -> None:
        self.process.count("cluster_manager.cds.init_fetch_timeout")
        self.init_helper.on_cds_outcome()

    # --- CDS (ConfigConsumer)

    def cost_ns(self, update: Update) -> int:
        """See ConfigConsumer."""
        resources, diff = update.against(self._known, self._static.names)
        added = _count_kinds(resources.only(diff.added))
        changed = _count_kinds(resources.only(diff.changed))
        cost_ns = self.process.costs.ns(
            "cds",
            lambda c: cds_cost_ns(
                c,
                is_delta=update.is_delta,
                present=len(update.resources),
                added=added,
                changed=changed,
                removed=len(diff.removed),
                is_quiet=diff.is_quiet,
                starts_eds="eds" in added or "eds" in changed,
                is_first_static=self.init_helper.awaits_cds and list(added) == ["static"],
            ),
        )
        begun = added.get("eds", 0) + changed.get("eds", 0)
        cost_ns += self.process.costs.each(self.source.way_costs.subscription, begun)
        return cost_ns + update.extra_cost_ns

    def on_config_update(self, update: Update) -> str | None:
        """Adds and updates first, then removals; each cluster alone, errors collected."""
        assert self._cds is not None
        self._cds.answered(self._cds.names)
        resources, diff = update.against(self._known, self._static.names)
        if diff.is_quiet:
            self._accept_unchanged(update, resources)
            return None
        touched = diff.added.union(diff.changed)
        bad = self._refused(resources, touched)
        self._count_update(diff, bad)
        self.source.pause(EDS)
        self.source.pause(SDS)
        self._note_changes(update, touched.minus(bad), bad)
        self._add_or_update(resources, touched.minus(bad), diff.changed)
        if bad or update.is_delta:
            self._known = self._known.updated(resources.without(bad)).without(diff.removed)
        else:
            self._known = resources
        self._remove(update.removed if update.is_delta else self._hash_order(diff.removed), diff.removed)
        self._update_cds_gate()
        self.source.resume(EDS)
        self.source.resume(SDS)
        # The callback runs even if some, or all, were refused.
        self.init_helper.on_cds_outcome()
        return f"Error adding/updating cluster(s) {', '.join(bad)}" if bad else None

    def _accept_unchanged(self, update: Update, resources: Resources) -> None:
        """What is known already is accepted and changes nothing."""
        self.process.count_update("cluster_manager.cds.", "success")
        self.process.note_success(CDS.name)
        if update.changes:
            self._note_changes(update, NO_NAMES, NO_NAMES)
        if not update.is_delta:
            self._known = resources
        self.init_helper.on_cds_outcome()

    def on_update_rejected(self, update: Update, error: str) -> None:
        """A response that does not decode releases start-up like any other outcome (N1)."""
        assert self._cds is not None
        self.process.count_update("cluster_manager.cds.", "rejected")
        self._cds.answered(self._cds.names, "rejected")
        self.process.activations.refused(update.changes, self.process.now_ns)
        self.init_helper.on_cds_outcome()

    def on_connection_failure(self, names: Names) -> None:
        """Counted, nothing released (D1)."""
        self.process.count_update("cluster_manager.cds.", "failure")

    def _refused(self, resources: Resources, touched: Names) -> Names:
        """Clusters that cannot be built, or whose EDS file does not exist."""
        bad = resources.faulty().get(Fault.BUILD, NO_NAMES).intersect(touched)
        if self.source.is_path:
            eds = resources.grouped("kind", _kind).get("eds", NO_NAMES).intersect(touched)
            bad = bad.union(self.source.missing(EDS, eds))
        return bad

    def _count_update(self, diff: Difference, bad: Names) -> None:
        process, prefix = self.process, "cluster_manager.cds."
        process.count_update(prefix, "rejected" if bad else "success")
        if not bad:
            process.note_success(CDS.name)
        added, changed = diff.added.minus(bad), diff.changed.minus(bad)
        process.count("cluster_manager.cluster_added", len(added))
        process.count("cluster_manager.cluster_modified", len(changed))
        process.count("cluster_manager.cluster_removed", len(diff.removed))
        if added or changed or diff.removed:
            process.count(prefix + "config_reload")

    def _note_changes(self, update: Update, touched: Names, bad: Names) -> None:
        process = self.process
        done = process.activations.applied(
            update.changes, CDS.name, process.now_ns, refused=bad, awaited=touched.union(self.warming_names)
        )
        if done:
            process.publish("post_clusters", done)

    def _add_or_update(self, resources: Resources, names: Names, changed: Names) -> None:
        """Each becomes a new object with no hosts and a new fetch timer."""
        for batch in self._batches(resources, names, is_static=False):
            # One after the other: those still to be replaced are waited for meanwhile.
            replaced = self._drop_warming(batch.names.intersect(changed), self.init_helper.replaced)
            if not self.source.is_ads:
                self.eds.forget(replaced)
            self.track(batch)
            if self.init_helper.is_finished:
                batch.fire(ClusterSignal.INITIALIZE)
            else:
                self.init_helper.add(batch)
            if self.source.is_ads:
                # The old object goes behind the new one: the watch of a name both want never ends.
                started = batch.sample.kind == "eds" and batch.state is not ClusterState.CREATED
                self.eds.forget(replaced.minus(batch.names) if started else replaced)

    def _batches(self, resources: Resources, names: Names, *, is_static: bool) -> list[ClusterBatch]:
        """Groups of equal configuration, in order of first appearance."""
        groups = resources.only(names).grouped("configuration", _configuration).values()
        return [ClusterBatch(self, resources.only(group), is_static=is_static) for group in groups]

    def track(self, batch: ClusterBatch) -> None:
        """A new batch, or a part split off one."""
        self.warming.append(batch)
        self.init_helper.track(batch)

    # --- out of warming, out of the mesh

    def activate(self, batch: ClusterBatch) -> None:
        """Swap: the old object of the name, if any, goes; workers are told."""
        self.warming.remove(batch)
        replaced = batch.names.intersect(self.active.names)
        self.active = self.active.updated(batch.configs)
        self.hosts = self.hosts.without(batch.names).updated(batch.hosts)
        if batch.sample.kind == "eds" and replaced:
            self.source.release_superseded(EDS, replaced, is_told=not self.eds.is_applying)
        process = self.process
        changes = process.activations.activated(CDS.name, batch.names)
        changes += process.activations.activated(EDS.name, batch.names)
        process.publish("post_clusters", changes)
        self._update_cds_gate()
        self.init_helper.done(batch)

    def _drop_warming(self, names: Names, tell: Callable[[ClusterBatch], None]) -> Names:
        """Ends warming objects of these names; those whose EDS watch has no active object behind it."""
        unwatched = NO_NAMES
        if not names:
            return unwatched
        for batch in list(self.warming):
            part_names = batch.names.intersect(names)
            if not part_names or batch.is_static:
                continue
            if batch.subscription is not None:
                batch.subscription.drop(part_names)
            part = batch.split(part_names)
            if part.sample.kind == "eds" and part.state is not ClusterState.CREATED:
                unwatched = unwatched.union(part_names.minus(self.active.names))
            part.fire(ClusterSignal.REMOVED)
            self.warming.remove(part)
            tell(part)
        return unwatched

    def _hash_order(self, removed: Names) -> Names:
        """State of the world: what a response leaves out is found in a hash map, in an order nobody knows
        before. What stands for it: the order that the scenario gives, and of the others the last first."""
        return self.process.settings.removal_order.intersect(removed).union(removed.reversed())

    def _remove(self, order: Names, names: Names) -> None:
        """Active and warming entries of these names go together, at once on the main thread; while start-up
        waits for some, one after the other: what comes next may begin before the last is gone."""
        if not names:
            return
        at_once = (names,) if self.init_helper.is_finished else order.intersect(names).singly()
        # In service first, then those that warm: each is still known when start-up learns that it goes.
        self._leaving = self.warming_names.intersect(names)
        for some in at_once:
            self.eds.forget(self._drop_warming(some, self.init_helper.done))
            self._leaving = self._leaving.minus(some)
        removed = self.active.only(names)
        self.active = self.active.without(removed.names)
        self.hosts = self.hosts.without(names)
        if removed:
            self.process.enter("cluster", removed.names, ClusterState.GONE.value)
            self.eds.forget(removed.grouped("kind", _kind).get("eds", NO_NAMES))
        activations = self.process.activations
        gone = activations.activated(CDS.name, names) + activations.activated(EDS.name, names)
        self.process.publish("post_clusters", gone)
        # The objects themselves, and with them the watches of their secrets, go after the update's ACK.
        self.process.main_thread.submit(0, self._release_secrets)

    def _release_secrets(self) -> None:
        """The watch of a secret ends with the last object that uses it."""
        used = self.secrets_of_listeners().union(self.active.collect("secret", _secret))
        for batch in self.warming:
            used = used.union(batch.configs.collect("secret", _secret))
        self.secrets.release_unused(used)

    def on_secrets_released(self) -> None:
        """Clusters that waited for a secret may go on."""
        for batch in list(self.warming):
            if batch.state is ClusterState.SECRETS:
                batch.check_secrets()

    def _update_cds_gate(self) -> None:
        """After start-up CDS is paused while any cluster warms: its ACK is withheld (W2); on ADS only."""
        should_pause = self.init_helper.is_finished and bool(self.warming)
        if should_pause and not self._cds_paused:
            self._cds_paused = True
            self.source.pause(CDS)
        elif self._cds_paused and not should_pause:
            self._cds_paused = False
            self.source.resume(CDS)


def _kind(resource: Resource[object]) -> str:
    return cluster_of(resource).kind


def _secret(resource: Resource[object]) -> tuple[str, ...]:
    secret = cluster_of(resource).secret
    return () if secret is None else (secret,)


def _configuration(resource: Resource[object]) -> tuple[object, ...]:
    body = cluster_of(resource)
    return body.kind, body.resolver, body.health_check, body.secret, body.endpoints > 0


def _count_kinds(clusters: Resources) -> dict[str, int]:
    return {str(kind): len(names) for kind, names in clusters.grouped("kind", _kind).items()}
