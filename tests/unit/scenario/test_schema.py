"""The scenario model: defaults, presets, names, copies and what it writes."""

from __future__ import annotations

import html
import pickle
import re
from typing import Any

import pytest
import yaml

from simulator.engine.clock import MS, S
from simulator.engine.delays import Constant, Exponential
from simulator.scenario.presets import FETCHED_TYPES
from simulator.scenario.problems import ScenarioError
from simulator.scenario.schema import ALL, Scenario
from tests.unit.scenario.scenario_files import CONFORMANCE, MESH, Files

EVERYTHING = """\
question: every key that may be written short
seed: 5
mesh: {proxies: {sidecars: 2, gateways: 1, vms: 1}, start: {over: 1m}}
envoy:
  initial_fetch_timeout: {cds: 2s}
  rate_limit: {fill_rate: 6/min}
  runtime_layers:
    - {name: base, static_layer: {a: 1, b: {c: 1.40, d: [x, true, null]}}}
    - {name: disk, disk_layer: {symlink_root: /var/runtime}}
    - {name: rtds0, rtds_layer: {name: rtds0}}
    - {name: admin, admin_layer: {}}
  costs: {cds: {sotw_fixed: 1ms}, rest_update: {gamma: {mean: 5ms, cv: 0.5}}, decode_failed: 1ms}
  static: {clusters: {type: strict_dns, resolver: {after: {uniform: [1ms, 2ms]}}, prefix: sc}}
network: {latency: {empirical: [3ms, 1ms, 2ms]}}
control_plane:
  connect: {refuse_until: 5s}
  resources:
    clusters: [{count: 2, secret: sds0}, {count: 1, resolver: never, type: strict_dns}]
    listeners: [{count: 1, filters: [ecds0]}, {routes: inline, prefix: in}]
    health_check: {answers: {after: {exponential: {mean: 1s}}}}
    secrets: {count: 1}
    extensions: {count: 1}
    scopes: {count: 2}
    runtime: {count: 1}
  answers:
    cds: [{after: {lognormal: {median: 2ms, p99: 20ms}}, reject: none}, {reject: decode}]
  pushes: [{at: 1s, type: cds, change: all}, {at: 2s, close: true}]
workload: [{traffic: {to: l0, rate: 2.5/s, connection: kept}, from: 1s, until: 2s}]
recording: {messages: false}
expect: ["share(outcome, kind=cds) == 100%"]
"""


@pytest.mark.parametrize("text", [CONFORMANCE, EVERYTHING, MESH, "seed: 1", "control_plane: {kind: istiod}"])
def test_the_resolved_scenario_means_the_same(files: Files, text: str) -> None:
    scenario = files.load(text)
    written = yaml.safe_load(yaml.safe_dump(scenario.resolved()))
    assert Scenario(**written) == scenario
    assert Scenario(**written).resolved() == scenario.resolved()


def test_a_scenario_survives_pickling_with_all_it_needs_for_copies(files: Files) -> None:
    scenario = pickle.loads(pickle.dumps(files.load(EVERYTHING)))
    assert scenario == files.load(EVERYTHING)
    assert scenario.with_(**{"envoy.preset": "envoy"}).envoy.drain_time == 600 * S


def test_each_preset_gives_its_own_defaults() -> None:
    istio, envoy = Scenario().envoy, Scenario(envoy={"preset": "envoy"}).envoy
    assert {istio.fetch_timeout_ns(name) for name in FETCHED_TYPES} == {0}
    assert {envoy.fetch_timeout_ns(name) for name in FETCHED_TYPES} == {15 * S}
    assert (istio.drain_time, istio.drain_strategy) == (45 * S, "immediate")
    assert (envoy.drain_time, envoy.drain_strategy) == (600 * S, "gradual")


def test_a_key_that_is_given_wins_over_the_preset() -> None:
    envoy = Scenario(
        envoy={"preset": "envoy", "initial_fetch_timeout": {"rds": "0s"}, "drain_time": "3s"}
    ).envoy
    assert (envoy.fetch_timeout_ns("rds"), envoy.fetch_timeout_ns("eds"), envoy.drain_time) == (
        0,
        15 * S,
        3 * S,
    )


def test_a_copy_with_another_preset_follows_it_where_nothing_was_given() -> None:
    scenario = Scenario(envoy={"drain_time": "3s"}).with_(**{"envoy.preset": "envoy"})
    assert (scenario.envoy.drain_time, scenario.envoy.drain_strategy) == (3 * S, "gradual")


def test_copies_leave_the_original_alone_and_are_checked() -> None:
    scenario = Scenario(propagation={"strategy": "push"})
    copy = scenario.with_(**{"propagation.strategy": "poll", "mesh.proxies": 7})
    assert (scenario.propagation.strategy, copy.propagation.strategy) == ("push", "poll")
    assert copy.mesh.proxies.total == 7
    with pytest.raises(ScenarioError, match=r"propagation\.strategy: 'pol' is not one of"):
        scenario.with_(**{"propagation.strategy": "pol"})
    with pytest.raises(ScenarioError, match=r"propagation\.stratgy: unknown key"):
        scenario.with_(**{"propagation.stratgy": "poll"})


def test_keywords_make_a_scenario_and_their_mistakes_are_all_told() -> None:
    keywords: dict[str, Any] = {"duration": "5", "nam": "x"}
    with pytest.raises(ScenarioError) as caught:
        Scenario(**keywords)
    assert str(caught.value).splitlines() == [
        "duration: needs a unit: write 5s or 5ms",
        "nam: unknown key; did you mean 'name'?",
    ]


