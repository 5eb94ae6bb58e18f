"""An Envoy whose clusters are all in service and whose listeners are all warm, as a value.

Between pushes nearly every Envoy of a running mesh is in such a state, many of them in the same. What a push
does to one depends on nothing else, so it is worked out once for all of them: the cost of each update on the
main thread, what is published to the workers and what takes effect by it, and when its ACK leaves.
The rules are those of `cluster_manager`, `eds`, `listener_manager` and `providers`; whatever leads to
another state raises `Unsettled`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.calibration.costs import (
    Coefficients,
    Law,
    cds_cost_ns,
    eds_cost_ns,
    lds_cost_ns,
    rds_cost_ns,
)
from simulator.calibration.ways import SHARED_STREAM, WayCosts
from simulator.engine.delays import Constant
from simulator.envoy.clusters import assignment_of
from simulator.envoy.listeners import listener_of
from simulator.envoy.providers import route_of
from simulator.envoy.watches import watches_called_before
from simulator.wire.contract import ProxyCosts
from simulator.xds.resources import NO_NAMES, Difference, Fault, Names, Resources


class Unsettled(Exception):
    """An update after which an Envoy waits for something; the message says for what."""


@dataclass(frozen=True, slots=True, eq=False)
class SettledEnvoy:
    """What it holds, by type; equal content is meant to be one object.

    Attributes:
        fixed_clusters: Clusters of the bootstrap, for the cost of a stats flush.
    """

    clusters: Resources
    hosts: Resources
    listeners: Resources
    routes: Resources
    fixed_clusters: int

    @property
    def cluster_count(self) -> int:
        """Cluster objects."""
        return self.fixed_clusters + len(self.clusters)


@dataclass(frozen=True, slots=True, eq=False)
class PushedUpdate:
    """One response of a push.

    Attributes:
        changes: What it carries of recorded changes: id and resource names, in order.
        again: The names of what it carries though an earlier response did, one that is not applied yet.
    """

    type_name: str
    resources: Resources
    changes: Sequence[tuple[int, Names]] = ()
    again: Sequence[Names] = ()


@dataclass(slots=True, eq=False)
class Step:
    """One update on the main thread.

    Attributes:
        cost_ns: Its cost.
        clusters: Cluster objects when it starts.
        delay_ns: The longest delay of what it publishes to the workers; None where it publishes nothing.
        active: Changes that take effect by it, and the longest delay of what was published so far.
        rejected: Changes of which it refuses something, and
        is_refused: whether it refuses anything: its answer is a NACK.
    """

    cost_ns: int
    clusters: int
    delay_ns: int | None = None
    active: list[tuple[int, int]] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    is_refused: bool = False

    def publish(self, delay_ns: int, changes: Sequence[int] = ()) -> None:
        """Posts to the workers; these changes are active when all have it."""
        self.delay_ns = delay_ns if self.delay_ns is None else max(delay_ns, self.delay_ns)
        self.active += [(change, self.delay_ns) for change in changes]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that leaves during a push.

    Attributes:
        after: Position of the update after which it leaves.
        type_name: Its type.
        answers: Position of the update that it answers; None for one that only repeats a subscription.
    """

    after: int
    type_name: str
    answers: int | None


class SettledCosts(ProxyCosts):
    """Costs that are the same for every Envoy: formulas and constants.

    Args:
        laws: By key.
        way: By which configuration comes.

    Raises:
        Unsettled: A cost that is drawn; the message names it.
    """

    def __init__(self, laws: Mapping[str, Law], way: WayCosts = SHARED_STREAM) -> None:
        for key in ("cds", "eds", "lds", "rds", "decode_failed", *_POSTS):
            law = laws[key]
            if not isinstance(law, Mapping | Constant):
                raise Unsettled(f"envoy.costs.{key}: a cost that is drawn")
        self._laws, self.way = laws, way

    def ns(self, key: str, formula: Callable[[Coefficients], int] | None = None) -> int:
        """The cost of one job."""
        law = self._laws[key]
        if isinstance(law, Constant):
            return law.value_ns
        assert isinstance(law, Mapping), f"costs.{key} is drawn"
        assert formula is not None, f"costs.{key} needs counts"
        return formula(law)


