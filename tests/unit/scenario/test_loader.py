"""Scenario files: what is read from them, and how each way to get one wrong is told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from simulator.engine.clock import S
from simulator.scenario.loader import load_scenario
from simulator.scenario.problems import ScenarioError
from tests.unit.scenario.scenario_files import CONFORMANCE, Files


def test_the_conformance_scenario_reads_as_written(files: Files) -> None:
    scenario = files.load(CONFORMANCE)
    control_plane = scenario.control_plane
    assert scenario.name == "eds-late-then-route-missing"
    assert scenario.duration == 40 * S
    assert scenario.mesh.proxies.names() == ("p0",)
    assert [scenario.envoy.fetch_timeout_ns(kind) for kind in ("cds", "rtds")] == [2 * S, 2 * S]
    assert control_plane.resources.names("eds") == ("c0", "c1", "c2", "c3", "c4")
    assert control_plane.resources.health_check is not None
    assert control_plane.answers_to("eds")[0].omit == ("c3",)
    assert control_plane.answers_to("rds")[0].never
    assert control_plane.answers_to("sds") != ()
    assert [push.at for push in control_plane.pushes] == [10 * S, 12 * S, 20 * S, 25 * S]
    assert control_plane.pushes[3].close
    assert control_plane.pushes[3].type is None
    assert [expectation.metric for expectation in scenario.expect] == ["active_delay", "startups.timed_out"]


def test_a_file_without_a_name_is_called_after_the_file(files: Files) -> None:
    assert load_scenario(files.write("my first (1).yaml", "seed: 3")).name == "my-first-1-"


def test_every_problem_is_told_in_one_pass_in_the_order_of_the_file(files: Files) -> None:
    found = files.problems(
        """\
        seed: -3
        duration: 40
        mesh: {proxies: 1.5}
        envoy:
          preset: enovy
          costs: {cdds: 1ms}
        propagation:
          protocl: sotw
        control_plane:
          answers:
            cds: {after: -1s}
          pushes:
            - {type: cds, change: [c0]}
        expect: [p99(activ_delay) < 2s]
        """,
        {"envoy.drain_tme": "5s"},
    )
    assert [problem.split(": ")[0:2] for problem in found] == [
        ["s.yaml:1", "seed"],
        ["s.yaml:2", "duration"],
        ["s.yaml:3", "mesh.proxies"],
        ["s.yaml:5", "envoy.preset"],
        ["s.yaml:6", "envoy.costs.cdds"],
        ["s.yaml:8", "propagation.protocl"],
        ["s.yaml:11", "control_plane.answers.cds.after"],
        ["s.yaml:13", "control_plane.pushes[0].at"],
        ["s.yaml:14", "expect[0]"],
        ["--set envoy.drain_tme", "unknown key; did you mean 'drain_time'?"],
    ]


ISTIOD = "control_plane: {kind: istiod}\n"
NO_SUCH_SERVICE = "workload: [{at: 1s, endpoints: s99}]"
NO_SUCH_PROXY = "workload: [{at: 1s, restart: {proxies: [p9]}}]"
ENDPOINTS_OF_A = "workload: [{at: 1s, endpoints: a}]"
SEVERAL = """\
workload:
  - {at: soon, edit: VirtualService}
  - {at: 1s, edit: VirtualService, service: s99}
  - {at: 1s, nothing: 1}
  - {at: 1s, restart: {proxies: [p9]}}
  - {traffic: {to: s0, rate: 1/s, connection: kept}}
"""
FAR_TOO_OFTEN = "workload: [{every: 40us, from: 0s, until: 50s, endpoints: s0}]"
PUSHES = """\
control_plane:
  resources: {clusters: {count: 1, secret: x}}
  pushes: [{at: soon, type: cds, add: [c1]}, {at: 2s, type: cds, change: [c1]}]
