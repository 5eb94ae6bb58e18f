"""Shared providers: one subscription per name however many clusters or listeners wait for it.

Route configurations (RDS), secrets (SDS) and extension configurations (ECDS) are subscribed by name, once,
and many owners may wait for the same one; who comes after the first answer does not wait at all.
Sources: source/common/init/target_impl.h (SharedTargetImpl);
source/common/rds/route_config_provider_manager.cc; source/common/secret/secret_manager_impl.h;
source/common/filter/config_discovery_impl.cc; rules S4, T7, W8, W9.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.calibration.costs import rds_cost_ns
from simulator.envoy.process import Process
from simulator.envoy.subscription import Subscription
from simulator.envoy.watches import watches_called_before
from simulator.mesh.configuration import RouteConfiguration
from simulator.wire.contract import ConfigSource, Update
from simulator.xds.resource_types import ECDS, RDS, RTDS, SDS, ResourceType
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Fault, Names, Resource


class Providers:
    """The providers of one type; the consumer of RDS, SDS or ECDS.

    Attributes:
        content: What arrived so far.
        released: Names whose first outcome came: nobody waits for them any more.
        interest: Names somebody uses.
    """

    post_key = "post_routes"

    def __init__(self, process: Process, source: ConfigSource, type_: ResourceType, stat: str) -> None:
        self.process = process
        self.source = source
        self.type = type_
        self.content = NO_RESOURCES
        self.released = NO_NAMES
        self.interest = NO_NAMES
        self._stat = stat
        self._subscriptions: list[Subscription] = []
        self._waiters: list[Callable[[], None]] = []

    def on_released(self, waiter: Callable[[], None]) -> None:
        """Registers an owner to be told when names are released."""
        self._waiters.append(waiter)

    def require(self, names: Names) -> None:
        """Starts subscriptions for names nobody used so far.

        RDS and SDS are paused meanwhile, so that one request names all; nobody pauses ECDS and RTDS, whose
        subscriptions each ask for themselves.
        """
        new = names.minus(self.interest)
        if not new:
            return
        for started in self._apart(new):
            self._start(started)

    def _apart(self, new: Names) -> list[Names]:
        """What is asked for together."""
        if self.type in (ECDS, RTDS):
            return [Names((name,)) for name in new]
        own = new.intersect(self.process.settings.agent_secrets) if self.type is SDS else NO_NAMES
        return [new] if not own else [names for names in (own, new.minus(own)) if names]

    def _start(self, new: Names) -> None:
        """The timers first, then the watches."""
        self.interest = self.interest.union(new)
        has_timer = self.source.has_fetch_timeout and not (
            self.type is SDS and new.intersect(self.process.settings.agent_secrets)
        )
        subscription = Subscription(self.process, self.type, new, has_timer, self._on_timeout)
        self._subscriptions.append(subscription)
        subscription.start()
        self.source.subscribe(self.type, new, self)

    def release_unused(self, used: Names, *, one_by_one: bool = False) -> None:
        """Ends the subscriptions of names no owner uses, together or each by itself."""
        unused = self.interest.minus(used)
        if not unused:
            return
        self.interest = self.interest.minus(unused)
        self.released = self.released.minus(unused)
        self.content = self.content.without(unused)
        for subscription in self._subscriptions:
            subscription.drop(unused)
        self._forget_settled()
        for names in unused.singly() if one_by_one else (unused,):
            self.source.unsubscribe(self.type, names)

    # --- ConfigConsumer

    def cost_ns(self, update: Update) -> int:
        """See ConfigConsumer."""
        return self.process.costs.ns(self.type.name) + update.extra_cost_ns

    def on_config_update(self, update: Update) -> str | None:
        """Takes new content; equal content is ignored. A bad one stops the rest and refuses all."""
        wanted = update.resources.only(self.interest)
        bad = wanted.faulty().get(Fault.BUILD, NO_NAMES)
        good = wanted if not bad else wanted.only(watches_called_before(bad, wanted.names))
        before, self.content = self.content, self.content.updated(good)
        process = self.process
        process.count_updates(self._stat, "success", good.names)
        if before is not self.content:
            process.count_each(self._stat + "config_reload", good.names)
        self._note_changes(update, wanted.names.minus(good.names))
        self._settle(good.names)
        process.count_each(self._stat + "update_empty", update.absent)
        self._settle(update.absent)
        self._on_removed(update.removed.intersect(self.interest))
        if not bad:
            return None
        process.count_updates(self._stat, "rejected", update.watched)
        self._settle(update.watched, "rejected")
        return f"{next(iter(bad))}: cannot be built"

    def on_update_rejected(self, update: Update, error: str) -> None:
        """A response that does not decode releases everything that waits (N1)."""
        self.process.count_updates(self._stat, "rejected", update.watched)
        self.process.activations.refused(update.changes, self.process.now_ns)
        self._settle(update.watched, "rejected")

    def on_connection_failure(self, names: Names) -> None:
        """Counted, nothing released (D1)."""
        self.process.count_updates(self._stat, "failure", names)

    # --- inside

    def _on_timeout(self, late: Names) -> None:
        """The owner goes on without: an empty route table, no secret, no filter."""
        self.process.count_each(self._stat + "init_fetch_timeout", late)
        self._release(late)

    def _on_removed(self, names: Names) -> None:
        """removed_resources: the last content is kept; counted as a success, and the timer is off.

        A secret is waited for no longer; a route or an extension configuration releases nothing (T7).
        """
        if not names:
            return
        self.process.count_updates(self._stat, "success", names)
        if self.type is SDS:
            self._settle(names)
            return
        for subscription in list(self._subscriptions):
            subscription.never_release(names)
        self._forget_settled()

    def _settle(self, names: Names, how: str = "answered") -> None:
        if not names:
            return
        for subscription in list(self._subscriptions):
            subscription.answered(names, how)
        self._forget_settled()
        self._release(names)

    def _forget_settled(self) -> None:
        self._subscriptions = [s for s in self._subscriptions if s.is_waiting]

    def _release(self, names: Names) -> None:
        before, self.released = self.released, self.released.union(names)
        if self.released is not before:
            for waiter in self._waiters:
                waiter()

    def _note_changes(self, update: Update, refused: Names) -> None:
        process = self.process
        done = process.activations.applied(
            update.changes, self.type.name, process.now_ns, refused=refused, awaited=NO_NAMES
        )
        if done or update.resources:
            process.publish(self.post_key, done)


class RouteConfigProviders(Providers):
    """RDS: a changed table is parsed on the main thread and posted; routes are not warmed and do not wait for
    clusters (W3). Until the first answer, and after a time-out, the table is empty: 404."""

    def __init__(self, process: Process, source: ConfigSource) -> None:
        super().__init__(process, source, RDS, "http.in.rds.{}.")

    def cost_ns(self, update: Update) -> int:
        """See ConfigConsumer; only tables that differ are built."""
        wanted = update.resources.only(self.interest)
        diff = self.content.only(wanted.names).difference_to(wanted)
        differing = wanted.only(diff.added.union(diff.changed))
        virtual_hosts = differing.total("virtual hosts", lambda r: route_of(r).virtual_hosts)
        cost_ns = self.process.costs.ns(
            "rds",
            lambda c: rds_cost_ns(
                c,
                virtual_hosts=virtual_hosts,
                is_first=bool(diff.added),
                is_initializing=not self.process.workers.are_running,
            ),
        )
        if wanted.faulty().get(Fault.BUILD):
            # Saying what is wrong takes as long wherever it fails (N2).
            cost_ns += self.process.costs.ns("decode_failed")
        return cost_ns + update.extra_cost_ns


def route_of(resource: Resource[object]) -> RouteConfiguration:
    """The body of a route configuration resource."""
    assert isinstance(resource.body, RouteConfiguration)
    return resource.body
