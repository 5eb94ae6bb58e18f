"""What a push does to the proxies of the arrays: the Envoy as a value, and the changes that it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from simulator.control_plane.istiod.generator import Generated
from simulator.envoy.settled import (
    Asked,
    PushedUpdate,
    SettledCosts,
    SettledEnvoy,
    Settling,
    Step,
    Unsettled,
)
from simulator.fleet.errors import CannotTakeFleet, OddRows
from simulator.fleet.moves import NULL, Carried, Move, Request
from simulator.recording.ledger import Change, Sending
from simulator.scenario.fleet.replica import GroupConnection, Made
from simulator.xds.messages import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from simulator.xds.resource_types import resource_type
from simulator.xds.resources import NO_NAMES, Fault, Names, Resources


@dataclass(frozen=True, slots=True, eq=False)
class ConcerningChange:
    """A change as it concerns the proxies of a group: what it changes there."""

    change: Change[Names]
    parts: dict[str, Names]


Carries = tuple[tuple[Names, bool], ...]
"""The names of each change that a message carries, and whether a message before it ended the change."""


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """What proxies have in common that are in one place: their Envoy and the changes that reached it.

    Attributes:
        floor: Of the changes that concern the group so many at the beginning were carried, and
        carried: positions of those beyond.
    """

    group: int
    envoy: SettledEnvoy
    floor: int
    carried: frozenset[int]


class Moves:
    """Works moves out (fleet/moves.py: Moving).

    Args:
        made: What pushes send, by number; grows.
        groups: Their connections.
        costs: Of Envoys.
        concerning: By group the changes that concern it; grow.
        view: Number of what the requests of a group's proxies meet there; None where none are sent.
    """

    def __init__(
        self,
        made: Sequence[Made],
        groups: Sequence[GroupConnection],
        costs: SettledCosts,
        concerning: Sequence[Sequence[ConcerningChange]],
        view: Callable[[int, SettledEnvoy], int] | None = None,
    ) -> None:
        self._view = view
        self._made, self._groups, self._costs = made, groups, costs
        self._concerning = concerning
        self._states: list[_State] = []
        self._numbers: dict[object, int] = {}
        self._carrying: dict[object, Carried] = {}
        self._content: dict[tuple[int, ...], Resources] = {}
        self._messages: list[Carries] = []
        self._message_numbers: dict[Carries, int] = {}

    def begin(self, group: int, envoy: SettledEnvoy, floor: int = 0) -> int:
        """The state of a group's proxies when they become rows, and have so many of the changes that concern
        it."""
        return self._number(_State(group, self._canonical(envoy), floor, frozenset()))

    def move(self, state: int, made: int, late_cds: Sequence[int], late_lds: Sequence[int]) -> Move:
        """See Moving.

        What is answered when a stream begins and does not fit is left to proxies played by messages.
        """
        sent = self._made[made]
        try:
            return self._move(self._states[state], sent, late_cds, late_lds)
        except (Unsettled, CannotTakeFleet) as error:
            if sent.request is None:
                raise OddRows(str(error)) from error
            raise CannotTakeFleet(str(error)) from error

    def _move(self, before: _State, made: Made, late_cds: Sequence[int], late_lds: Sequence[int]) -> Move:
        found = self._found(before, made)
        late = {"cds": late_cds, "lds": late_lds}
        updates = []
        for response in made.responses:
            name = response.type.name
            changes = [
                (position, change.parts[name])
                for position, (change, _) in found.items()
                if name in change.parts
            ]
            again = self._again(response, late.get(name, ()))
            if response.removed:
                raise CannotTakeFleet("resources that are removed")
            updates.append(PushedUpdate(name, response.resources, changes, again))
        group = self._groups[before.group]
        settling = Settling(before.envoy, self._costs, is_delta=group.is_delta)
        envoy = self._canonical(settling.take(updates))
        at = {response.type.name: place for place, response in enumerate(made.responses)}
        carried = frozenset((*before.carried, *found))
        floor = before.floor
        while floor in carried:
            floor += 1
        latest = {
            name: tuple(
                (change.parts[name], position in ended)
                for position, (change, _) in found.items()
                if name in change.parts
            )
            for name, ended in (
                ("cds", ()),
                ("lds", settling.steps[at["cds"]].rejected if "cds" in at else ()),
            )
        }
        after = _State(
            before.group,
            envoy,
            floor,
            frozenset(position for position in carried if position >= floor),
        )
        return Move(
            self._number(after),
            tuple(_size(response, is_delta=group.is_delta) for response in made.responses),
            tuple(step.cost_ns for step in settling.steps),
            tuple(step.clusters for step in settling.steps),
            tuple(step.delay_ns for step in settling.steps),
            tuple(at),
            tuple(step.is_refused for step in settling.steps),
            tuple(_request(asked, group) for asked in settling.requests),
            settling.warms,
            _carried(found, settling.steps, at, made.known.replica, self._carrying),
            (at["cds"], self._message(latest["cds"])) if latest["cds"] else None,
            (at["lds"], self._message(latest["lds"])) if latest["lds"] else None,
            () if self._view is None else tuple(self._view(before.group, e) for e in settling.after),
        )

    def _found(self, state: _State, made: Made) -> dict[int, tuple[ConcerningChange, Sending]]:
        """The changes, by position, that this push is the first to carry."""
        messages = {
            response.type.name: (
                None if response.type.wildcard else response.resources.names.union(response.removed),
                made.sender(response),
            )
            for response in made.responses
        }
        if len(messages) < len(made.responses):
            raise CannotTakeFleet("two responses of one type together")
        found = {}
        concerning = self._concerning[state.group]
        for position in range(state.floor, len(concerning)):
            if position in state.carried:
                continue
            change = concerning[position]
            sendings = []
            for name, names in change.parts.items():
                covered, sender = messages.get(name, (None, None))
                if sender is None or (covered is not None and not names.meets(covered)):
                    continue
                sending = sender.sending(change.change)
                if sending is None:
                    continue
                if covered is not None and not names.within(covered):
                    raise CannotTakeFleet("a change that travels in parts")
                sendings.append(sending)
            if sendings and len(sendings) < len(change.parts):
                raise CannotTakeFleet("a change that travels in parts")
            if sendings:
                found[position] = change, sendings[0]
        return found

    def _again(self, response: Generated, late: Sequence[int]) -> list[Names]:
        """The names of changes that earlier messages of the type carry, which are still to be applied."""
        bad = response.resources.faulty().get(Fault.BUILD, NO_NAMES)
        again = []
        for message in late:
            for names, is_ended in self._messages[message]:
                if not is_ended:
                    again.append(names)
                elif not names.intersect(bad):
                    # Whether it still is on its way depends on when its other part is refused.
                    raise CannotTakeFleet("a change that is refused in one type and put right in another")
        return again

    def _message(self, carries: Carries) -> int:
        """Number of what a message carries."""
        number = self._message_numbers.get(carries)
        if number is None:
            number = self._message_numbers[carries] = len(self._messages)
            self._messages.append(carries)
        return number

    # --- equal content is one object

    def _canonical(self, envoy: SettledEnvoy) -> SettledEnvoy:
        return SettledEnvoy(
            self._same(envoy.clusters),
            self._same(envoy.hosts),
            self._same(envoy.listeners),
            self._same(envoy.routes),
            envoy.fixed_clusters,
        )

    def _same(self, resources: Resources) -> Resources:
        return self._content.setdefault(tuple(map(id, resources)), resources)

    def _number(self, state: _State) -> int:
        envoy = state.envoy
        key = (
            state.group,
            envoy.clusters,
            envoy.hosts,
            envoy.listeners,
            envoy.routes,
            state.floor,
            state.carried,
        )
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._states)
            self._states.append(state)
        return number


def _carried(
    found: dict[int, tuple[ConcerningChange, Sending]],
    steps: Sequence[Step],
    at: dict[str, int],
    replica: int,
    known: dict[object, Carried],
) -> tuple[Carried, ...]:
    """The changes as they are carried; equal ones are one object."""
    active: dict[int, tuple[int, int]] = {}
    rejected: dict[int, int] = {}
    for place, step in enumerate(steps):
        for position, delay_ns in step.active:
            active[position] = place, delay_ns
        for position in step.rejected:
            rejected.setdefault(position, place)
    newer = _by_object([change for position, (change, _) in found.items() if position not in rejected])
    carried = []
    for position, (concerning, sending) in found.items():
        places = tuple(sorted(at[name] for name in concerning.parts))
        change = concerning.change
        last, outcome = places[-1], "active"
        if position in rejected:
            last, outcome = rejected[position], "rejected"
            active[position] = last, 0
        elif any(_supersedes(other, concerning) for other in _alike(newer, concerning)):
            outcome = "superseded"
        push = sending.push_id if sending.carried_by == "push" else None
        instants = sending.t_observed_ns, sending.t_debounced_ns, sending.t_enqueued_ns
        key = change.id, places, last, *active[position], outcome, push, sending.carried_by, replica, instants
        one = known.get(key)
        if one is None:
            one = known[key] = Carried(
                change.id,
                change.t_changed_ns,
                places[0],
                last,
                *active[position],
                places,
                outcome,
                push,
                sending.carried_by,
                replica,
                instants,
            )
        carried.append(one)
    return tuple(carried)


_Alike = dict[tuple[str, str], list[ConcerningChange]]


def _by_object(changes: Iterable[ConcerningChange]) -> _Alike:
    """Changes by their kind and each of their objects."""
    alike: _Alike = {}
    for concerning in changes:
        for name in concerning.change.objects:
            alike.setdefault((concerning.change.kind, name), []).append(concerning)
    return alike


def _alike(by_object: _Alike, concerning: ConcerningChange) -> Sequence[ConcerningChange]:
    """Those that may supersede a change: they are about each of its objects, so about the first as well."""
    change = concerning.change
    return by_object.get((change.kind, next(iter(change.objects))), ())


def _supersedes(newer: ConcerningChange, older: ConcerningChange) -> bool:
    """As the ledger has it: a newer change of the same kind and objects, in the same message."""
    new, old = newer.change, older.change
    return (
        new.id > old.id
        and new.kind == old.kind
        and old.objects.within(new.objects)
        and all(
            name in newer.parts and names.within(newer.parts[name]) for name, names in older.parts.items()
        )
    )


def _size(response: Generated, *, is_delta: bool) -> int:
    if is_delta:
        return DeltaDiscoveryResponse(response.type, "", "", response.resources, response.removed).size_bytes
    return DiscoveryResponse(response.type, "", "", response.resources).size_bytes


def _request(asked: Asked, group: GroupConnection) -> Request:
    """Over delta it says nothing but which response it answers; else it says all that is subscribed."""
    type_ = resource_type(asked.type_name)
    said = DeltaDiscoveryRequest(type_) if group.is_delta else DiscoveryRequest(type_, group.names(type_))
    return Request(asked.after, said.size_bytes, NULL if asked.answers is None else asked.answers)