_POSTS = ("post_clusters", "post_routes", "post_listeners", "stop_listener")


class Settling:
    """One push on its way through one Envoy.

    Args:
        before: The Envoy when it comes.
        costs: Of its main thread.
        is_delta: The protocol of its stream.

    Attributes:
        steps: The updates, in order.
        requests: What leaves meanwhile, in order.
        warms: Positions of the update after which clusters warm, and of the one that ends it.
    """

    def __init__(self, before: SettledEnvoy, costs: SettledCosts, *, is_delta: bool) -> None:
        self._before = before
        self._costs = costs
        self._is_delta = is_delta
        self._clusters, self._hosts = before.clusters, before.hosts
        self._listeners, self._routes = before.listeners, before.routes
        self._warming = NO_NAMES
        self._waiting: list[int] = []
        self._cds_at: int | None = None
        self.steps: list[Step] = []
        self.requests: list[Asked] = []
        self.warms: tuple[int, int] | None = None
        self.after: list[SettledEnvoy] = []
        """The Envoy after each step; clusters that warm serve as they were."""

    def take(self, updates: Sequence[PushedUpdate]) -> SettledEnvoy:
        """The Envoy after these updates, in this order; `steps` and `requests` tell what happened."""
        for update in updates:
            if Fault.DECODE in update.resources.faulty():
                raise Unsettled(f"a message of {update.type_name} that does not decode")
            _TAKERS[update.type_name](self, update)
            self.after.append(self._envoy())
        if self._warming:
            raise Unsettled("a cluster warms and its endpoints come in no response of the same push")
        return self._envoy()

    def _envoy(self) -> SettledEnvoy:
        return SettledEnvoy(
            self._clusters, self._hosts, self._listeners, self._routes, self._before.fixed_clusters
        )

    def _step(self, cost_ns: int) -> Step:
        step = Step(cost_ns, self._before.cluster_count + len(self._warming))
        self.steps.append(step)
        return step

    def _ask(self, type_name: str, answers: int | None) -> None:
        """A request leaves now, with the answer to an update."""
        self.requests.append(Asked(len(self.steps) - 1, type_name, answers))

    def _answer(self, update: PushedUpdate) -> None:
        self._ask(update.type_name, len(self.steps) - 1)

    def _difference(self, held: Resources, update: PushedUpdate) -> Difference:
        if self._is_delta:
            held = held.only(update.resources.names)
        difference = held.difference_to(update.resources)
        if difference.added:
            raise Unsettled(f"a resource of {update.type_name} that is new")
        if difference.removed:
            raise Unsettled(f"a resource of {update.type_name} that is gone")
        return difference

    def _note_changes(
        self, step: Step, update: PushedUpdate, *, refused: Names, awaited: Names
    ) -> tuple[list[int], list[int], bool]:
        """Changes that are done, those that wait for these names, and whether anything is done; those of
        which something is refused are neither."""
        done: list[int] = []
        waits: list[int] = []
        step.is_refused = bool(refused)
        for change, names in update.changes:
            if names.meets(refused):
                step.rejected.append(change)
            else:
                (waits if names.meets(awaited) else done).append(change)
        again = any(not names.meets(refused) and not names.meets(awaited) for names in update.again)
        return done, waits, bool(done) or again

    def _take_cds(self, update: PushedUpdate) -> None:
        difference = self._difference(self._clusters, update)
        touched = difference.changed
        step = self._step(
            self._costs.ns(
                "cds",
                lambda c: cds_cost_ns(
                    c,
                    is_delta=self._is_delta,
                    present=len(update.resources),
                    added={},
                    changed={"eds": len(touched)} if touched else {},
                    removed=0,
                    is_quiet=difference.is_quiet,
                    starts_eds=bool(touched),
                    is_first_static=False,
                ),
            )
        )
        bad = _unbuildable(update).intersect(touched)
        good = touched.minus(bad)
        done, self._waiting, publishes = self._note_changes(step, update, refused=bad, awaited=good)
        if publishes:
            step.publish(self._costs.ns("post_clusters"), done)
        if not good:
            self._answer(update)
            return
        self._warming, self._cds_at = good, len(self.steps) - 1
        self._clusters = self._clusters.updated(update.resources.without(bad))
        if not self._is_delta:
            # The new objects watch what the old ones do: the request says nothing new (W4).
            self._ask("eds", None)

    def _take_eds(self, update: PushedUpdate) -> None:
        """Clusters that warm are in service again with it, and the CDS ACK leaves before its own (W2)."""
        wanted = update.resources
        difference = self._hosts.only(wanted.names).difference_to(wanted)
        first = wanted.names.intersect(difference.added.union(self._warming))
        differing = wanted.only(difference.added.union(difference.changed).union(first))
        endpoints = differing.total("endpoints", lambda r: assignment_of(r).endpoints)
        step = self._step(
            self._costs.ns(
                "eds",
                lambda c: eds_cost_ns(
                    c,
                    is_delta=self._is_delta,
                    present=len(wanted),
                    first=len(first),
                    endpoints=endpoints,
                    has_first=bool(first),
                ),
            )
        )
        self._hosts = self._hosts.updated(wanted)
        post_ns = self._costs.ns("post_clusters")
        if _unbuildable(update):
            raise Unsettled("an assignment that Envoy refuses")
        done, waits, publishes = self._note_changes(step, update, refused=NO_NAMES, awaited=self._warming)
        if publishes or wanted:
            step.publish(post_ns, done)
        if self._warming:
            if self._warming.minus(wanted.names):
                raise Unsettled("a cluster warms and its endpoints come in no response of the same push")
            step.publish(post_ns, self._waiting + waits)
            assert self._cds_at is not None
            self.warms = self._cds_at, len(self.steps) - 1
            self._ask("cds", self._cds_at)
            self._warming, self._waiting = NO_NAMES, []
        self._answer(update)

    def _take_lds(self, update: PushedUpdate) -> None:
        difference = self._difference(self._listeners, update)
        built = difference.changed
        step = self._step(
            self._costs.ns(
                "lds",
                lambda c: lds_cost_ns(
                    c,
                    is_delta=self._is_delta,
                    present=len(update.resources),
                    built=len(built),
                    removed=0,
                    has_built=bool(built),
                    has_removed=False,
                    starts_rds=False,
                ),
            )
        )
        bad = _unbuildable(update).intersect(built)
        good = built.minus(bad)
        done, waits, publishes = self._note_changes(step, update, refused=bad, awaited=good)
        if publishes:
            step.publish(self._costs.ns("stop_listener"), done)
        if good:
            if any(waits_for(update.resources, n) != waits_for(self._listeners, n) for n in good):
                raise Unsettled("a listener that waits for something new")
            self._listeners = self._listeners.updated(update.resources.only(good))
            step.publish(self._costs.ns("post_listeners"), waits)
        self._answer(update)

    def _take_rds(self, update: PushedUpdate) -> None:
        difference = self._difference(self._routes, update)
        differing = update.resources.only(difference.changed)
        virtual_hosts = differing.total("virtual hosts", lambda r: route_of(r).virtual_hosts)
        cost_ns = self._costs.ns(
            "rds",
            lambda c: rds_cost_ns(c, virtual_hosts=virtual_hosts, is_first=False, is_initializing=False),
        )
        names, bad = update.resources.names, _unbuildable(update)
        good = watches_called_before(bad, names) if bad else names
        if bad:
            cost_ns += self._costs.ns("decode_failed")
        step = self._step(cost_ns)
        self._routes = self._routes.updated(update.resources.only(good))
        done, _, publishes = self._note_changes(step, update, refused=names.minus(good), awaited=NO_NAMES)
        if publishes or update.resources:
            step.publish(self._costs.ns("post_routes"), done)
        self._answer(update)


def _unbuildable(update: PushedUpdate) -> Names:
    """Resources of an update that cannot be built."""
    return update.resources.faulty().get(Fault.BUILD, NO_NAMES)


def waits_for(listeners: Resources, name: str) -> tuple[object, ...]:
    """What a listener waits for before it serves."""
    body = listener_of(listeners[name])
    return body.route_name, body.secret, body.filters, body.scopes


_TAKERS: Mapping[str, Callable[[Settling, PushedUpdate], None]] = {
    "cds": Settling._take_cds,
    "eds": Settling._take_eds,
    "lds": Settling._take_lds,
    "rds": Settling._take_rds,
}