def test_a_scenario_cannot_be_changed_and_says_how_to_get_another() -> None:
    scenario = Scenario()
    told = re.escape("a scenario is frozen: use scenario.with_(seed=...)")
    with pytest.raises(AttributeError, match=told):
        scenario.seed = 4
    with pytest.raises(AttributeError, match=told):
        del scenario.seed
    assert (scenario.seed, scenario.with_(seed=4).seed) == (1, 4)


def test_a_section_of_a_scenario_cannot_be_changed_and_names_the_key_as_a_file_has_it() -> None:
    listeners = {"resources": {"listeners": {"count": 1}}}
    workload = [{"traffic": {"to": "l0", "rate": "1/s"}}]
    traffic = Scenario(control_plane=listeners, workload=workload).traffic[0].traffic
    told = re.escape("use scenario.with_(**{'PATH.from': ...}), where PATH leads to this Traffic")
    with pytest.raises(AttributeError, match=told):
        traffic.source = "s1"


def test_names_are_numbered_through_the_whole_list_of_mappings() -> None:
    resources = Scenario(
        control_plane={
            "resources": {
                "clusters": [{"count": 2}, {"count": 2, "prefix": "d", "type": "static"}],
                "listeners": [{"count": 1}, {"count": 1, "prefix": "gw-l"}, {"routes": "inline"}],
                "secrets": {"count": 2},
            }
        }
    ).control_plane.resources
    assert resources.names("cds") == ("c0", "c1", "d2", "d3")
    assert resources.names("eds") == ("c0", "c1")
    assert resources.names("lds") == ("l0", "gw-l1", "l2")
    assert resources.names("rds") == ("r0", "gw-l-r1")
    assert resources.names("sds") == ("sds0", "sds1")
    assert [listener.cluster for listener in resources.named_listeners] == ["c0", "c1", "d2"]


def test_an_added_name_copies_the_last_mapping_of_its_kind() -> None:
    resources = Scenario(
        control_plane={
            "resources": {
                "clusters": [{"count": 2}, {"count": 1, "endpoints": 9}],
                "listeners": {"count": 1, "virtual_hosts": 4},
            }
        }
    ).control_plane.resources
    assert resources.cluster_named("c7").mapping.endpoints == 9
    assert resources.cluster_named("c0").mapping.endpoints == 1
    listener = resources.listener_named("l7")
    assert (listener.route, listener.cluster, listener.mapping.virtual_hosts) == ("r7", "c7", 4)


def test_proxies_are_named_by_kind() -> None:
    proxies = Scenario(mesh={"proxies": {"sidecars": 2, "gateways": 1, "vms": 1}}).mesh.proxies
    assert proxies.names() == ("p0", "p1", "gw0", "vm0")
    assert Scenario(mesh={"proxies": {"gateways": 2}}).mesh.proxies.names() == ("gw0", "gw1")
    assert Scenario().mesh.proxies.names() == ("p0",)


def test_values_stand_ready_for_the_model(files: Files) -> None:
    scenario = files.load(EVERYTHING)
    resources = scenario.control_plane.resources
    assert scenario.control_plane.pushes[0].change == ALL
    assert (scenario.control_plane.connect.kind, scenario.control_plane.connect.refuse_until) == (
        "refuse_until",
        5 * S,
    )
    assert resources.health_check is not None
    assert resources.health_check.answers.after == Exponential(1 * S)
    assert (resources.clusters[1].resolver.kind, resources.clusters[0].resolver.kind) == ("never", "ok")
    assert scenario.control_plane.answers_to("lds")[0].after == Constant(0)
    assert scenario.envoy.costs.given["cds"] == {"sotw_fixed": 1 * MS}
    assert scenario.envoy.rate_limit is not None
    assert scenario.envoy.rate_limit.fill_rate.per_second == pytest.approx(0.1)
    kinds = [layer.kind for layer in scenario.envoy.runtime_layers]
    assert kinds == ["static_layer", "disk_layer", "rtds_layer", "admin_layer"]
    assert scenario.traffic[0].begin == 1 * S
    assert not scenario.recording.keeps_messages(1)
    assert scenario.recording.keeps_states(1000)
    assert not scenario.recording.keeps_states(1001)
    assert scenario.recording.keeps_states(200, 1000)
    assert not scenario.recording.keeps_states(201, 1000)


@pytest.mark.parametrize("key", ["health_check", "rate_limit"])
def test_the_word_none_takes_back_what_an_extended_file_gives(files: Files, key: str) -> None:
    files.write("base.yaml", EVERYTHING)
    section = (
        "control_plane: {resources: {health_check: none}}"
        if key == "health_check"
        else "envoy: {rate_limit: none}"
    )
    scenario = files.load(f"extends: base.yaml\n{section}")
    holder = scenario.control_plane.resources if key == "health_check" else scenario.envoy
    assert getattr(holder, key) is None


def test_jupyter_shows_name_and_question_and_a_file_that_is_the_same_scenario() -> None:
    scenario = Scenario(
        name="a.b", question="How <slow>?", control_plane={"kind": "istiod", "version": "1.20"}
    )
    shown = scenario._repr_html_()
    assert "How &lt;slow&gt;?" in shown
    written = html.unescape(shown.partition("<pre>")[2].partition("</pre>")[0])
    assert Scenario(**yaml.safe_load(written)) == scenario
