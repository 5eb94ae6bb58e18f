"""EDS: first outcomes, the cache used when none comes, and updates of clusters in service.

Source: source/extensions/clusters/eds/eds.cc;
source/extensions/config_subscription/grpc/eds_resources_cache_impl.cc; rules W1, W4 to W7, T3, T7.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from simulator.calibration.costs import eds_cost_ns
from simulator.envoy.clusters import ClusterBatch, ClusterSignal, ClusterState, assignment_of
from simulator.envoy.subscription import Subscription
from simulator.envoy.watches import watches_called_before
from simulator.wire.contract import Update
from simulator.xds.resource_types import EDS
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Fault, Names, Resources

if TYPE_CHECKING:
    from simulator.envoy.cluster_manager import ClusterManager

_STAT = "cluster.{}."


class EdsSubscriptions:
    """The EDS subscriptions of all clusters; the consumer of EDS.

    Attributes:
        is_applying: An update is being handled; EDS requests are held back meanwhile.
    """

    def __init__(self, manager: ClusterManager) -> None:
        self._manager = manager
        self._process = manager.process
        self._interest = NO_NAMES
        self._cache = NO_RESOURCES
        self.is_applying = False
        self._has_cache = manager.source.is_ads and manager.process.settings.eds_cache

    def start(self, batch: ClusterBatch) -> None:
        """Starts the subscriptions of new cluster objects: timer first, then the watch."""
        source = self._manager.source
        batch.subscription = Subscription(
            self._process, EDS, batch.names, source.has_fetch_timeout, partial(self._on_timeout, batch)
        )
        batch.subscription.start()
        self._interest = self._interest.union(batch.names)
        source.subscribe(EDS, batch.names, self)

    def forget(self, names: Names) -> None:
        """No cluster object of these names is left."""
        names = names.intersect(self._interest)
        if names:
            self._interest = self._interest.minus(names)
            self._cache = self._cache.without(names)
            self._manager.source.unsubscribe(EDS, names)

    # --- ConfigConsumer

    def cost_ns(self, update: Update) -> int:
        """See ConfigConsumer."""
        wanted = update.resources.only(self._interest)
        diff = self._manager.hosts.only(wanted.names).difference_to(wanted)
        # A cluster that went into service without (its fetch timed out) meets its first assignment late.
        first = diff.added.intersect(self._manager.active.names)
        for batch in self._manager.warming:
            if batch.state is ClusterState.PREINIT and batch.sample.kind == "eds":
                first = first.union(batch.names)
        first = wanted.names.intersect(first)
        differing = wanted.only(diff.added.union(diff.changed).union(first))
        endpoints = differing.total("endpoints", lambda r: assignment_of(r).endpoints)
        cost_ns = self._process.costs.ns(
            "eds",
            lambda c: eds_cost_ns(
                c,
                is_delta=update.is_delta,
                present=len(wanted),
                first=len(first),
                endpoints=endpoints,
                has_first=bool(first),
            ),
        )
        return cost_ns + update.extra_cost_ns

    def on_config_update(self, update: Update) -> str | None:
        """Applies every assignment up to the first bad one; then all watches are told of the rejection."""
        self.is_applying = True
        try:
            return self._apply(update)
        finally:
            self.is_applying = False

    def _apply(self, update: Update) -> str | None:
        wanted = update.resources.only(self._interest)
        bad = wanted.faulty().get(Fault.BUILD, NO_NAMES)
        good = wanted.only(watches_called_before(bad, wanted.names)) if bad else wanted
        process = self._process
        process.count_updates(_STAT, "success", good.names)
        gone = update.removed.union(update.absent).intersect(self._interest)
        process.count_each(_STAT + "update_empty", gone)
        if self._has_cache:
            self._cache = self._cache.updated(good)
        self._update_active(good)
        self._note_changes(update, wanted.names.minus(good.names))
        self._release(update, good.names, good)
        # A name said not to exist ends its cluster's waiting at once; hosts it has are kept (T7).
        self._release(update, gone)
        if not bad:
            return None
        process.count_updates(_STAT, "rejected", update.watched)
        self._release(update, update.watched, how="rejected")
        return f"{next(iter(bad))}: the assignment is malformed"

    def on_update_rejected(self, update: Update, error: str) -> None:
        """A response that does not decode releases every waiting cluster, without hosts (N1)."""
        self._process.count_updates(_STAT, "rejected", update.watched)
        self._process.activations.refused(update.changes, self._process.now_ns)
        self.is_applying = True
        try:
            self._release(update, update.watched, how="rejected")
        finally:
            self.is_applying = False

    def on_connection_failure(self, names: Names) -> None:
        """Counted, nothing released (D1)."""
        self._process.count_updates(_STAT, "failure", names)

    def _on_timeout(self, batch: ClusterBatch, late: Names) -> None:
        """Finishes warming with the cached assignment (ADS only, W5), else with the hosts it has: none."""
        self._process.count_each(_STAT + "init_fetch_timeout", late)
        cached = self._cache.only(late) if self._has_cache else NO_RESOURCES
        if cached:
            self._process.count_each(_STAT + "assignment_use_cached", cached.names)
        part = batch.split(late)
        part.hosts = part.hosts.updated(cached)
        part.fire(ClusterSignal.PRE_INIT_COMPLETE)

    # --- applying

    def _update_active(self, good: Resources) -> None:
        """Clusters in service, and those past discovery, take the new hosts."""
        manager = self._manager
        serving = good.only(manager.active.names)
        if serving:
            manager.hosts = manager.hosts.updated(serving)
        for batch in manager.warming:
            if batch.state in (ClusterState.SECRETS, ClusterState.HEALTH):
                batch.hosts = batch.hosts.updated(good.only(batch.names))

    def _note_changes(self, update: Update, refused: Names) -> None:
        process = self._process
        done = process.activations.applied(
            update.changes, EDS.name, process.now_ns, refused=refused, awaited=self._manager.warming_names
        )
        if done or update.resources:
            process.publish("post_clusters", done)

    def _release(
        self, update: Update, names: Names, hosts: Resources = NO_RESOURCES, how: str = "answered"
    ) -> None:
        """Clusters among ``names`` that waited for their first outcome go on."""
        if not names or update.is_superseded:
            return
        for batch in list(self._manager.warming):
            if batch.state is not ClusterState.PREINIT or batch.subscription is None:
                continue
            settled = batch.subscription.answered(batch.names.intersect(names), how)
            if settled:
                part = batch.split(settled)
                part.hosts = part.hosts.updated(hosts.only(settled))
                part.fire(ClusterSignal.PRE_INIT_COMPLETE)
