"""Which proxies a change reaches, and which types it makes istiod push: Istio's tables, kind by kind."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as xs
from tests.conformance.istiod import responses, run, types_sent

SERVICES = [
    {"name": "a", "namespace": "ns0"},
    {"name": "b", "namespace": "ns1"},
    {"name": "own", "namespace": "ns1", "export_to": "."},
]
FLEET: dict[str, Any] = {
    "services": SERVICES,
    "namespaces": ["ns0", "ns1"],
    "proxies": {"sidecars": 2, "gateways": 1},
}
"""p0 is in ns0 (service a), p1 in ns1 (service b), gw0 in the root namespace."""


def told(kind: str, proxy: str = "p0", *, seed: int = 1, **entry: object) -> list[str]:
    """Types that a running proxy is sent for one edit of the kind."""
    entry.setdefault("namespace", "ns0")
    return types_sent(run({"edit": kind, "at": "1s", **entry}, duration="3s", seed=seed, **FLEET), proxy)


SIDECAR = {
    "ServiceEntry": ["cds", "eds", "lds", "rds"],
    "DestinationRule": ["cds", "eds", "lds", "rds"],
    "VirtualService": ["cds", "lds", "rds"],
    "Gateway": [],
    "Sidecar": ["cds", "lds", "rds"],
    "PeerAuthentication": ["cds", "eds", "lds"],
    "RequestAuthentication": ["lds"],
    "AuthorizationPolicy": ["lds"],
    "EnvoyFilter": ["cds", "eds", "lds", "rds"],
    "Telemetry": ["lds"],
    "TrafficExtension": ["lds"],
    "Secret": [],
    "ConfigMap": ["cds", "eds", "lds", "rds"],
    "ProxyConfig": [],
    "WorkloadGroup": [],
    "MeshConfig": ["cds", "eds", "lds", "rds"],
}
"""What a sidecar of the namespace that watches these four types is sent, in push order."""

ROUTER = {
    **SIDECAR,
    "Gateway": ["cds", "lds", "rds"],
    "Sidecar": [],
    "PeerAuthentication": ["cds", "eds"],
    "Secret": ["sds"],
    "ConfigMap": ["cds", "eds", "lds", "rds", "sds"],
    "MeshConfig": ["cds", "eds", "lds", "rds", "sds"],
}
"""The same for a gateway (of the root namespace), which watches SDS as well."""


@pytest.mark.parametrize("kind", SIDECAR)
def test_a_sidecar_is_sent_the_types_that_the_kind_causes(kind: str) -> None:
    assert told(kind) == SIDECAR[kind]


@pytest.mark.parametrize("kind", ROUTER)
def test_a_gateway_is_sent_the_types_that_the_kind_causes(kind: str) -> None:
    assert told(kind, "gw0") == ROUTER[kind]


def test_endpoints_cause_eds_of_that_service_alone() -> None:
    result = run({"endpoints": "a", "at": "1s"}, duration="3s", **FLEET)
    for proxy in ("p0", "p1", "gw0"):
        [message] = responses(result, proxy)
        assert (message.type, list(message.resources)) == ("eds", ["outbound|80||a.ns0.svc.cluster.local"])


@pytest.mark.parametrize(
    "kind",
    [
        "RequestAuthentication",
        "AuthorizationPolicy",
        "EnvoyFilter",
        "Telemetry",
        "TrafficExtension",
    ],
)
def test_a_policy_concerns_the_sidecars_of_its_namespace_only(kind: str) -> None:
    assert told(kind, "p0") != []
    assert told(kind, "p1") == []
    # In the root namespace it concerns all.
    assert told(kind, "p1", namespace="istio-system") == SIDECAR[kind]


@pytest.mark.parametrize("kind", ["ServiceEntry", "DestinationRule", "VirtualService"])
def test_without_sidecar_scopes_a_change_of_an_exported_service_reaches_every_sidecar(kind: str) -> None:
    assert told(kind, "p1", service="a") == SIDECAR[kind]


@pytest.mark.parametrize("kind", ["ServiceEntry", "DestinationRule", "VirtualService"])
def test_a_change_of_a_service_that_is_not_exported_stays_in_its_namespace(kind: str) -> None:
    assert told(kind, "p1", service="own", namespace="ns1") == SIDECAR[kind]
    assert told(kind, "p0", service="own", namespace="ns1") == []


@pytest.mark.parametrize("kind", ["Endpoints", "ServiceEntry", "DestinationRule", "VirtualService"])
def test_what_is_outside_a_sidecar_scope_is_not_pushed(kind: str) -> None:
    entry = {"endpoints": "b"} if kind == "Endpoints" else {"edit": kind, "service": "b"}
    fleet = {**FLEET, "in_mesh": {"scope": {"namespaces": "own"}}}
    result = run({**entry, "at": "1s"}, duration="3s", **fleet)
    assert types_sent(result, "p0") == []
    assert types_sent(result, "p1") != []
    # Sidecar resources do not apply to gateways.
    assert types_sent(result, "gw0") != []
    # Who is filtered out leaves the queue and is counted there, and nowhere else.
    assert set(result.deliveries.proxy_id) == {"p1", "gw0"}


def test_a_peer_authentication_of_a_namespace_reaches_the_clusters_of_all_its_services() -> None:
    services = [*SERVICES, {"name": "a2", "namespace": "ns0"}]
    fleet = {**FLEET, "services": services}
    result = run({"edit": "PeerAuthentication", "namespace": "ns0", "at": "1s"}, duration="3s", **fleet)
    wanted = {f"outbound|80||{name}.ns0.svc.cluster.local" for name in ("a", "a2")}
    for proxy in ("p0", "p1"):
        [eds] = responses(result, proxy, "eds")
        assert set(eds.resources) == wanted
        [cds] = responses(result, proxy, "cds")
        assert {name for name in cds.resources if name.startswith("outbound")} == wanted
    # Only in its own namespace is it about inbound listeners.
    assert [m.type for m in responses(result, "p1")] == ["cds", "eds"]
    assert set(result.deliveries.outcome) == {"active"}


def test_a_peer_authentication_of_the_root_namespace_reaches_everything() -> None:
    result = run(
        {"edit": "PeerAuthentication", "namespace": "istio-system", "at": "1s"}, duration="3s", **FLEET
    )
    for proxy, services in (("p0", 2), ("p1", 3)):
        assert types_sent(result, proxy) == ["cds", "eds", "lds"]
        [eds] = responses(result, proxy, "eds")
        assert len(eds.resources) == services
        [cds] = responses(result, proxy, "cds")
        assert len([name for name in cds.resources if name.startswith("outbound")]) == services
    assert set(result.deliveries.outcome) == {"active"}


def test_discovery_selectors_keep_what_they_do_not_select_out_of_istiod() -> None:
    fleet = {**FLEET, "in_mesh": {"discovery_selectors": ["ns0"]}}
    result = run(
        {"edit": "VirtualService", "service": "b", "at": "1s"},
        {"endpoints": "b", "at": "2s"},
        {"edit": "VirtualService", "service": "a", "at": "3s"},
        duration="5s",
        **fleet,
    )
    assert [m.t for m in responses(result, "p0", "rds")] == [3.1]
    assert responses(result, "p0", "eds") == []


def test_a_forced_push_is_said_to_be_forced_and_holds_everything() -> None:
    result = run({"edit": "MeshConfig", "at": "1s"}, duration="3s", **FLEET)
    assert list(result.pushes.forced) == [True]
    [cds] = responses(result, "p0", "cds")
    assert len([name for name in cds.resources if name.startswith("outbound")]) == 2
    [eds] = responses(result, "p0", "eds")
    assert len(eds.resources) == 2


# --- the name table, which the agent watches where it answers DNS


@pytest.mark.parametrize(
    ("kind", "is_pushed"),
    [("ServiceEntry", True), ("Sidecar", True), ("VirtualService", False), ("EnvoyFilter", False)],
)
def test_the_name_table_follows_services_and_scopes(kind: str, is_pushed: bool) -> None:
    entry = {"edit": kind, "namespace": "ns0", "at": "1s"}
    result = run(entry, duration="3s", agent={"dns_capture": True}, **FLEET)
    assert ("nds" in types_sent(result, "p0")) == is_pushed


def headless(protocol: str) -> xs.Result:
    """Endpoints of a service without a cluster IP change."""
    ports = [{"port": 80, "protocol": protocol}]
    services = [{"name": "a", "namespace": "ns0", "headless": True, "ports": ports}]
    return run(
        {"endpoints": "a", "at": "1s"},
        duration="3s",
        services=services,
        proxies={"sidecars": 1, "gateways": 1},
        agent={"dns_capture": True},
    )


def test_endpoints_of_a_headless_http_service_change_the_name_table_too() -> None:
    result = headless("http")
    assert types_sent(result, "p0") == ["eds", "nds"]


def test_endpoints_of_a_headless_tcp_service_change_the_listeners_of_sidecars_too() -> None:
    result = headless("tcp")
    assert types_sent(result, "p0") == ["eds", "lds", "nds"]
    assert "lds" not in types_sent(result, "gw0")
    assert "cds" not in types_sent(result, "p0")
