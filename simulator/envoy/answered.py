"""What the answer to one subscription does to an Envoy that has a loop or a file for each, as a value.

Other subscriptions stand as they are: an answer is applied by itself, and nothing holds an ACK back. Proxies
that hold the same of a subscription and get the same pay the same, so it is worked out once for all of them.
The rules are those of `cluster_manager`, `eds`, `listener_manager` and `providers`; whatever leads to another
state raises `Unsettled`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from simulator.calibration.costs import cds_cost_ns, eds_cost_ns, lds_cost_ns, rds_cost_ns
from simulator.envoy.clusters import assignment_of, cluster_of
from simulator.envoy.providers import route_of
from simulator.envoy.settled import SettledCosts, Unsettled, waits_for
from simulator.xds.resources import NO_NAMES, Difference, Fault, Names, Resources


@dataclass(frozen=True, slots=True, eq=False)
class AnswerStep:
    """One update on the main thread.

    Attributes:
        cost_ns: Its cost, without what each update costs that comes this way.
        held: What the Envoy holds of the subscription after it.
        refused: Names that it refuses: the answer as a whole is not accepted then.
        awaited: Names that do not serve when it is applied: clusters that warm, listeners that are swapped
            in by a second publication.
        post_ns: Delay of what it publishes to the workers first.
        posts_always: Whether it publishes even where no recorded change takes effect by it.
        then_ns: Delay of the second publication; None for none.
    """

    cost_ns: int
    held: Resources
    awaited: Names
    post_ns: int
    posts_always: bool
    then_ns: int | None = None
    refused: Names = NO_NAMES


def answer_step(
    type_name: str, held: Resources, answer: Resources, costs: SettledCosts, *, warms: bool = False
) -> AnswerStep:
    """What an answer does where `held` is what the Envoy holds of the subscription.

    Args:
        type_name: Its resource type.
        held: What the Envoy holds.
        answer: What it gets.
        costs: Of Envoy.
        warms: EDS: the cluster warms and waits for its first assignment.

    Raises:
        Unsettled: It waits for something, or cannot decode the answer; the message says so.
    """
    if Fault.DECODE in answer.faulty():
        raise Unsettled(f"a message of {type_name} that does not decode")
    if not answer:
        raise Unsettled(f"an empty answer of {type_name}")
    step = _STEPS[type_name](held, answer, costs, warms)
    return replace(step, cost_ns=step.cost_ns + costs.each(costs.way.byte, answer.size_bytes))


def _difference(type_name: str, held: Resources, answer: Resources) -> Difference:
    difference = held.difference_to(answer)
    if difference.added:
        raise Unsettled(f"a resource of {type_name} that is new")
    if difference.removed:
        raise Unsettled(f"a resource of {type_name} that is removed")
    return difference


def _cds(held: Resources, answer: Resources, costs: SettledCosts, _warms: bool) -> AnswerStep:
    difference = _difference("cds", held, answer)
    touched = difference.changed
    refused = _unbuildable(answer).intersect(touched)
    good = touched.minus(refused)
    if any(cluster_of(answer[name]).kind != "eds" for name in touched):
        raise Unsettled("a cluster without EDS that changes")
    if any(cluster_of(answer[n]).secret != cluster_of(held[n]).secret for n in touched):
        raise Unsettled("a cluster that waits for another secret")
    if len({(cluster_of(answer[n]).health_check, cluster_of(answer[n]).endpoints > 0) for n in touched}) > 1:
        raise Unsettled("clusters of several configurations that change at once")
    if any(cluster_of(answer[name]).health_check is not None for name in touched):
        raise Unsettled("a cluster that waits for a health check")
    cost_ns = costs.ns(
        "cds",
        lambda c: cds_cost_ns(
            c,
            is_delta=False,
            present=len(answer),
            added={},
            changed={"eds": len(touched)} if touched else {},
            removed=0,
            is_quiet=difference.is_quiet,
            starts_eds=bool(touched),
            is_first_static=False,
        ),
    )
    cost_ns += costs.each(costs.way.subscription, len(touched))
    held = held.updated(answer.only(good)) if refused else answer
    return AnswerStep(cost_ns, held, good, costs.ns("post_clusters"), posts_always=False, refused=refused)


def _eds(held: Resources, answer: Resources, costs: SettledCosts, warms: bool) -> AnswerStep:
    difference = _difference("eds", held, answer)
    if _unbuildable(answer):
        raise Unsettled("an assignment that Envoy refuses")
    first = answer.names if warms else NO_NAMES
    differing = answer.only(difference.changed.union(first))
    endpoints = differing.total("endpoints", lambda r: assignment_of(r).endpoints)
    cost_ns = costs.ns(
        "eds",
        lambda c: eds_cost_ns(
            c,
            is_delta=False,
            present=len(answer),
            first=len(first),
            endpoints=endpoints,
            has_first=bool(first),
        ),
    )
    post_ns = costs.ns("post_clusters")
    return AnswerStep(cost_ns, answer, first, post_ns, posts_always=True, then_ns=post_ns if warms else None)


def _lds(held: Resources, answer: Resources, costs: SettledCosts, _warms: bool) -> AnswerStep:
    built = _difference("lds", held, answer).changed
    refused = _unbuildable(answer).intersect(built)
    good = built.minus(refused)
    if any(waits_for(answer, name) != waits_for(held, name) for name in good):
        raise Unsettled("a listener that waits for something new")
    cost_ns = costs.ns(
        "lds",
        lambda c: lds_cost_ns(
            c,
            is_delta=False,
            present=len(answer),
            built=len(built),
            removed=0,
            has_built=bool(built),
            has_removed=False,
            starts_rds=False,
        ),
    )
    return AnswerStep(
        cost_ns,
        held.updated(answer.only(good)) if refused else answer,
        good,
        costs.ns("stop_listener"),
        posts_always=False,
        then_ns=costs.ns("post_listeners") if good else None,
        refused=refused,
    )


def _rds(held: Resources, answer: Resources, costs: SettledCosts, _warms: bool) -> AnswerStep:
    differing = answer.only(_difference("rds", held, answer).changed)
    virtual_hosts = differing.total("virtual hosts", lambda r: route_of(r).virtual_hosts)
    cost_ns = costs.ns(
        "rds",
        lambda c: rds_cost_ns(c, virtual_hosts=virtual_hosts, is_first=False, is_initializing=False),
    )
    refused = _unbuildable(answer)
    if refused:
        cost_ns += costs.ns("decode_failed")
    held = held if refused else answer
    return AnswerStep(cost_ns, held, NO_NAMES, costs.ns("post_routes"), posts_always=True, refused=refused)


def _unbuildable(answer: Resources) -> Names:
    """What of it cannot be built."""
    return answer.faulty().get(Fault.BUILD, NO_NAMES)


_STEPS: Mapping[str, Callable[[Resources, Resources, SettledCosts, bool], AnswerStep]] = {
    "cds": _cds,
    "eds": _eds,
    "lds": _lds,
    "rds": _rds,
}
