"""Names in a scenario that must exist: in answers and pushes, of secrets, filters, layers, listeners."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from simulator.engine.clock import format_duration
from simulator.scenario.explain import is_known
from simulator.scenario.problems import Location, suggestion
from simulator.scenario.quantities import ALL
from simulator.scenario.sections.control_plane import ControlPlane
from simulator.scenario.sections.envoy import Envoy
from simulator.scenario.sections.lab import Lab
from simulator.scenario.sections.resources import Resources, StaticResources, trailing_number
from simulator.scenario.sections.scripted import Push
from simulator.scenario.sections.workload import TrafficEntry
from simulator.scenario.sections.workload_entries import WorkloadEntry

Found = Iterator[tuple[Location, str]]

_KIND = {
    "cds": "cluster",
    "eds": "EDS cluster",
    "lds": "listener",
    "rds": "route",
    "sds": "secret",
    "ecds": "extension",
    "srds": "scope",
    "rtds": "runtime layer",
}
_NUMBERED = re.compile(r"(0|[1-9][0-9]{0,8})")


class Checked(Protocol):
    """The sections of a scenario that refer to each other's names."""

    @property
    def control_plane(self) -> ControlPlane:
        """Section `control_plane`."""

    @property
    def envoy(self) -> Envoy:
        """Section `envoy`."""

    @property
    def lab(self) -> Lab:
        """Section `lab`."""

    @property
    def workload(self) -> tuple[WorkloadEntry, ...]:
        """Section `workload`."""


class Catalogue:
    """The names of one type that exist, or have existed, as pushes add and remove them."""

    def __init__(self, type_name: str, resources: Resources, static: StaticResources) -> None:
        self.type_name = type_name
        self.known = dict.fromkeys(resources.names(type_name))
        if type_name in ("eds", "rds"):
            # What the bootstrap's clusters and listeners ask for is served as well.
            self.known.update(dict.fromkeys(static.names(type_name)))
        self.present = dict(self.known)
        self._prefixes = resources.prefixes(type_name)

    def unknown(self, name: str, when: str) -> str:
        """What to say of a name that does not exist."""
        return f"no {_KIND[self.type_name]} is called {name!r}{when}; {suggestion(name, self.known)}"

    def add(self, name: str) -> str | None:
        """Adds a name; what is wrong with it, if anything."""
        if name in self.present:
            return f"{name!r} exists already: use change or send"
        if name not in self.known and not self._is_numbered(name):
            names = " or ".join(f"{prefix}<number>" for prefix in self._prefixes)
            return f"{name!r} is no name for a new {_KIND[self.type_name]}: write {names}"
        self.known[name] = self.present[name] = None
        return None

    def _is_numbered(self, name: str) -> bool:
        return any(
            name.startswith(prefix) and _NUMBERED.fullmatch(name, len(prefix)) is not None
            for prefix in self._prefixes
        )

    def remove(self, names: Iterable[str]) -> None:
        """Removes names; they stay known."""
        for name in tuple(self.present) if names == ALL else names:
            self.present.pop(name, None)


class Catalogues:
    """The catalogues by resource type, made when first asked for: listing a million names takes time."""

    def __init__(self, resources: Resources, static: StaticResources) -> None:
        self._resources = resources
        self._static = static
        self._by_type: dict[str, Catalogue] = {}

    def __getitem__(self, type_name: str) -> Catalogue:
        if type_name not in self._by_type:
            self._by_type[type_name] = Catalogue(type_name, self._resources, self._static)
        return self._by_type[type_name]


def unknown_names(scenario: Checked, doubts: Sequence[Location] = ()) -> Found:
    """Every name in the scenario that does not exist when it is needed.

    What would follow from what is in doubt is left out.
    """
    control_plane = scenario.control_plane
    if not is_known(doubts, "control_plane", "resources"):
        return
    catalogues = Catalogues(control_plane.resources, scenario.envoy.static)
    yield from _in_resources(control_plane.resources, catalogues, ("control_plane", "resources"))
    yield from _in_resources(scenario.envoy.static, catalogues, ("envoy", "static"))
    yield from _in_layers(scenario.envoy, catalogues)
    if not is_known(doubts, "control_plane", "pushes"):
        return  # pushes add names
    yield from _in_pushes(control_plane, catalogues)
    yield from _in_answers(control_plane, catalogues)
    yield from _among(scenario.lab.removal_order, catalogues["cds"], ("lab", "removal_order"), "")
    if scenario.workload:
        yield from _in_workload(scenario.workload, scenario.envoy.static, catalogues["lds"])


