"""The frozen model of a scenario: what a user may write, checked and ready for the simulator.

Attributes are called as the keys are. Durations are integer nanoseconds, delays are `engine.delays`
objects, rates are `Rate`; whatever may be written short stands here at full length. Every key has a
default, and every default its source.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import ModelWrapValidatorHandler, PrivateAttr, ValidationError, ValidationInfo, model_validator

from simulator.engine.clock import S
from simulator.scenario.by_kind import MESH_KINDS, filled_in_by_kind, out_of_place, without_idle_keys
from simulator.scenario.certificate_references import unusable_certificates
from simulator.scenario.durations import DurationNs, PositiveDurationNs
from simulator.scenario.expectation import Expectation, ExpectationProblem, ExpectationText
from simulator.scenario.explain import as_written, doubtful, explained, is_known, locations, without
from simulator.scenario.mesh_references import unknown_in_mesh
from simulator.scenario.problems import Location, Problem, ScenarioError, suggestion
from simulator.scenario.quantities import ALL, Choice, Rate, Text, Whole
from simulator.scenario.references import unknown_names
from simulator.scenario.sections.agent import Agent
from simulator.scenario.sections.control_plane import ControlPlane
from simulator.scenario.sections.envoy import Envoy, FetchTimeouts, RateLimit, RuntimeLayer
from simulator.scenario.sections.lab import Lab
from simulator.scenario.sections.mesh import Mesh, Proxies, Start
from simulator.scenario.sections.network import Network
from simulator.scenario.sections.propagation import Backoff, Propagation, Server
from simulator.scenario.sections.recording import Recording
from simulator.scenario.sections.resources import (
    ClusterMapping,
    Counted,
    HealthAnswer,
    HealthCheck,
    ListenerMapping,
    NamedCluster,
    NamedListener,
    Resolver,
    Resources,
    StaticResources,
)
from simulator.scenario.sections.scripted import Answer, Connect, Push
from simulator.scenario.sections.workload import (
    HotRestartEntry,
    MigrateRevisionEntry,
    RuntimeFlagEntry,
    Traffic,
    TrafficEntry,
)
from simulator.scenario.sections.workload_entries import WorkloadEntry, WorkloadEntryField
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting
from simulator.scenario.tree import with_changes
from simulator.scenario.vm_references import unusable_vms
from simulator.scenario.yaml_text import Node, node_of

__all__ = [
    "ALL",
    "Agent",
    "Answer",
    "Backoff",
    "ClusterMapping",
    "Connect",
    "ControlPlane",
    "Counted",
    "Envoy",
    "Expectation",
    "FetchTimeouts",
    "HealthAnswer",
    "HealthCheck",
    "Lab",
    "ListenerMapping",
    "Mesh",
    "NamedCluster",
    "NamedListener",
    "Network",
    "Origin",
    "Propagation",
    "Proxies",
    "Push",
    "Rate",
    "RateLimit",
    "Recording",
    "Resolver",
    "Resources",
    "RuntimeLayer",
    "Scenario",
    "Server",
    "Start",
    "StaticResources",
    "Traffic",
    "TrafficEntry",
    "WorkloadEntry",
]

DEFAULT_NAME = "scenario"
_MOST_PASSES = 5


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a scenario comes from.

    Attributes:
        tree: What was written, with its places.
        directory: Where relative file names lead from.
        source: The file as the user named it, if there is one.
        name: Name of a scenario that does not name itself.
        is_incomplete: Whether parts could not be read, so that names may seem unknown which are not.
    """

    tree: Node
    directory: Path
    source: str | None = None
    name: str = DEFAULT_NAME
    is_incomplete: bool = False


