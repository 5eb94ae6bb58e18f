"""Entries of the workload: what they become, when they happen, and how mistakes in them are told."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.engine.clock import MS, S
from simulator.scenario.loader import load_scenario
from simulator.scenario.sections.workload import (
    EditEntry,
    PartitionEntry,
    RolloutEntry,
    SlowReaderEntry,
    TrafficEntry,
)
from simulator.scenario.sections.workload_entries import ENTRY_CLASSES, WorkloadEntry
from simulator.workload.entries import TraceRow
from tests.unit.scenario.scenario_files import MESH, Files

HEAD = """\
duration: 10m
mesh: {proxies: {sidecars: 4, gateways: 1}, services: 3, namespaces: 2}
control_plane: {kind: istiod, replicas: 2}
"""


def entry(files: Files, text: str, kind: str = "istiod") -> WorkloadEntry:
    """The only entry of a workload."""
    (found,) = files.load(f"{HEAD.replace('kind: istiod', f'kind: {kind}')}workload: [{text}]").workload
    return found


def test_every_kind_of_entry_is_read_by_its_class(files: Files) -> None:
    kinds = list(dict.fromkeys(type(one).KIND for one in files.load(MESH).workload))
    of_components = entry(files, "{restart_component: galley, at: 1s}", kind="components")
    # The others go with a scripted control plane, where no mesh is needed.
    scripted = [
        kind for kind, class_ in ENTRY_CLASSES.items() if "scripted" in getattr(class_, "GOES_WITH", ())
    ]
    # That mesh polls; a migration and virtual machines that register need streams.
    expected = {*kinds, *scripted, of_components.KIND, "migrate_revision", "unhealthy"}
    assert sorted(expected) == sorted(ENTRY_CLASSES)


def test_an_entry_that_lasts_ends_at_until_or_after_its_time(files: Files) -> None:
    partition = entry(files, "{partition: {proxies: 50%}, at: 5m, until: 6m}")
    slow = entry(files, "{slow_reader: {proxies: p3}, every: 1m, lasts: 10s, until: 6m}")
    for_ever = entry(files, "{partition: {}, at: [5m, 6m]}")
    assert isinstance(partition, PartitionEntry)
    assert isinstance(slow, SlowReaderEntry)
    assert isinstance(for_ever, PartitionEntry)
    assert [partition.lasts_ns, slow.lasts_ns, for_ever.lasts_ns] == [60 * S, 10 * S, None]
    assert slow.slow_reader.proxies.names == ("p3",)


def test_a_rollout_has_the_defaults_of_kubernetes_and_leaves_the_rest_to_the_agent(files: Files) -> None:
    rollout = entry(files, "{rollout: s1, at: 1m}")
    assert isinstance(rollout, RolloutEntry)
    assert [rollout.max_surge.of(5, rounds_up=True), rollout.max_unavailable.of(5, rounds_up=False)] == [2, 1]
    assert (rollout.pre_stop, rollout.termination_grace, rollout.min_ready_seconds) == (0, 30 * S, 0)
    assert (rollout.ready_after, rollout.native_sidecar, rollout.exit_on_zero) == (None, None, None)


def test_recorded_edits_are_played_in_order_and_by_kind(files: Files) -> None:
    files.write(
        "audit/day.csv",
        """\
        t, kind, namespace, name
        # recorded in May
        3s, VirtualService, ns1, b
        1.5s, Telemetry, ,
        1s, VirtualService, ns0, a
        """,
    )
    every = entry(files, "{trace: audit/day.csv}")
    some = entry(files, "{edit: VirtualService, trace: audit/day.csv}")
    assert isinstance(every, EditEntry)
    assert isinstance(some, EditEntry)
    assert every.rows == (
        TraceRow(1 * S, "VirtualService", "ns0", "a"),
        TraceRow(1500 * MS, "Telemetry"),
        TraceRow(3 * S, "VirtualService", "ns1", "b"),
    )
    assert [row.name for row in some.rows] == ["a", "b"]


def test_a_trace_leads_from_the_file_it_stands_in(files: Files) -> None:
    files.write("base/day.csv", "t,name\n1s,a\n")
    files.write("base/base.yaml", f"{HEAD}workload: [{{edit: Telemetry, trace: day.csv}}]")
    (found,) = load_scenario(files.write("s.yaml", "extends: base/base.yaml")).workload
    assert isinstance(found, EditEntry)
    assert found.rows == (TraceRow(1 * S, None, None, "a"),)


def test_traffic_knows_where_it_comes_from(files: Files) -> None:
    found = entry(files, "{traffic: {from: s1, to: ns0/s2, rate: 5/s}, from: 1s}")
    assert isinstance(found, TrafficEntry)
    assert (found.traffic.source, found.traffic.retries, found.begin) == ("s1", 2, 1 * S)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("{edit: Telemetry, at: [1s, 2s]}", 2),
        ("{edit: Telemetry, every: 7m}", 2),
        ("{edit: Telemetry, poisson: 6/min, from: 9m}", 6),
        ("{edit: Telemetry, bursts: {size: 5, every: 1m}, until: 3m}", 15),
        ("{edit: Telemetry, bursts: {size: 5, at: [1m, 2m]}}", 10),
    ],
)
def test_how_often_an_entry_is_expected_to_happen(files: Files, text: str, count: int) -> None:
    found = entry(files, text)
    assert isinstance(found, EditEntry)
    assert found.expected(600 * S) == pytest.approx(count)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # what
        ("{edit: VirtualServce, at: 1s}", "workload[0].edit: 'VirtualServce' is not one of"),
        ("{edti: VirtualService, at: 1s}", "workload[0]: does not say what happens; did you mean 'edit'?"),
        ("{at: 1s}", "workload[0]: does not say what happens; known: edit, endpoints,"),
        ("{edit: Telemetry, rollout: s1, at: 1s}", "workload[0].rollout: an entry is about one thing"),
        (
            "{ca_outage: false, at: 1s}",
            "workload[0].ca_outage: must be true: leave the entry out otherwise",
        ),
        ("5s", "workload[0]: must be a mapping, such as {edit: VirtualService, at: 1s}, not the text '5s'"),
        ("{edit: Endpoints, at: 1s}", "'Endpoints' is not one of"),
        ("{edit: any, at: 1s}", "workload[0].edit: must name a kind: any goes with a trace only"),
        # when
        (
            "{edit: Telemetry}",
            "workload[0]: does not say when: give one of at, every, poisson, bursts, trace",
        ),
        ("{rollout: s1}", "workload[0]: does not say when: give one of at, every, poisson, bursts"),
        ("{edit: Telemetry, at: 1s, every: 1s}", "workload[0].every: contradicts at"),
        ("{edit: Telemetry, at: [1s, 2]}", "workload[0].at[1]: needs a unit"),
        ("{edit: Telemetry, at: 1s, from: 1s}", "workload[0].from: says nothing beside at"),
        ("{edit: Telemetry, every: 1s, from: 5s, until: 5s}", "workload[0].until: must be later than from"),
        ("{partition: {}, at: 5s, until: 5s}", "workload[0].until: must be later than at"),
        ("{partition: {}, at: [5s, 7s], until: 9s}", "workload[0].until: says nothing beside several times"),
        ("{edit: Telemetry, every: 0s}", "workload[0].every: must be at least 1ns"),
        ("{edit: Telemetry, every: 1us}", "workload[0]: would happen more than 1000000 times in the run"),
        ("{edit: Telemetry, bursts: {size: 3}}", "workload[0].bursts: must have exactly one of at, every"),
        ("{edit: Telemetry, evry: 1s}", "workload[0].evry: unknown key; did you mean 'every'?"),
        # who
        ("{edit: Telemetry, at: 1s, namespace: ns7}", "workload[0].namespace: no namespace is called 'ns7'"),
        ("{rollout: s1, at: 1s, namespace: istio-system}", "no namespace is called 'istio-system'"),
        ("{rollout: s3, at: 1s}", "workload[0].rollout: no service is called 's3'; they are s0 to s2"),
        ("{rollout: ns1/s2, at: 1s}", "namespace 'ns1' has no service of this name: write ns0/s2"),
        ("{endpoints: S1, at: 1s}", "workload[0].endpoints: must be the name of a service"),
        ("{scale_up: {pods: 1}, service: s9, at: 1s}", "workload[0].service: no service is called 's9'"),
        ("{scale_up: {pods: 0}, at: 1s}", "workload[0].scale_up.pods: must be at least 1"),
        ("{traffic: {to: s9, rate: 1/s}}", "workload[0].traffic.to: no service is called 's9'"),
        ("{traffic: {to: any, rate: 1/s}}", "workload[0].traffic.to: no service is called 'any'"),
        ("{traffic: {from: x, to: s1, rate: 1/s}}", "workload[0].traffic.from: no service is called 'x'"),
        (
            "{traffic: {to: s1, rate: 1/s, connection: kept}}",
            "connection: goes with a scripted control plane",
        ),
        (
            "{restart: {proxies: [p4]}, at: 1s}",
            "restart.proxies[0]: no proxy is called 'p4'; they are p0 to p3",
        ),
        ("{restart: {proxies: [p1, p1]}, at: 1s}", "restart.proxies[1]: 'p1' is listed twice"),
        ("{partition: {proxies: 6}, at: 1s}", "partition.proxies: must be at most 5, as there are, not 6"),
        ("{partition: {proxies: 0}, at: 1s}", "partition.proxies: must be from 1"),
        ("{restart_istiod: 2, at: 1s}", "workload[0].restart_istiod: there is no replica 2"),
        # how
        (
            "{rollout: s1, at: 1s, max_surge: 0, max_unavailable: 0}",
            "max_unavailable: must not be 0 when max_surge",
        ),
        ("{rollout: s1, at: 1s, max_unavailable: 101%}", "max_unavailable: must be at most 100%"),
        # traces
        ("{trace: none.csv}", "workload[0].trace: none.csv: cannot be read: No such file"),
        ("{trace: []}", "workload[0].trace: must be the name of a CSV file, or a list of rows, not a list"),
        ("{trace: [{t: 1s}]}", "workload[0].trace: has rows without a kind: name one with edit"),
        ("{trace: [{t: 1, kind: Telemetry}]}", "workload[0].trace[0]: t needs a unit"),
        ("{edit: Gateway, trace: [{t: 1s, kind: Telemetry}]}", "trace: has no row of kind Gateway"),
        ("{trace: [{t: 1s, kind: Telemtry}]}", "'Telemtry' is no kind to edit; did you mean 'Telemetry'?"),
    ],
)
def test_one_mistake_is_told_once_and_in_plain_words(files: Files, text: str, told: str) -> None:
    problem = files.problem(f"{HEAD}workload:\n  - {text}")
    assert problem.startswith("s.yaml:5: workload[0]")
    assert told in problem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "time,kind\n1s,Telemetry\n",
            "day.csv:1: must name columns among t, kind, namespace, name, t among them",
        ),
        ("t,kind\n1s,Telemetry\n2,Telemetry\n", "day.csv:3: t needs a unit: write 2s or 2ms"),
        ("t,kind\n", "day.csv: holds no rows"),
        ("", "day.csv:1: must name columns"),
        ("t,kind\n1s,Nothing\n", "day.csv:2: 'Nothing' is no kind to edit"),
        (b"t,kind\n\xff", "day.csv: is not UTF-8 text"),
    ],
)
def test_a_wrong_trace_is_told_with_its_line(files: Files, content: Any, told: str) -> None:
    files.write("day.csv", content)
    assert told in files.problem(f"{HEAD}workload: [{{trace: day.csv}}]")


def test_a_name_that_several_services_have_needs_its_namespace(files: Files) -> None:
    head = """\
        mesh: {services: [{name: a, namespace: x}, {name: a, namespace: y}]}
        control_plane: {kind: istiod}
        """
    problem = files.problem(f"{head}workload: [{{rollout: a, at: 1s}}]".replace("        ", ""))
    assert "workload[0].rollout: several services are called 'a': write x/a or y/a" in problem
    for said in ("rollout: y/a", "rollout: a, namespace: y"):
        files.load(f"{head}workload: [{{{said}, at: 1s}}]".replace("        ", ""))


def test_a_scripted_control_plane_knows_requests_only(files: Files) -> None:
    head = "control_plane: {resources: {listeners: {count: 1}}}\n"
    problem = files.problem(f"{head}workload: [{{partition: {{}}, at: 1s}}]")
    assert (
        "workload[0].partition: goes with control_plane.kind: istiod, components or rest-v1, and kind is"
        in problem
    )
    problem = files.problem(f"{head}workload: [{{traffic: {{to: l0, rate: 1/s, retries: 2}}}}]")
    assert (
        "workload[0].traffic.retries: goes with control_plane.kind: istiod, components or rest-v1" in problem
    )
