"""What one istiod publishes for proxies of the arrays that poll it or read its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.control_plane.istiod.published import answer_cost_ns, content_for, version_of
from simulator.control_plane.istiod.push_context import PushContext
from simulator.control_plane.istiod.replica import Replica
from simulator.envoy.answered import AnswerStep, answer_step
from simulator.envoy.settled import SettledCosts, Unsettled
from simulator.fleet.errors import CannotTakeFleet
from simulator.fleet.parted import Parted, Way
from simulator.fleet.subscriptions import Carries, Layout, Subscription, Subscriptions
from simulator.recording.ledger import Change
from simulator.xds.messages import DiscoveryRequest
from simulator.xds.resource_types import ResourceType, resource_type
from simulator.xds.resources import Names, Resources


class AnswerSteps:
    """Works out what answers do (fleet/updates.py: Stepping)."""

    def __init__(self, costs: SettledCosts) -> None:
        self._costs = costs

    def step(self, type_name: str, held: Resources, answer: Resources, *, warms: bool) -> AnswerStep:
        """See Stepping."""
        try:
            return answer_step(type_name, held, answer, self._costs, warms=warms)
        except Unsettled as error:
            raise CannotTakeFleet(str(error)) from error


_Announced = tuple[Change[Names], list[Parted], list[dict[str, Names]]]
"""A change with its ways to the groups and, for each of them, what it alters."""


class Publications:
    """Keeps `subscriptions` as the replica's newest PushContext has it, and the changes that it holds.

    Attributes:
        by_group: Subscriptions by type and name, group by group, in order.

    Args:
        replica: It publishes.
        shown: A proxy of each group.
        subscribed: By group, type, name and requests so far of each subscription of such a proxy, in order.
        group: The groups of the proxies, by place.
    """

    def __init__(
        self,
        replica: Replica,
        shown: Sequence[int],
        subscribed: Sequence[Sequence[tuple[ResourceType, Names, int]]],
        group: NDArray[np.int32],
    ) -> None:
        self._replica, self._shown = replica, shown
        self._counts = np.bincount(group, minlength=len(shown))
        self._types: list[ResourceType] = []
        self._names: list[Names] = []
        all_ = []
        for number, of in enumerate(subscribed):
            for seat, (type_, names, sent) in enumerate(of):
                all_.append(Subscription(number, seat, type_.name, next(iter(names), ""), sent))
                self._types.append(type_)
                self._names.append(names)
        self.by_group = [
            {(s.type_name, s.name): n for n, s in enumerate(all_) if s.group == number}
            for number in range(len(shown))
        ]
        contents = [self._content(sub, all_) for sub in range(len(all_))]
        self._versions = [version_of(content) for content in contents]
        self._first = [{version: 0} for version in self._versions]
        """By subscription the first content of each version."""
        self.subscriptions: Subscriptions[Resources, Names] = Subscriptions(
            all_,
            Layout(all_, group),
            [[content] for content in contents],
            np.array([self._answer_ns(n, c) for n, c in enumerate(contents)], np.int64),
            np.array([c.size_bytes for c in contents], np.int64),
            np.array([self._request(n).size_bytes for n in range(len(all_))], np.int64),
            answer_cost_ns(replica, "", None),
        )
        self._context = replica.context
        self._unpublished: list[_Announced] = []
        self._published: list[_Announced] = []
        self._open: list[list[tuple[Change[Names], Parted, dict[str, Names]]]] = [[] for _ in shown]
        self.announced: list[list[Parted]] = []

    def _request(self, sub: int) -> DiscoveryRequest:
        return DiscoveryRequest(self._types[sub], self._names[sub])

    def _content(self, sub: int, all_: Sequence[Subscription]) -> Resources:
        shown = self._shown[all_[sub].group]
        return content_for(self._replica, self._replica.context, shown, self._types[sub], self._names[sub])

    def _answer_ns(self, sub: int, content: Resources) -> int:
        return answer_cost_ns(self._replica, self._types[sub].name, content)

    # --- changes

    def announce(self, change: Change[Names], concerned: Sequence[tuple[int, dict[str, Names]]]) -> None:
        """A change of resources of proxies of these groups, by type."""
        made, parts_of = [], []
        for group, parts in concerned:
            if not self._counts[group]:
                continue
            subs, missing = self._arrives_in(group, parts)
            older = [p for c, p, o in self._still_open(group) if _covers(change, parts, c, o)]
            parted = Parted(
                change.id, change.t_changed_ns, group, int(self._counts[group]), subs, missing, older
            )
            self._open[group].append((change, parted, parts))
            made.append(parted)
            parts_of.append(parts)
        if made:
            self.announced.append(made)
            self._unpublished.append((change, made, parts_of))

    def come_to_nothing(
        self, changes: Sequence[int], t_ns: int, clients: Callable[[int], NDArray[np.int64]]
    ) -> None:
        """The replica learned of these, of one object, and publishes nothing for them; what is asked for from
        here on carries them where what was before is still to be brought.

        Args:
            changes: Their ids, in order.
            t_ns: Now.
            clients: Told a group, whom of it the replica tells: ranks among its proxies.
        """
        first: dict[int, Parted] = {}
        of = {change.id: made for change, made, _ in self._unpublished}
        for change in changes:
            for parted in of.get(change, ()):
                before = first.setdefault(parted.group, parted).older
                parted.come_to_nothing(
                    self.subscriptions.life,
                    t_ns,
                    clients(parted.group),
                    before,
                    is_last=change == changes[-1],
                )
        self.subscriptions.publications += 1
        self._hold_what_is_known()

    def announce_in_vain(self, change: Change[Names]) -> None:
        """A change of all proxies in something that none of them subscribes to."""
        made = [
            Parted(change.id, change.t_changed_ns, group, int(count), (), 1, ())
            for group, count in enumerate(self._counts)
            if count
        ]
        if made:
            self.announced.append(made)

    def _still_open(self, group: int) -> list[tuple[Change[Names], Parted, dict[str, Names]]]:
        self._open[group] = [entry for entry in self._open[group] if entry[1].open]
        return self._open[group]

    def _arrives_in(self, group: int, parts: dict[str, Names]) -> tuple[list[int], int]:
        """The subscriptions in which it arrives, and in how many resources it does without one."""
        known, subs, missing = self.by_group[group], [], 0
        for type_name, names in parts.items():
            wanted = ("",) if resource_type(type_name).wildcard else tuple(names)
            found = [known[type_name, name] for name in wanted if (type_name, name) in known]
            subs += found
            missing += len(wanted) - len(found)
        return subs, missing

    # --- publications

    def publish(self) -> None:
        """There is a new PushContext."""
        before, after = self._context, self._replica.context
        if after is before:
            return
        self._context = after
        subscriptions = self.subscriptions
        subscriptions.publications += 1
        for sub in self._renewed(before, after):
            self._renew(sub)
        self._hold_what_is_known()

    def go_on_with(self, replica: Replica, *, may_lag: bool) -> None:
        """Another istiod publishes from now on, with what it has.

        Args:
            replica: That one.
            may_lag: Whether it may have less than the one before: who gets that loses a change again, which
                files do not tell anybody, and polls do (`Deployment.note_regressions`).

        Raises:
            CannotTakeFleet: It has less, and may not.
        """
        self._replica, self._context = replica, replica.context
        self.subscriptions.begin_life()
        for sub in range(len(self.subscriptions.all)):
            self._renew(sub)
        published, self._published = self._published, []
        withdrawn = []
        for entry in published:
            change, made, _ = entry
            way = self._way(change)
            if way is None:
                withdrawn.append(entry)
                continue
            self._published.append(entry)
            for parted in made:
                if parted.open:
                    parted.learn(self.subscriptions.life, way)
        if withdrawn and not may_lag:
            raise CannotTakeFleet("istiods that lag behind the one before them, by polls")
        self._withdraw(withdrawn)
        self._hold_what_is_known()

    def _withdraw(self, entries: Sequence[_Announced]) -> None:
        """Nobody brings these until they are published again; who has them is not concerned by that."""
        if entries:
            gone = dict.fromkeys(id(parted) for _, made, _ in entries for parted in made)
            for changes in self.subscriptions.changes:
                changes[:] = [carries for carries in changes if id(carries.parted) not in gone]
            self._unpublished = [*entries, *self._unpublished]

    def _hold_what_is_known(self) -> None:
        waiting, self._unpublished = self._unpublished, []
        for entry in waiting:
            (self._published if self._hold(*entry) else self._unpublished).append(entry)

    def _renewed(self, before: PushContext, after: PushContext) -> list[int]:
        """Subscriptions that may give something else now."""
        difference = before.assignments.difference_to(after.assignments)
        endpoints = difference.added.union(difference.changed).union(difference.removed)
        found, visibility = [], self._replica.shared.visibility
        for group, known in enumerate(self.by_group):
            found += [known["eds", name] for name in endpoints if ("eds", name) in known]
            class_ = visibility.of(self._replica.shared.proxies[self._shown[group]])
            differs: dict[str, bool] = {}
            for (type_name, _), sub in known.items():
                if type_name == "eds":
                    continue
                if type_name not in differs:
                    old, new = before.content.of(type_name, class_), after.content.of(type_name, class_)
                    differs[type_name] = old is not new
                if differs[type_name]:
                    found.append(sub)
        return found

    def _renew(self, sub: int) -> None:
        subscriptions = self.subscriptions
        content = self._content(sub, subscriptions.all)
        version, contents = version_of(content), subscriptions.contents[sub]
        if version == self._versions[sub] and _are_alike(content, contents[subscriptions.current[sub]]):
            return
        self._versions[sub] = version
        subscriptions.publish(sub, len(contents), self._first[sub].setdefault(version, len(contents)))
        contents.append(content)
        subscriptions.answer_ns[sub] = self._answer_ns(sub, content)
        subscriptions.size_bytes[sub] = content.size_bytes

    def _hold(
        self,
        change: Change[Names],
        made: Sequence[Parted],
        parts_of: Sequence[dict[str, Names]],
    ) -> bool:
        """Whether what is published now holds the change; then answers bring it."""
        way = self._way(change)
        if way is None:
            return False
        for parted, parts in zip(made, parts_of, strict=True):
            parted.learn(self.subscriptions.life, way)
            index = self.by_group[parted.group]
            for type_name, names in parts.items():
                wanted = (
                    [("", names)]
                    if resource_type(type_name).wildcard
                    else [(single_name, single) for single in names.singly() for single_name in single]
                )
                for name, part in wanted:
                    sub = index.get((type_name, name))
                    if sub is not None:
                        self.subscriptions.changes[sub].append(
                            Carries(self.subscriptions.publications, parted, part)
                        )
        return True

    def _way(self, change: Change[Names]) -> Way | None:
        """How what is published now came to hold the change; None if it does not."""
        known = self._replica.known.get(change.id)
        if known is None or not self._context.holds(known):
            return None
        observed_ns = max(known.observed_ns, change.t_changed_ns)
        if known.push is None:
            return Way(observed_ns, observed_ns, None)
        assert known.push.t_started_ns is not None
        return Way(observed_ns, known.push.t_started_ns, known.push.push_id)


def _are_alike(content: Resources, other: Resources) -> bool:
    """Whether Envoys do the same with both, of one version: istiods may have the same in another order."""
    return content is other or list(content.names) == list(other.names)


def _covers(
    newer: Change[Names], parts: dict[str, Names], older: Change[Names], others: dict[str, Names]
) -> bool:
    """As the ledger has it: a newer change of the same kind and objects and, of a type, of all its names."""
    return (
        newer.kind == older.kind
        and not older.objects.minus(newer.objects)
        and any(
            names.intersect(others[name]) and not others[name].minus(names)
            for name, names in parts.items()
            if name in others
        )
    )
