"""Names in answers, pushes and elsewhere must exist when they are needed."""

from __future__ import annotations

import pytest

from tests.unit.scenario.scenario_files import Files

RESOURCES = """\
control_plane:
  resources:
    clusters: [{count: 2}, {type: static, prefix: d}, {}]
    listeners: {count: 2}
    secrets: {count: 1}
    extensions: {count: 1}
    runtime: {count: 1}
"""


@pytest.mark.parametrize(
    ("pushes", "told"),
    [
        (
            "[{at: 1s, type: cds, change: [c9]}]",
            "pushes[0].change[0]: no cluster is called 'c9' at 1s; known: c0, c1, d2, c3",
        ),
        ("[{at: 1s, type: eds, change: [d2]}]", "pushes[0].change[0]: no EDS cluster is called 'd2' at 1s"),
        ("[{at: 1s, type: eds, empty: [c0, c7]}]", "pushes[0].empty[1]: no EDS cluster is called 'c7'"),
        ("[{at: 1s, type: lds, remove: [l2]}]", "pushes[0].remove[0]: no listener is called 'l2'"),
        ("[{at: 1s, type: rds, send: [r2]}]", "pushes[0].send[0]: no route is called 'r2'"),
        ("[{at: 1s, type: sds, change: [sds1]}]", "no secret is called 'sds1' at 1s; did you mean 'sds0'?"),
        ("[{at: 1s, type: cds, add: [c0]}]", "pushes[0].add[0]: 'c0' exists already: use change or send"),
        (
            "[{at: 1s, type: cds, add: [web]}]",
            "'web' is no name for a new cluster: write c<number> or d<number>",
        ),
        ("[{at: 1s, type: cds, add: all}]", "pushes[0].add: must name each one"),
        ("[{at: 1s, type: cds, change: [all, c0]}]", "pushes[0].change: the word all stands alone"),
        ("[{at: 1s, type: cds, change: [c0, c0]}]", "pushes[0].change[1]: 'c0' is listed twice"),
        (
            "[{at: 2s, type: eds, send: [c5]}, {at: 3s, type: cds, add: [c5]}]",
            "no EDS cluster is called 'c5' at 2s",
        ),
        ("[{at: 1s, change: [c0]}]", "pushes[0]: needs a type"),
        ("[{at: 1s}]", "pushes[0]: needs a type"),
        ("[{at: 1s, type: cds}]", "pushes[0]: does nothing: give one of change,"),
        ("[{at: 1s, type: cds, empty: [c0]}]", "pushes[0].empty: goes with type: eds only"),
        (
            "[{at: 1s, type: rds, change_filter_chains: [l0]}]",
            "change_filter_chains: goes with type: lds only",
        ),
        ("[{at: 1s, type: vhds, change: [c0]}]", "'vhds' is not available in this version"),
    ],
)
def test_a_push_of_a_name_that_does_not_exist_is_told(files: Files, pushes: str, told: str) -> None:
    problem = files.problem(f"{RESOURCES}  pushes: {pushes}")
    assert problem.startswith("s.yaml:8: control_plane.pushes")
    assert told in problem


@pytest.mark.parametrize(
    "pushes",
    [
        "[{at: 1s, type: cds, add: [c5]}, {at: 2s, type: eds, send: [c5]}]",
        "[{at: 2s, type: eds, send: [c5]}, {at: 1s, type: cds, add: [c5]}]",
        "[{at: 1s, type: lds, add: l2}, {at: 1s, type: rds, change: [r2]}]",
        "[{at: 1s, type: cds, remove: [c0]}, {at: 2s, type: cds, send: [c0]}]",
        "[{at: 1s, type: cds, remove: all}, {at: 2s, type: cds, add: [c0]}]",
        "[{at: 1s, type: eds, empty: all}, {at: 1s, close: true}, {at: 1s, type: rds, reject: decode}]",
        "[{at: 1s, type: rds, close: true}]",
    ],
)
def test_names_that_exist_by_then_are_taken(files: Files, pushes: str) -> None:
    assert files.load(f"{RESOURCES}  pushes: {pushes}").control_plane.pushes != ()


def test_answers_know_the_names_that_pushes_add(files: Files) -> None:
    files.load(f"{RESOURCES}  answers: {{eds: {{omit: [c5]}}}}\n  pushes: [{{at: 9s, type: cds, add: [c5]}}]")
    problem = files.problem(f"{RESOURCES}  answers: {{eds: {{omit: [c6]}}}}")
    assert "control_plane.answers.eds.omit[0]: no EDS cluster is called 'c6'" in problem


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "envoy: {runtime_layers: [{name: rtds1, rtds_layer: {name: rtds1}}]}",
            "envoy.runtime_layers[0].rtds_layer.name: no runtime layer",
        ),
        (
            "envoy: {static: {clusters: {secret: sds3}}}",
            "envoy.static.clusters.secret: no secret is called 'sds3'",
        ),
        (
            "envoy: {static: {listeners: {filters: [wasm]}}}",
            "listeners.filters[0]: no extension is called 'wasm'",
        ),
        ("workload: [{traffic: {to: l7, rate: 1/s}}]", "workload[0].traffic.to: no listener is called 'l7'"),
        (
            "control_plane: {answers: {cds: {never: true, omit: [c0]}}}",
            "answers.cds.omit: says something about an answer that never comes",
        ),
        (
            "control_plane: {resources: {clusters: {secret: sds0}}}",
            "no secret is called 'sds0': control_plane.resources.secrets has none",
        ),
        (
            "control_plane: {kind: none}\nenvoy: {static: {clusters: {type: eds}}}",
            "envoy.static.clusters: type eds needs a control plane",
        ),
    ],
)
def test_other_names_that_do_not_exist_are_told(files: Files, more: str, told: str) -> None:
    before = "" if more.startswith("control_plane") else RESOURCES
    assert told in files.problem(before + more)


def test_names_are_not_doubted_while_the_resources_themselves_are_wrong(files: Files) -> None:
    text = (
        "control_plane: {resources: {clusters: {count: five}}, pushes: [{at: 1s, type: cds, change: [c3]}]}"
    )
    assert "clusters.count: must be a whole number" in files.problem(text)


def test_all_unknown_names_are_told_at_once(files: Files) -> None:
    text = "control_plane: {pushes: [{at: 1s, type: cds, change: [a, b]}, {at: 2s, type: lds, send: [c]}]}"
    assert len(files.problems(text)) == 3
