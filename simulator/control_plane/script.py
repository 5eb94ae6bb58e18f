"""The script of a scripted control plane: what it holds, how it answers, what it pushes. Frozen.

The same script plays against the simulator and against a real Envoy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from simulator.engine.delays import Constant, Delay
from simulator.mesh.configuration import ClusterLoadAssignment, Listener
from simulator.xds.resource_types import ResourceType
from simulator.xds.resources import NO_NAMES, NO_RESOURCES, Fault, Names, Resource, Resources

AT_ONCE: Delay = Constant(0)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """How one subscription request is answered.

    Attributes:
        after: Time until the answer leaves.
        never: No answer.
        omit: Names left out.
        remove: Names said to be removed (delta).
        reject: How the first resource by name is spoiled.
        close: The stream is closed instead.
    """

    after: Delay = AT_ONCE
    never: bool = False
    omit: Names = NO_NAMES
    remove: Names = NO_NAMES
    reject: Fault | None = None
    close: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Push:
    """One unrequested response, or a reset.

    Attributes:
        at_ns: When, counted from the last Envoy's first subscription.
        type: What is pushed; None for a reset alone.
        change: Names whose content changes.
        change_filter_chains: Listeners of which only the filter chains change.
        add: New names, with the resources each brings: by type.
        remove: Names that cease to exist.
        send: Names sent again unchanged.
        empty: Clusters whose assignment becomes empty.
        reject: How the first resource by name is spoiled.
        close: Streams are reset.
    """

    at_ns: int
    type: ResourceType | None = None
    change: Names = NO_NAMES
    change_filter_chains: Names = NO_NAMES
    add: Mapping[ResourceType, Resources] = field(default_factory=dict)
    remove: Names = NO_NAMES
    send: Names = NO_NAMES
    empty: Names = NO_NAMES
    reject: Fault | None = None
    close: bool = False

    @property
    def added(self) -> Names:
        """Names added to the pushed type."""
        return NO_NAMES if self.type is None else self.add.get(self.type, NO_RESOURCES).names

    @property
    def listed(self) -> Names:
        """Every name the push is about, except those it removes."""
        names = self.change.union(self.change_filter_chains).union(self.added)
        return names.union(self.send).union(self.empty)

    @property
    def is_close_only(self) -> bool:
        """Nothing is sent."""
        return self.close and not self.listed and not self.remove and self.reject is None

    @property
    def is_send_only(self) -> bool:
        """Nothing changes: known content is sent."""
        return bool(self.send) and not (
            self.change or self.change_filter_chains or self.added or self.remove or self.empty
        )


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """Everything the scripted control plane knows before the run.

    Attributes:
        resources: What exists at first, by type.
        answers: By type: the answers used in turn, the last one for ever.
        pushes: In order of time.
        connect: ``accept``, ``refuse``, ``close``, or ``refuse_until`` with the next field.
        refuse_until_ns: Counted like ``Push.at_ns``.
        turnaround: Time from reading a request to writing an answer.
        poll_concurrency: Polls served at once.
    """

    resources: Mapping[ResourceType, Resources]
    answers: Mapping[ResourceType, tuple[Answer, ...]]
    pushes: tuple[Push, ...] = ()
    connect: str = "accept"
    refuse_until_ns: int = 0
    turnaround: Delay = AT_ONCE
    poll_concurrency: int = 100

    def answer(self, type_: ResourceType, turn: int) -> Answer:
        """The answer of a turn (from 0)."""
        answers = self.answers.get(type_) or (Answer(),)
        return answers[min(turn, len(answers) - 1)]


class PublishedState:
    """What exists now, and its version by type."""

    def __init__(self, resources: Mapping[ResourceType, Resources]) -> None:
        self._resources = dict(resources)
        self._removed: dict[ResourceType, Resources] = {}
        self._versions: dict[ResourceType, int] = {}

    def of(self, type_: ResourceType) -> Resources:
        """Everything of a type."""
        return self._resources.get(type_, NO_RESOURCES)

    def version(self, type_: ResourceType) -> str:
        """Counts the pushes that changed something of the type."""
        return str(self._versions.get(type_, 1))

    def apply(self, push: Push) -> None:
        """Takes over what a push changes. A removed resource that is sent or changed exists again."""
        type_ = push.type
        if type_ is None:
            return
        revived = self._removed.get(type_, NO_RESOURCES).only(push.listed)
        if push.is_send_only and not revived:
            return
        state = self.of(type_).updated(revived)
        state = state.updated(_changed(push, state))
        removed = self._removed.get(type_, NO_RESOURCES).updated(state.only(push.remove))
        self._set(type_, state.without(push.remove), removed)
        self._versions[type_] = self._versions.get(type_, 1) + 1
        for type_, added in push.add.items():
            # An added cluster or listener brings its assignment or route along, without a push of that.
            self._set(type_, self.of(type_).updated(added), self._removed.get(type_, NO_RESOURCES))

    def _set(self, type_: ResourceType, present: Resources, removed: Resources) -> None:
        self._resources[type_] = present
        self._removed[type_] = removed.without(present.names)


def _changed(push: Push, held: Resources) -> Resources:
    rewritten: list[Resource[object]] = []
    for names, rewrite in (
        (push.change, _rewritten),
        (push.change_filter_chains, _filter_chains_rewritten),
        (push.empty, _emptied),
    ):
        rewritten += [rewrite(held[name]) for name in names if name in held]
    return Resources(rewritten)


def _rewritten(resource: Resource[object]) -> Resource[object]:
    body = resource.body
    if isinstance(body, Listener):
        body = replace(body, edition=body.edition + 1)
    return replace(resource, revision=resource.revision + 1, body=body)


def _filter_chains_rewritten(resource: Resource[object]) -> Resource[object]:
    body = resource.body
    assert isinstance(body, Listener), "only listeners have filter chains"
    return replace(
        resource, revision=resource.revision + 1, body=replace(body, filter_chains=body.filter_chains + 1)
    )


def _emptied(resource: Resource[object]) -> Resource[object]:
    assert isinstance(resource.body, ClusterLoadAssignment), "only assignments can be emptied"
    return replace(resource, revision=resource.revision + 1, body=ClusterLoadAssignment(0))


def spoil_first(resources: Resources, fault: Fault) -> Resources:
    """A copy in which the first resource by name is invalid; the copy's revision differs from what is
    held."""
    first = min(resources.names)
    bad = replace(resources[first], fault=fault, revision=resources[first].revision + 1)
    return Resources(bad if r.name == first else r for r in resources)