class Scenario(Settings):
    """One scenario. Raises ScenarioError, with every problem at once, when it cannot be used."""

    keys_of_files = ("extends",)

    name: Annotated[
        str,
        Text(100, r"[A-Za-z0-9][A-Za-z0-9._-]*", "a name of letters, digits, dots, dashes and underscores"),
    ] = setting(
        "Name; absent = that of the file. It names the results directory.",
        DEFAULT_NAME,
        stands_for=SPELLING,
        source=FORMAT,
    )
    question: Annotated[str, Text()] = setting(
        "What the scenario asks", "", stands_for=SPELLING, source=FORMAT
    )
    seed: Annotated[int, Whole(0, 2**63 - 1)] = setting(
        "Seed of all draws", 1, stands_for=SPELLING, source=FORMAT
    )
    duration: PositiveDurationNs = setting(
        "Simulated time",
        60 * S,
        stands_for=SPELLING,
        assumption="covers a start-up in which every type runs into Envoy's fetch timeout of 15s (rule T4)",
    )
    warm_up: DurationNs = setting(
        "Time before which changes happen but are not counted", 0, stands_for=SPELLING, source=FORMAT
    )
    engine: Annotated[Literal["auto", "events", "fleet"], Choice(("auto", "events", "fleet"))] = setting(
        "Which engine advances the simulation", "auto", stands_for=SPELLING, source=FORMAT
    )
    mesh: Mesh = setting("The proxies", Mesh(), stands_for="the mesh", source=FORMAT)
    control_plane: ControlPlane = setting(
        "The control plane", ControlPlane(), stands_for="the management server", source=FORMAT
    )
    agent: Agent = setting(
        "The istio-agents; with istiod only", Agent(), stands_for="pilot-agent", source=FORMAT
    )
    envoy: Envoy = setting(
        "The Envoys", Envoy(), stands_for="Envoy's bootstrap and command line", source=FORMAT
    )
    propagation: Propagation = setting(
        "How configuration travels", Propagation(), stands_for="ConfigSource", source=FORMAT
    )
    network: Network = setting("The links", Network(), stands_for="the network", source=FORMAT)
    workload: tuple[WorkloadEntryField, ...] = setting(
        "What happens to the mesh", (), stands_for="what happens to the mesh", source=FORMAT
    )
    lab: Lab = setting("The bench of real Envoys", Lab(), stands_for="the machine", source=FORMAT)
    recording: Recording = setting("What is kept of a run", Recording(), stands_for=SPELLING, source=FORMAT)
    expect: tuple[Annotated[Expectation, ExpectationText()], ...] = setting(
        "Assertions about the results: [stat(]metric[, column=value ...][)] op literal; with `if key is value"
        " or value` behind it, asked only where a key of the scenario has one of these values",
        (),
        stands_for=SPELLING,
        source=FORMAT,
    )

    if TYPE_CHECKING:

        def __init__(self, **keywords: Any) -> None:
            """Keys and what a file would hold, or the sections' own classes."""

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)
    _directory: Path = PrivateAttr(default_factory=Path)
    _source: str | None = PrivateAttr(default=None)

    @property
    def source(self) -> str | None:
        """The file the scenario was read from, as the user named it."""
        return self._source

    @property
    def directory(self) -> Path:
        """Where relative file names in the scenario lead from."""
        return self._directory

    def with_(self, **changes: Any) -> Scenario:
        """A copy with some keys changed, named by their paths: ``with_(**{"propagation.strategy": "poll"})``.

        Values are what the file would hold (``"5s"``, 3, a list). Defaults that depend on the changed
        keys follow.
        """
        tree, problems = with_changes(node_of(self._given), changes)
        if problems:
            raise ScenarioError(problems)
        return Scenario.from_tree(Origin(tree, self._directory, self._source, self.name))

    def resolved(self) -> dict[str, Any]:
        """The scenario with every default spelt out, as plain data that a YAML file could hold.

        Keys that mean nothing to its kind of control plane are left out.
        """
        return without_idle_keys(self.model_dump(mode="json", by_alias=True), self.control_plane.kind)

    def _repr_html_(self) -> str:
        """For Jupyter: name and question, and the whole scenario as a file would hold it, folded away."""
        text = yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True)
        return (
            f"<div><strong>{escape(self.name)}</strong><div>{escape(self.question)}</div><details>"
            f"<summary>with every default</summary><pre>{escape(text)}</pre></details></div>"
        )

    @property
    def asked(self) -> tuple[Expectation, ...]:
        """The expectations whose conditions hold."""
        if all(one.condition is None for one in self.expect):
            return self.expect
        resolved = self.resolved()
        return tuple(one for one in self.expect if one.condition is None or one.condition.holds(resolved))

    @property
    def traffic(self) -> tuple[TrafficEntry, ...]:
        """The entries of the workload that send requests, in order."""
        return tuple(entry for entry in self.workload if isinstance(entry, TrafficEntry))

    def _changed_copy(self, key: str) -> str:
        return f"scenario.with_({key}=...), which gives a changed copy"

    @classmethod
    def from_tree(cls, origin: Origin) -> Scenario:
        """The scenario written in a tree; raises ScenarioError with the place of every problem."""
        return cls.model_validate(origin.tree.plain(), context=origin)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scenario):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in Scenario.model_fields)

    __hash__ = None  # type: ignore[assignment]

    @model_validator(mode="wrap")
    @classmethod
    def _checked(
        cls, data: Any, handler: ModelWrapValidatorHandler[Scenario], info: ValidationInfo
    ) -> Scenario:
        if isinstance(data, Scenario):
            return data
        origin = info.context if isinstance(info.context, Origin) else Origin(node_of(data), Path())
        if isinstance(data, dict):
            data = {"name": origin.name, **data}
        scenario, problems, wrong = _validated(cls, handler, data, origin.tree)
        if scenario is not None and not origin.is_incomplete:
            listed = without(data, wrong).get("workload", ())
            found = [
                *out_of_place({**data, "workload": listed}, scenario.workload),
                *_between_sections(scenario, wrong),
            ]
            problems += [origin.tree.problem(as_written(place, wrong), text) for place, text in found]
        if problems or scenario is None:
            raise ScenarioError(problems)
        scenario._given = copy.deepcopy(data)
        scenario._directory = origin.directory
        scenario._source = origin.source
        return scenario