"""
LAYERS = "envoy: {runtime_layers: [{name: a, disk: 1}]}\nworkload: [{at: 1s, runtime_flag: x, value: 1}]"

IN_ONE_PASS = {
    # A wrong entry of the workload hides nothing of the others, and these keep their places.
    ISTIOD + SEVERAL: (
        "workload[0].at",
        "workload[1].service",
        "workload[2]",
        "workload[3].restart.proxies[0]",
        "workload[4].traffic.connection",
    ),
    # What is wrong with the mesh beside its services does not make these unknown.
    f"{ISTIOD}mesh: {{proxies: few}}\n{NO_SUCH_SERVICE}": ("mesh.proxies", "workload[0].endpoints"),
    f"{ISTIOD}mesh: {{zoness: 2}}\n{NO_SUCH_SERVICE}": ("mesh.zoness", "workload[0].endpoints"),
    f"{ISTIOD}duration: 5\n{NO_SUCH_SERVICE}": ("duration", "workload[0].endpoints"),
    f"{ISTIOD}duratoin: 5s\n{NO_SUCH_SERVICE}": ("duratoin", "workload[0].endpoints"),
    f"{ISTIOD}mesh: {{services: few}}\n{NO_SUCH_PROXY}": ("mesh.services", "workload[0].restart.proxies[0]"),
    # What may follow from another mistake is not told.
    f"{ISTIOD}mesh: {{services: few}}\n{NO_SUCH_SERVICE}": ("mesh.services",),
    f"{ISTIOD}mesh: {{servics: [{{name: a}}]}}\n{ENDPOINTS_OF_A}": ("mesh.servics",),
    f"{ISTIOD}msh: {{services: [{{name: a}}]}}\n{ENDPOINTS_OF_A}": ("msh",),
    f"{ISTIOD}services: [{{name: a}}]\n{ENDPOINTS_OF_A}": ("services",),
    f"{ISTIOD}mesh: {{proxies: few}}\n{NO_SUCH_PROXY}": ("mesh.proxies",),
    f"{ISTIOD}duration: 5\n{FAR_TOO_OFTEN}": ("duration",),
    f"{ISTIOD}workload: [{{at: soon, add_istiod: 1}}, {{at: 9s, restart_istiod: 1}}]": ("workload[0].at",),
    "control_plane: {kind: istiod, replicas: x}\nworkload: [{at: 9s, restart_istiod: 1}]": (
        "control_plane.replicas",
    ),
    "control_plane: {kind: isitod}\nworkload: [{traffic: {to: s0, rate: 1/s}}]": ("control_plane.kind",),
    PUSHES: ("control_plane.pushes[0].at", "control_plane.resources.clusters.secret"),
    LAYERS: ("envoy.runtime_layers[0].disk",),
}


@pytest.mark.parametrize("text", IN_ONE_PASS)
def test_one_pass_tells_every_mistake_and_none_that_follows_from_another(files: Files, text: str) -> None:
    found = files.problems(text + "\n")
    assert sorted(problem.split(": ")[1] for problem in found) == sorted(IN_ONE_PASS[text]), found


def test_a_kind_that_there_is_not_is_told_once_and_nothing_that_would_follow_from_it(files: Files) -> None:
    text = "control_plane: {kind: istio, replicas: 2}\nmesh: {services: 3}\nagent: {hop: 1ms}\n"
    with pytest.raises(ScenarioError) as caught:
        load_scenario(files.write("s.yaml", text))
    (problem,) = caught.value.problems
    assert problem.key == "control_plane.kind"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # keys
        ("protocol: sotw", "s.yaml:1: protocol: unknown key; did you mean propagation.protocol?"),
        ("mesh: {zone: 1}", "s.yaml:1: mesh.zone: unknown key; did you mean 'zones'?"),
        ("colour: red", "s.yaml:1: colour: unknown key; known: name,"),
        ("mesh: {services: 3}", "and kind is scripted (the default)"),
        ("control_plane: {replicas: 3}", "and kind is scripted (the default)"),
        ("expect: [p99(active_delay) < 2]", "p99(active_delay) is a time: write 2s or 2ms"),
        ("expect: [bottleneck == foo]", "there is no bottleneck 'foo'; known: watch,"),
        ("mesh: {prxies: 3}", "s.yaml:1: mesh.prxies: unknown key; did you mean 'proxies'?"),
        ("seed: 1\nseed: 2", "s.yaml:2: seed: duplicate key, given on line 1 already"),
        ("5: x", 's.yaml:1: a key must be text: quote it, as in "5"'),
        ("<<: {seed: 1}", "s.yaml:1: <<: merge keys are not part of YAML 1.2"),
        (
            "agent: {}",
            "s.yaml:1: agent: goes with control_plane.kind: istiod, components or rest-v1, and kind",
        ),
        (
            "mesh:\n  services: 5",
            "s.yaml:2: mesh.services: goes with control_plane.kind: istiod, components or rest-v1",
        ),
        ("envoy: {health_checks: {}}", "s.yaml:1: envoy.health_checks: is not available in this version"),
        (
            "control_plane: {kind: istiod, version: 1.30}",
            'from "1.0" to "1.32", in quotes, and the number 1.30 is not: quote it, as in "1.30"',
        ),
        ("envoy: {calibration: 1.40}", 'quote it, as in "1.40"'),
        ("name: 2024", 'quote it, as in "2024"'),
        # durations, rates, numbers
        ("duration: 5", "s.yaml:1: duration: needs a unit: write 5s or 5ms, not the bare number"),
        ("duration: '5'", "duration: needs a unit: write 5s or 5ms"),
        ("warm_up: 0", "warm_up: needs a unit: write 0s"),
        ("duration: 5 sec", "duration: '5 sec' is not a Go duration; write 5s"),
        ("duration: 2d", "its longest unit is the hour"),
        ("duration: 1:30", "write it with units, such as 1m30s"),
        ("duration: soon", "duration: the text 'soon' is not a duration"),
        ("duration: -5s", "duration: must not be negative: '-5s'"),
        ("duration: 0s", "duration: must be at least 1ns"),
        ("duration: 90000h", "'90000h' is longer than ten years: write 87600h at most"),
        ("duration: 300000000h", "'300000000h' is longer than ten years: write 87600h at most"),
        ("duration: 9999999999999999h", "is longer than ten years: write 87600h at most"),
        ("duration: -300000000h", "must not be negative: '-300000000h'"),
        ("duration: [5s]", "duration: must be a duration, such as 5s or 1m30s, not a list"),
        ("duration:", "duration: must be a duration, such as 5s or 1m30s, not nothing"),
        ("duration: true", "not true"),
        ("duration: .inf", "needs a unit"),
        ("mesh: {proxies: -1}", "mesh.proxies: must be at least 0, not -1"),
        ("mesh: {proxies: 99999999999}", "mesh.proxies: must be at most 10000000"),
        ("mesh: {proxies: many}", "mesh.proxies: must be a whole number of sidecars"),
        ("mesh: {proxies: {sidecars: 9000000, vms: 9000000}}", "must be at most 10000000 proxies in all"),
        ("seed: '7'", "seed: must be a whole number, not the text '7'"),
        ("seed: 1.5", "seed: must be a whole number, not the number 1.5"),
        ("seed: true", "seed: must be a whole number, not true"),
        ("recording: {deliveries: yes}", "write true, without quotes"),
        ("recording: {states: sometimes}", "recording.states: must be auto, true or false"),
        (
            "workload: [{traffic: {to: l0, rate: 5}}]",
            "workload[0].traffic.rate: must be a rate with its unit",
        ),
        ("workload: [{traffic: {to: l0, rate: -5/s}}]", "a rate must not be negative"),
        ("workload: [{traffic: {to: l0, rate: 0/s}}]", "must be more than 0"),
        (
            "workload: [{edit: VirtualService, at: 1s}]",
            "workload[0].edit: goes with control_plane.kind: istiod, components or rest-v1, and kind is",
        ),
        # shapes
        ("mesh:", "s.yaml:1: mesh: is empty: give it keys, or leave it out"),
        ("mesh: 5", "mesh: must be a mapping of keys, not the number 5"),
        ("expect: p99(active_delay) < 2s", "expect: must be a list, not the text"),
        ("control_plane: {pushes: {at: 1s}}", "control_plane.pushes: must be a list, not a mapping"),
        ("control_plane: {answers: {cds: []}}", "must hold at least one answer"),
        ("control_plane: {answers: {cdss: {}}}", "control_plane.answers.cdss: 'cdss' is not one of cds,"),
        (
            "control_plane: {connect: maybe}",
            "control_plane.connect: 'maybe' is not one of accept, refuse, close",
        ),
        (
            "control_plane: {kind: component}",
            "'component' is not one of istiod, components, rest-v1, scripted, none; did you mean",
        ),
        (
            "propagation: {strategy: long-poll}",
            "long-poll goes with control_plane.kind: istiod, components or rest-v1",
        ),
        ("mesh: {start: connected}", "connected goes with control_plane.kind: istiod, components or rest-v1"),
        (
            "control_plane: {cpu: 2}",
            "control_plane.cpu: goes with kind: istiod, components or rest-v1, and kind is scripted",
        ),
        (
            "control_plane: {kind: none, cpu: 2}",
            "goes with kind: istiod, components or rest-v1, and kind is none",
        ),
        ("mesh: {start: {over: 5}}", "mesh.start.over: needs a unit: write 5s or 5ms"),
        ("envoy: {preset: Istio}", "did you mean 'istio'?"),
        (
            "envoy: {initial_fetch_timeout: {cdx: 1s}}",
            "envoy.initial_fetch_timeout.cdx: unknown key; did you mean 'cds'?",
        ),
        (
            "envoy: {initial_fetch_timeout: 15}",
            "envoy.initial_fetch_timeout: needs a unit: write 15s or 15ms",
        ),
        ("envoy: {calibration: envoy-9}", "no calibration 'envoy-9' is shipped; did you mean 'envoy-1.40'?"),
        ("envoy: {calibration: ./none.yaml}", "'./none.yaml' cannot be used"),
        ("envoy: {costs: {cds: {fixd: 1ms}}}", "envoy.costs.cds.fixd: this cost has no such coefficient"),
        ("envoy: {costs: {rest_update: {fixed: 1ms}}}", "this cost has no coefficients"),
        ("envoy: {costs: free}", "envoy.costs: must be zero, or a mapping"),
        (
            "envoy: {runtime_layers: [{name: a}]}",
            "envoy.runtime_layers[0]: must have exactly one of static_layer",
        ),
        (
            "envoy: {runtime_layers: [{name: a, admin_layer: {}}, {name: a, static_layer: {}}]}",
            "layer 'a' exists already",
        ),
        ("propagation: {backoff: {base: 60s}}", "propagation.backoff.max: must not be shorter than base"),
        ("warm_up: 90s", "warm_up: must be shorter than duration"),
        # delays
        (
            "network: {latency: {exponental: {mean: 1s}}}",
            "'exponental' is no distribution; did you mean 'exponential'?",
        ),
        ("network: {latency: {uniform: [2ms, 1ms]}}", "the first end of the range must not be longer"),
        (
            "network: {latency: {uniform: [2ms, 5]}}",
            "network.latency.uniform[1]: needs a unit: write 5s or 5ms",
        ),
        ("network: {latency: {gamma: {mean: 1ms, cv: -1}}}", "network.latency.gamma.cv: must be above 0"),
        ("network: {latency: {lognormal: {median: 5ms}}}", "network.latency.lognormal: lacks p99"),
        ("network: {latency: {exponential: {mean: 0s}}}", "must be more than 0s"),
        ("network: {latency: {empirical: none.csv}}", "none.csv: cannot be read: No such file"),
        ("network: {latency: {}}", "must name exactly one distribution"),
    ],
)
def test_one_mistake_is_told_once_and_in_plain_words(files: Files, text: str, told: str) -> None:
    problem = files.problem(text)
    assert problem.startswith(("s.yaml:1: ", "s.yaml:2: "))
    assert told in problem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"seed: \xff\xfe", "s.yaml: is not UTF-8 text: byte 0xff on line 1"),
        (b"seed: 1\nname: \x80", "s.yaml: is not UTF-8 text: byte 0x80 on line 2"),
        ("mesh:\n\tproxies: 3", "s.yaml:2: a tab is not allowed here: indent with spaces"),
        ("name: a\nquestion: why: not", "s.yaml:2: a colon is out of place"),
        ("mesh: {proxies: 3", "s.yaml:1: a comma or a closing brace } is missing"),
        ("expect: [a", "s.yaml:1: a comma or a closing bracket ] is missing"),
        ("question: 'why", "s.yaml:1: a quotation mark is opened and never closed"),
        ("seed: 1\n  name: x", "s.yaml:2: a colon is out of place"),
        ("seed: 1\n---\nseed: 2", "s.yaml:2: holds more than one document"),
        ("", "s.yaml: is empty"),
        ("# only a remark\n", "s.yaml: is empty"),
        ("- a\n- b", "s.yaml:1: must be a mapping of keys, not a list"),
        ("just text", "s.yaml:1: must be a mapping of keys, not the text 'just text'"),
        ("name: \x07", "s.yaml:1: character U+0007 is not allowed in YAML"),
        ("a: &a [*a]", "an alias leads back to itself"),
        ("seed: !!python/object:os.system x", "tag !!python/object:os.system is not allowed"),
        ("[" * 500, "is nested too deeply"),
        ("seed: " + "9" * 5000, "is a number of too many digits"),
        ("x: " + "y" * 1_000_001, "is longer than 1000000 characters"),
    ],
)
def test_a_text_that_is_no_scenario_at_all_is_told_with_its_line(
    files: Files, content: str | bytes, told: str
) -> None:
    assert any(told in problem for problem in files.problems(content))


def test_aliases_that_multiply_are_stopped(files: Files) -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    found = files.problems("a0: &a0 [x, x]\n" + levels)
    assert any("holds more than 100000 values, aliases followed" in problem for problem in found)


def test_words_of_yaml_1_1_stay_text(files: Files) -> None:
    scenario = files.load(
        "question: no\nenvoy: {runtime_layers: [{name: on, static_layer: {a: 1:30, b: off, c: 0o17}}]}"
    )
    assert scenario.question == "no"
    assert scenario.envoy.runtime_layers[0].name == "on"
    assert scenario.envoy.runtime_layers[0].static_layer == {"a": "1:30", "b": "off", "c": 15}


@pytest.mark.parametrize("name", ["missing.yaml", "nul\0.yaml", "x" * 5000])
def test_a_file_that_cannot_be_opened_is_told(files: Files, name: str) -> None:
    with pytest.raises(ScenarioError, match=r"no such file|not a usable file name|cannot be read"):
        load_scenario(files.directory / name if "\0" not in name else name)


def test_a_directory_is_no_scenario(files: Files) -> None:
    with pytest.raises(ScenarioError, match="is a directory, not a scenario file"):
        load_scenario(files.directory)


def test_extends_merges_mappings_and_replaces_lists(files: Files) -> None:
    files.write("base.yaml", CONFORMANCE)
    scenario = files.load(
        "extends: base.yaml\nmesh: {start: {over: 5s}}\ncontrol_plane: {pushes: [{at: 1s, close: true}]}"
    )
    assert scenario.name == "eds-late-then-route-missing"
    assert scenario.mesh.proxies.total == 1
    assert scenario.mesh.start.over == 5 * S
    assert len(scenario.control_plane.pushes) == 1
    assert scenario.envoy.preset == "envoy"


def test_a_distribution_replaces_the_one_of_the_extended_file(files: Files) -> None:
    files.write("base.yaml", "network: {latency: {exponential: {mean: 5ms}}}")
    scenario = files.load("extends: base.yaml\nnetwork: {latency: {uniform: [1ms, 2ms]}}")
    assert scenario.resolved()["network"] == {"latency": {"uniform": ["1ms", "2ms"]}}


def test_file_names_lead_from_the_file_they_stand_in(files: Files) -> None:
    files.write("base/samples.csv", "delay\n1ms\n3ms\n")
    files.write("base/base.yaml", "network: {latency: {empirical: samples.csv}}")
    scenario = files.load("extends: base/base.yaml")
    assert scenario.resolved()["network"] == {"latency": {"empirical": ["1ms", "3ms"]}}


def test_problems_of_an_extended_file_are_told_with_its_name(files: Files) -> None:
    files.write("base.yaml", "seed: 1\nduration: 5")
    assert files.problems("extends: base.yaml\nwarm_up: -1s") == [
        "s.yaml:2: warm_up: must not be negative: '-1s'",
        "base.yaml:2: duration: needs a unit: write 5s or 5ms, not the bare number",
    ]


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("s.yaml", "'s.yaml' leads back to a file that extends it"),
        ("other.yaml", "'other.yaml' leads back to a file that extends it"),
        ("none.yaml", "'none.yaml' is no file"),
        ("[a, b]", "must be the name of a scenario file, not a list"),
        ("5", "must be the name of a scenario file, not the number 5"),
        (".", "'.' is no file"),
    ],
)
def test_extends_that_leads_nowhere_is_told(files: Files, base: str, told: str) -> None:
    files.write("other.yaml", "extends: other.yaml")
    problem = files.problem(f"seed: 1\nextends: {base}")
    assert told in problem
    assert problem.startswith("other.yaml:1: extends" if base == "other.yaml" else "s.yaml:2: extends")


def test_overrides_win_over_the_file(files: Files) -> None:
    path = files.write("s.yaml", CONFORMANCE)
    overrides = {
        "mesh.proxies": "3",
        "envoy.initial_fetch_timeout": "{rds: 0s}",
        "control_plane.pushes.0.at": "1s",
        "network.latency": "{exponential: {mean: 5ms}}",
        "recording.states": False,
    }
    scenario = load_scenario(path, overrides)
    assert scenario.mesh.proxies.total == 3
    assert scenario.envoy.fetch_timeout_ns("rds") == 0
    assert scenario.envoy.fetch_timeout_ns("cds") == 15 * S
    assert scenario.control_plane.pushes[0].at == 1 * S
    assert scenario.recording.states is False


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("mesh.prxies", "3", "--set mesh.prxies: unknown key; did you mean 'proxies'?"),
        ("duration", "5", "--set duration: needs a unit: write 5s or 5ms, not the bare number"),
        ("duration", "", "--set duration: must be a duration, such as 5s or 1m30s, not nothing"),
        ("mesh", "{proxies: [", "--set mesh: ends in the middle"),
        ("mesh..proxies", "3", "--set mesh..proxies: is no path of keys"),
        ("", "3", "--set (nothing): is no path of keys"),
        ("duration.x", "3", "--set duration.x: duration is the text '40s' and has no keys"),
        ("control_plane.pushes.9.at", "3s", "has only 4 elements"),
        ("control_plane.pushes.x.at", "3s", "is a list: name a position"),
        ("control_plane.pushes[0].at", "3", "--set control_plane.pushes[0].at: needs a unit"),
    ],
)
def test_a_wrong_override_is_told_with_its_key(files: Files, key: str, value: str, told: str) -> None:
    problem = files.problem(CONFORMANCE, {key: value})
    assert problem.startswith("--set ")
    assert told in problem


@pytest.mark.slow
def test_loading_imports_neither_pandas_nor_matplotlib_nor_scipy(files: Files) -> None:
    path = files.write("s.yaml", CONFORMANCE)
    heavy = "('pandas', 'matplotlib', 'scipy', 'pyarrow', 'rich')"
    code = (
        "import sys; from simulator.scenario.loader import load_scenario; load_scenario(sys.argv[1]);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.strip() == "[]"
