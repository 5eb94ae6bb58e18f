"""The sections of a scenario with istiod: what their keys become, and how mistakes in them are told."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.engine.clock import MS, US, S
from simulator.engine.delays import Constant
from simulator.mesh.services import Port, stable_id
from simulator.mesh.visibility import ScopeSettings
from simulator.scenario.problems import ScenarioError
from simulator.scenario.schema import Scenario
from simulator.scenario.sections.mesh import Mesh
from tests.unit.scenario.scenario_files import MESH, Files


def mesh_of(**keys: Any) -> Mesh:
    return Scenario(control_plane={"kind": "istiod"}, mesh=keys).mesh


def test_numbered_services_stand_in_the_namespaces_in_turn() -> None:
    services = mesh_of(services=5, namespaces=2, endpoints=3).named_services()
    assert [service.label for service in services] == ["ns0/s0", "ns1/s1", "ns0/s2", "ns1/s3", "ns0/s4"]
    assert [service.entity for service in services] == [0, 1, 2, 3, 4]
    assert {service.endpoints for service in services} == {3}


def test_listed_services_are_keyed_by_name_and_keep_what_they_say() -> None:
    mesh = mesh_of(
        services=[
            {"name": "reviews", "namespace": "shop", "endpoints": 0, "headless": True},
            {
                "name": "db",
                "namespace": "data",
                "ports": [80, {"port": 5432, "protocol": "tcp"}],
                "export_to": ".",
            },
        ]
    )
    reviews, db = mesh.named_services()
    assert mesh.namespaces == ("shop", "data")
    assert (reviews.endpoints, reviews.headless, reviews.ports) == (0, True, (Port(80, "http"),))
    assert (db.endpoints, db.ports[1], db.export_to) == (5, Port(5432, "tcp"), ".")
    assert (reviews.entity, db.index) == (stable_id("shop/reviews"), 1)


def test_a_name_means_one_service_or_none() -> None:
    mesh = mesh_of(
        services=[
            {"name": "a", "namespace": "x"},
            {"name": "a", "namespace": "y"},
            {"name": "b", "namespace": "y"},
        ]
    )
    assert [mesh.service(text) is None for text in ("a", "x/a", "b", "x/b", "c")] == [
        True,
        False,
        False,
        True,
        True,
    ]
    within = mesh.service("a", "y")
    assert within is not None
    assert within.label == "y/a"
    numbered = mesh_of(services=3, namespaces=2)
    assert numbered.service("s3") is None
    found = numbered.service("ns1/s1")
    assert found is not None
    assert (found.index, found.namespace) == (1, "ns1")


@pytest.mark.parametrize(
    ("scope", "settings"),
    [
        ("all", ScopeSettings("all")),
        ("25%", ScopeSettings("share", 0.25)),
        ({"services": 20}, ScopeSettings("services", services=20)),
        ({"namespaces": "own"}, ScopeSettings("own")),
    ],
)
def test_each_form_of_scope_is_read_and_written_again(scope: Any, settings: ScopeSettings) -> None:
    mesh = mesh_of(scope=scope)
    assert mesh.scope == settings
    assert mesh.model_dump(mode="json")["scope"] == scope


def test_the_mesh_scenario_reads_as_written(files: Files) -> None:
    scenario = files.load(MESH)
    control_plane, agent = scenario.control_plane, scenario.agent
    assert (control_plane.cpu, control_plane.procs, control_plane.push_throttle) == (0.5, 1, 7)
    assert (control_plane.debounce.after, control_plane.debounce.max) == (200 * MS, 10 * S)
    assert not control_plane.debounce.endpoints
    assert control_plane.max_connection_age is None
    assert (control_plane.cache.size, control_plane.cache.cds, control_plane.cache.rds) == (
        100,
        "auto",
        False,
    )
    assert control_plane.registry.failure_rate == 0.01
    assert control_plane.costs.given["generate"] == {"cds_fixed": 1 * MS}
    assert agent.hop == Constant(50 * US)
    assert (agent.startup_probe.period, agent.startup_probe.failure_threshold) == (2 * S, 600)
    assert (scenario.network.loss, scenario.network.bandwidth) == (0.001, 100_000_000)
    assert scenario.mesh.discovery_selectors == ("ns0", "ns4")
    assert not scenario.recording.keeps_queues(1)
    assert scenario.recording.keeps_proxy_pushes(1000)
    assert not scenario.recording.keeps_proxy_pushes(1001)


def test_istiod_starts_connected_and_others_cold() -> None:
    assert Scenario(control_plane={"kind": "istiod"}).mesh.start.kind == "connected"
    assert Scenario(control_plane={"kind": "istiod"}, mesh=Mesh(services=3)).mesh.start.kind == "connected"
    assert Scenario(control_plane={"kind": "istiod"}, mesh={"start": "cold"}).mesh.start.kind == "cold"
    assert Scenario().mesh.start.kind == "cold"
    over = Scenario(mesh={"start": {"over": "5s"}}).mesh.start
    assert (over.kind, over.over) == ("over", 5 * S)


@pytest.mark.parametrize(
    ("version", "protocol", "startup", "period"),
    [("1.19", "sotw", False, 2), ("1.21", "sotw", True, 15), ("1.22", "delta", True, 15)],
)
def test_the_version_decides_what_the_scenario_leaves_open(
    version: str, protocol: str, startup: bool, period: int
) -> None:
    scenario = Scenario(
        control_plane={"kind": "istiod", "version": version},
        agent={"readiness_probe": {"failure_threshold": 7}},
    )
    assert scenario.propagation.protocol == protocol
    assert scenario.agent.startup_probe.enabled == startup
    assert scenario.agent.readiness_probe.period == period * S
    assert scenario.agent.readiness_probe.failure_threshold == 7
    copy = scenario.with_(**{"control_plane.version": "1.32"})
    assert (copy.propagation.protocol, copy.agent.readiness_probe.period) == ("delta", 15 * S)


def test_secrets_of_gateways_time_out_as_envoy_has_it_and_others_wait_for_ever() -> None:
    istiod = {"kind": "istiod"}
    envoy = Scenario(control_plane=istiod).envoy
    assert [envoy.fetch_timeout_ns(kind, is_gateway=True) for kind in ("sds", "eds")] == [15 * S, 0]
    assert envoy.fetch_timeout_ns("sds") == 0
    told = {"initial_fetch_timeout": {"rds": "3s"}, "gateway_initial_fetch_timeout": {"sds": "4s"}}
    envoy = Scenario(control_plane=istiod, envoy=told).envoy
    assert [envoy.fetch_timeout_ns(kind, is_gateway=True) for kind in ("sds", "rds", "eds")] == [
        4 * S,
        3 * S,
        0,
    ]


def test_a_scripted_scenario_shows_no_key_of_istiod() -> None:
    resolved = Scenario().resolved()
    assert list(resolved["mesh"]) == ["proxies", "start"]
    assert "agent" not in resolved
    assert "debounce" not in resolved["control_plane"]
    assert "service_time" not in resolved["propagation"]["server"]


def test_a_scenario_with_istiod_shows_no_key_of_the_script(files: Files) -> None:
    resolved = files.load(MESH).resolved()
    assert resolved["control_plane"].keys().isdisjoint(("answers", "pushes", "resources", "connect"))
    assert resolved["control_plane"]["push_throttle"] == 7
    assert resolved["mesh"]["namespaces"] == 10


def test_a_section_made_in_python_can_be_changed_by_key() -> None:
    scenario = Scenario(mesh=Mesh(proxies={"sidecars": 3}))
    assert scenario.with_(**{"mesh.start": {"over": "1s"}}).mesh.proxies.total == 3


@pytest.mark.parametrize(
    ("section", "keys", "told"),
    [
        ("mesh", {"services": -1}, "mesh.services: must be at least 0"),
        ("mesh", {"services": "many"}, "mesh.services: must be a whole number of services, or a list"),
        ("mesh", {"services": [{"name": "Reviews"}]}, "mesh.services[0].name: must be a Kubernetes name"),
        (
            "mesh",
            {"services": [{"name": "a", "port": 80}]},
            "services[0].port: unknown key; did you mean 'ports'?",
        ),
        (
            "mesh",
            {"services": ["a", "b", "a"]},
            "mesh.services[2].name: namespace 'ns0' has a service 'a' already",
        ),
        ("mesh", {"services": [{"name": "a", "ports": [80, 80]}]}, "ports[1]: port 80 is listed twice"),
        ("mesh", {"services": [{"name": "a", "ports": []}]}, "ports: must hold at least one port"),
        ("mesh", {"services": [{"name": "a", "ports": [0]}]}, "ports[0]: must be at least 1"),
        (
            "mesh",
            {"namespaces": ["shop"], "services": [{"name": "a", "namespace": "shp"}]},
            "mesh.services[0].namespace: no namespace is called 'shp'; did you mean 'shop'?",
        ),
        (
            "mesh",
            {"services": [{"name": "a", "namespace": "shop"}, "b"]},
            "mesh.namespaces: list them here, or say namespace for each service",
        ),
        ("mesh", {"namespaces": 0}, "mesh.namespaces: must be at least 1"),
        ("mesh", {"namespaces": ["a", "a"]}, "mesh.namespaces[1]: 'a' is listed twice"),
        ("mesh", {"discovery_selectors": ["ns7"]}, "discovery_selectors[0]: no namespace is called 'ns7'"),
        ("mesh", {"scope": "some"}, "mesh.scope: must be all, a percentage such as 25%"),
        ("mesh", {"scope": {"services": "x"}}, "mesh.scope.services: must be a whole number"),
        ("mesh", {"scope": {"namespaces": "all"}}, "mesh.scope.namespaces: must be own"),
        ("mesh", {"services": 1_000_000, "endpoints": 11}, "must be at most 10000000 endpoints in all"),
        ("mesh", {"start": {"kind": "cold", "over": "5s"}}, "mesh.start.over: says nothing with kind cold"),
        ("control_plane", {"version": "1.33"}, 'must be an Istio version from "0.2" to "0.7" or from "1.0"'),
        ("control_plane", {"version": "1.4"}, "version: istiod is Istio 1.5 to 1.32, not 1.4"),
        ("control_plane", {"flow_control": True}, "flow_control: Istio has it in 1.9 to 1.14 only"),
        ("control_plane", {"send_timeout": "5s"}, "send_timeout: Istio has it in 1.8 to 1.21 only"),
        (
            "control_plane",
            {"pushes": []},
            "control_plane.pushes: goes with kind: scripted, and kind is istiod",
        ),
        (
            "control_plane",
            {"costs": {"genrate": "1s"}},
            "the calibration has no such cost; did you mean 'generate'?",
        ),
        ("control_plane", {"costs": {"answer": "1s"}}, "the calibration has no such cost"),
        ("control_plane", {"calibration": "istiod-1"}, "no calibration 'istiod-1' is shipped; did you mean"),
        ("control_plane", {"push_throttle": 0}, "push_throttle: must be at least 1"),
        ("control_plane", {"max_requests_per_second": 0}, "must be above 0"),
        ("agent", {"wasm": {"fetch": "soon"}}, "agent.wasm.fetch: the text 'soon' is not a duration"),
    ],
)
def test_one_mistake_is_told_once_and_in_plain_words(section: str, keys: dict[str, Any], told: str) -> None:
    sections: dict[str, Any] = {"control_plane": {"kind": "istiod"}}
    sections[section] = {**sections.get(section, {}), **keys}
    with pytest.raises(ScenarioError) as caught:
        Scenario(**sections)
    assert len(caught.value.problems) == 1, str(caught.value)
    assert told in str(caught.value)


def test_the_scripted_control_plane_has_one_cost() -> None:
    assert Scenario(control_plane={"costs": {"answer": "2ms"}}).control_plane.costs.answer == Constant(2 * MS)
    assert Scenario(control_plane={"costs": "zero"}).control_plane.costs.answer == Constant(0)
    assert Scenario().control_plane.costs.answer is None
    with pytest.raises(ScenarioError, match="a scripted control plane has no such cost; known: answer"):
        Scenario(control_plane={"costs": {"generate": "2ms"}})