def _validated(
    model: type[Scenario], handler: ModelWrapValidatorHandler[Scenario], data: Any, tree: Node
) -> tuple[Scenario | None, list[Problem], list[Location]]:
    """The scenario, its problems and where they are.

    With problems, what is wrong is taken out and the rest validated again, since some checks only run on
    a section that is otherwise right; what then shows at the same places follows from the first problems
    and is left out.
    """
    problems: list[Problem] = []
    wrong: list[Location] = []
    for _ in range(_MOST_PASSES):
        try:
            return handler(_prepared(data, wrong)), problems, wrong
        except ValidationError as error:
            placed = (as_written(place, wrong) for place in locations(error))
            found = [place for place in placed if place not in wrong]
            problems += explained(error, model, tree, known=wrong)
            wrong += found
            if not found or not isinstance(data, dict):
                break
    return None, problems, wrong


def _prepared(data: Any, wrong: list[Location]) -> Any:
    """The data without what is wrong, and with the defaults that the kind of control plane brings."""
    if not isinstance(data, dict):
        return data
    return filled_in_by_kind(without(data, wrong) if wrong else data)


def _unusable_conditions(scenario: Scenario) -> list[tuple[Location, str]]:
    """Expectations asked about only if a key has a value, where there is no such key."""
    found: list[tuple[Location, str]] = []
    resolved = scenario.resolved()
    for position, expectation in enumerate(scenario.expect):
        if expectation.condition is None:
            continue
        try:
            expectation.condition.holds(resolved)
        except ExpectationProblem as problem:
            found.append((("expect", position), str(problem)))
    return found


def _between_sections(scenario: Scenario, wrong: list[Location]) -> list[tuple[Location, str]]:
    """Problems between sections, as far as they do not follow from those at the `wrong` places."""
    found: list[tuple[Location, str]] = []
    doubts = doubtful(wrong, Scenario)
    if is_known(doubts, "control_plane", "kind"):
        unknown = unknown_in_mesh if scenario.control_plane.kind in MESH_KINDS else unknown_names
        found += unknown(scenario, doubts)
        found += unusable_certificates(scenario)
        found += unusable_vms(scenario)
    if scenario.warm_up >= scenario.duration and is_known(doubts, "duration") and is_known(doubts, "warm_up"):
        found.append((("warm_up",), "must be shorter than duration: nothing would be counted"))
    if is_known(doubts, "envoy", "runtime_layers"):
        found += _unusable_flags(scenario)
    found += _unusable_conditions(scenario)
    if scenario.propagation.strategy != "push":
        found += [
            (("workload", position, entry.KIND), "needs propagation.strategy: push")
            for position, entry in enumerate(scenario.workload)
            if isinstance(entry, MigrateRevisionEntry)
        ]
    if scenario.envoy.preset == "istio" and scenario.control_plane.kind != "components":
        found += [
            (
                ("workload", position, entry.KIND),
                "needs envoy.preset: envoy: Istio runs Envoy with hot restart disabled since 1.5",
            )
            for position, entry in enumerate(scenario.workload)
            if isinstance(entry, HotRestartEntry) and scenario.control_plane.kind in entry.GOES_WITH
        ]
    if scenario.engine == "fleet" and not wrong:
        from simulator.scenario.engine_choice import not_in_fleet

        found += [(("engine",), f"the fleet engine has no {name}") for name in not_in_fleet(scenario)]
    if scenario.control_plane.kind == "none":
        found += _without_control_plane(scenario.envoy)
    return found


def _without_control_plane(envoy: Envoy) -> list[tuple[Location, str]]:
    """What a static bootstrap cannot hold where no management server exists."""
    needs: list[tuple[Location, str]] = []
    for position, cluster in enumerate(envoy.static.clusters):
        if cluster.type == "eds":
            needs.append((("envoy", "static", "clusters", position), "type eds"))
    for position, listener in enumerate(envoy.static.listeners):
        if listener.routes != "inline":
            needs.append((("envoy", "static", "listeners", position), f"routes {listener.routes}"))
    return [(place, f"{what} needs a control plane, and control_plane.kind is none") for place, what in needs]


def _unusable_flags(scenario: Scenario) -> list[tuple[Location, str]]:
    """Feature flags that nobody can write, or that a static layer decides for good."""
    layers = scenario.envoy.runtime_layers
    writable = [layer.name for layer in layers if layer.static_layer is None]
    found: list[tuple[Location, str]] = []
    for position, entry in enumerate(scenario.workload):
        if not isinstance(entry, RuntimeFlagEntry):
            continue
        place: Location = ("workload", position, "runtime_flag")
        if not writable:
            said = "needs a disk_layer, an rtds_layer or an admin_layer in envoy.runtime_layers: without "
            found.append((place, said + "layers a flag has the value that the code gives it (null provider)"))
            continue
        if entry.layer is not None and entry.layer not in writable:
            said = f"{entry.layer!r} is no layer to write; {suggestion(entry.layer, writable)}"
            found.append(((*place[:2], "layer"), said))
            continue
        written = entry.layer or writable[-1]
        above = layers[[layer.name for layer in layers].index(written) + 1 :]
        for layer in above:
            if entry.runtime_flag in (layer.static_layer or {}):
                found.append((place, f"decides nothing: the static layer {layer.name!r} above has the key"))
    return found
