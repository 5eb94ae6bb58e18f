"""The listener manager: LDS, warming, in-place and full updates, draining.

Before the workers start there is no warming list: listeners are put into the active list and the *server's*
init manager waits for their routes, secrets and extension configurations (S8). Afterwards each warms on its
own, and the old one serves until it is done (W8 to W10).
Source: source/common/listener_manager/{listener_manager_impl,listener_impl,lds_api}.cc.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.calibration.costs import lds_cost_ns
from simulator.engine.events import Band
from simulator.envoy.listener_targets import ListenerTargets
from simulator.envoy.listeners import ListenerBatch, ListenerSignal, ListenerState, listener_of
from simulator.envoy.subscription import Subscription
from simulator.wire.contract import ConfigSource, Update
from simulator.xds.resource_types import LDS, RDS, SDS, SRDS
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Difference, Fault, Names, Resource, Resources

if TYPE_CHECKING:
    from simulator.envoy.init_manager import InitManager
    from simulator.envoy.process import Process
    from simulator.envoy.providers import Providers, RouteConfigProviders
    from simulator.envoy.scopes import ScopedRoutes


_S, _G = ListenerState, ListenerSignal


class ListenerManager:
    """All listener objects of one Envoy; the consumer of LDS.

    Attributes:
        batches: Every listener object that exists, draining ones included.
        server_init: The server's init manager.
        targets: What the listeners wait for.
    """

    def __init__(
        self,
        process: Process,
        source: ConfigSource,
        server_init: InitManager,
        routes: RouteConfigProviders,
        secrets: Providers,
        extensions: Providers,
        scopes: ScopedRoutes,
        known_clusters: Callable[[], Names],
    ) -> None:
        self.process = process
        self.server_init = server_init
        self.batches: list[ListenerBatch] = []
        self._source = source
        self.targets = ListenerTargets(self, routes, secrets, extensions, scopes)
        self._known_clusters = known_clusters
        self._static = process.settings.static_listeners
        self._known = NO_RESOURCES
        self._clusters_when_read: Names | None = None
        self._lds: Subscription | None = None
        self._lds_target_is_open = False

    # --- state others ask for

    @property
    def known_resources(self) -> Resources:
        """Listeners that LDS holds, in their newest configuration."""
        return self._known

    def serving(self) -> Resources:
        """Listeners that accept connections, by their configuration in force."""
        serving = NO_RESOURCES
        for batch in self.batches:
            if batch.state is _S.ACTIVE:
                serving = serving.updated(batch.configs)
        return serving

    @property
    def is_warming(self) -> bool:
        """Whether a listener waits for what it needs before it serves."""
        return any(batch.state is _S.WARMING for batch in self.batches)

    def draining(self) -> Resources:
        """Replaced or removed listeners whose connections still live."""
        draining = NO_RESOURCES
        for batch in self.batches:
            if batch.state in (_S.DRAINING, _S.FILTER_CHAINS_DRAINING):
                draining = draining.updated(batch.configs)
        return draining

    def gauges(self) -> dict[str, int]:
        """total_listeners_* as Envoy counts them: what is pending at start-up counts as active (S8)."""
        counts = dict.fromkeys(_GAUGES.values(), 0)
        for batch in self.batches:
            if batch.state in _GAUGES:
                counts[_GAUGES[batch.state]] += len(batch.names)
        return counts

    # --- start-up

    def add_static(self) -> None:
        """Bootstrap listeners: each a target of the server's init manager."""
        if self._static:
            self._add(self._static, self._static.names, NO_NAMES)

    def register_lds(self) -> None:
        """The LDS target follows the static listeners'."""
        self._lds_target_is_open = True
        self.server_init.add(self._start_lds)

    def _start_lds(self) -> None:
        self._lds = Subscription(
            self.process, LDS, Names((LDS.name,)), self._source.has_fetch_timeout, self._on_lds_timeout
        )
        self._lds.start()
        if self._source.is_path:
            # A file is read, and its listeners are built, within whatever ended start-up's wait.
            self._clusters_when_read = self._known_clusters()
        self._source.subscribe(LDS, NO_NAMES, self)

    def _on_lds_timeout(self, _names: Names) -> None:
        self.process.count("listener_manager.lds.init_fetch_timeout")
        self._lds_outcome()

    def _lds_outcome(self) -> None:
        """The LDS target is ready with the first update, rejection or time-out."""
        if self._lds_target_is_open:
            self._lds_target_is_open = False
            self.server_init.ready()

    def on_workers_started(self) -> None:
        """What was pending accepts connections from now on."""
        names = NO_NAMES
        for batch in list(self.batches):
            if batch.state is _S.ACTIVE_PENDING:
                batch.fire(_G.WORKERS_STARTED)
                names = names.union(batch.names)
        self._activated_now(names)

    # --- LDS (ConfigConsumer)

    def cost_ns(self, update: Update) -> int:
        """See ConfigConsumer."""
        resources, diff = update.against(self._known, self._static.names)
        built = diff.added.union(diff.changed)
        routes = self.targets.new_routes(resources.only(built))
        cost_ns = self.process.costs.ns(
            "lds",
            lambda c: lds_cost_ns(
                c,
                is_delta=update.is_delta,
                present=len(update.resources),
                built=len(built),
                removed=len(diff.removed),
                has_built=bool(built),
                has_removed=bool(diff.removed),
                starts_rds=bool(routes),
            ),
        )
        cost_ns += self.process.costs.each(self._source.way_costs.subscription, len(routes))
        return cost_ns + update.extra_cost_ns

    def on_config_update(self, update: Update) -> str | None:
        """Removals first, then additions and updates, each alone; ACKed at once however long they warm."""
        assert self._lds is not None
        self._lds.answered(self._lds.names)
        resources, diff = update.against(self._known, self._static.names)
        if diff.is_quiet:
            self._accept_unchanged(update, resources)
            return None
        built = diff.added.union(diff.changed)
        bad, why = self._refused(resources, built)
        good = built.minus(bad)
        self._count_update(diff, good, bad)
        for type_ in (RDS, SRDS, SDS):
            self._source.pause(type_)
        self._note_changes(update, good, bad)
        self._known = self._known.without(diff.removed)
        self._remove(update.removed if update.is_delta else diff.removed, diff.removed)
        if diff.removed:
            self.process.publish("stop_listener", [])
        if bad or update.is_delta:
            self._known = self._known.updated(resources.only(good))
        else:
            self._known = resources
        rolled_back = self._rolled_back(resources, diff.changed.intersect(good))
        self._add(resources, good.minus(rolled_back), diff.changed)
        self._roll_back(rolled_back)
        self.targets.release_unused()
        # Listeners joined the init manager above, so it cannot finish in between.
        self._lds_outcome()
        for type_ in (RDS, SRDS, SDS):
            self._source.resume(type_)
        return f"Error adding/updating listener(s) {', '.join(bad)}: {why}" if bad else None

    def _accept_unchanged(self, update: Update, resources: Resources) -> None:
        """What is known already is accepted and changes nothing: the usual case under istiod, which sends
        all listeners again and again."""
        self.process.count_update("listener_manager.lds.", "success")
        self.process.note_success(LDS.name)
        if update.changes:
            self._note_changes(update, NO_NAMES, NO_NAMES)
        if not update.is_delta:
            self._known = resources
        self._lds_outcome()

    def on_update_rejected(self, update: Update, error: str) -> None:
        """A response that does not decode releases start-up like any other outcome (N1)."""
        assert self._lds is not None
        self.process.count_update("listener_manager.lds.", "rejected")
        self._lds.answered(self._lds.names, "rejected")
        self.process.activations.refused(update.changes, self.process.now_ns)
        self._lds_outcome()

    def on_connection_failure(self, names: Names) -> None:
        """Counted, nothing released (D1)."""
        self.process.count_update("listener_manager.lds.", "failure")

    def _refused(self, resources: Resources, built: Names) -> tuple[Names, str]:
        """Listeners that cannot be built: invalid, or with an inline route to an unknown cluster."""
        bad = resources.faulty().get(Fault.BUILD, NO_NAMES).intersect(built)
        why = "filter configuration is invalid" if bad else ""
        known, self._clusters_when_read = self._clusters_when_read, None
        if known is None:
            known = self._known_clusters()
        inline = resources.only(built).grouped("inline cluster", _inline_cluster)
        for cluster, names in inline.items():
            if cluster is not None and str(cluster) not in known:
                bad, why = bad.union(names), f"route: unknown cluster '{cluster}'"
        # A route that others use has its subscription already; its file need not be there any more.
        missing = self._source.missing(RDS, self.targets.new_routes(resources.only(built)))
        if missing:
            bad = bad.union(Names(r.name for r in resources.only(built) if _needs(r, missing)))
            why = f"paths must refer to an existing path: {next(iter(missing))}"
        return bad, why

    def _count_update(self, diff: Difference, good: Names, bad: Names) -> None:
        process, prefix = self.process, "listener_manager."
        process.count_update(prefix + "lds.", "rejected" if bad else "success")
        if not bad:
            process.note_success(LDS.name)
        process.count(prefix + "listener_added", len(diff.added.intersect(good)))
        process.count(prefix + "listener_modified", len(diff.changed.intersect(good)))
        process.count(prefix + "listener_removed", len(diff.removed))
        process.count(prefix + "listener_create_failure", len(bad))
        if good or diff.removed:
            process.count(prefix + "lds.config_reload")

    def _note_changes(self, update: Update, good: Names, bad: Names) -> None:
        process = self.process
        done = process.activations.applied(
            update.changes, LDS.name, process.now_ns, refused=bad, awaited=good
        )
        if done:
            process.publish("stop_listener", done)

    # --- adding, warming, swapping

    def _add(self, resources: Resources, names: Names, changed: Names) -> None:
        """New objects; a warming one of the same name is replaced without draining: it never served."""
        if not names:
            return
        is_running = self.process.workers.are_running
        if not is_running:
            # A replaced listener that goes must not let the server's init manager finish in between.
            self.server_init.add(lambda: None)
        self._end(self._parts(names, (_S.WARMING, _S.ACTIVE_PENDING)))
        in_place = self._in_place(resources, changed.intersect(names))
        self.process.count("listener_manager.listener_in_place_updated", len(in_place))
        batch = ListenerBatch(self, resources.only(names), in_place)
        self.batches.append(batch)
        batch.fire(_G.INITIALIZE if is_running else _G.INITIALIZE_WITH_SERVER)
        if not is_running:
            self.server_init.ready()

    def _rolled_back(self, resources: Resources, changed: Names) -> Names:
        """Warming listeners that are again what the active one of the name is."""
        warming = NO_NAMES
        for batch in self.batches:
            if batch.state is _S.WARMING:
                warming = warming.union(batch.names.intersect(changed))
        if not warming:
            return NO_NAMES
        serving = self.serving()
        return Names(name for name in warming if serving.get(name) == resources[name])

    def _roll_back(self, names: Names) -> None:
        """The warming ones are dropped; the active ones serve on, nothing drains."""
        if names:
            self._end(self._parts(names, (_S.WARMING,)))
            self.process.publish("post_listeners", self.process.activations.activated(LDS.name, names))

    def _in_place(self, resources: Resources, changed: Names) -> Names:
        """Listeners whose filter chains alone differ from the one in service."""
        if not changed or not self.process.workers.are_running:
            return NO_NAMES
        before = self.serving()
        changed = changed.intersect(before.names)

        def differs_in_filter_chains(name: str) -> bool:
            old, new = listener_of(before[name]), listener_of(resources[name])
            return replace(old, filter_chains=new.filter_chains) == new and old != new

        return changed.where((before, resources), differs_in_filter_chains)

    def start_targets(self, batch: ListenerBatch) -> None:
        """See ListenerOwner."""
        self.targets.start(batch)

    def swap_in(self, batch: ListenerBatch) -> None:
        """Workers add the new and stop the old; connections of an in-place update stay where they are."""
        for old in list(self.batches):
            replaced = old.names.intersect(batch.names)
            if old is batch or old.state is not _S.ACTIVE or not replaced:
                continue
            in_place = replaced.intersect(batch.in_place)
            if in_place:
                old.split(in_place).fire(_G.REPLACED_IN_PLACE)
            if replaced.minus(in_place):
                old.split(replaced.minus(in_place)).fire(_G.REPLACED)
        self._activated_now(batch.names)

    def _activated_now(self, names: Names) -> None:
        self.process.count(
            "listener_manager.listener_create_success", len(names) * self.process.settings.concurrency
        )
        self.process.publish("post_listeners", self.process.activations.activated(LDS.name, names))

    # --- removal and draining

    def _remove(self, order: Names, names: Names) -> None:
        """A warming one goes at once; an active one is drained once the workers run. Before that they go one
        after the other: the last that start-up waits for lets the workers start with those still there."""
        if not names:
            return
        is_running = self.process.workers.are_running
        for some in (names,) if is_running else order.intersect(names).singly():
            self._end(self._parts(some, (_S.WARMING, _S.ACTIVE_PENDING, _S.ACTIVE)))

    def _parts(self, names: Names, states: tuple[ListenerState, ...]) -> list[ListenerBatch]:
        """Listener objects of these names in these states, split off from what stands beside them."""
        found = [b for b in self.batches if b.state in states and b.names.intersect(names)]
        return [batch.split(names) for batch in found]

    def _end(self, parts: list[ListenerBatch]) -> None:
        for part in parts:
            part.fire(_G.REMOVED)
            if part.state is _S.GONE:
                self.batches.remove(part)

    def stop_listening(self) -> None:
        """A child took over: every socket is closed and connections drain; the process's end, not the drain
        time, cuts what is left of them."""
        for batch in [b for b in self.batches if b.state in (_S.ACTIVE, _S.WARMING)]:
            batch.fire(_G.STOPPED)
        self.batches = [batch for batch in self.batches if batch.state is not _S.GONE]
        self.process.publish("stop_listener", [])

    def start_drain(self, batch: ListenerBatch) -> None:
        """Existing connections have the drain time (W9, W10)."""
        process = self.process
        process.clock.after(
            process.settings.drain_time_ns,
            lambda: batch.fire(_G.DRAIN_TIME_OVER),
            band=Band.TIMER,
            entity=process.proxy,
        )

    def forget(self, batch: ListenerBatch) -> None:
        """The objects are destroyed, one after the other; watches of routes and extensions that nobody else
        uses end with them."""
        self.batches.remove(batch)
        self.targets.release_unused()


_GAUGES = {
    _S.ACTIVE_PENDING: "total_listeners_active",
    _S.ACTIVE: "total_listeners_active",
    _S.WARMING: "total_listeners_warming",
    _S.DRAINING: "total_listeners_draining",
    _S.FILTER_CHAINS_DRAINING: "total_filter_chains_draining",
}


def _needs(resource: Resource[object], routes: Names) -> bool:
    route_name = listener_of(resource).route_name
    return route_name is not None and route_name in routes


def _inline_cluster(resource: Resource[object]) -> str | None:
    route = listener_of(resource).inline_route
    return None if route is None else route.cluster