def _in_resources(resources: StaticResources, catalogues: Catalogues, section: Location) -> Found:
    uses = [(("clusters", i), mapping.secret) for i, mapping in enumerate(resources.clusters)]
    uses += [(("listeners", i), mapping.secret) for i, mapping in enumerate(resources.listeners)]
    secrets = catalogues["sds"]
    for place, secret in uses:
        if secret is not None and secret not in secrets.known:
            yield (*section, *place, "secret"), _uncounted(secrets, secret, "secrets")
    extensions = catalogues["ecds"]
    for position, listener in enumerate(resources.listeners):
        for index, name in enumerate(listener.filters):
            if name not in extensions.known:
                where: Location = (*section, "listeners", position, "filters", index)
                yield where, _uncounted(extensions, name, "extensions")


def _in_layers(envoy: Envoy, catalogues: Catalogues) -> Found:
    for position, layer in enumerate(envoy.runtime_layers):
        if layer.rtds_layer is not None and layer.rtds_layer.name not in catalogues["rtds"].known:
            where: Location = ("envoy", "runtime_layers", position, "rtds_layer", "name")
            yield where, _uncounted(catalogues["rtds"], layer.rtds_layer.name, "runtime")


def _uncounted(catalogue: Catalogue, name: str, key: str) -> str:
    if catalogue.known:
        return catalogue.unknown(name, "")
    return f"no {_KIND[catalogue.type_name]} is called {name!r}: control_plane.resources.{key} has none"


def _in_pushes(control_plane: ControlPlane, catalogues: Catalogues) -> Found:
    """Follows the pushes in the order of their times, so that a name counts once a push has added it."""
    for position, push in sorted(
        enumerate(control_plane.pushes), key=lambda numbered: (numbered[1].at, numbered[0])
    ):
        if push.type is None:
            continue
        catalogue = catalogues[push.type]
        place: Location = ("control_plane", "pushes", position)
        for index, name in enumerate(push.add):
            problem = catalogue.add(name)
            if problem is not None:
                yield (*place, "add", index), problem
            elif push.type in ("cds", "lds"):
                _add_dependants(control_plane.resources, push, name, catalogues)
        when = f" at {format_duration(push.at)}"
        for key in ("change", "change_filter_chains", "remove", "send", "empty"):
            yield from _among(getattr(push, key), catalogue, (*place, key), when)
        catalogue.remove(push.remove)


def _add_dependants(resources: Resources, push: Push, name: str, catalogues: Catalogues) -> None:
    """A new EDS cluster brings its assignment, a new listener its route."""
    if trailing_number(name) < 0:
        return
    if push.type == "cds" and resources.cluster_named(name).mapping.type == "eds":
        catalogues["eds"].add(name)
    elif push.type == "lds":
        listener = resources.listener_named(name)
        if listener.mapping.routes != "inline":
            catalogues["rds"].add(listener.route)


def _in_answers(control_plane: ControlPlane, catalogues: Catalogues) -> Found:
    """Answers come at any time: names that some push adds are known to them."""
    for type_name, answers in control_plane.answers.items():
        for position, answer in enumerate(answers):
            place: Location = ("control_plane", "answers", type_name, position)
            for key in ("omit", "remove"):
                yield from _among(getattr(answer, key), catalogues[type_name], (*place, key), "")


def _in_workload(workload: Sequence[WorkloadEntry], static: StaticResources, catalogue: Catalogue) -> Found:
    for listener in static.named_listeners:
        catalogue.known[listener.name] = None
    for position, entry in enumerate(workload):
        if isinstance(entry, TrafficEntry) and entry.traffic.to not in catalogue.known:
            yield ("workload", position, "traffic", "to"), catalogue.unknown(entry.traffic.to, "")


def _among(names: tuple[str, ...], catalogue: Catalogue, place: Location, when: str) -> Found:
    if names == ALL:
        return
    for index, name in enumerate(names):
        if name not in catalogue.known:
            yield (*place, index), catalogue.unknown(name, when)
